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
// of register tiles (kernels/tile.h). Rows beyond the input are clipped from the sum; columns beyond it are
// zeros of a padded copy or, where that saves more than it costs, clipped tap by tap. Weights are packed to
// panels [taps][channels][lanes], in the order of ascending input offset. The long sums of a pointwise
// convolution are taken in parts, each by all pixels of a task before the next, so that what it reads of a
// panel stays in L1.
#include "conv2d_direct.h"
#include "kernels/max_pool2d_index.h"
#include "kernels/pool2d.h"

namespace fastcnn {
namespace cpu {
namespace {

void prepare(Prepared* out, bool dgrad) {
  const Conv2dShape& v = out->op.conv2d_fprop;
  const Direct d = state<Direct>(out) = plan_direct(out->op, dgrad);
  out->flops = conv_flops(v), out->bytes = conv_bytes(v);
  out->parallel = out->flops > kParallelFlops;
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

// One row of the input with zeros on both sides.
void pad_row(const Direct& d, const float* x, float* out) {
  const int64_t left = d.pad_left * d.in_c, middle = d.in_w * d.in_c;
  std::fill(out, out + left, 0.0f);
  if (d.rounds)
    kernels().bfloat16->round_along(x, 2 * middle, out + left);
  else
    std::copy(x, x + middle, out + left);
  std::fill(out + left + middle, out + d.columns * d.in_c, 0.0f);
}

// Rows of the input as a task sees them: image i's row h at data + i image + (h - first) * row.
struct View {
  const float* data;
  int64_t image, row, first;
};

struct Arguments {
  const float *bias, *mask, *residual;
  float* y;
  uint8_t* index;  // where a max pooling follows: of the places of its maxima, or null
  int32_t relu;
  ActivationForward finish;  // of fprop: what is left to do for all that a task wrote; or null
};

// Output rows of every phase, of images n to n + images.
struct Pixels {
  int64_t n, images;
  Range rows;
};

// Floats that follow each other in memory.
struct Run {
  const float* data;
  int64_t count;
};

// What is fetched meanwhile, or nothing: what will be read, and where in all outputs what will be written.
struct Next {
  Run x;
  Range y;
};

// What a task reads and writes, and the pixels that it does.
struct Task {
  const View& x;
  const Arguments& to;
  const Pixels& at;
  Next next;  // of the next one
};

// Panels of a turn of a task and where they lie, `each` floats apart; what is fetched meanwhile, or nothing.
struct Panels {
  Range range;
  const float* weights;
  int64_t each;
  Run next;
  int64_t turn, turns;
};

// Steps of the sums of some panels, with their weights; parts of them where pixels are joined.
void run_panels(const Direct& d, const Task& task, const Panels& panels, Range steps) {
  const auto strip = d.pairs ? strip_of(d.pairs) : d.tile->strip;
  const View& x = task.x;
  const Arguments& to = task.to;
  const Pixels& at = task.at;
  bool begins = steps.begin == 0, ends = steps.end * d.panel == d.panel_floats;
  bool adds = begins;  // the residual
  Tile t = {};
  t.a_step = 1, t.b_step = d.panel;
  // 128 -> 512 channels pointwise at 28x28 took 1 to 8 % less, 256 -> 1024 at 14x14 3 to 5 %.
  t.fetch_y = begins && !d.turn;
  // What the epilogue meets lies as outputs do, and is as far: a strip asks for some of one of these arrays.
  const float* far[3] = {to.y};
  int64_t arrays = 1;
  for (const float* array : {to.mask, to.residual})
    if (array && array != to.y) far[arrays++] = array;
  // Of joined pixels, so that there are as many strips for each array.
  const int64_t pieces = d.private_panels || panels.turns * d.images % arrays == 0 ? 1 : arrays;
  const int64_t each = d.clipped ? ceil_div(d.filter_w, d.phases_w) + 2 : 1;  // of a row and its phases
  const int64_t strips =
      at.images * d.phases_h * d.phases_w * (d.joined ? pieces : (at.rows.end - at.rows.begin) * each);
  t.ahead = panels.next.data, t.ahead_floats = ceil_div(panels.next.count, strips);
  const Range& next_y = task.next.y;
  const int64_t shares = ceil_div(panels.turns * strips, arrays);  // of an array
  int64_t strip_number = panels.turn * strips;
  const float* weights = panels.weights;
  // Outputs from `out` on, `count` of them a row of tiles after the other.
  const auto run_strip = [&](const float* a, const float* b, int64_t out, int64_t count) {
    // Outputs of the next turn are asked for meanwhile, wherever it is: stores that wait for lines one by one
    // took twice as long (3 -> 79 channels pointwise).
    Ahead next = {to.y + out + count * t.y_row, count * t.y_row, count * t.y_row, 1};
    const int64_t lines = d.turn ? ceil_div(next.lines(), panels.range.end - panels.range.begin) : 0;
    if (next_y.end) {
      const Range share = part_of(next_y.end - next_y.begin, shares, strip_number / arrays);
      t.next_y = far[strip_number % arrays] + next_y.begin + share.begin;
      t.next_y_floats = share.end - share.begin;
      ++strip_number;
    }
    t.accumulate = !begins, t.relu = ends ? to.relu : 0;
    for (int64_t i = panels.range.begin; i < panels.range.end; ++i, b += panels.each) {
      next.ask(lines);
      const int64_t group = i / d.panels, column = i % d.panels * d.panel, first = group * d.out_g + column;
      t.a = a + group * d.in_g, t.b = b;
      t.y = to.y + out + first;
      t.bias = to.bias && begins ? to.bias + first : nullptr;
      t.mask = to.mask && ends ? to.mask + out + first : nullptr;
      t.residual = to.residual && adds ? to.residual + out + first : nullptr;
      strip(t, count, static_cast<int>(std::min(d.panel, d.out_g - column)), d.most_rows);
    }
    if (t.ahead) t.ahead += t.ahead_floats;
  };
  // A row by a strip for each tap of the columns that meet it. One that all meet begins, or none; what
  // follows the sums needs one more of none, a residual too, which then has the bits of an addition
  // afterwards, unless y replaces it.
  const bool replaces = to.residual == to.y;
  const auto run_clipped = [&](const Axis& w, const float* a, const float* b, int64_t out) {
    const int64_t taps_h = t.taps_h;
    const auto run_tap = [&](int64_t s, Range columns) {
      if (columns.begin < columns.end)
        run_strip(a + s * t.a_w + columns.begin * t.a_row, b + s * t.b_w, out + columns.begin * t.y_row,
                  columns.end - columns.begin);
    };
    const auto run_none = [&] {
      t.taps_h = 0;
      run_strip(x.data, b, out, w.outputs);
      t.taps_h = taps_h;
    };
    const auto meets_all = [&](int64_t s) {
      const Range inside = columns_inside(d, w, s);
      return inside.end - inside.begin == w.outputs;
    };
    int64_t first = 0;
    while (first < w.taps && !meets_all(first)) ++first;
    begins = true, ends = false, adds = replaces;
    if (first < w.taps)
      run_tap(first, {0, w.outputs});
    else
      run_none();
    begins = adds = false;
    for (int64_t s = 0; taps_h && s < w.taps; ++s)
      if (s != first) run_tap(s, columns_inside(d, w, s));
    ends = true, adds = !replaces;
    if (to.relu || to.mask || (to.residual && adds)) run_none();
  };
  for (int64_t i = 0; i < d.phases_h; ++i) {
    const Axis h = axis_h(d, i);
    for (int64_t j = 0; j < d.phases_w; ++j) {
      const Axis w = axis_w(d, j);
      const int64_t tap_row = w.taps * d.in_g;  // of one row of taps
      t.a_h = h.spread * x.row, t.a_w = w.spread * d.in_c, t.a_row = w.step * d.in_c, t.a_group = 3 * t.a_row;
      t.b_h = tap_row * d.panel, t.b_w = d.in_g * d.panel;
      t.taps_w = d.merged || d.clipped ? 1 : w.taps;
      t.depth = d.joined ? steps.end - steps.begin : d.merged ? tap_row : d.in_g;
      t.y_row = w.step_out * d.out_c;
      const int64_t end = std::min(at.rows.end, h.outputs), joined = d.joined ? end - at.rows.begin : 1;
      for (int64_t m = 0; m < at.images; ++m)
        for (int64_t p = at.rows.begin; p < end; p += joined) {
          const int64_t top = p * h.step + h.first;
          const Range taps = taps_inside(h, p, d.in_h);
          t.taps_h = w.taps ? taps.end - taps.begin : 0;
          const int64_t out =
              (((at.n + m) * d.out_h + h.first_out + p * h.step_out) * d.out_w + w.first_out) * d.out_c;
          const float *a = x.data, *b = weights;
          if (t.taps_h) {
            a += m * x.image + (top + taps.begin * h.spread - x.first) * x.row +
                 (w.first + d.pad_left) * d.in_c + (d.joined ? steps.begin : 0);
            b += taps.begin * t.b_h;
          }
          if (d.clipped) {
            run_clipped(w, a, b, out);
            continue;
          }
          const int64_t pixels = joined * w.outputs;
          const int64_t turn = d.turn ? d.turn : ceil_div(pixels, d.joined ? pieces : 1);
          for (int64_t q = 0; q < pixels; q += turn)
            run_strip(a + q * t.a_row, b, out + q * t.y_row, std::min(turn, pixels - q));
        }
      weights += h.taps * t.b_h;
    }
  }
}

// Rows of some images, made in scratch, to their maxima.
void pool_rows(const Direct& d, const Arguments& to, const Pixels& at, const float* y) {
  Pool2dShape s = {};
  s.n = at.images, s.h = at.rows.end - at.rows.begin, s.w = d.out_w, s.c = d.out_c;
  s.r = s.s = s.stride_h = s.stride_w = d.pool;
  s.dilation_h = s.dilation_w = 1;
  s.p = s.h / d.pool, s.q = s.w / d.pool;
  const int64_t out = (at.n * (d.out_h / d.pool) + at.rows.begin / d.pool) * s.q * s.c;
  if (to.index)
    kernels().max_pool2d_index->fwd({&s, y, to.y + out, to.index + out}, 0, s.n * s.p);
  else
    kernels().pool2d->max_fwd({&s, y, to.y + out, 0}, 0, s.n * s.p);
}

// The panels of a task, which packs them itself.
void run_private(const Direct& d, const Weights& w, const Task& task, Range panels, float* scratch) {
  const int64_t all = d.panel_floats / d.panel, each = d.part;
  // Of all panels a few steps each: in the order of memory. Those of dgrad are contiguous.
  const int64_t run = d.weight_in == 1 || panels.end - panels.begin == 1 ? each : 16;
  for (int64_t begin = 0; begin < all; begin += each) {
    const Range part = {begin, std::min(begin + each, all)};
    const auto at = [&](int64_t i) { return scratch + (i - panels.begin) * part_floats(d); };
    const auto panel_of = [&](int64_t i) { return PanelOf{i / d.panels, i % d.panels}; };
    for (int64_t k = part.begin; k < part.end; k += run)
      for (int64_t i = panels.begin; i < panels.end; ++i)
        pack_steps(d, w, panel_of(i), {k, std::min(k + run, part.end)}, at(i) + (k - begin) * d.panel);
    for (int64_t i = panels.begin; i < panels.end; ++i)
      run_panels(d, task, {{i, i + 1}, at(i), 0, {}, 0, 1}, part);
  }
}

// Panels that were packed before.
void run_packed(const Direct& d, const float* packed, const Task& task, Range panels) {
  const int64_t all = d.panel_floats / d.panel, each = d.part;
  const int64_t together = d.turn ? panels.end - panels.begin : 1;
  const float* const last = packed + (d.groups * d.panels - 1) * d.panel_floats;
  const int64_t turns = (panels.end - panels.begin) * ceil_div(all, each);
  int64_t turn = 0;
  for (int64_t i = panels.begin; i < panels.end; i += together)
    for (int64_t begin = 0; begin < all; begin += each, ++turn) {
      const float* const weights = packed + i * d.panel_floats + begin * d.panel;
      const Range steps = {begin, std::min(begin + each, all)};
      Run next = {};
      if (task.next.x.data) {
        const Range part = part_of(task.next.x.count, turns, turn);
        next = {task.next.x.data + part.begin, part.end - part.begin};
      } else if (!d.turn && weights + each * d.panel <= last) {
        next = {weights + each * d.panel, (steps.end - steps.begin) * d.panel};
      }
      run_panels(d, task, {{i, i + together}, weights, d.panel_floats, next, turn, turns}, steps);
    }
}

// Images and output rows of a task.
Pixels pixels_of(const Direct& d, int64_t task) {
  const int64_t band = task / d.parts % d.bands, n = task / d.parts / d.bands * d.images;
  const Range windows = part_of(d.rows / d.pool, d.bands, band);
  return {n, std::min(d.images, d.n - n), {windows.begin * d.pool, windows.end * d.pool}};
}

// What of a task is fetched while the one before it runs. Its input, row after row from x on: tiles read many
// rows side by side, which the processor does not foresee; not where weights, which are fetched instead, are
// not much smaller. And its outputs: of lines that a tile asks for all at once before its sum the last wait
// for the first, 64 -> 256 channels pointwise at 56x56 took 1.1 times as long so, with a residual 1.2 to 1.3
// times. (Stores past the caches took 0.93 to 1.4 times as long as those.)
Next next_of(const Direct& d, int64_t task, const float* x, int64_t row) {
  const int64_t tasks = ceil_div(d.n, d.images) * d.bands * d.parts, image = d.in_h * row;
  Next next = {};
  if (d.turn || d.private_panels || task == tasks) return next;
  const Pixels at = pixels_of(d, task);
  const Range in = rows_met(d, at.rows);
  if (d.asks_for_input && d.n * image >= 4 * d.groups * d.panels * d.panel_floats)
    next.x = {x + at.n * image + in.begin * row, (at.images - 1) * image + (in.end - in.begin) * row};
  if (d.parts == 1 && d.pool == 1) {
    const int64_t row_y = d.out_w * d.out_c, begin = at.rows.begin * d.phases_h;
    const int64_t rows = std::min(at.rows.end * d.phases_h, d.out_h) - begin;
    const int64_t first = at.n * d.out_h + begin;
    next.y = {first * row_y, (first + (at.images - 1) * d.out_h + rows) * row_y};
  }
  return next;
}

void run(const Direct& d, const float* x, const Weights& w, const Arguments& to, Context& context) {
  Member& me = *context.member;
  float* const packed = static_cast<float*>(d.kept_panels ? context.constants : context.workspace);
  float* const padded =
      static_cast<float*>(context.workspace) + (d.kept_panels ? 0 : weight_bytes(d) / sizeof(float));
  const int64_t row = d.columns * d.in_c;
  const int64_t all_panels = d.groups * d.panels;
  const int64_t pack_tasks = weight_bytes(d) && !context.constants_ready ? all_panels : 0;
  const int64_t pad_tasks = d.input == Input::kPaddedWhole ? d.n * d.in_h : 0;
  if (pack_tasks + pad_tasks)
    parallel_for(me, pack_tasks + pad_tasks, [&](int64_t i) {
      if (i < pack_tasks)
        pack_steps(d, w, {i / d.panels, i % d.panels}, {0, d.panel_floats / d.panel},
                   packed + i * d.panel_floats);
      else
        pad_row(d, x + (i - pack_tasks) * d.in_w * d.in_c, padded + (i - pack_tasks) * row);
    });

  const View source = d.input == Input::kPaddedWhole ? View{padded, 0, row, 0}
                                                     : View{x, 0, (d.rounds ? 2 : 1) * d.in_w * d.in_c, 0};
  const int64_t groups_of_images = ceil_div(d.n, d.images);
  parallel_for(me, groups_of_images * d.bands * d.parts, [&](int64_t task) {
    const Range mine = part_of(all_panels, d.parts, task % d.parts);
    const Pixels pixels = pixels_of(d, task);
    const int64_t n = pixels.n, images = pixels.images;
    const Range rows = pixels.rows, in = rows_met(d, rows);
    View view = {source.data + n * d.in_h * source.row, d.in_h * source.row, source.row, 0};
    float* const scratch = static_cast<float*>(me.scratch(scratch_bytes(d)));
    float* const band_copy = scratch + panel_bytes(d) / sizeof(float);
    if (d.input == Input::kPaddedBand) {
      for (int64_t m = 0; m < images; ++m)
        for (int64_t h = in.begin; h < in.end; ++h)
          pad_row(d, view.data + m * view.image + h * view.row,
                  band_copy + (m * d.band_rows_in + h - in.begin) * row);
      view = {band_copy, d.band_rows_in * row, row, in.begin};
    }
    Arguments here = to;
    float* const unpooled = band_copy + band_bytes(d) / sizeof(float);
    if (d.pool > 1) here.y = unpooled - (n * d.out_h + rows.begin) * d.out_w * d.out_c;
    const bool last = (task + 1) % d.parts == 0;
    const Task all = {view, here, pixels, last ? next_of(d, task + 1, source.data, source.row) : Next{}};
    if (!weight_bytes(d))
      run_private(d, w, all, mine, scratch);
    else
      run_packed(d, packed, all, mine);
    if (d.pool > 1) pool_rows(d, to, pixels, unpooled);
    if (!to.finish) return;
    for (int64_t m = 0; m < images; ++m) {
      const int64_t row_floats = d.out_w * d.out_c;
      float* const y = to.y + ((n + m) * d.out_h + rows.begin) * row_floats;
      to.finish(y, y, (rows.end - rows.begin) * row_floats, {});
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
  const Arguments to = {e.bias ? input(x, 2) : nullptr,
                        nullptr,
                        e.residual ? input(x, 3) : nullptr,
                        output(x, 0),
                        e.pool ? static_cast<uint8_t*>(x.out[1]) : nullptr,
                        relu,
                        whole ? other_activation(other) : nullptr};
  run(state<Direct>(p), input(x, 0), {input(x, 1), e.scale ? input(x, 4) : nullptr}, to, context);
  if (!whole) finish_activation(context, other, to.y, v.n * v.p * v.q * v.k);
}

bool supports_conv2d_dgrad_direct(const OpDescriptor&) { return true; }
void prepare_conv2d_dgrad_direct(Prepared* p) { prepare(p, true); }
void run_conv2d_dgrad_direct(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_dgrad;
  const Arguments to = {e.bias ? input(x, 3) : nullptr,
                        e.relu_mask ? input(x, 2) : nullptr,
                        e.residual ? input(x, 4) : nullptr,
                        output(x, 0),
                        nullptr,
                        e.activation == Activation::kRelu,
                        nullptr};
  run(state<Direct>(p), input(x, 0), {input(x, 1), nullptr}, to, context);
  finish_activation(context, e.activation, to.y, v.n * v.h * v.w * v.c);
}

}  // namespace cpu
}  // namespace fastcnn
