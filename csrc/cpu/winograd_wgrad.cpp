// SPDX-License-Identifier: Apache-2.0
// Weight gradient of filters with stride 1 or 2 by Winograd's F(2,3) or F(4,3), or F(2,2), turned round: with
// V and W the transforms of tiles of x and dy (kernels/winograd.h),
//
//   D[point][c][k] = sum over tiles of V[point][tile][c] W[point][tile][k],   dw = G' D G.
//
// A task has some channels, some output channels and a chunk of the tiles, so that a block of V and W and all
// of its D stay in its L2 cache. Chunks are cut by shape alone and added in order at the end; where all tiles
// are one, the task itself makes dw of its D. Where parts are many and V and W of all tiles fit in L3, the
// team transforms each tile once and tasks read them there: [part][point][tile][channel].
//
// Other filters than 3x3 fall apart into parts of three and of two taps (winograd.h). Each is a weight
// gradient of its own, of pixels of x that begin with its first tap: so V has parts of the filter as it has
// parts of the channels. 5x5 takes 49 products of 100 and 0.56 to 0.75 of the time that it takes directly,
// 4x4 36 of 64 and 0.66 to 0.85, 7x7 100 of 196 and 0.64 to 0.8 (two threads of Zen 4, AVX-512, 32 to 256
// channels, images from 14x14 on).
#include "winograd.h"

namespace fastcnn {
namespace cpu {
namespace {

// An axis that a form takes as it is.
constexpr Split kWhole = {1, 1, 1, {0}};

// The last point only reaches the last of three taps.
int64_t points_of(Order order, const Split& d) { return kForms[order].u * d.parts - (d.parts - d.threes); }

// The blocking, from the shape alone.
struct WinogradWgrad : Tiling {
  Split rows, cols;
  int64_t filters, points;  // parts of the filter; points of D of all of them
  int64_t c, k, panel;
  int64_t c_part, k_part, c_parts, k_parts;  // channels of a task: whole vectors
  int64_t v_parts;                           // of V: [part of the filter][part of the channels]
  int64_t block, blocks, chunks;             // tiles of a block
  bool shared;                               // V and W are the team's, of all tiles
};

// Points of D along an axis: those of V and W.
constexpr Terms kStridedSums[] = {
    {0, 0, 1, 1, 0, 1}, {1, 0, 2, 2, 0, 2}, {4, 2, 1, 1, 1, 2}, {2, 1, 1, 1, 0, 2}};
const Terms* sums_of(Order order) { return order == kStrided ? kStridedSums : kForms[order].terms; }

// V and W of a block, and of all tiles where the team shares them (512 channels at 7x7, batch 16, took 1.08
// times as long, each task transforming its own, with AVX-512).
constexpr int64_t kBlockBytes = 512 << 10, kSharedBytes = 16 << 20;
constexpr int64_t kPartChannels = 64, kFewParts = 16;

WinogradWgrad plan(const Conv2dShape& v, Order order) {
  const TileKernels& kernel = *kernels().tile;
  WinogradWgrad d = {};
  static_cast<Tiling&>(d) = tiling(order, v, v.p, v.q, {});
  d.rows = order == kStrided ? kWhole : split_of(v.r, v.stride_h);
  d.cols = order == kStrided ? kWhole : split_of(v.s, v.stride_w);
  d.filters = d.rows.parts * d.cols.parts;
  d.points = points_of(order, d.rows) * points_of(order, d.cols);
  if (order != kStrided) d.products = d.points;
  d.c = v.c, d.k = v.k;
  // A chunk costs another pass over D: not fewer tiles for it. (64 of F(2) took 1.1 times as long, 128 of
  // F(4) twice where two threads had one chunk.)
  const int64_t wanted = std::min<int64_t>(16, tasks_for(conv_flops(v)));
  const int64_t least = order == kF4 ? 64 : 128;
  const int64_t most = std::max<int64_t>(1, std::min(d.tiles / least, (8 << 20) / (d.points * d.c * d.k)));
  const auto part = [&kernel](int64_t channels, int64_t width, int64_t* parts) {
    *parts = ceil_div(channels, width);
    return round_up(ceil_div(channels, *parts), kernel.lanes);
  };
  // With strides x takes four times as long to transform as dy: tasks of half as many channels and twice as
  // many filters do it half as often, and with D of the same size (128 channels took 0.9 times as long, 256
  // at 28x28 0.8 times).
  const int64_t wide = order == kStrided && d.k > kPartChannels ? 2 : 1;
  d.c_part = part(d.c, kPartChannels / wide, &d.c_parts);
  // Two tasks at least: 64 channels at 28x28, batch of one, took 0.6 times as long (AVX-512), and so did 32.
  d.v_parts = d.c_parts * d.filters;
  const bool alone = most * d.v_parts == 1 && d.k <= kPartChannels && conv_flops(v) > kParallelFlops;
  d.k_part =
      part(d.k, alone ? std::max<int64_t>(kernel.lanes, ceil_div(d.k, 2)) : kPartChannels * wide, &d.k_parts);
  d.panel = std::min(kernel.lanes * wide_vectors(), d.k_part);
  // D of 16 channels, which a block reads and writes, is no smaller than V and W of 16 tiles. (96 of them
  // took 1.05 times as long with 16 lanes, 128 up to 1.04 times with 8.)
  const int64_t most_tiles = kernel.lanes == 16 ? 128 : 96;
  d.block = std::min(most_tiles, kBlockBytes / (4 * (d.v_points * d.c_part + d.m_points * d.k_part)));
  d.chunks = std::min(most, ceil_div(wanted, d.v_parts * d.k_parts));
  d.blocks = ceil_div(d.tiles, std::min(d.block, ceil_div(d.tiles, d.chunks)));
  d.block = ceil_div(d.tiles, d.blocks);
  const int64_t tile = d.v_points * d.v_parts * d.c_part + d.m_points * d.k_parts * d.k_part;
  d.shared = d.v_parts * d.k_parts >= kFewParts && 4 * d.tiles * tile <= kSharedBytes;
  if (d.shared) d.block = d.tiles, d.blocks = 1;
  return d;
}

// Of a part or a task; D of all tasks lie [chunk][k part][part of the filter][c part].
int64_t v_plane(const WinogradWgrad& d) { return plane_floats(d.block * d.c_part); }
int64_t w_plane(const WinogradWgrad& d) { return plane_floats(d.block * d.k_part); }
int64_t d_plane(const WinogradWgrad& d) { return plane_floats(d.c_part * d.k_part); }
int64_t d_floats(const WinogradWgrad& d) { return d.u_points * d_plane(d); }
int64_t zeros_floats(const WinogradWgrad& d) { return round_up(std::max(d.c_part, d.k_part), 16); }
int64_t v_floats(const WinogradWgrad& d) { return d.v_points * v_plane(d); }
int64_t w_floats(const WinogradWgrad& d) { return d.m_points * w_plane(d); }
int64_t block_floats(const WinogradWgrad& d) {
  return zeros_floats(d) + (d.shared ? 0 : v_floats(d) + w_floats(d));
}
size_t workspace_bytes(const WinogradWgrad& d) {
  return d.shared       ? float_bytes(d.v_parts * v_floats(d) + d.k_parts * w_floats(d))
         : d.chunks > 1 ? float_bytes(d.chunks * d.v_parts * d.k_parts * d_floats(d))
                        : 0;
}
size_t scratch_bytes(const WinogradWgrad& d) {
  return float_bytes(block_floats(d) + (d.chunks > 1 ? 0 : d_floats(d)));
}

Range channels_of(int64_t channels, int64_t part, int64_t i) {
  return {i * part, std::min(channels, (i + 1) * part)};
}

// The taps of a part of V: the first, and whether there are two.
struct FilterPart {
  int64_t first_h, first_w;
  bool short_h, short_w;
};
FilterPart filter_part(const WinogradWgrad& d, int64_t part) {
  const int64_t i = part / d.c_parts / d.cols.parts, j = part / d.c_parts % d.cols.parts;
  return {d.rows.first[i], d.cols.first[j], d.rows.taps(i) == 2, d.cols.taps(j) == 2};
}

// Costs as in winograd.cpp. A register tile reads what it adds to; the last transform takes D from L3.
//
//   direct    N P Q 9 C [K] / 2 / 0.83, of other filters only what lies inside, / 0.95
//   Winograd  points (T C [K] / 2 + 45 register tiles)          products
//             + 40 T [C] k_parts + 35 T [K] c_parts             transforms of x and dy
//             + C [K] (60 + 2 points chunks)                    dw
//
// F(4)'s transforms take 200 and 150, and on 16 lanes half as much again. Those that a team shares are
// written to L3 and take as long as kTimesShared. Those of parts with two taps write fewer points, and take
// that much less time.
//
//   direct, all taps of a row at once    R N P C / rows ((1.5 rows + 1) Q + 20)
//
// Beside it each step of Winograd's products waits 10 clocks more for V and W from L2, as it meets a single
// vector; 4 where that is worked on by halves (Zen 4, where 16 to 64 channels to 16 took 0.66 to 0.8 times as
// long as directly, 8 channels and images of 7x7 longer).
constexpr int64_t kTimesShared = 4;
double winograd_clocks(const WinogradWgrad& d) {
  const TileKernels& kernel = *kernels().tile;
  const double tiles = static_cast<double>(d.tiles);
  const double filters = static_cast<double>(d.filters);
  const double written = static_cast<double>(d.points) / static_cast<double>(d.u_points * d.filters);
  const double in = ceil_div(d.c, kernel.lanes), out = ceil_div(d.k, kernel.lanes);
  const int64_t most = d.shared ? kTimesShared : std::max(d.v_parts, d.k_parts);
  const double of_x = written * tiles * in * filters * std::min(most, d.k_parts),
               of_dy = written * tiles * out * std::min(most, d.v_parts);
  const double transforms =
      d.order != kF4 ? 40 * of_x + 35 * of_dy : (200 * of_x + 150 * of_dy) * (kernel.lanes == 16 ? 1.5 : 1);
  // Of all parts of the filter.
  const double register_tiles = 1.0 * d.c_parts *
                                ceil_div(d.c_part, kernel.max_rows[d.panel / kernel.lanes]) * d.k_parts *
                                ceil_div(d.k_part, d.panel) * d.blocks;
  return static_cast<double>(d.products) * tiles * d.c * out / 2 + 45.0 * d.points * register_tiles +
         transforms + d.c * out * (60 * filters + 2.0 * d.points * d.chunks);
}

// Along an axis, the products of pixels that there are.
double inside(const AxisShape& v) {
  int64_t products = 0;
  for (int64_t r = 0; r < v.filter; ++r) {
    const Range p = outputs_inside({0, v.output}, v.stride, r * v.dilation - v.pad, v.input);
    products += p.end - p.begin;
  }
  return static_cast<double>(products);
}

double direct_clocks(const Conv2dShape& v) {
  if (takes_taps(v)) {
    const double rows = static_cast<double>(rows_of_taps(v));
    return 1.0 * v.r * v.n * v.p * ceil_div(v.c, rows_of_taps(v)) * ((1.5 * rows + 1) * v.q + 20);
  }
  const double filters = 1.0 * v.n * v.c * ceil_div(v.k, kernels().tile->lanes) / 2;
  return v.r * v.s == 9 ? filters * v.p * v.q * 9 / 0.83
                        : filters * inside(height_of(v)) * inside(width_of(v)) / 0.95;
}

struct Arguments {
  const Conv2dShape& shape;
  const float *x, *dy, *zeros;
};

// V and W of some tiles and a part of the channels.
void transform_x(const WinogradWgrad& d, const Arguments& from, int64_t part, Range tiles, float* v) {
  const Range c = channels_of(d.c, d.c_part, part % d.c_parts);
  const FilterPart taps = filter_part(d, part);
  const Form& form = kForms[d.order];
  const Conv2dShape& s = from.shape;
  Tiled x = {from.x + c.begin, s.h, s.w,       s.c, c.end - c.begin, -s.pad_top, -s.pad_left, form.pixels,
             form.two_outputs, {},  from.zeros};
  x.low_h += taps.first_h * s.dilation_h, x.low_w += taps.first_w * s.dilation_w;
  x.short_h = taps.short_h, x.short_w = taps.short_w;
  x.spread = d.rows.step, x.two_outputs *= x.spread;
  transform_tiles(kernels().winograd->input[d.order], d, x, tiles, {v, d.c_part, v_plane(d)});
}
void transform_dy(const WinogradWgrad& d, const Arguments& from, int64_t part, const FilterPart& taps,
                  Range tiles, float* w) {
  const Range k = channels_of(d.k, d.k_part, part);
  const Conv2dShape& s = from.shape;
  Tiled dy = {from.dy + k.begin, s.p, s.q, s.k, k.end - k.begin, 0, 0, d.outputs, 2, {}, from.zeros};
  dy.short_h = taps.short_h, dy.short_w = taps.short_w;
  transform_tiles(kernels().winograd->gradient[d.order], d, dy, tiles, {w, d.k_part, w_plane(d)});
}

// D = V W of parts, c and k of their channels, or more of it.
void multiply(const WinogradWgrad& d, const float* v, const float* w, int64_t c, int64_t k,
              const FilterPart& taps, Range tiles, bool accumulate, float* sums) {
  const TileKernels& kernel = *kernels().tile;
  const Form& form = kForms[d.order];
  const Terms* const terms = sums_of(d.order);
  Tile t = {};
  t.a_step = d.c_part, t.a_row = 1, t.a_group = 3;
  t.b_step = d.k_part, t.y_row = d.k_part;
  t.accumulate = accumulate;
  for (int64_t point = 0; point < d.u_points; ++point) {
    const int64_t row = point / form.u, col = point % form.u;
    if ((taps.short_h && row + 1 == form.u) || (taps.short_w && col + 1 == form.u)) continue;
    const Terms &at_h = terms[row], &at_w = terms[col];
    const Range met = common(tiles, tiles_that_meet(d, at_h, at_w));
    if (met.begin >= met.end && t.accumulate) continue;
    // The first sum may be one tile's whose products are zero.
    const int64_t before = std::min(met.begin, tiles.end - 1) - tiles.begin;
    t.depth = std::max<int64_t>(1, met.end - met.begin);
    for (int64_t j = 0; j < k; j += d.panel) {
      set_terms(&t, at_h, at_w, {v + before * d.c_part, form.v, v_plane(d)},
                {w + before * d.k_part + j, form.m, w_plane(d)});
      t.y = sums + point * d_plane(d) + j;
      if (d.shared) {
        // The points that follow come from L3.
        t.ahead = v + (point + 1) * v_plane(d), t.next_y = w + (point + 1) * w_plane(d);
        t.ahead_floats = j ? 0 : v_plane(d), t.next_y_floats = j ? 0 : w_plane(d);
      }
      const int cols = static_cast<int>(std::min(d.panel, d.k_part - j));
      kernel.strip(t, c, cols, kernel.max_rows[cols / kernel.lanes]);
    }
  }
}

// dw of a channel of the input and a part of those of the output, from D of the first chunk of its part.
void transform_sums(const WinogradWgrad& d, const float* sums, int64_t c, int64_t v_part, int64_t k_part,
                    const Conv2dShape& v, float* dw) {
  const Range k = channels_of(d.k, d.k_part, k_part);
  const FilterPart taps = filter_part(d, v_part);
  const int64_t tap = d.c * d.k;
  FilterGradient g = {};
  g.d = sums + c % d.c_part * d.k_part;
  g.d_plane = d_plane(d), g.d_part = d.v_parts * d.k_parts * d_floats(d), g.parts = d.chunks;
  g.dw = dw + (taps.first_h * v.s + taps.first_w) * tap + c * d.k + k.begin;
  g.dw_h = d.rows.step * v.s * tap, g.dw_w = d.cols.step * tap, g.count = k.end - k.begin;
  g.short_h = taps.short_h, g.short_w = taps.short_w;
  kernels().winograd->filter_gradient[d.order](g);
}

void run(const WinogradWgrad& d, const Conv2dShape& v, const Operands& operands, Context& context) {
  Member& me = *context.member;
  float* const workspace = static_cast<float*>(context.workspace);
  float* const dw = output(operands, 0);
  float* const zeros = static_cast<float*>(me.scratch(scratch_bytes(d)));
  float *const own_v = zeros + zeros_floats(d), *const own_w = own_v + v_floats(d);
  std::fill(zeros, own_v, 0.0f);
  const Arguments from = {v, input(operands, 0), input(operands, 1), zeros};
  float* const shared_w = workspace + d.v_parts * v_floats(d);
  if (d.shared) {
    const int64_t tasks = std::min(d.tiles, kTasks);
    const FilterPart all = filter_part(d, 0);  // the longest
    parallel_for(me, tasks, [&](int64_t i) {
      const Range tiles = part_of(d.tiles, tasks, i);
      for (int64_t part = 0; part < d.v_parts; ++part)
        transform_x(d, from, part, tiles, workspace + part * v_floats(d) + tiles.begin * d.c_part);
      for (int64_t part = 0; part < d.k_parts; ++part)
        transform_dy(d, from, part, all, tiles, shared_w + part * w_floats(d) + tiles.begin * d.k_part);
    });
  }
  const int64_t parts = d.v_parts * d.k_parts;
  parallel_for(me, d.chunks * parts, [&](int64_t i) {
    const int64_t chunk = i / parts, v_part = i % d.v_parts, k_part = i % parts / d.v_parts;
    const Range c = channels_of(d.c, d.c_part, v_part % d.c_parts), k = channels_of(d.k, d.k_part, k_part);
    float* const sums = d.chunks > 1 ? workspace + i * d_floats(d) : zeros + block_floats(d);
    const float* const vs = d.shared ? workspace + v_part * v_floats(d) : own_v;
    const float* const ws = d.shared ? shared_w + k_part * w_floats(d) : own_w;
    const Range blocks = part_of(d.blocks, d.chunks, chunk);
    const FilterPart taps = filter_part(d, v_part);
    for (int64_t b = blocks.begin; b < blocks.end; ++b) {
      const Range tiles = {b * d.block, std::min(d.tiles, (b + 1) * d.block)};
      if (!d.shared) {
        transform_x(d, from, v_part, tiles, own_v);
        transform_dy(d, from, k_part, taps, tiles, own_w);
      }
      multiply(d, vs, ws, c.end - c.begin, k.end - k.begin, taps, tiles, b > blocks.begin, sums);
    }
    for (int64_t j = c.begin; d.chunks == 1 && j < c.end; ++j)
      transform_sums(d, sums, j, v_part, k_part, v, dw);
  });
  if (d.chunks == 1) return;
  parallel_for(me, d.filters * d.c * d.k_parts, [&](int64_t i) {
    const int64_t c = i / d.k_parts % d.c, part = i % d.k_parts;
    const int64_t v_part = i / d.k_parts / d.c * d.c_parts + c / d.c_part;
    transform_sums(d, workspace + (part * d.v_parts + v_part) * d_floats(d), c, v_part, part, v, dw);
  });
}

bool fits(const Conv2dShape& v, Order order) {
  if (order == kStrided) return fits_winograd(v, true);
  const int64_t stride = v.stride_h;
  return v.groups == 1 && v.stride_w == stride && (stride == 1 || (v.dilation_h == 1 && v.dilation_w == 1)) &&
         split_of(v.r, stride).parts && split_of(v.s, stride).parts;
}

bool chosen(const OpDescriptor& op, Order order) {
  const Conv2dShape& v = op.conv2d_wgrad;
  if (!fits(v, order) || op.math == Math::kStrict || (order == kF4 && op.math != Math::kFast)) return false;
  // Products of pairs reach more of their peak than what is assumed of floats, and transforms do not shrink
  // with them: at even clocks Winograd took 1.1 to 1.4 times as long, 64 to 256 channels, 14x14 to 56x56.
  const bool pairs = supports_conv2d_wgrad_bfloat16(op);
  const double direct = direct_clocks(v) * (pairs ? 0.85 * bfloat16_cost(op) : 1);
  const double wait = takes_taps(v) ? (by_halves() ? 4 : 10) : 0;
  const auto clocks = [&](Order each) {
    const WinogradWgrad d = plan(v, each);
    return winograd_clocks(d) + wait * static_cast<double>(d.products * d.tiles);
  };
  // At 0.9 to 0.95 2x2 of 16 to 32 channels at 14x14 took 1.05 times as long, 4x4 of 16 as long, but with 8
  // lanes 0.9 to 0.95 times.
  const double most = v.r * v.s != 9 && kernels().tile->lanes == 16 ? 0.9 : 0.95;
  return clocks(order) < most * direct && (order != kF4 || clocks(kF4) < clocks(kF2));
}

void prepare(Prepared* p, Order order) {
  const Conv2dShape& v = p->op.conv2d_wgrad;
  const WinogradWgrad d = state<WinogradWgrad>(p) = plan(v, order);
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  p->parallel = p->flops > kParallelFlops;
  p->workspace_bytes = workspace_bytes(d);
  p->scratch_bytes = scratch_bytes(d);
}

}  // namespace

bool supports_conv2d_wgrad_winograd2(const OpDescriptor& op) { return chosen(op, kF2); }
void prepare_conv2d_wgrad_winograd2(Prepared* p) { prepare(p, kF2); }
void run_conv2d_wgrad_winograd2(const Prepared& p, const Operands& x, Context& context) {
  run(state<WinogradWgrad>(p), p.op.conv2d_wgrad, x, context);
}

bool supports_conv2d_wgrad_winograd4(const OpDescriptor& op) { return chosen(op, kF4); }
void prepare_conv2d_wgrad_winograd4(Prepared* p) { prepare(p, kF4); }
void run_conv2d_wgrad_winograd4(const Prepared& p, const Operands& x, Context& context) {
  run(state<WinogradWgrad>(p), p.op.conv2d_wgrad, x, context);
}

bool supports_conv2d_wgrad_winograd_strided(const OpDescriptor& op) { return chosen(op, kStrided); }
void prepare_conv2d_wgrad_winograd_strided(Prepared* p) { prepare(p, kStrided); }
void run_conv2d_wgrad_winograd_strided(const Prepared& p, const Operands& x, Context& context) {
  run(state<WinogradWgrad>(p), p.op.conv2d_wgrad, x, context);
}

}  // namespace cpu
}  // namespace fastcnn
