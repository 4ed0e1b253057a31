// SPDX-License-Identifier: Apache-2.0
// A float as the sum of two numbers of tensor cores, which take the first 10 bits of each (3xTF32, tensor.h).
#pragma once
#include "launch.h"

FASTCNN_FORMULAS_BEGIN

constexpr float kLargest = 3.40282347e38f;  // above it: infinity, and NaN compares false

// ptx::to_tf32() of what is finite, in two instructions for its four; else the small half is NaN.
FASTCNN_INLINE uint32_t big_half(float x) { return (uint32_t(__float_as_int(x)) + 0x1000u) & 0xffffe000u; }
// Tensor cores cut the rest off behind its tenth bit, and few have more: rounding it would gain nothing.
FASTCNN_INLINE uint32_t small_half(float x, uint32_t big) {
  return uint32_t(__float_as_int(x - __int_as_float(int32_t(big))));
}

FASTCNN_FORMULAS_END
