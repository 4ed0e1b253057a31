// SPDX-License-Identifier: Apache-2.0
// Weight gradient of 5x5 filters of stride 1 with the batch in lanes, and that of its bias, by
// Winograd's formula turned round (kernels/lanes_winograd.h):
//
//   D[point][c][k] = sum over tiles and samples of V[point][c] W[position of the point][k],   dw = G^T D G
//
// with V the points of x and W = A dy A^T. A task has one of the four rows of positions and a chunk of the
// tiles. Those of a unit are transformed into scratch, W with the output channels side by side, so that the
// sums are matrix products (kernels/tile.h) of which a sample is the innermost step. Chunks are cut by shape
// alone and added in order.
#include "conv2d_lanes_wgrad.h"
#include "kernels/lanes_winograd.h"

namespace fastcnn {
namespace cpu {
namespace {

constexpr int kForm = 1;  // of kernels/lanes_winograd.h
constexpr WinogradAxis kAxis = kWinogradAxes[kForm];
constexpr int kPoints = kAxis.points * kAxis.points, kTaps = kAxis.taps * kAxis.taps;
constexpr int kMostTerms = 2;  // rows of points that a row of positions has

struct WinogradWgrad {
  int64_t panel, panels;                     // columns of a panel of W
  int64_t blocks, tile_rows, tiles;          // of a block, and of a row of them
  int64_t rows, cols, row_parts, col_parts;  // tiles of a unit, and units of a block
  int64_t units, chunks;
};

// V and W of a unit in L2. Partial sums of more chunks are more to add up: with 4 for each row of positions
// two threads are as busy as with 16.
constexpr int64_t kUnitFloats = 128 << 10, kMostChunks = 16, kFinished = 128;

WinogradWgrad plan(const Conv2dShape& v) {
  const TileKernels& kernel = *kernels().tile;
  WinogradWgrad d = {};
  d.panel = kernel.lanes * std::min<int64_t>(wide_vectors(), ceil_div(v.k, kernel.lanes));
  d.panels = ceil_div(v.k, d.panel);
  d.blocks = v.n / kBatchLanes;
  d.tile_rows = ceil_div(v.p, 2), d.tiles = ceil_div(v.q, 2);
  const int64_t tile = kBatchLanes * (kMostTerms * kAxis.points * v.c + 4 * d.panels * d.panel);
  const int64_t most = std::max<int64_t>(1, kUnitFloats / tile);
  d.col_parts = ceil_div(d.tiles, most);
  d.cols = ceil_div(d.tiles, d.col_parts);
  d.row_parts = ceil_div(d.tile_rows, std::max<int64_t>(1, most / d.cols));
  d.rows = ceil_div(d.tile_rows, d.row_parts);
  d.units = d.blocks * d.row_parts * d.col_parts;
  const int64_t wanted = std::min(kMostChunks, ceil_div(lanes_tasks(conv_flops(v)), 4));
  d.chunks = std::min(d.units, wanted);
  return d;
}

// A cache line more than a point or position has, as in conv2d_lanes_winograd.cpp.
int64_t v_plane(const Conv2dShape& v, const WinogradWgrad& d) {
  return (d.rows * d.cols * v.c + 1) * kBatchLanes;
}
int64_t w_plane(const WinogradWgrad& d) { return (d.rows * d.cols * d.panel + 1) * kBatchLanes; }
int64_t v_floats(const Conv2dShape& v, const WinogradWgrad& d) {
  return kMostTerms * kAxis.points * v_plane(v, d);
}
int64_t w_floats(const WinogradWgrad& d) { return d.panels * 4 * w_plane(d); }
int64_t turned_floats(const WinogradWgrad& d) { return 2 * 2 * d.cols * kBatchLanes * d.panel; }

// Of a chunk: D, and the sums of the bias.
int64_t d_plane(const Conv2dShape& v) { return v.c * v.k; }
int64_t chunk_floats(const Conv2dShape& v) { return round_up(kPoints * d_plane(v), 16) + round_up(v.k, 16); }

struct Unit {
  int64_t block, tile_row, tile, rows, cols;
  bool first;  // of its sum
};

Unit unit_of(const WinogradWgrad& d, int64_t i, bool first) {
  const int64_t of_block = i % (d.row_parts * d.col_parts);
  const Range rows = part_of(d.tile_rows, d.row_parts, of_block / d.col_parts);
  const Range cols = part_of(d.tiles, d.col_parts, of_block % d.col_parts);
  return {i / (d.row_parts * d.col_parts), rows.begin, cols.begin, rows.end - rows.begin,
          cols.end - cols.begin,           first};
}

// W of a row of positions and a row of tiles. The first row of positions has the upper row of dy alone, and
// the last one the lower.
void transform_dy(const Conv2dShape& v, const WinogradWgrad& d, int position, const Unit& at, int64_t row,
                  const float* dy, float* turned, float* w) {
  const int64_t p = 2 * (at.tile_row + row), q = 2 * at.tile, columns = std::min(2 * at.cols, v.q - q);
  const int64_t turned_row = 2 * d.cols * kBatchLanes * d.panel;
  const bool upper = position < 3, lower = position > 0 && p + 1 < v.p;
  for (int64_t i = 0; i < d.panels; ++i, w += 4 * w_plane(d)) {
    const float* from = dy + (at.block * v.k + i * d.panel) * dy_plane(v) + (p * v.q + q) * kBatchLanes;
    const int32_t cols = static_cast<int32_t>(std::min(d.panel, v.k - i * d.panel));
    for (int64_t r = upper ? 0 : 1; r < (lower ? 2 : 1); ++r)
      kernels().tile->pack({from + r * v.q * kBatchLanes, 1, dy_plane(v), columns * kBatchLanes, cols,
                            static_cast<int32_t>(d.panel)},
                           turned + r * turned_row);
    WinogradGradient g = {};
    g.upper = upper ? turned : nullptr, g.lower = lower ? turned + turned_row : nullptr;
    g.w = w + row * at.cols * kBatchLanes * d.panel;
    g.position = w_plane(d), g.pixel = kBatchLanes * d.panel;
    g.tiles = at.cols, g.columns = columns, g.subtracts = position > 1;
    kernels().lanes_winograd->gradient(g);
  }
}

void run_unit(const Conv2dShape& v, const WinogradWgrad& d, int position, const Unit& at, const float* x,
              const float* dy, float* sums, float* scratch) {
  float *const in = scratch, *const w = in + v_floats(v, d), *const turned = w + w_floats(d);
  const int64_t point = v_plane(v, d), first = kAxis.first[position], terms = kAxis.terms[position];
  for (int64_t row = 0; row < at.rows; ++row) {
    kernels().lanes_winograd->input[kForm](
        {x + at.block * v.c * x_plane(v), in + row * at.cols * v.c * kBatchLanes, point, v.c, v.h, v.w,
         2 * (at.tile_row + row) - v.pad_top, 2 * at.tile - v.pad_left, at.cols, first, first + terms});
    transform_dy(v, d, position, at, row, dy, turned, w);
  }
  Tile t = {};
  t.a_row = kBatchLanes, t.a_group = 3 * t.a_row, t.a_step = 1, t.a_w = v.c * kBatchLanes;
  t.b_step = d.panel, t.b_w = kBatchLanes * d.panel;
  t.taps_h = 1, t.taps_w = at.rows * at.cols, t.depth = kBatchLanes;
  t.y_row = v.k, t.accumulate = !at.first;
  for (int64_t i = 0; i < d.panels; ++i)
    for (int j = 0; j < 4; ++j)
      for (int64_t a = 0; a < terms; ++a)
        for (int64_t b = kAxis.first[j]; b < kAxis.first[j] + kAxis.terms[j]; ++b) {
          t.a = in + (a * kAxis.points + b) * point;
          t.b = w + (4 * i + j) * w_plane(d);
          t.y = sums + ((first + a) * kAxis.points + b) * d_plane(v) + i * d.panel;
          kernels().tile->strip(t, v.c, static_cast<int>(std::min(d.panel, v.k - i * d.panel)),
                                kernels().tile->max_rows[1]);
        }
}

void add_to_bias(const Conv2dShape& v, const Unit& at, const float* dy, float* db) {
  const int64_t row = v.q * kBatchLanes, p = 2 * at.tile_row, end = std::min(v.p, p + 2 * at.rows);
  kernels().lanes->plane_sums(
      {dy + at.block * v.k * dy_plane(v) + p * row, db, v.k, dy_plane(v), (end - p) * row, !at.first});
}

// Where it saves a fifth of the products that meet the image at least, and these outweigh the transforms:
// with AVX-512 and AVX2 32 channels to 32 took 0.78 and 0.81 of the time, 16 to 32 0.88 and 0.97, 16 to 16 as
// long or longer (of 3x3 1.07 and 1.3 times).
bool pays(const Conv2dShape& v) {
  constexpr int64_t kLeastChannels = 16, kLeastProducts = 512;
  if (v.c < kLeastChannels || v.k < kLeastChannels || v.c * v.k < kLeastProducts) return false;
  int64_t rows = 0, cols = 0;
  for (int64_t r = 0; r < v.r; ++r) rows += rows_of_tap(v, r).end - rows_of_tap(v, r).begin;
  for (int64_t s = 0; s < v.s; ++s) cols += cols_of_tap(v, s).end - cols_of_tap(v, s).begin;
  return 49 * ceil_div(v.p, 2) * ceil_div(v.q, 2) * 5 <= rows * cols * 4;
}

}  // namespace

bool supports_conv2d_wgrad_lanes_winograd(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_wgrad;
  return op.math != Math::kStrict && in_whole_blocks(v) && v.groups == 1 && v.r == 5 && v.s == 5 &&
         v.stride_h == 1 && v.stride_w == 1 && v.dilation_h == 1 && v.dilation_w == 1 && pays(v);
}

void prepare_conv2d_wgrad_lanes_winograd(Prepared* p) {
  const Conv2dShape& v = p->op.conv2d_wgrad;
  const WinogradWgrad d = state<WinogradWgrad>(p) = plan(v);
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  p->parallel = p->flops > kLanesTaskFlops;
  p->workspace_bytes = float_bytes(d.chunks * chunk_floats(v));
  const int64_t unit = v_floats(v, d) + w_floats(d) + turned_floats(d);
  p->scratch_bytes = float_bytes(std::max(unit, (kPoints + kTaps) * kFinished));
}

void run_conv2d_wgrad_lanes_winograd(const Prepared& p, const Operands& operands, Context& context) {
  const Conv2dShape& v = p.op.conv2d_wgrad;
  const WinogradWgrad& d = state<WinogradWgrad>(p);
  Member& me = *context.member;
  const float *x = input(operands, 0), *dy = input(operands, 1);
  const bool bias = p.op.epilogue.bias;
  float* const partial = static_cast<float*>(context.workspace);
  const int64_t chunk_size = chunk_floats(v), db_at = chunk_size - round_up(v.k, 16);
  parallel_for(me, d.chunks * 4, [&](int64_t task) {
    const int position = static_cast<int>(task % 4);
    float* const sums = partial + task / 4 * chunk_size;
    float* const scratch = static_cast<float*>(me.scratch(p.scratch_bytes));
    const Range units = part_of(d.units, d.chunks, task / 4);
    bool first = true;  // of the sums of the bias
    for (int64_t i = units.begin; i < units.end; ++i) {
      Unit at = unit_of(d, i, i == units.begin);
      run_unit(v, d, position, at, x, dy, sums, scratch);
      if (!bias || position != 2 || at.tile != 0) continue;
      at.first = first, first = false;
      add_to_bias(v, at, dy, sums + db_at);
    }
    if (bias && position == 2 && first) std::fill_n(sums + db_at, v.k, 0.0f);
  });
  const int64_t count = d_plane(v);
  float* const dw = output(operands, 0);
  for_each_chunk(context, count, kFinished, [&](int64_t begin, int64_t end) {
    float* const sums = static_cast<float*>(me.scratch(p.scratch_bytes));
    const auto add_up = [&](int64_t at, int64_t floats, float* y) {
      kernels().tile->sum_parts(partial + at, d.chunks, chunk_size, floats, y);
    };
    for (int64_t i = 0; i < kPoints; ++i) add_up(i * count + begin, end - begin, sums + i * kFinished);
    float* const made = sums + kPoints * kFinished;
    kernels().lanes_winograd->filter_gradient(sums, made, kFinished);
    for (int64_t i = 0; i < kTaps; ++i)
      std::copy_n(made + i * kFinished, end - begin, dw + i * count + begin);
    if (bias && end == count) add_up(db_at, v.k, output(operands, 1));
  });
}

}  // namespace cpu
}  // namespace fastcnn
