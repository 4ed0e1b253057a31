// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a pooled convolution of few input channels, channels-last: dw[r,s,c,k] = sum over n and
// windows of dy[n,window,k] x[n, place + (r,s), c] with vectors along k. A task adds up the sums of some
// images, [R,S,C,K] in whole vectors and those of the bias; these are added in order. See conv2d_pooled.h.
#include "conv2d_pooled.h"

namespace fastcnn {
namespace cpu {
namespace {

constexpr int64_t kQuadFloats = 8 << 10;  // of a band of windows, in L1

// A band of rows of windows, and what of an image its places and taps reach.
struct Band {
  int64_t down, right;      // places of a window
  int64_t x_h, x_w, x_row;  // windows; rows of taps
  int64_t one;              // floats of x, from the first on, that are the first place of a row of windows
  int64_t fours;            // of places
  int64_t windows;          // rows of them

  Band(const PooledConv2dShape& shape, const Pooled& d) {
    const Conv2dShape& v = shape.conv;
    const Pool2dShape& s = shape.pool;
    down = s.dilation_h * v.stride_h * d.row, right = s.dilation_w * v.stride_w * v.c;
    x_h = s.stride_h * v.stride_h * d.row, x_w = s.stride_w * v.stride_w * v.c;
    x_row = v.dilation_h * d.row;
    fours = ceil_div(d.places, 4);
    one = (v.r - 1) * x_row + (s.q - 1) * x_w + v.s * v.c;
    windows = std::min(s.p, std::max<int64_t>(1, (kQuadFloats / (4 * fours) - one) / x_h + 1));
  }
  int64_t floats(int64_t rows) const { return round_up((rows - 1) * x_h + one, kSlack); }
  int64_t quad_floats() const { return 4 * fours * floats(windows); }
};

// For each number of so many rows of windows those at the places of a window that begins there.
void make_quads(const Band& b, const Pooled& d, int64_t columns, int64_t rows, const float* x, float* quads) {
  PooledQuads q = {x, quads, b.floats(rows), {}};
  for (int64_t i = 0; i < b.fours; ++i, q.quads += 4 * q.floats) {
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t place = std::min(4 * i + j, d.places - 1);
      q.at[j] = static_cast<int32_t>(place / columns * b.down + place % columns * b.right);
    }
    kernels().pooled->quads(q);
  }
}

// The sums of an image in tiles of taps and vectors of channels.
void add_image(const PooledConv2dShape& shape, const Pooled& d, const float* image, const Gradient& from,
               int64_t width, float* quads, float* sums) {
  const Conv2dShape& v = shape.conv;
  const Pool2dShape& s = shape.pool;
  const Band band(shape, d);
  const int64_t row = v.s * v.c, parts = ceil_div(row, kNarrowTaps);
  PooledNarrow t = {};
  t.windows_w = s.q, t.channels = width;
  t.x_h = band.x_h, t.x_w = band.x_w, t.x_row = band.x_row;
  t.sums_row = row * width, t.sums_tap = width;
  t.fours = static_cast<int32_t>(band.fours);
  for (int64_t p = 0; p < s.p; p += band.windows) {
    t.windows_h = std::min(band.windows, s.p - p);
    t.quarters = 4 * band.floats(t.windows_h);
    make_quads(band, d, s.s, t.windows_h, image + p * band.x_h, quads);
    const int64_t first = p * s.q * width;
    for (int64_t k = 0; k < width; k += kernels().pooled->lanes)
      for (int64_t part = 0; part < parts; ++part) {
        const Range taps = part_of(row, parts, part);
        t.taps = static_cast<int32_t>(taps.end - taps.begin);
        for (int64_t r = 0; r < v.r; r += t.rows) {
          t.rows = static_cast<int32_t>(std::min<int64_t>(narrow_rows(t.taps), v.r - r));
          t.quads = quads + 4 * (r * t.x_row + taps.begin);
          t.dy = from.dy + first + k, t.index = from.index + first + k;
          t.sums = sums + (r * row + taps.begin) * width + k;
          t.total = r == 0 && part == 0 ? sums + v.r * row * width + k : nullptr;
          kernels().pooled->narrow(t);
        }
      }
  }
}

int64_t whole_width(const Conv2dShape& v) { return round_up(v.k, kernels().pooled->lanes); }
int64_t sums_floats(const Conv2dShape& v) { return round_up((v.r * v.s * v.c + 1) * whole_width(v), kSlack); }

// dy and places of an image in whole vectors of channels, where they are not.
int64_t copied(const Conv2dShape& v, const Pooled& d) {
  return v.k < whole_width(v) ? d.windows * whole_width(v) : 0;
}
Gradient widen(const Conv2dShape& v, const Pooled& d, const Gradient& from, float* dy) {
  const int64_t width = whole_width(v);
  uint8_t* const index = reinterpret_cast<uint8_t*>(dy + d.windows * width);
  for (int64_t i = 0; i < d.windows; ++i) {
    std::fill(std::copy_n(from.dy + i * v.k, v.k, dy + i * width), dy + (i + 1) * width, 0.0f);
    std::copy_n(from.index + i * v.k, v.k, index + i * width);
  }
  return {dy, index};
}

}  // namespace

// Cycles for a gradient: here two for each tap and each four places of a window, twice as many where vectors
// have four lanes and are not shuffled; there the listing, and for one of two gradients a vector of x for
// each row of taps.
bool supports_conv2d_wgrad_pooled_narrow(const OpDescriptor& op) {
  const PooledConv2dShape& shape = op.conv2d_wgrad_pooled;
  const Conv2dShape& v = shape.conv;
  if (!supports_pooled(shape, op.layout)) return false;
  const double lanes =
      static_cast<double>(v.k) / static_cast<double>(whole_width(v) / kernels().pooled->lanes);
  const double here = (kernels().pooled->lanes > 4 ? 2.2 : 4.4) *
                      static_cast<double>(ceil_div(shape.pool.r * shape.pool.s, 4) * v.r * v.s * v.c) / lanes;
  return here < 5 + 0.7 * static_cast<double>(v.r * ceil_div(v.s * v.c, kernels().pooled->lanes));
}

void prepare_conv2d_wgrad_pooled_narrow(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_wgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan_pooled(s, p->op.layout);
  set_pooled_costs(p, s);
  p->workspace_bytes = float_bytes(d.chunks * sums_floats(s.conv));
  const Band band(s, d);
  p->scratch_bytes =
      float_bytes(d.image + band.quad_floats() + copied(s.conv, d)) + static_cast<size_t>(copied(s.conv, d));
}

void run_conv2d_wgrad_pooled_narrow(const Prepared& prepared, const Operands& operands, Context& context) {
  const PooledConv2dShape& shape = prepared.op.conv2d_wgrad_pooled;
  const Conv2dShape& v = shape.conv;
  const Pooled& d = state<Pooled>(prepared);
  Member& me = *context.member;
  float* const partial = static_cast<float*>(context.workspace);
  const int64_t floats = sums_floats(v), width = whole_width(v), taps = v.r * v.s * v.c;
  const int64_t quad_floats = Band(shape, d).quad_floats();
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    float* const image = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    float *const quads = image + d.image, *const copy = quads + quad_floats;
    float* const sums = partial + chunk * floats;
    std::fill_n(sums, floats, 0.0f);
    std::fill_n(image, d.image, 0.0f);
    const Range units = part_of(d.units, d.chunks, chunk);
    for (int64_t unit = units.begin; unit < units.end; ++unit) {
      take_images(v, d, input(operands, 0), image, unit);
      Gradient from = gradient_of(d, v.k, operands, 1, unit);
      if (copied(v, d)) from = widen(v, d, from, copy);
      add_image(shape, d, image, from, width, quads, sums);
    }
  });
  float* const dw = output(operands, 0);
  float* const db = prepared.op.epilogue.bias ? output(operands, 1) : nullptr;
  for_each_chunk(
      context, taps + (db ? 1 : 0), std::max<int64_t>(1, 1024 / v.k), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          kernels().tile->sum_parts(partial + i * width, d.chunks, floats, v.k, i < taps ? dw + i * v.k : db);
      });
}

}  // namespace cpu
}  // namespace fastcnn
