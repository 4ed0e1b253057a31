// SPDX-License-Identifier: Apache-2.0
// Weight gradient of the convolution with the batch in lanes, and that of its bias:
//
//   dw[r,s,c,k] = sum over n,p,q of dy[n,k,p,q] x[n, c, p stride + r dilation - pad, ...]
//
// With many input channels it is a matrix product: dy of a band of rows is turned to [pixels][16][K], and the
// register tile (kernels/tile.h) broadcasts scalars of x, the samples of a pixel being its innermost sum.
// With few of a group (lanes_narrow) dy stays as it is, the sums are vectors over samples, and their lanes
// are added at the end. Taps beyond a border are left out. Pixels are split by shape alone into partial sums,
// added in order.
#include "lanes.h"

namespace fastcnn {
namespace cpu {
namespace {

// Outputs i < outputs whose input i stride + offset lies in [0, inputs); at least an empty range.
Range outputs_inside(int64_t outputs, int64_t stride, int64_t offset, int64_t inputs) {
  const int64_t begin = offset < 0 ? ceil_div(-offset, stride) : 0;
  const int64_t end = std::min(outputs, offset < inputs ? (inputs - 1 - offset) / stride + 1 : 0);
  return begin < end ? Range{begin, end} : Range{0, 0};
}
Range both(Range a, Range b) {
  const Range c = {std::max(a.begin, b.begin), std::min(a.end, b.end)};
  return c.begin < c.end ? c : Range{a.begin, a.begin};
}
Range rows_of_tap(const Conv2dShape& v, int64_t r) {
  return outputs_inside(v.p, v.stride_h, r * v.dilation_h - v.pad_top, v.h);
}
Range cols_of_tap(const Conv2dShape& v, int64_t s) {
  return outputs_inside(v.q, v.stride_w, s * v.dilation_w - v.pad_left, v.w);
}

int64_t dw_floats(const Conv2dShape& v) { return v.r * v.s * (v.c / v.groups) * v.k; }
int64_t x_plane(const Conv2dShape& v) { return v.h * v.w * kBatchLanes; }
int64_t dy_plane(const Conv2dShape& v) { return v.p * v.q * kBatchLanes; }

// Chunks of `units`: enough tasks, and not more partial sums than 8 M floats.
int64_t chunks_for(const Conv2dShape& v, int64_t units, int64_t wanted) {
  return std::max<int64_t>(1, std::min({units, wanted, (int64_t{8} << 20) / dw_floats(v)}));
}

// A partial sum of each chunk: dw, and db where it is asked for.
struct Partial {
  int64_t chunks, floats;
  float *dw, *db;

  Partial(const Conv2dShape& v, int64_t count, const Operands& x, bool bias, float* workspace)
      : chunks(count),
        floats(round_up(dw_floats(v), 16)),
        dw(output(x, 0)),
        db(bias ? output(x, 1) : nullptr) {
    if (chunks == 1) return;
    dw = workspace;
    if (bias) db = workspace + chunks * floats;
  }
  float* dw_of(int64_t chunk) const { return dw + chunk * floats; }
  float* db_of(const Conv2dShape& v, int64_t chunk) const {
    return db ? db + chunk * round_up(v.k, 16) : nullptr;
  }
  void add_up(const Conv2dShape& v, const Operands& x, Context& context) const {
    if (chunks == 1) return;
    const int64_t count = dw_floats(v);
    for_each_chunk(context, count + (db ? v.k : 0), std::max<int64_t>(1024, ceil_div(count, kTasks)),
                   [&](int64_t begin, int64_t end) {
                     const auto add = kernels().tile->sum_parts;
                     if (begin < count)
                       add(dw + begin, chunks, floats, std::min(end, count) - begin, output(x, 0) + begin);
                     if (end <= count) return;
                     const int64_t first = std::max<int64_t>(0, begin - count);
                     add(db + first, chunks, round_up(v.k, 16), end - count - first, output(x, 1) + first);
                   });
  }
};
int64_t partial_floats(const Conv2dShape& v, int64_t chunks, bool bias) {
  return chunks == 1 ? 0 : chunks * (round_up(dw_floats(v), 16) + (bias ? round_up(v.k, 16) : 0));
}

// The sum of a band of rows of dy, added to db.
void add_bias(const Conv2dShape& v, const float* dy, Range rows, bool first, float* db) {
  for (int64_t k = 0; k < v.k; ++k) {
    const int64_t row = v.q * kBatchLanes;
    const float sum =
        kernels().lanes->sum(dy + k * dy_plane(v) + rows.begin * row, (rows.end - rows.begin) * row);
    db[k] = first ? sum : db[k] + sum;
  }
}

// A task is a chunk of units times a part of the filter; a unit is a band of rows of one block, or some whole
// blocks. Where several parts meet a unit it is turned once, for all of them.
struct Wide {
  int64_t panel, panels, width;         // columns of a panel; of all of them
  int64_t blocks, bands, unit_blocks;   // blocks of a unit
  int64_t units, chunks, parts, split;  // parts: of taps, or of `split` pieces of the channels of each
};

// Floats of dy in L2: of a band of an image, of whole blocks.
constexpr int64_t kBandFloats = 12 << 10, kBlockFloats = 48 << 10;

Wide plan(const Conv2dShape& v) {
  const TileKernels& kernel = *kernels().tile;
  Wide d = {};
  d.panel = kernel.lanes * std::min<int64_t>(kernel.vectors, ceil_div(v.k, kernel.lanes));
  d.panels = ceil_div(v.k, d.panel);
  d.width = d.panels * d.panel;
  d.blocks = v.n / kBatchLanes;
  const int64_t row = v.q * kBatchLanes * d.width;
  d.bands = std::min(v.p, ceil_div(v.p * row, v.p * v.q > 1 ? kBandFloats : kBlockFloats));
  d.unit_blocks = d.bands > 1 || v.stride_w > 1
                      ? 1
                      : std::max<int64_t>(1, std::min(d.blocks, kBlockFloats / (v.p * row)));
  d.units = ceil_div(d.blocks, d.unit_blocks) * d.bands;
  const int64_t wanted = lanes_tasks(conv_flops(v));
  d.chunks = chunks_for(v, d.units, wanted);
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

// dy to [panel][block][row][pixel][16][columns of a panel].
void turn(const Conv2dShape& v, const Wide& d, const Unit& at, const float* dy, float* out) {
  const int64_t depth = (at.rows.end - at.rows.begin) * v.q * kBatchLanes;
  for (int64_t i = 0; i < d.panels; ++i)
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
                            static_cast<int>(std::min(d.panel, v.k - i * d.panel)),
                            kernels().tile->max_rows[1]);
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
    parallel_for(me, d.units,
                 [&](int64_t i) { turn(v, d, unit_of(i, false), dy, shared + i * unit_floats); });
  parallel_for(me, d.chunks * d.parts, [&](int64_t task) {
    const int64_t chunk = task / d.parts, part = task % d.parts;
    const Range units = part_of(d.units, d.chunks, chunk);
    float* const own = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    for (int64_t i = units.begin; i < units.end; ++i) {
      const Unit at = unit_of(i, i == units.begin);
      if (d.parts == 1) turn(v, d, at, dy, own);
      const float* const turned = d.parts > 1 ? shared + i * unit_floats : own;
      if (bias && part == 0)
        for (int64_t m = 0; m < at.blocks; ++m)
          add_bias(v, dy + (at.block + m) * v.k * dy_plane(v), at.rows, at.first && m == 0,
                   to.db_of(v, chunk));
      run_tiles(v, d, at, x, turned, part_of(v.r * v.s * d.split, d.parts, part), to.dw_of(chunk));
    }
  });
  to.add_up(v, operands, context);
}

// Few channels: a task is a chunk of bands of blocks; its sums are vectors.
struct Narrow {
  int64_t blocks, bands, chunks;
  int64_t columns;     // of x with its zeros, 0: none are needed
  int64_t taps, tile;  // of a tile; output channels of one
};

constexpr int64_t kNarrow = 3;                   // input channels
constexpr int64_t kNarrowBandFloats = 24 << 10;  // of dy of a tile, in L2
constexpr int64_t kNarrowSums = 4096;            // vectors

Narrow plan_narrow(const Conv2dShape& v) {
  Narrow d = {};
  d.blocks = v.n / kBatchLanes;
  d.taps = ceil_div(v.s, ceil_div(v.s, kMostLanesTaps));
  const int64_t most = kernels().lanes->most_channels[d.taps];
  d.tile = ceil_div(v.k / v.groups, ceil_div(v.k / v.groups, most));
  const int64_t needed = (v.q - 1) * v.stride_w + (v.s - 1) * v.dilation_w + 1;
  if (v.pad_left || needed > v.w) d.columns = std::max(needed, v.pad_left + 1);
  d.bands = std::min(v.p, ceil_div(v.p * v.q * kBatchLanes * d.tile, kNarrowBandFloats));
  d.chunks = chunks_for(v, d.blocks, lanes_tasks(conv_flops(v)));
  return d;
}

int64_t sums_floats(const Conv2dShape& v) { return dw_floats(v) * kernels().lanes->lanes; }
int64_t copy_floats(const Conv2dShape& v, const Narrow& d) { return v.c * v.h * d.columns * kBatchLanes; }

// x of a block with columns of zeros beside it.
void copy_padded(const Conv2dShape& v, const Narrow& d, const float* x, float* out) {
  const int64_t left = v.pad_left * kBatchLanes, row = d.columns * kBatchLanes, width = v.w * kBatchLanes;
  const int64_t middle = std::min(width, row - left);
  for (int64_t i = 0; i < v.c * v.h; ++i, x += width, out += row) {
    std::fill(out, out + left, 0.0f);
    std::copy(x, x + middle, out + left);
    std::fill(out + left + middle, out + row, 0.0f);
  }
}

void run_block(const Conv2dShape& v, const Narrow& d, const float* x, const float* dy, float* sums) {
  const int64_t columns = d.columns ? d.columns : v.w, lanes = kernels().lanes->lanes;
  LanesWgrad t = {};
  t.x_row = v.stride_h * columns * kBatchLanes, t.x_pixel = v.stride_w * kBatchLanes;
  t.x_tap = v.dilation_w * kBatchLanes;
  t.dy_row = v.q * kBatchLanes, t.dy_channel = dy_plane(v);
  const int64_t in_g = v.c / v.groups, out_g = v.k / v.groups;
  t.k_step = in_g * v.k;
  t.pixels = v.q;
  for (int64_t band = 0; band < d.bands; ++band) {
    const Range rows = part_of(v.p, d.bands, band);
    for (int64_t k = 0; k < v.k; k += t.channels) {
      const int64_t group = k / out_g;
      t.channels = static_cast<int32_t>(std::min(d.tile, (group + 1) * out_g - k));
      for (int64_t c = 0; c < in_g; ++c)
        for (int64_t r = 0; r < v.r; ++r) {
          const Range p = both(rows, rows_of_tap(v, r));
          if (p.begin == p.end) continue;
          t.rows = p.end - p.begin;
          t.dy = dy + k * t.dy_channel + p.begin * t.dy_row;
          const int64_t h = p.begin * v.stride_h + r * v.dilation_h - v.pad_top;
          for (int64_t s = 0; s < v.s; s += d.taps) {
            t.taps = static_cast<int32_t>(std::min(d.taps, v.s - s));
            t.x = x + (((group * in_g + c) * v.h + h) * columns + s * v.dilation_w) * kBatchLanes;
            t.sums = sums + ((r * v.s + s) * t.k_step + c * v.k + k) * lanes;
            kernels().lanes->wgrad(t);
          }
        }
    }
  }
}

void run_narrow(const Prepared& prepared, const Operands& operands, Context& context) {
  const Conv2dShape& v = prepared.op.conv2d_wgrad;
  const Narrow& d = state<Narrow>(prepared);
  const bool bias = prepared.op.epilogue.bias;
  Member& me = *context.member;
  const Partial to(v, d.chunks, operands, bias, static_cast<float*>(context.workspace));
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    const Range blocks = part_of(d.blocks, d.chunks, chunk);
    float* const sums = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    float* const copy = sums + sums_floats(v);
    std::fill(sums, copy, 0.0f);
    for (int64_t b = blocks.begin; b < blocks.end; ++b) {
      const float* x = input(operands, 0) + b * v.c * x_plane(v);
      const float* dy = input(operands, 1) + b * v.k * dy_plane(v);
      if (d.columns) copy_padded(v, d, x, copy);
      run_block(v, d, d.columns ? copy : x, dy, sums);
      if (bias) add_bias(v, dy, {0, v.p}, b == blocks.begin, to.db_of(v, chunk));
    }
    kernels().lanes->lane_sums(sums, dw_floats(v), to.dw_of(chunk));
  });
  to.add_up(v, operands, context);
}

bool in_whole_blocks(const Conv2dShape& v) { return v.n % kBatchLanes == 0; }

void set_costs(Prepared* p, const Conv2dShape& v, int64_t chunks) {
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  p->parallel = p->flops > kLanesTaskFlops;
  p->workspace_bytes = float_bytes(partial_floats(v, chunks, p->op.epilogue.bias));
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

bool supports_conv2d_wgrad_lanes_narrow(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_wgrad;
  return in_whole_blocks(v) && v.c / v.groups <= kNarrow && dw_floats(v) <= kNarrowSums;
}
void prepare_conv2d_wgrad_lanes_narrow(Prepared* p) {
  const Conv2dShape& v = p->op.conv2d_wgrad;
  const Narrow d = state<Narrow>(p) = plan_narrow(v);
  set_costs(p, v, d.chunks);
  p->scratch_bytes = sizeof(float) * (sums_floats(v) + copy_floats(v, d));
}
void run_conv2d_wgrad_lanes_narrow(const Prepared& p, const Operands& x, Context& context) {
  run_narrow(p, x, context);
}

}  // namespace cpu
}  // namespace fastcnn
