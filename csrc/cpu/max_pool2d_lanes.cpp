// SPDX-License-Identifier: Apache-2.0
// Max pooling with the batch in lanes, with the place of each maximum: x, dx [N / 16][C][H][W][16], y, dy,
// index [N / 16][C][P][Q][16]. Hands out the planes of kernels/lanes_pool.h.
#include "kernels/lanes_pool.h"
#include "lanes.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {
namespace {

bool supports(const Pool2dShape& s) {
  return s.n % kBatchLanes == 0 && windows_touch_image(s) && !s.adaptive && s.r * s.s <= 256;
}

// f(plane of x, plane of y) for each of them, as offsets in floats. A task is a part of the planes of a
// block.
template <class F>
void for_each_plane(Context& context, const Pool2dShape& s, F f) {
  const int64_t x = s.h * s.w * kBatchLanes, y = s.p * s.q * kBatchLanes;
  const int64_t parts = std::min(s.c, ceil_div(s.c * x, kChunk));
  parallel_for(*context.member, s.n / kBatchLanes * parts, [&](int64_t task) {
    const Range planes = part_of(s.c, parts, task % parts);
    for (int64_t c = planes.begin; c < planes.end; ++c) {
      const int64_t i = task / parts * s.c + c;
      f(i * x, i * y);
    }
  });
}

}  // namespace

bool supports_max_pool2d_fwd_index_lanes(const OpDescriptor& op) { return supports(op.max_pool2d_fwd_index); }
void prepare_max_pool2d_fwd_index_lanes(Prepared* p) {
  const Pool2dShape& s = p->op.max_pool2d_fwd_index;
  set_cost(p, pool2d_outputs(s) * s.r * s.s, 4 * pool2d_inputs(s) + 5 * pool2d_outputs(s));
  p->blocks = s.n / kBatchLanes;
}
void run_max_pool2d_fwd_index_lanes(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.max_pool2d_fwd_index;
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  uint8_t* index = static_cast<uint8_t*>(operands.out[1]);
  for_each_plane(context, s, [&](int64_t in, int64_t out) {
    kernels().lanes_pool->max_fwd({&s, x + in, y + out, index + out}, 0, s.p);
  });
}

bool supports_max_pool2d_bwd_index_lanes(const OpDescriptor& op) { return supports(op.max_pool2d_bwd_index); }
void prepare_max_pool2d_bwd_index_lanes(Prepared* p) {
  const Pool2dShape& s = p->op.max_pool2d_bwd_index;
  const int bytes = 5 + 4 * p->op.epilogue.relu_mask;
  set_cost(p, pool2d_outputs(s), 4 * pool2d_inputs(s) + bytes * pool2d_outputs(s));
  p->blocks = s.n / kBatchLanes;
}
void run_max_pool2d_bwd_index_lanes(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.max_pool2d_bwd_index;
  const float *dy = input(operands, 0), *y = p.op.epilogue.relu_mask ? input(operands, 2) : nullptr;
  const uint8_t* index = static_cast<const uint8_t*>(operands.in[1]);
  float* dx = output(operands, 0);
  for_each_plane(context, s, [&](int64_t in, int64_t out) {
    kernels().lanes_pool->max_bwd({&s, dy + out, index + out, y ? y + out : nullptr, dx + in});
  });
}

}  // namespace cpu
}  // namespace fastcnn
