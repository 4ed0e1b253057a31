// SPDX-License-Identifier: Apache-2.0
// Four numbers side by side of which each lane of a vector takes one. Included by kernels/pooled.cpp.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

#if defined(__AVX2__)
constexpr int kTurns = 1;  // all lanes at once
#else
constexpr int kTurns = 4;  // those that take the first number, then those that take the next
#endif

// p[index % 4] of each lane, of those whose turn it is.
FASTCNN_INLINE Vec one_of_four(const float* p, [[maybe_unused]] IVec index, [[maybe_unused]] int turn) {
#if defined(__AVX512F__)
  const __m512 all = _mm512_maskz_broadcast_f32x4((__mmask16)~0, _mm_loadu_ps(p));
  return (Vec)_mm512_maskz_permutevar_ps((__mmask16)~0, all, (__m512i)index);
#elif defined(__AVX2__)
  return (Vec)_mm256_permutevar_ps(_mm256_broadcast_ps((const __m128*)p), (__m256i)index);
#else
  return broadcast(p[turn]);
#endif
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
