// SPDX-License-Identifier: Apache-2.0
// Windows of few channels at each second pixel give dy to their greatest, in vectors of as many of them as
// one holds. Included by max_pool_bwd.cpp.
#pragma once
#include "greatest.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// A row of windows of 3 x 3 of many channels, or of 2 x 2 without padding on the left. The rows that
// `held` are and go to differ: parts of vectors, or whole ones across each other's ends, would have to reach
// memory before they could be read again.
struct Given {
  const float* x[3];  // the rows of pixels of its taps
  const float* dy;
  const float* held;  // what the windows above have for the first of them
  float* to[3];
  int64_t held_row;  // that of `to` which is held for the windows below, if one is
  int64_t windows, w, c, left;
  bool relu_mask;
  bool past[3];                 // whether a row is written past the caches
  float* between;               // five numbers for each channel, of windows that are taken one by one
  const float *next, *next_to;  // two rows each that will be read and written
};

// What begins at each second pixel stands in one vector, what begins between in another: of windows of 3 x 3
// their middle columns, and the right ones, which are the next windows' left ones.
struct SideBySide {
  int64_t lanes, chunks;
  // What is picked: each second pixel and those between; the windows before; and pixels in their order.
  IVec even, odd, before, in_order[2], from_second;
  FASTCNN_ALONE void plan(int64_t c, int64_t pixels) {
    lanes = kLanes / c * c, chunks = (pixels * c + 2 * lanes - 1) / (2 * lanes);
    int32_t at[5][kLanes] = {};
    for (int32_t i = 0, pixel = 0, channel = 0; i < 2 * lanes; ++i) {
      const int32_t there = pixel / 2 * (int32_t)c + channel;
      at[2 + i / kLanes][i % kLanes] = there + pixel % 2 * kLanes;
      if (pixel % 2 == 0) at[0][there] = i;
      if (++channel == c) channel = 0, ++pixel;
    }
    for (int32_t i = 0; i < lanes; ++i) at[1][i] = i < c ? i + (int32_t)(lanes - c) : i + kLanes - (int32_t)c;
    memcpy(&even, at[0], sizeof even), memcpy(&before, at[1], sizeof before);
    memcpy(&in_order, at[2], sizeof in_order);
    odd = even + (int32_t)c, from_second = iota() + (int32_t)c;
  }
};

// Of 2 x 2. False if there is a NaN or an infinity, or numbers overflow: what is beside a row is never found
// then.
FASTCNN_ALONE bool give_twos(const Given& given, const SideBySide& given_plan) {
  const Given g = given;
  const SideBySide side = given_plan;
  const int64_t width = g.w * g.c, outputs = g.windows * g.c, step = 2 * side.lanes;
  const Vec least = broadcast(g.relu_mask ? 0.0f : __builtin_nanf(""));
  const Vec none = broadcast(-__builtin_inff());
  Vec all = {};
  for (int64_t chunk = 0; chunk < side.chunks; ++chunk) {
    const int64_t i = chunk * step, at = chunk * side.lanes;
    const bool whole = i + 2 * kLanes <= width;
    for (int64_t line = 0; line < 2 * step; line += 2 * kLineFloats) {
      const int64_t ahead = 2 * chunk * step + line;
      __builtin_prefetch(g.next + ahead, 0, 2), __builtin_prefetch(g.next + ahead + kLineFloats, 0, 2);
      __builtin_prefetch(g.next_to + ahead, 1, 2), __builtin_prefetch(g.next_to + ahead + kLineFloats, 1, 2);
    }
    Vec even[2], odd[2];
    FASTCNN_UNROLL
    for (int r = 0; r < 2; ++r) {
      const float* const x = g.x[r] + i;
      Vec first, second;
      if (whole) {
        first = load(x), second = load(x + kLanes);
        all += first + second;
      } else {
        const int64_t left = width - i;
        const int of_first = (int)smaller(larger(left, 0), kLanes);
        const int of_second = (int)smaller(larger(left - kLanes, 0), kLanes);
        first = load_n(x, of_first), second = load_n(x + kLanes, of_second);
        all += first + second;
        first = iota() < of_first ? first : none, second = iota() < of_second ? second : none;
      }
      even[r] = pick(first, second, side.even), odd[r] = pick(first, second, side.odd);
    }
    const float* const from = g.dy + at;
    // Plus zero, as the first of a sum: -0 is not given on.
    Vec dy =
        at + kLanes <= outputs ? load(from) : load_n(from, (int)smaller(larger(outputs - at, 0), kLanes));
    dy += Vec{};
    const auto greatest = [](const Vec(&v)[2]) FASTCNN_INLINED {
      Vec best = v[0];
      FASTCNN_UNROLL
      for (int r = 1; r < 2; ++r) best = max_or_second(v[r], best);
      return best;
    };
    // Of the taps that are the greatest the first, in row-major order.
    Vec best = max_or_second(greatest(odd), greatest(even));
    LaneSet found = {};
    const auto is_first = [&](Vec value) FASTCNN_INLINED {
      const LaneSet same = equal_lanes(value, best), first = (LaneSet)(same & ~found);
      found = (LaneSet)(found | same);
      return first;
    };
    // What the pixels that come first in pairs get, and the others.
    Vec first[2], second[2];
    dy = best <= least ? Vec{} : dy;
    FASTCNN_UNROLL
    for (int r = 0; r < 2; ++r) {
      first[r] = in_lanes(is_first(even[r]), dy);
      second[r] = in_lanes(is_first(odd[r]), dy);
    }
    FASTCNN_UNROLL
    for (int r = 0; r < 2; ++r) {
      const Vec upper = pick(first[r], second[r], side.in_order[0]);
      const Vec lower = pick(first[r], second[r], side.in_order[1]);
      float* const to = g.to[r] + i;
      if (whole) {
        // What is more than this chunk's is written again by the next one.
        store(to, upper), store(to + kLanes, lower);
        continue;
      }
      const int64_t count = smaller(step, width - i);
      store_n(to, upper, (int)smaller(count, kLanes));
      if (count > kLanes) store_n(to + kLanes, lower, (int)(count - kLanes));
    }
  }
  const float total = lane_sum(all);
  return total - total == 0;
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
