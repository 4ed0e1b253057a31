// SPDX-License-Identifier: Apache-2.0
// dx[n,i,c] = sum of dy[n,o,c] over the windows o, in their order, whose index[n,o,c] is the pixel i of the
// image or the volume: dx [N,H,W,C] or [N,D,H,W,C], dy, index [N,P,Q,C] or [N,O,P,Q,C]. Pixels look
// at all windows that hold them, in whole vectors; one by one dy goes where index says, and that is nothing
// but scattered memory: those loops are plain and compiled once.
#include <cstring>

#include "kernels.h"
#include "kernels/max_pool2d_index.h"
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

bool supports(const Places& s) {
  return windows_touch_image(s.planes) && !s.planes.adaptive && places_fit(s.d, s.planes.h, s.planes.w);
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

// Four at a time, whose channels are constants, and out of line, for all registers: one at a time took 1.2
// to 1.4 times as long.
template <bool one_channel>
__attribute__((noinline)) void add_one_by_one(const Places& s, const Cut& cut, const Band& band,
                                              const Arrays& a) {
  const int64_t c = one_channel ? 1 : s.planes.c, at = (band.n * cut.out + band.first) * cut.windows * c;
  const float* dy = a.dy + at;
  const int32_t* index = a.index + at;
  float* const dx = a.dx + (band.n * cut.in + band.begin) * cut.pixels * c;
  const auto first = static_cast<uint32_t>(band.begin * cut.pixels);
  const auto pixels = static_cast<uint32_t>((band.end - band.begin) * cut.pixels);
  const auto add = [&](float* to, int i) __attribute__((always_inline)) {
    const auto pixel = static_cast<uint32_t>(index[i]) - first;
    if (pixel < pixels) to[pixel * c + (one_channel ? 0 : i)] += dy[i];
  };
  // Windows of one channel are one loop.
  const int64_t windows = (band.last - band.first) * cut.windows, width = one_channel ? windows : c;
  for (const float* const end = dy + windows * c; dy < end;) {
    float* to = dx;
    int64_t left = width;
    for (; left >= 4; left -= 4, index += 4, dy += 4, to += one_channel ? 0 : 4)
      add(to, 0), add(to, 1), add(to, 2), add(to, 3);
    for (; left > 0; --left, ++index, ++dy, to += !one_channel) add(to, 0);
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

// Windows across the edge of a band are looked at on both sides: bands well above a window's height.
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
  const int64_t row = cut.pixels * v.c, chunk = rows_per_chunk(row), least = 4 * cut.extent;
  const int64_t bands = ceil_div(cut.in, chunk > least ? chunk : least), rows = ceil_div(cut.in, bands);
  const bool vectors = takes_vectors(s);
  parallel_for(*context.member, v.n * bands, [&](int64_t task) {
    const int64_t begin = task % bands * rows, end = begin + rows < cut.in ? begin + rows : cut.in;
    if (begin >= end) return;
    const int64_t above = begin + cut.before - cut.extent, below = (end - 1 + cut.before) / cut.stride + 1;
    const Band band = {task / bands, begin, end, above < 0 ? 0 : above / cut.stride + 1,
                       below < cut.out ? below : cut.out};
    if (vectors) return take_vectors(s, band, arrays);
    std::memset(arrays.dx + (band.n * cut.in + begin) * row, 0,
                sizeof(float) * static_cast<size_t>((end - begin) * row));
    (v.c == 1 ? add_one_by_one<true> : add_one_by_one<false>)(s, cut, band, arrays);
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
