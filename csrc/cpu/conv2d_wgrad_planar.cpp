// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a convolution of few channels and few filters (LeNet's first layer), channels-last.
//
// Vectors of filters would be mostly empty. Here they are neighbouring pixels of a row: x and dy of a band of
// rows are transposed to planes [row][channel][column] with zeros beside them, sums are vectors, a tile of
// taps and filters in registers, and their lanes are added at the end. The tile is that of the batch in
// lanes, for which 16 pixels are one.
#include "conv2d_lanes_wgrad.h"

namespace fastcnn {
namespace cpu {
namespace {

// The blocking, from the shape alone. A task is a chunk of bands of rows, which lie within images.
struct Planar {
  int64_t columns_x, columns_dy;  // of a plane
  int64_t bands, rows, rows_in;   // bands of an image; rows of dy and of x that one has at most
  int64_t chunks;
  int64_t taps, tile;  // of a tile; filters of one
};

constexpr int64_t kMostChannels = 3, kMostSums = 4096;
constexpr int64_t kPlanesFloats = 12 << 10;  // of dy of a band, in L2

int64_t columns_of_dy(const Conv2dShape& v) { return round_up(v.q, kBatchLanes); }

Planar plan(const Conv2dShape& v) {
  Planar d = {};
  d.columns_dy = columns_of_dy(v);
  d.columns_x = round_up(std::max(v.pad_left + v.w, d.columns_dy + (v.s - 1) * v.dilation_w), kBatchLanes);
  d.bands = std::min(v.p, ceil_div(v.p * v.k * d.columns_dy, kPlanesFloats));
  d.rows = ceil_div(v.p, d.bands);
  d.rows_in = std::min(v.h, (d.rows - 1) * v.stride_h + (v.r - 1) * v.dilation_h + 1);
  d.chunks = chunks_for(v, v.n * d.bands, tasks_for(conv_flops(v)));
  d.taps = ceil_div(v.s, ceil_div(v.s, kMostLanesTaps));
  d.tile = ceil_div(v.k, ceil_div(v.k, kernels().lanes->most_channels[d.taps]));
  return d;
}

int64_t sums_floats(const Conv2dShape& v) { return round_up(dw_floats(v) * kernels().lanes->lanes, 16); }
int64_t x_floats(const Conv2dShape& v, const Planar& d) {
  return round_up(v.pad_left + d.rows_in * v.c * d.columns_x, 16);
}

// Rows of [columns][channels] to [channels][width].
void make_planes(const float* x, Range rows, int64_t columns, int64_t channels, int64_t width, float* out) {
  for (int64_t i = rows.begin; i < rows.end; ++i, out += channels * width)
    kernels().tile->pack({x + i * columns * channels, 1, channels, channels, static_cast<int32_t>(columns),
                          static_cast<int32_t>(width)},
                         out);
}

struct Scratch {
  float *sums, *x, *dy;
};

void run_band(const Conv2dShape& v, const Planar& d, Range rows, const float* x, const float* dy,
              const Scratch& to) {
  const int64_t top = rows.begin * v.stride_h - v.pad_top;
  const int64_t end = (rows.end - 1) * v.stride_h - v.pad_top + (v.r - 1) * v.dilation_h + 1;
  const Range in = both({0, v.h}, {top, end});
  // Each plane of x ends with the zeros that the next one begins with.
  std::fill(to.x, to.x + v.pad_left, 0.0f);
  make_planes(x, in, v.w, v.c, d.columns_x, to.x + v.pad_left);
  make_planes(dy, rows, v.q, v.k, d.columns_dy, to.dy);
  LanesWgrad t = {};
  t.x_row = v.stride_h * v.c * d.columns_x, t.x_pixel = kBatchLanes, t.x_tap = v.dilation_w;
  t.dy_row = v.k * d.columns_dy, t.dy_channel = d.columns_dy;
  t.k_step = v.c * v.k;
  t.pixels = d.columns_dy / kBatchLanes;
  for (int64_t k = 0; k < v.k; k += d.tile) {
    t.channels = static_cast<int32_t>(std::min(d.tile, v.k - k));
    for (int64_t r = 0; r < v.r; ++r) {
      const Range p = both(rows, rows_of_tap(v, r));
      if (p.begin == p.end) continue;
      t.rows = p.end - p.begin;
      t.dy = to.dy + (p.begin - rows.begin) * t.dy_row + k * d.columns_dy;
      const int64_t h = p.begin * v.stride_h + r * v.dilation_h - v.pad_top - in.begin;
      for (int64_t c = 0; c < v.c; ++c)
        for (int64_t s = 0; s < v.s; s += d.taps) {
          t.taps = static_cast<int32_t>(std::min(d.taps, v.s - s));
          t.x = to.x + (h * v.c + c) * d.columns_x + s * v.dilation_w;
          t.sums = to.sums + ((r * v.s + s) * t.k_step + c * v.k + k) * kernels().lanes->lanes;
          kernels().lanes->wgrad(t);
        }
    }
  }
}

}  // namespace

// Vectors of multiply-adds for a pixel; to transpose it takes as long as 6 of them of x (unless it is one
// channel) and of dy, where vectors have fewer lanes as long as 12. On an AMD EPYC (Zen 4, 2 threads) 5x5 of
// 1 channel and 3 to 8 filters then took 0.5 to 0.8 times as long as directly; 6 filters with AVX2, which
// this leaves out, 1.35 times. Zeros of dy meet pixels of x that it does not see, and NaN or infinity in one
// of these spreads to the gradient's other taps: not with math="strict".
bool supports_conv2d_wgrad_planar(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_wgrad;
  if (op.storage == Storage::kPairs || op.math == Math::kStrict || v.groups > 1 || v.stride_w > 1)
    return false;
  const int64_t lanes = kernels().tile->lanes, sums = dw_floats(v);
  if (v.c > kMostChannels || 2 * v.k > lanes || sums > kMostSums) return false;
  const double here = static_cast<double>(sums * columns_of_dy(v)) / static_cast<double>(lanes * v.q);
  const double transposes = (lanes == 16 ? 6 : 12) * (v.c > 1 ? 2 : 1);
  return here + transposes < static_cast<double>(sums / v.k);
}

void prepare_conv2d_wgrad_planar(Prepared* p) {
  const Conv2dShape& v = p->op.conv2d_wgrad;
  const Planar d = state<Planar>(p) = plan(v);
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  p->parallel = p->flops > kParallelFlops;
  p->workspace_bytes = float_bytes(partial_floats(v, d.chunks, false));
  p->scratch_bytes = sizeof(float) * (sums_floats(v) + x_floats(v, d) + d.rows * v.k * d.columns_dy);
}

void run_conv2d_wgrad_planar(const Prepared& prepared, const Operands& operands, Context& context) {
  const Conv2dShape& v = prepared.op.conv2d_wgrad;
  const Planar& d = state<Planar>(prepared);
  Member& me = *context.member;
  const Partial to(v, d.chunks, operands, false, static_cast<float*>(context.workspace));
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    float* const sums = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    const Scratch scratch = {sums, sums + sums_floats(v), sums + sums_floats(v) + x_floats(v, d)};
    std::fill(sums, scratch.x, 0.0f);
    const Range bands = part_of(v.n * d.bands, d.chunks, chunk);
    for (int64_t i = bands.begin; i < bands.end; ++i) {
      const int64_t n = i / d.bands;
      run_band(v, d, part_of(v.p, d.bands, i % d.bands), input(operands, 0) + n * v.h * v.w * v.c,
               input(operands, 1) + n * v.p * v.q * v.k, scratch);
    }
    kernels().lanes->lane_sums(sums, dw_floats(v), to.dw_of(chunk));
  });
  to.add_up(v, operands, context);
}

}  // namespace cpu
}  // namespace fastcnn
