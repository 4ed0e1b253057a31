// SPDX-License-Identifier: Apache-2.0
// What vec.h leaves out because few kernels need it: the vocabulary of base/formulas/functions.h, and with it
// exp, log and their relatives; the integer operations of Philox; stores past the caches.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// max_or_second(a, b): a where it is greater, else b, also where one of them is NaN; min_or_second()
// likewise. One instruction each, which GCC 12 does not make of a comparison with a constant.
#if defined(__AVX512F__)
FASTCNN_INLINE Vec max_or_second(Vec a, Vec b) {
  return (Vec)_mm512_maskz_max_ps((__mmask16)~0, (__m512)a, (__m512)b);
}
FASTCNN_INLINE Vec min_or_second(Vec a, Vec b) {
  return (Vec)_mm512_maskz_min_ps((__mmask16)~0, (__m512)a, (__m512)b);
}
#elif defined(__AVX2__)
FASTCNN_INLINE Vec max_or_second(Vec a, Vec b) { return (Vec)_mm256_max_ps((__m256)a, (__m256)b); }
FASTCNN_INLINE Vec min_or_second(Vec a, Vec b) { return (Vec)_mm256_min_ps((__m256)a, (__m256)b); }
#elif defined(__x86_64__)
FASTCNN_INLINE Vec max_or_second(Vec a, Vec b) { return (Vec)_mm_max_ps((__m128)a, (__m128)b); }
FASTCNN_INLINE Vec min_or_second(Vec a, Vec b) { return (Vec)_mm_min_ps((__m128)a, (__m128)b); }
#else
FASTCNN_INLINE Vec max_or_second(Vec a, Vec b) { return a > b ? a : b; }
FASTCNN_INLINE Vec min_or_second(Vec a, Vec b) { return a < b ? a : b; }
#endif

// v 2^n of a whole n, rounded once, where one instruction gives it.
#if defined(__AVX512F__)
#define FASTCNN_SCALES
FASTCNN_INLINE Vec scaled(Vec v, Vec n) {
  return (Vec)_mm512_maskz_scalef_ps((__mmask16)~0, (__m512)v, (__m512)n);
}
#endif

// a b + c, the product not rounded.
#if defined(__FMA__) || defined(__AVX512F__) || defined(__aarch64__)
FASTCNN_INLINE Vec exact_product_plus(Vec a, Vec b, Vec c) { return fma(a, b, c); }
#else
FASTCNN_INLINE Vec exact_product_plus(Vec a, Vec b, Vec c) {  // in halves of 12 bits (Dekker)
  const Vec a_upper = bits_to_vec(vec_to_bits(a) & ~0xfff), a_lower = a - a_upper;
  const Vec b_upper = bits_to_vec(vec_to_bits(b) & ~0xfff), b_lower = b - b_upper;
  const Vec product = a * b;
  const Vec error = (a_upper * b_upper - product) + a_upper * b_lower + a_lower * b_upper + a_lower * b_lower;
  return (product + c) + error;
}
#endif

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn

#include "../../base/formulas/functions.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// The greatest lane.
FASTCNN_INLINE float lane_max(Vec v) {
  return fold_lanes(v, [](auto a, auto b) FASTCNN_INLINED { return a > b ? a : b; });
}

// products_of_pairs(a, b): the 64-bit product of the first numbers of each pair of lanes, low word first;
// what stands in the second does not matter. reverse_fours(a): each four lanes in reverse order. The
// compiler's own 64-bit product does not know that the upper words are 0: dropout took 2 to 3 times as long
// with it.
#if defined(__AVX512F__)
// The masked forms: GCC 12 warns of an undefined operand inside the plain ones.
FASTCNN_INLINE UVec products_of_pairs(UVec a, UVec b) {
  return (UVec)_mm512_maskz_mul_epu32((__mmask8)~0, (__m512i)a, (__m512i)b);
}
FASTCNN_INLINE UVec reverse_fours(UVec a) {
  return (UVec)_mm512_maskz_shuffle_epi32((__mmask16)~0, (__m512i)a, _MM_PERM_ABCD);
}
#elif defined(__AVX2__)
FASTCNN_INLINE UVec products_of_pairs(UVec a, UVec b) {
  return (UVec)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
FASTCNN_INLINE UVec reverse_fours(UVec a) { return (UVec)_mm256_shuffle_epi32((__m256i)a, 0x1b); }
#elif defined(__x86_64__)
FASTCNN_INLINE UVec products_of_pairs(UVec a, UVec b) { return (UVec)_mm_mul_epu32((__m128i)a, (__m128i)b); }
FASTCNN_INLINE UVec reverse_fours(UVec a) { return (UVec)_mm_shuffle_epi32((__m128i)a, 0x1b); }
#else
FASTCNN_INLINE UVec products_of_pairs(UVec a, UVec b) {
  const uint64_t first = (uint64_t)a[0] * b[0], second = (uint64_t)a[2] * b[2];
  return UVec{(uint32_t)first, (uint32_t)(first >> 32), (uint32_t)second, (uint32_t)(second >> 32)};
}
FASTCNN_INLINE UVec reverse_fours(UVec a) { return UVec{a[3], a[2], a[1], a[0]}; }
#endif

// store() past the caches, for outputs that no cache holds: they are not read first, which saves a third of
// the traffic. p is aligned to a whole vector. A thread calls end_stream() before others may read what it
// wrote.
#if defined(__AVX512F__)
FASTCNN_INLINE void stream(float* p, Vec v) { _mm512_stream_ps(p, (__m512)v); }
#elif defined(__AVX2__)
FASTCNN_INLINE void stream(float* p, Vec v) { _mm256_stream_ps(p, (__m256)v); }
#elif defined(__x86_64__)
FASTCNN_INLINE void stream(float* p, Vec v) { _mm_stream_ps(p, (__m128)v); }
#else
FASTCNN_INLINE void stream(float* p, Vec v) { store(p, v); }
#endif
#if defined(__x86_64__)
FASTCNN_INLINE void end_stream() { _mm_sfence(); }
#else
FASTCNN_INLINE void end_stream() {}
#endif

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
