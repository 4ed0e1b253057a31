// SPDX-License-Identifier: Apache-2.0
// exp, log, tanh and sigmoid of a vector, in vec.h's vocabulary alone. The reductions and polynomials are
// those of Cephes (S. Moshier, single precision). Each function names its largest error against double
// precision in units of the last place, on every 97th float, with and without fused arithmetic. NaN stays
// NaN; infinities are exact; no function reads or changes the floating-point environment. Last, the two
// integer operations that Philox needs, and stores past the caches.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE Vec abs(Vec x) { return bits_to_vec(vec_to_bits(x) & 0x7fffffff); }
FASTCNN_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
  return bits_to_vec((vec_to_bits(magnitude) & 0x7fffffff) | (vec_to_bits(sign) & ~0x7fffffff));
}

// The greatest lane.
FASTCNN_INLINE float lane_max(Vec v) {
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
  return v[0];
}

// 2^n for whole n in [-126, 127].
FASTCNN_INLINE Vec power_of_two(IVec n) { return bits_to_vec((n + 127) << 23); }

// c[0] x^(n-1) + ... + c[n-1]
template <int kTerms>
FASTCNN_INLINE Vec polynomial(Vec x, const float (&c)[kTerms]) {
  Vec y = broadcast(c[0]);
  FASTCNN_UNROLL
  for (int i = 1; i < kTerms; ++i) y = fma(y, x, broadcast(c[i]));
  return y;
}

// 1.1 ulp; underflow is gradual: exp(x) = 2^n exp(r), n whole, |r| <= log(2) / 2.
FASTCNN_INLINE Vec exp(Vec x) {
  x = x > 89.0f ? broadcast(89.0f) : x;      // 89 overflows to infinity
  x = x < -104.0f ? broadcast(-104.0f) : x;  // -104 rounds to 0
  const Vec round = broadcast(12582912.0f);  // 1.5 * 2^23: what is added to it is rounded to a whole number
  const Vec shifted = fma(x, broadcast(1.44269504088896341f), round);
  const Vec n = shifted - round;
  // log(2) in two parts; the first has 9 bits, so its product is exact with and without fused arithmetic.
  const Vec r = fma(n, broadcast(2.12194440e-4f), fma(n, broadcast(-0.693359375f), x));
  const Vec tail = polynomial(r, {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                                  1.6666665459e-1f, 5.0000001201e-1f});
  const Vec y = fma(tail, r * r, r) + 1.0f;
  // In two halves: 2^n alone may be no float while y 2^n is one.
  const IVec power = vec_to_bits(shifted) - vec_to_bits(round), half = power >> 1;
  return y * power_of_two(half) * power_of_two(power - half);
}

// 0.9 ulp; log(0) = -inf, log(x < 0) = NaN: log(x) = e log(2) + log(m), m in [sqrt(1/2), sqrt(2)).
FASTCNN_INLINE Vec log(Vec x) {
  const IVec tiny = x < 1.17549435e-38f;
  const IVec bits = vec_to_bits(tiny ? x * 8388608.0f : x);
  const IVec exponent = (bits - 0x3f3504f3) >> 23;
  const Vec e = __builtin_convertvector(exponent - (tiny ? IVec{} + 23 : IVec{}), Vec);
  const Vec r = bits_to_vec(bits - (exponent << 23)) - 1.0f;
  const Vec z = r * r;
  Vec y = polynomial(
              r, {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                  -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f}) *
          (r * z);
  y = fma(e, broadcast(-2.12194440e-4f), y);
  y = fma(z, broadcast(-0.5f), y);
  y = fma(e, broadcast(0.693359375f), r + y);
  const Vec infinity = broadcast(__builtin_inff());
  y = x < infinity ? y : x;  // also NaN
  y = x == Vec{} ? -infinity : y;
  return x < Vec{} ? broadcast(__builtin_nanf("")) : y;
}

// log(1 + x) for x >= 0, 2.4 ulp by the errors of its parts: what 1 + x loses is put back as a factor
// (Kahan).
FASTCNN_INLINE Vec log1p(Vec x) {
  const Vec u = 1.0f + x, kept = u - 1.0f;
  const Vec y = log(u) * (x / kept);
  return (kept == Vec{}) | (x == __builtin_inff()) ? x : y;
}

// base^exponent for base >= 0; the relative error is that of exp() and of `exponent` logarithms.
FASTCNN_INLINE Vec power(Vec base, float exponent) {
  if (exponent == 2.0f) return base * base;
  if (exponent == 1.0f) return base;
  if (exponent == 0.0f) return broadcast(1.0f);
  return exp(exponent * log(base));
}

// 1.5 ulp.
FASTCNN_INLINE Vec tanh(Vec x) {
  const Vec a = abs(x), z = x * x;
  const Vec small = fma(polynomial(z, {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                                       1.33314422036e-1f, -3.33332819422e-1f}),
                        z * x, x);
  const Vec large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return copy_sign(a < 0.625f ? small : large, x);  // of -0 too
}

// 2.5 ulp. exp() of -|x| alone: 1 / (1 + exp(-x)) would lose every digit where exp(-x) overflows.
FASTCNN_INLINE Vec sigmoid(Vec x) {
  const Vec e = exp(-abs(x));
  return (x < Vec{} ? e : broadcast(1.0f)) / (1.0f + e);
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
