// SPDX-License-Identifier: Apache-2.0
// Pooling of volumes x [N,D,H,W,C] to y [N,O,P,Q,C]. Max, sum and mean over a box are taken over its planes
// first, to [N,D,P,Q,C], and then over its depth, which is pooling of images of height D and width 1 with
// P Q C channels. The first greatest element of a box lies in the first plane whose maximum is the box's, so
// ties go where they should. Against one loop over whole boxes: T + R S taps instead of T R S. The gradient
// of maxima keeps where those of planes stand, and adds dy there: as two gradients, one after the other,
// it took 1.3 to 3.8 times as long, of boxes of 3 x 3 x 3 at each pixel just as long.
#include "kernels.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {

Pool2dShape planes_of(const Pool3dShape& s) {
  Pool2dShape v = {};
  v.n = s.n * s.d, v.h = s.h, v.w = s.w, v.c = s.c;
  v.r = s.r, v.s = s.s, v.p = s.p, v.q = s.q;
  v.stride_h = s.stride_h, v.stride_w = s.stride_w, v.dilation_h = s.dilation_h, v.dilation_w = s.dilation_w;
  v.pad_top = s.pad_top, v.pad_bottom = s.pad_bottom, v.pad_left = s.pad_left, v.pad_right = s.pad_right;
  v.adaptive = s.adaptive, v.count_include_pad = s.count_include_pad;
  return v;
}

namespace {

Pool2dShape depth_of(const Pool3dShape& s) {
  Pool2dShape v = {};
  v.n = s.n, v.h = s.d, v.w = 1, v.c = s.p * s.q * s.c;
  v.r = s.t, v.s = 1, v.p = s.o, v.q = 1;
  v.stride_h = s.stride_d, v.stride_w = 1, v.dilation_h = s.dilation_d, v.dilation_w = 1;
  v.pad_top = s.pad_front, v.pad_bottom = s.pad_back;
  v.adaptive = s.adaptive, v.count_include_pad = s.count_include_pad;
  return v;
}

struct Passes {
  Pool2dShape planes, depth;
  Bands plane_bands, depth_bands;
  int64_t reached;  // planes that a box reaches over, at most
  int64_t between;  // elements of what the first pass hands to the second
};

bool supports(const Pool3dShape& s) {
  return windows_touch_image(planes_of(s)) && windows_touch_image(depth_of(s));
}

// arrays: between the passes.
Passes& prepare(Prepared* p, const Pool3dShape& s, int arrays) {
  Passes& passes = state<Passes>(p);
  passes = {};
  passes.planes = planes_of(s), passes.depth = depth_of(s);
  passes.between = s.n * s.d * s.p * s.q * s.c;
  const double inputs = pool2d_inputs(passes.planes), outputs = pool2d_outputs(passes.depth);
  set_cost(p, s.adaptive ? inputs : outputs * s.t * s.r * s.s, 4 * (inputs + outputs));
  p->workspace_bytes = sizeof(float) * static_cast<size_t>(arrays * passes.between);
  return passes;
}

// Planes that a box reaches over, at most.
int64_t reached_planes(const Pool3dShape& s) {
  return std::min(s.d, s.adaptive ? ceil_div(s.d, s.o) + 1 : (s.t - 1) * s.dilation_d + 1);
}

// Some planes of dx at a time. Planes across the edge of such a band are searched on both sides: bands well
// above the depth of a box, but of few volumes less, for enough of them.
int64_t planes_of_max_band(const Pool3dShape& s) {
  const int64_t reached = reached_planes(s), stride = s.adaptive ? 1 : s.stride_d;
  const int64_t least = stride >= reached ? stride : (s.n < 8 ? 2 : 4) * reached;
  return ceil_div(std::max(rows_per_chunk(s.h * s.w * s.c), least), stride) * stride;
}

// Places are counted from the first plane that a band's boxes reach over.
bool supports_max_bwd(const Pool3dShape& s) {
  const int64_t planes = std::min(s.d, planes_of_max_band(s) + 2 * reached_planes(s));
  return supports(s) && places_fit(planes * s.h, s.w, s.c);
}

void prepare_max_bwd(Prepared* p, const Pool3dShape& s) {
  Passes& passes = prepare(p, s, 0);
  p->bytes += 4 * pool2d_inputs(passes.planes);
  passes.reached = reached_planes(s);
  passes.depth_bands.rows = planes_of_max_band(s);
  const int64_t lines = 2 * passes.reached * (passes.depth.c + kRest);
  p->scratch_bytes =
      sizeof(float) * static_cast<size_t>(lines + max_places_floats(max_places(passes.planes, false)));
}

void run_max_bwd(const Prepared& p, const Operands& operands, Context& context) {
  const Passes& passes = state<Passes>(p);
  const Pool2dShape& depth = passes.depth;
  const MaxDepthBwd bwd = {max_places(passes.planes, false),
                           &depth,
                           passes.reached,
                           input(operands, 0),
                           input(operands, 1),
                           output(operands, 0),
                           p.op.epilogue.relu_mask};
  float* scratch = static_cast<float*>(context.member->scratch(p.scratch_bytes));
  const int64_t rows = passes.depth_bands.rows, count = ceil_div(depth.h, rows);
  parallel_for(*context.member, depth.n * count, [&](int64_t task) {
    const int64_t begin = task % count * rows;
    kernels().max_pool_bwd->depth(bwd, {task / count, begin, std::min(begin + rows, depth.h), scratch});
  });
}

void prepare_bwd(Prepared* p, const Pool3dShape& s, Pooling kind) {
  if (kind == Pooling::kMax) return prepare_max_bwd(p, s);
  Passes& passes = prepare(p, s, 1);
  if (p->op.epilogue.relu_mask) p->bytes += 4 * pool2d_inputs(passes.planes);
  passes.plane_bands = pool2d_bands(passes.planes, kind);
  passes.depth_bands = pool2d_bands(passes.depth, kind);
  const size_t a = passes.plane_bands.scratch_bytes, b = passes.depth_bands.scratch_bytes;
  p->scratch_bytes = a > b ? a : b;
}

void run_fwd(const Prepared& p, Pooling kind, const Operands& operands, Context& context) {
  const Passes& passes = state<Passes>(p);
  float* between = static_cast<float*>(context.workspace);
  run_pool2d_fwd(passes.planes, kind, input(operands, 0), between, context);
  run_pool2d_fwd(passes.depth, kind, between, output(operands, 0), context);
}

void run_bwd(const Prepared& p, Pooling kind, const Operands& operands, Context& context) {
  if (kind == Pooling::kMax) return run_max_bwd(p, operands, context);
  const Passes& passes = state<Passes>(p);
  float* d_between = static_cast<float*>(context.workspace);
  const PoolGradient depth = {input(operands, 0), nullptr, d_between, 0};
  run_pool2d_bwd(passes.depth, kind, passes.depth_bands, depth, context);
  const float* mask = p.op.epilogue.relu_mask ? input(operands, 1) : nullptr;
  const PoolGradient planes = {d_between, mask, output(operands, 0), p.op.epilogue.relu_mask};
  run_pool2d_bwd(passes.planes, kind, passes.plane_bands, planes, context);
}

}  // namespace

#define FASTCNN_POOL3D(name, kind)                                                                           \
  bool supports_##name##_pool3d_fwd_separable(const OpDescriptor& op) {                                      \
    return supports(op.name##_pool3d_fwd);                                                                   \
  }                                                                                                          \
  bool supports_##name##_pool3d_bwd_separable(const OpDescriptor& op) {                                      \
    const Pool3dShape& s = op.name##_pool3d_bwd;                                                             \
    return kind == Pooling::kMax ? supports_max_bwd(s) : supports(s);                                        \
  }                                                                                                          \
  void prepare_##name##_pool3d_fwd_separable(Prepared* p) { prepare(p, p->op.name##_pool3d_fwd, 1); }        \
  void prepare_##name##_pool3d_bwd_separable(Prepared* p) { prepare_bwd(p, p->op.name##_pool3d_bwd, kind); } \
  void run_##name##_pool3d_fwd_separable(const Prepared& p, const Operands& operands, Context& context) {    \
    run_fwd(p, kind, operands, context);                                                                     \
  }                                                                                                          \
  void run_##name##_pool3d_bwd_separable(const Prepared& p, const Operands& operands, Context& context) {    \
    run_bwd(p, kind, operands, context);                                                                     \
  }
FASTCNN_POOL3D(max, Pooling::kMax)
FASTCNN_POOL3D(average, Pooling::kAverage)
FASTCNN_POOL3D(sum, Pooling::kSum)
#undef FASTCNN_POOL3D

bool supports_max_pool3d_with_index_separable(const OpDescriptor& op) {
  const Pool3dShape& s = op.max_pool3d_with_index;
  return supports(s) && places_fit(s.d, s.h, s.w);
}
void prepare_max_pool3d_with_index_separable(Prepared* p) {
  const Passes& passes = prepare(p, p->op.max_pool3d_with_index, 2);
  p->bytes += 4 * pool2d_outputs(passes.depth);
  p->scratch_bytes =
      std::max(max_pool2d_with_index_scratch(passes.planes), max_pool2d_with_index_scratch(passes.depth));
}
// The place in the plane of each plane's maximum; which plane; and from both the place in the volume.
void run_max_pool3d_with_index_separable(const Prepared& p, const Operands& operands, Context& context) {
  const Passes& passes = state<Passes>(p);
  const Pool2dShape &planes = passes.planes, &depth = passes.depth;
  float* between = static_cast<float*>(context.workspace);
  auto* in_plane = reinterpret_cast<int32_t*>(between + passes.between);
  auto* index = static_cast<int32_t*>(operands.out[1]);
  run_max_pool2d_with_index(planes, input(operands, 0), between, in_plane, context);
  run_max_pool2d_with_index(depth, between, output(operands, 0), index, context);
  const auto pixels = static_cast<int32_t>(planes.h * planes.w);
  for_each_chunk(context, depth.n * depth.p, rows_per_chunk(depth.c), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int32_t* plane = in_plane + row / depth.p * depth.h * depth.c;
      for (int64_t i = 0; i < depth.c; ++i) {
        int32_t& place = index[row * depth.c + i];
        place = place * pixels + plane[place * depth.c + i];
      }
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
