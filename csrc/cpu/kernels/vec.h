// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary: the only file of cpu/ that knows instruction sets. Compiled once per ISA.
// Arithmetic, comparison and selection are the compiler's own on vector types (a + b, a > b ? a : b,
// __builtin_convertvector); here stands what they cannot say. A fused multiply-add is written as fma();
// -ffp-contract=off keeps others apart, so an expression has the same bits wherever it is compiled for the
// same ISA.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef FASTCNN_ISA_NS
#error "compiled by CMake's table of instruction sets, which names the namespace"
#endif
#define FASTCNN_INLINE static inline __attribute__((always_inline))
#define FASTCNN_UNROLL _Pragma("GCC unroll 64")
#define FASTCNN_INLINED __attribute__((always_inline))  // of lambdas and member functions
// Around base/formulas/, which is written once for every device: in this file's namespace, with its words.
#define FASTCNN_FORMULAS_BEGIN \
  namespace fastcnn {          \
  namespace cpu {              \
  namespace FASTCNN_ISA_NS {   \
  namespace {
#define FASTCNN_FORMULAS_END \
  }                          \
  }                          \
  }                          \
  }

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kLanes = 4, kRegisters = 32;
#else
constexpr int kLanes = 4, kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IVec
    __attribute__((vector_size(kLanes * 4)));  // also the type of a comparison: -1 or 0 in each lane
typedef uint32_t UVec __attribute__((vector_size(kLanes * 4)));

FASTCNN_INLINE Vec load(const float* p) {
  Vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
FASTCNN_INLINE void store(float* p, Vec v) { memcpy(p, &v, sizeof v); }
FASTCNN_INLINE Vec broadcast(float x) { return x - Vec{}; }
FASTCNN_INLINE Vec bits_to_vec(IVec v) { return (Vec)v; }
FASTCNN_INLINE IVec vec_to_bits(Vec v) { return (IVec)v; }
FASTCNN_INLINE Vec as_numbers(IVec v) { return __builtin_convertvector(v, Vec); }

// 0, 1, 2, ...
FASTCNN_INLINE IVec iota() {
  IVec v;
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// The first n lanes, 0 <= n <= kLanes; the others are read as 0 and not written. No byte beyond them is
// touched. As load() and store() they take memory of any 4-byte type, seen as float.
#if defined(__AVX512F__)
FASTCNN_INLINE __mmask16 first_lanes(int n) { return (__mmask16)((1u << n) - 1); }
FASTCNN_INLINE Vec load_n(const float* p, int n) { return (Vec)_mm512_maskz_loadu_ps(first_lanes(n), p); }
FASTCNN_INLINE void store_n(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), (__m512)v); }
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
FASTCNN_INLINE Vec sqrt(Vec a) { return (Vec)_mm512_sqrt_ps((__m512)a); }
#elif defined(__AVX2__)
FASTCNN_INLINE __m256i first_lanes(int n) { return (__m256i)(iota() < n); }
FASTCNN_INLINE Vec load_n(const float* p, int n) { return (Vec)_mm256_maskload_ps(p, first_lanes(n)); }
// Not vmaskmovps: AMD's processors take some 18 cycles for it, and rows of three channels took three to seven
// times as long.
FASTCNN_INLINE void store_n(float* p, Vec v, int n) {
  if (n & 8) return store(p, v);
  __m128 part = _mm256_castps256_ps128((__m256)v);
  if (n & 4) {
    memcpy(p, &part, 16);
    part = _mm256_extractf128_ps((__m256)v, 1);
    p += 4;
  }
  if (n & 2) {
    memcpy(p, &part, 8);
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (n & 1) memcpy(p, &part, 4);
}
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
FASTCNN_INLINE Vec sqrt(Vec a) { return (Vec)_mm256_sqrt_ps((__m256)a); }
#else
FASTCNN_INLINE Vec load_n(const float* p, int n) {
  Vec v = {};
  for (int i = 0; i < n; ++i) {
    float lane;
    memcpy(&lane, p + i, sizeof lane);
    v[i] = lane;
  }
  return v;
}
FASTCNN_INLINE void store_n(float* p, Vec v, int n) {
  for (int i = 0; i < n; ++i) {
    const float lane = v[i];
    memcpy(p + i, &lane, sizeof lane);
  }
}
#if defined(__aarch64__)
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
FASTCNN_INLINE Vec sqrt(Vec a) { return (Vec)vsqrtq_f32((float32x4_t)a); }
#elif defined(__x86_64__)
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
FASTCNN_INLINE Vec sqrt(Vec a) { return (Vec)_mm_sqrt_ps((__m128)a); }
#else
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
FASTCNN_INLINE Vec sqrt(Vec a) {
  for (int i = 0; i < kLanes; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
#endif
#endif

// max(a, 0) with NaN kept: relu(NaN) = NaN.
FASTCNN_INLINE Vec relu(Vec a) { return a < Vec{} ? Vec{} : a; }

// Of which lanes something is true. Comparisons that are joined GCC 12 makes vectors of, where registers for
// a bit of each lane do.
#if defined(__AVX512F__)
typedef __mmask16 LaneSet;
FASTCNN_INLINE LaneSet equal_lanes(Vec a, Vec b) {
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ);
}
FASTCNN_INLINE LaneSet lanes_with(IVec v, int32_t bit) {
  return _mm512_test_epi32_mask((__m512i)v, (__m512i)(IVec{} + bit));
}
FASTCNN_INLINE Vec select(LaneSet lanes, Vec a, Vec b) {
  return (Vec)_mm512_mask_blend_ps(lanes, (__m512)b, (__m512)a);
}
FASTCNN_INLINE Vec in_lanes(LaneSet lanes, Vec a) { return (Vec)_mm512_maskz_mov_ps(lanes, (__m512)a); }
FASTCNN_INLINE Vec add_in_lanes(LaneSet lanes, Vec sum, Vec a) {
  return (Vec)_mm512_mask_add_ps((__m512)sum, lanes, (__m512)sum, (__m512)a);
}
#else
typedef IVec LaneSet;
FASTCNN_INLINE LaneSet equal_lanes(Vec a, Vec b) { return a == b; }
FASTCNN_INLINE LaneSet lanes_with(IVec v, int32_t bit) { return (v & bit) != 0; }
FASTCNN_INLINE Vec select(LaneSet lanes, Vec a, Vec b) { return lanes ? a : b; }
FASTCNN_INLINE Vec in_lanes(LaneSet lanes, Vec a) { return bits_to_vec(lanes & vec_to_bits(a)); }
FASTCNN_INLINE Vec add_in_lanes(LaneSet lanes, Vec sum, Vec a) { return lanes ? sum + a : sum; }
#endif
FASTCNN_INLINE LaneSet and_not(LaneSet a, LaneSet b) { return (LaneSet)(a & ~b); }
FASTCNN_INLINE LaneSet neither(LaneSet a, LaneSet b) { return (LaneSet) ~(a | b); }

// Lane i of the result is lane i / Group * Group + Lane of v: one channel of each group of neighbouring
// lanes.
template <int Group, int Lane>
FASTCNN_INLINE Vec spread(Vec v) {
#define FASTCNN_FROM(i) ((i) / Group * Group + Lane)
#define FASTCNN_FROM_4(i) FASTCNN_FROM(i), FASTCNN_FROM(i + 1), FASTCNN_FROM(i + 2), FASTCNN_FROM(i + 3)
#if defined(__AVX512F__)
  return __builtin_shufflevector(v, v, FASTCNN_FROM_4(0), FASTCNN_FROM_4(4), FASTCNN_FROM_4(8),
                                 FASTCNN_FROM_4(12));
#elif defined(__AVX2__)
  return __builtin_shufflevector(v, v, FASTCNN_FROM_4(0), FASTCNN_FROM_4(4));
#else
  return __builtin_shufflevector(v, v, FASTCNN_FROM_4(0));
#endif
#undef FASTCNN_FROM_4
#undef FASTCNN_FROM
}

// Lane i of the result is lane index[i] of a and b side by side.
FASTCNN_INLINE Vec pick(Vec a, Vec b, IVec index) {
#if defined(__AVX512F__)
  return (Vec)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
#elif defined(__AVX2__)
  const Vec of_a = (Vec)_mm256_permutevar8x32_ps((__m256)a, (__m256i)index);
  const Vec of_b = (Vec)_mm256_permutevar8x32_ps((__m256)b, (__m256i)index);
  return index < kLanes ? of_a : of_b;
#else
  float both[2 * kLanes];
  store(both, a), store(both + kLanes, b);
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = both[index[i]];
  return v;
#endif
}

// The lanes, each from 0 to 255, as bytes in their order. The compiler's own conversion takes them apart one
// by one (GCC 12), which made a max pooling that stores them three times as slow.
struct LaneBytes {
  uint64_t word[2];
};
FASTCNN_INLINE LaneBytes lane_bytes(IVec v) {
  LaneBytes bytes = {};
#if defined(__AVX512F__)
  const __m128i packed = _mm512_maskz_cvtepi32_epi8((__mmask16)~0, (__m512i)v);
  memcpy(&bytes, &packed, 16);
#elif defined(__x86_64__)
#if defined(__AVX2__)
  const __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
#else
  const __m128i low = (__m128i)v, high = low;
#endif
  const __m128i halves = _mm_packs_epi32(low, high), packed = _mm_packus_epi16(halves, halves);
  memcpy(&bytes, &packed, 8);
#else
  for (int i = 0; i < kLanes; ++i) bytes.word[i / 8] |= (uint64_t)(uint8_t)v[i] << (8 * (i % 8));
#endif
  return bytes;
}

// The other way. The compiler's own conversion takes the bytes one by one too.
FASTCNN_INLINE IVec byte_lanes(LaneBytes bytes) {
#if defined(__AVX512F__)
  return (IVec)_mm512_maskz_cvtepu8_epi32((__mmask16)~0,
                                          _mm_set_epi64x((int64_t)bytes.word[1], (int64_t)bytes.word[0]));
#elif defined(__AVX2__)
  return (IVec)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bytes.word[0]));
#elif defined(__x86_64__)
  const __m128i zero = _mm_setzero_si128(), low = _mm_cvtsi64_si128((int64_t)bytes.word[0]);
  return (IVec)_mm_unpacklo_epi16(_mm_unpacklo_epi8(low, zero), zero);
#else
  IVec v;
  for (int i = 0; i < kLanes; ++i) v[i] = (int32_t)(bytes.word[i / 8] >> (8 * (i % 8)) & 255);
  return v;
#endif
}

// a0 b0 a1 b1 ... of the lower (or upper) halves of a and b.
template <bool Upper>
FASTCNN_INLINE Vec interleave(Vec a, Vec b) {
#define FASTCNN_PAIR(i) (Upper * kLanes / 2 + i), (Upper * kLanes / 2 + i + kLanes)
#define FASTCNN_PAIRS(i) FASTCNN_PAIR(i), FASTCNN_PAIR(i + 1)
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, FASTCNN_PAIRS(0), FASTCNN_PAIRS(2), FASTCNN_PAIRS(4),
                                 FASTCNN_PAIRS(6));
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, FASTCNN_PAIRS(0), FASTCNN_PAIRS(2));
#else
  return __builtin_shufflevector(a, b, FASTCNN_PAIRS(0));
#endif
#undef FASTCNN_PAIRS
#undef FASTCNN_PAIR
}

// Lane i of v[j] and lane j of v[i] change places. Each round interleaves the lower half of the vectors with
// the upper one, which rotates the bits of (vector, lane) by one place.
FASTCNN_INLINE void transpose(Vec (&v)[kLanes]) {
  FASTCNN_UNROLL for (int round = 1; round < kLanes; round *= 2) {
    Vec u[kLanes];
    FASTCNN_UNROLL for (int i = 0; i < kLanes / 2; ++i) {
      u[2 * i] = interleave<false>(v[i], v[i + kLanes / 2]);
      u[2 * i + 1] = interleave<true>(v[i], v[i + kLanes / 2]);
    }
    FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) v[i] = u[i];
  }
}

// Hides a value's origin from the optimiser, which would emit a second copy of a loop for steps that happen
// to be 1.
template <class T>
FASTCNN_INLINE T opaque(T x) {
  __asm__("" : "+r"(x));
  return x;
}

// f over the lanes, always in the order of a binary tree over halves. Of 16 lanes GCC 12 takes the loop
// through memory, lane by lane: softmax of 20 to 50 columns took 1.4 times as long.
template <class F>
FASTCNN_INLINE float fold_lanes(Vec v, F f) {
#if defined(__AVX512F__)
  auto folded = f(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                  __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
#else
  Vec folded = v;
#endif
  for (int half = kLanes > 8 ? 4 : kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) folded[i] = f(folded[i], folded[i + half]);
  return folded[0];
}
FASTCNN_INLINE float lane_sum(Vec v) {
  return fold_lanes(v, [](auto a, auto b) FASTCNN_INLINED { return a + b; });
}

// The sums of as many vectors, in the first lanes, each as lane_sum() adds it.
template <int N>
FASTCNN_INLINE Vec lane_sums(Vec (&v)[N]) {
  FASTCNN_UNROLL for (int half = N / 2; half > 0; half /= 2) FASTCNN_UNROLL for (int i = 0; i < half; ++i)
      v[i] = interleave<false>(v[i], v[i + half]) + interleave<true>(v[i], v[i + half]);
  FASTCNN_UNROLL for (int half = kLanes / 2; half >= N; half /= 2) v[0] =
      v[0] + pick(v[0], v[0], (iota() + half) & (kLanes - 1));
  return v[0];
}

#if defined(__AVX512BF16__)
// Pairs of bfloat16, one in each lane, the first number in its lower half. Numbers are rounded to nearest,
// ties to even; those below the least normal one become zeros, here and in the sum, whatever the environment.
FASTCNN_INLINE UVec load_pairs(const void* p) {
  UVec v;
  memcpy(&v, p, sizeof v);
  return v;
}
FASTCNN_INLINE UVec broadcast_pair(const void* p) {
  uint32_t pair;
  memcpy(&pair, p, sizeof pair);
  return pair + UVec{};
}
// (a0, a1), (a2, a3), ..., then those of b.
FASTCNN_INLINE UVec pairs_along(Vec a, Vec b) { return (UVec)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a); }
// (a0, b0), (a1, b1), ...
FASTCNN_INLINE UVec pairs_across(Vec a, Vec b) {
  typedef uint16_t Halves __attribute__((vector_size(64)));
  const Halves v = (Halves)pairs_along(a, b);
#define FASTCNN_PAIR(i) i, i + 16, i + 1, i + 17, i + 2, i + 18, i + 3, i + 19
  return (UVec)__builtin_shufflevector(v, v, FASTCNN_PAIR(0), FASTCNN_PAIR(4), FASTCNN_PAIR(8),
                                       FASTCNN_PAIR(12));
#undef FASTCNN_PAIR
}
// sum + second a second b, then + first a first b.
FASTCNN_INLINE Vec add_products(UVec a, UVec b, Vec sum) {
  return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#endif

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
