// SPDX-License-Identifier: Apache-2.0
// Batch and group norm of x [n, m, c]; batch norm is n = 1 with a group for each channel. Sums of each
// channel in parts, in double precision about the channel's first element, unless the step that made x has
// measured its parts; from them the factors of each sample and channel; the map. A backward pass takes the
// statistics anew from x, as on the CPU.
//
//   y = (x - center) scale + offset      dx = dy scale + (x - center) slope + offset
#include "measure.h"
#include "reduce.h"

namespace fastcnn {
namespace cuda {

namespace {

struct ChannelSums {
  double first, second, dy, product;  // of d = x - pivot, d^2, dy, dy d
};
struct ChannelFactors {
  float center, scale, slope, offset;
};

struct Norm {
  int64_t n, m, c, group;  // group: channels that share their statistics
  double epsilon, momentum;
  Cut cut;  // of m
};

Norm norm_of(const GroupNormShape& s) {
  return {s.n, s.m, s.c, s.c / s.groups, s.epsilon, 0, cut_sum(s.n * s.c, s.m)};
}
Norm norm_of(const BatchNormShape& s) {
  return {1, s.rows, s.c, 1, s.epsilon, s.momentum, cut_sum(s.c, s.rows)};
}

// What is null is not there.
template <class T>
struct Arrays {
  const T *x, *dy;
  T* y;
  const float *gamma, *beta, *mean, *variance;
  float *dgamma, *dbeta, *moving_mean, *moving_variance;
  const PartStatistics* measured;
  int32_t clamped;
};

size_t workspace_bytes(const Norm& s, bool measured) {
  const size_t channels = size_t(s.n * s.c);
  return (measured ? 0 : sizeof(ChannelSums) * size_t(s.cut.parts) * channels) +
         (sizeof(ChannelFactors) + 2 * sizeof(float)) * channels;
}

// The channels of a group about the group's mean, by a team.
template <class T, class N>
FASTCNN_INLINE void statistics(T team, const Norm& s, const Arrays<N>& a, const ChannelSums* sums,
                               ChannelFactors* factors, float* dgamma, float* dbeta, int64_t unit) {
  const int64_t groups = s.c / s.group, sample = unit / groups, first = unit % groups * s.group;
  const int64_t channels = s.n * s.c, count = s.group * s.cut.parts;
  const double share = 1.0 / (double(s.m) * double(s.group));
  const auto pivot = [&](int64_t i) {
    return double(float(a.x[sample * s.m * s.c + first + i / s.cut.parts]));
  };
  const auto rows = [&](int64_t i) {
    const int64_t begin = i % s.cut.parts * s.cut.each, left = s.m - begin;
    return double(left < s.cut.each ? left : s.cut.each);
  };
  const auto at = [&](int64_t i) -> ChannelSums {
    const int64_t part = i % s.cut.parts, place = part * channels + sample * s.c + first + i / s.cut.parts;
    if (!a.measured) return sums[place];
    const PartStatistics of = a.measured[place];
    const int64_t row = part * s.cut.each * s.c + first + i / s.cut.parts;
    const double d = double(float(a.x[row])) - pivot(i) + double(of.shift);
    return {rows(i) * d, rows(i) * d * d + double(of.square), 0.0, 0.0};
  };
  double mean = 0.0, square = 0.0, dy = 0.0, product = 0.0;
  if (a.mean) {
    mean = double(a.mean[first]);
  } else {
    for (int64_t i = team.rank(); i < count; i += team.kWidth) mean += rows(i) * pivot(i) + at(i).first;
    mean = team.sum(mean) * share;
  }
  if (!a.mean || a.dgamma || a.dbeta)
    for (int64_t i = team.rank(); i < count; i += team.kWidth) {
      const ChannelSums part = at(i);
      const double e = pivot(i) - mean, gamma = a.gamma ? double(a.gamma[first + i / s.cut.parts]) : 1.0;
      square += part.second + e * (2.0 * part.first + rows(i) * e);
      dy += gamma * part.dy, product += gamma * (part.product + e * part.dy);
    }
  square = team.sum(square), dy = team.sum(dy) * share, product = team.sum(product) * share;
  const double variance = a.variance ? double(a.variance[first]) : (square < 0.0 ? 0.0 : square) * share;
  const double root = 1.0 / ::sqrt(variance + s.epsilon);
  if (a.moving_mean && team.rank() == 0) {
    a.moving_mean[first] = float(double(a.moving_mean[first]) * s.momentum + mean * (1.0 - s.momentum));
    a.moving_variance[first] =
        float(double(a.moving_variance[first]) * s.momentum + variance * (1.0 - s.momentum));
  }
  const float center = float(mean);
  const double rest = mean - double(center), slope = -root * root * root * product;
  const bool fixed = a.dy && a.mean;  // then dx is dy scale, whatever x
  for (int64_t i = team.rank(); i < s.group; i += team.kWidth) {
    const int64_t c = first + i;
    const double scale = (a.gamma ? double(a.gamma[c]) : 1.0) * root;
    const double offset =
        a.dy ? -root * dy - slope * rest : (a.beta ? double(a.beta[c]) : 0.0) - rest * scale;
    factors[sample * s.c + c] = {center, float(scale), fixed ? 0.0f : float(slope),
                                 fixed ? 0.0f : float(offset)};
    if (!a.dy) continue;
    double of_dy = 0.0, of_product = 0.0;
    for (int64_t part = 0; part < s.cut.parts; ++part) {
      const ChannelSums sum = at(i * s.cut.parts + part);
      of_dy += sum.dy, of_product += sum.product + (pivot(i * s.cut.parts) - mean) * sum.dy;
    }
    if (a.dbeta) dbeta[sample * s.c + c] = float(of_dy);
    if (a.dgamma) dgamma[sample * s.c + c] = float(root * of_product);
  }
}

template <class T>
void run_norm(const Norm& s, const Arrays<T>& a, Context& context) {
  const int64_t channels = s.n * s.c;
  auto* const sums = static_cast<ChannelSums*>(context.workspace);
  auto* const factors = reinterpret_cast<ChannelFactors*>(sums + (a.measured ? 0 : s.cut.parts * channels));
  float *dgamma = reinterpret_cast<float*>(factors + channels), *dbeta = dgamma + channels;
  if (!a.measured && (!a.mean || a.dgamma || a.dbeta))
    for_each(context, s.cut.parts * channels, [=] __device__(int64_t i) {
      const int64_t part = i / channels, channel = i - part * channels, sample = channel / s.c;
      const int64_t first = sample * s.m * s.c + (channel - sample * s.c), begin = part * s.cut.each;
      const int64_t end = begin + s.cut.each < s.m ? begin + s.cut.each : s.m;
      const float pivot = a.x[first];
      ChannelSums sum = {0.0, 0.0, 0.0, 0.0};
      for (int64_t row = begin; row < end; ++row) {
        const double d = double(float(a.x[first + row * s.c])) - double(pivot);
        sum.first += d, sum.second += d * d;
        if (!a.dy) continue;
        const double g = double(float(a.dy[first + row * s.c]));
        sum.dy += g, sum.product += g * d;
      }
      sums[i] = sum;
    });
  for_each_row(
      context, s.n * (s.c / s.group), s.group * s.cut.parts, [=] __device__(auto team, int64_t unit) {
        statistics(team, s, a, sums, factors, s.n == 1 ? a.dgamma : dgamma, s.n == 1 ? a.dbeta : dbeta, unit);
      });
  if (a.y)
    for_each(context, s.n * s.m * s.c, [=] __device__(int64_t i) {
      const int64_t row = i / s.c;
      const ChannelFactors k = factors[row / s.m * s.c + (i - row * s.c)];
      if (a.dy) {
        // By given statistics dx is dy scale, whatever x.
        const float of_x = a.mean ? 0.0f : fma(float(a.x[i]) - k.center, k.slope, k.offset);
        a.y[i] = fma(float(a.dy[i]), k.scale, of_x);
      } else {
        const float y = fma(float(a.x[i]) - k.center, k.scale, k.offset);
        a.y[i] = a.clamped ? relu(y) : y;
      }
    });
  if (s.n == 1) return;
  if (a.dgamma) sum_parts(context, {dgamma, s.c, s.n}, a.dgamma);
  if (a.dbeta) sum_parts(context, {dbeta, s.c, s.n}, a.dbeta);
}

bool plain_or_relu(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  if (e.activation == Activation::kRelu) e.activation = Activation::kNone;
  return plain(e);
}

void prepare(Prepared* p, const Norm& s, double flops, double passes) {
  const double count = double(s.n) * double(s.m) * double(s.c);
  set_cost(p, flops * count, bytes_of_number(p) * passes * count);
  p->workspace_bytes = workspace_bytes(s, p->op.epilogue.statistics != 0);
  state<Norm>(p) = s;
}

template <class T>
void run_fwd(const Prepared& p, const Operands& o, Context& context) {
  Arrays<T> a = {};
  a.x = input<T>(o, 0), a.gamma = input(o, 1), a.beta = input(o, 2);
  a.y = output<T>(o, 0), a.moving_mean = output(o, 1), a.moving_variance = output(o, 2);
  a.clamped = p.op.epilogue.activation == Activation::kRelu;
  if (p.op.epilogue.statistics) a.measured = input<PartStatistics>(o, 3);
  run_norm(state<Norm>(p), a, context);
}

template <class T>
void run_bwd(const Prepared& p, const Operands& o, Context& context) {
  Arrays<T> a = {};
  a.dy = input<T>(o, 0), a.x = input<T>(o, 1), a.gamma = input(o, 2);
  a.y = output<T>(o, 0), a.dgamma = output(o, 1), a.dbeta = output(o, 2);
  run_norm(state<Norm>(p), a, context);
}

template <class T>
void run_infer(const Prepared& p, const Operands& o, Context& context) {
  Arrays<T> a = {};
  a.x = input<T>(o, 0), a.mean = input(o, 1), a.variance = input(o, 2), a.gamma = input(o, 3);
  a.beta = input(o, 4), a.y = output<T>(o, 0);
  a.clamped = p.op.epilogue.activation == Activation::kRelu;
  run_norm(state<Norm>(p), a, context);
}

template <class T>
void run_infer_bwd(const Prepared& p, const Operands& o, Context& context) {
  Arrays<T> a = {};
  a.dy = input<T>(o, 0), a.x = input<T>(o, 1), a.mean = input(o, 2), a.variance = input(o, 3);
  a.gamma = input(o, 4);
  a.y = output<T>(o, 0), a.dgamma = output(o, 1), a.dbeta = output(o, 2);
  run_norm(state<Norm>(p), a, context);
}

// w to Ts.
template <class T>
void fold(const Prepared& p, const Operands& o, Context& context) {
  const BatchNormShape s = p.op.batch_norm_fold;
  const float *w = input(o, 0), *mean = input(o, 1), *variance = input(o, 2), *gamma = input(o, 3),
              *beta = input(o, 4), *bias = input(o, 5);
  T* const to = output<T>(o, 0);
  float* const to_bias = output(o, 1);
  const auto factor = [=] __device__(int64_t k) {
    return (gamma ? double(gamma[k]) : 1.0) / ::sqrt(double(variance[k]) + s.epsilon);
  };
  for_each(context, w ? s.rows * s.c : s.c, [=] __device__(int64_t i) {
    const float by = float(factor(i % s.c));
    to[i] = w ? w[i] * by : by;
  });
  for_each(context, s.c, [=] __device__(int64_t k) {
    const double offset = (bias ? double(bias[k]) : 0.0) - double(mean[k]);
    to_bias[k] = float(offset * factor(k) + (beta ? double(beta[k]) : 0.0));
  });
}

}  // namespace

bool supports_batch_norm_fwd_channels(const OpDescriptor& op) {
  OpDescriptor unmeasured = op;
  unmeasured.epilogue.statistics = 0;
  return plain_or_relu(unmeasured);
}
void prepare_batch_norm_fwd_channels(Prepared* p) {
  Norm s = norm_of(p->op.batch_norm_fwd);
  if (!p->op.epilogue.statistics) return prepare(p, s, 6, 3);
  s.cut = {statistics_parts(s.m), kStatisticsRows};
  prepare(p, s, 3, 2);
  p->bytes += bytes_of_statistics(s.m, s.c);
}
void run_batch_norm_fwd_channels(const Prepared& p, const Operands& o, Context& c) {
  FASTCNN_BY_STORAGE(p, run_fwd)(p, o, c);
}

bool supports_batch_norm_bwd_channels(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_batch_norm_bwd_channels(Prepared* p) { prepare(p, norm_of(p->op.batch_norm_bwd), 12, 5); }
void run_batch_norm_bwd_channels(const Prepared& p, const Operands& o, Context& c) {
  FASTCNN_BY_STORAGE(p, run_bwd)(p, o, c);
}

bool supports_group_norm_fwd_channels(const OpDescriptor& op) { return plain_or_relu(op); }
void prepare_group_norm_fwd_channels(Prepared* p) { prepare(p, norm_of(p->op.group_norm_fwd), 6, 3); }
void run_group_norm_fwd_channels(const Prepared& p, const Operands& o, Context& context) {
  Operands two = o;
  two.out[1] = two.out[2] = nullptr;
  FASTCNN_BY_STORAGE(p, run_fwd)(p, two, context);
}

bool supports_group_norm_bwd_channels(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_group_norm_bwd_channels(Prepared* p) { prepare(p, norm_of(p->op.group_norm_bwd), 12, 5); }
void run_group_norm_bwd_channels(const Prepared& p, const Operands& o, Context& c) {
  FASTCNN_BY_STORAGE(p, run_bwd)(p, o, c);
}

bool supports_batch_norm_infer_channels(const OpDescriptor& op) { return plain_or_relu(op); }
void prepare_batch_norm_infer_channels(Prepared* p) { prepare(p, norm_of(p->op.batch_norm_infer), 3, 2); }
void run_batch_norm_infer_channels(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_infer)(p, o, context);
}

bool supports_batch_norm_infer_bwd_channels(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_batch_norm_infer_bwd_channels(Prepared* p) {
  prepare(p, norm_of(p->op.batch_norm_infer_bwd), 5, 4);
}
void run_batch_norm_infer_bwd_channels(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_infer_bwd)(p, o, context);
}

// w'[i,k] = w[i,k] s[k], bias'[k] = (bias[k] - mean[k]) s[k] + beta[k], s = gamma / sqrt(variance + epsilon).
// Without w, s itself.
bool supports_batch_norm_fold_columns(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_batch_norm_fold_columns(Prepared* p) {
  const double count = double(p->op.batch_norm_fold.rows) * double(p->op.batch_norm_fold.c);
  set_cost(p, count, (sizeof(float) + bytes_of_number(p)) * count);
}
void run_batch_norm_fold_columns(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, fold)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
