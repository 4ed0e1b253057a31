// SPDX-License-Identifier: Apache-2.0
// Convolution with the batch in lanes: fprop, and dgrad as the same sum over dy (correlation.h). A task is a
// band of output rows of one block of samples times a part of the output channels; kernels/lanes.h takes it
// row by row. Weights are read where they lie.
#include "lanes.h"

namespace fastcnn {
namespace cpu {
namespace {

// The blocking, from the shape alone.
struct Lanes : Correlation {
  int64_t blocks, bands, parts;
};

Lanes plan(const Conv2dShape& v, bool dgrad) {
  Lanes d = {};
  static_cast<Correlation&>(d) = correlation(v, dgrad);
  d.blocks = lane_blocks(v.n);
  const int64_t wanted = ceil_div(lanes_tasks(conv_flops(v)), d.blocks);
  // Rows first: a part of the channels reads all of x again.
  d.bands = std::min(d.rows, wanted);
  d.parts = std::min(ceil_div(d.out_c, 6), ceil_div(wanted, d.bands));
  return d;
}

void prepare(Prepared* out, const Conv2dShape& v, bool dgrad) {
  state<Lanes>(out) = plan(v, dgrad);
  out->flops = conv_flops(v), out->bytes = conv_bytes(v);
  out->parallel = out->flops > kLanesTaskFlops;
}

struct Arguments {
  const float *bias, *mask;
  float* y;
  int32_t relu;
};

// Rows [rows.begin, rows.end) of every phase, of channels [channels.begin, channels.end).
void run_band(const Lanes& d, const float* x, const float* w, const Arguments& to, Range rows,
              Range channels) {
  LanesRow t = {};
  t.w_out = d.weight_out;
  t.in = {d.in_c, d.in_h * d.in_w * kBatchLanes, d.weight_in};
  t.y_channel = d.out_h * d.out_w * kBatchLanes;
  t.width = d.in_w;
  t.channels = channels.end - channels.begin;
  t.relu = to.relu;
  t.bias = to.bias ? to.bias + channels.begin : nullptr;
  w += channels.begin * d.weight_out;
  for (int64_t i = 0; i < d.phases_h; ++i)
    for (int64_t j = 0; j < d.phases_w; ++j) {
      const Axis h = axis_h(d, i), s = axis_w(d, j);
      t.y_pixel = s.step_out * kBatchLanes;
      t.first = s.first, t.step = s.step, t.spread = s.taps ? s.spread : 1, t.pixels = s.outputs;
      t.cols = {s.taps, t.spread * kBatchLanes, s.filter_step * d.weight_tap};
      for (int64_t p = rows.begin; p < std::min(rows.end, h.outputs); ++p) {
        const Range taps = h.taps ? taps_inside(h, p, d.in_h) : Range{0, 0};
        const int64_t top = p * h.step + h.first + taps.begin * h.spread;
        const int64_t tap = (h.filter + taps.begin * h.filter_step) * d.filter_w + s.filter;
        t.rows = {taps.end - taps.begin, h.spread * d.in_w * kBatchLanes,
                  h.filter_step * d.filter_w * d.weight_tap};
        const int64_t out = channels.begin * t.y_channel +
                            ((h.first_out + p * h.step_out) * d.out_w + s.first_out) * kBatchLanes;
        t.x = t.rows.count ? x + top * d.in_w * kBatchLanes : x;
        t.w = t.rows.count ? w + tap * d.weight_tap : w;
        t.y = to.y + out;
        t.mask = to.mask ? to.mask + out : nullptr;
        kernels().lanes->row(t);
      }
    }
}

void run(const Lanes& d, const float* x, const float* w, const Arguments& to, Context& context) {
  const int64_t in_block = d.in_c * d.in_h * d.in_w * kBatchLanes;
  const int64_t out_block = d.out_c * d.out_h * d.out_w * kBatchLanes;
  parallel_for(*context.member, d.blocks * d.bands * d.parts, [&](int64_t task) {
    const int64_t block = task / (d.bands * d.parts);
    const Range rows = part_of(d.rows, d.bands, task / d.parts % d.bands);
    const Range channels = part_of(d.out_c, d.parts, task % d.parts);
    Arguments here = to;
    here.y += block * out_block;
    if (here.mask) here.mask += block * out_block;
    run_band(d, x + block * in_block, w, here, rows, channels);
  });
}

bool in_whole_blocks(const Conv2dShape& v) { return v.n % kBatchLanes == 0 && v.groups == 1; }

}  // namespace

bool supports_conv2d_fprop_lanes(const OpDescriptor& op) {
  return !op.epilogue.residual && in_whole_blocks(op.conv2d_fprop);
}
void prepare_conv2d_fprop_lanes(Prepared* p) { prepare(p, p->op.conv2d_fprop, false); }
void run_conv2d_fprop_lanes(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_fprop;
  const Arguments to = {e.bias ? input(x, 2) : nullptr, nullptr, output(x, 0),
                        e.activation == Activation::kRelu};
  run(state<Lanes>(p), input(x, 0), input(x, 1), to, context);
  finish_activation(context, e.activation, to.y, v.n * v.p * v.q * v.k);
}

bool supports_conv2d_dgrad_lanes(const OpDescriptor& op) { return in_whole_blocks(op.conv2d_dgrad); }
void prepare_conv2d_dgrad_lanes(Prepared* p) { prepare(p, p->op.conv2d_dgrad, true); }
void run_conv2d_dgrad_lanes(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_dgrad;
  const Arguments to = {e.bias ? input(x, 3) : nullptr, e.relu_mask ? input(x, 2) : nullptr, output(x, 0),
                        e.activation == Activation::kRelu};
  run(state<Lanes>(p), input(x, 0), input(x, 1), to, context);
  finish_activation(context, e.activation, to.y, v.n * v.h * v.w * v.c);
}

}  // namespace cpu
}  // namespace fastcnn
