// SPDX-License-Identifier: Apache-2.0
// Steps over rows: softmax and its logarithm; layer, RMS and unit norm. A row is a warp's or, where it is
// long, a block's. Statistics are double precision.
#include "reduce.h"

#include "../base/formulas/functions.h"

namespace fastcnn {
namespace cuda {

namespace {

template <class T, class N>
FASTCNN_INLINE float sum_of_exponentials(T team, const N* x, int64_t cols, float highest) {
  float sum = 0.0f;
  for (int64_t j = team.rank(); j < cols; j += T::kWidth) sum += exp(float(x[j]) - highest);
  return T::sum(sum);
}

// xhat = (x - center) root + nudge; dx = dy gamma root + (x - center) slope + offset.
struct RowFactors {
  float center, root, nudge, slope, offset;
};

struct RowSums {
  double mean, square, dy, product;
};

FASTCNN_INLINE RowFactors factors_of(const RowNormShape& s, const RowSums& sums) {
  const bool unit = s.kind == RowNorm::kUnit, centered = s.kind == RowNorm::kLayer;
  const double n = double(s.cols), share = unit ? 1.0 : 1.0 / n;
  double root = 1.0 / ::sqrt(unit ? sums.square : sums.square / n + s.epsilon), product = sums.product;
  if (unit && root > 1.0 / s.epsilon) root = 1.0 / s.epsilon, product = 0.0;
  const float center = float(sums.mean);
  const double rest = sums.mean - double(center), slope = -root * root * root * product * share;
  return {center, float(root), float(-rest * root), float(slope),
          centered ? float(-root * sums.dy * share - slope * rest) : 0.0f};
}

template <class T, class N>
FASTCNN_INLINE RowSums sums_of(T team, const RowNormShape& s, const N* x, const N* dy, const float* gamma) {
  RowSums sums = {0.0, 0.0, 0.0, 0.0};
  if (s.kind == RowNorm::kLayer) {
    for (int64_t j = team.rank(); j < s.cols; j += T::kWidth) sums.mean += double(float(x[j]));
    sums.mean = T::sum(sums.mean) / double(s.cols);
  }
  for (int64_t j = team.rank(); j < s.cols; j += T::kWidth) {
    const double d = double(float(x[j])) - sums.mean;
    sums.square += d * d;
    if (!dy) continue;
    const double g = double(float(dy[j])) * (gamma ? double(gamma[j]) : 1.0);
    sums.dy += g, sums.product += g * d;
  }
  sums.square = T::sum(sums.square);
  if (dy) sums.dy = T::sum(sums.dy), sums.product = T::sum(sums.product);
  return sums;
}

double elements(const RowsShape& s) { return double(s.rows) * double(s.cols); }
double elements(const RowNormShape& s) { return double(s.rows) * double(s.cols); }

template <class T>
void softmax(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.softmax_fwd.cols;
  const T* const from = input<T>(o, 0);
  T* const to = output<T>(o, 0);
  for_each_row(context, p.op.softmax_fwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const T* const x = from + row * cols;
    const float highest = greatest_of(team, x, cols), sum = sum_of_exponentials(team, x, cols, highest);
    for (int64_t j = team.rank(); j < cols; j += team.kWidth)
      to[row * cols + j] = exp(float(x[j]) - highest) / sum;
  });
}

template <class T>
void log_softmax(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.log_softmax_fwd.cols;
  const T* const from = input<T>(o, 0);
  T* const to = output<T>(o, 0);
  for_each_row(context, p.op.log_softmax_fwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const T* const x = from + row * cols;
    const float highest = greatest_of(team, x, cols);
    const float logarithm = log(sum_of_exponentials(team, x, cols, highest));
    for (int64_t j = team.rank(); j < cols; j += team.kWidth)
      to[row * cols + j] = (float(x[j]) - highest) - logarithm;
  });
}

template <class T>
void softmax_backward(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.softmax_bwd.cols;
  const T *const all_dy = input<T>(o, 0), *const all_y = input<T>(o, 1);
  T* const dx = output<T>(o, 0);
  for_each_row(context, p.op.softmax_bwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const T *const dy = all_dy + row * cols, *const y = all_y + row * cols;
    float sum = 0.0f;
    for (int64_t j = team.rank(); j < cols; j += team.kWidth) sum = fma(float(dy[j]), float(y[j]), sum);
    sum = team.sum(sum);
    for (int64_t j = team.rank(); j < cols; j += team.kWidth)
      dx[row * cols + j] = float(y[j]) * (float(dy[j]) - sum);
  });
}

template <class T>
void log_softmax_backward(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.log_softmax_bwd.cols;
  const T *const all_dy = input<T>(o, 0), *const all_y = input<T>(o, 1);
  T* const dx = output<T>(o, 0);
  for_each_row(context, p.op.log_softmax_bwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const T *const dy = all_dy + row * cols, *const y = all_y + row * cols;
    float sum = 0.0f;
    for (int64_t j = team.rank(); j < cols; j += team.kWidth) sum += float(dy[j]);
    sum = team.sum(sum);
    for (int64_t j = team.rank(); j < cols; j += team.kWidth)
      dx[row * cols + j] = float(dy[j]) - exp(float(y[j])) * sum;
  });
}

template <class T>
void row_norm(const Prepared& p, const Operands& o, Context& context) {
  const RowNormShape s = p.op.row_norm_fwd;
  const bool clamped = p.op.epilogue.activation == Activation::kRelu;
  const T* const from = input<T>(o, 0);
  const float *const gamma = input(o, 1), *const beta = input(o, 2);
  T* const to = output<T>(o, 0);
  for_each_row(context, s.rows, s.cols, [=] __device__(auto team, int64_t row) {
    const T* const x = from + row * s.cols;
    const RowFactors k = factors_of(s, sums_of<decltype(team), T>(team, s, x, nullptr, nullptr));
    for (int64_t j = team.rank(); j < s.cols; j += team.kWidth) {
      const float xhat = fma(float(x[j]) - k.center, k.root, k.nudge);
      const float y = fma(xhat, gamma ? gamma[j] : 1.0f, beta ? beta[j] : 0.0f);
      to[row * s.cols + j] = clamped ? relu(y) : y;
    }
  });
}

template <class T>
void row_norm_backward(const Prepared& p, const Operands& o, Context& context) {
  const RowNormShape s = p.op.row_norm_bwd;
  const T *const all_dy = input<T>(o, 0), *const all_x = input<T>(o, 1);
  const float* const gamma = input(o, 2);
  T* const dx = output<T>(o, 0);
  float *const dgamma = output(o, 1), *const dbeta = output(o, 2);
  auto* const factors = static_cast<RowFactors*>(context.workspace);
  for_each_row(context, s.rows, s.cols, [=] __device__(auto team, int64_t row) {
    const T *const x = all_x + row * s.cols, *const dy = all_dy + row * s.cols;
    const RowFactors k = factors_of(s, sums_of(team, s, x, dy, gamma));
    if (team.rank() == 0) factors[row] = k;
    if (!dx) return;
    for (int64_t j = team.rank(); j < s.cols; j += team.kWidth)
      dx[row * s.cols + j] = fma(float(dy[j]) * (gamma ? gamma[j] : 1.0f), k.root,
                                 fma(float(x[j]) - k.center, k.slope, k.offset));
  });
  Context rest = context;
  rest.workspace = factors + s.rows;
  if (dgamma)
    sum_terms(
        rest, s.cols, s.rows, dgamma,
        [=] __device__(int64_t c, int64_t row) {
          const RowFactors k = factors[row];
          const int64_t at = row * s.cols + c;
          return float(all_dy[at]) * fma(float(all_x[at]) - k.center, k.root, k.nudge);
        },
        AsItIs{});
  if (dbeta) column_sum(rest, all_dy, s.rows, s.cols, dbeta);
}

}  // namespace

bool supports_softmax_fwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_softmax_fwd_rows(Prepared* p) {
  set_cost(p, 4 * elements(p->op.softmax_fwd), 2 * bytes_of_number(p) * elements(p->op.softmax_fwd));
}
void run_softmax_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, softmax)(p, o, context);
}

bool supports_softmax_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_softmax_bwd_rows(Prepared* p) {
  set_cost(p, 4 * elements(p->op.softmax_bwd), 3 * bytes_of_number(p) * elements(p->op.softmax_bwd));
}
void run_softmax_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, softmax_backward)(p, o, context);
}

bool supports_log_softmax_fwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_log_softmax_fwd_rows(Prepared* p) { prepare_softmax_fwd_rows(p); }
void run_log_softmax_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, log_softmax)(p, o, context);
}

bool supports_log_softmax_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_log_softmax_bwd_rows(Prepared* p) { prepare_softmax_bwd_rows(p); }
void run_log_softmax_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, log_softmax_backward)(p, o, context);
}

bool supports_row_norm_fwd_rows(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  if (e.activation == Activation::kRelu) e.activation = Activation::kNone;
  return plain(e);
}
void prepare_row_norm_fwd_rows(Prepared* p) {
  set_cost(p, 6 * elements(p->op.row_norm_fwd), 2 * bytes_of_number(p) * elements(p->op.row_norm_fwd));
}
void run_row_norm_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, row_norm)(p, o, context);
}

bool supports_row_norm_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
// The factors of the rows, for dgamma and dbeta, then the parts of these.
void prepare_row_norm_bwd_rows(Prepared* p) {
  const RowNormShape& s = p->op.row_norm_bwd;
  set_cost(p, 3 * bytes_of_number(p) * elements(s), 3 * bytes_of_number(p) * elements(s));
  p->workspace_bytes = sizeof(RowFactors) * size_t(s.rows) + sum_terms_bytes(s.cols, s.rows);
}
void run_row_norm_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, row_norm_backward)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
