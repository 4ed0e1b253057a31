// SPDX-License-Identifier: Apache-2.0
// Pixels take the sum of the windows that hold them, over rows and then over columns, from lines: the windows
// [Q,C] of a row, with zeros for those beside it. Pixel i of a padded axis is held by windows i / stride and
// before, as many for the first pixels of a stride, by one fewer for the others: two sums for each window
// give all of its pixels. Included by pool2d_bwd.cpp.
#pragma once
#include "pool2d_lines.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

#define FASTCNN_ALONE __attribute__((noinline))  // what they store aliases nothing of the caller's

// How many windows hold a pixel at most, and so many of the pixels of a stride.
struct Holders {
  int64_t size, count, pixels;
  explicit Holders(const Axis& axis)
      : size(axis.size),
        count((size + axis.stride - 1) / axis.stride),
        pixels(size - (count - 1) * axis.stride) {}
};

// Rows [begin, end) of windows, each over the sizes of its windows or as it is, to lines `pitch` apart; zeros
// for rows that are none.
struct Divided {
  const float* dy;  // [P,Q,C]
  float *to, *end;
  int64_t pitch, ring;
  bool average;
};
FASTCNN_INLINE float* divide_rows(const Geometry& g, const Divided& a, Span ps) {
  const int64_t c = g.s.c, row = g.s.q * c;
  float* to = a.to;
  for (int64_t p = ps.begin; p < ps.end; ++p) {
    if (p < 0 || p >= g.s.p) {
      set_zero(to, row);
    } else {
      const int64_t rows = g.rows.divisor(p, g.rows.count(g.rows.taps(p)));
      for (int64_t q = 0, step; q < g.s.q; q += step) {
        const bool inner = q == g.inner.begin && q < g.inner.end;
        step = !a.average ? g.s.q : inner ? g.inner.end - q : 1;
        const int64_t cols = inner ? g.s.s : g.cols.divisor(q, g.cols.count(g.cols.taps(q)));
        const Mean mean(a.average ? rows * cols : 1);
        map(a.dy + p * row + q * c, to + q * c, step * c, mean);
      }
    }
    to += a.pitch;
    if (to >= a.end) to -= a.ring;
  }
  return to;
}

// Lines in a ring of `size` floats that ends at `end`.
struct SumLines {
  const float *first, *end;
  int64_t size, pitch, count;
};

// to[i] = sum of `count` lines from the first on, for some lines one after the other.
FASTCNN_ALONE void sum_lines(const SumLines& given, int64_t some, int64_t length, float* to) {
  const SumLines lines = given;
  const float* first = lines.first;
  const auto sum = [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec sum[kVectors] = {};
    const float* from = first + i;
    for (int64_t k = 0; k < lines.count; ++k) {
      for (int v = 0; v < kVectors; ++v) sum[v] += load(from + v * kLanes);
      from = from + lines.pitch < lines.end ? from + lines.pitch : from + lines.pitch - lines.size;
    }
    for (int v = 0; v < kVectors; ++v) store(to + i + v * kLanes, sum[v]);
  };
  for (; some > 0; --some, to += length) {
    int64_t i = 0;
    for (; i + 4 * kLanes <= length; i += 4 * kLanes) sum(Whole<4>{}, i);
    for (; i < length; i += kLanes) sum(Whole<1>{}, i);
    first = first + length < lines.end ? first + length : first + length - lines.size;
  }
}

// Which lanes of the two sums of windows the vectors of a row of pixels are: they repeat after `period` of
// them, `advance` floats of windows later.
struct Picks {
  int64_t period, advance, first;
  int32_t *at, *index;

  FASTCNN_ALONE void prepare(const Geometry& g, const Holders& holders, float* scratch) {
    const int64_t c = g.s.c, stride = g.s.stride_w, most = (g.s.w * c + kLanes - 1) / kLanes;
    for (period = 1; period < most && period * kLanes % (stride * c);) ++period;
    advance = period * kLanes / stride;
    index = (int32_t*)scratch, at = index + period * kLanes;
    int64_t channel = 0, phase = g.s.pad_left % stride, window = 0, least = 0;
    first = g.s.pad_left / stride * c;
    for (int64_t i = 0; i < period * kLanes; ++i) {
      if (i % kLanes == 0) {
        // The window begins anew with its next pixel.
        least = window + (phase + 1 < stride && c - channel < kLanes ? 0 : channel);
        at[i / kLanes] = (int32_t)least;
      }
      index[i] = (int32_t)(window + channel - least) + (phase < holders.pixels ? 0 : kLanes);
      if (++channel < c) continue;
      channel = 0;
      if (++phase == stride) phase = 0, window += c;
    }
  }
};

// What all rows of pixels have in common. Where a row begins and ends are arguments: read with it, just
// stored, they waited for all that was stored before.
struct SumColumns {
  int64_t c, stride, left;  // left: pixels of padding
  Holders holders;
  Picks picks;
  float* spread;  // a row of pixels with all that windows reach over
  int64_t windows;
  Output output;
};

// Windows at each pixel.
FASTCNN_ALONE void sum_neighbours(const SumColumns& given, const float* line, float* to, int64_t length) {
  const SumColumns a = given;
  const int64_t step = a.c, count = a.holders.count;
  const float* const oldest = line + (a.left - count + 1) * step;
  for_each_block<4>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec sum[kVectors] = {};
    const float* from = oldest + i;
    for (int64_t k = 0; k < count; ++k, from += step)
      for (int v = 0; v < kVectors; ++v) sum[v] += load(from + v * kLanes);
    for (int v = 0; v < kVectors; ++v) a.output.put(block, to + i + v * kLanes, sum[v]);
  });
}

// Few channels: pixels side by side in a vector.
FASTCNN_ALONE void sum_picked(const SumColumns& given, const float* line, float* to, int64_t length) {
  const SumColumns a = given;
  const int64_t step = a.c, count = a.holders.count, period = a.picks.period;
  const float* oldest = line + a.picks.first - (count - 1) * step;
  int64_t j = 0;
  for_each_vector(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    const float* from = oldest + a.picks.at[j];
    Vec all = load(from) + Vec{}, fewer = {};
    for (int64_t k = 1; k < count; ++k) {
      from += step;
      const Vec next = load(from);
      all += next, fewer += next;
    }
    a.output.put(block, to + i,
                 pick(all, fewer, vec_to_bits(load((const float*)a.picks.index + j * kLanes))));
    if (++j == period) j = 0, oldest += a.picks.advance;
  });
}

// Channels that fill vectors: the pixels of one window after the other.
FASTCNN_ALONE void sum_pixels(const SumColumns& given, const float* line, float* to, int64_t length) {
  const SumColumns a = given;
  const int64_t c = a.c, stride = a.stride, count = a.holders.count, pixels = a.holders.pixels;
  const int64_t left = a.left, right = left + length / c;
  for (int64_t first = left / stride * stride; first < right; first += stride) {
    const float* const oldest = line + (first / stride - count + 1) * c;
    const int64_t begin = larger(left, first), middle = smaller(first + pixels, right);
    const int64_t end = smaller(first + stride, right);
    for (int64_t i = 0; i < c; i += kLanes) {
      const float* from = oldest + i;
      Vec all = load(from) + Vec{}, fewer = {};
      for (int64_t k = 1; k < count; ++k) {
        from += c;
        const Vec next = load(from);
        all += next, fewer += next;
      }
      int64_t at = (begin - left) * c + i;
      for (int64_t w = begin; w < end; ++w, at += c) {
        if (w >= middle) all = fewer;
        a.output.put(Whole<1>{}, to + at, all);
      }
    }
  }
}

// Others: each window is put where it begins, between zeros that stay, and pixels add the places before them.
// Whole vectors, whose rest was cleared afterwards, had twice to reach memory before they could be read again
// across their ends.
FASTCNN_ALONE void sum_spread(const SumColumns& given, const float* line, float* to, int64_t length) {
  const SumColumns a = given;
  const int64_t c = a.c;
  float *const spread = a.spread + (a.holders.size - 1) * c, *at = spread;
  for (int64_t i = 0; i < a.windows; ++i, line += c, at += a.stride * c)
    for_each_vector(c,
                    [&](auto block, int64_t j) FASTCNN_INLINED { block.put(at + j, block.get(line + j)); });
  sum_neighbours(given, spread, to, length);
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
