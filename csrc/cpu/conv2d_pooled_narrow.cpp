// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a pooled convolution of few input channels, channels-last: dw[r,s,c,k] = sum over n and
// windows of dy[n,window,k] x[n, place + (r,s), c] with vectors along k. A task adds up the sums of some
// images, [R,S,C,K] in whole vectors and those of the bias; these are added in order. See conv2d_pooled.h.
#include "conv2d_pooled.h"

namespace fastcnn {
namespace cpu {
namespace {

// The sums of an image in tiles of taps and vectors of channels.
void add_image(const PooledConv2dShape& shape, const Pooled& d, const float* image, const Gradient& from,
               int64_t width, float* sums) {
  const Conv2dShape& v = shape.conv;
  const Pool2dShape& s = shape.pool;
  const int64_t row = v.s * v.c, parts = ceil_div(row, kNarrowTaps);
  PooledNarrow t = {};
  t.windows_h = s.p, t.windows_w = s.q, t.channels = width;
  t.x_h = s.stride_h * v.stride_h * d.row, t.x_w = s.stride_w * v.stride_w * v.c;
  t.x_row = v.dilation_h * d.row;
  t.down = s.dilation_h * v.stride_h * d.row, t.right = s.dilation_w * v.stride_w * v.c;
  t.sums_row = row * width, t.sums_tap = width;
  t.height = s.r, t.width = s.s;
  for (int64_t k = 0; k < width; k += kernels().pooled->lanes)
    for (int64_t part = 0; part < parts; ++part) {
      const Range taps = part_of(row, parts, part);
      t.taps = static_cast<int32_t>(taps.end - taps.begin);
      for (int64_t r = 0; r < v.r; r += t.rows) {
        t.rows = static_cast<int32_t>(std::min<int64_t>(narrow_rows(t.taps), v.r - r));
        t.x = image + r * t.x_row + taps.begin;
        t.dy = from.dy + k, t.index = from.index + k;
        t.sums = sums + (r * row + taps.begin) * width + k;
        t.total = r == 0 && part == 0 ? sums + v.r * row * width + k : nullptr;
        kernels().pooled->narrow(t);
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

// Cycles for a gradient: here one for each multiply-add of the taps of all pixels of its window; there the
// listing, and for one of two gradients a vector of x for each row of taps. With 3x3 taps of three channels
// training steps took 1.13 times as long so on AVX2 and were even on AVX-512, with 5x5 of one channel 1.09
// and 0.88.
bool supports_conv2d_wgrad_pooled_narrow(const OpDescriptor& op) {
  const PooledConv2dShape& shape = op.conv2d_wgrad_pooled;
  const Conv2dShape& v = shape.conv;
  if (!supports_pooled(shape, op.layout)) return false;
  const double lanes =
      static_cast<double>(v.k) / static_cast<double>(whole_width(v) / kernels().pooled->lanes);
  const double here = 1.1 * static_cast<double>(shape.pool.r * shape.pool.s * v.r * v.s * v.c) / lanes;
  return here < 5 + 0.7 * static_cast<double>(v.r * ceil_div(v.s * v.c, kernels().pooled->lanes));
}

void prepare_conv2d_wgrad_pooled_narrow(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_wgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan_pooled(s, p->op.layout);
  set_pooled_costs(p, s);
  p->workspace_bytes = float_bytes(d.chunks * sums_floats(s.conv));
  p->scratch_bytes = float_bytes(d.image + copied(s.conv, d)) + static_cast<size_t>(copied(s.conv, d));
}

void run_conv2d_wgrad_pooled_narrow(const Prepared& prepared, const Operands& operands, Context& context) {
  const PooledConv2dShape& shape = prepared.op.conv2d_wgrad_pooled;
  const Conv2dShape& v = shape.conv;
  const Pooled& d = state<Pooled>(prepared);
  Member& me = *context.member;
  float* const partial = static_cast<float*>(context.workspace);
  const int64_t floats = sums_floats(v), width = whole_width(v), taps = v.r * v.s * v.c;
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    float* const image = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    float* const sums = partial + chunk * floats;
    std::fill_n(sums, floats, 0.0f);
    std::fill_n(image, d.image, 0.0f);
    const Range units = part_of(d.units, d.chunks, chunk);
    for (int64_t unit = units.begin; unit < units.end; ++unit) {
      take_images(v, d, input(operands, 0), image, unit);
      Gradient from = gradient_of(d, v.k, operands, 1, unit);
      if (copied(v, d)) from = widen(v, d, from, image + d.image);
      add_image(shape, d, image, from, width, sums);
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
