// SPDX-License-Identifier: Apache-2.0
// What follows the sums of a tile of any kind of numbers, see tile.h for the formula: of what is not done in
// registers (strip.h) sums come by memory.
#pragma once
#include "ahead.h"
#include "tile.h"
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <int kCount>
struct Rows {
  static constexpr int kValue = kCount;
};

// What follows the sums [rows][kPitch] of NV vectors, those of t's rows from y + at on. `tail`: how many
// lanes of the last vector count. Rows of one vector are taken together: the tests for each are more than its
// work. (Written out for the registers of each tile all this was a quarter of their object.)
template <int NV, int kPitch>
__attribute__((noinline)) void finish_rows(const float* sums, int rows, const Tile& t, int64_t at, int tail) {
  constexpr int kTogether = NV < 3 ? 4 / NV : 1;
  const float *const before = t.accumulate ? t.y : nullptr, *const added = t.residual, *const mask = t.mask;
  float* const y = t.y;
  const int64_t y_row = t.y_row;
  const int cuts = t.relu;
  const auto read = [tail](const float* p, int j) FASTCNN_INLINED {
    return j < NV - 1 || tail == kLanes ? load(p + j * kLanes) : load_n(p + j * kLanes, tail);
  };
  const Vec six = broadcast(6.0f);
  Vec bias[NV] = {};
  if (t.bias) {
    FASTCNN_UNROLL for (int j = 0; j < NV; ++j) bias[j] = read(t.bias, j);
  }
  const bool biased = t.bias;
  const auto finish = [&](auto count) FASTCNN_INLINED {
    constexpr int kRows = decltype(count)::kValue;
    Vec acc[kRows][NV];
    const auto each = [&](auto f) FASTCNN_INLINED {
      FASTCNN_UNROLL for (int i = 0; i < kRows; ++i) {
        FASTCNN_UNROLL for (int j = 0; j < NV; ++j) f(acc[i][j], at + i * y_row, i, j);
      }
    };
    each([&](Vec& v, int64_t, int i, int j) FASTCNN_INLINED { v = load(sums + (i * kPitch + j) * kLanes); });
    if (biased) each([&](Vec& v, int64_t, int, int j) FASTCNN_INLINED { v = v + bias[j]; });
    if (before) each([&](Vec& v, int64_t p, int, int j) FASTCNN_INLINED { v = v + read(before + p, j); });
    if (added) each([&](Vec& v, int64_t p, int, int j) FASTCNN_INLINED { v = v + read(added + p, j); });
    if (cuts) each([&](Vec& v, int64_t, int, int) FASTCNN_INLINED { v = relu(v); });
    if (cuts == 6) each([&](Vec& v, int64_t, int, int) FASTCNN_INLINED { v = v > six ? six : v; });
    if (mask)
      each([&](Vec& v, int64_t p, int, int j)
               FASTCNN_INLINED { v = read(mask + p, j) <= Vec{} ? Vec{} : v; });
    each([&](Vec& v, int64_t p, int, int j) FASTCNN_INLINED {
      if (j < NV - 1 || tail == kLanes)
        store(y + p + j * kLanes, v);
      else
        store_n(y + p + j * kLanes, v, tail);
    });
    sums += kRows * kPitch * kLanes, at += kRows * y_row;
  };
  for (; rows >= kTogether; rows -= kTogether) finish(Rows<kTogether>());
  if constexpr (kTogether > 1)
    for (; rows; --rows) finish(Rows<1>());
}

// What the epilogue meets is far, too: 16 channels at 32x32, batch 128, with a mask took 1.2 times as long
// without, and with a residual besides (AVX-512).
__attribute__((noinline, unused)) void ask_for_rows(const Tile& t, int64_t at, int rows, int cols) {
  const float* const from[] = {t.fetch_y ? t.y : nullptr, t.mask, t.residual};
  for (int n = 0; n < 3; ++n)
    for (int i = 0; from[n] && i < rows; ++i)
      for (int j = 0; j < cols; j += kLineFloats) __builtin_prefetch(from[n] + at + i * t.y_row + j, 0, 3);
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
