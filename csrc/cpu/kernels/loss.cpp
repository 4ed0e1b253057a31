// SPDX-License-Identifier: Apache-2.0
// L[row] = mean_j f(x[row, j], t[row, j]) and dx = f'(x, t) weight[row] scale / cols, for a table of
// functions f, over rows laid end to end: narrow rows fill whole vectors. Then the losses of a whole row, and
// the sums behind Dice and Tversky. Sums of kBlock elements are float32, those of blocks double precision.
// Keras's formulas; where it would subtract nearly equal numbers, an equal one that does not. At a kink the
// gradient is 0, of equal greatest numbers the first has it. Called by cpu/loss.cpp.
#include "loss.h"

#include "vec_math.h"
#include "weights.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

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
  explicit Squared(const LossRows&) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t;
    return {d * d, d + d};
  }
};

struct Absolute {
  static constexpr bool kMean = true;
  explicit Absolute(const LossRows&) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t;
    return {abs(d), sign(d)};
  }
};

struct Percentage {
  static constexpr bool kMean = true;
  explicit Percentage(const LossRows&) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t, size = at_least(abs(t), kEpsilon);
    return {100.0f * (abs(d) / size), 100.0f * (sign(d) / size)};
  }
};

struct SquaredLogarithmic {
  static constexpr bool kMean = true;
  explicit SquaredLogarithmic(const LossRows&) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec p = at_least(x, kEpsilon), d = log1p(p) - log1p(at_least(t, kEpsilon));
    return {d * d, x < kEpsilon ? Vec{} : 2.0f * d / (1.0f + p)};
  }
};

struct Huber {
  static constexpr bool kMean = true;
  const float delta;
  explicit Huber(const LossRows& a) : delta((float)a.shape->alpha) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t, size = abs(d);
    const Vec value = size <= delta ? 0.5f * (d * d) : delta * (size - 0.5f * delta);
    return {value, at_most(at_least(d, -delta), delta)};
  }
};

struct LogCosh {
  static constexpr bool kMean = true;
  explicit LogCosh(const LossRows&) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec d = x - t, size = abs(d);
    return {size + (log1p_of_fraction(exp_of_negative(-2.0f * size)) - 0.69314718055994531f), tanh(d)};
  }
};

// -1 and 1 may be written as 0 and 1.
struct HingeTarget {
  const float factor, offset;
  explicit HingeTarget(const LossRows& a)
      : factor(a.binary_targets ? 2.0f : 1.0f), offset(a.binary_targets ? -1.0f : 0.0f) {}
  FASTCNN_INLINED Vec operator()(Vec t) const { return t * factor + offset; }
};

struct Hinge {
  static constexpr bool kMean = true;
  const HingeTarget target;
  explicit Hinge(const LossRows& a) : target(a) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec wanted = target(t), m = 1.0f - wanted * x;
    return {relu(m), m > Vec{} ? -wanted : (m == m ? Vec{} : m)};
  }
};

struct SquaredHinge {
  static constexpr bool kMean = true;
  const HingeTarget target;
  explicit SquaredHinge(const LossRows& a) : target(a) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec wanted = target(t), m = relu(1.0f - wanted * x);
    return {m * m, -2.0f * wanted * m};
  }
};

struct Poisson {
  static constexpr bool kMean = true;
  explicit Poisson(const LossRows&) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec p = x + kEpsilon;
    return {x - t * log(p), 1.0f - t / p};
  }
};

struct KlDivergence {
  static constexpr bool kMean = false;
  explicit KlDivergence(const LossRows&) {}
  FASTCNN_INLINED Term operator()(Vec x, Vec t) const {
    const Vec p = at_most(at_least(x, kEpsilon), 1.0f), wanted = at_most(at_least(t, kEpsilon), 1.0f);
    const Vec ratio = wanted / p;
    return {wanted * log(ratio), (x < kEpsilon) | (x > 1.0f) ? Vec{} : -ratio};
  }
};

// t is moved towards 1/2.
struct SmoothTarget {
  const float keep, share;
  explicit SmoothTarget(const LossRows& a)
      : keep((float)(1.0 - a.shape->label_smoothing)), share((float)(0.5 * a.shape->label_smoothing)) {}
  FASTCNN_INLINED Vec operator()(Vec t) const { return t * keep + share; }
};

struct BinaryFromLogits {
  static constexpr bool kMean = true;
  const SmoothTarget target;
  explicit BinaryFromLogits(const LossRows& a) : target(a) {}
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
  explicit Binary(const LossRows& a) : target(a) {}
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
  explicit BinaryFocal(const LossRows& a)
      : target(a),
        alpha((float)a.shape->alpha),
        gamma((float)a.shape->beta),
        balancing(a.shape->class_balancing) {}
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

constexpr int64_t kBlock = 1024;

template <class F, bool kWeighted>
double sum_of_elements(const LossRows& a) {
  const F f(a);
  const double divisor = F::kMean ? (double)a.cols : 1.0;
  const float scale = (float)(a.scale / divisor);
  const int64_t count = a.rows * a.cols;
  Weights weights(a);
  float weight[kBlock], current = 0;
  int64_t left_in_row = 0;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = count - begin < kBlock ? count - begin : kBlock;
    if (kWeighted) {
      for (int64_t i = 0; i < size; ++i, --left_in_row) {
        if (left_in_row == 0) current = weights.next(), left_in_row = a.cols;
        weight[i] = current;
      }
    }
    Vec sums = {};
    for_each_vector(size, [&](auto block, int64_t i) FASTCNN_INLINED {
      const Term term = f(block.get(a.x + begin + i), block.get(a.target + begin + i));
      const Vec w = kWeighted ? block.get(weight + i) : broadcast(1.0f);
      sums += block.only(kWeighted ? w * term.value : term.value, Vec{});
      if (a.dx) block.put(a.dx + begin + i, term.slope * (kWeighted ? w * scale : broadcast(scale)));
    });
    total += lane_sum(sums);
  }
  return total / divisor;
}

template <class F>
double elements(const LossRows& a) {
  return a.weights ? sum_of_elements<F, true>(a) : sum_of_elements<F, false>(a);
}

// L = max(0, 1 + max_j (1 - t_j) x_j - sum_j t_j x_j)
double categorical_hinge(const LossRows& a) {
  Weights weights(a);
  double total = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const float *x = a.x + r * a.cols, *t = a.target + r * a.cols, weight = weights.next();
    const Vec lowest = broadcast(-__builtin_inff());
    Vec sums = {}, greatest = lowest;
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec v = block.get(x + j), wanted = block.get(t + j);
      const Vec against = block.only((1.0f - wanted) * v, lowest);
      sums += wanted * v;
      greatest = against > greatest ? against : greatest;
    });
    const float highest = lane_max(greatest), margin = highest - lane_sum(sums) + 1.0f;
    total += (double)weight * (margin < 0 ? 0.0f : margin);
    if (!a.dx) continue;
    float* dx = a.dx + r * a.cols;
    const float scale = (float)(a.scale * (double)weight) * (margin > 0         ? 1.0f
                                                             : margin == margin ? 0.0f
                                                                                : margin);
    int64_t first = 0;  // found before dx, which may be x, is written
    while (first < a.cols && (1.0f - t[first]) * x[first] != highest) ++first;
    for_each_vector(
        a.cols, [&](auto block, int64_t j) FASTCNN_INLINED { block.put(dx + j, -block.get(t + j) * scale); });
    if (first < a.cols) dx[first] = (1.0f - t[first] - t[first]) * scale;
  }
  return total;
}

// L = -sum_j x_j t_j / (|x| |t|), each length at least 1e-7
double cosine(const LossRows& a) {
  Weights weights(a);
  double total = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const float *x = a.x + r * a.cols, *t = a.target + r * a.cols, weight = weights.next();
    Vec xx = {}, tt = {}, xt = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec v = block.get(x + j), wanted = block.get(t + j);
      xx = fma(v, v, xx);
      tt = fma(wanted, wanted, tt);
      xt = fma(v, wanted, xt);
    });
    const float length = sqrt(broadcast(lane_sum(xx)))[0];
    const float x_length = length < kEpsilon ? kEpsilon : length;
    const float t_length = at_least(sqrt(broadcast(lane_sum(tt))), kEpsilon)[0];
    const float similarity = lane_sum(xt) / x_length / t_length;
    total -= (double)weight * similarity;
    if (!a.dx) continue;
    const float scale = (float)(a.scale * (double)weight) / x_length;
    // A clipped length does not change with x.
    const float along = length < kEpsilon ? 0.0f : similarity / x_length;
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      block.put(a.dx + r * a.cols + j, (block.get(x + j) * along - block.get(t + j) / t_length) * scale);
    });
  }
  return total;
}

void overlap_sums(const LossRows& a, OverlapSums* sums) {
  *sums = {0, 0, 0};
  const int64_t count = a.rows * a.cols;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = count - begin < kBlock ? count - begin : kBlock;
    Vec target = {}, prediction = {}, both = {};
    for_each_vector(size, [&](auto block, int64_t i) FASTCNN_INLINED {
      const Vec x = block.get(a.x + begin + i), t = block.get(a.target + begin + i);
      target += t;
      prediction += x;
      both = fma(t, x, both);
    });
    sums->target += lane_sum(target);
    sums->prediction += lane_sum(prediction);
    sums->both += lane_sum(both);
  }
}

void overlap_bwd(const LossRows& a, double t_factor, double constant) {
  const float slope = (float)t_factor;
  const Vec offset = broadcast((float)constant);
  for_each_vector(a.rows * a.cols, [&](auto block, int64_t i) FASTCNN_INLINED {
    block.put(a.dx + i, block.get(a.target + i) * slope + offset);
  });
}

bool all_binary(const float* t, int64_t count) {
  IVec others = {};
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec v = block.get(t + i);
    others |= (v != Vec{}) & (v != 1.0f);
  });
  bool any = false;
  for (int lane = 0; lane < kLanes; ++lane) any |= others[lane] != 0;
  return !any;
}

}  // namespace

extern const LossKernels loss_kernels;
const LossKernels loss_kernels = {elements<Squared>,
                                  elements<Absolute>,
                                  elements<Percentage>,
                                  elements<SquaredLogarithmic>,
                                  elements<Huber>,
                                  elements<LogCosh>,
                                  elements<Hinge>,
                                  elements<SquaredHinge>,
                                  elements<Poisson>,
                                  elements<KlDivergence>,
                                  elements<Binary>,
                                  elements<BinaryFromLogits>,
                                  elements<BinaryFocal<false>>,
                                  elements<BinaryFocal<true>>,
                                  categorical_hinge,
                                  cosine,
                                  overlap_sums,
                                  overlap_bwd,
                                  all_binary};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
