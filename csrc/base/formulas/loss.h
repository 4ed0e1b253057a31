// SPDX-License-Identifier: Apache-2.0
// The losses that are a mean or a sum over the elements of a row: value and slope for one prediction x with
// target t, in the device's vocabulary. Keras's formulas; where it would subtract nearly equal numbers, an
// equal one that does not. At a kink the gradient is 0. `binary_targets`: hinge targets are 0 and 1.
#pragma once
#include "functions.h"

FASTCNN_FORMULAS_BEGIN

constexpr float kEpsilon = 1e-7f;

struct Term {
  Vec value, slope;
};

// NaN stays.
FASTCNN_INLINE Vec at_least(Vec v, float low) { return v < low ? broadcast(low) : v; }
FASTCNN_INLINE Vec at_most(Vec v, float high) { return v > high ? broadcast(high) : v; }
FASTCNN_INLINE Vec sign(Vec v) { return v > Vec{} ? broadcast(1.0f) : (v < Vec{} ? broadcast(-1.0f) : v); }

struct Squared {
  static constexpr bool kMean = true;
  FASTCNN_INLINED explicit Squared(const LossShape&, bool) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t;
    return {d * d, d + d};
  }
};

struct Absolute {
  static constexpr bool kMean = true;
  FASTCNN_INLINED explicit Absolute(const LossShape&, bool) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t;
    return {abs(d), sign(d)};
  }
};

struct Percentage {
  static constexpr bool kMean = true;
  FASTCNN_INLINED explicit Percentage(const LossShape&, bool) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t, size = at_least(abs(t), kEpsilon);
    return {100.0f * (abs(d) / size), 100.0f * (sign(d) / size)};
  }
};

struct SquaredLogarithmic {
  static constexpr bool kMean = true;
  FASTCNN_INLINED explicit SquaredLogarithmic(const LossShape&, bool) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec p = at_least(x, kEpsilon), d = log1p(p) - log1p(at_least(t, kEpsilon));
    return {d * d, x < kEpsilon ? Vec{} : 2.0f * d / (1.0f + p)};
  }
};

struct Huber {
  static constexpr bool kMean = true;
  const float delta;
  FASTCNN_INLINED explicit Huber(const LossShape& shape, bool) : delta((float)shape.alpha) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t, size = abs(d);
    const Vec value = size <= delta ? 0.5f * (d * d) : delta * (size - 0.5f * delta);
    return {value, at_most(at_least(d, -delta), delta)};
  }
};

struct LogCosh {
  static constexpr bool kMean = true;
  FASTCNN_INLINED explicit LogCosh(const LossShape&, bool) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t, size = abs(d);
    return {size + (log1p_of_fraction(exp_of_negative(-2.0f * size)) - 0.69314718055994531f), tanh(d)};
  }
};

// -1 and 1 may be written as 0 and 1.
struct HingeTarget {
  const float factor, offset;
  FASTCNN_INLINED explicit HingeTarget(bool binary_targets)
      : factor(binary_targets ? 2.0f : 1.0f), offset(binary_targets ? -1.0f : 0.0f) {}
  FASTCNN_INLINED Vec operator()(Vec t) const { return t * factor + offset; }
};

struct Hinge {
  static constexpr bool kMean = true;
  const HingeTarget target;
  FASTCNN_INLINED explicit Hinge(const LossShape&, bool binary_targets) : target(binary_targets) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec wanted = target(t), m = 1.0f - wanted * x;
    return {relu(m), m > Vec{} ? -wanted : (m == m ? Vec{} : m)};
  }
};

struct SquaredHinge {
  static constexpr bool kMean = true;
  const HingeTarget target;
  FASTCNN_INLINED explicit SquaredHinge(const LossShape&, bool binary_targets) : target(binary_targets) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec wanted = target(t), m = relu(1.0f - wanted * x);
    return {m * m, -2.0f * wanted * m};
  }
};

struct Poisson {
  static constexpr bool kMean = true;
  FASTCNN_INLINED explicit Poisson(const LossShape&, bool) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec p = x + kEpsilon;
    return {x - t * log(p), 1.0f - t / p};
  }
};

struct KlDivergence {
  static constexpr bool kMean = false;
  FASTCNN_INLINED explicit KlDivergence(const LossShape&, bool) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec p = at_most(at_least(x, kEpsilon), 1.0f), wanted = at_most(at_least(t, kEpsilon), 1.0f);
    const Vec ratio = wanted / p;
    return {wanted * log(ratio), (x < kEpsilon) | (x > 1.0f) ? Vec{} : -ratio};
  }
};

// t is moved towards 1/2.
struct SmoothTarget {
  const float keep, share;
  FASTCNN_INLINED explicit SmoothTarget(const LossShape& shape)
      : keep((float)(1.0 - shape.label_smoothing)), share((float)(0.5 * shape.label_smoothing)) {}
  FASTCNN_INLINED Vec operator()(Vec t) const { return t * keep + share; }
};

struct BinaryFromLogits {
  static constexpr bool kMean = true;
  const SmoothTarget target;
  FASTCNN_INLINED explicit BinaryFromLogits(const LossShape& shape, bool) : target(shape) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec wanted = target(t), size = abs(x), e = exp_of_minus_abs(x);
    // The part of |x| that is against x's sign; 0 of an infinity is 0.
    const Vec against = x > Vec{} ? 1.0f - wanted : wanted;
    const Vec value = (against == Vec{} ? Vec{} : against * size) + log1p_of_fraction(e);
    // sigmoid(x) - t, as a sum of what p and 1 - p are off by: 1 - p keeps its digits near 0.
    const Vec other = 1.0f - wanted;
    return {x == x ? value : x, (x < Vec{} ? other * e - wanted : other - wanted * e) / (1.0f + e)};
  }
};

// p and 1 - p, each to its last digits, clipped as Keras does, and the cross-entropy of p with its slope.
struct BinaryTerm {
  Vec p, q, value, slope;
  FASTCNN_INLINED BinaryTerm(Vec raw, Vec rest, Vec t)
      : p(at_most(at_least(raw, kEpsilon), 1.0f - kEpsilon)),
        q(at_most(at_least(rest, kEpsilon), 1.0f - kEpsilon)) {
    value = -(t * log(p) + (1.0f - t) * log(q));
    slope = (raw < kEpsilon) | (rest < kEpsilon) ? Vec{} : (1.0f - t) / q - t / p;
  }
};

struct Binary {
  static constexpr bool kMean = true;
  const SmoothTarget target;
  FASTCNN_INLINED explicit Binary(const LossShape& shape, bool) : target(shape) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const BinaryTerm term(x, 1.0f - x, target(t));
    return {term.value, term.slope};
  }
};

// w f^gamma L with f = 1 - p_t, the probability of the other class, and L the cross-entropy.
template <bool kLogits>
struct BinaryFocal {
  static constexpr bool kMean = true;
  const SmoothTarget target;
  const float alpha, gamma;
  const bool balancing;
  FASTCNN_INLINED explicit BinaryFocal(const LossShape& shape, bool)
      : target(shape),
        alpha((float)shape.alpha),
        gamma((float)shape.beta),
        balancing(shape.class_balancing) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec target_of_x) const {
    const Vec t = target(target_of_x), other = 1.0f - t;
    Vec p = x, q = 1.0f - x;
    if (kLogits) {
      const Vec e = exp_of_minus_abs(x), large = 1.0f / (1.0f + e), small = e * large;
      p = by_sign(x, large, small);
      q = by_sign(x, small, large);
    }
    const BinaryTerm term(p, q, t);
    const Vec f = t * q + other * p, below = power(f, gamma - 1.0f);
    const Vec factor = gamma == 1.0f ? f : power(f, gamma);
    Vec slope = factor * term.slope;
    if (gamma != 0.0f) slope += gamma * below * (other - t) * term.value;
    if (kLogits) slope *= p * q;
    if (!balancing) return {factor * term.value, slope};
    const Vec weight = t * alpha + other * (1.0f - alpha);
    return {weight * (factor * term.value), weight * slope};
  }
};

FASTCNN_FORMULAS_END
