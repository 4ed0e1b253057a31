// SPDX-License-Identifier: Apache-2.0
// Pairs of words, and those of them that count moved together: a list of gradients without its zeros.
// Included by kernels/pooled.cpp.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kPairs = 4;  // of 256 bits

// Of `count` pairs to `to` those whose first word has a bit beside its sign, in their order; as many are
// written as there were. Returns how many count.
template <int count>
FASTCNN_INLINE int pack_pairs(const void* from, void* to) {
#if defined(__AVX2__)
  if constexpr (count == kPairs) {
    // The words of the pairs that a mask names, a byte each.
    static constexpr uint64_t kWords[16] = {0x0,        0x0100,         0x0302,         0x03020100,
                                            0x0504,     0x05040100,     0x05040302,     0x050403020100,
                                            0x0706,     0x07060100,     0x07060302,     0x070603020100,
                                            0x07060504, 0x070605040100, 0x070605040302, 0x0706050403020100};
    const __m256i v = _mm256_loadu_si256((const __m256i*)from);
    const __m256i zero = _mm256_cmpeq_epi64(_mm256_slli_epi64(v, 33), _mm256_setzero_si256());
    const int named = 15 & ~_mm256_movemask_pd(_mm256_castsi256_pd(zero));
    const __m256i words = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)kWords[named]));
    _mm256_storeu_si256((__m256i*)to, _mm256_permutevar8x32_epi32(v, words));
    return __builtin_popcount((unsigned)named);
  }
#endif
  int packed = 0;
  FASTCNN_UNROLL for (int i = 0; i < count; ++i) {
    uint64_t pair;
    memcpy(&pair, (const char*)from + i * sizeof pair, sizeof pair);
    memcpy((char*)to + packed * sizeof pair, &pair, sizeof pair);
    packed += pair << 33 != 0;  // a comparison of floats, which may be NaN, takes twice the instructions
  }
  return packed;
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
