// SPDX-License-Identifier: Apache-2.0
// Weight gradient of the convolution with the batch in lanes, and that of its bias:
//
//   dw[r,s,c,k] = sum over n,p,q of dy[n,k,p,q] x[n, c, p stride + r dilation - pad, ...]
//
// With many input channels it is a matrix product: dy of a band of rows is turned to [pixels][16][K], and the
// register tile (kernels/tile.h) broadcasts scalars of x, the samples of a pixel being its innermost sum.
// Taps beyond a border are left out. Of few input channels: conv2d_lanes_narrow.cpp.
#include "conv2d_lanes_wgrad.h"

namespace fastcnn {
namespace cpu {
namespace {

// A task is a chunk of units times a part of the filter; a unit is a band of rows of one block, or some whole
// blocks. Where several parts meet a unit it is turned once, for all of them.
struct Wide {
  int64_t panel, panels, width;         // columns of a panel; of all of them
  int64_t blocks, bands, unit_blocks;   // blocks of a unit
  int64_t units, chunks, parts, split;  // parts: of taps, or of `split` pieces of the channels of each
};

// Floats of dy in L2: of a band of an image, of whole blocks, and of a dense layer of many weights. Its sums
// are short: they are written once, where two partial sums of 3136x1024 at batch 64 took 1.6 times as long.
constexpr int64_t kBandFloats = 12 << 10, kBlockFloats = 48 << 10, kDenseFloats = 128 << 10,
                  kManyWeights = 128 << 10;

Wide plan(const Conv2dShape& v) {
  const TileKernels& kernel = *kernels().tile;
  Wide d = {};
  d.panel = kernel.lanes * std::min<int64_t>(wide_vectors(), ceil_div(v.k, kernel.lanes));
  d.panels = ceil_div(v.k, d.panel);
  d.width = d.panels * d.panel;
  d.blocks = v.n / kBatchLanes;
  const int64_t row = v.q * kBatchLanes * d.width;
  const bool dense = v.p * v.q == 1 && dw_floats(v) >= kManyWeights;
  const int64_t most = dense ? kDenseFloats : kBlockFloats;
  d.bands = v.p * v.q == 1 ? 1 : std::min(v.p, ceil_div(v.p * row, kBandFloats));
  d.unit_blocks =
      d.bands > 1 || v.stride_w > 1 ? 1 : std::max<int64_t>(1, std::min(d.blocks, most / (v.p * row)));
  d.units = ceil_div(d.blocks, d.unit_blocks) * d.bands;
  const int64_t wanted = lanes_tasks(conv_flops(v));
  const bool enough = dense && v.r * v.s * ceil_div(v.c, 6) >= wanted;
  d.chunks = enough ? 1 : chunks_for(v, d.units, wanted);
  d.split = std::min(ceil_div(v.c, 6), ceil_div(ceil_div(wanted, d.chunks), v.r * v.s));
  d.parts = std::min(v.r * v.s * d.split, ceil_div(wanted, d.chunks));
  return d;
}

int64_t turned_floats(const Conv2dShape& v, const Wide& d) {
  return round_up(d.unit_blocks * ceil_div(v.p, d.bands) * v.q * kBatchLanes * d.width, 16);
}

// One band of rows of some blocks.
struct Unit {
  int64_t block, blocks;
  Range rows;
  bool first;  // of its sum
};

// dy to [panel][block][row][pixel][16][columns of a panel], of some panels.
void turn(const Conv2dShape& v, const Wide& d, const Unit& at, Range panels, const float* dy, float* out) {
  const int64_t depth = (at.rows.end - at.rows.begin) * v.q * kBatchLanes;
  out += panels.begin * at.blocks * depth * d.panel;
  for (int64_t i = panels.begin; i < panels.end; ++i)
    for (int64_t m = 0; m < at.blocks; ++m, out += depth * d.panel) {
      const float* from =
          dy + ((at.block + m) * v.k + i * d.panel) * dy_plane(v) + at.rows.begin * v.q * kBatchLanes;
      kernels().tile->pack(
          {from, 1, dy_plane(v), depth, static_cast<int32_t>(std::min(d.panel, v.k - i * d.panel)),
           static_cast<int32_t>(d.panel)},
          out);
    }
}

void run_tiles(const Conv2dShape& v, const Wide& d, const Unit& at, const float* x, const float* turned,
               Range parts, float* dw) {
  const int64_t rows_of_unit = at.rows.end - at.rows.begin, pixel = kBatchLanes * d.panel;
  const int64_t panel_floats = at.blocks * rows_of_unit * v.q * pixel;
  Tile t = {};
  t.a_row = x_plane(v), t.a_group = 3 * t.a_row, t.a_step = 1;
  t.b_step = d.panel, t.y_row = v.k, t.accumulate = !at.first;
  const int most = x_plane(v) % kSetFloats ? kernels().tile->max_rows[1] : kAliasedRows;
  for (int64_t part = parts.begin; part < parts.end; ++part) {
    const int64_t tap = part / d.split, r = tap / v.s, s = tap % v.s;
    const Range channels = part_of(v.c, d.split, part % d.split);
    const Range p = both(at.rows, rows_of_tap(v, r)), q = cols_of_tap(v, s);
    if (v.stride_w == 1) {
      t.taps_h = at.blocks, t.a_h = v.c * x_plane(v), t.b_h = rows_of_unit * v.q * pixel;
      t.taps_w = p.end - p.begin, t.a_w = v.stride_h * v.w * kBatchLanes, t.b_w = v.q * pixel;
      t.depth = (q.end - q.begin) * kBatchLanes;
    } else {
      t.taps_h = p.end - p.begin, t.a_h = v.stride_h * v.w * kBatchLanes, t.b_h = v.q * pixel;
      t.taps_w = q.end - q.begin, t.a_w = v.stride_w * kBatchLanes, t.b_w = pixel;
      t.depth = kBatchLanes;
    }
    const bool any = p.begin < p.end && q.begin < q.end;
    if (!any) t.taps_h = 0;
    const int64_t h = p.begin * v.stride_h + r * v.dilation_h - v.pad_top;
    const int64_t w = q.begin * v.stride_w + s * v.dilation_w - v.pad_left;
    for (int64_t i = 0; i < d.panels; ++i) {
      t.a = any ? x + (at.block * v.c + channels.begin) * x_plane(v) + (h * v.w + w) * kBatchLanes : x;
      t.b = turned + i * panel_floats + (any ? ((p.begin - at.rows.begin) * v.q + q.begin) * pixel : 0);
      t.y = dw + (tap * v.c + channels.begin) * v.k + i * d.panel;
      kernels().tile->strip(t, channels.end - channels.begin,
                            static_cast<int>(std::min(d.panel, v.k - i * d.panel)), most);
    }
  }
}

void run_wide(const Prepared& prepared, const Operands& operands, Context& context) {
  const Conv2dShape& v = prepared.op.conv2d_wgrad;
  const Wide& d = state<Wide>(prepared);
  const bool bias = prepared.op.epilogue.bias;
  Member& me = *context.member;
  const float *x = input(operands, 0), *dy = input(operands, 1);
  const Partial to(v, d.chunks, operands, bias, static_cast<float*>(context.workspace));
  const auto unit_of = [&](int64_t i, bool first) {
    const int64_t block = i / d.bands * d.unit_blocks;
    return Unit{block, std::min(d.unit_blocks, d.blocks - block), part_of(v.p, d.bands, i % d.bands), first};
  };
  float* const shared = static_cast<float*>(context.workspace) + partial_floats(v, d.chunks, bias);
  const int64_t unit_floats = turned_floats(v, d);
  if (d.parts > 1)
    parallel_for(me, d.units * d.panels, [&](int64_t task) {
      const int64_t i = task / d.panels, panel = task % d.panels;
      turn(v, d, unit_of(i, false), {panel, panel + 1}, dy, shared + i * unit_floats);
    });
  parallel_for(me, d.chunks * d.parts, [&](int64_t task) {
    const int64_t chunk = task / d.parts, part = task % d.parts;
    const Range units = part_of(d.units, d.chunks, chunk);
    float* const own = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    for (int64_t i = units.begin; i < units.end; ++i) {
      const Unit at = unit_of(i, i == units.begin);
      if (d.parts == 1) turn(v, d, at, {0, d.panels}, dy, own);
      const float* const turned = d.parts > 1 ? shared + i * unit_floats : own;
      const int64_t row = v.q * kBatchLanes;
      if (bias && part == 0)
        for (int64_t m = 0; m < at.blocks; ++m)
          kernels().lanes->plane_sums({dy + (at.block + m) * v.k * dy_plane(v) + at.rows.begin * row,
                                       to.db_of(v, chunk), v.k, dy_plane(v),
                                       (at.rows.end - at.rows.begin) * row, !at.first || m > 0});
      run_tiles(v, d, at, x, turned, part_of(v.r * v.s * d.split, d.parts, part), to.dw_of(chunk));
    }
  });
  to.add_up(v, operands, context);
}

}  // namespace

bool supports_conv2d_wgrad_lanes(const OpDescriptor& op) {
  return in_whole_blocks(op.conv2d_wgrad) && op.conv2d_wgrad.groups == 1;
}
void prepare_conv2d_wgrad_lanes(Prepared* p) {
  const Conv2dShape& v = p->op.conv2d_wgrad;
  const Wide d = state<Wide>(p) = plan(v);
  set_costs(p, v, d.chunks);
  if (d.parts > 1)
    p->workspace_bytes += float_bytes(d.units * turned_floats(v, d));
  else
    p->scratch_bytes = float_bytes(turned_floats(v, d));
}
void run_conv2d_wgrad_lanes(const Prepared& p, const Operands& x, Context& context) {
  run_wide(p, x, context);
}

}  // namespace cpu
}  // namespace fastcnn
