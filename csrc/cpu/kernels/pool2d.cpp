// SPDX-License-Identifier: Apache-2.0
// y[n,p,q,c] = max or sum or mean of x[n,h,w,c] over the pixels of window (p,q) that lie in the image:
// h in [p stride_h - pad_top, + R), w in [q stride_w - pad_left, + S). Of equal maxima the first in row-major
// order counts, and a NaN is greater than every number; the backward pass finds the place again, which costs
// less than storing it. Vectors run over the channels. Called by cpu/pool2d.cpp, which splits the work.
#include "pool2d.h"

#include "blocks.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

struct Span {
  int64_t begin, end;
};

FASTCNN_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
FASTCNN_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

FASTCNN_INLINE Span window_rows(const Pool2dShape& s, int64_t p) {
  const int64_t h = p * s.stride_h - s.pad_top;
  return {larger(h, 0), smaller(h + s.r, s.h)};
}
FASTCNN_INLINE Span window_cols(const Pool2dShape& s, int64_t q) {
  const int64_t w = q * s.stride_w - s.pad_left;
  return {larger(w, 0), smaller(w + s.s, s.w)};
}

// The q whose windows lie inside the image from left to right.
FASTCNN_INLINE Span inner_windows(const Pool2dShape& s) {
  if (s.w < s.s) return {0, 0};
  const int64_t begin = (s.pad_left + s.stride_w - 1) / s.stride_w;
  const int64_t end = smaller((s.w - s.s + s.pad_left) / s.stride_w + 1, s.q);
  return {begin, larger(begin, end)};
}

// The size of a window, known when compiling (2 x 2, 3 x 3) or not (0 x 0).
template <int kR, int kS>
struct Size {
  int64_t rows, cols;

  // f(r, s, r * cols + s) in row-major order.
  template <class F>
  FASTCNN_INLINED void for_each_pixel(F f) const {
    if constexpr (kR > 0) {
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

// f(size, q, w, channels) for the windows of a row, `rows` of them inside the image: window q begins at
// column w. Windows at a distance of one pixel are one window with the channels of all of them.
template <class F>
FASTCNN_INLINE void for_each_window(const Pool2dShape& s, Span inner, int64_t rows, F f) {
  const bool two = rows == 2 && s.r == 2 && s.s == 2, three = rows == 3 && s.r == 3 && s.s == 3;
  for (int64_t q = 0; q < s.q;) {
    if (q == inner.begin && q < inner.end) {
      const bool merged = s.stride_w == 1;
      const int64_t step = merged ? inner.end - inner.begin : 1, channels = step * s.c;
      int64_t w = q * s.stride_w - s.pad_left;
      if (two) {
        for (; q < inner.end; q += step, w += s.stride_w) f(Size<2, 2>{2, 2}, q, w, channels);
      } else if (three) {
        for (; q < inner.end; q += step, w += s.stride_w) f(Size<3, 3>{3, 3}, q, w, channels);
      } else {
        for (; q < inner.end; q += step, w += s.stride_w) f(Size<0, 0>{rows, s.s}, q, w, channels);
      }
    } else {
      const Span cols = window_cols(s, q);
      f(Size<0, 0>{rows, cols.end - cols.begin}, q, cols.begin, s.c);
      ++q;
    }
  }
}

// v / count, exact where count is a power of two and correctly rounded elsewhere.
struct Mean {
  float factor, count;
  bool exact;
  explicit Mean(int64_t n) : factor(1.0f / (float)n), count((float)n), exact((n & (n - 1)) == 0) {}
  FASTCNN_INLINED Vec operator()(Vec v) const { return exact ? v * factor : v / count; }
};

struct Max {
  FASTCNN_INLINE Vec join(Vec best, Vec v) { return ((v > best) | (v != v)) ? v : best; }
  FASTCNN_INLINE Vec finish(Vec best, const Mean&) { return best; }
};
struct Sum {
  FASTCNN_INLINE Vec join(Vec sum, Vec v) { return sum + v; }
  FASTCNN_INLINE Vec finish(Vec sum, const Mean& mean) { return mean(sum); }
};

// One window of x or dx: its first pixel and as many channels from there; its own place in y or dy.
struct Window {
  int64_t pixel, output, channels;
};

// f(size, window) for the windows of row `row` of the N P rows.
template <class F>
FASTCNN_INLINE void for_each_window_of_row(const Pool2dShape& s, Span inner, int64_t row, F f) {
  const int64_t n = row / s.p;
  const Span rows = window_rows(s, row - n * s.p);
  for_each_window(s, inner, rows.end - rows.begin,
                  [&](auto size, int64_t q, int64_t w, int64_t channels) FASTCNN_INLINED {
                    f(size,
                      Window{((n * s.h + rows.begin) * s.w + w) * s.c, (row * s.q + q) * s.c, channels});
                  });
}

// The entry points copy their arguments: a store may alias the caller's struct, and then every size and
// pointer is read again after each vector (2.4 times as slow for a 7x7 maximum backward).
template <class Op>
void fwd(const Pool2dFwd& args, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Pool2dShape s = *a.shape;
  const Span inner = inner_windows(s);
  const int64_t pitch = s.w * s.c;
  const auto reduce = [&](auto size, const Window& window) FASTCNN_INLINED {
    const Mean mean(a.average ? size.rows * size.cols : 1);
    for_each_block<4>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      const float* x = a.x + window.pixel + c;
      Vec result[kVectors];
      for (int v = 0; v < kVectors; ++v) result[v] = block.get(x + v * kLanes);
      size.for_each_pixel([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
        if (position == 0) return;
        const float* pixel = x + r * pitch + col * s.c;
        for (int v = 0; v < kVectors; ++v) result[v] = Op::join(result[v], block.get(pixel + v * kLanes));
      });
      float* y = a.y + window.output + c;
      for (int v = 0; v < kVectors; ++v) block.put(y + v * kLanes, Op::finish(result[v], mean));
    });
  };
  for (int64_t row = begin; row < end; ++row) for_each_window_of_row(s, inner, row, reduce);
}

template <int kVectors>
struct Best {
  Vec value[kVectors];
  IVec position[kVectors];
};

// The greatest of each channel of a window and where it stands.
template <class Size, class Block>
FASTCNN_INLINE auto find_best(const Pool2dShape& s, Size size, Block block, const float* x) {
  Best<Block::kVectors> best;
  for (int v = 0; v < Block::kVectors; ++v)
    best.value[v] = block.get(x + v * kLanes), best.position[v] = IVec{};
  size.for_each_pixel([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
    if (position == 0) return;
    const float* pixel = x + (r * s.w + col) * s.c;
    for (int v = 0; v < Block::kVectors; ++v) {
      const Vec value = block.get(pixel + v * kLanes), old = best.value[v];
      const IVec keep = (value <= old) | (old != old);
      best.value[v] = keep ? old : value;
      best.position[v] = keep ? best.position[v] : IVec{} + position;
    }
  });
  return best;
}

// Stores to dx, past the caches where it is large and its vectors are aligned.
struct Output {
  bool streams;
  explicit Output(const Pool2dBwd& a)
      : streams(a.stream && (uintptr_t)a.dx % sizeof(Vec) == 0 && a.shape->c % kLanes == 0) {}
  template <int kCount>
  FASTCNN_INLINED void put(Whole<kCount>, float* p, Vec v) const {
    if (streams) {
      stream(p, v);
    } else {
      store(p, v);
    }
  }
  FASTCNN_INLINED void put(Part part, float* p, Vec v) const { part.put(p, v); }
  FASTCNN_INLINED void end() const {
    if (streams) end_stream();
  }
};

FASTCNN_INLINE void set_zero(float* p, int64_t count) {
  if (count > 0) memset(p, 0, (size_t)count * sizeof *p);
}

// Zeros below and to the right of the windows of row p, up to the next windows or to the border.
void zero_gaps(const Pool2dShape& s, int64_t p, float* image) {
  const Span rows = window_rows(s, p);
  const int64_t next_row = p + 1 < s.p ? window_rows(s, p + 1).begin : s.h;
  set_zero(image + rows.end * s.w * s.c, (next_row - rows.end) * s.w * s.c);
  if (s.stride_w == s.s && window_cols(s, s.q - 1).end == s.w) return;
  for (int64_t q = 0; q < s.q; ++q) {
    const int64_t gap = window_cols(s, q).end, next = q + 1 < s.q ? window_cols(s, q + 1).begin : s.w;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      set_zero(image + (h * s.w + gap) * s.c, (next - gap) * s.c);
  }
}

// f(size, window) writes the pixels of a window.
template <class F>
FASTCNN_INLINE void write_windows(const Pool2dBwd& a, const Pool2dShape& s, Span range, F f) {
  const Span inner = inner_windows(s);
  for (int64_t row = range.begin; row < range.end; ++row) {
    for_each_window_of_row(s, inner, row, f);
    zero_gaps(s, row % s.p, a.dx + row / s.p * s.h * s.w * s.c);
  }
}

void max_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Pool2dShape s = *a.shape;
  const Output output(a);
  write_windows(a, s, {begin, end}, [&](auto size, const Window& window) FASTCNN_INLINED {
    for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      const auto best = find_best(s, size, block, a.x + window.pixel + c);
      Vec g[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        g[v] = block.get(a.dy + window.output + c + v * kLanes);
        if (a.relu_mask) g[v] = best.value[v] <= Vec{} ? Vec{} : g[v];
      }
      size.for_each_pixel([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
        float* pixel = a.dx + window.pixel + (r * s.w + col) * s.c + c;
        for (int v = 0; v < kVectors; ++v)
          output.put(block, pixel + v * kLanes, best.position[v] == position ? g[v] : Vec{});
      });
    });
  });
  output.end();
}

void sum_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Pool2dShape s = *a.shape;
  const Output output(a);
  write_windows(a, s, {begin, end}, [&](auto size, const Window& window) FASTCNN_INLINED {
    const Mean mean(a.average ? size.rows * size.cols : 1);
    for_each_block<4>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec g[kVectors];
      for (int v = 0; v < kVectors; ++v) g[v] = mean(block.get(a.dy + window.output + c + v * kLanes));
      size.for_each_pixel([&](int64_t r, int64_t col, int) FASTCNN_INLINED {
        for (int v = 0; v < kVectors; ++v) {
          const int64_t at = window.pixel + (r * s.w + col) * s.c + c + v * kLanes;
          output.put(block, a.dx + at, a.relu_mask ? (block.get(a.x + at) <= Vec{} ? Vec{} : g[v]) : g[v]);
        }
      });
    });
  });
  output.end();
}

// The p whose windows reach into rows [begin, end).
FASTCNN_INLINE Span windows_over_rows(const Pool2dShape& s, int64_t begin, int64_t end) {
  const int64_t above = begin + s.pad_top - s.r;
  return {above < 0 ? 0 : above / s.stride_h + 1, smaller((end - 1 + s.pad_top) / s.stride_h + 1, s.p)};
}

// dx[h,w] += f(block, i, position) over the windows that hold pixel (h, w) of the band; i is the offset of
// the window's channels from the first row of windows of `over`, and position that of the pixel in the
// window.
template <class F>
FASTCNN_INLINE void gather_windows(const Pool2dBwd& a, const Pool2dShape& s, const Pool2dBand& band,
                                   Span over, F f) {
  const Output output(a);
  Span ps = {over.begin, over.begin};
  for (int64_t h = band.h_begin; h < band.h_end; ++h) {
    while (ps.begin < s.p && window_rows(s, ps.begin).end <= h) ++ps.begin;
    while (ps.end < s.p && window_rows(s, ps.end).begin <= h) ++ps.end;
    Span qs = {0, 0};
    for (int64_t w = 0; w < s.w; ++w) {
      while (qs.begin < s.q && window_cols(s, qs.begin).end <= w) ++qs.begin;
      while (qs.end < s.q && window_cols(s, qs.end).begin <= w) ++qs.end;
      const int64_t pixel = ((band.n * s.h + h) * s.w + w) * s.c;
      for_each_block<4>(s.c, [&](auto block, int64_t c) FASTCNN_INLINED {
        constexpr int kVectors = block.kVectors;
        Vec sum[kVectors] = {};
        for (int64_t p = ps.begin; p < ps.end; ++p) {
          const int64_t r = h - window_rows(s, p).begin;
          for (int64_t q = qs.begin; q < qs.end; ++q) {
            const Span cols = window_cols(s, q);
            const int position = (int)(r * (cols.end - cols.begin) + w - cols.begin);
            for (int v = 0; v < kVectors; ++v)
              sum[v] += f(block, ((p - over.begin) * s.q + q) * s.c + c + v * kLanes, position);
          }
        }
        for (int v = 0; v < kVectors; ++v) {
          const int64_t at = pixel + c + v * kLanes;
          output.put(block, a.dx + at,
                     a.relu_mask ? (block.get(a.x + at) <= Vec{} ? Vec{} : sum[v]) : sum[v]);
        }
      });
    }
  }
  output.end();
}

void max_bwd(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Pool2dShape s = *a.shape;
  const Span inner = inner_windows(s), over = windows_over_rows(s, band.h_begin, band.h_end);
  const int64_t first_row = band.n * s.p + over.begin, first = first_row * s.q * s.c;
  for (int64_t row = first_row; row < band.n * s.p + over.end; ++row) {
    for_each_window_of_row(s, inner, row, [&](auto size, const Window& window) FASTCNN_INLINED {
      for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
        const auto best = find_best(s, size, block, a.x + window.pixel + c);
        float* to = band.scratch + window.output - first + c;
        for (int v = 0; v < block.kVectors; ++v) block.put(to + v * kLanes, bits_to_vec(best.position[v]));
      });
    });
  }
  gather_windows(a, s, band, over, [&](auto block, int64_t i, int position) FASTCNN_INLINED {
    return vec_to_bits(block.get(band.scratch + i)) == position ? block.get(a.dy + first + i) : Vec{};
  });
}

// dy / window size for the rows of windows that reach into the band.
void write_means(const Pool2dBwd& a, const Pool2dBand& band, Span over) {
  const Pool2dShape& s = *a.shape;
  const float* from = a.dy + (band.n * s.p + over.begin) * s.q * s.c;
  float* to = band.scratch;
  for (int64_t p = over.begin; p < over.end; ++p) {
    const Span rows = window_rows(s, p);
    for (int64_t q = 0; q < s.q; ++q, from += s.c, to += s.c) {
      const Span cols = window_cols(s, q);
      const Mean mean((rows.end - rows.begin) * (cols.end - cols.begin));
      for_each_vector(
          s.c, [&](auto block, int64_t c) FASTCNN_INLINED { block.put(to + c, mean(block.get(from + c))); });
    }
  }
}

void sum_bwd(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Pool2dShape s = *a.shape;
  const Span over = windows_over_rows(s, band.h_begin, band.h_end);
  if (a.average) write_means(a, band, over);
  const float* dy = a.average ? band.scratch : a.dy + (band.n * s.p + over.begin) * s.q * s.c;
  gather_windows(a, s, band, over,
                 [&](auto block, int64_t i, int) FASTCNN_INLINED { return block.get(dy + i); });
}

}  // namespace

extern const Pool2dKernels pool2d_kernels;
const Pool2dKernels pool2d_kernels = {fwd<Max>, fwd<Sum>, max_bwd_apart, sum_bwd_apart, max_bwd, sum_bwd};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
