// SPDX-License-Identifier: Apache-2.0
// Gradients of pools on lines: a float for each channel of each pixel of a row with what windows reach over,
// at the pixel where a window begins what it has for that row, and what stands between them does not count.
// Included by pool2d_bwd.cpp.
#pragma once
#include "pool2d_bwd.h"
#include "windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE void set_zero(float* p, int64_t count) {
  if (count > 0) memset(p, 0, (size_t)count * sizeof *p);
}

// The windows of a row, each put where it begins in a line, between zeros that stay. Whole vectors, whose
// rest was cleared afterwards, had twice to reach memory before they could be read again across their ends.
FASTCNN_INLINE void spread_windows(const Pool2dShape& s, const float* from, float* to) {
  const int64_t step = s.stride_w * s.c;
  if (copies_alone(s.c)) return copy_windows({from, s.c, to, step, s.c}, s.q, s.q * s.c);
  for (int64_t q = 0; q < s.q; ++q, from += s.c, to += step)
    for_each_vector(s.c,
                    [&](auto block, int64_t c) FASTCNN_INLINED { block.put(to + c, block.get(from + c)); });
}

// Of a row of windows the sums over their sizes, in whole vectors: with zeros after the last.
FASTCNN_INLINE void divide_row(const Geometry& g, int64_t rows, const float* from, float* to) {
  const int64_t c = g.s.c;
  for (int64_t q = 0, step; q < g.s.q; q += step, from += step * c, to += step * c) {
    const bool inner = q == g.inner.begin && q < g.inner.end;
    step = inner ? g.inner.end - q : 1;
    const Mean mean(rows * (inner ? g.s.s : g.cols.divisor(q, g.cols.count(g.cols.taps(q)))));
    for_each_block<2>(step * c, [&](auto block, int64_t i) FASTCNN_INLINED {
      for (int v = 0; v < block.kVectors; ++v, i += kLanes) store(to + i, mean(block.get(from + i)));
    });
  }
}

// False if there is a NaN; true of numbers, unless there are infinities of both signs or they overflow.
bool are_numbers(const float* x, int64_t count) {
  Vec sum = {};
  for_each_block<4>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    Vec some = block.get(x + i);
    for (int v = 1; v < block.kVectors; ++v) some += block.get(x + i + v * kLanes);
    sum += some;
  });
  return lane_sum(sum) == lane_sum(sum);
}

// The latest of the lines that are numbered on and on. Without a division, which takes as long as ten
// vectors.
struct Ring {
  float* first;
  int64_t line, count, base;
  FASTCNN_INLINED float* operator[](int64_t i) {
    while (i - base >= count) base += count;
    return first + (i < base ? i - base + count : i - base) * line;
  }
};

// enter(p) for each row of windows before put(h, ps) for the rows of pixels that it reaches; ps are the rows
// of windows that reach h. Stops where enter() is false, and is it then.
template <class Enter, class Put>
FASTCNN_INLINE bool walk_rows(const Geometry& g, const Pool2dBand& band, Enter enter, Put put) {
  const Span over = g.rows.over(band.h_begin, band.h_end);
  Span ps = {over.begin, over.begin};
  for (int64_t h = band.h_begin; h < band.h_end; ++h) {
    while (ps.begin < ps.end && g.rows.reach(ps.begin).end <= h) ++ps.begin;
    for (; ps.end < over.end && g.rows.reach(ps.end).begin <= h; ++ps.end)
      if (!enter(ps.end)) return false;
    put(h, ps);
  }
  return true;
}

// The greatest of the numbers at `from` of the lines and which it is, the first of equal ones, for `length`
// of them side by side.
struct Lines {
  const float* at[kGathered];
  int32_t number[kGathered];
  int64_t count = 0;
  FASTCNN_INLINED void add(const float* line, int64_t i) { at[count] = line, number[count++] = (int32_t)i; }
};
void find_first(const Lines& lines, int64_t from, int64_t length, float* greatest, float* labels) {
  for_each_block<4>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec best[kVectors];
    IVec found[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      best[v] = block.get(lines.at[0] + from + i + v * kLanes);
      found[v] = IVec{} + lines.number[0];
    }
    for (int64_t t = 1; t < lines.count; ++t) {
      const float* line = lines.at[t] + from + i;
      const IVec number = IVec{} + lines.number[t];
      for (int v = 0; v < kVectors; ++v) {
        const Vec value = block.get(line + v * kLanes);
        found[v] = value > best[v] ? number : found[v];
        best[v] = max_or_second(value, best[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v, i += kLanes) {
      if (greatest) block.put(greatest + i, best[v]);
      block.put(labels + i, bits_to_vec(found[v]));
    }
  });
}

// What windows have for the tap that is wanted: to = the sum of it, in their order.
struct Chosen {
  const float *labels, *values;
  int32_t wanted;
};
void add_chosen(const Chosen* chosen, int64_t count, int64_t length, float* to, Output output,
                const float* mask) {
  for_each_block<4>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec sum[kVectors] = {};
    for (int64_t t = 0; t < count; ++t) {
      const float *label = chosen[t].labels + i, *value = chosen[t].values + i;
      const IVec wanted = IVec{} + chosen[t].wanted;
      for (int v = 0; v < kVectors; ++v)
        sum[v] +=
            vec_to_bits(block.get(label + v * kLanes)) == wanted ? block.get(value + v * kLanes) : Vec{};
    }
    for (int v = 0; v < kVectors; ++v, i += kLanes)
      output.put(block, to + i, mask ? (block.get(mask + i) <= Vec{} ? Vec{} : sum[v]) : sum[v]);
  });
}

// Of each window the greatest of its taps in `rows` rows of x and its number, put where the window begins. In
// whole vectors where windows are not cut off: with what begins between them, unless channels fill vectors.
// `skipped` rows of taps lie above.
void find_taps(const Geometry& g, const float* x, int64_t rows, int64_t skipped, float* greatest,
               float* labels) {
  const Pool2dShape& s = g.s;
  const bool merged = s.stride_w == 1 || s.c % kLanes;
  for (int64_t q = 0, end; q < s.q; q = end) {
    const bool inner = q == g.inner.begin && q < g.inner.end;
    end = inner ? g.inner.end : q + 1;
    const Span cols = g.cols.taps(q);
    const int64_t count = g.cols.count(cols), before = (cols.begin - g.cols.reach(q).begin) / g.cols.dilation;
    Lines taps;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t col = 0; col < count; ++col)
        taps.add(x + r * g.row_step + cols.begin * s.c + col * g.col_step,
                 (skipped + r) * s.s + before + col);
    const int64_t step = s.stride_w * s.c, length = merged ? (end - q - 1) * step + s.c : s.c;
    for (int64_t at = q * step, from = 0; at < end * step; at += merged ? end * step : step, from += step)
      find_first(taps, from, length, greatest ? greatest + at : nullptr, labels + at);
  }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
