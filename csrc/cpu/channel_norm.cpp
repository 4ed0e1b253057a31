// SPDX-License-Identifier: Apache-2.0
// Batch and group norm (instance norm is a group for each channel) of x [n, m, c]: batch norm is n = 1. Three
// phases: sums of tiles into the workspace; from them the factors of each sample and channel; the map. Large
// samples are read twice, x and in a backward pass dy. A backward pass takes the statistics anew from x, in
// the same pass in which it sums dy: nothing is saved by the forward pass, and the mean is not rounded in
// between.
#include "kernels/channel_norm.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int64_t kFold = kChannelLine;  // columns: twice as many are twice as many sums
constexpr int64_t kStrip = 16;           // channels of a task
constexpr int64_t kColumns = 256;        // of a tile: 1 KB of each row
constexpr int64_t kFewRows = 32;         // no more pixels to a row than leave so many rows
constexpr int kFactors = 4;
// A sample up to here goes through all phases at once, x and dy read once from memory: elements. One that
// would be large for a core's own cache does so where there are enough of them for many threads.
constexpr int64_t kNearSample = 65536, kFarSample = 4 * kNearSample, kManySamples = 16;

// From here on x is not found in the caches: with less, asking for lines ahead cost up to a fifth, with 14 MB
// it halved the time.
constexpr double kFarBytes = 12 << 20;

int64_t power_of_two_to(int64_t most) {
  int64_t p = 1;
  while (2 * p <= most) p *= 2;
  return p;
}
int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

struct Blocking {
  int64_t n, m, c, group;
  int64_t width, rows, tail;  // fold pixels of c channels; such rows of a sample; pixels left over
  int64_t height, blocks;     // rows of a tile, tiles of a sample
  int64_t sums;               // floats of a sample
  int32_t stream;             // y or dx goes past the caches
  int32_t ahead;              // x lies in memory, so that its next lines are asked for
  double epsilon, momentum;
};

Blocking blocking(const GroupNormShape& s, int arrays) {
  Blocking b{};
  b.n = s.n, b.m = s.m, b.c = s.c, b.group = s.c / s.groups;
  b.epsilon = s.epsilon;
  // Powers of two: a pivot is then an exact mean of whole numbers more often.
  const int64_t fold = power_of_two_to(most(1, least(kFold / s.c, s.m / kFewRows)));
  b.width = fold * s.c;
  b.rows = s.m / fold, b.tail = s.m % fold;
  b.height = power_of_two_to(kChunk / least(b.width, kColumns));
  b.blocks = ceil_div(b.rows, b.height);
  b.sums = arrays * b.blocks * b.width;
  const double count = double(b.n) * double(b.m) * double(b.c);
  b.ahead = sizeof(float) * count >= kFarBytes;
  b.stream = streams(count);
  return b;
}

GroupNormShape as_group(const BatchNormShape& s) { return {1, s.rows, s.c, s.c, s.epsilon}; }

// Operands; what is null is not there.
struct Arrays {
  const float *x, *dy, *gamma, *beta, *mean, *variance, *residual;
  float *y, *dgamma, *dbeta, *moving_mean, *moving_variance;
  Activation activation;
};

// The parts of the workspace.
struct Parts {
  float *sums, *factors, *dgamma, *dbeta;
  Parts(const Blocking& b, void* workspace) {
    sums = static_cast<float*>(workspace);
    factors = sums + b.n * b.sums;
    dgamma = factors + kFactors * b.n * b.width;
    dbeta = dgamma + b.n * b.c;
  }
};

size_t workspace_bytes(const Blocking& b, bool backward) {
  const int64_t gradients = backward && b.n > 1 ? 2 * b.n * b.c : 0;
  return sizeof(float) * size_t(b.n * b.sums + kFactors * b.n * b.width + gradients);
}

ChannelFactors factors_of(const Blocking& b, const Parts& parts, int64_t sample) {
  float* at = parts.factors + kFactors * sample * b.width;
  return {at, at + b.width, at + 2 * b.width, at + 3 * b.width};
}

// The phases, each as a function of one of its units: sample * units of a sample + unit.
struct Norm {
  const Blocking& b;
  const Arrays& a;
  const Parts parts;
  const ChannelNormKernels& k;

  int64_t column_strips() const { return ceil_div(b.width, kColumns); }
  int64_t tiles() const { return b.blocks * column_strips(); }
  bool sums() const { return !a.mean || a.dgamma || a.dbeta; }

  void sum_tile(int64_t unit) const {
    const int64_t arrays = a.dy ? kBackwardSums : kForwardSums, strips = column_strips();
    const int64_t sample = unit / tiles(), block = unit % tiles() / strips, column = unit % strips * kColumns;
    const int64_t row = block * b.height, from = sample * b.m * b.c + row * b.width + column;
    float* to = parts.sums + sample * b.sums + block * arrays * b.width + column;
    ChannelTile tile = {};
    tile.x = a.x + from, tile.dy = a.dy ? a.dy + from : nullptr;
    tile.rows = least(b.height, b.rows - row), tile.cols = least(kColumns, b.width - column);
    tile.pitch = b.width;
    if (block + 1 == b.blocks) tile.tail = most(0, least(tile.cols, b.tail * b.c - column));
    if (b.ahead && unit + 1 < b.n * tiles())
      tile.next = column + kColumns < b.width ? kColumns : tile.rows * b.width - column;
    const ChannelSums sums = {to, to + b.width, to + 2 * b.width, to + 3 * b.width, to + 4 * b.width};
    (a.dy ? k.sums_bwd : k.sums_fwd)(tile, sums);
  }

  int64_t strip_width() const {
    return b.width > b.c ? b.c : most(1, (b.n > 1 ? kChannelLine : kStrip) / b.group) * b.group;
  }
  int64_t strips() const { return ceil_div(b.c, strip_width()); }

  void find_statistics(int64_t unit) const {
    const int64_t sample = unit / strips();
    const bool alone = b.n == 1;
    ChannelStatistics s{};
    s.backward = a.dy != nullptr;
    s.sums = parts.sums + sample * b.sums;
    s.blocks = b.blocks, s.height = b.height, s.rows = b.rows;
    s.width = b.width, s.c = b.c, s.group = b.group;
    s.tail = b.tail * b.c;
    s.begin = unit % strips() * strip_width(), s.end = least(s.begin + strip_width(), b.c);
    s.gamma = a.gamma, s.beta = a.beta, s.mean = a.mean, s.variance = a.variance;
    s.epsilon = b.epsilon, s.momentum = b.momentum;
    s.moving_mean = a.moving_mean, s.moving_variance = a.moving_variance;
    s.factors = factors_of(b, parts, sample);
    if (a.dgamma) s.dgamma = alone ? a.dgamma : parts.dgamma + sample * b.c;
    if (a.dbeta) s.dbeta = alone ? a.dbeta : parts.dbeta + sample * b.c;
    k.statistics(s);
  }

  int64_t map_height() const { return rows_per_chunk(b.width); }
  int64_t map_blocks() const { return most(1, ceil_div(b.rows, map_height())); }

  void map(int64_t unit) const {
    const bool fixed = a.dy && a.mean;  // dx is a multiple of dy
    const auto run = !fixed && a.dy                        ? k.apply_bwd
                     : a.activation == Activation::kRelu   ? k.apply_relu
                     : a.activation == Activation::k_relu6 ? k.apply_relu6
                                                           : k.apply_fwd;
    const float* x = fixed ? a.dy : a.x;
    const int64_t sample = unit / map_blocks(), row = unit % map_blocks() * map_height();
    const int64_t rows = least(map_height(), b.rows - row);
    const int64_t at = sample * b.m * b.c + row * b.width, tail = at + rows * b.width;
    const ChannelFactors factors = factors_of(b, parts, sample);
    const auto run_from = [&](int64_t i, int64_t count, int64_t cols, int32_t stream) {
      run({x + i, a.dy ? a.dy + i : nullptr, a.y + i, count, cols, stream, factors,
           a.residual ? a.residual + i : nullptr});
    };
    run_from(at, rows, b.width, b.stream);
    if (b.tail && row + rows == b.rows) run_from(tail, 1, b.tail * b.c, 0);
  }

  // All phases of one sample, which a cache holds meanwhile.
  void whole_sample(int64_t i) const {
    if (sums())
      for (int64_t unit = 0; unit < tiles(); ++unit) sum_tile(i * tiles() + unit);
    for (int64_t unit = 0; unit < strips(); ++unit) find_statistics(i * strips() + unit);
    if (!a.y) return;
    for (int64_t unit = 0; unit < map_blocks(); ++unit) map(i * map_blocks() + unit);
  }
};

// f(unit) for units too small to be a task each.
template <class F>
void for_each_unit(Context& context, int64_t units, int64_t elements, F f) {
  for_each_chunk(context, units, most(1, kChunk / elements), [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) f(unit);
  });
}

void run_phases(const Norm& norm, Context& context) {
  const Blocking& b = norm.b;
  if (b.n > 1 && b.m * b.c <= (b.n < kManySamples ? kNearSample : kFarSample))
    return for_each_unit(context, b.n, b.m * b.c, [&](int64_t i) { norm.whole_sample(i); });
  if (norm.sums())
    for_each_unit(context, b.n * norm.tiles(), least(b.height, most(1, b.rows)) * least(b.width, kColumns),
                  [&](int64_t unit) { norm.sum_tile(unit); });
  // Each sum is converted twice to double precision and takes the time of several elements.
  const int64_t sums = (b.blocks * (b.width / b.c) + 1) * norm.strip_width();
  for_each_unit(context, b.n * norm.strips(), 4 * sums, [&](int64_t unit) { norm.find_statistics(unit); });
  // In the order of the sums: each member maps what it has summed, and the next step finds it in the same
  // core's cache. Backwards, what was summed last being near, two threads took 1.03 to 1.5 times as long, and
  // backwards within the share of each 1.0 to 1.4 times.
  if (norm.a.y)
    for_each_unit(context, b.n * norm.map_blocks(), least(norm.map_height(), b.rows + 1) * b.width,
                  [&](int64_t unit) { norm.map(unit); });
}

// The sum over the samples.
void sum_samples(const Blocking& b, const float* from, float* to, Context& context) {
  for_each_chunk(context, b.c, kStrip, [&](int64_t begin, int64_t end) {
    double sums[kStrip] = {};
    for (int64_t sample = 0; sample < b.n; ++sample)
      for (int64_t c = begin; c < end; ++c) sums[c - begin] += double(from[sample * b.c + c]);
    for (int64_t c = begin; c < end; ++c) to[c] = float(sums[c - begin]);
  });
}

void run_norm(const Blocking& b, const Arrays& a, Context& context) {
  const Norm norm = {b, a, Parts(b, context.workspace), *kernels().channel_norm};
  run_phases(norm, context);
  if (b.n == 1) return;
  if (a.dgamma) sum_samples(b, norm.parts.dgamma, a.dgamma, context);
  if (a.dbeta) sum_samples(b, norm.parts.dbeta, a.dbeta, context);
}

bool plain(const Epilogue& e) {
  return !e.bias && !e.relu_mask && !e.residual && e.activation == Activation::kNone;
}
bool plain_or_relu(Epilogue e) {
  if (e.activation == Activation::kRelu || e.activation == Activation::k_relu6)
    e.activation = Activation::kNone;
  return plain(e);
}

void prepare(Prepared* p, const Blocking& b, double flops, double passes) {
  const double count = double(b.n) * double(b.m) * double(b.c);
  set_cost(p, flops * count, passes * sizeof(float) * count);
  state<Blocking>(p) = b;
}

void prepare_batch(Prepared* p, const BatchNormShape& s, int arrays, double flops, double passes) {
  Blocking b = blocking(as_group(s), arrays);
  b.momentum = s.momentum;
  prepare(p, b, flops, passes);
  p->workspace_bytes = workspace_bytes(b, false);
}

}  // namespace

bool supports_batch_norm_fwd_channels(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.residual = 0;
  return plain_or_relu(e);
}
void prepare_batch_norm_fwd_channels(Prepared* p) {
  prepare_batch(p, p->op.batch_norm_fwd, kForwardSums, 6, p->op.epilogue.residual ? 4 : 3);
}
void run_batch_norm_fwd_channels(const Prepared& p, const Operands& o, Context& context) {
  Arrays a{};
  a.x = input(o, 0), a.gamma = input(o, 1), a.beta = input(o, 2);
  a.residual = p.op.epilogue.residual ? input(o, 4) : nullptr;
  a.y = output(o, 0), a.moving_mean = output(o, 1), a.moving_variance = output(o, 2);
  a.activation = p.op.epilogue.activation;
  run_norm(state<Blocking>(p), a, context);
}

bool supports_batch_norm_infer_channels(const OpDescriptor& op) { return plain_or_relu(op.epilogue); }
void prepare_batch_norm_infer_channels(Prepared* p) { prepare_batch(p, p->op.batch_norm_infer, 0, 3, 2); }
void run_batch_norm_infer_channels(const Prepared& p, const Operands& o, Context& context) {
  Arrays a{};
  a.x = input(o, 0), a.mean = input(o, 1), a.variance = input(o, 2), a.gamma = input(o, 3),
  a.beta = input(o, 4);
  a.y = output(o, 0);
  a.activation = p.op.epilogue.activation;
  run_norm(state<Blocking>(p), a, context);
}

bool supports_batch_norm_bwd_channels(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_batch_norm_bwd_channels(Prepared* p) {
  prepare_batch(p, p->op.batch_norm_bwd, kBackwardSums, 12, 5);
}
void run_batch_norm_bwd_channels(const Prepared& p, const Operands& o, Context& context) {
  Arrays a{};
  a.dy = input(o, 0), a.x = input(o, 1), a.gamma = input(o, 2);
  a.y = output(o, 0), a.dgamma = output(o, 1), a.dbeta = output(o, 2);
  run_norm(state<Blocking>(p), a, context);
}

bool supports_batch_norm_infer_bwd_channels(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_batch_norm_infer_bwd_channels(Prepared* p) {
  prepare_batch(p, p->op.batch_norm_infer_bwd, kBackwardSums, 5, 4);
}
void run_batch_norm_infer_bwd_channels(const Prepared& p, const Operands& o, Context& context) {
  Arrays a{};
  a.dy = input(o, 0), a.x = input(o, 1), a.mean = input(o, 2), a.variance = input(o, 3),
  a.gamma = input(o, 4);
  a.y = output(o, 0), a.dgamma = output(o, 1), a.dbeta = output(o, 2);
  run_norm(state<Blocking>(p), a, context);
}

bool supports_group_norm_fwd_channels(const OpDescriptor& op) { return plain_or_relu(op.epilogue); }
void prepare_group_norm_fwd_channels(Prepared* p) {
  const Blocking b = blocking(p->op.group_norm_fwd, kForwardSums);
  prepare(p, b, 6, 3);
  p->workspace_bytes = workspace_bytes(b, false);
}
void run_group_norm_fwd_channels(const Prepared& p, const Operands& o, Context& context) {
  Arrays a{};
  a.x = input(o, 0), a.gamma = input(o, 1), a.beta = input(o, 2);
  a.y = output(o, 0);
  a.activation = p.op.epilogue.activation;
  run_norm(state<Blocking>(p), a, context);
}

bool supports_group_norm_bwd_channels(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_group_norm_bwd_channels(Prepared* p) {
  const Blocking b = blocking(p->op.group_norm_bwd, kBackwardSums);
  prepare(p, b, 12, 5);
  p->workspace_bytes = workspace_bytes(b, true);
}
void run_group_norm_bwd_channels(const Prepared& p, const Operands& o, Context& context) {
  Arrays a{};
  a.dy = input(o, 0), a.x = input(o, 1), a.gamma = input(o, 2);
  a.y = output(o, 0), a.dgamma = output(o, 1), a.dbeta = output(o, 2);
  run_norm(state<Blocking>(p), a, context);
}

}  // namespace cpu
}  // namespace fastcnn
