// SPDX-License-Identifier: Apache-2.0
// y = f(x), and dx = dy f'(x), written with y where nothing is lost by it, so that x need not be kept. Each
// activation is two functions in the device's vocabulary; its kernels walk the arrays. NaN in gives NaN out:
// a comparison puts a NaN on the side that passes it on.
#pragma once
#include "functions.h"

FASTCNN_FORMULAS_BEGIN

// low where v <= low, high where v >= high, else v.
FASTCNN_INLINE Vec clip(Vec v, float low, float high) {
  v = v < low ? broadcast(low) : v;
  return v > high ? broadcast(high) : v;
}
// v where low < at < high or at is NaN, else 0.
FASTCNN_INLINE Vec inside(Vec at, float low, float high, Vec v) {
  return ((at <= low) | (at >= high)) ? Vec{} : v;
}
// slope v, and 0 for a slope of 0 even at infinity.
FASTCNN_INLINE Vec slope_times(float slope, Vec v) { return slope == 0 ? (v == v ? Vec{} : v) : slope * v; }

// sigmoid(x) and sigmoid(-x), without cancellation in either.
struct Sigmoids {
  Vec of, of_minus;
};
FASTCNN_INLINE Sigmoids sigmoids(Vec x) {
  const Vec e = exp_of_minus_abs(x), large = 1.0f / (1.0f + e), small = e * large;
  return {by_sign(x, large, small), by_sign(x, small, large)};
}

// P: alpha, beta and gamma, as FlatShape has them.
template <Activation>
struct Function;

template <>
struct Function<Activation::k_relu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return relu(x);
  }
  // A NaN in y passes dy on, as the fused masks do: "0 where y <= 0".
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return y <= Vec{} ? Vec{} : dy;
  }
};

template <>
struct Function<Activation::k_sigmoid> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return sigmoid(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return dy * (y * (1.0f - y));
  }
};

template <>
struct Function<Activation::k_tanh> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return tanh(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return dy * ((1.0f - y) * (1.0f + y));
  }
};

template <>
struct Function<Activation::k_relu6> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return clip(x, 0.0f, 6.0f);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return inside(y, 0.0f, 6.0f, dy);
  }
};

// alpha is not negative, so y has the sign of x.
template <>
struct Function<Activation::k_leaky_relu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    return x > Vec{} ? x : slope_times(p.alpha, x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P& p) {
    return y > Vec{} ? dy : slope_times(p.alpha, dy);
  }
};

// min(x, beta) above gamma, alpha (x - gamma) up to it.
template <>
struct Function<Activation::k_general_relu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    const Vec above = x > p.beta ? broadcast(p.beta) : x;
    return x > p.gamma ? above : slope_times(p.alpha, x - p.gamma);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P& p) {
    return x > p.gamma ? (x >= p.beta ? Vec{} : dy) : slope_times(p.alpha, dy);
  }
};

template <>
struct Function<Activation::k_elu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    return x > Vec{} ? x : p.alpha * expm1_of_negative(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P& p) {
    return y > Vec{} ? dy : dy * (y + p.alpha);
  }
};

constexpr float kSeluScale = 1.0507009873554805f, kSeluScaleAlpha = 1.7580993408473766f;
template <>
struct Function<Activation::k_selu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return x > Vec{} ? kSeluScale * x : kSeluScaleAlpha * expm1_of_negative(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return dy * (y > Vec{} ? broadcast(kSeluScale) : y + kSeluScaleAlpha);
  }
};

template <>
struct Function<Activation::k_celu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    return x > Vec{} ? x : p.alpha * expm1_of_negative(x / p.alpha);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P& p) {
    return y > Vec{} ? dy : dy * (y / p.alpha + 1.0f);
  }
};

// x Phi(x), the normal distribution: Phi(x) + x phi(x).
template <>
struct Function<Activation::k_gelu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    const Vec near = abs(min_or_second(broadcast(14.4f), x));  // beyond, the tail is 0, not inf * 0
    return fma(-near, normal(near).tail, max_or_second(Vec{}, x));
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    const Normal n = normal(x);
    return dy * fma(x, n.density, by_sign(x, 1.0f - n.tail, n.tail));
  }
};

// x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
constexpr float kGeluLinear = 1.5957691216057308f, kGeluCubic = 0.07135481627260025f;
template <>
struct Function<Activation::k_gelu_tanh> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return x * sigmoid(x * fma(x * x, broadcast(kGeluCubic), broadcast(kGeluLinear)));
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    const Vec near = clip(x, -20.0f, 20.0f), z = near * near;  // beyond, the second term is 0, not inf * 0
    const Sigmoids s = sigmoids(near * fma(z, broadcast(kGeluCubic), broadcast(kGeluLinear)));
    const Vec slope = fma(z, broadcast(3.0f * kGeluCubic), broadcast(kGeluLinear));
    return dy * fma(near * (s.of * s.of_minus), slope, s.of);
  }
};

template <>
struct Function<Activation::k_silu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return x * sigmoid(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    const Sigmoids s = sigmoids(x);
    return dy * fma(x, s.of * s.of_minus, s.of);
  }
};

// x w, w = tanh(softplus(x)) = (u^2 - 1) / (u^2 + 1) with u = 1 + exp(x); written with exp(-|x|), so that
// nothing overflows. Its derivative is w + x (1 - w^2) sigmoid(x) = w + 4 x u exp(x) / (u^2 + 1)^2.
struct MishTerms {
  Vec e, small, above, below;  // exp(-|x|), exp(-x) at most 1, u^2 - 1 and u^2 + 1 times its square
};
FASTCNN_INLINE MishTerms mish_terms(Vec x) {
  const Vec e = exp_of_minus_abs(x), one = broadcast(1.0f);
  const Vec large = by_sign(x, one, e), small = by_sign(x, e, one);
  const Vec above = fma(large, large, e + e);
  return {e, small, above, above + (small + small) * small};
}
template <>
struct Function<Activation::k_mish> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    const MishTerms t = mish_terms(x);
    return x * (t.above / t.below);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    const MishTerms t = mish_terms(x);
    const Vec share = 1.0f / t.below, w = t.above * share;
    const Vec e = 4.0f * t.e, slope = x * (fma(e, t.e, e) * (t.small * share));
    return dy * fma(slope, share, w);
  }
};

template <>
struct Function<Activation::k_softplus> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return max_or_second(Vec{}, x) + softplus_tail(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return -dy * expm1_of_negative(-y);
  }
};

template <>
struct Function<Activation::k_softsign> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return x / (1.0f + abs(x));
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    const Vec d = 1.0f + abs(x);
    return dy / d / d;
  }
};

template <>
struct Function<Activation::k_log_sigmoid> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return (x < Vec{} ? x : Vec{}) - softplus_tail(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return -dy * expm1_of_negative(y);
  }
};

template <>
struct Function<Activation::k_exponential> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return exp(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return dy * y;
  }
};

template <>
struct Function<Activation::k_hard_sigmoid> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return clip(x + 3.0f, 0.0f, 6.0f) / 6.0f;
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return inside(y, 0.0f, 1.0f, dy / 6.0f);
  }
};

template <>
struct Function<Activation::k_hard_silu> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return x * (clip(x + 3.0f, 0.0f, 6.0f) / 6.0f);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    const Vec between = dy * ((x + x + 3.0f) / 6.0f);
    return x >= 3.0f ? dy : (x <= -3.0f ? Vec{} : between);
  }
};

template <>
struct Function<Activation::k_hard_tanh> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return clip(x, -1.0f, 1.0f);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return inside(y, -1.0f, 1.0f, dy);
  }
};

// y is 0 nowhere but where |x| <= alpha: beyond it a difference of two floats is not 0.
template <>
struct Function<Activation::k_hard_shrink> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    return abs(x) <= p.alpha ? Vec{} : x;
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return y == Vec{} ? Vec{} : dy;
  }
};

template <>
struct Function<Activation::k_soft_shrink> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    return abs(x) <= p.alpha ? Vec{} : x - copy_sign(broadcast(p.alpha), x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return y == Vec{} ? Vec{} : dy;
  }
};

// Near 0, where x and tanh(x) are almost equal, x^3 times a polynomial fitted to the least relative error.
template <>
struct Function<Activation::k_tanh_shrink> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    const Vec z = x * x;
    return abs(x) < 0.625f ? (z * x) * polynomial(z, {-2.246087048e-3f, 8.301774266e-3f, -2.175572559e-2f,
                                                      5.395759818e-2f, -1.333329636e-1f, 3.333333312e-1f})
                           : x - tanh(x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    const Vec t = tanh(x);
    return dy * t * t;
  }
};

template <>
struct Function<Activation::k_threshold> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    return x <= p.alpha ? broadcast(p.beta) : x;
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P& p) {
    return x <= p.alpha ? Vec{} : dy;
  }
};

template <>
struct Function<Activation::k_sparse_plus> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    const Vec above = x + 1.0f;
    return x <= -1.0f ? Vec{} : (x < 1.0f ? 0.25f * (above * above) : x);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec x, const P&) {
    return dy * (0.5f * clip(x + 1.0f, 0.0f, 2.0f));
  }
};

template <>
struct Function<Activation::k_sparse_sigmoid> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P&) {
    return 0.5f * clip(x + 1.0f, 0.0f, 2.0f);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P&) {
    return inside(y, 0.0f, 1.0f, 0.5f * dy);
  }
};

// (x + r) / 2, r = sqrt(x^2 + alpha); where x < 0 as alpha / (2 (r - x)), which does not cancel. As r = y +
// alpha / (4 y), its derivative y / r is 1 / (1 + alpha / (4 y^2)).
template <>
struct Function<Activation::k_squareplus> {
  template <class P>
  FASTCNN_INLINED static Vec fwd(Vec x, const P& p) {
    const Vec r = sqrt(fma(x, x, broadcast(p.alpha)));
    return x < Vec{} ? (0.5f * p.alpha) / (r - x) : 0.5f * (x + r);
  }
  template <class P>
  FASTCNN_INLINED static Vec bwd(Vec dy, Vec y, const P& p) {
    return dy / (1.0f + (0.25f * p.alpha) / y / y);
  }
};

FASTCNN_FORMULAS_END
