// SPDX-License-Identifier: Apache-2.0
// Batches into lanes and back, x [N, pixels, C] and [ceil(N / 16)][C][pixels][16], and dropout there: its
// mask is drawn in the order of the samples, as that of channels-last is, and turned.
#include "lanes.h"

#include <cmath>

#include "kernels/random.h"

namespace fastcnn {
namespace cpu {
namespace {

// f(block, samples) for each block.
template <class F>
void for_each_lane_block(Context& context, int64_t n, F f) {
  parallel_for(*context.member, lane_blocks(n), [&](int64_t block) {
    f(block, static_cast<int32_t>(std::min<int64_t>(kBatchLanes, n - block * kBatchLanes)));
  });
}

void prepare_move(Prepared* p, const LanesShape& s) {
  const double count = 1.0 * s.n * s.pixels * s.c;
  set_cost(p, 0, 8 * count);
  p->blocks = lane_blocks(s.n);
}

}  // namespace

bool supports_to_lanes_transpose(const OpDescriptor&) { return true; }
void prepare_to_lanes_transpose(Prepared* p) { prepare_move(p, p->op.to_lanes); }
void run_to_lanes_transpose(const Prepared& p, const Operands& x, Context& context) {
  const LanesShape& s = p.op.to_lanes;
  for_each_lane_block(context, s.n, [&](int64_t block, int32_t samples) {
    const int64_t at = block * kBatchLanes * s.pixels * s.c;
    kernels().lanes->to_lanes({input(x, 0) + at, output(x, 0) + at, s.pixels, s.c, samples});
  });
}

bool supports_from_lanes_transpose(const OpDescriptor&) { return true; }
void prepare_from_lanes_transpose(Prepared* p) { prepare_move(p, p->op.from_lanes); }
void run_from_lanes_transpose(const Prepared& p, const Operands& x, Context& context) {
  const LanesShape& s = p.op.from_lanes;
  for_each_lane_block(context, s.n, [&](int64_t block, int32_t samples) {
    const int64_t at = block * kBatchLanes * s.pixels * s.c;
    kernels().lanes->from_lanes({input(x, 0) + at, output(x, 0) + at, s.pixels, s.c, samples});
  });
}

bool supports_dropout_lanes(const OpDescriptor& op) {
  const DropoutShape& s = op.dropout;
  return s.rate >= 0 && s.rate < 1 && s.count % (kBatchLanes * s.pixels * s.channels) == 0;
}
void prepare_dropout_lanes(Prepared* p) {
  const DropoutShape& s = p->op.dropout;
  const double count = double(s.count);
  set_cost(p, count, 8 * count);
  p->scratch_bytes = float_bytes(kBatchLanes * s.pixels * s.channels);
  p->blocks = s.count / (kBatchLanes * s.pixels * s.channels);
}
void run_dropout_lanes(const Prepared& p, const Operands& operands, Context& context) {
  const DropoutShape& s = p.op.dropout;
  Draw draw;
  draw.seed = context.scalars->seed;
  draw.step = context.scalars->step;
  draw.op = s.op;
  draw.threshold = uint32_t(std::ceil(double(s.rate) * (1 << 24)));
  const int64_t size = kBatchLanes * s.pixels * s.channels;
  for_each_lane_block(context, s.count / (s.pixels * s.channels), [&](int64_t block, int32_t samples) {
    float* const mask = static_cast<float*>(context.member->scratch(p.scratch_bytes));
    const int64_t at = block * size;
    kernels().random->mask(mask, at, at + size, draw);
    kernels().lanes->keep_where(
        {input(operands, 0) + at, output(operands, 0) + at, s.pixels, s.channels, samples}, mask,
        1.0f - s.rate);
  });
}

}  // namespace cpu
}  // namespace fastcnn
