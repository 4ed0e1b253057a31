// SPDX-License-Identifier: Apache-2.0
// Batch norm in training with the batch in lanes, x [N / 16][C][pixels][16]: each lane of a plane is a column
// of kernels/channel_norm.h. Three phases: sums of the planes; from them the factors of each channel; the
// map. The lanes of the last block that hold no sample are left out of the sums, and are mapped to 0, so that
// gradients there stay 0.
#include "kernels/channel_norm.h"
#include "lanes.h"

namespace fastcnn {
namespace cpu {
namespace {

constexpr int kFactors = 4;
constexpr int64_t kStatisticsSamples = 1024;  // that a task adds up: a few microseconds

struct LanesNorm {
  int64_t n, pixels, c, blocks, parts;  // parts: of the channels, for the tasks of a block
  int64_t empty;                        // lanes of the last block
  int64_t arrays;                       // of sums
};

LanesNorm plan(const OpDescriptor& op, const BatchNormShape& s, int arrays) {
  LanesNorm d = {};
  d.n = op.samples, d.c = s.c, d.arrays = arrays;
  d.blocks = lane_blocks(d.n), d.empty = d.blocks * kBatchLanes - d.n;
  d.pixels = s.rows / (d.blocks * kBatchLanes);
  d.parts = std::min(d.c, ceil_div(d.c * d.pixels * kBatchLanes, kChunk));
  return d;
}

struct Arrays {
  const float *x, *dy, *gamma, *beta;  // dy: of a backward pass
  float *y, *dgamma, *dbeta, *moving_mean, *moving_variance;
  Activation activation;
};

// Of a channel in all blocks, or in the last one, some of whose lanes may be empty.
ChannelFactors factors_of(const LanesNorm& d, float* factors, int64_t channel, bool last) {
  float* const at = factors + (2 * channel + (last && d.empty)) * kFactors * kBatchLanes;
  return {at, at + kBatchLanes, at + 2 * kBatchLanes, at + 3 * kBatchLanes};
}

// The lanes of a channel are as many channels of one group, which share their statistics.
void find_factors(const LanesNorm& d, const BatchNormShape& shape, const Arrays& a, const float* sums,
                  float* factors, int64_t channel) {
  const auto of_channel = [&](auto* p) { return p ? p + channel : nullptr; };
  float gamma[kBatchLanes], beta[kBatchLanes], dgamma[kBatchLanes], dbeta[kBatchLanes];
  ChannelStatistics s = {};
  s.backward = a.dy != nullptr;
  s.sums = sums + channel * d.blocks * d.arrays * kBatchLanes;
  s.blocks = d.blocks, s.height = d.pixels, s.rows = d.blocks * d.pixels;
  s.width = s.c = s.group = s.end = kBatchLanes, s.missing = d.empty;
  std::fill_n(gamma, kBatchLanes, a.gamma ? a.gamma[channel] : 1.0f);
  std::fill_n(beta, kBatchLanes, a.beta ? a.beta[channel] : 0.0f);
  s.gamma = gamma, s.beta = beta;
  s.epsilon = shape.epsilon, s.momentum = shape.momentum;
  s.moving_mean = of_channel(a.moving_mean), s.moving_variance = of_channel(a.moving_variance);
  s.factors = factors_of(d, factors, channel, false);
  s.dgamma = a.dgamma ? dgamma : nullptr, s.dbeta = a.dbeta ? dbeta : nullptr;
  kernels().channel_norm->statistics(s);
  const auto sum = [](const float* lanes) {
    double total = 0;
    for (int i = 0; i < kBatchLanes; ++i) total += double(lanes[i]);
    return float(total);
  };
  if (a.dgamma) a.dgamma[channel] = sum(dgamma);
  if (a.dbeta) a.dbeta[channel] = sum(dbeta);
  if (!d.empty) return;
  float* const last = factors_of(d, factors, channel, true).center;
  std::copy_n(s.factors.center, kFactors * kBatchLanes, last);
  for (int i = 0; i < kFactors; ++i) std::fill_n(last + (i + 1) * kBatchLanes - d.empty, d.empty, 0.0f);
}

void run(const LanesNorm& d, const BatchNormShape& shape, const Arrays& a, Context& context) {
  const ChannelNormKernels& k = *kernels().channel_norm;
  const int64_t plane = d.pixels * kBatchLanes;
  float* const sums = static_cast<float*>(context.workspace);
  float* const factors = sums + d.c * d.blocks * d.arrays * kBatchLanes;
  // f(block, channel): a task is a part of the channels of a block.
  const auto for_each_plane = [&](auto f) {
    parallel_for(*context.member, d.blocks * d.parts, [&](int64_t task) {
      const Range channels = part_of(d.c, d.parts, task % d.parts);
      for (int64_t c = channels.begin; c < channels.end; ++c) f(task / d.parts, c);
    });
  };
  for_each_plane([&](int64_t block, int64_t c) {
    const int64_t from = (block * d.c + c) * plane;
    float* const to = sums + (c * d.blocks + block) * d.arrays * kBatchLanes;
    ChannelTile tile = {};
    tile.x = a.x + from, tile.dy = a.dy ? a.dy + from : nullptr;
    tile.rows = d.pixels, tile.pitch = kBatchLanes;
    tile.cols = kBatchLanes - (block + 1 == d.blocks ? d.empty : 0);
    const ChannelSums at = {to, to + kBatchLanes, to + 2 * kBatchLanes, to + 3 * kBatchLanes,
                            to + 4 * kBatchLanes};
    (a.dy ? k.sums_bwd : k.sums_fwd)(tile, at);
  });
  for_each_chunk(context, d.c, ceil_div(kStatisticsSamples, d.n), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) find_factors(d, shape, a, sums, factors, c);
  });
  if (!a.y) return;
  const auto map = a.dy                                  ? k.apply_bwd
                   : a.activation == Activation::kRelu   ? k.apply_relu
                   : a.activation == Activation::k_relu6 ? k.apply_relu6
                                                         : k.apply_fwd;
  for_each_plane([&](int64_t block, int64_t c) {
    const int64_t at = (block * d.c + c) * plane;
    const ChannelFactors of = factors_of(d, factors, c, block + 1 == d.blocks);
    map({a.x + at, a.dy ? a.dy + at : nullptr, a.y + at, d.pixels, kBatchLanes, 0, of});
  });
}

bool supports(const Epilogue& e) {
  const bool known = e.activation == Activation::kNone || e.activation == Activation::kRelu ||
                     e.activation == Activation::k_relu6;
  return known && !e.bias && !e.relu_mask && !e.residual;
}

void prepare(Prepared* p, const BatchNormShape& s, int arrays, double flops, double passes) {
  const LanesNorm d = state<LanesNorm>(p) = plan(p->op, s, arrays);
  const double count = double(s.rows) * double(s.c);
  set_cost(p, flops * count, passes * sizeof(float) * count);
  p->workspace_bytes = float_bytes(d.c * (d.blocks * arrays + 2 * kFactors) * kBatchLanes);
}

}  // namespace

bool supports_batch_norm_fwd_lanes(const OpDescriptor& op) { return supports(op.epilogue); }
void prepare_batch_norm_fwd_lanes(Prepared* p) { prepare(p, p->op.batch_norm_fwd, kForwardSums, 6, 3); }
void run_batch_norm_fwd_lanes(const Prepared& p, const Operands& o, Context& context) {
  Arrays a = {};
  a.x = input(o, 0), a.gamma = input(o, 1), a.beta = input(o, 2);
  a.y = output(o, 0), a.moving_mean = output(o, 1), a.moving_variance = output(o, 2);
  a.activation = p.op.epilogue.activation;
  run(state<LanesNorm>(p), p.op.batch_norm_fwd, a, context);
}

bool supports_batch_norm_bwd_lanes(const OpDescriptor& op) {
  return supports(op.epilogue) && op.epilogue.activation == Activation::kNone;
}
void prepare_batch_norm_bwd_lanes(Prepared* p) { prepare(p, p->op.batch_norm_bwd, kBackwardSums, 12, 5); }
void run_batch_norm_bwd_lanes(const Prepared& p, const Operands& o, Context& context) {
  Arrays a = {};
  a.dy = input(o, 0), a.x = input(o, 1), a.gamma = input(o, 2);
  a.y = output(o, 0), a.dgamma = output(o, 1), a.dbeta = output(o, 2);
  run(state<LanesNorm>(p), p.op.batch_norm_bwd, a, context);
}

}  // namespace cpu
}  // namespace fastcnn
