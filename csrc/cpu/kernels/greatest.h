// SPDX-License-Identifier: Apache-2.0
// The greatest numbers of taps, of lines and of windows along a line, and their places: the first of equal
// ones, and a NaN is greater than every number. A place is a distance in floats, 32 bits in a vector's lanes.
// Included by max_places.h.
#pragma once
#include "ahead.h"
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

// kRows x kCols taps, or as many as are told. kNumbers: there is no NaN; where there is, which is rare,
// vectors are taken one by one, in less code.
template <bool kNumbers, int kRows = 0, int kCols = 0>
FASTCNN_ALONE void find_greatest(const Taps& given_taps, const Run& given) {
  const Run run = given;
  const Taps taps = given_taps;
  for (int64_t w = 0; w < run.windows; ++w) {
    const float* const x = run.x + w * run.step;
    const int64_t to = w * run.to_step, place = run.place + w * run.step;
    for_each_block<!kNumbers ? 1
                   : kRows   ? 2
                             : 4>(run.length, [&](auto block, int64_t i) FASTCNN_INLINED {
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

// Rows that will be read and written: as much of each as is joined, since all of it at once kept what
// followed waiting. Of the volumes' planes none is written soon.
struct Ahead {
  const float *read, *write;  // the latter may be null
  int64_t rows, step;
  template <int kVectors>
  FASTCNN_INLINED void fetch(int64_t i) const {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < kVectors * kLanes; v += larger(kLineFloats, kLanes)) {
        __builtin_prefetch(read + r * step + i + v, 0, 2);
        if (write) __builtin_prefetch(write + r * step + i + v, 1, 2);
      }
  }
};

// Lines of numbers, each `step` after the other from the first on; at the end of a ring they go on `size`
// before. Of line t places are `number` + t `pitch`, and that or i more for its number i, or more by those
// that stand at a distance.
struct Lines {
  const float *first, *end;
  int64_t count, step, size, distance;
  int32_t number, pitch;
  Ahead ahead;
};
FASTCNN_INLINE Lines lines_of(Ring& ring, Span taps, int64_t dilation) {
  const int64_t size = ring.count * ring.line, count = (taps.end - taps.begin - 1) / dilation + 1;
  return {ring[taps.begin], ring.first + size, count, dilation * ring.line, size, 0, 0, 0, {}};
}

enum LinePlaces { kOfLine, kOfRow, kOfNumber, kAtDistance };

// Of `length` numbers of each the greatest and its place. Of rows of pixels those that follow are fetched,
// and false is returned if there is a NaN, as by are_numbers().
template <bool kNumbers, LinePlaces kPlaces>
FASTCNN_ALONE bool join_lines(const Lines& given, int64_t length, float* values, float* places) {
  const Lines lines = given;
  Vec sum = {};
  for_each_block<kNumbers ? 4 : 1>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    const float *line = lines.first + i, *const end = lines.end + i;
    int32_t number = lines.number;
    Vec best[kVectors];
    IVec found[kVectors];
    const auto place = [&](int v) FASTCNN_INLINED {
      if constexpr (kPlaces == kAtDistance)
        return vec_to_bits(block.get(line + lines.distance + v * kLanes)) + number;
      return IVec{} + number;
    };
    const auto check = [&](Vec value) FASTCNN_INLINED {
      if (kPlaces == kOfRow) sum += value;
    };
    if (kPlaces == kOfNumber) lines.ahead.fetch<kVectors>(i);
    for (int v = 0; v < kVectors; ++v) {
      best[v] = block.get(line + v * kLanes), found[v] = place(v);
      check(best[v]);
    }
    for (int64_t t = 1; t < lines.count; ++t) {
      line += lines.step, number += lines.pitch;
      if (kPlaces != kOfRow && kPlaces != kOfNumber && line >= end) line -= lines.size;
      for (int v = 0; v < kVectors; ++v) {
        const Vec value = block.get(line + v * kLanes);
        check(value);
        take_greater<kNumbers>(best, found, v, value, place(v));
      }
    }
    for (int v = 0; v < kVectors; ++v, i += kLanes) {
      if (values) block.put(values + i, best[v]);
      if constexpr (kPlaces == kOfNumber) found[v] += iota() + (int32_t)i;
      block.put(places + i, bits_to_vec(found[v]));
    }
  });
  return lane_sum(sum) == lane_sum(sum);
}

// The same of what has been joined, with its places, and rows of pixels after it, or of these alone; of
// number i places are i more.
FASTCNN_ALONE void join_rows(const Lines& given, const Lines& given_rows, int64_t length, float* values,
                             float* places) {
  const Lines joined = given, rows = given_rows;
  for_each_block<2>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    const float *line = joined.first + i, *const end = joined.end + i, *row = rows.first + i;
    int32_t number = rows.number;
    Vec best[kVectors];
    IVec found[kVectors];
    rows.ahead.fetch<kVectors>(i);
    for (int v = 0; v < kVectors; ++v) {
      best[v] = load(line + v * kLanes);
      found[v] = vec_to_bits(load(line + joined.distance + v * kLanes));
    }
    for (int64_t t = 1; t < joined.count; ++t) {
      line += joined.step;
      if (line >= end) line -= joined.size;
      for (int v = 0; v < kVectors; ++v)
        take_greater<true>(best, found, v, load(line + v * kLanes),
                           vec_to_bits(load(line + joined.distance + v * kLanes)));
    }
    for (int64_t r = 0; r < rows.count; ++r, row += rows.step, number += rows.pitch)
      for (int v = 0; v < kVectors; ++v)
        take_greater<true>(best, found, v, block.get(row + v * kLanes), IVec{} + number);
    for (int v = 0; v < kVectors; ++v, i += kLanes) {
      block.put(values + i, best[v]);
      block.put(places + i, bits_to_vec(found[v] + (iota() + (int32_t)i)));
    }
  });
}

// The greater, and of equal ones the first place. There is no NaN.
FASTCNN_INLINE void take_first(Vec& best, IVec& found, Vec value, IVec place) {
  const Vec old = best;
  best = max_or_second(value, old);
  found = old == best ? found : IVec{} + INT32_MAX;
  found = value == best ? (place < found ? place : found) : found;
}

struct JoinRun {
  const float *from, *from_places;
  int64_t length;
  float *to, *to_places;
  int64_t distance;
};

// What begins every `step` floats, c floats each, put side by side: some of them make a vector.
struct Apart {
  int64_t c, step, most;
  IVec index;
  Apart(int64_t c, int64_t step) : c(c), step(step), most(smaller(kLanes / c, (2 * kLanes - c) / step + 1)) {
    int32_t from[kLanes] = {};
    for (int64_t i = 0; i < most; ++i)
      for (int64_t j = 0; j < c; ++j) from[i * c + j] = (int32_t)(i * step + j);
    memcpy(&index, from, sizeof index);
  }
  FASTCNN_ALONE void put(const float* from, int64_t count, float* to) const {
    for (; count * c >= kLanes; count -= most, from += most * step, to += most * c)
      store(to, pick(load(from), load(from + kLanes), index));
    for (; count > 0; count -= most, from += most * step, to += most * c)
      store_n(to, pick(load(from), load(from + kLanes), index), (int)(smaller(count, most) * c));
  }
  // Of pixels and places the first of the greatest of each step, and at a distance that of `rest` pixels of
  // it. Vectors are whole beyond the end of both.
  FASTCNN_ALONE void join(const JoinRun& given, int64_t rest) const {
    const JoinRun run = given;
    const int64_t blocks = smaller(most, 2 * kLanes / step), from_step = blocks * step, to_step = blocks * c;
    const float *from = run.from, *from_places = run.from_places;
    for (int64_t i = 0; i < run.length; i += to_step, from += from_step, from_places += from_step) {
      const Vec first = load(from), second = load(from + kLanes);
      const Vec first_places = load(from_places), second_places = load(from_places + kLanes);
      IVec at = index;
      Vec best = pick(first, second, at);
      IVec found = vec_to_bits(pick(first_places, second_places, at));
      const auto put = [&](int64_t to) FASTCNN_INLINED {
        store(run.to + to, best), store(run.to_places + to, bits_to_vec(found));
      };
      int64_t next = c;
      const auto take = [&](int64_t end) FASTCNN_INLINED {
        for (; next < end; next += c) {
          at += (int32_t)c;
          take_first(best, found, pick(first, second, at),
                     vec_to_bits(pick(first_places, second_places, at)));
        }
      };
      if (rest > 0) take(rest * c), put(run.distance + i);
      take(step), put(i);
    }
  }
};

// Columns' greatest and their places. The taps of windows lie at `taps` from where these begin, i `step`, and
// `length` numbers from there; vectors are whole beyond them. Each i is put `to_step` after the one before.
struct LineRun {
  const float *line, *line_places;
  int64_t count;
  const int64_t* taps;
  int64_t windows, step, length;
  float *values, *places;  // values may be null
  int64_t to_step;
};

// Of each window the greatest, and the first place of those that are it. There is no NaN.
template <int kTaps = 0>
FASTCNN_ALONE void find_in_line(const LineRun& given) {
  const LineRun run = given;
  const Size<kTaps ? 1 : 0, kTaps> taps{1, run.count};
  for (int64_t w = 0; w < run.windows; ++w) {
    const float *const line = run.line + w * run.step, *const at = run.line_places + w * run.step;
    float* const to = run.values ? run.values + w * run.to_step : nullptr;
    float* const to_at = run.places + w * run.to_step;
    const auto find = [&](auto block, int64_t i) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec best[kVectors];
      IVec found[kVectors];
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) best[v] = load(line + i + v * kLanes), found[v] = IVec{} + INT32_MAX;
      taps.for_each_tap([&](int64_t, int64_t t, int position) FASTCNN_INLINED {
        if (position == 0) return;
        FASTCNN_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const Vec value = load(line + run.taps[t] + i + v * kLanes);
          best[v] = max_or_second(value, best[v]);
        }
      });
      taps.for_each_tap([&](int64_t, int64_t t, int) FASTCNN_INLINED {
        FASTCNN_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const Vec value = load(line + run.taps[t] + i + v * kLanes);
          const IVec place = vec_to_bits(load(at + run.taps[t] + i + v * kLanes));
          found[v] = value == best[v] ? (place < found[v] ? place : found[v]) : found[v];
        }
      });
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        if (to) store(to + i + v * kLanes, best[v]);
        store(to_at + i + v * kLanes, bits_to_vec(found[v]));
      }
    };
    int64_t i = 0;
    for (; i + kLanes < run.length; i += 2 * kLanes) find(Whole<2>{}, i);
    for (; i < run.length; i += kLanes) find(Whole<1>{}, i);
  }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
