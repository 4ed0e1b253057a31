// SPDX-License-Identifier: Apache-2.0
// Winograd convolution of 3x3 filters with stride 1 or 2, channels-last: fprop, and dgrad as fprop of dy with
// the filters turned round. kernels/winograd.h has the formulas.
//
//   U[K block][point][panel][C][lanes]   transformed filters
//   V[point][tile][C]                    transformed input of some tiles
//   M[point][tile][K block] = V U        its products, point by point
//
// Never is all of V or M in memory: a task takes so few tiles that both stay in its L2 cache, and all output
// channels of them or a block. Where the filters are so large that each task would stream them past its few
// tiles, the team shares V of many tiles and splits them by output channels. Transformed filters are kept
// where they are the same in many runs. Each output is the same chain of operations in any blocking.
#include "winograd.h"

namespace fastcnn {
namespace cpu {
namespace {

// The blocking, from the shape alone.
struct Winograd : Correlation, Tiling {
  int32_t shared;                // V is the team's and U a task's own; else the other way round
  int32_t kept;                  // U of all blocks stays from run to run
  int64_t channels;              // of a tile in V: in_c in whole vectors
  int64_t panel, panels, packs;  // columns of a panel of U; packed channels of each
  int64_t block_panels, blocks;  // K blocks
  int64_t strip;                 // rows of a register tile
  int64_t part, parts;           // tiles in V at a time
};

// Bytes of a task's blocks: half an L2 cache of 1 MB and a little more, since U only streams past; and of
// what the team shares, in L3.
constexpr int64_t kPartBytes = 640 << 10, kFilterBytes = 6 << 20, kSharedBytes = 12 << 20;
constexpr int64_t kWideSteps = 192;
// Of filters between packing and their transform: in L1.
constexpr int64_t kPackedChannels = 16;

// The first outputs of a tile of a strided dgrad are even ones, which meet two taps; where they are odd, the
// tile is taken from its end.
Flips flips_of(const Correlation& d, Order order) {
  const auto odd = [order](const AxisShape& axis) { return order == kStridedBack && axis.pad % 2; };
  return {odd(d.height), odd(d.width)};
}

Winograd plan(const OpDescriptor& op, bool dgrad, Order order) {
  const Conv2dShape& v = op.conv2d_fprop;  // the passes share this struct
  const TileKernels& kernel = *kernels().tile;
  Winograd d = {};
  d.kept = op.constant_weights != 0;
  static_cast<Correlation&>(d) = correlation(v, dgrad);
  static_cast<Tiling&>(d) = tiling(order, v, d.out_h, d.out_w, flips_of(d, order));
  d.channels = round_up(d.in_c, kernel.lanes);
  // Nearly equal panels, wide ones where tiles or panels are enough for a team. (Sums of 128 took as long,
  // F(4) of them 1.1 times.)
  const int64_t few = 8, least_tiles = 24, columns = ceil_div(d.out_c, kernel.lanes);
  const bool wide = d.in_c >= kWideSteps && (d.tiles >= few * least_tiles || columns >= few * kMaxVectors);
  const int64_t vectors = wide ? wide_vectors() : kernel.vectors;
  d.panel = kernel.lanes * ceil_div(columns, ceil_div(columns, vectors));
  d.panels = ceil_div(d.out_c, d.panel), d.packs = ceil_div(d.in_c, kPackedChannels);
  d.strip = kernel.max_rows[d.panel / kernel.lanes];

  // Parts of so many tiles at least (12 cost a fifth of 16 channels), of more while there are enough of them
  // for a large team.
  const int64_t tile_bytes = d.v_points * d.channels * 4, panel_bytes = d.u_points * d.in_c * d.panel * 4;
  const int64_t strips = ceil_div(d.tiles, d.strip);
  const int64_t most = kPartBytes / tile_bytes / d.strip;
  const int64_t least = ceil_div(least_tiles, d.strip);
  d.part = std::max(least, std::min(most, ceil_div(strips, kTasks)));
  // With fewer parts than `few` a team waits for its last ones: then panels, if there are more, share the
  // work better. Kept ones are tasks of their own, which make V again where another member has it: V from
  // another core's cache took 1.7 times as long (128 channels at 28x28, AVX-512), and where all of it fits
  // and filters are large 1.2 times (256 channels at 14x14).
  const int64_t parts = ceil_div(strips, d.part);
  const bool large = most < least || panel_bytes * d.panels > kFilterBytes;
  const bool whole = d.kept && large && d.panels > parts && d.tiles * tile_bytes <= kPartBytes;
  d.shared = large ? !whole : !d.kept && parts < few && d.panels > parts;
  if (whole) d.part = strips;
  if (d.shared) d.part = std::max<int64_t>(2, std::min(strips, kSharedBytes / tile_bytes / d.strip));
  const int64_t together = d.shared      ? std::min(kPartBytes / panel_bytes, d.panels / few)
                           : parts < few ? 1
                                         : 64 / d.panel;
  d.block_panels = std::min(d.panels, std::max<int64_t>(1, together));
  d.blocks = ceil_div(d.panels, d.block_panels);
  d.part *= d.strip;
  d.parts = ceil_div(d.tiles, d.part);
  return d;
}

// Costs in clocks of a core that begins two vector operations in each, as measured on AVX2 (Zen 4).
//
//   direct    N P Q 9 C [K] / 2 + 30 register tiles
//   Winograd  products T C [K] / 2 + 30 points of M register tiles
//             + input T [C] + output T [K] + filter C [K]  transforms
//
// or, where they take longer, what reading kept filters takes of a core's share of memory's bandwidth, a
// clock for each float (half of it for 16 lanes chose F(4) for 256 channels of one 14x14 image, 36 points of
// filters beside 16, which took 1.25 times as long as F(2) within ResNet-18); what is not kept is read alike;
// with T tiles in all and [] for vectors. The transforms of F(4) have more points than registers and
// cost what their memory does; those of filters are done in each part where V is shared.
struct TransformClocks {
  double input, output, filter;
};
constexpr TransformClocks kTransform[] = {{40, 60, 110}, {240, 190, 160}, {60, 40, 110}, {40, 110, 110}};
constexpr double kRegisterTile = 30, kFloatRead = 1;

// Those of all but F(4) on 16 lanes, where a vector is all of a cache line: half as much again, as 16 to 16
// channels show, which are faster directly there, and 16 to 32, which are not.
double transform_clocks(const Winograd& d, double clocks) {
  return d.order != kF4 && kernels().tile->lanes == 16 ? 1.5 * clocks : clocks;
}

// One of stride 2 saves less than its filters' transform takes where few tiles meet them: on 16 lanes a
// vector of each point is a line that goes through L3 (256 channels at 28x28, batch of one: 1.15 times as
// long as directly; 1.05 to 1.15 times as fast on AVX2).
double filter_clocks(const Winograd& d) {
  const double clocks = kTransform[d.order].filter;
  return d.order >= kStrided && kernels().tile->lanes == 16 ? 3 * clocks : clocks;
}

double vectors(int64_t channels) { return static_cast<double>(ceil_div(channels, kernels().tile->lanes)); }

double read_clocks(const Winograd& d, int64_t points) {
  return kFloatRead * static_cast<double>(points * d.in_c * round_up(d.out_c, kernels().tile->lanes));
}

double winograd_clocks(const Winograd& d) {
  const double tiles = static_cast<double>(d.tiles), in = vectors(d.in_c), out = vectors(d.out_c);
  const double register_tiles = static_cast<double>(ceil_div(d.tiles, d.strip) * d.panels);
  const TransformClocks& each = kTransform[d.order];
  const double filters = d.in_c * out;
  const double products =
      static_cast<double>(d.products) * tiles * filters / 2 + kRegisterTile * d.m_points * register_tiles;
  return (d.kept ? std::max(products, read_clocks(d, d.u_points))
                 : products + filter_clocks(d) * filters * (d.shared ? d.parts : 1)) +
         transform_clocks(d, each.input * tiles * in + each.output * tiles * out);
}

double direct_clocks(const Winograd& d) {
  // Phases of a strided dgrad share the taps.
  const double phases = static_cast<double>(d.phases_h * d.phases_w);
  const double register_tiles =
      static_cast<double>(d.n * d.rows * ceil_div(d.cols, d.strip) * d.panels) * phases;
  const double filters = 9 * d.in_c * vectors(d.out_c);
  const double pixels = static_cast<double>(d.n * d.out_h * d.out_w) / phases;
  const double products = pixels * filters / 2 + kRegisterTile * register_tiles;
  return d.kept ? std::max(products, read_clocks(d, 9)) : products;
}

int64_t u_plane(const Winograd& d) { return plane_floats(d.block_panels * d.in_c * d.panel); }
int64_t v_plane(const Winograd& d) { return plane_floats(d.part * d.channels); }
int64_t m_row(const Winograd& d) { return d.block_panels * d.panel; }
int64_t m_plane(const Winograd& d) { return plane_floats(d.part * m_row(d)); }
int64_t u_floats(const Winograd& d) { return d.u_points * u_plane(d); }  // of a block
int64_t v_floats(const Winograd& d) { return d.v_points * v_plane(d); }
int64_t zeros_floats(const Winograd& d) { return round_up(d.channels, 16); }
int64_t packed_floats(const Winograd& d) {
  return round_up(9 * std::min(kPackedChannels, d.in_c) * d.panel, 16);
}

// Constants, or workspace: U of all blocks. Workspace: V of the team. Scratch: zeros, one panel of filters,
// M, and a task's own V or U.
size_t filter_bytes(const Winograd& d) {
  return d.shared && !d.kept ? 0 : float_bytes(d.blocks * u_floats(d));
}
size_t scratch_bytes(const Winograd& d) {
  const int64_t own = !d.shared ? v_floats(d) : d.kept ? 0 : u_floats(d);
  return float_bytes(zeros_floats(d) + packed_floats(d) + d.m_points * m_plane(d) + own);
}

void prepare(Prepared* out, bool dgrad, Order order) {
  const Conv2dShape& v = out->op.conv2d_fprop;
  const Winograd d = state<Winograd>(out) = plan(out->op, dgrad, order);
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

// Some channels of a panel of the filters, the i-th of all, to their place in the block u, its taps in the
// order in which the input meets them.
void transform_filters(const Winograd& d, const Arguments& from, int64_t i, float* packed, float* u) {
  const Flips flip = flips_of(d, d.order);
  const bool back_h = d.dgrad && !flip.h, back_w = d.dgrad && !flip.w;
  const int64_t first = i / d.packs * d.panel, cols = std::min(d.panel, d.out_c - first);
  const int64_t c = i % d.packs * kPackedChannels, channels = std::min(kPackedChannels, d.in_c - c);
  const int64_t floats = channels * d.panel;
  for (int64_t r = 0; r < 3; ++r)
    for (int64_t q = 0; q < 3; ++q) {
      const int64_t tap = (back_h ? 2 - r : r) * 3 + (back_w ? 2 - q : q);
      kernels().tile->pack({from.w + tap * d.weight_tap + c * d.weight_in + first * d.weight_out, d.weight_in,
                            d.weight_out, channels, static_cast<int32_t>(cols), static_cast<int32_t>(d.panel),
                            from.scale ? from.scale + first : nullptr},
                           packed + (r * 3 + q) * floats);
    }
  float* const to = u + (i / d.packs % d.block_panels * d.in_c + c) * d.panel;
  kernels().winograd->filter[d.order]({packed, to, floats, u_plane(d)});
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

// M = V U for the tiles of V and the panels of a block of U.
void multiply(const Winograd& d, const float* v, const float* u, Range panels, Range tiles, float* m) {
  // Of a task that makes its panel of the filters itself, so that V is what is far: its next rows are asked
  // for during the sums of some (512 channels at 7x7, batch 16, took 1.07 to 1.15 times as long without).
  // Where it reads kept filters, they are: 1.2 to 1.45 times as long if V was asked for.
  const bool far_tiles = d.shared && !d.kept;
  Tile t = {};
  t.depth = d.in_c;
  t.a_step = 1, t.a_row = d.channels, t.a_group = 3 * t.a_row;
  t.b_step = d.panel, t.y_row = m_row(d);
  t.ahead_floats = far_tiles ? d.strip * d.channels : d.in_c * d.panel;
  const Form& form = kForms[d.order];
  for (int64_t point = 0; point < d.m_points; ++point) {
    const Terms &h = form.terms[point / form.m], &w = form.terms[point % form.m];
    const Range met = common(tiles, tiles_that_meet(d, h, w));
    const int64_t before = met.begin - tiles.begin;
    for (int64_t i = panels.begin; i < panels.end && met.begin < met.end; ++i) {
      set_terms(&t, h, w, {v + before * d.channels, form.v, v_plane(d)},
                {u + (i - panels.begin) * d.in_c * d.panel, form.u, u_plane(d)});
      // Whole vectors: the last panel may have fewer.
      const int64_t cols = std::min(d.panel, round_up(d.out_c, kernels().tile->lanes) - i * d.panel);
      const int64_t rows = met.end - met.begin, strips = far_tiles ? ceil_div(rows, d.strip) : 1;
      for (int64_t n = 0; n < strips; ++n) {
        const Range part = part_of(rows, strips, n);
        const bool last = n + 1 == strips;
        Tile strip = t;
        strip.a += part.begin * d.channels;
        strip.y = m + point * m_plane(d) + (before + part.begin) * m_row(d) + (i - panels.begin) * d.panel;
        if (far_tiles)
          strip.ahead = last ? v + (point + 1) * v_plane(d) : t.a + part.end * d.channels;
        else
          strip.ahead = i + 1 < panels.end ? t.b + d.in_c * d.panel : u + (point + 1) * u_plane(d);
        kernels().tile->strip(strip, part.end - part.begin, static_cast<int>(cols),
                              kernels().tile->max_rows[1]);
      }
    }
  }
}

void transform_output(const Winograd& d, const Arguments& to, const float* m, Range tiles, int64_t block) {
  const int64_t first = block * m_row(d);
  OutputTile t = {};
  const Flips flip = flips_of(d, d.order);
  const int64_t row = d.dilation_h * d.out_w * d.out_c, col = d.dilation_w * d.out_c, last = d.outputs - 1;
  const int64_t begin = (flip.h ? last * row : 0) + (flip.w ? last * col : 0) + first;
  t.m_plane = m_plane(d), t.y_row = flip.h ? -row : row, t.y_col = flip.w ? -col : col,
  t.y_tile = d.outputs * col;
  t.channels = std::min(m_row(d), d.out_c - first);
  t.bias = to.bias ? to.bias + first : nullptr;
  t.relu = to.relu, t.pool = to.pool;
  for_each_place(d, tiles, [&](int64_t i, const Place& at, bool begins_row) {
    // A tile is a window.
    const int64_t pixel = to.pool ? i : (at.n * d.out_h + at.p) * d.out_w + at.q;
    const int64_t out = pixel * d.out_c + begin;
    t.y = to.y + out, t.mask = to.mask ? to.mask + out : nullptr;
    t.residual = to.residual ? to.residual + out : nullptr;
    t.index = to.index ? to.index + out : nullptr;
    if (begins_row) t.rows = pixels_inside(d.out_h, at.p, d.dilation_h, d.outputs, flip.h);
    t.cols = pixels_inside(d.out_w, at.q, d.dilation_w, d.outputs, flip.w);
    t.m = m + (i - tiles.begin) * m_row(d);
    kernels().winograd->output[d.order](t);
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
  const Tiled x = {to.x,    d.in_h,  d.in_w,      d.in_c,           d.in_c,
                   d.low_h, d.low_w, form.pixels, form.two_outputs, flips_of(d, d.order),
                   zeros};
  const auto transform_input = [&](Range tiles, float* v) {
    transform_tiles(kernels().winograd->input[d.order], d, x, tiles, {v, d.channels, v_plane(d)});
  };
  const auto multiply_block = [&](int64_t block, Range tiles, const float* v, const float* u) {
    multiply(d, v, u, panels_of(d, block), tiles, m);
    transform_output(d, to, m, tiles, block);
  };

  if (filter_bytes(d) && !context.constants_ready)
    parallel_for(me, d.panels * d.packs, [&](int64_t i) {
      transform_filters(d, to, i, packed, filters + i / d.packs / d.block_panels * u_floats(d));
    });
  if (!d.shared) {
    int64_t in_own = -1;  // the part that V is of
    return parallel_for(me, d.parts * d.blocks, [&](int64_t task) {
      const int64_t part = task / d.blocks, block = task % d.blocks;
      const Range tiles = strips_of(d, part);
      if (part != in_own) transform_input(tiles, own);
      in_own = part;
      multiply_block(block, tiles, own, filters + block * u_floats(d));
    });
  }
  for (int64_t part = 0; part < d.parts; ++part) {
    const Range tiles = strips_of(d, part);
    parallel_for(me, tiles.end - tiles.begin, [&](int64_t i) {
      transform_input({tiles.begin + i, tiles.begin + i + 1}, workspace + i * d.channels);
    });
    parallel_for(me, d.blocks, [&](int64_t block) {
      const float* u = d.kept ? filters + block * u_floats(d) : own;
      const Range panels = panels_of(d, block);
      for (int64_t i = panels.begin * d.packs; !d.kept && i < panels.end * d.packs; ++i)
        transform_filters(d, to, i, packed, own);
      multiply_block(block, tiles, workspace, u);
    });
  }
}

bool chosen(const OpDescriptor& op, bool dgrad, Order order) {
  const Conv2dShape& v = op.conv2d_fprop;
  if (!fits_winograd(v, order >= kStrided) || op.math == Math::kStrict ||
      (order == kF4 && op.math != Math::kFast))
    return false;
  const Epilogue& e = op.epilogue;
  if (e.pool && (order != kF2 || e.pool != 2 || e.residual || v.dilation_h > 1 || v.dilation_w > 1 ||
                 !pools_whole_windows(e, v)))
    return false;
  const Winograd d = plan(op, dgrad, order);
  const double clocks = winograd_clocks(d);
  const bool pairs = dgrad ? supports_conv2d_dgrad_bfloat16(op) : supports_conv2d_fprop_bfloat16(op);
  // What the model cannot see is worth 5 %, and 10 % of strides: 256 to 512 channels, an image of 14x14 and
  // kept filters, took up to 1.1 times as long with 25 products to a tile of which a quarter was outside.
  const double least_gain = order >= kStrided ? 0.9 : 0.95;
  if (clocks > least_gain * direct_clocks(d) * (pairs ? bfloat16_cost(op) : 1)) return false;
  return order != kF4 || clocks < winograd_clocks(plan(op, dgrad, kF2));
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
