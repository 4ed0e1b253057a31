// SPDX-License-Identifier: Apache-2.0
// An array [n, m, c] by bands, for sums and maps of its channels: a block takes some of a sample's m rows by
// up to 64 channels, a thread four neighbouring channels of every few rows. Where a thread stands it finds
// once; from row to row it adds. Neighbours in memory are read by neighbouring threads, sixteen bytes each
// where the rows are aligned so.
#pragma once
#include "stored.h"

FASTCNN_FORMULAS_BEGIN

constexpr int kFour = 4;
constexpr int kMostShift = 4;  // of two as the threads of a block beside each other

// Up to four numbers, all of them at a time if kAligned.
template <bool kAligned, class T>
FASTCNN_INLINE void load_four(const T* from, int count, float (&to)[kFour]) {
  if constexpr (kAligned) {
    const auto all = Together<T, kFour>::at(from);
    FASTCNN_UNROLL
    for (int e = 0; e < kFour; ++e) to[e] = float(all.of[e]);
  } else {
    FASTCNN_UNROLL
    for (int e = 0; e < kFour; ++e) to[e] = e < count ? float(from[e]) : 0.0f;
  }
}
template <bool kAligned, class T>
FASTCNN_INLINE void store_four(T* to, int count, const float (&from)[kFour]) {
  if constexpr (kAligned) {
    Together<T, kFour> all;
    FASTCNN_UNROLL
    for (int e = 0; e < kFour; ++e) all.of[e] = T(from[e]);
    all.put(to);
  } else {
    FASTCNN_UNROLL
    for (int e = 0; e < kFour; ++e)
      if (e < count) to[e] = T(from[e]);
  }
}

struct Bands {
  int64_t m, c;
  int64_t blocks, columns, parts, each;  // of the array; of a row; of the rows of a sample; rows of a part
  int32_t shift;                         // 2^shift threads beside each other

  FASTCNN_INLINED int across() const { return 1 << shift; }
  FASTCNN_INLINED int down() const { return kThreads >> shift; }
};

// Several blocks for each place of the largest GPU, if then a thread has a few rows.
inline Bands bands_of(int64_t n, int64_t m, int64_t c) {
  constexpr int64_t kEnoughBlocks = 512, kFewRows = 4;
  Bands b = {m, c, 0, 0, 0, 0, 0};
  while (b.shift < kMostShift && (kFour << b.shift) < c) ++b.shift;
  b.columns = ceil_div(c, kFour << b.shift);
  const int64_t rows = kThreads >> b.shift, most = ceil_div(m, rows * kFewRows);
  if (n * m * c == 0) return b;
  const int64_t parts = ceil_div(kEnoughBlocks, n * b.columns);
  b.each = ceil_div(ceil_div(m, parts < most ? parts : most), rows) * rows;
  b.parts = ceil_div(m, b.each);
  b.blocks = n * b.parts * b.columns;
  return b;
}

// A thread's own: `count` channels from the first on, and rows row, row + step, ... below end.
struct Band {
  int64_t sample, part, channel;
  int count;
  int64_t row, end;

  FASTCNN_INLINED static Band of(const Bands& b) {
    const int64_t line = int64_t(blockIdx.x) / b.columns, column = int64_t(blockIdx.x) - line * b.columns;
    Band at;
    at.sample = line / b.parts, at.part = line - at.sample * b.parts;
    const int beside = int(threadIdx.x) & (b.across() - 1);
    at.channel = ((column << b.shift) + beside) * kFour;
    at.count = int(b.c - at.channel < kFour ? b.c - at.channel : kFour);
    const int64_t begin = at.part * b.each, end = begin + b.each;
    at.row = begin + (int(threadIdx.x) >> b.shift);
    at.end = at.count <= 0 ? 0 : end < b.m ? end : b.m;
    return at;
  }
};

FASTCNN_FORMULAS_END
