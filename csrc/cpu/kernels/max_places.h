// SPDX-License-Identifier: Apache-2.0
// Where the greatest of each window of max pooling stands: the first of equal ones in row-major order, and a
// NaN is greater than every number. A place is a distance in floats. Included by max_pool_bwd.cpp, which adds
// there what the windows have.
#pragma once
#include "max_pool_bwd.h"
#include "pool2d_lines.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Functions that are called for a row of pixels or windows stand alone: what they store may then alias
// nothing of the caller's, and sizes and pointers stay in registers.
#define FASTCNN_ALONE __attribute__((noinline))

// False if there is a NaN; true of numbers, unless there are infinities of both signs or they overflow.
FASTCNN_ALONE bool are_numbers(const float* x, int64_t count) {
  Vec sum = {};
  for_each_block<4>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    Vec some = block.get(x + i);
    for (int v = 1; v < block.kVectors; ++v) some += block.get(x + i + v * kLanes);
    sum += some;
  });
  return lane_sum(sum) == lane_sum(sum);
}

// Where the taps of windows lie from their first, and the windows: they begin at x + i step, and `length`
// floats from there, whose places are counted from `place`. Each i is put `to_step` after the one before.
struct Taps {
  int64_t rows, cols, row_step, col_step;
};
struct Run {
  const float* x;
  int64_t place, windows, step, length;
  float *values, *places;  // values may be null
  int64_t to_step;
};

// Vectors of the greatest so far and of their places.
template <bool kNumbers, int kVectors>
FASTCNN_INLINE void take_greater(Vec (&best)[kVectors], IVec (&found)[kVectors], int v, Vec value,
                                 IVec place) {
  const Vec old = best[v];
  const IVec keep = kNumbers ? value <= old : (value <= old) | (old != old);
  found[v] = keep ? found[v] : place;
  best[v] = kNumbers ? max_or_second(value, old) : keep ? old : value;
}

// kRows x kCols taps, or as many as are told. kNumbers: there is no NaN.
template <bool kNumbers, int kRows = 0, int kCols = 0>
FASTCNN_ALONE void find_greatest(const Taps& given_taps, const Run& given) {
  const Run run = given;
  const Taps taps = given_taps;
  for (int64_t w = 0; w < run.windows; ++w) {
    const float* const x = run.x + w * run.step;
    const int64_t to = w * run.to_step, place = run.place + w * run.step;
    for_each_block<kRows ? 2 : 4>(run.length, [&](auto block, int64_t i) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec best[kVectors];
      IVec found[kVectors] = {};
      for (int v = 0; v < kVectors; ++v) best[v] = block.get(x + i + v * kLanes);
      Size<kRows, kCols>{taps.rows, taps.cols}.for_each_tap([&](int64_t r, int64_t s,
                                                                int position) FASTCNN_INLINED {
        if (position == 0) return;
        const int64_t tap = r * taps.row_step + s * taps.col_step;
        for (int v = 0; v < kVectors; ++v)
          take_greater<kNumbers>(best, found, v, block.get(x + tap + i + v * kLanes), IVec{} + (int32_t)tap);
      });
      for (int v = 0; v < kVectors; ++v, i += kLanes) {
        if (run.values) block.put(run.values + to + i, best[v]);
        block.put(run.places + to + i, bits_to_vec(found[v] + (iota() + (int32_t)(place + i))));
      }
    });
  }
}

// Lines of numbers, each `step` after the other from the first on; at the end of a ring they go on `size`
// before. Their places stand at a distance, those of line t `pitch` t further on, or it is what they are: t.
struct Lines {
  const float *first, *end;
  int64_t count, step, size, distance;
  int32_t number, pitch;
};
FASTCNN_INLINE Lines lines_of(Ring& ring, Span taps, int64_t dilation) {
  const int64_t size = ring.count * ring.line, count = (taps.end - taps.begin - 1) / dilation + 1;
  return {ring[taps.begin], ring.first + size, count, dilation * ring.line, size, 0, 0, 0};
}

// Of `length` numbers of each the greatest and its place.
template <bool kNumbers, bool kPlaces>
FASTCNN_ALONE void join_lines(const Lines& given, int64_t length, float* values, float* places) {
  const Lines lines = given;
  for_each_block<4>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    const float *line = lines.first + i, *const end = lines.end + i;
    int32_t number = lines.number;
    Vec best[kVectors];
    IVec found[kVectors];
    const auto place = [&](int v) FASTCNN_INLINED {
      if constexpr (kPlaces) return vec_to_bits(block.get(line + lines.distance + v * kLanes)) + number;
      return IVec{} + number;
    };
    for (int v = 0; v < kVectors; ++v) best[v] = block.get(line + v * kLanes), found[v] = place(v);
    for (int64_t t = 1; t < lines.count; ++t) {
      line += lines.step, number += lines.pitch;
      if (line >= end) line -= lines.size;
      for (int v = 0; v < kVectors; ++v)
        take_greater<kNumbers>(best, found, v, block.get(line + v * kLanes), place(v));
    }
    for (int v = 0; v < kVectors; ++v, i += kLanes) {
      if (values) block.put(values + i, best[v]);
      block.put(places + i, bits_to_vec(found[v]));
    }
  });
}

// Row by row of windows of an image. A window's greatest is that of its rows' greatest, so that R + S taps
// are compared and not R S, unless windows are small or seldom. Windows that stand apart are taken one by
// one, or, of few channels, with all that begins between them, and then put side by side.
struct Places {
  const Geometry& g;
  const float *image, *base;
  bool at_once, of_rows, merged;
  float *line, *line_places;  // of a part of a line of pixels
  Ring rows, rows_places;     // [Q,C] for each row of pixels that a window reaches over
  int64_t next, checked, no_numbers;

  Places(const Geometry& geometry, const MaxPlaces& a, float* scratch)
      : g(geometry), at_once(a.at_once), of_rows(a.gathers) {
    const Pool2dShape& s = g.s;
    merged = s.stride_w > 1 && s.stride_w * s.c <= kLanes;
    line = scratch, line_places = line + kPlacesLine + kRest;
    const int64_t count = at_once ? 0 : a.rows;
    rows = {line_places + kPlacesLine + kRest + a.front, a.line, count, 0};
    rows_places = {rows.first + count * a.line, a.line, count, 0};
  }

  // An image, and from where places count.
  void begin(const float* x, const float* from) {
    image = x, base = from;
    next = checked = 0, no_numbers = -1, rows.base = rows_places.base = 0;
  }

  // How many rows of windows from p to `end` are taken at once: of short ones more than one, so that what a
  // row costs before its vectors is shared.
  int64_t group(int64_t p, int64_t end) const {
    const Span inner = g.rows.inner();
    if (!at_once || p < inner.begin || p >= inner.end) return 1;
    const int64_t most = kPlacesLine / (g.s.q * g.s.stride_w * g.s.c);
    return smaller(smaller(end, inner.end) - p, larger(most, 1));
  }

  // Of `count` rows of windows whose taps are in as many rows of pixels as told, the first of which is x.
  FASTCNN_ALONE void find(const float* x, int64_t tap_rows, int64_t count, bool numbers, float* values,
                          float* at) {
    const Pool2dShape& s = g.s;
    const int64_t step = s.stride_w * s.c, x_step = s.stride_h * s.w * s.c, row = s.q * s.c;
    for (int64_t q = 0; q < s.q;) {
      float *const to = values ? values + q * s.c : nullptr, *const to_at = at + q * s.c;
      const bool inner = q == g.inner.begin && q < g.inner.end;
      const Span cols = g.cols.taps(q);
      const Taps taps = {tap_rows, g.cols.count(cols), g.row_step, g.col_step};
      const int64_t windows = inner ? g.inner.end - q : 1;
      const float* tap = x + cols.begin * s.c;
      const auto f = !numbers                           ? find_greatest<false>
                     : taps.rows == 2 && taps.cols == 2 ? find_greatest<true, 2, 2>
                     : taps.rows == 3 && taps.cols == 3 ? find_greatest<true, 3, 3>
                                                        : find_greatest<true>;
      if (!inner || s.stride_w == 1) {
        f(taps, {tap, tap - base, count, x_step, windows * s.c, to, to_at, row});
      } else if (!merged) {
        for (int64_t i = 0; i < count * row; i += row, tap += x_step)
          f(taps, {tap, tap - base, windows, step, s.c, to ? to + i : nullptr, to_at + i, s.c});
      } else {
        const int64_t most = (kPlacesLine - s.c) / step + 1;
        for (int64_t w = 0; w < windows; w += most, tap += most * step) {
          const int64_t some = smaller(most, windows - w), length = (some - 1) * step + s.c;
          f(taps, {tap, tap - base, count, x_step, length, to ? line : nullptr, line_places, length});
          for (int64_t i = 0; i < count; ++i) {
            const int64_t from = i * length, put = i * row + w * s.c, room = (s.q - q - w) * s.c;
            copy_windows({line_places + from, step, to_at + put, s.c, s.c}, some, room);
            if (to) copy_windows({line + from, step, to + put, s.c, s.c}, some, room);
          }
        }
      }
      q += windows;
    }
  }

  // Of a group of rows of windows, [Q,C] each, the first of them p; they come in their order. values may be
  // null. Of what is gathered `at` are the rows where the maxima stand.
  FASTCNN_ALONE void find_rows(int64_t p, int64_t count, float* values, float* at) {
    const Pool2dShape& s = g.s;
    const int64_t width = s.w * s.c;
    const Span taps = g.rows.taps(p);
    const int64_t last = g.rows.taps(p + count - 1).end;
    const int64_t first =
        larger(g.rows.reach(p).begin, 0);  // with dilation the next one's taps may begin before
    checked = larger(checked, first);
    if (checked < last) {  // and more, where rows are short
      const int64_t end = larger(last, smaller(checked + kPlacesLine / width, s.h));
      if (!are_numbers(image + checked * width, (end - checked) * width)) no_numbers = end - 1;
      checked = end;
    }
    if (at_once) {
      const bool numbers = no_numbers < taps.begin;
      return find(image + taps.begin * width, g.rows.count(taps), count, numbers, values, at);
    }
    for (next = larger(next, first); next < taps.end; ++next)
      find(image + next * width, 1, 1, no_numbers < next, rows[next], rows_places[next]);
    Lines lines = lines_of(rows, taps, g.rows.dilation);
    const bool numbers = no_numbers < taps.begin;
    if (of_rows) {
      lines.number = (int32_t)taps.begin, lines.pitch = (int32_t)g.rows.dilation;
      return (numbers ? join_lines<true, false> : join_lines<false, false>)(lines, s.q * s.c, values, at);
    }
    lines.distance = rows_places.first - rows.first;
    (numbers ? join_lines<true, true> : join_lines<false, true>)(lines, s.q * s.c, values, at);
  }
};

// to[at[i]] += v[i].
FASTCNN_ALONE void add_at(const float* __restrict at, const float* __restrict v, int64_t count, float* to) {
  int32_t place[4];
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    memcpy(place, at + i, sizeof place);
    FASTCNN_UNROLL
    for (int j = 0; j < 4; ++j) to[place[j]] += v[i + j];
  }
  for (; i < count; ++i) {
    memcpy(place, at + i, sizeof *place);
    to[*place] += v[i];
  }
}
// Where that is within: those are picked out first, since no processor foresees which they are.
FASTCNN_ALONE void add_within(const float* at, const float* v, int64_t count, float* to, Span within) {
  constexpr int64_t kMost = 256;
  float places[kMost], values[kMost];
  const auto first = (uint32_t)within.begin, size = (uint32_t)(within.end - within.begin);
  for (int64_t begin = 0; begin < count; begin += kMost) {
    const int64_t end = smaller(begin + kMost, count);
    int64_t kept = 0;
    for (int64_t i = begin; i < end; ++i) {
      uint32_t place;
      memcpy(&place, at + i, sizeof place);
      memcpy(places + kept, at + i, sizeof place);
      values[kept] = v[i];
      kept += place - first < size;
    }
    add_at(places, values, kept, to);
  }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
