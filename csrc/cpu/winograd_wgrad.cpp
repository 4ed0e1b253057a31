// SPDX-License-Identifier: Apache-2.0
// Weight gradient of 3x3 filters with stride 1 or 2 by Winograd's F(2,3) or F(4,3), or F(2,2), turned round:
// with V and W the transforms of tiles of x and dy (kernels/winograd.h),
//
//   D[point][c][k] = sum over tiles of V[point][tile][c] W[point][tile][k],   dw = G' D G.
//
// A task has some channels, some output channels and a chunk of the tiles, so that a block of V and W and all
// of its D stay in its L2 cache. Chunks are cut by shape alone and added in order at the end; where all tiles
// are one, the task itself makes dw of its D. Where parts are many and V and W of all tiles fit in L3, the
// team transforms each tile once and tasks read them there: [part][point][tile][channel].
#include "winograd.h"

namespace fastcnn {
namespace cpu {
namespace {

// The blocking, from the shape alone.
struct WinogradWgrad : Tiling {
  int64_t c, k, panel;
  int64_t c_part, k_part, c_parts, k_parts;  // channels of a task: whole vectors
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
  d.c = v.c, d.k = v.k;
  // A chunk costs another pass over D: not fewer tiles for it. (64 of F(2) took 1.1 times as long, 128 of
  // F(4) twice where two threads had one chunk.)
  const int64_t wanted = std::min<int64_t>(16, tasks_for(conv_flops(v)));
  const int64_t least = order == kF4 ? 64 : 128;
  const int64_t most = std::max<int64_t>(1, std::min(d.tiles / least, (8 << 20) / (d.u_points * d.c * d.k)));
  const auto part = [&kernel](int64_t channels, int64_t width, int64_t* parts) {
    *parts = ceil_div(channels, width);
    return round_up(ceil_div(channels, *parts), kernel.lanes);
  };
  // With strides x takes four times as long to transform as dy: tasks of half as many channels and twice as
  // many filters do it half as often, and with D of the same size (128 channels took 0.9 times as long, 256
  // at 28x28 0.8 times).
  const int64_t wide = order == kStrided && d.k > kPartChannels ? 2 : 1;
  d.c_part = part(d.c, kPartChannels / wide, &d.c_parts);
  // Two tasks at least: 64 channels at 28x28, batch of one, took 0.6 times as long (AVX-512).
  const bool alone = most * d.c_parts == 1 && d.k <= kPartChannels;
  d.k_part = part(d.k, alone ? kPartChannels / 2 : kPartChannels * wide, &d.k_parts);
  d.panel = std::min(kernel.lanes * wide_vectors(), d.k_part);
  // D of 16 channels, which a block reads and writes, is no smaller than V and W of 16 tiles. (96 of them
  // took 1.05 times as long with 16 lanes, 128 up to 1.04 times with 8.)
  const int64_t most_tiles = kernel.lanes == 16 ? 128 : 96;
  d.block = std::min(most_tiles, kBlockBytes / (4 * (d.v_points * d.c_part + d.m_points * d.k_part)));
  d.chunks = std::min(most, ceil_div(wanted, d.c_parts * d.k_parts));
  d.blocks = ceil_div(d.tiles, std::min(d.block, ceil_div(d.tiles, d.chunks)));
  d.block = ceil_div(d.tiles, d.blocks);
  const int64_t tile = d.v_points * d.c_parts * d.c_part + d.m_points * d.k_parts * d.k_part;
  d.shared = d.c_parts * d.k_parts >= kFewParts && 4 * d.tiles * tile <= kSharedBytes;
  if (d.shared) d.block = d.tiles, d.blocks = 1;
  return d;
}

// Of a part or a task; D of all tasks lie [chunk][k part][c part].
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
  return d.shared       ? float_bytes(d.c_parts * v_floats(d) + d.k_parts * w_floats(d))
         : d.chunks > 1 ? float_bytes(d.chunks * d.c_parts * d.k_parts * d_floats(d))
                        : 0;
}
size_t scratch_bytes(const WinogradWgrad& d) {
  return float_bytes(block_floats(d) + (d.chunks > 1 ? 0 : d_floats(d)));
}

Range channels_of(int64_t channels, int64_t part, int64_t i) {
  return {i * part, std::min(channels, (i + 1) * part)};
}

// Costs as in winograd.cpp. A register tile reads what it adds to; the last transform takes D from L3.
//
//   direct    N P Q 9 C [K] / 2 / 0.83
//   Winograd  points (T C [K] / 2 + 45 register tiles)          products
//             + 40 T [C] k_parts + 35 T [K] c_parts             transforms of x and dy
//             + C [K] (60 + 2 points chunks)                    dw
//
// F(4)'s transforms take 200 and 150, and on 16 lanes half as much again. Those that a team shares are
// written to L3 and take as long as kTimesShared.
//
//   direct, all taps of a row at once    3 N P C / rows ((1.5 rows + 1) Q + 20)
//
// Beside it each step of Winograd's products waits 10 clocks more for V and W from L2, as it meets a single
// vector; 4 where that is worked on by halves (Zen 4, where 16 to 64 channels to 16 took 0.66 to 0.8 times as
// long as directly, 8 channels and images of 7x7 longer).
constexpr int64_t kTimesShared = 4;
double winograd_clocks(const WinogradWgrad& d) {
  const TileKernels& kernel = *kernels().tile;
  const double tiles = static_cast<double>(d.tiles);
  const double in = ceil_div(d.c, kernel.lanes), out = ceil_div(d.k, kernel.lanes);
  const int64_t most = d.shared ? kTimesShared : std::max(d.c_parts, d.k_parts);
  const double of_x = tiles * in * std::min(most, d.k_parts), of_dy = tiles * out * std::min(most, d.c_parts);
  const double transforms =
      d.order != kF4 ? 40 * of_x + 35 * of_dy : (200 * of_x + 150 * of_dy) * (kernel.lanes == 16 ? 1.5 : 1);
  const double register_tiles = 1.0 * d.c_parts *
                                ceil_div(d.c_part, kernel.max_rows[d.panel / kernel.lanes]) * d.k_parts *
                                ceil_div(d.k_part, d.panel) * d.blocks;
  return static_cast<double>(d.products) * tiles * d.c * out / 2 + 45.0 * d.u_points * register_tiles +
         transforms + d.c * out * (60 + 2.0 * d.u_points * d.chunks);
}

double direct_clocks(const Conv2dShape& v) {
  if (takes_taps(v)) {
    const double rows = static_cast<double>(rows_of_taps(v));
    return 3.0 * v.n * v.p * ceil_div(v.c, rows_of_taps(v)) * ((1.5 * rows + 1) * v.q + 20);
  }
  return 1.0 * v.n * v.p * v.q * 9 * v.c * ceil_div(v.k, kernels().tile->lanes) / 2 / 0.83;
}

struct Arguments {
  const Conv2dShape& shape;
  const float *x, *dy, *zeros;
};

// V and W of some tiles and a part of the channels.
void transform_x(const WinogradWgrad& d, const Arguments& from, int64_t part, Range tiles, float* v) {
  const Range c = channels_of(d.c, d.c_part, part);
  const Form& form = kForms[d.order];
  const Conv2dShape& s = from.shape;
  const Tiled x = {from.x + c.begin, s.h,        s.w,         s.c,
                   c.end - c.begin,  -s.pad_top, -s.pad_left, form.pixels,
                   form.two_outputs, {},         from.zeros};
  transform_tiles(kernels().winograd->input[d.order], d, x, tiles, {v, d.c_part, v_plane(d)});
}
void transform_dy(const WinogradWgrad& d, const Arguments& from, int64_t part, Range tiles, float* w) {
  const Range k = channels_of(d.k, d.k_part, part);
  const Conv2dShape& s = from.shape;
  const Tiled dy = {from.dy + k.begin, s.p, s.q, s.k, k.end - k.begin, 0, 0, d.outputs, 2, {}, from.zeros};
  transform_tiles(kernels().winograd->gradient[d.order], d, dy, tiles, {w, d.k_part, w_plane(d)});
}

// D = V W of parts, c and k of their channels, or more of it.
void multiply(const WinogradWgrad& d, const float* v, const float* w, int64_t c, int64_t k, Range tiles,
              bool accumulate, float* sums) {
  const TileKernels& kernel = *kernels().tile;
  const Form& form = kForms[d.order];
  const Terms* const terms = sums_of(d.order);
  Tile t = {};
  t.a_step = d.c_part, t.a_row = 1, t.a_group = 3;
  t.b_step = d.k_part, t.y_row = d.k_part;
  t.accumulate = accumulate;
  for (int64_t point = 0; point < d.u_points; ++point) {
    const Terms &at_h = terms[point / form.u], &at_w = terms[point % form.u];
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
void transform_sums(const WinogradWgrad& d, const float* sums, int64_t c, int64_t k_part, float* dw) {
  const Range k = channels_of(d.k, d.k_part, k_part);
  FilterGradient g = {};
  g.d = sums + c % d.c_part * d.k_part;
  g.d_plane = d_plane(d), g.d_part = d.c_parts * d.k_parts * d_floats(d), g.parts = d.chunks;
  g.dw = dw + c * d.k + k.begin, g.dw_tap = d.c * d.k, g.count = k.end - k.begin;
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
  float* const shared_w = workspace + d.c_parts * v_floats(d);
  if (d.shared) {
    const int64_t tasks = std::min(d.tiles, kTasks);
    parallel_for(me, tasks, [&](int64_t i) {
      const Range tiles = part_of(d.tiles, tasks, i);
      for (int64_t part = 0; part < d.c_parts; ++part)
        transform_x(d, from, part, tiles, workspace + part * v_floats(d) + tiles.begin * d.c_part);
      for (int64_t part = 0; part < d.k_parts; ++part)
        transform_dy(d, from, part, tiles, shared_w + part * w_floats(d) + tiles.begin * d.k_part);
    });
  }
  const int64_t parts = d.c_parts * d.k_parts;
  parallel_for(me, d.chunks * parts, [&](int64_t i) {
    const int64_t chunk = i / parts, c_part = i % d.c_parts, k_part = i % parts / d.c_parts;
    const Range c = channels_of(d.c, d.c_part, c_part), k = channels_of(d.k, d.k_part, k_part);
    float* const sums = d.chunks > 1 ? workspace + i * d_floats(d) : zeros + block_floats(d);
    const float* const vs = d.shared ? workspace + c_part * v_floats(d) : own_v;
    const float* const ws = d.shared ? shared_w + k_part * w_floats(d) : own_w;
    const Range blocks = part_of(d.blocks, d.chunks, chunk);
    for (int64_t b = blocks.begin; b < blocks.end; ++b) {
      const Range tiles = {b * d.block, std::min(d.tiles, (b + 1) * d.block)};
      if (!d.shared) transform_x(d, from, c_part, tiles, own_v), transform_dy(d, from, k_part, tiles, own_w);
      multiply(d, vs, ws, c.end - c.begin, k.end - k.begin, tiles, b > blocks.begin, sums);
    }
    for (int64_t j = c.begin; d.chunks == 1 && j < c.end; ++j) transform_sums(d, sums, j, k_part, dw);
  });
  if (d.chunks == 1) return;
  parallel_for(me, d.c * d.k_parts, [&](int64_t i) {
    const int64_t c = i / d.k_parts, part = i % d.k_parts;
    transform_sums(d, workspace + (part * d.c_parts + c / d.c_part) * d_floats(d), c, part, dw);
  });
}

bool chosen(const OpDescriptor& op, Order order) {
  const Conv2dShape& v = op.conv2d_wgrad;
  if (!fits_winograd(v, order == kStrided) || op.math == Math::kStrict ||
      (order == kF4 && op.math != Math::kFast))
    return false;
  // Products of pairs reach more of their peak than what is assumed of floats, and transforms do not shrink
  // with them: at even clocks Winograd took 1.1 to 1.4 times as long, 64 to 256 channels, 14x14 to 56x56.
  const bool pairs = supports_conv2d_wgrad_bfloat16(op);
  const double direct = direct_clocks(v) * (pairs ? 0.85 * bfloat16_cost(op) : 1);
  const double wait = takes_taps(v) ? (by_halves() ? 4 : 10) : 0;
  const auto clocks = [&](Order each) {
    const WinogradWgrad d = plan(v, each);
    return winograd_clocks(d) + wait * static_cast<double>(d.products * d.tiles);
  };
  return clocks(order) < 0.95 * direct && (order != kF4 || clocks(kF4) < clocks(kF2));
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
