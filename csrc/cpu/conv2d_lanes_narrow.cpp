// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a convolution of few input channels with the batch in lanes, and that of its bias: dy
// stays as it is, sums are vectors over samples, and their lanes are added at the end. Where the output goes
// into a max pooling alone, dy of some rows and channels is made from that of the pooled values in scratch,
// or the pixels at the places of the maxima are chosen lane by lane.
#include "conv2d_lanes_wgrad.h"
#include "conv2d_pooled.h"
#include "kernels/lanes_pool.h"

namespace fastcnn {
namespace cpu {
namespace {

// A task is a chunk of blocks, each taken by bands of rows.
struct Narrow {
  int64_t blocks, bands, chunks;
  int64_t columns;      // of x with its zeros, 0: none are needed
  int64_t above, rows;  // of zeros before x, of both
  bool by_places;       // the pixels are chosen
  int64_t taps, tile;   // of a tile; output channels of one
  int64_t window;       // rows and columns of a max pooling's; 1: none follows
};

constexpr int64_t kNarrow = 3;                   // input channels
constexpr int64_t kNarrowBandFloats = 24 << 10;  // of dy of a tile, in L2
constexpr int64_t kUnpooledFloats = 4 << 10;     // of dy of a tile that is made anew, in L1
constexpr int64_t kPlacesFloats = 6 << 10;       // of x of a band whose pixels are chosen, in L1
constexpr int64_t kNarrowSums = 4096;            // vectors

Narrow plan_narrow(const Conv2dShape& v, int64_t window) {
  Narrow d = {};
  d.window = window;
  d.blocks = v.n / kBatchLanes;
  d.taps = ceil_div(v.s, ceil_div(v.s, kMostLanesTaps));
  const int64_t most = kernels().lanes->most_channels[d.taps];
  d.tile = ceil_div(v.k / v.groups, ceil_div(v.k / v.groups, most));
  const int64_t needed = (v.q - 1) * v.stride_w + (v.s - 1) * v.dilation_w + 1;
  if (v.pad_left || needed > v.w) d.columns = std::max(needed, v.pad_left + 1);
  d.rows = v.h;
  d.by_places = kernels().lanes->places_wgrad && window == 2 && v.r == v.s && (v.r == 3 || v.r == 5) &&
                v.stride_h == 1 && v.stride_w == 1 && v.dilation_h == 1 && v.dilation_w == 1;
  if (d.by_places && (v.pad_top || v.p + v.r - 1 > v.h)) {
    d.above = v.pad_top, d.rows = std::max(v.p + v.r - 1, v.pad_top + 1);
    d.columns = std::max(needed, v.pad_left + 1);
  }
  d.bands = std::min(v.p / window, ceil_div(v.p * v.q * kBatchLanes * d.tile,
                                            window > 1 ? kUnpooledFloats : kNarrowBandFloats));
  if (d.by_places) {
    const int64_t rows = kPlacesFloats / ((d.columns ? d.columns : v.w) * kBatchLanes);
    d.bands = ceil_div(v.p / 2, std::max<int64_t>(1, (rows - v.r + 1) / 2));
  }
  d.chunks = chunks_for(v, d.blocks, lanes_tasks(conv_flops(v)));
  return d;
}

int64_t sums_floats(const Conv2dShape& v) { return dw_floats(v) * kernels().lanes->lanes; }
int64_t copy_floats(const Conv2dShape& v, const Narrow& d) { return v.c * d.rows * d.columns * kBatchLanes; }

// x of a block with rows and columns of zeros around it.
void copy_padded(const Conv2dShape& v, const Narrow& d, const float* x, float* out) {
  const int64_t left = v.pad_left * kBatchLanes, row = d.columns * kBatchLanes, width = v.w * kBatchLanes;
  const int64_t middle = std::min(width, row - left);
  for (int64_t c = 0; c < v.c; ++c, x += v.h * width)
    for (int64_t i = -d.above; i < d.rows - d.above; ++i, out += row) {
      const bool inside = i >= 0 && i < v.h;
      std::fill(out, inside ? out + left : out + row, 0.0f);
      if (!inside) continue;
      std::copy(x + i * width, x + i * width + middle, out + left);
      std::fill(out + left + middle, out + row, 0.0f);
    }
}
// Of dy of a tile where it is made anew.
int64_t unpooled_floats(const Conv2dShape& v, const Narrow& d) {
  return d.window > 1 && !d.by_places
             ? d.tile * ceil_div(v.p / d.window, d.bands) * d.window * v.q * kBatchLanes
             : 0;
}

// Some rows of some channels of dy: the first of them, and how far apart channels lie.
struct Rows {
  const float* dy;
  int64_t channel;
};

// rows_of(rows, channels) -> Rows.
template <class F>
void run_block(const Conv2dShape& v, const Narrow& d, const float* x, float* sums, F rows_of) {
  const int64_t columns = d.columns ? d.columns : v.w, lanes = kernels().lanes->lanes;
  LanesWgrad t = {};
  t.x_row = v.stride_h * columns * kBatchLanes, t.x_pixel = v.stride_w * kBatchLanes;
  t.x_tap = v.dilation_w * kBatchLanes;
  t.dy_row = v.q * kBatchLanes;
  const int64_t in_g = v.c / v.groups, out_g = v.k / v.groups;
  t.k_step = in_g * v.k;
  t.pixels = v.q;
  for (int64_t band = 0; band < d.bands; ++band) {
    const Range windows = part_of(v.p / d.window, d.bands, band);
    const Range rows = {windows.begin * d.window, windows.end * d.window};
    for (int64_t k = 0; k < v.k; k += t.channels) {
      const int64_t group = k / out_g;
      t.channels = static_cast<int32_t>(std::min(d.tile, (group + 1) * out_g - k));
      const Rows from = rows_of(rows, Range{k, k + t.channels});
      t.dy_channel = from.channel;
      for (int64_t c = 0; c < in_g; ++c)
        for (int64_t r = 0; r < v.r; ++r) {
          const Range p = both(rows, rows_of_tap(v, r));
          if (p.begin == p.end) continue;
          t.rows = p.end - p.begin;
          t.dy = from.dy + (p.begin - rows.begin) * t.dy_row;
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

// What takes the place of dy where a max pooling follows: pooled gradients [K][windows], and where in each
// window its maximum lies.
struct Unpool {
  Pool2dShape band;  // of a plane of the rows asked for
  const float* dy;
  const uint8_t* index;
  float* out;

  Unpool(const Conv2dShape& v, const Narrow& d, const float* gradients, const uint8_t* places, float* scratch)
      : band(), dy(gradients), index(places), out(scratch) {
    band.w = v.q, band.q = v.q / d.window;
    band.r = band.s = band.stride_h = band.stride_w = d.window;
    band.dilation_h = band.dilation_w = 1;
  }
  Rows operator()(int64_t all_windows, Range rows, Range channels) {
    band.h = rows.end - rows.begin, band.p = band.h / band.r;
    const int64_t plane = band.h * band.w * kBatchLanes;
    for (int64_t k = channels.begin; k < channels.end; ++k) {
      const int64_t at = (k * all_windows + rows.begin / band.r * band.q) * kBatchLanes;
      kernels().lanes_pool->max_bwd(
          {&band, dy + at, index + at, nullptr, out + (k - channels.begin) * plane});
    }
    return {out, plane};
  }
};

void run_places(const Conv2dShape& v, const Narrow& d, const float* x, const float* dy, const uint8_t* index,
                float* sums) {
  const int64_t columns = d.columns ? d.columns : v.w, lanes = kernels().lanes->lanes;
  const int64_t in_g = v.c / v.groups, out_g = v.k / v.groups;
  LanesPlacesWgrad t = {};
  t.x_row = columns * kBatchLanes, t.k_step = in_g * v.k;
  t.windows_w = v.q / 2, t.taps = static_cast<int32_t>(v.r);
  const int64_t window_row = t.windows_w * kBatchLanes, plane = v.p / 2 * window_row;
  for (int64_t band = 0; band < d.bands; ++band) {
    const Range windows = part_of(v.p / 2, d.bands, band);
    t.windows_h = windows.end - windows.begin;
    for (int64_t k = 0; k < v.k; ++k) {
      t.dy = dy + k * plane + windows.begin * window_row;
      t.index = index + k * plane + windows.begin * window_row;
      for (int64_t c = 0; c < in_g; ++c) {
        t.x = x + ((k / out_g * in_g + c) * d.rows + 2 * windows.begin) * t.x_row;
        t.sums = sums + (c * v.k + k) * lanes;
        kernels().lanes->places_wgrad(t);
      }
    }
  }
}

void run_narrow(const Prepared& prepared, const Conv2dShape& v, const Operands& operands, Context& context) {
  const Narrow& d = state<Narrow>(prepared);
  const bool bias = prepared.op.epilogue.bias;
  Member& me = *context.member;
  const Partial to(v, d.chunks, operands, bias, static_cast<float*>(context.workspace));
  const int64_t windows = (v.p / d.window) * (v.q / d.window), plane = windows * kBatchLanes;
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    const Range blocks = part_of(d.blocks, d.chunks, chunk);
    float* const sums = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    float* const copy = sums + sums_floats(v);
    std::fill(sums, copy, 0.0f);
    for (int64_t b = blocks.begin; b < blocks.end; ++b) {
      const float* x = input(operands, 0) + b * v.c * x_plane(v);
      const float* const dy = input(operands, 1) + b * v.k * plane;
      if (d.columns) copy_padded(v, d, x, copy), x = copy;
      if (d.window > 1) {
        const uint8_t* const index = static_cast<const uint8_t*>(operands.in[2]) + b * v.k * plane;
        if (d.by_places) {
          run_places(v, d, x, dy, index, sums);
        } else {
          Unpool unpool(v, d, dy, index, copy + copy_floats(v, d));
          run_block(v, d, x, sums,
                    [&](Range rows, Range channels) { return unpool(windows, rows, channels); });
        }
      } else {
        run_block(v, d, x, sums, [&](Range rows, Range channels) {
          return Rows{dy + channels.begin * plane + rows.begin * v.q * kBatchLanes, plane};
        });
      }
      if (bias) kernels().lanes->plane_sums({dy, to.db_of(v, chunk), v.k, plane, plane, b > blocks.begin});
    }
    kernels().lanes->lane_sums(sums, dw_floats(v), to.dw_of(chunk));
  });
  to.add_up(v, operands, context);
}

void prepare(Prepared* p, const Conv2dShape& v, int64_t window) {
  const Narrow d = state<Narrow>(p) = plan_narrow(v, window);
  set_costs(p, v, d.chunks);
  p->scratch_bytes = sizeof(float) * (sums_floats(v) + copy_floats(v, d) + unpooled_floats(v, d));
}

bool is_narrow(const Conv2dShape& v) {
  return in_whole_blocks(v) && v.c / v.groups <= kNarrow && dw_floats(v) <= kNarrowSums;
}

// Beside sums over windows (conv2d_pooled_wgrad.cpp). Those read a vector along the taps of a row for each
// multiply-add, most of them across two lines of the cache where vectors are as long as these.
bool pays_beside_windows(const PooledConv2dShape& shape) {
  const Conv2dShape& v = shape.conv;
  const double lanes = static_cast<double>(kernels().lanes->lanes);
  const double of_window = static_cast<double>(v.r * ceil_div(v.s * v.c, kernels().lanes->lanes));
  const double of_pixels = static_cast<double>(shape.pool.r * shape.pool.s * dw_floats(v) / v.k);
  return of_pixels / lanes < of_window * (1 + (lanes - 1) / kBatchLanes);
}

}  // namespace

bool supports_conv2d_wgrad_lanes_narrow(const OpDescriptor& op) { return is_narrow(op.conv2d_wgrad); }
void prepare_conv2d_wgrad_lanes_narrow(Prepared* p) { prepare(p, p->op.conv2d_wgrad, 1); }
void run_conv2d_wgrad_lanes_narrow(const Prepared& p, const Operands& x, Context& context) {
  run_narrow(p, p.op.conv2d_wgrad, x, context);
}

bool supports_conv2d_wgrad_pooled_lanes_narrow(const OpDescriptor& op) {
  const PooledConv2dShape& shape = op.conv2d_wgrad_pooled;
  const Pool2dShape& s = shape.pool;
  const bool tiled = s.r == s.s && s.stride_h == s.r && s.stride_w == s.r && s.dilation_h == 1 &&
                     s.dilation_w == 1 && !s.pad_top && !s.pad_left && s.p == s.h / s.r && s.q == s.w / s.r;
  return supports_pooled(shape, op.layout) && is_narrow(shape.conv) && tiled && pays_beside_windows(shape);
}
void prepare_conv2d_wgrad_pooled_lanes_narrow(Prepared* p) {
  prepare(p, p->op.conv2d_wgrad_pooled.conv, p->op.conv2d_wgrad_pooled.pool.r);
}
void run_conv2d_wgrad_pooled_lanes_narrow(const Prepared& p, const Operands& x, Context& context) {
  run_narrow(p, p.op.conv2d_wgrad_pooled.conv, x, context);
}

}  // namespace cpu
}  // namespace fastcnn
