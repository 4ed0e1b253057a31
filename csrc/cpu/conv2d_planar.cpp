// SPDX-License-Identifier: Apache-2.0
// fprop and dgrad with few output channels (LeNet's first layer, the input gradient of an RGB image),
// channels-last.
//
// With 6 output channels a tile of conv2d.cpp fills 6 of 16 lanes. Here the lanes are output pixels of a row:
// rows of a tile are output channels, its scalars the weights as they lie in [R][S][C][K], its vectors
// neighbouring pixels of one input channel. For that rows of the input are transposed to planes
// [channel][column] with zeros on both sides, and rows of the output back to [pixel][channel] on their way
// out, with the epilogue. Where a max pooling follows, a task makes its rows in scratch.
#include "pool_rows.h"

namespace fastcnn {
namespace cpu {
namespace {

// The blocking, from the shape alone. A task is a band of rows of one image.
struct Planar : Correlation {
  int64_t pad_left, columns;  // of a plane
  int64_t bands, band_rows_in;
  int64_t tile_columns;  // output pixels of a tile
  int64_t pool;          // rows of a window of the max pooling that follows; 1: none
};

constexpr int64_t kBandBytes = 256 << 10;

bool supports(const Conv2dShape& v, bool dgrad) {
  const TileKernels& kernel = *kernels().tile;
  const Correlation d = correlation(v, dgrad);
  // A pointwise sum reads each plane once: making it cost 1.2 to 2.5 times what idle lanes do.
  if (v.r * v.s == 1 || d.groups > 1 || d.step_w > 1 || 2 * d.out_c > kernel.lanes) return false;
  // Worth it when it fills half as many lanes again.
  const int64_t lanes_of_pixels = round_up(d.cols, kernel.lanes);
  return 2 * d.cols * kernel.lanes > 3 * d.out_c * lanes_of_pixels;
}

Planar plan(const Conv2dShape& v, bool dgrad, int32_t pool) {
  const TileKernels& kernel = *kernels().tile;
  Planar d = {};
  d.pool = pool ? pool : 1;
  static_cast<Correlation&>(d) = correlation(v, dgrad);
  int vectors = kMaxVectors;
  while (vectors > 1 && kernel.max_rows[vectors] < d.out_c) --vectors;
  d.tile_columns = kernel.lanes * vectors;
  d.pad_left = std::max<int64_t>(0, -d.low_w);
  // The last vector of a row of outputs reads past the last column that it needs.
  const int64_t reach = std::max(d.in_w, round_up(d.cols, kernel.lanes) + std::max<int64_t>(0, d.high_w));
  d.columns = round_up(d.pad_left + reach, kernel.lanes);
  const int64_t image_bytes = 4 * d.in_h * d.in_c * d.columns;
  d.bands = std::max(ceil_div(tasks_for(conv_flops(v)), d.n), ceil_div(image_bytes, kBandBytes));
  d.bands = std::min({d.bands, std::max<int64_t>(1, d.rows / 6), d.rows / d.pool});
  d.band_rows_in = most_rows_met(d, ceil_div(d.rows / d.pool, d.bands) * d.pool);
  return d;
}

size_t planes_bytes(const Planar& d) {
  return float_bytes(d.pad_left + d.band_rows_in * d.in_c * d.columns + d.columns);
}
size_t tile_bytes(const Planar& d) { return float_bytes(d.out_c * d.tile_columns); }
// The outputs of a task that are pooled.
size_t unpooled_bytes(const Planar& d) {
  const int64_t rows = ceil_div(d.rows / d.pool, d.bands) * d.pool;
  return d.pool > 1 ? float_bytes(rows * d.out_w * d.out_c) : 0;
}
size_t scratch_bytes(const Planar& d) { return planes_bytes(d) + tile_bytes(d) + unpooled_bytes(d); }

struct Arguments {
  const float *x, *w, *bias, *mask;
  float* y;
  uint8_t* index;  // where a max pooling follows: of the places of its maxima, or null
  int32_t relu;
};

// Row h of the input at out + (h - rows.begin) in_c columns: [channel][column].
void make_planes(const Planar& d, const float* image, Range rows, float* out) {
  std::fill(out, out + d.pad_left, 0.0f);
  // Each plane ends with the zeros that the next one begins with.
  for (int64_t h = rows.begin; h < rows.end; ++h)
    kernels().tile->pack({image + h * d.in_w * d.in_c, 1, d.in_c, d.in_c, static_cast<int32_t>(d.in_w),
                          static_cast<int32_t>(d.columns)},
                         out + d.pad_left + (h - rows.begin) * d.in_c * d.columns);
}

// Output row i of one phase of rows, every phase of columns. planes: of input row first_row and those below
// it.
void run_row(const Planar& d, const Arguments& to, const Axis& h, int64_t n, int64_t i, const float* planes,
             int64_t first_row, float* tile) {
  const TileKernels& kernel = *kernels().tile;
  const Range taps = taps_inside(h, i, d.in_h);
  for (int64_t phase = 0; phase < d.phases_w; ++phase) {
    const Axis w = axis_w(d, phase);
    Tile t = {};
    t.taps_h = w.taps ? taps.end - taps.begin : 0;
    t.a_h = h.filter_step * d.filter_w * d.weight_tap, t.b_h = h.spread * d.in_c * d.columns;
    t.a_row = d.weight_out, t.a_group = 3 * t.a_row;
    t.y = tile, t.y_row = d.tile_columns;
    // The innermost loop is the longer one of taps and channels.
    const bool channels_inside = d.in_c >= w.taps;
    t.taps_w = w.taps, t.a_w = w.filter_step * d.weight_tap, t.b_w = w.spread;
    t.depth = d.in_c, t.a_step = d.weight_in, t.b_step = d.columns;
    if (!channels_inside) {
      std::swap(t.taps_w, t.depth), std::swap(t.a_w, t.a_step), std::swap(t.b_w, t.b_step);
    }
    const float *a = to.w, *b = planes;
    if (t.taps_h) {
      a += ((h.filter + taps.begin * h.filter_step) * d.filter_w + w.filter) * d.weight_tap;
      b += (i * h.step + h.first + taps.begin * h.spread - first_row) * d.in_c * d.columns + d.pad_left +
           w.first;
    }
    const int64_t out = ((n * d.out_h + h.first_out + i * h.step_out) * d.out_w + w.first_out) * d.out_c;
    for (int64_t j = 0; j < w.outputs; j += d.tile_columns) {
      const int64_t count = std::min(d.tile_columns, w.outputs - j), at = out + j * w.step_out * d.out_c;
      t.a = a, t.b = b + j;
      kernel.strip(t, d.out_c, static_cast<int>(round_up(count, kernel.lanes)), kernel.max_rows[1]);
      kernel.interleave_channels({tile, to.y + at, to.bias, to.mask ? to.mask + at : nullptr, d.tile_columns,
                                  w.step_out * d.out_c, count, static_cast<int32_t>(d.out_c), to.relu});
    }
  }
}

void run(const Planar& d, const Arguments& to, Context& context) {
  Member& me = *context.member;
  parallel_for(me, d.n * d.bands, [&](int64_t task) {
    const int64_t n = task / d.bands;
    const Range windows = part_of(d.rows / d.pool, d.bands, task % d.bands);
    const Range rows = {windows.begin * d.pool, windows.end * d.pool}, in = rows_met(d, rows);
    float* const planes = static_cast<float*>(me.scratch(scratch_bytes(d)));
    float* const tile = planes + planes_bytes(d) / sizeof(float);
    float* const unpooled = tile + tile_bytes(d) / sizeof(float);
    Arguments made = to;
    if (d.pool > 1) made.y = unpooled - (n * d.out_h + rows.begin) * d.out_w * d.out_c;
    make_planes(d, to.x + n * d.in_h * d.in_w * d.in_c, in, planes);
    for (int64_t phase = 0; phase < d.phases_h; ++phase) {
      const Axis h = axis_h(d, phase);
      for (int64_t i = rows.begin; i < std::min(rows.end, h.outputs); ++i)
        run_row(d, made, h, n, i, planes, in.begin, tile);
    }
    if (d.pool > 1) pool_rows(d, d.pool, unpooled, {n, n + 1}, rows, to.y, to.index);
  });
}

void prepare(Prepared* p, const Conv2dShape& v, bool dgrad) {
  const Planar d = state<Planar>(p) = plan(v, dgrad, dgrad ? 0 : p->op.epilogue.pool);
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  // From half as many operations as elsewhere: tiles of few rows reach half of the peak.
  const bool pays = pays_for_threads(*p) || p->flops >= kParallelFlops / 2;
  p->parallel = d.n * d.bands == 1 ? 0 : pays ? 1 : p->flops >= kOpenFlops / 2 ? kInOpenRegion : 0;
  p->scratch_bytes = scratch_bytes(d);
}

}  // namespace

bool supports_conv2d_fprop_planar(const OpDescriptor& op) {
  const Epilogue& e = op.epilogue;
  const Conv2dShape& v = op.conv2d_fprop;
  if (e.residual || e.scale || !supports(v, false)) return false;
  return !e.pool || (pools_whole_windows(e, v) && unpooled_bytes(plan(v, false, e.pool)) <= 2 * kBandBytes);
}
void prepare_conv2d_fprop_planar(Prepared* p) { prepare(p, p->op.conv2d_fprop, false); }
void run_conv2d_fprop_planar(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_fprop;
  const float* bias = e.bias ? input(x, 2) : nullptr;
  run(state<Planar>(p),
      {input(x, 0), input(x, 1), bias, nullptr, output(x, 0),
       e.pool ? static_cast<uint8_t*>(x.out[1]) : nullptr, e.activation == Activation::kRelu},
      context);
  finish_activation(context, e.activation, output(x, 0), v.n * v.p * v.q * v.k);
}

bool supports_conv2d_dgrad_planar(const OpDescriptor& op) {
  return !op.epilogue.residual && supports(op.conv2d_dgrad, true);
}
void prepare_conv2d_dgrad_planar(Prepared* p) { prepare(p, p->op.conv2d_dgrad, true); }
void run_conv2d_dgrad_planar(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_dgrad;
  const float *bias = e.bias ? input(x, 3) : nullptr, *mask = e.relu_mask ? input(x, 2) : nullptr;
  run(state<Planar>(p),
      {input(x, 0), input(x, 1), bias, mask, output(x, 0), nullptr, e.activation == Activation::kRelu},
      context);
  finish_activation(context, e.activation, output(x, 0), v.n * v.h * v.w * v.c);
}

}  // namespace cpu
}  // namespace fastcnn
