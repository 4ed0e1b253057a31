// SPDX-License-Identifier: Apache-2.0
// The statistics of y [rows, channels] by parts of its rows (PartStatistics, backend.h), by the block that
// has just made them: it reads its tile again before others push it out of the near caches. A warp takes
// eight channels of a part, a lane sixteen rows of one: their mean, the squares about it, then both of more
// and more rows (Chan, Golub, LeVeque 1979):
//
//   n = a + b    mean = mean_a + d b / n    square = square_a + square_b + d^2 a b / n    d = mean_b - mean_a
#pragma once
#include "stored.h"

FASTCNN_FORMULAS_BEGIN

struct Moments {
  float count, mean, square;
  FASTCNN_INLINED void add(const Moments& b) {
    const float both = count + b.count, apart = b.mean - mean, share = both > 0.0f ? b.count / both : 0.0f;
    square = fma(apart, apart * (count * share), square + b.square);
    mean = fma(apart, share, mean);
    count = both;
  }
};

struct RowsOfTile {
  int32_t rows, columns;  // of these, from channel 0 on
  int64_t pitch;          // channels
};

template <class T>
struct Measured {
  const T* y;
  PartStatistics* to;  // null: nothing is measured
  RowsOfTile of;

  FASTCNN_INLINED Measured from_channel(int64_t first) const { return {y + first, to ? to + first : to, of}; }

  // y's tile of kM rows and kN columns from m0 and n0 on, by so many warps.
  template <int kM, int kN>
  FASTCNN_INLINED void tile(int m0, int n0, int warp, int warps) const {
    constexpr int kAcross = kN / kColumns, kParts = kM / int(kStatisticsRows);
    static_assert(kAcross * kColumns == kN && kParts * kStatisticsRows == kM, "whole parts");
    for (int i = warp; i < kAcross * kParts; i += warps)
      part(m0 + i / kAcross * int(kStatisticsRows), n0 + i % kAcross * kColumns);
  }

 private:
  static constexpr int kRows = 16, kColumns = kWarp * kRows / int(kStatisticsRows);
  static constexpr int kAtATime = 8;  // sixteen took so many registers that half as many blocks were at work

  FASTCNN_INLINED void part(int m0, int n0) const {
    const int lane = int(threadIdx.x) % kWarp, column = n0 + lane % kColumns, first = lane / kColumns * kRows;
    const bool there = column < of.columns && m0 < of.rows;
    const T* from = y + m0 * of.pitch + column;
    const float pivot = there ? float(*from) : 0.0f;
    from += first * of.pitch;
    int left = there ? of.rows - m0 - first : 0;
    Moments all = {0.0f, 0.0f, 0.0f};
    FASTCNN_ROLLED
    for (int i = 0; i < kRows; i += kAtATime, left -= kAtATime, from += kAtATime * of.pitch)
      all.add(moments(from, left, pivot));
    FASTCNN_UNROLL
    for (int bits = kColumns; bits < kWarp; bits *= 2)
      all.add({__shfl_xor_sync(kAllLanes, all.count, bits), __shfl_xor_sync(kAllLanes, all.mean, bits),
               __shfl_xor_sync(kAllLanes, all.square, bits)});
    if (first == 0 && there) to[m0 / kStatisticsRows * of.pitch + column] = {all.mean, all.square};
  }
  // Of kAtATime rows, of which so many are left, about the pivot.
  FASTCNN_INLINED Moments moments(const T* from, int left, float pivot) const {
    float d[kAtATime], sum = 0.0f, square = 0.0f;
    FASTCNN_UNROLL
    for (int i = 0; i < kAtATime; ++i) d[i] = i < left ? float(from[i * of.pitch]) - pivot : 0.0f;
    FASTCNN_UNROLL
    for (int i = 0; i < kAtATime; ++i) sum += d[i];
    const float count = float(left < 0 ? 0 : left < kAtATime ? left : kAtATime);
    const float mean = left > 0 ? sum / count : 0.0f;
    FASTCNN_UNROLL
    for (int i = 0; i < kAtATime; ++i) {
      const float e = i < left ? d[i] - mean : 0.0f;
      square = fma(e, e, square);
    }
    return {count, mean, square};
  }
};

template <class T>
Measured<T> measured_of(const Operands& o, bool measures, const RowsOfTile& of) {
  return {output<T>(o, 0), measures ? output<PartStatistics>(o, 2) : nullptr, of};
}
inline double bytes_of_statistics(int64_t rows, int64_t channels) {
  return double(sizeof(PartStatistics)) * double(statistics_parts(rows)) * double(channels);
}

FASTCNN_FORMULAS_END
