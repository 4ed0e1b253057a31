// SPDX-License-Identifier: Apache-2.0
// Convolution of volumes, channels-last, all three passes, as two-dimensional convolutions of frames:
//
//   y[n,z,p,q,k] = sum over t of conv2d(x[n, z stride + t dilation - pad], w[t])[p,q,k]
//
// A block of frames is unfolded: the frames that one output frame meets become the channels of one image,
// [frames][H][W][groups][T][C/groups], zeros for frames beyond the volume. One conv2d step with T times the
// channels, and with weights in that order, does the rest, so the sum over t stays in its registers and the
// epilogue is its own. dgrad is the same over dy, phase by phase as in correlation.h; phases leave their
// frames apart, so their results are copied to their places. Where a kernel one frame deep meets every frame
// there is nothing to unfold, and the frames of all volumes are the images of one conv2d.
#include <cstring>

#include "blocking.h"
#include "cpu.h"

namespace fastcnn {
namespace cpu {
namespace {

// Unfolded frames of a block: enough work for a step of its own, and not so much that they leave the cache,
// unless the weights, which every step packs again, are large.
constexpr int64_t kBlockFloats = 1 << 20, kMostFloats = 16 << 20;

const Conv3dShape& shape_of(const OpDescriptor& op) {
  return op.step == Step::k_conv3d_fprop   ? op.conv3d_fprop
         : op.step == Step::k_conv3d_dgrad ? op.conv3d_dgrad
                                           : op.conv3d_wgrad;
}

// The conv2d step of the same pass.
OpDescriptor step_of(const OpDescriptor& op, const Conv2dShape& frame) {
  OpDescriptor inner = {};
  inner.math = op.math, inner.precision = op.precision, inner.epilogue = op.epilogue;
  if (op.step == Step::k_conv3d_fprop)
    inner.step = Step::k_conv2d_fprop, inner.conv2d_fprop = frame;
  else if (op.step == Step::k_conv3d_dgrad)
    inner.step = Step::k_conv2d_dgrad, inner.conv2d_dgrad = frame;
  else
    inner.step = Step::k_conv2d_wgrad, inner.conv2d_wgrad = frame;
  return inner;
}

// Some row of conv2d takes every descriptor.
Prepared prepared_for(const OpDescriptor& op) {
  Prepared p;
  Status status;
  backend().prepare(&op, &p, &status);
  return p;
}

void run_inner(const Prepared& inner, const Operands& operands, float* workspace, Context& context) {
  Context mine = {context.member, workspace, context.scalars, nullptr};
  backend().run(&inner, &operands, &mine);
}

void set_costs(Prepared* p, const Conv3dShape& v) {
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  p->parallel = p->flops > kParallelFlops;
}

// --- frames ---

bool supports_frames(const OpDescriptor& op) {
  const Conv3dShape& v = shape_of(op);
  return v.t == 1 && v.stride_d == 1 && v.pad_front == 0 && v.z == v.d;
}

Prepared all_frames(const OpDescriptor& op) {
  const Conv3dShape& v = shape_of(op);
  Conv2dShape frame = v.frame;
  frame.n *= v.d;
  return prepared_for(step_of(op, frame));
}

void prepare_frames(Prepared* p) {
  const Prepared inner = all_frames(p->op);
  p->workspace_bytes = inner.workspace_bytes, p->scratch_bytes = inner.scratch_bytes;
  set_costs(p, shape_of(p->op));
}

void run_frames(const Prepared& p, const Operands& x, Context& context) {
  run_inner(all_frames(p.op), x, static_cast<float*>(context.workspace), context);
}

// --- unfold ---

enum class Pass : int32_t { kFprop, kDgrad, kWgrad };

// The blocking, from the shape alone.
struct Unfold {
  Pass pass;
  int64_t phases;
  int64_t channels, group;  // of a frame that is unfolded, and of one of its groups
  int64_t frames, h, w;     // of the volume that is unfolded
  int64_t cols, left;       // of an unfolded frame, with the zeros beside it that conv2d would copy it to add
  int64_t out_frames, out_floats;     // of the result
  int64_t block;                      // frames, at most
  int32_t split;                      // outputs that meet fewer frames go apart
  int32_t in_place;                   // what a block computes lies together in the result
  int64_t weights, unfolded, result;  // floats of the parts of the workspace, before that of conv2d
};

// A phase that no tap meets has one of zeros, whose weights are zeros.
int64_t taps_of(const Axis& a) { return std::max<int64_t>(1, a.taps); }

// Outputs [i.begin, i.end) and taps [taps.begin, taps.end) of a phase.
Axis part_of_axis(Axis a, Range i, Range taps) {
  a.outputs = i.end - i.begin, a.taps = taps.end - taps.begin;
  a.first_out += i.begin * a.step_out;
  a.first += i.begin * a.step + taps.begin * a.spread;
  a.filter += taps.begin * a.filter_step;
  return a;
}

// f(axis) for every phase, or for every run of outputs that meet the same taps of a phase.
template <class F>
void for_each_axis(const Conv3dShape& v, const Unfold& d, F f) {
  for (int64_t phase = 0; phase < d.phases; ++phase) {
    const Axis a = axis_of(depth_of(v), d.pass == Pass::kDgrad, phase);
    if (!d.split) {
      f(a);
      continue;
    }
    for (int64_t begin = 0, end; begin < a.outputs; begin = end) {
      const Range taps = taps_inside(a, begin, d.frames);
      for (end = begin + 1; end < a.outputs; ++end) {
        const Range next = taps_inside(a, end, d.frames);
        if (next.begin != taps.begin || next.end != taps.end) break;
      }
      f(part_of_axis(a, {begin, end}, taps));
    }
  }
}

// Whether products with frames of zeros would be a twentieth of the work, and dearer than the steps that
// leave them out: what those compute is copied, each of its numbers at the price of some 32 multiply-adds.
bool many_zeros(const Conv3dShape& v, const Unfold& d) {
  double all = 0, inside = 0;
  for (int64_t phase = 0; phase < d.phases; ++phase) {
    const Axis a = axis_of(depth_of(v), d.pass == Pass::kDgrad, phase);
    for (int64_t i = 0; i < a.outputs; ++i) {
      const Range taps = taps_inside(a, i, d.frames);
      all += a.taps, inside += taps.end - taps.begin;
    }
  }
  const double products = static_cast<double>(v.frame.r * v.frame.s * d.group) * (all - inside);
  return inside < 0.95 * all && products > 32.0 * static_cast<double>(d.out_frames);
}

// One block of `frames` unfolded frames as conv2d sees it.
Conv2dShape images_of(const Conv3dShape& v, const Unfold& d, int64_t frames, int64_t taps) {
  Conv2dShape f = v.frame;
  f.n = frames;
  if (d.pass == Pass::kDgrad)
    f.k *= taps;
  else
    f.c *= taps, f.w = d.cols, f.pad_left = f.pad_right = 0;
  return f;
}

Unfold plan(const Conv3dShape& v, Pass pass) {
  const Conv2dShape& f = v.frame;
  const bool dgrad = pass == Pass::kDgrad;
  Unfold d = {};
  d.pass = pass;
  d.phases = dgrad ? std::min(v.stride_d, v.d) : 1;
  if (dgrad) {
    d.channels = f.k, d.frames = v.z, d.h = f.p, d.w = d.cols = f.q;
    d.out_frames = v.d, d.out_floats = f.h * f.w * f.c;
  } else {
    d.channels = f.c, d.frames = v.d, d.h = f.h, d.w = f.w;
    d.out_frames = v.z, d.out_floats = f.p * f.q * f.k;
    d.cols = (f.q - 1) * f.stride_w + (f.s - 1) * f.dilation_w + 1;
    d.left = f.pad_left;
  }
  d.group = d.channels / f.groups;
  d.split = pass != Pass::kWgrad && many_zeros(v, d);
  d.in_place = d.phases == 1 && (!d.split || f.n == 1);
  const int64_t every = v.stride_d / std::gcd(v.stride_d, v.dilation_d);
  const int64_t most_taps = dgrad ? ceil_div(v.t, every) : v.t;
  const int64_t frame = d.h * d.cols * d.channels * most_taps;
  const int64_t all = f.n * ceil_div(d.out_frames, d.phases);
  d.weights = round_up(most_taps * f.r * f.s * (f.c / f.groups) * f.k, 16);
  const int64_t wanted = std::min(kMostFloats, std::max(kBlockFloats, 8 * std::min(kMostFloats, d.weights)));
  const int64_t blocks = ceil_div(all, std::max<int64_t>(1, wanted / frame));
  d.block = ceil_div(all, blocks);
  d.unfolded = round_up(d.block * frame, 16);
  d.result = d.in_place ? 0 : round_up(d.block * d.out_floats, 16);
  return d;
}

void prepare_unfold(Prepared* p, Pass pass) {
  const Conv3dShape& v = shape_of(p->op);
  const Unfold d = state<Unfold>(p) = plan(v, pass);
  set_costs(p, v);
  // Phases differ little: the last few descriptors are remembered, so that many of them cost nothing.
  constexpr int kSeen = 9;
  int64_t seen[kSeen][2] = {};
  int next = 0;
  size_t workspace = 0;
  for_each_axis(v, d, [&](const Axis& a) {
    const int64_t all = v.frame.n * a.outputs;
    for (const int64_t frames : {std::min(all, d.block), all % d.block}) {
      const auto same = [&](const int64_t* one) { return one[0] == frames && one[1] == taps_of(a); };
      if (!frames || std::any_of(seen, seen + kSeen, same)) continue;
      seen[next][0] = frames, seen[next][1] = taps_of(a), next = (next + 1) % kSeen;
      const Prepared inner = prepared_for(step_of(p->op, images_of(v, d, frames, taps_of(a))));
      workspace = std::max(workspace, inner.workspace_bytes);
      p->scratch_bytes = std::max(p->scratch_bytes, inner.scratch_bytes);
    }
  });
  p->workspace_bytes = sizeof(float) * (d.weights + d.unfolded + d.result) + workspace;
}

void copy_floats(const float* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) std::memcpy(to + i, from + i, 4 * sizeof(float));
  for (; i < count; ++i) to[i] = from[i];
}

// The weights of a phase in the order of unfolded channels. A row is what stays together: all filters of an
// input channel (fprop, wgrad), or the filters of one group (dgrad).
struct WeightRow {
  int64_t there;  // in w [T][R][S][C/groups][K]
  int64_t here;   // in [R][S][taps][C/groups][K], for dgrad [R][S][C/groups][groups][taps][K/groups]
  int64_t floats;
};

template <class F>
void for_weight_rows(const Conv3dShape& v, const Unfold& d, const Axis& a, Context& context, F f) {
  const Conv2dShape& s = v.frame;
  const int64_t taps = taps_of(a), c = s.c / s.groups, size = c * s.k;
  parallel_for(*context.member, s.r * s.s * taps, [&](int64_t task) {
    const int64_t i = task / taps, t = task % taps;
    const int64_t there = ((a.filter + t * a.filter_step) * s.r * s.s + i) * size;
    if (d.pass != Pass::kDgrad) return f(WeightRow{there, task * size, size});
    for (int64_t row = 0; row < c * s.groups; ++row)
      f(WeightRow{there + row * d.group, ((i * c * s.groups + row) * taps + t) * d.group, d.group});
  });
}

void fill_pixels(int64_t pixels, int64_t floats, int64_t step, float* to) {
  for (int64_t i = 0; i < pixels; ++i, to += step)
    for (int64_t c = 0; c < floats; ++c) to[c] = 0;
}

// Runs of kFloats, or of `floats` where that is 0: few are no loop of their own.
template <int64_t kFloats>
void copy_pixels(const float* from, int64_t pixels, int64_t floats, int64_t from_step, float* to,
                 int64_t to_step) {
  for (int64_t i = 0; i < pixels; ++i, from += from_step, to += to_step) {
    if constexpr (kFloats)
      std::memcpy(to, from, kFloats * sizeof(float));
    else
      copy_floats(from, floats, to);
  }
}

// A row of one frame to its tap of an unfolded row, all groups.
void unfold_row(const Conv3dShape& v, const Unfold& d, const float* from, int64_t taps, float* to) {
  const int64_t left = std::min(d.left, d.cols), inside = std::min(d.w, d.cols - left);
  const int64_t step = taps * d.channels;
  const auto copy = d.group == 1   ? copy_pixels<1>
                    : d.group == 2 ? copy_pixels<2>
                    : d.group == 3 ? copy_pixels<3>
                                   : copy_pixels<0>;
  for (int64_t g = 0; g < v.frame.groups; ++g, to += taps * d.group) {
    if (!from) {
      fill_pixels(d.cols, d.group, step, to);
      continue;
    }
    fill_pixels(left, d.group, step, to);
    copy(from + g * d.group, inside, d.group, d.channels, to + left * step, step);
    fill_pixels(d.cols - left - inside, d.group, step, to + (left + inside) * step);
  }
}

// Frames [at.begin, at.end) of the outputs of an axis.
void unfold(const Conv3dShape& v, const Unfold& d, const Axis& a, Range at, const float* x, float* out,
            Context& context) {
  const int64_t taps = taps_of(a), row = d.cols * d.channels * taps;
  for_each_chunk(context, (at.end - at.begin) * d.h, rows_per_chunk(row), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t frame = at.begin + i / d.h, h = i % d.h;
      const int64_t n = frame / a.outputs, first = frame % a.outputs * a.step + a.first;
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t source = first + t * a.spread;
        const bool there = t < a.taps && source >= 0 && source < d.frames;
        const float* from = there ? x + ((n * d.frames + source) * d.h + h) * d.w * d.channels : nullptr;
        unfold_row(v, d, from, taps, out + i * row + t * d.group);
      }
    }
  });
}

// The frames of one axis to their places in the result, with the mask.
void spread_frames(const Unfold& d, const Axis& a, Range at, const float* from, const float* mask, float* y,
                   Context& context) {
  const int64_t pieces = ceil_div(d.out_floats, kChunk);
  parallel_for(*context.member, (at.end - at.begin) * pieces, [&](int64_t task) {
    const int64_t i = task / pieces, frame = at.begin + i;
    const int64_t begin = task % pieces * kChunk, count = std::min(kChunk, d.out_floats - begin);
    const int64_t place = a.first_out + frame % a.outputs * a.step_out;
    const int64_t to = (frame / a.outputs * d.out_frames + place) * d.out_floats + begin;
    const float* x = from + i * d.out_floats + begin;
    if (!mask) return copy_floats(x, count, y + to);
    for (int64_t j = 0; j < count; ++j) y[to + j] = mask[to + j] <= 0 ? 0 : x[j];
  });
}

struct Workspace {
  float *weights, *unfolded, *result, *inner;
};

Workspace workspace_of(const Unfold& d, const Context& context) {
  float* const all = static_cast<float*>(context.workspace);
  return {all, all + d.weights, all + d.weights + d.unfolded, all + d.weights + d.unfolded + d.result};
}

// fprop and dgrad.
void run_outputs(const Prepared& p, const Operands& x, Context& context) {
  const Conv3dShape& v = shape_of(p.op);
  const Unfold& d = state<Unfold>(p);
  const Workspace to = workspace_of(d, context);
  const float* w = input(x, 1);
  const float* mask = p.op.epilogue.relu_mask ? input(x, 2) : nullptr;
  for_each_axis(v, d, [&](const Axis& a) {
    for_weight_rows(v, d, a, context, [&](const WeightRow& r) {
      if (a.taps)
        copy_floats(w + r.there, r.floats, to.weights + r.here);
      else
        std::fill_n(to.weights + r.here, r.floats, 0.0f);
    });
    const int64_t all = v.frame.n * a.outputs;
    for (int64_t begin = 0; begin < all; begin += d.block) {
      const Range at = {begin, std::min(all, begin + d.block)};
      unfold(v, d, a, at, input(x, 0), to.unfolded, context);
      OpDescriptor op = step_of(p.op, images_of(v, d, at.end - at.begin, taps_of(a)));
      Operands operands = {{to.unfolded, to.weights, x.in[2], x.in[3]}, {to.result}};
      if (d.in_place) {
        const int64_t place = (a.first_out + begin) * d.out_floats;
        operands.out[0] = output(x, 0) + place;
        if (mask) operands.in[2] = mask + place;
      } else {
        op.epilogue.relu_mask = 0;
      }
      run_inner(prepared_for(op), operands, to.inner, context);
      if (!d.in_place) spread_frames(d, a, at, to.result, mask, output(x, 0), context);
    }
  });
}

void run_wgrad(const Prepared& p, const Operands& x, Context& context) {
  const Conv3dShape& v = shape_of(p.op);
  const Unfold& d = state<Unfold>(p);
  const Workspace to = workspace_of(d, context);
  const Axis a = fprop_axis(depth_of(v));
  float* const dw = output(x, 0);
  const int64_t all = v.frame.n * v.z;
  for (int64_t begin = 0; begin < all; begin += d.block) {
    const Range at = {begin, std::min(all, begin + d.block)};
    unfold(v, d, a, at, input(x, 0), to.unfolded, context);
    const OpDescriptor op = step_of(p.op, images_of(v, d, at.end - at.begin, v.t));
    run_inner(prepared_for(op), {{to.unfolded, input(x, 1) + begin * d.out_floats}, {to.weights}}, to.inner,
              context);
    for_weight_rows(v, d, a, context, [&](const WeightRow& r) {
      if (begin == 0)
        copy_floats(to.weights + r.here, r.floats, dw + r.there);
      else
        for (int64_t i = 0; i < r.floats; ++i) dw[r.there + i] += to.weights[r.here + i];
    });
  }
}

}  // namespace

#define FASTCNN_CONV3D(step, pass, run_unfold)                                          \
  bool supports_##step##_frames(const OpDescriptor& op) { return supports_frames(op); } \
  void prepare_##step##_frames(Prepared* p) { prepare_frames(p); }                      \
  void run_##step##_frames(const Prepared& p, const Operands& x, Context& context) {    \
    run_frames(p, x, context);                                                          \
  }                                                                                     \
  bool supports_##step##_unfold(const OpDescriptor&) { return true; }                   \
  void prepare_##step##_unfold(Prepared* p) { prepare_unfold(p, pass); }                \
  void run_##step##_unfold(const Prepared& p, const Operands& x, Context& context) {    \
    run_unfold(p, x, context);                                                          \
  }

FASTCNN_CONV3D(conv3d_fprop, Pass::kFprop, run_outputs)
FASTCNN_CONV3D(conv3d_dgrad, Pass::kDgrad, run_outputs)
FASTCNN_CONV3D(conv3d_wgrad, Pass::kWgrad, run_wgrad)
#undef FASTCNN_CONV3D

}  // namespace cpu
}  // namespace fastcnn
