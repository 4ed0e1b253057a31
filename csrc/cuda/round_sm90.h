// SPDX-License-Identifier: Apache-2.0
// Operands of maps as bfloat16, which maps do not make of floats; and when that pays.
#pragma once
#include "launch.h"
#include "ptx/sm80.h"
#include "walk.h"

FASTCNN_FORMULAS_BEGIN

// Rounding moves 6 bytes for each number, 2e-12 s at 3 TB/s. The kernels of 8.0 need no such copies, and at
// half the rate of these, some 3.6e-15 s more for a product, are as fast with this many products of each.
constexpr double kLeastProducts = 576;

inline double products_of(const ConvWalk& w) { return double(w.outputs()) * w.taps() * w.c * w.k; }

inline bool flat(const ConvAxis& a) { return a.in == 1 && a.out == 1 && a.taps == 1; }

inline size_t behind(size_t bytes) { return (bytes + 255) / 256 * 256; }  // where maps may begin

// `count` is a multiple of 4, as channels are; both arrays are aligned to 16 bytes.
inline const void* rounded(Context& context, const float* from, int64_t count, void* memory) {
  auto* const to = static_cast<uint2*>(memory);
  for_each(context, count / 4, [=] __device__(int64_t i) {
    const float4 x = reinterpret_cast<const float4*>(from)[i];
    to[i] = make_uint2(ptx::to_bfloat16(x.x, x.y), ptx::to_bfloat16(x.z, x.w));
  });
  return to;
}

FASTCNN_FORMULAS_END
