// SPDX-License-Identifier: Apache-2.0
// dx[n,i,c] = sum of dy[n,o,c] over the windows o, in their order, whose index[n,o,c] is the pixel i of the
// image or the volume: dx [N,H,W,C] or [N,D,H,W,C], dy, index [N,P,Q,C] or [N,O,P,Q,C]. Pixels look
// at all windows that hold them, in whole vectors, or dy goes one by one where index says.
#include <algorithm>

#include "kernels.h"
#include "kernels/max_pool2d_index.h"
#include "kernels/max_pool_bwd.h"
#include "kernels/pool2d_bwd.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {

namespace {

struct Places {
  Pool2dShape planes;  // n: the samples
  bool volume;
  int64_t d, o, t, stride, dilation, front;
};

Places places_of(const Pool2dShape& s) { return {s, false, 1, 1, 1, 1, 1, 0}; }
Places places_of(const Pool3dShape& s) {
  Places v = {planes_of(s), true, s.d, s.o, s.t, s.stride_d, s.dilation_d, s.pad_front};
  v.planes.n = s.n;
  return v;
}

double inputs(const Places& s) { return double(s.d) * pool2d_inputs(s.planes); }
double outputs(const Places& s) { return double(s.o) * pool2d_outputs(s.planes); }

// The first axis, along which samples are cut into bands, and what one of its elements holds.
struct Cut {
  int64_t in, out, extent, stride, before;
  int64_t pixels, windows;
};
Cut cut_of(const Places& s) {
  const Pool2dShape& v = s.planes;
  if (s.volume) return {s.d, s.o, (s.t - 1) * s.dilation + 1, s.stride, s.front, v.h * v.w, v.p * v.q};
  return {v.h, v.p, (v.r - 1) * v.dilation_h + 1, v.stride_h, v.pad_top, v.w, v.q};
}

// Windows across the edge of a band are looked at on both sides: bands well above a window's height.
int64_t band_rows(const Cut& cut, int64_t c) {
  const int64_t rows = std::max(rows_per_chunk(cut.pixels * c), 4 * cut.extent);
  return ceil_div(cut.in, ceil_div(cut.in, rows));
}

// Places in a band are distances in floats.
bool supports(const Places& s) {
  const Pool2dShape& v = s.planes;
  if (!windows_touch_image(v) || v.adaptive || !places_fit(s.d, v.h, v.w)) return false;
  const Cut cut = cut_of(s);
  return places_fit(band_rows(cut, v.c), cut.pixels, v.c);
}

void prepare(Prepared* p, const Places& s) { set_cost(p, outputs(s), 4 * (inputs(s) + 2 * outputs(s))); }

// Some of a sample's first axis of dx, and the windows that reach into it.
struct Band {
  int64_t n, begin, end, first, last;
};

struct Arrays {
  const float* dy;
  const int32_t* index;
  float* dx;
};

void take_vectors(const Places& s, const Band& band, const Arrays& a) {
  const Pool2dShape& v = s.planes;
  const int64_t pixels = v.h * v.w, windows = v.p * v.q * v.c;
  const int32_t stream = streams(inputs(s));
  const auto take = [&](int64_t o, int64_t step, int64_t count, int64_t d, int64_t begin, int64_t end) {
    const int64_t at = (band.n * s.o + o) * windows;
    kernels().max_pool2d_index->take_pixels(
        {&v, a.dy + at, a.index + at, count, step * windows, a.dx + (band.n * s.d + d) * pixels * v.c,
         static_cast<int32_t>(d * pixels), stream},
        begin, end);
  };
  if (!s.volume) return take(0, 0, 1, 0, band.begin, band.end);
  for (int64_t d = band.begin; d < band.end; ++d) {
    // The planes of boxes that hold it.
    int64_t first = 0, step = 0, count = 0;
    for (int64_t o = band.first; o < band.last; ++o) {
      const int64_t above = d - (o * s.stride - s.front);
      if (above < 0 || above % s.dilation || above / s.dilation >= s.t) continue;
      if (count == 0) first = o;
      if (count == 1) step = o - first;
      ++count;
    }
    take(first, step, count, d, 0, v.h);
  }
}

// Whether pixels that look at all windows that hold them, in whole vectors, take less than one by one. That
// has to read dx before, and of windows at each pixel often the same twice running.
bool takes_vectors(const Places& s) {
  const Pool2dShape& v = s.planes;
  const int64_t lanes = kernels().max_pool2d_index->lanes, taps = v.r * v.s * s.t;
  const bool slow = streams(inputs(s)) || (v.stride_h == 1 && v.stride_w == 1);
  return v.c >= lanes && taps <= (slow ? lanes * 3 / 2 : lanes);
}

void run(const Places& s, const Operands& operands, Context& context) {
  const Arrays arrays = {input(operands, 0), static_cast<const int32_t*>(operands.in[1]),
                         output(operands, 0)};
  const Pool2dShape& v = s.planes;
  if (!s.volume && v.c >= kFewChannels && writes_windows(v, Pooling::kMax)) {
    Pool2dBwd pool = {};
    pool.shape = &v, pool.dy = arrays.dy, pool.dx = arrays.dx, pool.stream = streams(inputs(s));
    for_each_chunk(context, v.n * v.p, rows_per_chunk(v.stride_h * v.w * v.c),
                   [&](int64_t begin, int64_t end) {
                     kernels().pool2d_bwd->pixels_apart(pool, arrays.index, begin, end);
                   });
    return;
  }
  const Cut cut = cut_of(s);
  const int64_t row = cut.pixels * v.c, rows = band_rows(cut, v.c), bands = ceil_div(cut.in, rows);
  const bool vectors = takes_vectors(s);
  // Of small images some.
  const int64_t images = bands == 1 && !vectors ? rows_per_chunk(cut.in * row) : 1;
  parallel_for(*context.member, ceil_div(v.n, images) * bands, [&](int64_t task) {
    const int64_t n = task / bands * images, begin = task % bands * rows,
                  end = std::min(begin + rows, cut.in);
    if (begin >= end) return;
    const int64_t above = begin + cut.before - cut.extent, below = (end - 1 + cut.before) / cut.stride + 1;
    const Band band = {n, begin, end, above < 0 ? 0 : above / cut.stride + 1, std::min(below, cut.out)};
    if (vectors) return take_vectors(s, band, arrays);
    const int64_t at = (n * cut.out + band.first) * cut.windows * v.c;
    const int64_t reach = band.first * cut.stride - cut.before + cut.extent - begin;
    kernels().max_pool_bwd->add_pixels({arrays.dy + at, arrays.index + at,
                                        arrays.dx + (n * cut.in + begin) * row, std::min(images, v.n - n),
                                        band.last - band.first, cut.windows * v.c, v.c, reach * row,
                                        cut.stride * row, static_cast<int32_t>(begin * cut.pixels),
                                        static_cast<int32_t>((end - begin) * cut.pixels), bands == 1});
  });
}

}  // namespace

#define FASTCNN_POOL_WITH_INDEX_BWD(step)                                                         \
  bool supports_##step##_scatter(const OpDescriptor& op) { return supports(places_of(op.step)); } \
  void prepare_##step##_scatter(Prepared* p) { prepare(p, places_of(p->op.step)); }               \
  void run_##step##_scatter(const Prepared& p, const Operands& operands, Context& context) {      \
    run(places_of(p.op.step), operands, context);                                                 \
  }
FASTCNN_POOL_WITH_INDEX_BWD(max_pool2d_with_index_bwd)
FASTCNN_POOL_WITH_INDEX_BWD(max_pool3d_with_index_bwd)
#undef FASTCNN_POOL_WITH_INDEX_BWD

}  // namespace cpu
}  // namespace fastcnn
