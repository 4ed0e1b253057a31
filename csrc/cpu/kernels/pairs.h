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

#if defined(__AVX2__)
// Of four pairs those that a mask names, to `to` in their order; four are written.
FASTCNN_INLINE int pack_named(__m256i pairs, unsigned named, void* to) {
  // The words of the pairs, a byte each.
  static constexpr uint64_t kWords[16] = {0x0,        0x0100,         0x0302,         0x03020100,
                                          0x0504,     0x05040100,     0x05040302,     0x050403020100,
                                          0x0706,     0x07060100,     0x07060302,     0x070603020100,
                                          0x07060504, 0x070605040100, 0x070605040302, 0x0706050403020100};
  const __m256i words = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)kWords[named]));
  _mm256_storeu_si256((__m256i*)to, _mm256_permutevar8x32_epi32(pairs, words));
  return __builtin_popcount(named);
}
#endif

// Of `count` pairs to `to` those whose first word has a bit beside its sign, in their order; as many are
// written as there were. Returns how many count.
template <int count>
FASTCNN_INLINE int pack_pairs(const void* from, void* to) {
#if defined(__AVX2__)
  if constexpr (count == kPairs) {
    const __m256i v = _mm256_loadu_si256((const __m256i*)from);
    const __m256i zero = _mm256_cmpeq_epi64(_mm256_slli_epi64(v, 33), _mm256_setzero_si256());
    return pack_named(v, 15 & ~(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(zero)), to);
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

// How many keys pairs of vectors are packed by sooner than pair by pair, which takes some five cycles for
// each.
#if defined(__AVX512F__)
constexpr int kMostPacked = 8;
#elif defined(__AVX2__)
constexpr int kMostPacked = 4;
#else
constexpr int kMostPacked = 0;
#endif

// The pairs {a[i], b[i]} of lanes whose key is this one, to `to` in their order; kLanes are written. Returns
// how many there are.
FASTCNN_INLINE int pack_lanes(Vec a, IVec b, IVec keys, int32_t key, void* to) {
#if defined(__AVX512F__)
  const __mmask16 named = _mm512_cmpeq_epi32_mask((__m512i)keys, (__m512i)(IVec{} + key));
  const Vec first = (Vec)_mm512_maskz_compress_ps(named, (__m512)a);
  const Vec second = (Vec)_mm512_maskz_compress_ps(named, (__m512)bits_to_vec(b));
  store((float*)to, interleave<false>(first, second));
  store((float*)to + kLanes, interleave<true>(first, second));
  return __builtin_popcount(named);
#elif defined(__AVX2__)
  const unsigned named = (unsigned)_mm256_movemask_ps((__m256)(keys == key));
  const int low = pack_named((__m256i)interleave<false>(a, bits_to_vec(b)), named & 15, to);
  return low + pack_named((__m256i)interleave<true>(a, bits_to_vec(b)), named >> 4, (float*)to + 2 * low);
#else
  int packed = 0;
  for (int i = 0; i < kLanes; ++i) {
    memcpy((float*)to + 2 * packed, &a[i], 4), memcpy((float*)to + 2 * packed + 1, &b[i], 4);
    packed += keys[i] == key;
  }
  return packed;
#endif
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
