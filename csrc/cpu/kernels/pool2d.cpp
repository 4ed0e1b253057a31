// SPDX-License-Identifier: Apache-2.0
// y[n,p,q,c] = max or sum or mean of x[n,h,w,c] over the taps of window (p,q) that lie in the image
// (windows.h says where they are). Of equal maxima the first in row-major order counts, and a NaN is greater
// than every number; the backward pass finds the place again, which costs less than storing it. Called by
// cpu/pool2d.cpp, which splits the work.
#include "pool2d.h"

#include "best.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

struct Max {
  FASTCNN_INLINED Vec join(Vec best, Vec v) const { return ((v > best) | (v != v)) ? v : best; }
  FASTCNN_INLINED Vec finish(Vec best, const Mean&) const { return best; }
};
// One instruction, and right unless a NaN comes by. Where channels fill vectors, looking for NaNs took more
// registers than there are and a third longer than Max.
struct MaxOfNumbers {
  FASTCNN_INLINED Vec join(Vec best, Vec v) const { return best > v ? best : v; }
  FASTCNN_INLINED Vec finish(Vec best, const Mean&) const { return best; }
  FASTCNN_INLINED void see(IVec* numbers, Vec v) const { *numbers &= v == v; }
};
struct Sum {
  FASTCNN_INLINED Vec join(Vec sum, Vec v) const { return sum + v; }
  FASTCNN_INLINED Vec finish(Vec sum, const Mean& mean) const { return mean(sum); }
  FASTCNN_INLINED void see(IVec*, Vec) const {}
};

FASTCNN_INLINE bool all_of(IVec lanes) {
  int32_t all = -1;
  for (int i = 0; i < kLanes; ++i) all &= lanes[i];
  return all;
}

template <class Op>
FASTCNN_INLINE void reduce_row(Op op, const Pool2dFwd& a, const Geometry& g, int64_t row) {
  for_each_window_of_row<Merge::kYes>(g, row, [&](auto size, const Window& window) FASTCNN_INLINED {
    const Mean mean(a.average ? window.divisor : 1);
    for_each_block<4>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      const float* x = a.x + window.pixel + c;
      Vec result[kVectors];
      for (int v = 0; v < kVectors; ++v) result[v] = block.get(x + v * kLanes);
      size.for_each_tap([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
        if (position == 0) return;
        const float* pixel = x + r * g.row_step + col * g.col_step;
        for (int v = 0; v < kVectors; ++v) result[v] = op.join(result[v], block.get(pixel + v * kLanes));
      });
      float* y = a.y + window.output + c;
      for (int v = 0; v < kVectors; ++v) block.put(y + v * kLanes, op.finish(result[v], mean));
    });
  });
}

// Pixels that fill no vector: a row of windows is first joined over its rows, in whole vectors of several
// pixels, then over its columns, where a store may reach into windows that follow. 3 x 3 windows of 4
// channels took 2.6 to 3.4 times as long one by one; 2 x 2 ones 0.9 times. (Windows at a distance of 1 fill
// vectors.)
constexpr int64_t kJoined = 2048;  // floats of a row

FASTCNN_INLINE bool fits_line(const Pool2dShape& s) { return s.c < kLanes && s.w * s.c <= kJoined; }
FASTCNN_INLINE bool is_narrow(const Pool2dShape& s) {
  return fits_line(s) && (s.adaptive || (s.stride_w > 1 && s.r * s.s > 4));
}

// False where a NaN spoiled a maximum.
template <class Op>
FASTCNN_INLINE bool reduce_narrow_row(Op op, const Pool2dFwd& a, const Geometry& g, int64_t row) {
  const Pool2dShape& s = g.s;
  const int64_t n = row / s.p, p = row - n * s.p;
  const Span taps = g.rows.taps(p);
  const int64_t rows = g.rows.count(taps), divisor = g.rows.divisor(p, rows);
  const float* x = a.x + (n * s.h + taps.begin) * s.w * s.c;
  IVec numbers = IVec{} - 1;
  float joined[kJoined + kLanes];
  for_each_block<2>(s.w * s.c, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec result[kVectors];
    IVec seen = numbers;
    for (int v = 0; v < kVectors; ++v) {
      result[v] = block.get(x + i + v * kLanes);
      op.see(&seen, result[v]);
    }
    for (int64_t r = 1; r < rows; ++r)
      for (int v = 0; v < kVectors; ++v) {
        const Vec tap = block.get(x + r * g.row_step + i + v * kLanes);
        op.see(&seen, tap);
        result[v] = op.join(result[v], tap);
      }
    for (int v = 0; v < kVectors; ++v) block.put(joined + i + v * kLanes, result[v]);
    numbers = seen;
  });
  if (!all_of(numbers)) return false;

  float* y = a.y + row * s.q * s.c;
  const Mean inner(a.average ? divisor * s.s : 1);
  const auto reduce = [&](int64_t q, auto put) FASTCNN_INLINED {
    const bool whole = q >= g.inner.begin && q < g.inner.end;
    const Span cols = g.cols.taps(q);
    const int64_t count = whole ? s.s : g.cols.count(cols);
    const float* from = joined + cols.begin * s.c;
    Vec result = load(from);
    for (int64_t t = 1; t < count; ++t) result = op.join(result, load(from + t * g.col_step));
    const Mean mean = whole || !a.average ? inner : Mean(divisor * g.cols.divisor(q, count));
    put(y + q * s.c, op.finish(result, mean));
  };
  const Part part{(int)s.c};
  int64_t q = 0;
  for (; (s.q - q) * s.c >= kLanes; ++q) reduce(q, [](float* to, Vec v) FASTCNN_INLINED { store(to, v); });
  for (; q < s.q; ++q) reduce(q, [=](float* to, Vec v) FASTCNN_INLINED { part.put(to, v); });
  return true;
}

// The entry points copy their arguments: a store may alias the caller's struct, and then every size and
// pointer is read again after each vector (2.4 times as slow for a 7x7 maximum backward).
void max_fwd(const Pool2dFwd& args, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Geometry g(*a.shape);
  const bool narrow = is_narrow(g.s);
  for (int64_t row = begin; row < end; ++row)
    if (!narrow || !reduce_narrow_row(MaxOfNumbers{}, a, g, row)) reduce_row(Max{}, a, g, row);
}

void sum_fwd(const Pool2dFwd& args, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Geometry g(*a.shape);
  const bool narrow = is_narrow(g.s);
  for (int64_t row = begin; row < end; ++row)
    narrow ? (void)reduce_narrow_row(Sum{}, a, g, row) : reduce_row(Sum{}, a, g, row);
}

void max_with_index(const Pool2dFwd& args, int32_t* index, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Geometry g(*a.shape);
  const int row_step = (int)(g.rows.dilation * g.s.w), col_step = (int)g.cols.dilation;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t image = row / g.s.p * g.s.h * g.s.w;
    for_each_window_of_row<Merge::kNo>(g, row, [&](auto size, const Window& window) FASTCNN_INLINED {
      const int first = (int)(window.pixel / g.s.c - image);
      for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
        const auto best = find_best(g, size, block, a.x + window.pixel + c, [&](int64_t r, int64_t col, int) {
          return (int)r * row_step + (int)col * col_step;
        });
        for (int v = 0; v < block.kVectors; ++v) {
          const int64_t at = window.output + c + v * kLanes;
          block.put(a.y + at, best.value[v]);
          block.put((float*)index + at, bits_to_vec(best.label[v] + first));
        }
      });
    });
  }
}

FASTCNN_INLINE void set_zero(float* p, int64_t count) {
  if (count > 0) memset(p, 0, (size_t)count * sizeof *p);
}

// Zeros below and to the right of the windows of row p, up to the next windows or to the border.
void zero_gaps(const Geometry& g, int64_t p, float* image) {
  const Pool2dShape& s = g.s;
  const Span rows = g.rows.taps(p);
  const int64_t next_row = p + 1 < s.p ? g.rows.taps(p + 1).begin : s.h;
  set_zero(image + rows.end * s.w * s.c, (next_row - rows.end) * s.w * s.c);
  if (s.stride_w == s.s && g.cols.taps(s.q - 1).end == s.w) return;
  for (int64_t q = 0; q < s.q; ++q) {
    const int64_t gap = g.cols.taps(q).end, next = q + 1 < s.q ? g.cols.taps(q + 1).begin : s.w;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      set_zero(image + (h * s.w + gap) * s.c, (next - gap) * s.c);
  }
}

// f(size, window) writes the pixels of a window.
template <class F>
FASTCNN_INLINE void write_windows(const Geometry& g, float* dx, Span range, F f) {
  for (int64_t row = range.begin; row < range.end; ++row) {
    for_each_window_of_row<Merge::kYes>(g, row, f);
    zero_gaps(g, row % g.s.p, dx + row / g.s.p * g.s.h * g.s.w * g.s.c);
  }
}

void max_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Geometry g(*a.shape);
  const Output output(a.dx, a.stream, g.s.c);
  write_windows(g, a.dx, {begin, end}, [&](auto size, const Window& window) FASTCNN_INLINED {
    for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      const auto best = find_best(g, size, block, a.x + window.pixel + c, position_label);
      Vec dy[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        dy[v] = block.get(a.dy + window.output + c + v * kLanes);
        if (a.relu_mask) dy[v] = best.value[v] <= Vec{} ? Vec{} : dy[v];
      }
      size.for_each_tap([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
        float* pixel = a.dx + window.pixel + r * g.row_step + col * g.col_step + c;
        for (int v = 0; v < kVectors; ++v)
          output.put(block, pixel + v * kLanes, best.label[v] == position ? dy[v] : Vec{});
      });
    });
  });
  output.end();
}

// The windows of a row write one line of pixels, stores reaching into those that follow; each of their rows
// is a copy of it. With few channels averages took 1.3 (2 x 2) to 2 times (4 x 4) as long pixel by pixel.
FASTCNN_INLINE void narrow_sum_bwd(const Pool2dBwd& a, const Geometry& g, Span range) {
  const Pool2dShape& s = g.s;
  const Part part{(int)s.c};
  const int64_t width = s.w * s.c, covered = g.cols.taps(s.q - 1).end * s.c;
  float line[kJoined + kLanes] = {};
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t n = row / s.p, p = row - n * s.p;
    const Span rows = g.rows.taps(p);
    const int64_t divisor = g.rows.divisor(p, g.rows.count(rows));
    const float* from = a.dy + row * s.q * s.c;
    const Mean inner(a.average ? divisor * s.s : 1);
    for (int64_t q = 0; q < s.q; ++q, from += s.c) {
      const Span cols = g.cols.taps(q);
      const bool whole = !a.average || (q >= g.inner.begin && q < g.inner.end);
      const Mean mean = whole ? inner : Mean(divisor * g.cols.divisor(q, cols.end - cols.begin));
      const Vec dy = mean((s.q - q) * s.c >= kLanes ? load(from) : part.get(from));
      for (int64_t col = cols.begin; col < cols.end; ++col) store(line + col * s.c, dy);
    }
    for (int64_t i = covered; i < covered + kLanes; ++i) line[i] = 0;
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      const int64_t at = (n * s.h + h) * width;
      for_each_block<2>(width, [&](auto block, int64_t i) FASTCNN_INLINED {
        for (int v = 0; v < block.kVectors; ++v, i += kLanes) {
          const Vec dy = block.get(line + i);
          block.put(a.dx + at + i, a.relu_mask ? (block.get(a.x + at + i) <= Vec{} ? Vec{} : dy) : dy);
        }
      });
    }
    zero_gaps(g, p, a.dx + n * s.h * width);
  }
}

void sum_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Geometry g(*a.shape);
  if (fits_line(g.s) && g.s.stride_w == g.s.s) return narrow_sum_bwd(a, g, {begin, end});
  const Output output(a.dx, a.stream, g.s.c);
  write_windows(g, a.dx, {begin, end}, [&](auto size, const Window& window) FASTCNN_INLINED {
    const Mean mean(a.average ? window.divisor : 1);
    for_each_block<4>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec dy[kVectors];
      for (int v = 0; v < kVectors; ++v) dy[v] = mean(block.get(a.dy + window.output + c + v * kLanes));
      size.for_each_tap([&](int64_t r, int64_t col, int) FASTCNN_INLINED {
        for (int v = 0; v < kVectors; ++v) {
          const int64_t at = window.pixel + r * g.row_step + col * g.col_step + c + v * kLanes;
          output.put(block, a.dx + at, a.relu_mask ? (block.get(a.x + at) <= Vec{} ? Vec{} : dy[v]) : dy[v]);
        }
      });
    });
  });
  output.end();
}

// What a vector of labels has left in memory.
FASTCNN_INLINE int read_int(const float* p) {
  int32_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

void max_bwd(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const Span over = g.rows.over(band.h_begin, band.h_end);
  const int64_t first_row = band.n * g.s.p + over.begin, first = first_row * g.s.q * g.s.c;
  for (int64_t row = first_row; row < band.n * g.s.p + over.end; ++row) {
    for_each_window_of_row<Merge::kYes>(g, row, [&](auto size, const Window& window) FASTCNN_INLINED {
      for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
        const auto best = find_best(g, size, block, a.x + window.pixel + c, position_label);
        float* to = band.scratch + window.output - first + c;
        for (int v = 0; v < block.kVectors; ++v) block.put(to + v * kLanes, bits_to_vec(best.label[v]));
      });
    });
  }
  const int64_t image = band.n * g.s.h * g.s.w * g.s.c;
  const float *x = a.x + image, *dy = a.dy + first;
  float* dx = a.dx + image;
  scatter_windows(
      g, dx, {band.h_begin, band.h_end}, over, [&](int64_t i) { return read_int(band.scratch + i); },
      [&](int64_t at, int64_t i) {
        if (!(a.relu_mask && x[at] <= 0)) dx[at] += dy[i];
      });
}

// dy / window size for the rows of windows that reach into the band.
void write_means(const Pool2dBwd& a, const Geometry& g, int64_t n, Span over, float* to) {
  const Pool2dShape& s = g.s;
  const float* from = a.dy + (n * s.p + over.begin) * s.q * s.c;
  for (int64_t p = over.begin; p < over.end; ++p) {
    const int64_t rows = g.rows.divisor(p, g.rows.count(g.rows.taps(p)));
    for (int64_t q = 0, step; q < s.q; q += step, from += step * s.c, to += step * s.c) {
      const bool inner = q == g.inner.begin && q < g.inner.end;
      step = inner ? g.inner.end - q : 1;
      const Mean mean(rows * (inner ? s.s : g.cols.divisor(q, g.cols.count(g.cols.taps(q)))));
      map(from, to, step * s.c, mean);
    }
  }
}

// What a sum or a mean spreads over rows and columns it spreads over one after the other: the rows of windows
// that hold a row of pixels are added in whole vectors, then for each pixel the windows of that sum. Window
// by window, and pixel by pixel over both, it took 1.1 to 4 times as long.
void sum_bwd(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const Pool2dShape& s = g.s;
  const Span over = g.rows.over(band.h_begin, band.h_end);
  const int64_t width = s.q * s.c;
  Span* const windows = (Span*)band.scratch;  // of each column of pixels
  float *line = band.scratch + s.w * kPoolColumn, *means = line + width + kPoolEnd;
  if (a.average) write_means(a, g, band.n, over, means);
  const float* dy = a.average ? means : a.dy + (band.n * s.p + over.begin) * width;
  Span qs = {0, 0}, ps = {over.begin, over.begin};
  for (int64_t w = 0; w < s.w; ++w) {
    while (qs.begin < s.q && g.cols.reach(qs.begin).end <= w) ++qs.begin;
    while (qs.end < s.q && g.cols.reach(qs.end).begin <= w) ++qs.end;
    windows[w] = qs;
  }
  const Output output(a.dx, a.stream, s.c);
  for (int64_t h = band.h_begin; h < band.h_end; ++h) {
    while (ps.begin < s.p && g.rows.reach(ps.begin).end <= h) ++ps.begin;
    while (ps.end < s.p && g.rows.reach(ps.end).begin <= h) ++ps.end;
    set_zero(line, width);
    for (int64_t p = ps.begin; p < ps.end; ++p)
      map(line, dy + (p - over.begin) * width, line, width,
          [](Vec sum, Vec v) FASTCNN_INLINED { return sum + v; });
    int64_t at = (band.n * s.h + h) * s.w * s.c;
    for (int64_t w = 0; w < s.w; ++w, at += s.c) {
      const auto put = [&](auto block, int64_t c) FASTCNN_INLINED {
        constexpr int kVectors = block.kVectors;
        Vec sum[kVectors] = {};
        const float* from = line + windows[w].begin * s.c + c;
        for (int64_t q = windows[w].begin; q < windows[w].end; ++q, from += s.c)
          for (int v = 0; v < kVectors; ++v) sum[v] += block.get(from + v * kLanes);
        for (int v = 0; v < kVectors; ++v) {
          const int64_t i = at + c + v * kLanes;
          output.put(block, a.dx + i, a.relu_mask ? (block.get(a.x + i) <= Vec{} ? Vec{} : sum[v]) : sum[v]);
        }
      };
      if (s.c > kLanes)
        for_each_block<4>(s.c, put);
      else if ((s.w - w) * s.c >= kLanes)
        put(Whole<1>{}, 0);  // reaches into pixels that follow
      else
        put(Part{(int)s.c}, 0);
    }
  }
  output.end();
}

void sum_scatter(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const int64_t pitch = g.s.w * g.s.c;
  set_zero(a.dx + (band.n * g.s.h + band.h_begin) * pitch, (band.h_end - band.h_begin) * pitch);
  const Span over = g.rows.over(band.h_begin, band.h_end);
  for (int64_t p = over.begin; p < over.end; ++p) {
    const Span rows = g.rows.taps(p);
    const int64_t begin = larger(band.h_begin - rows.begin, 0);
    const int64_t end = smaller(rows.end, band.h_end) - rows.begin;
    for_each_window_of_row<Merge::kNo>(
        g, band.n * g.s.p + p, [&](auto size, const Window& window) FASTCNN_INLINED {
          const Mean mean(a.average ? window.divisor : 1);
          for_each_vector(g.s.c, [&](auto block, int64_t c) FASTCNN_INLINED {
            const Vec dy = mean(block.get(a.dy + window.output + c));
            for (int64_t r = begin; r < end; ++r) {
              for (int64_t col = 0; col < size.cols; ++col) {
                const int64_t at = window.pixel + r * pitch + col * g.s.c + c;
                const Vec sum = block.get(a.dx + at) + dy;
                block.put(a.dx + at, a.relu_mask ? (block.get(a.x + at) <= Vec{} ? Vec{} : sum) : sum);
              }
            }
          });
        });
  }
}

}  // namespace

extern const Pool2dKernels pool2d_kernels;
const Pool2dKernels pool2d_kernels = {max_fwd,       sum_fwd, max_with_index, max_bwd_apart,
                                      sum_bwd_apart, max_bwd, sum_bwd,        sum_scatter};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
