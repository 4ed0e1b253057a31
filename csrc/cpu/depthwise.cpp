// SPDX-License-Identifier: Apache-2.0
// Convolution with few channels to a group, channels-last, fprop and dgrad, any stride, dilation and padding:
// depthwise (one channel, any multiplier) and small groups.
//
//   y[n,z,p,q,k] = sum over t,r,s,g of x[n, z stride + t dilation - pad, ..., first channel of k's group + g]
//   w[t,r,s,g,k]
//
// Memory is the roof of depthwise layers, so nothing is padded or packed: border taps are left out, and a row
// of a volume is summed up frame by frame while it is in L1. Maps beyond the L2 cache are fetched a row
// ahead; those beyond the last cache are written past it, from a row in L1. (All rows of a band for the
// channels whose rows stay in L1, then the next channels, took 5 to 15 % longer.) With a multiplier M > 1
// rows of x are first repeated M times per channel, and dgrad sums runs of M at the end; in between all is
// the M = 1 case of K channels (images alone). dgrad of groups takes weights whose blocks are transposed.
// Where few channels fill no vector, several neighbouring pixels share one, under weights that are repeated
// as often.
#include "depthwise.h"

#include "caches.h"

namespace fastcnn {
namespace cpu {
namespace {

constexpr double kAheadBytes = 2 << 20;

bool supports(const Conv2dShape& v, bool dgrad) {
  if (v.groups == 1) return false;
  const DepthwiseGroup g = group_of(v);
  return one_channel(v) || supports_group(dgrad ? DepthwiseGroup{g.out, g.in} : g);
}

// Channels of a pixel that the sums read and write.
struct Channels {
  int64_t in, out;
  DepthwiseGroup group;
};

Channels channels_of(const Conv2dShape& v, bool dgrad) {
  const DepthwiseGroup g = group_of(v);
  if (one_channel(v)) return {v.k, v.k, {1, 1}};
  return dgrad ? Channels{v.k, v.c, {g.out, g.in}} : Channels{v.c, v.k, g};
}

bool repeats(const Conv2dShape& v) { return one_channel(v) && multiplier(v) > 1; }

// Rows of x with repeated channels, or one row of dx before its runs are summed; else an output row to be
// streamed.
size_t scratch_bytes(const Conv2dShape& v, const Depthwise& d, bool dgrad) {
  if (repeats(v)) return float_bytes((dgrad ? 1 : d.rows_in) * v.w * v.k);
  return d.stream ? float_bytes(dgrad ? v.w * v.c : v.q * v.k) : 0;
}

struct Arguments {
  const float *x, *w, *bias, *mask;
  float* y;
  int32_t relu;
  ActivationForward finish;  // of fprop: what is left to do for a row, or null
};

// Pixels taken together: that fill whole vectors or, where a row has too few of these for a tile's 8 outputs,
// one (3 to 12 channels in rows of 14 to 40 took 0.37 to 1.0 times as long, 3 or 6 of 112 1.1 to 1.8 times).
// With 20 channels of 8 lanes pairs took a third longer than single ones: borders cost more than idle lanes.
int64_t pixels_of(const Channels& channels, int64_t outputs) {
  const int64_t lanes = kernels().depthwise->lanes, c = channels.out, whole = lanes / std::gcd(lanes, c);
  if (channels.group.out > 1 || c >= lanes) return 1;
  return outputs < 8 * whole ? lanes / c : whole;
}

// Weights of all taps, and the bias, for so many pixels at once.
struct Filter {
  const float *w, *bias;
  int64_t pixels;
};

// What all rows of a pass share.
struct Pass {
  const Conv2dShape& v;
  bool dgrad;
  Channels channels;
  Filter one, many;
};

// w [taps][c] and the bias [c] to [taps + 1][pixels][c].
void repeat_filter(const Arguments& from, int64_t taps, int64_t c, int64_t pixels, float* to) {
  for (int64_t row = 0; row < taps + (from.bias != nullptr); ++row)
    for (int64_t i = 0; i < pixels; ++i)
      std::copy_n(row < taps ? from.w + row * c : from.bias, c, to + (row * pixels + i) * c);
}

// Outputs [begin, end) of a row, `pixels` at a time. Its weights begin at tap `tap` of the filter.
void run_outputs(const Pass& pass, const Axis& w, int64_t in_w, int64_t tap, Range outputs, int64_t pixels,
                 DepthwiseRow t) {
  const Channels& channels = pass.channels;
  const Filter& filter = pixels > 1 ? pass.many : pass.one;
  const int64_t weights = channels.group.in * channels.out * filter.pixels;
  const int64_t y = (w.first_out + outputs.begin * w.step_out) * channels.out;
  t.x += (w.first + outputs.begin * w.step) * channels.in;
  t.w = filter.w + (tap + w.filter) * weights;
  t.x_w = w.spread * channels.in, t.x_q = pixels * w.step * channels.in;
  t.w_h *= weights, t.w_w = w.filter_step * weights, t.w_g = channels.out;
  t.y_q = pixels * w.step_out * channels.out;
  t.y += y;
  if (t.mask) t.mask += y;
  if (t.bias) t.bias = filter.bias;
  t.channels = pixels * channels.out;
  const int64_t first = w.first + outputs.begin * w.step, taps = t.taps_h ? w.taps : 0;
  const int64_t unit = w.step == w.spread ? w.step : 1;  // of columns
  t.columns = {(outputs.end - outputs.begin) / pixels,
               taps,
               pixels * w.step / unit,
               w.spread / unit,
               ceil_div(-first, unit),
               ceil_div(in_w - first - (pixels - 1), unit)};
  kernels().depthwise->row(t);
}

// Every `w.spread`-th output, from i on: of dilated taps, they share what they read.
Axis interleaved(const Axis& w, int64_t i) {
  Axis a = w;
  a.outputs = ceil_div(w.outputs - i, w.spread);
  a.first_out += i * w.step_out, a.step_out *= w.spread;
  a.first += i, a.step = w.spread;
  return a;
}

// One output row of one phase of columns.
void run_columns(const Pass& pass, const Axis& w, int64_t in_w, int64_t tap, const DepthwiseRow& t) {
  const int64_t pixels = pass.many.pixels;
  if (pixels == 1 && w.step == 1 && w.spread > 1) {
    DepthwiseRow part = t;
    for (int64_t i = 0; i < std::min(w.spread, w.outputs); ++i, part.ahead = nullptr) {
      const Axis a = interleaved(w, i);
      run_outputs(pass, a, in_w, tap, {0, a.outputs}, 1, part);
    }
    return;
  }
  // Outputs all of whose taps exist.
  int64_t begin = std::min(w.outputs, w.first < 0 ? ceil_div(-w.first, w.step) : 0);
  const int64_t most = in_w - 1 - w.first - (w.taps - 1) * w.spread;  // of i step
  int64_t end = most < 0 ? begin : std::max(begin, std::min(w.outputs, most / w.step + 1));
  if (pixels == 1 || w.step > 1 || w.step_out > 1 || end == begin)
    return run_outputs(pass, w, in_w, tap, {0, w.outputs}, 1, t);
  const int64_t whole = begin + (end - begin) / pixels * pixels;
  const auto run = [&](int64_t from, int64_t to, int64_t together) {
    if (from < to) run_outputs(pass, w, in_w, tap, {from, to}, together, t);
  };
  run(0, begin, 1);
  run(begin, whole, pixels);
  run(whole, end, end - whole);
  run(end, w.outputs, 1);
}

// Where both phases of columns are computed together, so that they share what they read: of whole vectors
// alone. (One after the other took 1.3 to 1.5 times as long.)
bool joins_phases(const Pass& pass, const DepthwiseRow& t) {
  const Conv2dShape& v = pass.v;
  return pass.dgrad && v.s == 3 && v.stride_w == 2 && v.dilation_w == 1 && pass.channels.group.out == 1 &&
         pass.channels.out >= kernels().depthwise->lanes && !t.accumulate;
}

// All of an output row: of dy with zeros between its columns, by the filter turned round.
void run_joined(const Pass& pass, int64_t tap, DepthwiseRow t) {
  const Conv2dShape& v = pass.v;
  const int64_t c = pass.channels.out, begin = v.s - 1 - v.pad_left;
  t.x += ((begin & 1) - begin) / 2 * c;
  t.w = pass.one.w + (tap + v.s - 1) * c;
  t.x_w = t.x_q = c, t.w_h *= c, t.w_w = -c, t.w_g = t.y_q = c;
  if (t.bias) t.bias = pass.one.bias;
  t.channels = c;
  t.columns = {v.w, t.taps_h ? v.s : 0, 1, 1, begin, begin + 2 * v.q - 1, 2};
  kernels().depthwise->row(t);
}

// One output row, all its phases. tap: the first of the frame's.
void run_output_row(const Pass& pass, int64_t out_row, const Rows& x, int64_t tap, DepthwiseRow t) {
  const Conv2dShape& v = pass.v;
  const int64_t in_h = pass.dgrad ? v.p : v.h, in_w = pass.dgrad ? v.q : v.w;
  const int64_t phases = pass.dgrad ? std::min(v.stride_w, v.w) : 1;
  const Axis h = axis_of(height_of(v), pass.dgrad, pass.dgrad ? out_row % v.stride_h : 0);
  const int64_t i = pass.dgrad ? out_row / v.stride_h : out_row;
  const Range taps = x.data ? taps_inside(h, i, in_h) : Range{0, 0};
  t.taps_h = taps.end - taps.begin;
  t.group = pass.channels.group;
  t.x_h = h.spread * in_w * pass.channels.in, t.w_h = h.filter_step * v.s;
  t.x = x.data;
  if (t.taps_h) {
    t.x += (i * h.step + h.first + taps.begin * h.spread - x.first) * in_w * pass.channels.in;
    tap += (h.filter + taps.begin * h.filter_step) * v.s;
  }
  if (joins_phases(pass, t)) return run_joined(pass, tap, t);
  for (int64_t phase = 0; phase < phases; ++phase) {
    run_columns(pass, axis_of(width_of(v), pass.dgrad, phase), in_w, tap, t);
    t.ahead = nullptr;
  }
}

// The rows of an image that the next output row reads and this one does not; those of the next image where
// this one ends.
Range rows_ahead(const Conv2dShape& v, bool dgrad, int64_t out_row) {
  const auto last = [&](int64_t i) {
    return dgrad ? (i + v.pad_top) / v.stride_h : i * v.stride_h + (v.r - 1) * v.dilation_h - v.pad_top;
  };
  const int64_t out_h = dgrad ? v.h : v.p, in_h = dgrad ? v.p : v.h;
  return {last(out_row) + 1, (out_row + 1 < out_h ? last(out_row + 1) : in_h + last(0)) + 1};
}

void look_ahead(const Conv2dShape& v, bool dgrad, int64_t n, int64_t out_row, const float* x,
                DepthwiseRow* t) {
  const int64_t in_h = dgrad ? v.p : v.h, row = dgrad ? v.q * v.k : v.w * v.c;
  const Range rows = rows_ahead(v, dgrad, out_row);
  const int64_t begin = std::max<int64_t>(0, n * in_h + rows.begin),
                end = std::min(v.n * in_h, n * in_h + rows.end);
  if (begin < end) t->ahead = x + begin * row, t->ahead_floats = (end - begin) * row;
}

// w [T][R][S][in][K] of groups of out outputs to [T][R][S][out][C].
void transpose_groups(const Conv3dShape& volume, const float* w, float* to) {
  const Conv2dShape& v = volume.frame;
  const DepthwiseGroup g = group_of(v);
  for (int64_t tap = 0; tap < volume.t * v.r * v.s; ++tap, w += g.in * v.k)
    for (int64_t j = 0; j < g.out; ++j)
      for (int64_t c = 0; c < v.c; ++c) *to++ = w[c % g.in * v.k + c / g.in * g.out + j];
}

// The weights in the forms that the kernels want, made by all members for themselves but one.
Pass prepare_pass(const Conv3dShape& volume, bool dgrad, const Arguments& to, Context& context) {
  const Conv2dShape& v = volume.frame;
  Pass pass = {v, dgrad, channels_of(v, dgrad), {to.w, to.bias, 1}, {to.w, to.bias, 1}};
  float* const made = static_cast<float*>(context.workspace);
  const int64_t taps = volume.t * v.r * v.s, pixels = pixels_of(pass.channels, dgrad ? v.w : v.q);
  const bool transposed = dgrad && !one_channel(v);
  Arguments arguments = to;
  if (dgrad && repeats(v)) arguments.bias = nullptr;  // of the C channels that runs are summed to
  if (!transposed && pixels == 1) return pass;
  parallel_for(*context.member, 1, [&](int64_t) {
    if (transposed)
      transpose_groups(volume, to.w, made);
    else
      repeat_filter(arguments, taps, pass.channels.out, pixels, made);
  });
  if (transposed)
    pass.one.w = pass.many.w = made;
  else
    pass.many = {made, made + taps * pixels * pass.channels.out, pixels};
  return pass;
}

void run_fprop(const Conv3dShape& volume, const Depthwise& d, const Arguments& to, Context& context) {
  Member& me = *context.member;
  const Conv2dShape& v = volume.frame;
  const Pass pass = prepare_pass(volume, false, to, context);
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
      float* const y = to.y + (frame * v.p + p) * v.q * v.k;
      DepthwiseRow t = {};
      t.y = d.stream ? scratch : y;
      if (d.ahead) look_ahead(v, false, n, p, to.x, &t);
      for (int64_t tap = met.taps.begin; tap == met.taps.begin || tap < met.taps.end; ++tap) {
        if (volume.t > 1 && !none) x = rows_of(tap);
        t.accumulate = tap > met.taps.begin;
        if (tap + 1 >= met.taps.end) t.bias = to.bias, t.relu = to.relu;
        run_output_row(pass, p, x, none ? 0 : met.filter(tap) * v.r * v.s, t);
      }
      if (to.finish) to.finish(t.y, t.y, v.q * v.k, {});
      if (d.stream) kernels().depthwise->stream_copy(scratch, v.q * v.k, y);
    }
    if (d.stream) kernels().depthwise->finish_stream();
  });
}

void run_dgrad(const Conv3dShape& volume, const Depthwise& d, const Arguments& to, Context& context) {
  Member& me = *context.member;
  const Conv2dShape& v = volume.frame;
  const Pass pass = prepare_pass(volume, true, to, context);
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
      t.y = d.stream || repeats(v) ? scratch : to.y + row;
      if (d.ahead) look_ahead(v, true, n, h, to.x, &t);
      for (int64_t tap = met.taps.begin; tap == met.taps.begin || tap < met.taps.end; ++tap) {
        const Rows dy = {none ? nullptr : to.x + (n * volume.z + met.source(tap)) * v.p * v.q * v.k, 0};
        t.accumulate = tap > met.taps.begin;
        if (!repeats(v) && tap + 1 >= met.taps.end) t.mask = mask, t.bias = to.bias, t.relu = to.relu;
        run_output_row(pass, h, dy, none ? 0 : met.filter(tap) * v.r * v.s, t);
      }
      if (repeats(v))
        kernels().depthwise->sum_runs({scratch, to.y + row, to.bias, mask, v.w, v.c, multiplier(v), to.relu});
      else if (d.stream)
        kernels().depthwise->stream_copy(scratch, v.w * v.c, to.y + row);
    }
    if (d.stream) kernels().depthwise->finish_stream();
  });
}

void prepare(Prepared* p, const Conv3dShape& v, bool dgrad) {
  const Depthwise d = state<Depthwise>(p) = plan_depthwise(p, v, dgrad);
  p->scratch_bytes = scratch_bytes(v.frame, d, dgrad);
  const Channels channels = channels_of(v.frame, dgrad);
  const int64_t pixels = pixels_of(channels, dgrad ? v.frame.w : v.frame.q);
  if (dgrad && !one_channel(v.frame))
    p->workspace_bytes = float_bytes(weight_floats(v));
  else if (pixels > 1)
    p->workspace_bytes = float_bytes((v.t * v.frame.r * v.frame.s + 1) * pixels * channels.out);
}

void run_fprop(const Prepared& p, const Conv3dShape& v, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  run_fprop(v, state<Depthwise>(p),
            {input(x, 0), input(x, 1), e.bias ? input(x, 2) : nullptr, nullptr, output(x, 0),
             relu_of(e.activation), relu_of(e.activation) ? nullptr : other_activation(e.activation)},
            context);
}

void run_dgrad(const Prepared& p, const Conv3dShape& v, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& f = v.frame;
  run_dgrad(v, state<Depthwise>(p),
            {input(x, 0), input(x, 1), e.bias ? input(x, 3) : nullptr, e.relu_mask ? input(x, 2) : nullptr,
             output(x, 0), e.activation == Activation::kRelu, nullptr},
            context);
  finish_activation(context, e.activation, output(x, 0), f.n * v.d * f.h * f.w * f.c);
}

bool supports_volume(const Conv3dShape& v, bool dgrad) {
  return supports(v.frame, dgrad) && v.frame.k == v.frame.c;
}

}  // namespace

Depthwise plan_depthwise(Prepared* p, const Conv3dShape& volume, bool dgrad) {
  Depthwise d = {};
  const Conv2dShape& v = volume.frame;
  const int64_t out_h = dgrad ? v.h : v.p, out_frames = dgrad ? volume.d : volume.z;
  p->flops = conv_flops(volume), p->bytes = conv_bytes(volume);
  p->parallel = p->bytes >= kParallelBytes || p->flops >= kParallelFlops;
  // About 128 KB of input and output to a band, as far as there are rows.
  const int64_t frame_bytes = static_cast<int64_t>(p->bytes) / (v.n * out_frames);
  d.bands = std::max<int64_t>(1, std::min(out_h, frame_bytes / (128 << 10)));
  d.bands = halved_alike(d.bands, out_h, v.n * out_frames);
  d.rows_in = std::min(v.h, (ceil_div(out_h, d.bands) - 1) * v.stride_h + (v.r - 1) * v.dilation_h + 1);
  const bool plain = volume.t == 1 && volume.d == 1 && !repeats(v);
  d.ahead = plain && p->bytes > kAheadBytes;
  // More than half the last cache; what fits stays there, for less than writing past it costs.
  d.stream = plain && p->bytes > last_cache_bytes() / 2;
  return d;
}

bool supports_conv2d_fprop_depthwise(const OpDescriptor& op) {
  const Epilogue& e = op.epilogue;
  return !e.residual && !e.scale && !e.pool && supports(op.conv2d_fprop, false);
}
void prepare_conv2d_fprop_depthwise(Prepared* p) { prepare(p, volume_of(p->op.conv2d_fprop), false); }
void run_conv2d_fprop_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_fprop(p, volume_of(p.op.conv2d_fprop), x, context);
}

bool supports_conv2d_dgrad_depthwise(const OpDescriptor& op) {
  return !op.epilogue.residual && supports(op.conv2d_dgrad, true);
}
void prepare_conv2d_dgrad_depthwise(Prepared* p) { prepare(p, volume_of(p->op.conv2d_dgrad), true); }
void run_conv2d_dgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_dgrad(p, volume_of(p.op.conv2d_dgrad), x, context);
}

bool supports_conv3d_fprop_depthwise(const OpDescriptor& op) {
  return supports_volume(op.conv3d_fprop, false);
}
void prepare_conv3d_fprop_depthwise(Prepared* p) { prepare(p, p->op.conv3d_fprop, false); }
void run_conv3d_fprop_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_fprop(p, p.op.conv3d_fprop, x, context);
}

bool supports_conv3d_dgrad_depthwise(const OpDescriptor& op) {
  return supports_volume(op.conv3d_dgrad, true);
}
void prepare_conv3d_dgrad_depthwise(Prepared* p) { prepare(p, p->op.conv3d_dgrad, true); }
void run_conv3d_dgrad_depthwise(const Prepared& p, const Operands& x, Context& context) {
  run_dgrad(p, p.op.conv3d_dgrad, x, context);
}

}  // namespace cpu
}  // namespace fastcnn
