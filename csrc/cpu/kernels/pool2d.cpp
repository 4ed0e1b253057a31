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
  static constexpr float kNothing = -__builtin_inff();
  FASTCNN_INLINED Vec join(Vec best, Vec v) const { return best > v ? best : v; }
  FASTCNN_INLINED Vec finish(Vec best, const Mean&) const { return best; }
  FASTCNN_INLINED void see(IVec* numbers, Vec v) const { *numbers &= v == v; }
};
struct Sum {
  static constexpr float kNothing = 0;
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
  for_each_window_of_row(g, row, g.s.stride_w == 1, [&](auto size, const Window& window) FASTCNN_INLINED {
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

// Channels that fill no vectors: the rows of a row of windows are joined into a line of pixels, in whole
// vectors and with padding, then with itself at the distances of the columns, and each window taken from
// where it begins. Window by window one channel took 2.5 to 6 times as long, 3 x 3 windows of 9 to 33 1.5 to
// 3 times; 2 x 2 ones of 33 0.6 times.
constexpr int64_t kLine = 4096;     // floats: half of a first-level cache
constexpr int64_t kFewWindows = 4;  // fewer on a line share too few of its columns

// How many windows a line holds; 0: take them one by one.
FASTCNN_INLINE int64_t windows_on_line(const Geometry& g) {
  const Pool2dShape& s = g.s;
  if (s.c % kLanes == 0 || s.c > 8 * kLanes || (s.c > 2 * kLanes && s.r * s.s <= 4)) return 0;
  if (s.adaptive) return s.c < kLanes && s.w * s.c <= kLine ? s.q : 0;
  const int64_t room = kLine / s.c - g.cols.extent(), count = room < 0 ? 0 : room / s.stride_w + 1;
  return count < kFewWindows && count < s.q ? 0 : smaller(count, s.q);
}

FASTCNN_INLINE void fill(float* p, int64_t count, float value) {
  for (int64_t i = 0; i < count; i += kLanes) store(p + i, broadcast(value));
}

// The greatest or the sum of `rows` rows of a line; false where there is a NaN that a maximum would lose.
template <class Op>
FASTCNN_INLINE bool join_rows(Op op, const float* x, int64_t rows, int64_t step, float* line, int64_t count) {
  IVec numbers = IVec{} - 1;
  for_each_block<2>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec result[kVectors];
    IVec seen = numbers;
    for (int v = 0; v < kVectors; ++v) {
      result[v] = block.get(x + i + v * kLanes);
      op.see(&seen, result[v]);
    }
    for (int64_t r = 1; r < rows; ++r)
      for (int v = 0; v < kVectors; ++v) {
        const Vec tap = block.get(x + r * step + i + v * kLanes);
        op.see(&seen, tap);
        result[v] = op.join(result[v], tap);
      }
    for (int v = 0; v < kVectors; ++v) store(line + i + v * kLanes, result[v]);
    numbers = seen;
  });
  return all_of(numbers);
}

// line[i] joined with what stands `step` floats after it, and so on, `count` times in all, for the first
// `length` floats; put(block, i, joined).
template <class Op, class Put>
FASTCNN_INLINE void join_columns(Op op, const float* line, int64_t count, int64_t step, int64_t length,
                                 Put put) {
  for_each_block<2>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec result[kVectors];
    for (int v = 0; v < kVectors; ++v) result[v] = load(line + i + v * kLanes);
    const float* from = line + i;
    for (int64_t t = 1; t < count; ++t) {
      from += step;
      for (int v = 0; v < kVectors; ++v) result[v] = op.join(result[v], load(from + v * kLanes));
    }
    for (int v = 0; v < kVectors; ++v) put(block, i + v * kLanes, result[v]);
  });
}

template <class Op>
FASTCNN_INLINE bool reduce_line(Op op, const Pool2dFwd& a, const Geometry& g, int64_t row, int64_t most) {
  const Pool2dShape& s = g.s;
  const int64_t n = row / s.p, p = row - n * s.p;
  const Span taps = g.rows.taps(p);
  const int64_t rows = g.rows.count(taps), divisor = g.rows.divisor(p, rows);
  const float* x = a.x + (n * s.h + taps.begin) * s.w * s.c;
  float* const y = a.y + row * s.q * s.c;
  float line[kLine + 2 * kLanes];
  if (s.adaptive) {
    if (!join_rows(op, x, rows, g.row_step, line, s.w * s.c)) return false;
    const Part part{(int)s.c};
    for (int64_t q = 0; q < s.q; ++q) {
      const Span cols = g.cols.taps(q);
      Vec result = load(line + cols.begin * s.c);
      for (int64_t w = cols.begin + 1; w < cols.end; ++w) result = op.join(result, load(line + w * s.c));
      const Vec of_window = op.finish(result, Mean(a.average ? divisor * (cols.end - cols.begin) : 1));
      if ((s.q - q) * s.c >= kLanes)
        store(y + q * s.c, of_window);  // reaches into those that follow
      else
        part.put(y + q * s.c, of_window);
    }
    return true;
  }
  for (int64_t q = 0; q < s.q; q += most) {
    const Span windows = {q, smaller(q + most, s.q)};
    const int64_t count = windows.end - q, first = q * s.stride_w - s.pad_left;
    const int64_t end = first + (count - 1) * s.stride_w + g.cols.extent();
    const Span in = {larger(first, 0), smaller(end, s.w)};
    float* const inside = line + (in.begin - first) * s.c;
    const int64_t length = (in.end - in.begin) * s.c;
    fill(line, (in.begin - first) * s.c, op.kNothing);
    if (!join_rows(op, x + in.begin * s.c, rows, g.row_step, inside, length)) return false;
    fill(inside + length, (end - in.end) * s.c, op.kNothing);
    float* const to = y + q * s.c;
    const int64_t starts = ((count - 1) * s.stride_w + 1) * s.c;
    if (s.stride_w == 1) {
      join_columns(op, line, s.s, g.col_step, starts,
                   [&](auto block, int64_t i, Vec v) FASTCNN_INLINED { block.put(to + i, v); });
    } else {
      join_columns(op, line, s.s, g.col_step, starts,
                   [&](auto, int64_t i, Vec v) FASTCNN_INLINED { store(line + i, v); });
      copy_windows({line, s.stride_w * s.c, to, s.c, s.c}, count, (s.q - q) * s.c);
    }
    if (a.average) divide_windows(g, divisor, windows, to, to);
  }
  return true;
}

// The entry points copy their arguments: a store may alias the caller's struct, and then every size and
// pointer is read again after each vector (2.4 times as slow for a 7x7 maximum backward).
void max_fwd(const Pool2dFwd& args, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Geometry g(*a.shape);
  const int64_t line = windows_on_line(g);
  for (int64_t row = begin; row < end; ++row)
    if (!line || !reduce_line(MaxOfNumbers{}, a, g, row, line)) reduce_row(Max{}, a, g, row);
}

void sum_fwd(const Pool2dFwd& args, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Geometry g(*a.shape);
  const int64_t line = windows_on_line(g);
  for (int64_t row = begin; row < end; ++row)
    line ? (void)reduce_line(Sum{}, a, g, row, line) : reduce_row(Sum{}, a, g, row);
}

void max_with_index(const Pool2dFwd& args, int32_t* index, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Geometry g(*a.shape);
  const int row_step = (int)(g.rows.dilation * g.s.w), col_step = (int)g.cols.dilation;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t image = row / g.s.p * g.s.h * g.s.w;
    for_each_window_of_row(g, row, false, [&](auto size, const Window& window) FASTCNN_INLINED {
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

}  // namespace

extern const Pool2dKernels pool2d_kernels;
const Pool2dKernels pool2d_kernels = {max_fwd, sum_fwd, max_with_index};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
