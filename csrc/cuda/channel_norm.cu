// SPDX-License-Identifier: Apache-2.0
// Batch and group norm of x [n, m, c]; batch norm is n = 1 with a group for each channel. Sums of each
// channel in parts, in double precision about the channel's first element, unless the step that made x has
// measured its parts; from them the factors of each sample and channel; the map. A backward pass takes the
// statistics anew from x, as on the CPU. Arrays are read by bands (bands.h).
//
//   y = (x - center) scale + offset      dx = dy scale + (x - center) slope + offset
#include "bands.h"
#include "measure.h"
#include "reduce.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int64_t kFewParts = 4 * kWarp;  // up to here a warp adds them

struct ChannelSums {
  double first, second, dy, product;  // of d = x - pivot, d^2, dy, dy d

  FASTCNN_INLINED void add(const ChannelSums& b) {
    first += b.first, second += b.second, dy += b.dy, product += b.product;
  }
  // Each thread's own added to that of the thread `bits` away.
  FASTCNN_INLINED void add_lane(int bits) {
    add({__shfl_xor_sync(kAllLanes, first, bits), __shfl_xor_sync(kAllLanes, second, bits),
         __shfl_xor_sync(kAllLanes, dy, bits), __shfl_xor_sync(kAllLanes, product, bits)});
  }
};
struct ChannelFactors {
  float center, scale, slope, offset;
};

struct Norm {
  int64_t n, m, c, group;  // group: channels that share their statistics
  double epsilon, momentum;
  Bands bands;
  int64_t parts, each;  // of m, by which the sums are: bands, or what the step before has measured
};

Norm norm_of(int64_t n, int64_t m, int64_t c, int64_t group, double epsilon, double momentum) {
  const Bands bands = bands_of(n, m, c);
  return {n, m, c, group, epsilon, momentum, bands, bands.parts, bands.each};
}
Norm norm_of(const GroupNormShape& s) { return norm_of(s.n, s.m, s.c, s.c / s.groups, s.epsilon, 0); }
Norm norm_of(const BatchNormShape& s) { return norm_of(1, s.rows, s.c, 1, s.epsilon, s.momentum); }

// What is null is not there.
template <class T>
struct Arrays {
  const T *x, *dy;
  T* y;
  const float *gamma, *beta, *mean, *variance;
  float *dgamma, *dbeta, *moving_mean, *moving_variance;
  const PartStatistics* measured;
  int32_t clamped;

  __host__ __device__ bool is_summed() const { return !mean || dgamma || dbeta; }
};

size_t workspace_bytes(const Norm& s, bool measured) {
  const size_t channels = size_t(s.n * s.c);
  return (sizeof(ChannelSums) * (measured ? 1 : size_t(s.parts)) + sizeof(ChannelFactors) +
          2 * sizeof(float)) *
         channels;
}

// The sums of a block's channels over its rows, to [parts, n, c].
template <bool kAligned, bool kBackward, class T>
__global__ void __launch_bounds__(kThreads, 2)
    norm_sums(Bands bands, const T* x, const T* dy, int64_t channels, ChannelSums* sums) {
  constexpr int kWarps = kThreads / kWarp, kAtATime = kAligned ? 4 : 1, kMostAcross = 1 << kMostShift;
  __shared__ ChannelSums of_warp[kWarps][kMostAcross * kFour];
  const Band at = Band::of(bands);
  const int64_t sample = at.sample * bands.m * bands.c + at.channel, step = bands.down() * bands.c;
  float pivot[kFour];
  load_four<kAligned>(x + (at.count > 0 ? sample : 0), at.count, pivot);
  ChannelSums sum[kFour] = {};
  const T *from_x = x + sample + at.row * bands.c, *from_dy = dy + sample + at.row * bands.c;
  for (int64_t row = at.row; row < at.end; row += kAtATime * bands.down()) {
    float v[kAtATime][kFour], g[kAtATime][kFour] = {};
    FASTCNN_UNROLL
    for (int i = 0; i < kAtATime; ++i) {
      FASTCNN_UNROLL
      for (int e = 0; e < kFour; ++e) v[i][e] = pivot[e];
      if (row + i * bands.down() >= at.end) continue;
      load_four<kAligned>(from_x + i * step, at.count, v[i]);
      if (kBackward) load_four<kAligned>(from_dy + i * step, at.count, g[i]);
    }
    from_x += kAtATime * step, from_dy += kAtATime * step;
    FASTCNN_UNROLL
    for (int i = 0; i < kAtATime; ++i) {
      FASTCNN_UNROLL
      for (int e = 0; e < kFour; ++e) {
        const double d = double(v[i][e]) - double(pivot[e]), of_dy = double(g[i][e]);
        sum[e].first += d, sum[e].second = ::fma(d, d, sum[e].second);
        if (kBackward) sum[e].dy += of_dy, sum[e].product = ::fma(of_dy, d, sum[e].product);
      }
    }
  }
  const int warp = int(threadIdx.x) / kWarp, lane = int(threadIdx.x) % kWarp, across = bands.across();
  FASTCNN_UNROLL
  for (int e = 0; e < kFour; ++e) {
    for (int bits = across; bits < kWarp; bits *= 2) sum[e].add_lane(bits);
    if (lane < across) of_warp[warp][lane * kFour + e] = sum[e];
  }
  __syncthreads();
  const int64_t channel = at.channel + (int64_t(threadIdx.x) - (threadIdx.x & (across - 1)) * kFour);
  if (int(threadIdx.x) >= across * kFour || channel >= bands.c) return;
  ChannelSums all = of_warp[0][threadIdx.x];
  for (int w = 1; w < kWarps; ++w) all.add(of_warp[w][threadIdx.x]);
  sums[at.part * channels + at.sample * bands.c + channel] = all;
}

// The sums of a channel, all of them known to the first of the team.
template <class T, class At>
FASTCNN_INLINE ChannelSums add_up(T team, int64_t parts, bool backward, At at) {
  ChannelSums all = {0.0, 0.0, 0.0, 0.0};
  for (int64_t part = team.rank(); part < parts; part += team.kWidth) all.add(at(part));
  all.first = team.sum(all.first), all.second = team.sum(all.second);
  if (backward) all.dy = team.sum(all.dy), all.product = team.sum(all.product);
  return all;
}

// The channels of a group about the group's mean, by a team.
template <class T, class N>
FASTCNN_INLINE void statistics(T team, const Norm& s, const Arrays<N>& a, ChannelSums* sums,
                               ChannelFactors* factors, float* dgamma, float* dbeta, int64_t unit) {
  const int64_t groups = s.c / s.group, sample = unit / groups, first = (unit - sample * groups) * s.group;
  const int64_t channels = s.n * s.c;
  const N* const pivots = a.x + sample * s.m * s.c + first;
  ChannelSums* const of_group = sums + sample * s.c + first;
  if (a.measured || (s.parts > 1 && a.is_summed())) {
    for (int64_t i = 0; i < s.group; ++i) {
      const ChannelSums all =
          a.measured ? add_up(team, s.parts, false,
                              [&](int64_t part) {
                                const PartStatistics of = a.measured[part * s.c + first];
                                const int64_t row = part * s.each, left = s.m - row;
                                const double d = double(float(pivots[row * s.c])) - double(float(*pivots)) +
                                                 double(of.shift),
                                             count = double(left < s.each ? left : s.each);
                                return ChannelSums{count * d, count * d * d + double(of.square), 0.0, 0.0};
                              })
                     : add_up(team, s.parts, a.dy != nullptr,
                              [&](int64_t part) { return of_group[part * channels + i]; });
      if (team.rank() == 0) of_group[i] = all;
    }
    team.barrier();
  }
  const double rows = double(s.m), share = 1.0 / (rows * double(s.group));
  double mean = 0.0, square = 0.0, dy = 0.0, product = 0.0;
  if (a.mean) {
    mean = double(a.mean[first]);
  } else {
    for (int64_t i = team.rank(); i < s.group; i += team.kWidth)
      mean += rows * double(float(pivots[i])) + of_group[i].first;
    mean = team.sum(mean) * share;
  }
  if (a.is_summed()) {
    for (int64_t i = team.rank(); i < s.group; i += team.kWidth) {
      const ChannelSums of = of_group[i];
      const double e = double(float(pivots[i])) - mean, gamma = a.gamma ? double(a.gamma[first + i]) : 1.0;
      square += of.second + e * (2.0 * of.first + rows * e);
      if (!a.dy) continue;
      const double about_mean = of.product + e * of.dy;
      dy += gamma * of.dy, product += gamma * about_mean;
    }
    square = team.sum(square);
    if (a.dy) dy = team.sum(dy) * share, product = team.sum(product) * share;
  }
  const double variance = a.variance ? double(a.variance[first]) : (square < 0.0 ? 0.0 : square) * share;
  const double root = 1.0 / ::sqrt(variance + s.epsilon);
  if (a.moving_mean && team.rank() == 0) {
    a.moving_mean[first] = float(double(a.moving_mean[first]) * s.momentum + mean * (1.0 - s.momentum));
    a.moving_variance[first] =
        float(double(a.moving_variance[first]) * s.momentum + variance * (1.0 - s.momentum));
  }
  const float center = float(mean);
  const double rest = mean - double(center), slope = -root * root * root * product;
  for (int64_t i = team.rank(); i < s.group; i += team.kWidth) {
    const int64_t c = first + i;
    const double scale = (a.gamma ? double(a.gamma[c]) : 1.0) * root;
    const double offset =
        a.dy ? -root * dy - slope * rest : (a.beta ? double(a.beta[c]) : 0.0) - rest * scale;
    factors[sample * s.c + c] = a.dy && a.mean
                                    ? ChannelFactors{0.0f, float(scale), 0.0f, 0.0f}
                                    : ChannelFactors{center, float(scale), float(slope), float(offset)};
    if (!a.dy || !a.is_summed()) continue;
    const ChannelSums of = of_group[i];
    if (dbeta) dbeta[sample * s.c + c] = float(of.dy);
    if (dgamma)
      dgamma[sample * s.c + c] = float(root * (of.product + (double(float(pivots[i])) - mean) * of.dy));
  }
}

// y of the rows of a band, by the factors of its channels.
template <bool kAligned, bool kBackward, class T>
__global__ void __launch_bounds__(kThreads, 4)
    norm_map(Bands bands, const T* x, const T* dy, const ChannelFactors* factors, bool clamped, T* y) {
  constexpr int kAtATime = !kAligned ? 1 : kBackward ? 2 : 4;  // for four blocks on a multiprocessor
  const Band at = Band::of(bands);
  if (at.row >= at.end) return;
  ChannelFactors k[kFour] = {};
  FASTCNN_UNROLL
  for (int e = 0; e < kFour; ++e)
    if (e < at.count) k[e] = factors[at.sample * bands.c + at.channel + e];
  const int64_t step = bands.down() * bands.c;
  int64_t place = (at.sample * bands.m + at.row) * bands.c + at.channel;
  for (int64_t row = at.row; row < at.end; row += kAtATime * bands.down(), place += kAtATime * step) {
    float v[kAtATime][kFour] = {}, g[kAtATime][kFour] = {};
    FASTCNN_UNROLL
    for (int i = 0; i < kAtATime; ++i) {
      if (row + i * bands.down() >= at.end) continue;
      load_four<kAligned>(x + place + i * step, at.count, v[i]);
      if (kBackward) load_four<kAligned>(dy + place + i * step, at.count, g[i]);
    }
    FASTCNN_UNROLL
    for (int i = 0; i < kAtATime; ++i) {
      if (row + i * bands.down() >= at.end) continue;
      FASTCNN_UNROLL
      for (int e = 0; e < kFour; ++e) {
        const float d = v[i][e] - k[e].center;
        v[i][e] = kBackward ? fma(g[i][e], k[e].scale, fma(d, k[e].slope, k[e].offset))
                            : fma(d, k[e].scale, k[e].offset);
        if (!kBackward && clamped) v[i][e] = relu(v[i][e]);
      }
      store_four<kAligned>(y + place + i * step, at.count, v[i]);
    }
  }
}

template <class T>
void run_norm(const Norm& s, const Arrays<T>& a, Context& context) {
  if (s.bands.blocks == 0) return;
  const int64_t channels = s.n * s.c;
  const unsigned blocks = unsigned(s.bands.blocks);
  const cudaStream_t stream = stream_of(context);
  const bool fours = s.c % kFour == 0 && aligned_to_fours<T>({a.x, a.dy, a.y});
  auto* const sums = static_cast<ChannelSums*>(context.workspace);
  auto* const factors = reinterpret_cast<ChannelFactors*>(sums + (a.measured ? 1 : s.parts) * channels);
  float *dgamma = reinterpret_cast<float*>(factors + channels), *dbeta = dgamma + channels;
  if (a.is_summed() && !a.measured) {
    const auto sum = a.dy ? (fours ? norm_sums<true, true, T> : norm_sums<false, true, T>)
                          : (fours ? norm_sums<true, false, T> : norm_sums<false, false, T>);
    FASTCNN_LAUNCH(sum, blocks, kThreads, stream)(s.bands, a.x, a.dy ? a.dy : a.x, channels, sums);
  }
  for_each_row(
      context, s.n * (s.c / s.group), s.parts,
      [=] __device__(auto team, int64_t unit) {
        statistics(team, s, a, sums, factors, s.n == 1 ? a.dgamma : dgamma, s.n == 1 ? a.dbeta : dbeta, unit);
      },
      kFewParts);
  if (a.y) {
    // By given statistics dx is dy scale, whatever x: the map of a forward pass.
    const bool fixed = a.dy && a.mean;
    const auto map = a.dy && !fixed ? (fours ? norm_map<true, true, T> : norm_map<false, true, T>)
                                    : (fours ? norm_map<true, false, T> : norm_map<false, false, T>);
    FASTCNN_LAUNCH(map, blocks, kThreads, stream)
    (s.bands, fixed ? a.dy : a.x, a.dy, factors, a.clamped != 0, a.y);
  }
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
  s.parts = statistics_parts(s.m), s.each = kStatisticsRows;
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
