// SPDX-License-Identifier: Apache-2.0
// exp, log, tanh, sigmoid, the normal distribution and relatives of theirs, in the vocabulary of the device
// alone (cpu/kernels/vec_math.h, cuda/vec.h): the same bits wherever multiply-adds are fused. The
// reductions and polynomials are those of Cephes (S. Moshier, single precision). Each function names its
// largest error against double precision in units of the last place, on every 97th float, with and without
// fused arithmetic. NaN stays NaN; infinities are exact; no function reads or changes the floating-point
// environment.
#pragma once

FASTCNN_FORMULAS_BEGIN

FASTCNN_INLINE Vec abs(Vec x) { return bits_to_vec(vec_to_bits(x) & 0x7fffffff); }
FASTCNN_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
  return bits_to_vec((vec_to_bits(magnitude) & 0x7fffffff) | (vec_to_bits(sign) & ~0x7fffffff));
}

// c[0] x^(n-1) + ... + c[n-1]
template <int kTerms>
FASTCNN_INLINE Vec polynomial(Vec x, const float (&c)[kTerms]) {
  Vec y = broadcast(c[0]);
  FASTCNN_UNROLL
  for (int i = 1; i < kTerms; ++i) y = fma(y, x, broadcast(c[i]));
  return y;
}

// exp(x) = 2^n exp(r), n whole, |r| <= log(2) / 2. The low nine bits of `biased` are n + kBias, so a shift by
// 23 makes a float of them.
struct Reduced {
  Vec r, n;
  IVec biased;
};
struct Powers {
  Vec n;
  IVec biased;
};
template <int kBias>
FASTCNN_INLINE Powers powers_in(Vec x) {
  const Vec round = broadcast(12582912.0f + kBias);  // 1.5 * 2^23: rounds what is added to it
  const Vec shifted = fma(x, broadcast(1.44269504088896341f), round);
  return {shifted - round, vec_to_bits(shifted)};
}
// log(2) in two parts; the first has 9 bits, so its product is exact with and without fused arithmetic.
constexpr float kLog2Upper = 0.693359375f, kLog2Lower = -2.12194440e-4f;
template <int kBias>
FASTCNN_INLINE Reduced reduced(Vec x) {
  const Powers p = powers_in<kBias>(x);
  return {fma(p.n, broadcast(-kLog2Lower), fma(p.n, broadcast(-kLog2Upper), x)), p.n, p.biased};
}
// Of x = a b, which is not rounded: that would spoil the last digits of a large exponent.
template <int kBias>
FASTCNN_INLINE Reduced reduced(Vec a, Vec b) {
  const Powers p = powers_in<kBias>(a * b);
  return {fma(p.n, broadcast(-kLog2Lower), exact_product_plus(a, b, p.n * -kLog2Upper)), p.n, p.biased};
}
FASTCNN_INLINE Vec power_of_two(IVec biased) { return bits_to_vec(biased << 23); }

// exp(r) - 1 and exp(r); the polynomial is fitted to the least error relative to the first.
FASTCNN_INLINE Vec expm1_reduced(Vec r) {
  const Vec z = r * r, first = fma(broadcast(8.366583953e-3f), r, broadcast(4.166628202e-2f)),
            last = fma(broadcast(1.666654299e-1f), r, broadcast(0.5f));
  const Vec tail = fma(fma(broadcast(1.394645075e-3f), z, first), z, last);
  return fma(tail, z, r);
}
// exp(r) scale, of a power of two: one rounding, with and without fused arithmetic.
FASTCNN_INLINE Vec exp_reduced(Vec r, Vec scale) { return fma(expm1_reduced(r), scale, scale); }

// 1.1 ulp; underflow is gradual.
FASTCNN_INLINE Vec exp(Vec x) {
  x = min_or_second(broadcast(89.0f), x);    // overflows to infinity
  x = max_or_second(broadcast(-104.0f), x);  // rounds to 0
  const Reduced e = reduced<254>(x);
#ifdef FASTCNN_SCALES
  return scaled(1.0f + expm1_reduced(e.r), e.n);  // the same bits
#else
  // In two halves: 2^n alone may be no float while the result is one.
  const IVec half = e.biased >> 1;
  return exp_reduced(e.r, power_of_two(half)) * power_of_two(e.biased - half);
#endif
}

// exp(x) of x <= 0, with half as many instructions around the polynomial: 2^24 exp(x) is no subnormal number.
// Sums and quotients may go without the factor.
constexpr int kNegativeBias = 127 + 24;
constexpr float kNegativeScale = 0x1p-24f;
FASTCNN_INLINE Vec scaled_exp_of_negative(Vec x) {
  const Reduced e = reduced<kNegativeBias>(max_or_second(broadcast(-104.0f), x));
  return exp_reduced(e.r, power_of_two(e.biased));
}
FASTCNN_INLINE Vec exp_of_negative(Vec x) { return scaled_exp_of_negative(x) * kNegativeScale; }
FASTCNN_INLINE Vec exp_of_minus_abs(Vec x) {
  return exp_of_negative(bits_to_vec(vec_to_bits(x) | ~0x7fffffff));
}

// exp(x) - 1 of x <= 0; 1.1 ulp.
FASTCNN_INLINE Vec expm1_of_negative(Vec x) {
  const Reduced e = reduced<127>(max_or_second(broadcast(-25.0f), x));  // rounds to -1
  const Vec scale = power_of_two(e.biased);
  return fma(expm1_reduced(e.r), scale, scale - 1.0f);
}

// e log(2) + log(1 + r), 1 + r in [sqrt(1/2), sqrt(2)).
FASTCNN_INLINE Vec log_reduced(Vec e, Vec r) {
  const Vec z = r * r;
  Vec y = polynomial(
              r, {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                  -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f}) *
          (r * z);
  y = fma(e, broadcast(-2.12194440e-4f), y);
  y = fma(z, broadcast(-0.5f), y);
  return fma(e, broadcast(0.693359375f), r + y);
}

// 0.9 ulp; log(0) = -inf, log(x < 0) = NaN.
FASTCNN_INLINE Vec log(Vec x) {
  const IVec tiny = x < 1.17549435e-38f;
  const IVec bits = vec_to_bits(tiny ? x * 8388608.0f : x);
  const IVec exponent = (bits - 0x3f3504f3) >> 23;
  const Vec e = as_numbers(exponent - (tiny ? IVec{} + 23 : IVec{}));
  Vec y = log_reduced(e, bits_to_vec(bits - (exponent << 23)) - 1.0f);
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

// Where x has no sign bit, and where it has one.
FASTCNN_INLINE Vec by_sign(Vec x, Vec positive, Vec negative) {
  return vec_to_bits(x) < IVec{} ? negative : positive;
}

// log(1 + e) of e in [0, 1], by a polynomial fitted to it there; with the errors of e, as log(1 + exp(-|x|)),
// 1.7 ulp, and 2.1 without fused arithmetic.
FASTCNN_INLINE Vec log1p_of_fraction(Vec e) {
  const Vec tail =
      polynomial(e, {-3.318482056e-3f, 2.02046294e-2f, -5.766453146e-2f, 1.068056482e-1f, -1.535540216e-1f,
                     1.969540274e-1f, -2.495858789e-1f, 3.333051137e-1f, -4.999993277e-1f});
  return fma(tail, e * e, e);
}
FASTCNN_INLINE Vec softplus_tail(Vec x) { return log1p_of_fraction(exp_of_minus_abs(x)); }

// 2.5 ulp, as sigmoid(). With a polynomial for |x| < 0.625 and 1 - 2 e / (1 + e) beyond it had 1.5 ulp and
// twice the instructions, which kept it below half of the speed of a copy.
FASTCNN_INLINE Vec tanh(Vec x) {
  const Vec t = expm1_of_negative(-2.0f * abs(x));
  return copy_sign(t / (2.0f + t), x);  // of -0 too
}

// 2.5 ulp. exp() of -|x| alone: 1 / (1 + exp(-x)) would lose every digit where exp(-x) overflows.
FASTCNN_INLINE Vec sigmoid(Vec x) {
  const Vec e = exp_of_minus_abs(x);
  return by_sign(x, broadcast(1.0f), e) / (1.0f + e);
}

// Of the standard normal distribution at x: density exp(-x^2 / 2) / sqrt(2 pi), and the probability beyond
// |x| on one side, erfc(|x| / sqrt(2)) / 2. From it GELU keeps all digits where 1 + erf() would cancel.
struct Normal {
  Vec density, tail;
};
// 2.1 ulp and 5 ulp, 5.8 without fused arithmetic; subnormal values included. tail = exp(-a^2 / 2) q(a), q a
// quotient of polynomials with positive coefficients, fitted to the least largest relative error on
// [0, 14.5], 6e-9. A polynomial in (a - 4) / (a + 4), over 1 + a, has 4 ulp and a division more: of 16 lanes
// GELU took 1.7 times as long in the first cache. The quotient by an approximate reciprocal and Newton's step
// gained nothing.
FASTCNN_INLINE Normal normal(Vec x) {
  const Vec a = min_or_second(broadcast(14.4f), abs(x));  // the tail is 0
  const Reduced e = reduced<kNegativeBias>(-0.5f * a, a);
  const Vec y = exp_reduced(e.r, power_of_two(e.biased));
  constexpr float s = kNegativeScale;
  const Vec above = polynomial(a, {4.116299279e-3f * s, 4.063316024e-2f * s, 1.832349414e-1f * s,
                                   4.382946859e-1f * s, 5.000000030e-1f * s});
  const Vec below =
      polynomial(a, {1.031791241e-2f, 1.018586755e-1f, 4.694701116e-1f, 1.202502326f, 1.674474353f, 1.0f});
  return {y * (0.39894228040f * s), y * (above / below)};
}

FASTCNN_FORMULAS_END
