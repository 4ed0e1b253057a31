// SPDX-License-Identifier: Apache-2.0
// Winograd convolution of 2x2 to 7x7 filters with stride 1 or 2, channels-last: fprop, and dgrad as fprop of
// dy with the filters turned round. kernels/winograd.h has the formulas.
//
//   U[K block][group][point][panel][C][lanes]   transformed filters
//   V[part][point][tile][C]                     transformed input of some tiles
//   M[point][tile][K block] = V U               its products, point by point, sums over the parts
//
// A filter of other sizes than 3x3 is the sum of its parts, each with its own pixels. Of dgrad with stride 2
// and such filters each of the 2x2 phases of the outputs is a convolution by some of the taps: all read the
// same V, and one has its M after the other. So 5x5 takes 49 products in place of 100, 4x4 36 of 64.
//
// Never is all of V or M in memory: a task takes so few tiles that both stay in its L2 cache, and all output
// channels of them or a block. With few channels it takes a few of its tiles at a time through all three
// steps, in L1, and M in the place of V. Where the filters are so large that each task would stream them past
// its few tiles, the team shares V of many tiles and splits them by output channels. Transformed filters are
// kept where they are the same in many runs. Each output is the same chain of operations in any blocking.
#include "winograd_blocking.h"

namespace fastcnn {
namespace cpu {
namespace {

void prepare(Prepared* out, bool dgrad, Order order) {
  const Conv2dShape& v = out->op.conv2d_fprop;
  const Winograd d = state<Winograd>(out) = plan_winograd(out->op, dgrad, order);
  out->flops = conv_flops(v), out->bytes = conv_bytes(v);
  out->parallel = out->flops > kParallelFlops;
  (d.kept ? out->constant_bytes : out->workspace_bytes) = filter_bytes(d);
  if (d.shared) out->workspace_bytes = float_bytes(v_floats(d));
  out->scratch_bytes = scratch_bytes(d);
}

struct Arguments {
  const float *x, *w, *bias, *mask, *residual, *scale;
  float* y;
  uint8_t* index;  // of the max pooling that follows, or null
  int32_t relu, pool;
};

// A group of both axes, or a phase.
struct Pair {
  int64_t h, w;
};

// Some channels of a panel of the filters, the i-th of all, to their place in the block u, its taps in the
// order in which the input meets them. Whole vectors of w as they lie need no copy: 256 channels at 14x14,
// batch of one, took up to 1.06 times as long with one (AVX-512), 512 at 7x7, batch 8, 1.05 to 1.07 times
// (AVX2). Nine taps of a few columns are no run of memory that the processor foresees either, so that the
// next channels are asked for (without, the filters of 512 channels took 1.3 times as long and, at 7x7 and
// batch 16, the whole 1.03 times; to ask for their places in u as well gained nothing).
void transform_filters(const Winograd& d, const Arguments& from, int64_t i, Pair group, float* packed,
                       float* u) {
  const Group &h = d.groups_h.group[group.h], &w = d.groups_w.group[group.w];
  const int64_t first = i / d.packs * d.panel, cols = std::min(d.panel, d.out_c - first);
  const int64_t c = i % d.packs * kPackedChannels, channels = std::min(kPackedChannels, d.in_c - c);
  const int64_t row = d.filter_w * d.weight_tap, col = d.weight_tap;
  const float* const from_c = from.w + c * d.weight_in + first * d.weight_out;
  FilterTiles t = {};
  t.u = u + (i / d.packs % d.block_panels * d.in_c + c) * d.panel, t.u_plane = u_plane(d);
  t.short_h = !h.last(), t.short_w = !w.last();
  t.ahead = from_c + std::max<int64_t>(0, h.tap[0]) * row + std::max<int64_t>(0, w.tap[0]) * col;
  t.ahead_h = (h.tap[1] - h.tap[0]) * row, t.ahead_w = (w.tap[1] - w.tap[0]) * col;
  if (!d.dgrad && cols == d.panel && !from.scale) {
    t.w = t.ahead, t.ahead += kPackedChannels * d.weight_in;
    t.w_h = t.ahead_h, t.w_w = t.ahead_w, t.w_row = t.ahead_row = d.weight_in;
    t.rows = channels, t.cols = cols;
    return kernels().winograd->filter[d.order](t);
  }
  const int64_t floats = channels * d.panel;
  for (int64_t r = 0; r < 3 - t.short_h; ++r)
    for (int64_t q = 0; q < 3 - t.short_w; ++q) {
      float* const to = packed + (r * 3 + q) * floats;
      if (h.tap[r] < 0 || w.tap[q] < 0) {
        std::fill(to, to + floats, 0.0f);
        continue;
      }
      kernels().tile->pack({from_c + h.tap[r] * row + w.tap[q] * col, d.weight_in, d.weight_out, channels,
                            static_cast<int32_t>(cols), static_cast<int32_t>(d.panel),
                            from.scale ? from.scale + first : nullptr},
                           to);
    }
  // As many vectors as packed columns, of which each has a line of the next channels (its end, as that of a
  // pixel).
  const bool columns = d.dgrad && channels == kPackedChannels;
  t.w = packed, t.w_h = 3 * floats, t.w_w = floats;
  t.rows = columns ? d.panel : 1, t.cols = t.w_row = floats / t.rows;
  t.ahead += 2 * kPackedChannels - 1, t.ahead_row = columns ? d.weight_out : 0;
  kernels().winograd->filter[d.order](t);
}

// Tiles of a part, which ends where a register tile ends.
Range strips_of(const Winograd& d, int64_t part) {
  const Range strips = part_of(ceil_div(d.tiles, d.strip), d.parts, part);
  return {strips.begin * d.strip, std::min(d.tiles, strips.end * d.strip)};
}

// Panels of a block.
Range panels_of(const Winograd& d, int64_t block) {
  return {block * d.block_panels, std::min(d.panels, (block + 1) * d.block_panels)};
}

// M = V U for the tiles of V and the panels of a block of U, of a group and the parts that follow; of the
// group alone where they are apart, and then `adds` to what M holds of those before.
void multiply(const Winograd& d, Pair group, bool adds, const float* v, const float* u, Range panels,
              Range tiles, float* m) {
  // Of a task that makes its panel of the filters itself, so that V is what is far: rows of the next register
  // tile are asked for during the sums of one (512 channels at 7x7, batch 16, took 1.07 to 1.15 times as long
  // without), after the last those of the next point, which follow. Where it reads kept filters, they
  // are: 1.2 to 1.45 times as long if V was asked for.
  const bool far_tiles = makes_filters(d);
  Tile t = {};
  t.depth = d.in_c;
  t.a_step = 1, t.a_row = d.channels, t.a_group = 3 * t.a_row;
  t.b_step = d.panel, t.y_row = m_row(d);
  const Form& form = kForms[d.order];
  t.accumulate = adds;
  for (int64_t point = 0; point < d.m_points; ++point) {
    const Terms h = terms_of(d, d.groups_h, group.h, point / form.m, form.v * d.groups_w.parts);
    const Terms w = terms_of(d, d.groups_w, group.w, point % form.m, form.v * form.v);
    float* const to = m + point * m_plane(d);
    if (h.count * w.count == 0) {
      if (!adds) std::fill(to, to + (tiles.end - tiles.begin) * m_row(d), 0.0f);
      continue;
    }
    const Range met = common(tiles, tiles_that_meet(d, h, w));
    const int64_t before = met.begin - tiles.begin;
    for (int64_t i = panels.begin; i < panels.end && met.begin < met.end; ++i) {
      set_terms(&t, h, w, {v + before * d.channels, form.v, v_plane(d)},
                {u + (i - panels.begin) * d.in_c * d.panel, form.u, u_plane(d)});
      // Whole vectors: the last panel may have fewer.
      const int64_t cols = std::min(d.panel, round_up(d.out_c, kernels().tile->lanes) - i * d.panel);
      const int64_t rows = met.end - met.begin;
      t.y = to + before * m_row(d) + (i - panels.begin) * d.panel;
      t.ahead = far_tiles            ? t.a + d.strip * d.channels
                : i + 1 < panels.end ? t.b + d.in_c * d.panel
                                     : u + (point + 1) * u_plane(d);
      t.ahead_floats = far_tiles ? rows * d.channels : d.in_c * d.panel;
      kernels().tile->strip(t, rows, static_cast<int>(cols), kernels().tile->max_rows[1]);
    }
  }
}

// M = V U in the place of V; also of tiles beyond the last, up to whole strips.
// What the tiles after them will write and meet is asked for with the steps of the products: asked for by the
// tiles before, with no sums between, it came later than they needed it. (dgrad of 16 channels at 32x32,
// batch 128, with a mask took 1.15 to 1.3 times as long within ResNet-20, fprop 1.1 times. Their x, which a
// row of tiles above them asks for, gained no more so.)
void multiply_in_place(const Winograd& d, const Arguments& to, const float* u, Range tiles, float* v) {
  Products p = {};
  p.u = u, p.v = v;
  p.points = d.v_points, p.depth = d.in_c;
  p.v_tile = d.channels, p.v_plane = v_plane(d), p.u_plane = u_plane(d);
  p.vectors = static_cast<int32_t>(d.panel / kernels().tile->lanes);
  const int64_t outputs = to.pool ? 1 : d.outputs, row = d.dilation_h * d.out_w * d.out_c;
  p.far_floats = d.strip * outputs * d.out_c;
  const int64_t next = std::min(d.tiles, tiles.end + kernels().winograd->asks);
  for_each_run(d, {tiles.end, next}, [&](int64_t i, const Place& at, int64_t) {
    const int64_t first = (to.pool ? i : (at.n * d.out_h + at.p) * d.out_w + at.q) * d.out_c;
    for (const float* array : {static_cast<const float*>(to.y), to.mask, to.residual})
      for (int64_t r = 0; array && r < outputs; ++r) p.far[p.runs++] = array + first + r * row;
  });
  for (int64_t i = tiles.begin; i < tiles.end; i += d.strip, p.v += d.strip * d.channels) {
    kernels().winograd->multiply(p);
    for (int32_t run = 0; run < p.runs; ++run) p.far[run] += p.far_floats;
  }
}

void transform_output(const Winograd& d, Pair phase, const Arguments& to, const float* m, Range tiles,
                      int64_t block) {
  const int64_t first = block * m_row(d);
  OutputTiles t = {};
  const Flips flip = flips_of(d, d.order);
  const int64_t step_h = d.dilation_h * d.out_step, step_w = d.dilation_w * d.out_step;
  const int64_t row = step_h * d.out_w * d.out_c, col = step_w * d.out_c, last = d.outputs - 1;
  const int64_t begin = (flip.h ? last * row : 0) + (flip.w ? last * col : 0) + first;
  t.m_plane = m_plane(d), t.m_tile = m_row(d), t.y_row = flip.h ? -row : row, t.y_col = flip.w ? -col : col;
  t.y_tile = to.pool ? d.out_c : d.outputs * col;  // a tile is a window
  t.channels = std::min(m_row(d), d.out_c - first);
  t.bias = to.bias ? to.bias + first : nullptr;
  t.relu = to.relu, t.pool = to.pool;
  const int64_t step = d.outputs * step_w, end = d.out_w - (d.outputs - 1) * step_w;
  for_each_run(d, tiles, [&](int64_t i, const Place& at, int64_t count) {
    const int64_t p = at.p * d.out_step + phase.h;
    t.rows = pixels_inside(d.out_h, p, step_h, d.outputs, flip.h);
    // The last of a row may be not whole.
    for (int64_t j = 0, q = at.q * d.out_step + phase.w; j < count; j += t.count, q += t.count * step) {
      t.count = q < end ? std::min(count - j, ceil_div(end - q, step)) : 1;
      t.cols = pixels_inside(d.out_w, q, step_w, d.outputs, flip.w);
      const int64_t pixel = to.pool ? i + j : (at.n * d.out_h + p) * d.out_w + q;
      const int64_t out = pixel * d.out_c + begin;
      t.y = to.y + out, t.mask = to.mask ? to.mask + out : nullptr;
      t.residual = to.residual ? to.residual + out : nullptr;
      t.index = to.index ? to.index + out : nullptr;
      t.m = m + (i + j - tiles.begin) * m_row(d);
      kernels().winograd->output[d.order](t);
    }
  });
}

void run(const Winograd& d, const Arguments& to, Context& context) {
  Member& me = *context.member;
  float* const workspace = static_cast<float*>(context.workspace);
  float* const filters = static_cast<float*>(d.kept ? context.constants : workspace);
  float* const zeros = static_cast<float*>(me.scratch(scratch_bytes(d)));
  float* const packed = zeros + zeros_floats(d);
  float* const m = packed + packed_floats(d);
  float* const own = m + d.m_points * m_plane(d);
  std::fill(zeros, packed, 0.0f);
  const Form& form = kForms[d.order];
  Tiled x = {};
  x.data = to.x, x.h = d.in_h, x.w = d.in_w, x.c = x.channels = d.in_c;
  x.edge = form.pixels, x.two_outputs = form.two_outputs * d.spread, x.spread = d.spread;
  x.flip = flips_of(d, d.order), x.zeros = zeros;
  const auto transform_input = [&](Range tiles, float* v) {
    for (int64_t h = 0; h < d.groups_h.parts; ++h)
      for (int64_t w = 0; w < d.groups_w.parts; ++w, v += v_part(d)) {
        x.low_h = d.groups_h.group[h].low, x.low_w = d.groups_w.group[w].low;
        x.short_h = !last_met(d.groups_h, h), x.short_w = !last_met(d.groups_w, w);
        transform_tiles(kernels().winograd->input[d.order], d, x, tiles, {v, d.channels, v_plane(d)});
      }
  };
  const auto for_each_group = [&](auto f) {
    for (int64_t h = 0; h < d.groups_h.count(); ++h)
      for (int64_t w = 0; w < d.groups_w.count(); ++w) f(Pair{h, w}, h * d.groups_w.count() + w);
  };
  // From V of some tiles to their outputs, for a block of U, or one that the task makes itself.
  const auto multiply_block = [&](int64_t block, Range tiles, const float* v) {
    const Range panels = panels_of(d, block);
    const int64_t parts = d.groups_h.parts * d.groups_w.parts;
    for_each_group([&](Pair group, int64_t index) {
      // The first of those whose products are taken at once.
      const int64_t part = index % parts, first = d.apart ? part : 0;
      for (int64_t i = panels.begin * d.packs; makes_filters(d) && i < panels.end * d.packs; ++i)
        transform_filters(d, to, i, group, packed, own + (part - first) * u_group(d));
      const bool last = part + 1 == parts;
      if (last || d.apart) {
        const float* const u = filters + block * u_floats(d) + (index - part + first) * u_group(d);
        multiply(d, parts == 1 || d.apart ? group : Pair{0, 0}, first > 0, v + first * v_part(d),
                 makes_filters(d) ? own : u, panels, tiles, m);
      }
      if (last) transform_output(d, d.out_step > 1 ? group : Pair{0, 0}, to, m, tiles, block);
    });
  };

  if (filter_bytes(d) && !context.constants_ready)
    parallel_for(me, d.panels * d.packs, [&](int64_t i) {
      float* const u = filters + i / d.packs / d.block_panels * u_floats(d);
      for_each_group([&](Pair group, int64_t index) {
        transform_filters(d, to, i, group, packed, u + index * u_group(d));
      });
    });
  if (d.turn)
    return parallel_for(me, d.parts, [&](int64_t part) {
      const Range all = strips_of(d, part);
      for (int64_t i = all.begin; i < all.end; i += d.turn) {
        const Range tiles = {i, std::min(all.end, i + d.turn)};
        transform_input(tiles, m);
        multiply_in_place(d, to, filters, tiles, m);
        transform_output(d, {0, 0}, to, m, tiles, 0);
      }
    });
  if (!d.shared) {
    int64_t in_own = -1;  // the part that V is of
    return parallel_for(me, d.parts * d.blocks, [&](int64_t task) {
      const int64_t part = task / d.blocks, block = task % d.blocks;
      const Range tiles = strips_of(d, part);
      if (part != in_own) transform_input(tiles, own);
      in_own = part;
      multiply_block(block, tiles, own);
    });
  }
  for (int64_t part = 0; part < d.parts; ++part) {
    const Range tiles = strips_of(d, part);
    parallel_for(me, tiles.end - tiles.begin, [&](int64_t i) {
      transform_input({tiles.begin + i, tiles.begin + i + 1}, workspace + i * d.channels);
    });
    parallel_for(me, d.blocks, [&](int64_t block) { multiply_block(block, tiles, workspace); });
  }
}

bool chosen(const OpDescriptor& op, bool dgrad, Order order) {
  const Conv2dShape& v = op.conv2d_fprop;
  if (!fits_winograd(v, dgrad, order) || op.math == Math::kStrict || (order == kF4 && op.math != Math::kFast))
    return false;
  const Epilogue& e = op.epilogue;
  if (e.pool && (order != kF2 || e.pool != 2 || e.residual || v.dilation_h > 1 || v.dilation_w > 1 ||
                 !pools_whole_windows(e, v)))
    return false;
  const Winograd d = plan_winograd(op, dgrad, order);
  if (!fits_caches(d)) return false;
  const double clocks = winograd_clocks(d);
  const bool pairs = dgrad ? supports_conv2d_dgrad_bfloat16(op) : supports_conv2d_fprop_bfloat16(op);
  // What the model cannot see is worth 5 %, and 10 % of strides: 256 to 512 channels, an image of 14x14 and
  // kept filters, took up to 1.1 times as long with 25 products to a tile of which a quarter was outside.
  // Other filters than 3x3 took up to 1.1 times as long where the model saw 0.9, of few tiles on AVX2 where
  // it saw 0.85.
  const double least_gain = v.r != 3 || v.s != 3 ? kernels().tile->lanes < 16 ? 0.8 : 0.85
                            : order >= kStrided  ? 0.9
                                                 : 0.95;
  if (clocks > least_gain * direct_clocks(d) * (pairs ? bfloat16_cost(op) : 1)) return false;
  return order != kF4 || clocks < winograd_clocks(plan_winograd(op, dgrad, kF2));
}

void run_fprop(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_fprop;
  const Arguments to = {input(x, 0),
                        input(x, 1),
                        e.bias ? input(x, 2) : nullptr,
                        nullptr,
                        e.residual ? input(x, 3) : nullptr,
                        e.scale ? input(x, 4) : nullptr,
                        output(x, 0),
                        e.pool ? static_cast<uint8_t*>(x.out[1]) : nullptr,
                        e.activation == Activation::kRelu,
                        e.pool};
  run(state<Winograd>(p), to, context);
  finish_activation(context, e.activation, to.y, v.n * v.p * v.q * v.k);
}

void run_dgrad(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_dgrad;
  const Arguments to = {input(x, 0),
                        input(x, 1),
                        e.bias ? input(x, 3) : nullptr,
                        e.relu_mask ? input(x, 2) : nullptr,
                        e.residual ? input(x, 4) : nullptr,
                        nullptr,
                        output(x, 0),
                        nullptr,
                        e.activation == Activation::kRelu,
                        0};
  run(state<Winograd>(p), to, context);
  finish_activation(context, e.activation, to.y, v.n * v.h * v.w * v.c);
}

}  // namespace

bool supports_conv2d_fprop_winograd2(const OpDescriptor& op) { return chosen(op, false, kF2); }
void prepare_conv2d_fprop_winograd2(Prepared* p) { prepare(p, false, kF2); }
void run_conv2d_fprop_winograd2(const Prepared& p, const Operands& x, Context& c) { run_fprop(p, x, c); }

bool supports_conv2d_fprop_winograd4(const OpDescriptor& op) { return chosen(op, false, kF4); }
void prepare_conv2d_fprop_winograd4(Prepared* p) { prepare(p, false, kF4); }
void run_conv2d_fprop_winograd4(const Prepared& p, const Operands& x, Context& c) { run_fprop(p, x, c); }

bool supports_conv2d_fprop_winograd_strided(const OpDescriptor& op) { return chosen(op, false, kStrided); }
void prepare_conv2d_fprop_winograd_strided(Prepared* p) { prepare(p, false, kStrided); }
void run_conv2d_fprop_winograd_strided(const Prepared& p, const Operands& x, Context& c) {
  run_fprop(p, x, c);
}

bool supports_conv2d_dgrad_winograd2(const OpDescriptor& op) { return chosen(op, true, kF2); }
void prepare_conv2d_dgrad_winograd2(Prepared* p) { prepare(p, true, kF2); }
void run_conv2d_dgrad_winograd2(const Prepared& p, const Operands& x, Context& c) { run_dgrad(p, x, c); }

bool supports_conv2d_dgrad_winograd4(const OpDescriptor& op) { return chosen(op, true, kF4); }
void prepare_conv2d_dgrad_winograd4(Prepared* p) { prepare(p, true, kF4); }
void run_conv2d_dgrad_winograd4(const Prepared& p, const Operands& x, Context& c) { run_dgrad(p, x, c); }

bool supports_conv2d_dgrad_winograd_strided(const OpDescriptor& op) { return chosen(op, true, kStridedBack); }
void prepare_conv2d_dgrad_winograd_strided(Prepared* p) { prepare(p, true, kStridedBack); }
void run_conv2d_dgrad_winograd_strided(const Prepared& p, const Operands& x, Context& c) {
  run_dgrad(p, x, c);
}

}  // namespace cpu
}  // namespace fastcnn
