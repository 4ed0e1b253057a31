// SPDX-License-Identifier: Apache-2.0
// Convolution with few channels to a group, channels-last, all three passes, any stride, dilation and
// padding: depthwise (one channel, any multiplier) and groups of G = 2, 4 or 8 inputs and as many outputs.
//
//   y[n,z,p,q,k] = sum over t,r,s,g of x[n, z stride + t dilation - pad, ..., first channel of k's group + g]
//   w[t,r,s,g,k]
//
// An image is a volume of one frame. Memory is the roof of depthwise layers, so nothing is padded or packed:
// border pixels have their own short sums, and a row of a volume is summed up frame by frame while it is in
// L1. With a multiplier M > 1 rows of x are first repeated M times per channel, and dgrad sums runs of M at
// the end; in between all is the M = 1 case of K channels (images alone). dgrad of groups takes weights whose
// G x G blocks are transposed.
#include "kernels/depthwise.h"

#include "blocking.h"

namespace fastcnn {
namespace cpu {
namespace {

int64_t multiplier(const Conv2dShape& v) { return v.k / v.c; }
int64_t group_of(const Conv2dShape& v) { return v.c / v.groups; }
bool supports(const Conv2dShape& v) {
  const int64_t g = group_of(v);
  if (v.groups == 1) return false;
  return g == 1 || (v.k == v.c && (g == 2 || g == 4 || g == 8) && g <= kernels().depthwise->most_group);
}

// An image as a volume of one frame.
Conv3dShape volume_of(const Conv2dShape& v) { return {v, 1, 1, 1, 1, 1, 0}; }

// The blocking, from the shape alone. A task is a band of output rows of one frame; of all three passes
// `bands` counts them.
struct Depthwise {
  int64_t bands;
  int64_t rows_in;  // of x, read by a band
  int64_t chunks;   // wgrad: partial sums
};

// Rows of x with repeated channels, or one row of dx before its runs are summed.
size_t scratch_bytes(const Conv2dShape& v, const Depthwise& d, bool dgrad) {
  return multiplier(v) == 1 ? 0 : float_bytes((dgrad ? 1 : d.rows_in) * v.w * v.k);
}

int64_t weight_floats(const Conv3dShape& v) {
  return v.t * v.frame.r * v.frame.s * group_of(v.frame) * v.frame.k;
}

void prepare(Prepared* p, const Conv3dShape& volume, bool dgrad) {
  Depthwise& d = state<Depthwise>(p);
  const Conv2dShape& v = volume.frame;
  const int64_t out_h = dgrad ? v.h : v.p, out_frames = dgrad ? volume.d : volume.z;
  p->flops = conv_flops(volume), p->bytes = conv_bytes(volume);
  p->parallel = p->bytes >= kParallelBytes || p->flops >= kParallelFlops;
  // About 128 KB of input and output to a band, as far as there are rows.
  const int64_t frame_bytes = static_cast<int64_t>(p->bytes) / (v.n * out_frames);
  d.bands = std::max<int64_t>(1, std::min(out_h, frame_bytes / (128 << 10)));
  d.rows_in = std::min(v.h, (ceil_div(out_h, d.bands) - 1) * v.stride_h + (v.r - 1) * v.dilation_h + 1);
  p->scratch_bytes = scratch_bytes(v, d, dgrad);
}

struct Arguments {
  const float *x, *w, *bias, *mask;
  float* y;
  int32_t relu;
};

// Rows of a frame of x with K channels: row h at data + (h - first) * w * k.
struct Rows {
  const float* data;  // null: no tap meets any row
  int64_t first;
};

Rows rows_of_x(const Conv2dShape& v, const float* image, Range rows, float* scratch) {
  const int64_t times = multiplier(v);
  if (times == 1) return {image, 0};
  if (rows.begin < rows.end)
    kernels().depthwise->repeat(image + rows.begin * v.w * v.c, (rows.end - rows.begin) * v.w * v.c, times,
                                scratch);
  return {scratch, rows.begin};
}

// Input rows that output rows [begin, end) of the forward pass read.
Range rows_read(const Conv2dShape& v, Range p) {
  const int64_t begin = std::max<int64_t>(0, p.begin * v.stride_h - v.pad_top);
  const int64_t end = std::min(v.h, (p.end - 1) * v.stride_h - v.pad_top + (v.r - 1) * v.dilation_h + 1);
  return {begin, std::max(begin, end)};
}

// One output row of one phase of columns: border pixels one by one, the others together. t holds what all of
// them share; its x is the row of the first tap, its y and mask are rows.
void run_columns(const Conv2dShape& v, const Axis& w, int64_t in_w, const DepthwiseRow& row) {
  for (int64_t i = 0; i < w.outputs;) {
    DepthwiseRow t = row;
    const Range taps = taps_inside(w, i, in_w);
    t.x_w = w.spread * v.k, t.x_q = w.step * v.k, t.w_w = w.filter_step * t.group * v.k,
    t.y_q = w.step_out * v.k;
    t.taps_w = taps.end - taps.begin, t.outputs = 1;
    if (t.taps_w && t.taps_w == w.taps) {
      const int64_t most = in_w - 1 - w.first - (w.taps - 1) * w.spread;  // of i step
      t.outputs = std::min(w.outputs, most / w.step + 1) - i;
    }
    if (t.taps_h && t.taps_w) {
      t.x += (i * w.step + w.first + taps.begin * w.spread) * v.k;
      t.w += (w.filter + taps.begin * w.filter_step) * t.group * v.k;
    }
    const int64_t out = (w.first_out + i * w.step_out) * v.k;
    t.y += out;
    if (t.mask) t.mask += out;
    kernels().depthwise->row(t);
    i += t.outputs;
  }
}

// One output row of K channels, all its phases.
void run_output_row(const Conv2dShape& v, bool dgrad, int64_t out_row, const Rows& x, DepthwiseRow t,
                    const float* w) {
  const int64_t in_h = dgrad ? v.p : v.h, in_w = dgrad ? v.q : v.w;
  const int64_t phases = dgrad ? std::min(v.stride_w, v.w) : 1;
  const Axis h = axis_of(height_of(v), dgrad, dgrad ? out_row % v.stride_h : 0);
  const int64_t i = dgrad ? out_row / v.stride_h : out_row;
  const Range taps = x.data ? taps_inside(h, i, in_h) : Range{0, 0};
  t.taps_h = taps.end - taps.begin;
  t.group = static_cast<int32_t>(group_of(v)), t.w_g = v.k;
  t.x_h = h.spread * in_w * v.k, t.w_h = h.filter_step * v.s * t.group * v.k;
  t.x = x.data, t.w = w;
  if (t.taps_h) {
    t.x += (i * h.step + h.first + taps.begin * h.spread - x.first) * in_w * v.k;
    t.w += (h.filter + taps.begin * h.filter_step) * v.s * t.group * v.k;
  }
  for (int64_t phase = 0; phase < phases; ++phase)
    run_columns(v, axis_of(width_of(v), dgrad, phase), in_w, t);
}

// w [T][R][S][G][K] with every G x G block transposed.
void transpose_groups(const Conv3dShape& volume, const float* w, float* out) {
  const Conv2dShape& v = volume.frame;
  const int64_t g = group_of(v);
  for (int64_t tap = 0; tap < volume.t * v.r * v.s; ++tap, w += g * v.k)
    for (int64_t i = 0; i < g; ++i)
      for (int64_t k = 0; k < v.k; ++k) *out++ = w[k % g * v.k + k / g * g + i];
}

// The frames that one output frame sums, and the taps that it meets them in.
struct Frames {
  Axis axis;
  int64_t i;
  Range taps;

  int64_t source(int64_t t) const { return i * axis.step + axis.first + t * axis.spread; }
  int64_t filter(int64_t t) const { return axis.filter + t * axis.filter_step; }
};

Frames frames_met(const Conv3dShape& v, bool dgrad, int64_t frame) {
  const int64_t phase = dgrad ? frame % v.stride_d : 0;
  Frames f = {axis_of(depth_of(v), dgrad, phase), dgrad ? frame / v.stride_d : frame, {}};
  f.taps = taps_inside(f.axis, f.i, dgrad ? v.z : v.d);
  return f;
}

void run_fprop(const Conv3dShape& volume, const Depthwise& d, const Arguments& to, Context& context) {
  Member& me = *context.member;
  const Conv2dShape& v = volume.frame;
  const int64_t tap_floats = weight_floats(volume) / volume.t;
  parallel_for(me, v.n * volume.z * d.bands, [&](int64_t task) {
    const int64_t frame = task / d.bands, n = frame / volume.z;
    const Range out = part_of(v.p, d.bands, task % d.bands);
    const Frames met = frames_met(volume, false, frame % volume.z);
    float* const scratch = static_cast<float*>(me.scratch(scratch_bytes(v, d, false)));
    const bool none = met.taps.begin == met.taps.end;
    const auto rows_of = [&](int64_t tap) {
      const float* image = to.x + (n * volume.d + met.source(tap)) * v.h * v.w * v.c;
      return rows_of_x(v, image, rows_read(v, out), scratch);
    };
    // A multiplier repeats rows, once for all outputs of the band: of an image, which has one tap.
    Rows x = none ? Rows{nullptr, 0} : rows_of(met.taps.begin);
    for (int64_t p = out.begin; p < out.end; ++p) {
      DepthwiseRow t = {};
      t.channels = v.k;
      t.y = to.y + (frame * v.p + p) * v.q * v.k;
      for (int64_t tap = met.taps.begin; tap == met.taps.begin || tap < met.taps.end; ++tap) {
        if (volume.t > 1 && !none) x = rows_of(tap);
        t.accumulate = tap > met.taps.begin;
        if (tap + 1 >= met.taps.end) t.bias = to.bias, t.relu = to.relu;
        run_output_row(v, false, p, x, t, to.w + (none ? 0 : met.filter(tap) * tap_floats));
      }
    }
  });
}

void run_dgrad(const Conv3dShape& volume, const Depthwise& d, const Arguments& to, Context& context) {
  Member& me = *context.member;
  const Conv2dShape& v = volume.frame;
  const int64_t times = multiplier(v), tap_floats = weight_floats(volume) / volume.t;
  const float* w = to.w;
  if (group_of(v) > 1) {
    float* const transposed = static_cast<float*>(context.workspace);
    parallel_for(me, 1, [&](int64_t) { transpose_groups(volume, to.w, transposed); });
    w = transposed;
  }
  parallel_for(me, v.n * volume.d * d.bands, [&](int64_t task) {
    const int64_t frame = task / d.bands, n = frame / volume.d;
    const Range out = part_of(v.h, d.bands, task % d.bands);
    const Frames met = frames_met(volume, true, frame % volume.d);
    const bool none = met.taps.begin == met.taps.end;
    float* const scratch = static_cast<float*>(me.scratch(scratch_bytes(v, d, true)));
    for (int64_t h = out.begin; h < out.end; ++h) {
      const int64_t row = (frame * v.h + h) * v.w * v.c;
      const float* mask = to.mask ? to.mask + row : nullptr;
      DepthwiseRow t = {};
      t.channels = v.k;
      t.y = times > 1 ? scratch : to.y + row;
      for (int64_t tap = met.taps.begin; tap == met.taps.begin || tap < met.taps.end; ++tap) {
        const Rows dy = {none ? nullptr : to.x + (n * volume.z + met.source(tap)) * v.p * v.q * v.k, 0};
        t.accumulate = tap > met.taps.begin;
        if (times == 1 && tap + 1 >= met.taps.end) t.mask = mask, t.bias = to.bias, t.relu = to.relu;
        run_output_row(v, true, h, dy, t, none ? w : w + met.filter(tap) * tap_floats);
      }
      if (times > 1)
        kernels().depthwise->sum_runs({scratch, to.y + row, to.bias, mask, v.w, v.c, times, to.relu});
    }
  });
}

// Outputs in [within.begin, within.end) whose input i stride + offset lies in [0, inputs).
Range outputs_inside(Range within, int64_t stride, int64_t offset, int64_t inputs) {
  const int64_t begin = offset < 0 ? ceil_div(-offset, stride) : 0;
  const int64_t end = offset < inputs ? (inputs - 1 - offset) / stride + 1 : 0;
  const Range r = {std::max(begin, within.begin), std::min(end, within.end)};
  return {r.begin, std::max(r.begin, r.end)};
}

// Calls f(first tap, taps, outputs) for a group of taps: all of them where all lie inside, one by one at the
// borders.
template <class F>
void for_taps(const AxisShape& a, Range taps, Range outputs, F f) {
  const auto inside = [&](int64_t tap) {
    return outputs_inside(outputs, a.stride, tap * a.dilation - a.pad, a.input);
  };
  Range all = {inside(taps.begin).begin, inside(taps.end - 1).end};  // later taps lie further right
  if (all.begin >= all.end) all = {outputs.end, outputs.end};
  if (all.begin < all.end) f(taps.begin, taps.end - taps.begin, all);
  for (int64_t t = taps.begin; t < taps.end; ++t) {
    const Range own = inside(t), left = {own.begin, std::min(own.end, all.begin)},
                right = {std::max(own.begin, all.end), own.end};
    if (left.begin < left.end) f(t, 1, left);
    if (right.begin < right.end) f(t, 1, right);
  }
}

// dw += the products of rows [p.begin, p.end) of one image.
void add_products(const Conv2dShape& v, const Rows& x, const float* dy, Range p, float* dw) {
  DepthwiseSums t = {};
  const int64_t row = v.w * v.k;
  t.x_h = v.dilation_h * row, t.x_w = v.dilation_w * v.k, t.x_p = v.stride_h * row, t.x_q = v.stride_w * v.k;
  t.dy_p = v.q * v.k, t.dy_q = v.k, t.group = static_cast<int32_t>(group_of(v));
  t.dw_h = v.s * t.group * v.k, t.dw_w = t.group * v.k, t.dw_g = v.k;
  const DepthwiseTaps most = kernels().depthwise->most_taps(t.group);
  t.channels = v.k;
  const AxisShape height = height_of(v), width = width_of(v);
  for (int64_t r0 = 0; r0 < v.r; r0 += most.h)
    for (int64_t s0 = 0; s0 < v.s; s0 += most.w)
      for_taps(height, {r0, std::min(v.r, r0 + most.h)}, p, [&](int64_t r, int64_t taps_h, Range rows) {
        for_taps(width, {s0, std::min(v.s, s0 + most.w)}, {0, v.q},
                 [&](int64_t s, int64_t taps_w, Range cols) {
                   t.taps_h = static_cast<int32_t>(taps_h), t.taps_w = static_cast<int32_t>(taps_w);
                   t.rows = rows.end - rows.begin, t.cols = cols.end - cols.begin;
                   t.x = x.data + (rows.begin * v.stride_h + r * v.dilation_h - v.pad_top - x.first) * row +
                         (cols.begin * v.stride_w + s * v.dilation_w - v.pad_left) * v.k;
                   t.dy = dy + (rows.begin * v.q + cols.begin) * v.k;
                   t.dw = dw + (r * v.s + s) * t.dw_w;
                   kernels().depthwise->sums(t);
                 });
      });
}

void run_wgrad(const Conv3dShape& volume, const Depthwise& d, const Arguments& to, Context& context) {
  Member& me = *context.member;
  const Conv2dShape& v = volume.frame;
  const int64_t size = weight_floats(volume), tap_floats = size / volume.t;
  float* const partial = d.chunks > 1 ? static_cast<float*>(context.workspace) : to.y;
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    float* const dw = partial + chunk * size;
    std::fill(dw, dw + size, 0.0f);
    float* const scratch = static_cast<float*>(me.scratch(scratch_bytes(v, d, false)));
    const Range mine = part_of(v.n * volume.z * d.bands, d.chunks, chunk);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      const int64_t frame = i / d.bands, n = frame / volume.z;
      const Range p = part_of(v.p, d.bands, i % d.bands);
      const Frames met = frames_met(volume, false, frame % volume.z);
      for (int64_t t = met.taps.begin; t < met.taps.end; ++t) {
        const float* image = to.x + (n * volume.d + met.source(t)) * v.h * v.w * v.c;
        const Rows x = rows_of_x(v, image, rows_read(v, p), scratch);
        add_products(v, x, to.w + frame * v.p * v.q * v.k, p, dw + t * tap_floats);
      }
    }
  });
  if (d.chunks > 1) sum_parts(context, partial, d.chunks, size, to.y);
}

void prepare_dgrad(Prepared* p, const Conv3dShape& v) {
  prepare(p, v, true);
  if (group_of(v.frame) > 1) p->workspace_bytes = float_bytes(weight_floats(v));
}

void prepare_wgrad(Prepared* p, const Conv3dShape& v) {
  prepare(p, v, false);
  Depthwise& d = state<Depthwise>(p);
  const int64_t size = weight_floats(v);
  // A partial sum is added to the others at the cost of reading it: it should have met ten times as much
  // input.
  d.chunks = std::min({kTasks, v.frame.n * v.z * d.bands, static_cast<int64_t>(p->bytes) / (40 * size)});
  d.chunks = std::max<int64_t>(1, d.chunks);
  if (d.chunks > 1) p->workspace_bytes = float_bytes(d.chunks * size);
}

void run_fprop(const Prepared& p, const Conv3dShape& v, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& f = v.frame;
  run_fprop(v, state<Depthwise>(p),
            {input(x, 0), input(x, 1), e.bias ? input(x, 2) : nullptr, nullptr, output(x, 0),
             e.activation == Activation::kRelu},
            context);
  finish_activation(context, e.activation, output(x, 0), f.n * v.z * f.p * f.q * f.k);
}

void run_dgrad(const Prepared& p, const Conv3dShape& v, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& f = v.frame;
  run_dgrad(v, state<Depthwise>(p),
            {input(x, 0), input(x, 1), e.bias ? input(x, 3) : nullptr, e.relu_mask ? input(x, 2) : nullptr,
             output(x, 0), e.activation == Activation::kRelu},
            context);
  finish_activation(context, e.activation, output(x, 0), f.n * v.d * f.h * f.w * f.c);
}

void run_wgrad(const Prepared& p, const Conv3dShape& v, const Operands& x, Context& context) {
  run_wgrad(v, state<Depthwise>(p), {input(x, 0), input(x, 1), nullptr, nullptr, output(x, 0), 0}, context);
}

bool supports_volume(const Conv3dShape& v) { return supports(v.frame) && v.frame.k == v.frame.c; }

}  // namespace

bool supports_conv2d_fprop_depthwise(const OpDescriptor& op) { return supports(op.conv2d_fprop); }
void prepare_conv2d_fprop_depthwise(Prepared* p) { prepare(p, volume_of(p->op.conv2d_fprop), false); }
void run_conv2d_fprop_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_fprop(p, volume_of(p.op.conv2d_fprop), x, context);
}

bool supports_conv2d_dgrad_depthwise(const OpDescriptor& op) { return supports(op.conv2d_dgrad); }
void prepare_conv2d_dgrad_depthwise(Prepared* p) { prepare_dgrad(p, volume_of(p->op.conv2d_dgrad)); }
void run_conv2d_dgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_dgrad(p, volume_of(p.op.conv2d_dgrad), x, context);
}

bool supports_conv2d_wgrad_depthwise(const OpDescriptor& op) { return supports(op.conv2d_wgrad); }
void prepare_conv2d_wgrad_depthwise(Prepared* p) { prepare_wgrad(p, volume_of(p->op.conv2d_wgrad)); }
void run_conv2d_wgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_wgrad(p, volume_of(p.op.conv2d_wgrad), x, context);
}

bool supports_conv3d_fprop_depthwise(const OpDescriptor& op) { return supports_volume(op.conv3d_fprop); }
void prepare_conv3d_fprop_depthwise(Prepared* p) { prepare(p, p->op.conv3d_fprop, false); }
void run_conv3d_fprop_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_fprop(p, p.op.conv3d_fprop, x, context);
}

bool supports_conv3d_dgrad_depthwise(const OpDescriptor& op) { return supports_volume(op.conv3d_dgrad); }
void prepare_conv3d_dgrad_depthwise(Prepared* p) { prepare_dgrad(p, p->op.conv3d_dgrad); }
void run_conv3d_dgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_dgrad(p, p.op.conv3d_dgrad, x, context);
}

bool supports_conv3d_wgrad_depthwise(const OpDescriptor& op) { return supports_volume(op.conv3d_wgrad); }
void prepare_conv3d_wgrad_depthwise(Prepared* p) { prepare_wgrad(p, p->op.conv3d_wgrad); }
void run_conv3d_wgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_wgrad(p, p.op.conv3d_wgrad, x, context);
}

}  // namespace cpu
}  // namespace fastcnn
