// SPDX-License-Identifier: Apache-2.0
// Windows of 3 x 3 of few channels at each second pixel give dy to their greatest, in vectors of as many of
// them as one holds. Included by max_pool_bwd.cpp.
#pragma once
#include "give_windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// A row of windows, whose first row of pixels is the last one of the windows above: what those have for it is
// held.
struct Threes {
  const float* x[2];  // the rows of pixels that are searched: the last two; null beside the image
  const float* dy;    // null: those above reach the first row of the band, and just find what is in it
  float* held;        // of each vector of windows kHeld floats, in place
  float* to[2];       // the first two rows of dx; null if they are another's
  bool searches;      // or there are no windows below the last row of the band
  int64_t windows, w, c, left;
  bool relu_mask;
  const float *next, *next_to;  // two rows each that will be read and written
};

// What is held of windows in a row of pixels: its greatest, what is given to it so far, and which column it
// is. Lanes of neither column are of the right one.
struct InRow {
  Vec best, given;
  LaneSet left, middle;
};
constexpr int64_t kHeld = 2 * kLanes + (2 * sizeof(LaneSet) + 4 * kLanes - 1) / (4 * kLanes) * kLanes;
FASTCNN_INLINE InRow load_held(const float* held) {
  InRow row = {load(held), load(held + kLanes), {}, {}};
  const char* const sets = (const char*)(held + 2 * kLanes);
  memcpy(&row.left, sets, sizeof row.left), memcpy(&row.middle, sets + sizeof row.left, sizeof row.middle);
  return row;
}
FASTCNN_INLINE void store_held(float* held, const InRow& row) {
  char* const sets = (char*)(held + 2 * kLanes);
  store(held, row.best), store(held + kLanes, row.given);
  memcpy(sets, &row.left, sizeof row.left), memcpy(sets + sizeof row.left, &row.middle, sizeof row.middle);
}
// Nothing, in a row beside the image.
FASTCNN_INLINE void clear_held(float* held, int64_t count) {
  InRow none = {};
  none.best = broadcast(-__builtin_inff());
  for (int64_t i = 0; i < count; ++i, held += kHeld) store_held(held, none);
}

// Along rows first and then down: the greatest of a row serves both rows of windows that hold it, and the
// first of equal taps is the first column of the first row. All taps compared with the greatest, one after
// the other, took 1.3 times as long. Where vectors hold the channels of one window it won less than 1.05, and
// with fewer than 16 lanes took up to 1.25 times as long as columns first. False if there is a NaN or an
// infinity, or numbers overflow: what is beside a row is never found then.
FASTCNN_ALONE bool give_threes(const Threes& given, const SideBySide& given_plan) {
  const Threes g = given;
  const SideBySide side = given_plan;
  const int64_t width = g.w * g.c, outputs = g.windows * g.c, step = 2 * side.lanes;
  const int64_t front = g.left * g.c, shift = g.c - front;
  const Vec least = broadcast(g.relu_mask ? 0.0f : __builtin_nanf(""));
  const Vec none = broadcast(-__builtin_inff());
  Vec all = {};
  // Of the windows before: the right column, and what it has been given. Before the first ones that is
  // nothing, or the first pixel.
  Vec right[2], back[2] = {};
  const IVec last = (iota() + (int32_t)(g.c - side.lanes)) & (kLanes - 1);
  FASTCNN_UNROLL
  for (int r = 0; r < 2; ++r) {
    const bool inside = g.left == 0 && g.x[r];
    const Vec first = inside ? load_n(g.x[r], (int)g.c) : none;
    if (inside) all += first;
    right[r] = pick(first, first, last);
  }
  for (int64_t chunk = 0; chunk < side.chunks; ++chunk) {
    const int64_t i = chunk * step + shift, o = chunk * step - front, at = chunk * side.lanes;
    const bool whole = o >= 0 && i + 2 * kLanes <= width;
    for (int64_t line = 0; line < 2 * step; line += 2 * kLineFloats) {
      const int64_t ahead = 2 * chunk * step + line;
      __builtin_prefetch(g.next + ahead, 0, 2), __builtin_prefetch(g.next + ahead + kLineFloats, 0, 2);
      __builtin_prefetch(g.next_to + ahead, 1, 2), __builtin_prefetch(g.next_to + ahead + kLineFloats, 1, 2);
    }
    const auto get = [&](int r, Vec& even, Vec& odd) FASTCNN_INLINED {
      Vec first = none, second = none;
      if (whole && g.x[r]) {
        first = load(g.x[r] + i), second = load(g.x[r] + i + kLanes);
        all += first + second;
      } else if (g.x[r]) {
        const int64_t left = width - i;
        const int of_first = (int)smaller(larger(left, 0), kLanes);
        const int of_second = (int)smaller(larger(left - kLanes, 0), kLanes);
        first = load_n(g.x[r] + i, of_first), second = load_n(g.x[r] + i + kLanes, of_second);
        all += first + second;
        first = iota() < of_first ? first : none, second = iota() < of_second ? second : none;
      }
      even = pick(first, second, side.even), odd = pick(first, second, side.odd);
    };
    const auto dy = [&](Vec best) FASTCNN_INLINED {
      const float* const from = g.dy + at;
      const Vec v =
          at + kLanes <= outputs ? load(from) : load_n(from, (int)smaller(larger(outputs - at, 0), kLanes));
      // Plus zero, as the first of a sum: -0 is not given on.
      return best <= least ? Vec{} : v + Vec{};
    };
    const auto put = [&](int r, Vec first, Vec second) FASTCNN_INLINED {
      if (!g.to[r]) return;
      Vec upper = pick(first, second, side.in_order[0]);
      Vec lower = pick(first, second, side.in_order[1]);
      float* to = g.to[r] + o;
      if (whole) {
        // What is more than this chunk's is written again by the next one.
        store(to, upper), store(to + kLanes, lower);
        return;
      }
      int64_t count = smaller(step, width - o);
      if (o < 0) {
        upper = pick(upper, lower, side.from_second);
        lower = pick(lower, lower, side.from_second & (kLanes - 1));
        to += front, count -= front;
      }
      store_n(to, upper, (int)smaller(count, kLanes));
      if (count > kLanes) store_n(to + kLanes, lower, (int)(count - kLanes));
    };
    float* const held = g.held + chunk * kHeld;
    InRow rows[3] = {};
    if (g.dy || !g.searches) rows[0] = load_held(held);
    if (g.searches) {
      FASTCNN_UNROLL
      for (int r = 0; r < 2; ++r) {
        InRow& row = rows[r + 1];
        Vec even, odd;
        get(r, even, odd);
        const Vec left = pick(right[r], odd, side.before);
        right[r] = odd;
        row.best = max_or_second(max_or_second(left, even), odd);
        row.left = equal_lanes(left, row.best);
        row.middle = and_not(equal_lanes(even, row.best), row.left);
      }
      if (g.dy) {
        const Vec best = max_or_second(max_or_second(rows[0].best, rows[1].best), rows[2].best);
        const Vec v = dy(best);
        const LaneSet first = equal_lanes(rows[0].best, best);
        const LaneSet second = and_not(equal_lanes(rows[1].best, best), first);
        rows[0].given = add_in_lanes(first, rows[0].given, v);
        rows[1].given = in_lanes(second, v);
        rows[2].given = in_lanes(neither(first, second), v);
      }
      store_held(held, rows[2]);
      if (!g.dy) continue;
    }
    FASTCNN_UNROLL
    for (int r = 0; r < 2; ++r) {
      const InRow& row = rows[r];
      const Vec of_odd = in_lanes(neither(row.left, row.middle), row.given);
      const Vec before = pick(back[r], of_odd, side.before);
      back[r] = of_odd;
      put(r, add_in_lanes(row.left, before, row.given), in_lanes(row.middle, row.given));
    }
  }
  const float total = lane_sum(all);
  return total - total == 0;
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
