// SPDX-License-Identifier: Apache-2.0
// Steps over rows: softmax and its logarithm; layer, RMS and unit norm. A row is a warp's or, where it is
// long, a block's. Statistics are double precision.
#include "reduce.h"

#include "../base/formulas/functions.h"

namespace fastcnn {
namespace cuda {

namespace {

template <class T>
FASTCNN_INLINE float sum_of_exponentials(T team, const float* x, int64_t cols, float highest) {
  float sum = 0.0f;
  for (int64_t j = team.rank(); j < cols; j += T::kWidth) sum += exp(x[j] - highest);
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

template <class T>
FASTCNN_INLINE RowSums sums_of(T team, const RowNormShape& s, const float* x, const float* dy,
                               const float* gamma) {
  RowSums sums = {0.0, 0.0, 0.0, 0.0};
  if (s.kind == RowNorm::kLayer) {
    for (int64_t j = team.rank(); j < s.cols; j += T::kWidth) sums.mean += double(x[j]);
    sums.mean = T::sum(sums.mean) / double(s.cols);
  }
  for (int64_t j = team.rank(); j < s.cols; j += T::kWidth) {
    const double d = double(x[j]) - sums.mean;
    sums.square += d * d;
    if (!dy) continue;
    const double g = double(dy[j]) * (gamma ? double(gamma[j]) : 1.0);
    sums.dy += g, sums.product += g * d;
  }
  sums.square = T::sum(sums.square);
  if (dy) sums.dy = T::sum(sums.dy), sums.product = T::sum(sums.product);
  return sums;
}

double elements(const RowsShape& s) { return double(s.rows) * double(s.cols); }
double elements(const RowNormShape& s) { return double(s.rows) * double(s.cols); }

}  // namespace

bool supports_softmax_fwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_softmax_fwd_rows(Prepared* p) {
  set_cost(p, 4 * elements(p->op.softmax_fwd), 8 * elements(p->op.softmax_fwd));
}
void run_softmax_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.softmax_fwd.cols;
  const float* from = input(o, 0);
  float* to = output(o, 0);
  for_each_row(context, p.op.softmax_fwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const float* x = from + row * cols;
    const float highest = greatest_of(team, x, cols), sum = sum_of_exponentials(team, x, cols, highest);
    for (int64_t j = team.rank(); j < cols; j += team.kWidth) to[row * cols + j] = exp(x[j] - highest) / sum;
  });
}

bool supports_softmax_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_softmax_bwd_rows(Prepared* p) {
  set_cost(p, 4 * elements(p->op.softmax_bwd), 12 * elements(p->op.softmax_bwd));
}
void run_softmax_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.softmax_bwd.cols;
  const float *all_dy = input(o, 0), *all_y = input(o, 1);
  float* dx = output(o, 0);
  for_each_row(context, p.op.softmax_bwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const float *dy = all_dy + row * cols, *y = all_y + row * cols;
    float sum = 0.0f;
    for (int64_t j = team.rank(); j < cols; j += team.kWidth) sum = fma(dy[j], y[j], sum);
    sum = team.sum(sum);
    for (int64_t j = team.rank(); j < cols; j += team.kWidth) dx[row * cols + j] = y[j] * (dy[j] - sum);
  });
}

bool supports_log_softmax_fwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_log_softmax_fwd_rows(Prepared* p) { prepare_softmax_fwd_rows(p); }
void run_log_softmax_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.log_softmax_fwd.cols;
  const float* from = input(o, 0);
  float* to = output(o, 0);
  for_each_row(context, p.op.log_softmax_fwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const float* x = from + row * cols;
    const float highest = greatest_of(team, x, cols);
    const float logarithm = log(sum_of_exponentials(team, x, cols, highest));
    for (int64_t j = team.rank(); j < cols; j += team.kWidth)
      to[row * cols + j] = (x[j] - highest) - logarithm;
  });
}

bool supports_log_softmax_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_log_softmax_bwd_rows(Prepared* p) { prepare_softmax_bwd_rows(p); }
void run_log_softmax_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.log_softmax_bwd.cols;
  const float *all_dy = input(o, 0), *all_y = input(o, 1);
  float* dx = output(o, 0);
  for_each_row(context, p.op.log_softmax_bwd.rows, cols, [=] __device__(auto team, int64_t row) {
    const float *dy = all_dy + row * cols, *y = all_y + row * cols;
    float sum = 0.0f;
    for (int64_t j = team.rank(); j < cols; j += team.kWidth) sum += dy[j];
    sum = team.sum(sum);
    for (int64_t j = team.rank(); j < cols; j += team.kWidth) dx[row * cols + j] = dy[j] - exp(y[j]) * sum;
  });
}

bool supports_row_norm_fwd_rows(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  if (e.activation == Activation::kRelu) e.activation = Activation::kNone;
  return plain(e);
}
void prepare_row_norm_fwd_rows(Prepared* p) {
  set_cost(p, 6 * elements(p->op.row_norm_fwd), 8 * elements(p->op.row_norm_fwd));
}
void run_row_norm_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const RowNormShape s = p.op.row_norm_fwd;
  const bool clamped = p.op.epilogue.activation == Activation::kRelu;
  const float *from = input(o, 0), *gamma = input(o, 1), *beta = input(o, 2);
  float* to = output(o, 0);
  for_each_row(context, s.rows, s.cols, [=] __device__(auto team, int64_t row) {
    const float* x = from + row * s.cols;
    const RowFactors k = factors_of(s, sums_of(team, s, x, nullptr, nullptr));
    for (int64_t j = team.rank(); j < s.cols; j += team.kWidth) {
      const float xhat = fma(x[j] - k.center, k.root, k.nudge);
      const float y = fma(xhat, gamma ? gamma[j] : 1.0f, beta ? beta[j] : 0.0f);
      to[row * s.cols + j] = clamped ? relu(y) : y;
    }
  });
}

bool supports_row_norm_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
// The factors of the rows, for dgamma and dbeta, then the parts of these.
void prepare_row_norm_bwd_rows(Prepared* p) {
  const RowNormShape& s = p->op.row_norm_bwd;
  set_cost(p, 12 * elements(s), 12 * elements(s));
  p->workspace_bytes = sizeof(RowFactors) * size_t(s.rows) + sum_terms_bytes(s.cols, s.rows);
}
void run_row_norm_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const RowNormShape s = p.op.row_norm_bwd;
  const float *all_dy = input(o, 0), *all_x = input(o, 1), *gamma = input(o, 2);
  float *dx = output(o, 0), *dgamma = output(o, 1), *dbeta = output(o, 2);
  auto* const factors = static_cast<RowFactors*>(context.workspace);
  for_each_row(context, s.rows, s.cols, [=] __device__(auto team, int64_t row) {
    const float *x = all_x + row * s.cols, *dy = all_dy + row * s.cols;
    const RowFactors k = factors_of(s, sums_of(team, s, x, dy, gamma));
    if (team.rank() == 0) factors[row] = k;
    if (!dx) return;
    for (int64_t j = team.rank(); j < s.cols; j += team.kWidth)
      dx[row * s.cols + j] =
          fma(dy[j] * (gamma ? gamma[j] : 1.0f), k.root, fma(x[j] - k.center, k.slope, k.offset));
  });
  Context rest = context;
  rest.workspace = factors + s.rows;
  if (dgamma)
    sum_terms(
        rest, s.cols, s.rows, dgamma,
        [=] __device__(int64_t c, int64_t row) {
          const RowFactors k = factors[row];
          const int64_t at = row * s.cols + c;
          return all_dy[at] * fma(all_x[at] - k.center, k.root, k.nudge);
        },
        AsItIs{});
  if (dbeta) column_sum(rest, all_dy, s.rows, s.cols, dbeta);
}

}  // namespace cuda
}  // namespace fastcnn
