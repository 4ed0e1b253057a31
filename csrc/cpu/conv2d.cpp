// SPDX-License-Identifier: Apache-2.0
// Direct convolution, channels-last: fprop, and dgrad as the same sum over dy.
//
//   fprop  y [n,p,q,k] = sum over r,s,c of x [n, p stride + r dilation - pad, ..., c] w[r,s,c,k]
//   dgrad  dx[n,h,w,c] = sum over r,s,k of dy[n, (h + pad - r dilation) / stride, ..., k] w[r,s,c,k],
//
// where the division leaves no remainder.
//
// A strided dgrad falls apart into stride_h x stride_w phases of dx, each an ordinary convolution of dy with
// every stride-th tap, stored every stride-th pixel. An output row of one panel of output channels is a strip
// of register tiles (conv2d_strips.cpp, kernels/tile.h). Rows beyond the input are clipped from the sum;
// columns beyond it are zeros of a padded copy or, where that saves more than it costs, clipped tap by tap.
// Weights are packed to panels [taps][channels][lanes], in the order of ascending input offset. The long sums
// of a pointwise convolution are taken in parts, each by all pixels of a task before the next, so that what
// it reads of a panel stays in L1.
#include "conv2d_strips.h"
#include "kernels/copy.h"
#include "pool_rows.h"

namespace fastcnn {
namespace cpu {
namespace {

void prepare(Prepared* out, bool dgrad) {
  const Conv2dShape& v = out->op.conv2d_fprop;
  const Direct d = state<Direct>(out) = plan_direct(out->op, dgrad);
  out->flops = conv_flops(v), out->bytes = conv_bytes(v);
  out->parallel = pays_for_threads(*out)                        ? 1
                  : out->flops >= kOpenFlops && tasks_of(d) > 1 ? kInOpenRegion
                                                                : 0;
  (d.kept_panels ? out->constant_bytes : out->workspace_bytes) = weight_bytes(d);
  out->workspace_bytes += padded_bytes(d);
  out->scratch_bytes = scratch_bytes(d);
}

struct Weights {
  const float *w, *scale;  // scale: of the output channels, or null
};

struct PanelOf {
  int64_t group, panel;
};

// Steps of a panel [phase][taps][channels of a group] x [panel], taps of a phase in the order in which its
// sum takes them.
void pack_steps(const Direct& d, const Weights& weights, const PanelOf& of, Range steps, float* out) {
  const int64_t first = of.panel * d.panel, cols = std::min(d.panel, d.out_g - first);
  const float* const scale = weights.scale ? weights.scale + of.group * d.out_g + first : nullptr;
  const float* const w =
      weights.w + of.group * (d.dgrad ? d.in_g * d.weight_in : d.out_g * d.weight_out) + first * d.weight_out;
  int64_t at = 0;
  for (int64_t i = 0; i < d.phases_h; ++i)
    for (int64_t j = 0; j < d.phases_w; ++j) {
      const Axis h = axis_h(d, i), s = axis_w(d, j);
      for (int64_t th = 0; th < h.taps; ++th)
        for (int64_t tw = 0; tw < s.taps; ++tw, at += d.in_g) {
          const int64_t begin = std::max(at, steps.begin), end = std::min(at + d.in_g, steps.end);
          if (begin >= end) continue;
          const int64_t tap = (h.filter + th * h.filter_step) * d.filter_w + s.filter + tw * s.filter_step;
          d.tile->pack({w + tap * d.weight_tap + (begin - at) * d.weight_in, d.weight_in, d.weight_out,
                        end - begin, static_cast<int32_t>(cols), static_cast<int32_t>(d.panel), scale},
                       out);
          out += (end - begin) * d.panel;
        }
    }
}

// An image of so many rows as a copy has it.
StripInput copy_of(const Direct& d, const float* data, int64_t rows, int64_t first) {
  const int64_t row = d.columns * d.pixel;
  return {data, rows * d.columns * d.in_c, d.apart ? rows * row : d.in_g, row, first};
}

// One row of the input with zeros on both sides; its groups, where they are apart, `group` floats apart.
void pad_row(const Direct& d, const float* x, float* out, int64_t group) {
  const int64_t left = d.pad_left * d.pixel, middle = d.in_w * d.pixel;
  const auto zero = [&](int64_t begin, int64_t end) {
    kernels().copy->zero({x, out + begin, {d.apart ? d.groups : 1, 1, end - begin}, {}, {group, 0, 1}, 0});
  };
  zero(0, left);
  if (d.apart)
    kernels().copy->rows(
        {x, out + left, {d.in_w, d.groups, d.in_g}, {d.in_c, d.in_g, 1}, {d.in_g, group, 1}, 0});
  else if (d.rounds)
    kernels().bfloat16->round_along(x, 2 * middle, out + left);
  else
    std::copy(x, x + middle, out + left);
  zero(left + middle, d.columns * d.pixel);
}

struct Arguments {
  StripOutput strip;
  uint8_t* index;            // where a max pooling follows: of the places of its maxima, or null
  ActivationForward finish;  // of fprop: what is left to do for all that a task wrote; or null
};

// The panels of a task, which packs them itself.
void run_private(const Direct& d, const Weights& w, const StripTask& task, Range panels, float* scratch) {
  const int64_t all = d.panel_floats / d.panel, each = d.part;
  Strips strips(d, task);
  // Of all panels a few steps each: in the order of memory. Those of dgrad are contiguous.
  const int64_t run = d.weight_in == 1 || panels.end - panels.begin == 1 ? each : 16;
  for (int64_t begin = 0; begin < all; begin += each) {
    const Range part = {begin, std::min(begin + each, all)};
    const auto at = [&](int64_t i) { return scratch + (i - panels.begin) * part_floats(d); };
    const auto panel_of = [&](int64_t i) { return PanelOf{i / d.panels, i % d.panels}; };
    for (int64_t k = part.begin; k < part.end; k += run)
      for (int64_t i = panels.begin; i < panels.end; ++i)
        pack_steps(d, w, panel_of(i), {k, std::min(k + run, part.end)}, at(i) + (k - begin) * d.panel);
    for (int64_t i = panels.begin; i < panels.end; ++i) strips.run({{i, i + 1}, at(i), 0, {}, 0, 1}, part);
  }
}

// Panels that were packed before.
void run_packed(const Direct& d, const float* packed, const StripTask& task, Range panels) {
  const int64_t all = d.panel_floats / d.panel, each = d.part;
  const int64_t together = d.turn ? panels.end - panels.begin : 1;
  const float* const last = packed + (d.groups * d.panels - 1) * d.panel_floats;
  const int64_t turns = (panels.end - panels.begin) * ceil_div(all, each);
  int64_t turn = 0;
  Strips strips(d, task);
  for (int64_t i = panels.begin; i < panels.end; i += together)
    for (int64_t begin = 0; begin < all; begin += each, ++turn) {
      const float* const weights = packed + i * d.panel_floats + begin * d.panel;
      const Range steps = {begin, std::min(begin + each, all)};
      FloatRun next = {};
      if (task.next_x.data) {
        const Range part = part_of(task.next_x.count, turns, turn);
        next = {task.next_x.data + part.begin, part.end - part.begin};
      } else if (!d.turn && weights + each * d.panel <= last) {
        next = {weights + each * d.panel, (steps.end - steps.begin) * d.panel};
      }
      strips.run({{i, i + together}, weights, d.panel_floats, next, turn, turns}, steps);
    }
}

// Images and output rows of a task.
TaskPixels pixels_of(const Direct& d, int64_t task) {
  const int64_t band = task / d.parts % d.bands, n = task / d.parts / d.bands * d.images;
  const Range windows = part_of(d.rows / d.pool, d.bands, band);
  return {n, std::min(d.images, d.n - n), {windows.begin * d.pool, windows.end * d.pool}};
}

// What of a task is fetched while the one before it, `task`, runs. Its input, row after row from x on: tiles
// read many rows side by side, which the processor does not foresee; not where weights, which are fetched
// instead, are not much smaller. And its outputs: of lines that a tile asks for all at once before its sum
// the last wait for the first, 64 -> 256 channels pointwise at 56x56 took 1.1 times as long so, with a
// residual 1.2 to 1.3 times. (Stores past the caches took 0.93 to 1.4 times as long as those.)
void ask_for(const Direct& d, int64_t number, const float* x, int64_t row, StripTask* task) {
  const int64_t image = d.in_h * row;
  if (d.turn || d.private_panels || number == tasks_of(d)) return;
  const TaskPixels at = pixels_of(d, number);
  const Range in = rows_met(d, at.rows);
  if (d.asks_for_input && d.n * image >= 4 * d.groups * d.panels * d.panel_floats)
    task->next_x = {x + at.n * image + in.begin * row, (at.images - 1) * image + (in.end - in.begin) * row};
  if (d.parts == 1 && d.pool == 1) {
    const int64_t row_y = d.out_w * d.out_c, begin = at.rows.begin * d.phases_h;
    const int64_t rows = std::min(at.rows.end * d.phases_h, d.out_h) - begin;
    const int64_t first = at.n * d.out_h + begin;
    task->next_y = {first * row_y, (first + (at.images - 1) * d.out_h + rows) * row_y};
  }
}

void run(const Direct& d, const float* x, const Weights& w, const Arguments& to, Context& context) {
  Member& me = *context.member;
  float* const packed = static_cast<float*>(d.kept_panels ? context.constants : context.workspace);
  float* const padded =
      static_cast<float*>(context.workspace) + (d.kept_panels ? 0 : weight_bytes(d) / sizeof(float));
  const bool copied = d.input == Input::kPaddedWhole;
  const auto pad = [&](int64_t i) {
    const StripInput to = copy_of(d, padded, d.in_h, 0);
    pad_row(d, x + i * d.in_w * d.in_c, padded + i / d.in_h * to.image + i % d.in_h * to.row, to.group);
  };
  const int64_t all_panels = d.groups * d.panels;
  const int64_t pack_tasks = weight_bytes(d) && !context.constants_ready ? all_panels : 0;
  const int64_t pad_tasks = copied ? d.n * d.in_h : 0;
  if (pack_tasks + pad_tasks)
    parallel_for(me, pack_tasks + pad_tasks, [&](int64_t i) {
      if (i < pack_tasks)
        pack_steps(d, w, {i / d.panels, i % d.panels}, {0, d.panel_floats / d.panel},
                   packed + i * d.panel_floats);
      else
        pad(i - pack_tasks);
    });

  const int64_t source_row = copied ? d.columns * d.in_c : (d.rounds ? 2 : 1) * d.in_w * d.in_c;
  const StripInput source =
      copied ? copy_of(d, padded, d.in_h, 0) : StripInput{x, d.in_h * source_row, d.in_g, source_row, 0};
  parallel_for(me, tasks_of(d), [&](int64_t number) {
    const Range mine = part_of(all_panels, d.parts, number % d.parts);
    const TaskPixels at = pixels_of(d, number);
    const Range in = rows_met(d, at.rows);
    StripTask task = {source, to.strip, at, {}, {}};
    task.x.data += at.n * source.image;
    float* const scratch = static_cast<float*>(me.scratch(scratch_bytes(d)));
    float* const band_copy = scratch + panel_bytes(d) / sizeof(float);
    if (d.input == Input::kPaddedBand) {
      const StripInput copy = copy_of(d, band_copy, d.band_rows_in, in.begin);
      for (int64_t m = 0; m < at.images; ++m)
        for (int64_t h = in.begin; h < in.end; ++h)
          pad_row(d, task.x.data + m * source.image + h * source_row,
                  band_copy + m * copy.image + (h - in.begin) * copy.row, copy.group);
      task.x = copy;
    }
    float* const unpooled = band_copy + band_bytes(d) / sizeof(float);
    if (d.pool > 1) task.to.y = unpooled - (at.n * d.out_h + at.rows.begin) * d.out_w * d.out_c;
    if ((number + 1) % d.parts == 0) ask_for(d, number + 1, source.data, source_row, &task);
    if (!weight_bytes(d))
      run_private(d, w, task, mine, scratch);
    else
      run_packed(d, packed, task, mine);
    if (d.pool > 1) pool_rows(d, d.pool, unpooled, {at.n, at.n + at.images}, at.rows, to.strip.y, to.index);
    if (!to.finish) return;
    const int64_t row_y = d.out_w * d.out_c;
    for (int64_t m = 0; m < at.images; ++m) {
      float* const y = to.strip.y + ((at.n + m) * d.out_h + at.rows.begin) * row_y;
      to.finish(y, y, (at.rows.end - at.rows.begin) * row_y, {});
    }
  });
}

}  // namespace

bool supports_conv2d_fprop_direct(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_fprop;
  if (!op.epilogue.pool) return true;
  // A task has all channels of its windows, and these few rows stay in the cache.
  if (op.epilogue.residual || !pools_whole_windows(op.epilogue, v)) return false;
  const Direct d = plan_direct(op, false);
  return d.parts == 1 && unpooled_bytes(d) <= 2 * kBandBytes;
}
void prepare_conv2d_fprop_direct(Prepared* p) { prepare(p, false); }
void run_conv2d_fprop_direct(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_fprop;
  const int32_t relu = relu_of(e.activation);
  const Activation other = relu ? Activation::kNone : e.activation;
  // While it is in the cache, if a task has all channels of its rows.
  const bool whole = state<Direct>(p).parts == 1;
  const Arguments to = {
      {e.bias ? input(x, 2) : nullptr, nullptr, e.residual ? input(x, 3) : nullptr, output(x, 0), relu},
      e.pool ? static_cast<uint8_t*>(x.out[1]) : nullptr,
      whole ? other_activation(other) : nullptr};
  run(state<Direct>(p), input(x, 0), {input(x, 1), e.scale ? input(x, 4) : nullptr}, to, context);
  if (!whole) finish_activation(context, other, to.strip.y, v.n * v.p * v.q * v.k);
}

bool supports_conv2d_dgrad_direct(const OpDescriptor&) { return true; }
void prepare_conv2d_dgrad_direct(Prepared* p) { prepare(p, true); }
void run_conv2d_dgrad_direct(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_dgrad;
  const StripOutput to = {e.bias ? input(x, 3) : nullptr, e.relu_mask ? input(x, 2) : nullptr,
                          e.residual ? input(x, 4) : nullptr, output(x, 0),
                          e.activation == Activation::kRelu};
  run(state<Direct>(p), input(x, 0), {input(x, 1), nullptr}, {to, nullptr, nullptr}, context);
  finish_activation(context, e.activation, to.y, v.n * v.h * v.w * v.c);
}

}  // namespace cpu
}  // namespace fastcnn
