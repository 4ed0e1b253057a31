// SPDX-License-Identifier: Apache-2.0
// Average and sum pooling with the batch in lanes, x [N / 16][C][H][W][16]: as many images of 16 channels go
// through the rows of pool2d.h. A window over a whole image, which those would take tap by tap, is a loop of
// its own (kernels/lanes_pool.h).
#include "kernels/lanes_pool.h"
#include "lanes.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {
namespace {

Pool2dShape in_lanes(Pool2dShape s) {
  s.n = s.n / kBatchLanes * s.c, s.c = kBatchLanes;
  return s;
}

bool supports(const Pool2dShape& s) { return s.n % kBatchLanes == 0 && windows_touch_image(s); }

bool is_whole(const Pool2dShape& s) {
  return s.p == 1 && s.q == 1 &&
         (s.adaptive ||
          (s.r == s.h && s.s == s.w && !s.pad_top && !s.pad_left && s.dilation_h == 1 && s.dilation_w == 1));
}

// f(plane) for each of them.
template <class F>
void for_each_plane(Context& context, const Pool2dShape& s, F f) {
  for_each_chunk(context, s.n, rows_per_chunk(s.h * s.w * kBatchLanes), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) f(plane);
  });
}

void prepare(Prepared* p, const Pool2dShape& s, int arrays) {
  const double inputs = pool2d_inputs(s), outputs = pool2d_outputs(s);
  set_cost(p, s.adaptive ? inputs : outputs * s.r * s.s, 4 * (arrays * inputs + outputs));
  p->blocks = s.n / kBatchLanes;
}

void run_fwd(const Pool2dShape& shape, Pooling kind, const Operands& operands, Context& context) {
  const Pool2dShape s = in_lanes(shape);
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  if (!is_whole(s)) return run_pool2d_fwd(s, kind, x, y, context);
  const int64_t pixels = s.h * s.w;
  const float divisor = kind == Pooling::kAverage ? static_cast<float>(pixels) : 1;
  for_each_plane(context, s, [&](int64_t plane) {
    kernels().lanes_pool->whole_fwd(
        {x + plane * pixels * kBatchLanes, nullptr, y + plane * kBatchLanes, pixels, divisor});
  });
}

void prepare_bwd(Prepared* p, const Pool2dShape& shape, Pooling kind) {
  const Pool2dShape s = in_lanes(shape);
  prepare(p, shape, 1 + p->op.epilogue.relu_mask);
  Bands& bands = state<Bands>(p);
  bands = pool2d_bands(s, kind);
  while (shape.c % bands.images) --bands.images;  // a task has no images of two blocks
  if (!is_whole(s)) p->scratch_bytes = bands.scratch_bytes;
}

void run_bwd(const Prepared& p, const Pool2dShape& shape, Pooling kind, const Operands& operands,
             Context& context) {
  const Pool2dShape s = in_lanes(shape);
  const float *dy = input(operands, 0), *mask = p.op.epilogue.relu_mask ? input(operands, 1) : nullptr;
  float* dx = output(operands, 0);
  if (!is_whole(s))
    return run_pool2d_bwd(s, kind, state<Bands>(p), {dy, mask, dx, p.op.epilogue.relu_mask}, context);
  const int64_t pixels = s.h * s.w;
  const float divisor = kind == Pooling::kAverage ? static_cast<float>(pixels) : 1;
  for_each_plane(context, s, [&](int64_t plane) {
    const int64_t at = plane * pixels * kBatchLanes;
    kernels().lanes_pool->whole_bwd(
        {dy + plane * kBatchLanes, mask ? mask + at : nullptr, dx + at, pixels, divisor});
  });
}

}  // namespace

#define FASTCNN_POOL2D(name, kind)                                                                           \
  bool supports_##name##_pool2d_fwd_lanes(const OpDescriptor& op) { return supports(op.name##_pool2d_fwd); } \
  bool supports_##name##_pool2d_bwd_lanes(const OpDescriptor& op) { return supports(op.name##_pool2d_bwd); } \
  void prepare_##name##_pool2d_fwd_lanes(Prepared* p) { prepare(p, p->op.name##_pool2d_fwd, 1); }            \
  void prepare_##name##_pool2d_bwd_lanes(Prepared* p) { prepare_bwd(p, p->op.name##_pool2d_bwd, kind); }     \
  void run_##name##_pool2d_fwd_lanes(const Prepared& p, const Operands& operands, Context& context) {        \
    run_fwd(p.op.name##_pool2d_fwd, kind, operands, context);                                                \
  }                                                                                                          \
  void run_##name##_pool2d_bwd_lanes(const Prepared& p, const Operands& operands, Context& context) {        \
    run_bwd(p, p.op.name##_pool2d_bwd, kind, operands, context);                                             \
  }
FASTCNN_POOL2D(average, Pooling::kAverage)
FASTCNN_POOL2D(sum, Pooling::kSum)
#undef FASTCNN_POOL2D

}  // namespace cpu
}  // namespace fastcnn
