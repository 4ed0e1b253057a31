// SPDX-License-Identifier: Apache-2.0
// Where the windows of a pool stand: x, dx [N,H,W,C], y, dy [N,P,Q,C]. Tap (r,s) of window (p,q) is pixel
// (p stride_h - pad_top + r dilation_h, q stride_w - pad_left + s dilation_w), if that lies in the image; an
// adaptive window is rows floor(p H / P) .. ceil((p + 1) H / P). Walks over windows; vectors run over the
// channels. Included by the pooling kernels.
#pragma once
#include "output.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

struct Span {
  int64_t begin, end;
};

FASTCNN_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
FASTCNN_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// One axis of a pool.
struct Axis {
  int64_t in, out, size, stride, dilation, before, after;
  bool adaptive, count_padding;

  FASTCNN_INLINED int64_t extent() const { return (size - 1) * dilation + 1; }
  FASTCNN_INLINED Span adaptive_window(int64_t i) const {
    return {i * in / out, ((i + 1) * in + out - 1) / out};
  }
  // What window i reaches over, padding included.
  FASTCNN_INLINED Span reach(int64_t i) const {
    if (adaptive) return adaptive_window(i);
    const int64_t begin = i * stride - before;
    return {begin, begin + extent()};
  }
  // Its taps in the image: the first, and one past the last.
  FASTCNN_INLINED Span taps(int64_t i) const {
    if (adaptive) return adaptive_window(i);
    const int64_t begin = i * stride - before;
    if (dilation == 1) return {larger(begin, 0), smaller(begin + size, in)};
    const int64_t skipped = begin < 0 ? (dilation - 1 - begin) / dilation : 0;
    const int64_t last = smaller(size - 1, (in - 1 - begin) / dilation);
    return {begin + skipped * dilation, begin + last * dilation + 1};
  }
  FASTCNN_INLINED int64_t count(Span taps) const {
    return dilation == 1 ? taps.end - taps.begin : (taps.end - taps.begin - 1) / dilation + 1;
  }
  // By what an average divides.
  FASTCNN_INLINED int64_t divisor(int64_t i, int64_t taps) const {
    return count_padding ? smaller(size, in + after + before - i * stride) : taps;
  }
  // The windows that lie inside the image.
  FASTCNN_INLINED Span inner() const {
    if (adaptive || in < extent()) return {0, 0};
    const int64_t begin = (before + stride - 1) / stride;
    return {begin, larger(begin, smaller((in - extent() + before) / stride + 1, out))};
  }
  // The windows that reach into pixels [begin, end).
  FASTCNN_INLINED Span over(int64_t begin, int64_t end) const {
    if (adaptive) return {begin * out / in, (end * out + in - 1) / in};
    const int64_t above = begin + before - extent();
    return {above < 0 ? 0 : above / stride + 1, smaller((end - 1 + before) / stride + 1, out)};
  }
};

FASTCNN_INLINE Axis rows_of(const Pool2dShape& s) {
  const bool adaptive = s.adaptive, count = s.count_include_pad;
  return {s.h, s.p, s.r, s.stride_h, adaptive ? 1 : s.dilation_h, s.pad_top, s.pad_bottom, adaptive, count};
}
FASTCNN_INLINE Axis cols_of(const Pool2dShape& s) {
  const bool adaptive = s.adaptive, count = s.count_include_pad;
  return {s.w, s.q, s.s, s.stride_w, adaptive ? 1 : s.dilation_w, s.pad_left, s.pad_right, adaptive, count};
}

// A pool with what every walk needs of it.
struct Geometry {
  Pool2dShape s;
  Axis rows, cols;
  Span inner;                  // windows of a row
  int64_t row_step, col_step;  // from a tap to the next
  explicit Geometry(const Pool2dShape& shape)
      : s(shape),
        rows(rows_of(shape)),
        cols(cols_of(shape)),
        inner(cols.inner()),
        row_step(rows.dilation * s.w * s.c),
        col_step(cols.dilation * s.c) {}
};

// The size of a window, known when compiling (2 x 2, 3 x 3) or not (0 x 0).
template <int kR, int kS>
struct Size {
  static constexpr int kRows = kR;
  static constexpr bool kKnown = kR > 0;
  int64_t rows, cols;

  // f(r, s, r * cols + s) in row-major order.
  template <class F>
  FASTCNN_INLINED void for_each_tap(F f) const {
    if constexpr (kKnown) {
      FASTCNN_UNROLL
      for (int r = 0; r < kR; ++r) FASTCNN_UNROLL
      for (int s = 0; s < kS; ++s) f(r, s, r * kS + s);
    } else {
      int position = 0;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t s = 0; s < cols; ++s) f(r, s, position++);
    }
  }
};

// One window of x or dx: its first tap and as many channels from there; its own place in y or dy; by what an
// average divides.
struct Window {
  int64_t pixel, output, channels, divisor;
};

// Which sizes are known when compiling: 2 x 2, 3 x 3, or none where a walk is rarely taken.
enum Known { kNone = 0, kTwo = 1, kThree = 2, kBoth = 3 };

// f(size, window) for the windows of row `row` of the N P rows. Merged, those inside the image are taken as
// one, with all channels from the first to the last of them: at a distance of one pixel just their own. Or as
// two, if x is given, so that vectors of the second lie in lines of it: NumPy's memory begins 16 bytes into
// one, each vector lay in two, and averages of 3 x 3 of 64 channels took 1.2 to 1.4 times as long.
template <Known kKnown = kBoth, class F>
FASTCNN_INLINE void for_each_window_of_row(const Geometry& g, int64_t row, bool merged, const float* x, F f) {
  const Pool2dShape& s = g.s;
  const int64_t n = row / s.p, p = row - n * s.p;
  const Span taps = g.rows.taps(p);
  const int64_t rows = g.rows.count(taps), divisor = g.rows.divisor(p, rows);
  const int64_t first = (n * s.h + taps.begin) * s.w * s.c, output = row * s.q * s.c;
  const bool two = rows == 2 && s.r == 2 && s.s == 2, three = rows == 3 && s.r == 3 && s.s == 3;
  for (int64_t q = 0; q < s.q;) {
    if (q == g.inner.begin && q < g.inner.end) {
      int64_t windows = g.inner.end - q, channels = s.c, rest = channels, step = s.stride_w * s.c, to = s.c;
      int64_t pixel = first + (q * s.stride_w - s.pad_left) * s.c, at = output + q * s.c;
      if (merged) {
        channels = rest = ((windows - 1) * s.stride_w + 1) * s.c;
        const int64_t lead = x ? before_line(x + pixel, channels) : 0;
        windows = lead > 0 ? 2 : 1;
        if (lead > 0) channels = step = to = lead, rest -= lead;
      }
      const auto take = [&](auto size) FASTCNN_INLINED {
        for (; windows > 0; --windows, pixel += step, at += to, channels = rest)
          f(size, Window{pixel, at, channels, divisor * s.s});
        q = g.inner.end;
      };
      constexpr int k2 = kKnown & kTwo ? 2 : 0, k3 = kKnown & kThree ? 3 : 0;
      if (k2 && two) {
        take(Size<k2, k2>{2, 2});
      } else if (k3 && three) {
        take(Size<k3, k3>{3, 3});
      } else {
        take(Size<0, 0>{rows, s.s});
      }
    } else {
      const Span cols = g.cols.taps(q);
      const int64_t count = g.cols.count(cols);
      f(Size<0, 0>{rows, count},
        Window{first + cols.begin * s.c, output + q * s.c, s.c, divisor * g.cols.divisor(q, count)});
      ++q;
    }
  }
}

// v / count, exact where count is a power of two and correctly rounded elsewhere. Sixteen lanes are rather
// multiplied by the reciprocal, and what that leaves over is added, which is not a number where v is
// infinite; of |v| < 2^-100 the last bit may differ.
struct Mean {
  float factor, count;
  bool exact;
  explicit Mean(int64_t n) : factor(1.0f / (float)n), count((float)n), exact((n & (n - 1)) == 0) {}
  FASTCNN_INLINED Vec operator()(Vec v) const {
    if (exact) return v * factor;
    if constexpr (kLanes < 16) return v / count;
    const Vec near = v * factor;
    const Vec mended = fma(fma(-near, broadcast(count), v), broadcast(factor), near);
    return mended == mended ? mended : near;
  }
};

// Sums of windows [qs.begin, qs.end) of a row over their sizes; `rows` of theirs count. to may be from.
FASTCNN_INLINE void divide_windows(const Geometry& g, int64_t rows, Span qs, const float* from, float* to) {
  const int64_t c = g.s.c;
  for (int64_t q = qs.begin, step; q < qs.end; q += step, from += step * c, to += step * c) {
    const bool inner = q >= g.inner.begin && q < g.inner.end;
    step = inner ? smaller(g.inner.end, qs.end) - q : 1;
    map(from, to, step * c, Mean(rows * (inner ? g.s.s : g.cols.divisor(q, g.cols.count(g.cols.taps(q))))));
  }
}

// Equal numbers of floats at two distances: those of windows that stand side by side, and where they begin in
// a line of pixels.
struct Moves {
  const float* from;
  int64_t from_step;
  float* to;
  int64_t to_step, c;
};

template <class Number, bool kOne = true>
FASTCNN_INLINE int64_t copy_as(Moves m, int64_t count, int64_t room) {
  constexpr int64_t kNumbers = sizeof(Number) / sizeof(float);
  const int64_t vectors = kOne ? 1 : (m.c + kNumbers - 1) / kNumbers, reach = vectors * kNumbers;
  const int64_t end = smaller(count, room < reach ? 0 : (room - reach) / m.c + 1);
  for (int64_t i = 0; i < end; ++i, m.from += m.from_step, m.to += m.to_step)
    for (int64_t v = 0; v < vectors; ++v) memcpy(m.to + v * kNumbers, m.from + v * kNumbers, sizeof(Number));
  return end;
}

// Copies `count` times c floats, in whole vectors: others after them come along, but nothing from `room`
// floats on is read on the side where they stand side by side, or written.
FASTCNN_INLINE void copy_windows(const Moves& m, int64_t count, int64_t room) {
  typedef float Pair __attribute__((vector_size(8)));
  typedef float Four __attribute__((vector_size(16)));
  int64_t i = m.c == 1        ? copy_as<float>(m, count, room)
              : m.c == 2      ? copy_as<Pair>(m, count, room)
              : m.c <= 4      ? copy_as<Four>(m, count, room)
              : m.c <= kLanes ? copy_as<Vec>(m, count, room)
                              : copy_as<Vec, false>(m, count, room);
  for (; i < count; ++i)
    for (int64_t j = 0; j < m.c; ++j) m.to[i * m.to_step + j] = m.from[i * m.from_step + j];
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
