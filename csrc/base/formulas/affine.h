// SPDX-License-Identifier: Apache-2.0
// Pixels around a point of an image, and what shows beyond its border, in the device's vocabulary.
#pragma once
#include "../affine_map.h"
#include "../shape.h"

FASTCNN_FORMULAS_BEGIN

constexpr int64_t kOne = (int64_t)1 << kPointBits, kHalf = kOne / 2;

FASTCNN_INLINE int64_t below(int64_t point) { return point >> kPointBits; }
FASTCNN_INLINE int64_t nearest(int64_t point) { return (point + kHalf - (point < 0)) >> kPointBits; }
FASTCNN_INLINE float fraction(int64_t point) { return (float)(int32_t)((uint32_t)point >> 8) * 0x1p-24f; }

// Which of n pixels shows in place of pixel i; -1: none, but the fill value.
FASTCNN_INLINE int64_t shown(int64_t i, int64_t n, Fill fill) {
  if ((uint64_t)i < (uint64_t)n) return i;
  switch (fill) {
    case Fill::kConstant:
      return -1;
    case Fill::kNearest:
      return i < 0 ? 0 : n - 1;
    case Fill::kWrap:
      i %= n;
      return i < 0 ? i + n : i;
    case Fill::kReflect:
      break;
  }
  if (i >= -n && i < 2 * n) return i < 0 ? -1 - i : 2 * n - 1 - i;  // without a division
  i %= 2 * n;
  if (i < 0) i += 2 * n;
  return i < n ? i : 2 * n - 1 - i;
}

FASTCNN_INLINE void weigh(int64_t row, int64_t col, float (&weight)[4]) {
  const float u = fraction(row), v = fraction(col);
  weight[0] = (1 - u) * (1 - v), weight[1] = (1 - u) * v, weight[2] = u * (1 - v), weight[3] = u * v;
}

FASTCNN_FORMULAS_END
