// SPDX-License-Identifier: Apache-2.0
// The greatest of windows at each second pixel of two rows and of the first of them, and their places, in
// registers. Included by max_places.h.
#pragma once
#include "greatest.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// As many windows of few channels as make a vector are taken at a time. The greatest of the two pixels from
// one to the next serve all that hold them, and are picked out of these windows' vector and the next one's.
// Columns come in their order, and so do rows: of equal ones the first stays. What windows that follow each
// other have for the same pixel, added before it is given on, won nothing.
struct WindowRows {
  int64_t c, front, width, lanes, chunks, pairs;
  bool single;                   // a pixel is left after the pairs
  IVec even, after[kMostPairs];  // what is picked: each second pixel, and the windows after these
  FASTCNN_ALONE void plan(const Pool2dShape& s) {
    c = s.c, front = s.pad_left * c, width = s.w * c, lanes = kLanes / c * c;
    chunks = (s.q * c + lanes - 1) / lanes, pairs = s.s / 2, single = s.s % 2 != 0;
    int32_t from[kLanes] = {};
    for (int64_t i = 0; i < lanes; ++i) from[i] = (int32_t)(2 * (i - i % c) + i % c);
    memcpy(&even, from, sizeof even);
    for (int64_t t = 0; t < kMostPairs; ++t) {
      for (int64_t i = 0; i < lanes; ++i)
        from[i] = (int32_t)(i + (t + 1) * c < lanes ? i + (t + 1) * c : i + (t + 1) * c - lanes + kLanes);
      memcpy(&after[t], from, sizeof after[t]);
    }
  }

  // Floats of what search() leaves: for each chunk of windows the greatest of both rows and their places.
  int64_t floats() const { return chunks * 2 * kLanes; }

  // Numbers of a row from i on, or zeros beside it.
  FASTCNN_INLINED Vec within(const float* row, int64_t i) const {
    const int64_t begin = larger(i, 0);
    const bool none = i <= -kLanes || i >= width;
    const Vec v = none ? Vec{} : load_n(row + begin, (int)smaller(kLanes, width - begin));
    return i < 0 ? pick(v, Vec{}, (iota() + (int32_t)i) & (2 * kLanes - 1)) : v;
  }

  // What has been found in the rows of a row of windows, in their order, and where the greatest of that goes.
  struct Joined {
    const float* rows[kMostPairs];
    int64_t count;
    bool both;               // of the last two rows both are in the windows, not just the first
    float *values, *places;  // values may be null
  };

  // False if there is a NaN or an infinity, or numbers overflow; what is beside a row is then never found.
  // The first number has place `number`. Fetches two rows after these, and of what is written. They are
  // the last of the windows that are joined, if any. kPairs: pixels are left after so many, which is known
  // when compiling, or 0; of 7 x 7 windows the search took 0.9 times as long.
  template <int kPairs>
  FASTCNN_ALONE bool search(const float* x, int64_t rows, int32_t number, const float* written, float* to,
                            const Joined& given) const {
    const WindowRows& a = *this;
    const Joined joined = given;
    const int64_t width = a.width, row = rows > 1 ? width : 0, step = 2 * a.lanes;
    const int64_t pairs = kPairs ? kPairs : a.pairs;
    const bool single = kPairs || a.single;
    const Vec least = broadcast(-__builtin_inff());
    const IVec even = a.even, odd = even + (int32_t)a.c;
    const IVec second_at = IVec{} + (int32_t)a.c, single_at = IVec{} + (int32_t)(2 * pairs * a.c);
    Vec sum = {}, pair[2], pixel[2];
    IVec pair_at[2];
    IVec at = even + (int32_t)(number - a.front);
    int64_t i = -a.front, from_joined = 0, put = 0;
    for (int64_t chunk = -1; chunk < a.chunks; ++chunk, i += step) {
      Vec next[2], next_pixel[2];
      IVec next_at[2];
      const IVec at_next = chunk < 0 ? at : at + (int32_t)step;
      FASTCNN_UNROLL
      for (int r = 0; r < 2; ++r) {
        const float* const from = x + r * row;
        Vec first, second;
        if (i >= 0 && i + 2 * kLanes <= width) {
          first = load(from + i), second = load(from + i + kLanes);
          sum += first + second;
        } else {
          first = within(from, i), second = within(from, i + kLanes);
          sum += first + second;
          const IVec beside = iota() + (int32_t)i;
          first = (UVec)beside < UVec{} + (uint32_t)width ? first : least;
          second = (UVec)(beside + kLanes) < UVec{} + (uint32_t)width ? second : least;
        }
        for (int64_t line = 0; line < 2 * kLanes; line += kLanes) {
          __builtin_prefetch(x + (2 + r) * width + i + line, 0, 3);
          if (written) __builtin_prefetch(written + (2 + r) * width + i + line, 1, 3);
        }
        Vec best[1] = {pick(first, second, even)};
        IVec found[1] = {at_next};
        next_pixel[r] = best[0];
        take_greater<true>(best, found, 0, pick(first, second, odd), at_next + second_at);
        next[r] = best[0], next_at[r] = found[0];
      }
      if (chunk >= 0) {
        Vec best[1], upper[1];
        IVec found[1], upper_at[1];
        FASTCNN_UNROLL
        for (int r = 0; r < 2; ++r) {
          best[0] = pair[r], found[0] = pair_at[r];
          const auto take_pair = [&](int64_t t) FASTCNN_INLINED {
            const IVec after = a.after[t - 1];
            take_greater<true>(best, found, 0, pick(pair[r], next[r], after),
                               vec_to_bits(pick(bits_to_vec(pair_at[r]), bits_to_vec(next_at[r]), after)));
          };
          if constexpr (kPairs > 0) {
            FASTCNN_UNROLL
            for (int t = 1; t < kPairs; ++t) take_pair(t);
          } else {
            _Pragma("GCC unroll 1") for (int64_t t = 1; t < pairs; ++t) take_pair(t);
          }
          if (single)
            take_greater<true>(best, found, 0, pick(pixel[r], next_pixel[r], a.after[pairs - 1]),
                               at + single_at);
          if (r == 0) upper[0] = best[0], upper_at[0] = found[0];
        }
        Vec last[1] = {upper[0]};
        IVec last_at[1] = {upper_at[0]};
        take_greater<true>(upper, upper_at, 0, best[0], found[0] + (int32_t)width);
        store(to, upper[0]), store(to + kLanes, bits_to_vec(upper_at[0]));
        to += 2 * kLanes;
        if (joined.places) {
          if (joined.both) last[0] = upper[0], last_at[0] = upper_at[0];
          join_before(joined, from_joined, last[0], last_at[0]);
          if (joined.values) store(joined.values + put, last[0]);
          store(joined.places + put, bits_to_vec(last_at[0]));
          from_joined += 2 * kLanes, put += a.lanes;
        }
      }
      at = at_next;
      FASTCNN_UNROLL
      for (int r = 0; r < 2; ++r) pair[r] = next[r], pair_at[r] = next_at[r], pixel[r] = next_pixel[r];
    }
    const float total = lane_sum(sum);
    return total - total == 0;
  }

  // Of rows of windows that have all been searched.
  FASTCNN_ALONE void join(const Joined& given) const {
    Joined joined = given;
    const float* const last = joined.rows[--joined.count];
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t from = chunk * 2 * kLanes, to = chunk * lanes;
      Vec best = load(last + from);
      IVec found = vec_to_bits(load(last + from + kLanes));
      join_before(joined, from, best, found);
      if (joined.values) store(joined.values + to, best);
      store(joined.places + to, bits_to_vec(found));
    }
  }

  // The greatest of what comes before it and of what is last.
  static FASTCNN_INLINED void join_before(const Joined& joined, int64_t from, Vec& last, IVec& last_at) {
    if (joined.count == 0) return;
    Vec best[1] = {load(joined.rows[0] + from)};
    IVec found[1] = {vec_to_bits(load(joined.rows[0] + from + kLanes))};
    for (int64_t r = 1; r < joined.count; ++r)
      take_greater<true>(best, found, 0, load(joined.rows[r] + from),
                         vec_to_bits(load(joined.rows[r] + from + kLanes)));
    take_greater<true>(best, found, 0, last, last_at);
    last = best[0], last_at = found[0];
  }
};

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
