// SPDX-License-Identifier: Apache-2.0
// Losses over classes, of a row with target t, for q = softmax(x), or x / sum(x) of probabilities:
//   from logits         L = -sum_j t_j log q_j                       dL/dx = q sum(t) - t
//   from probabilities  L = -sum_j t_j log clip(q_j)                 dL/dx = (sum over unclipped t - t/q) /
//   sum(x) focal               L = sum_j g_j, g = -t alpha (1 - clip(q))^gamma log clip(q)
//                       dL/dx = q (g' - sum(g' q)) from logits, (g' - sum(g' q)) / sum(x) from probabilities
// clip is to [1e-7, 1 - 1e-7], as in Keras; where it acts, t/q and g' are 0. Called by cpu/loss.cpp.
#include "class_loss.h"

#include "doubles.h"
#include "own.h"
#include "row_layouts.h"
#include "weights.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <class L>
struct Row {
  const float* x;
  float* dx;                      // or null
  const float *next_x, *next_dx;  // of rows that come later
  int64_t count;
  typename L::Number scale;  // of dx
};

// The loss of a row is factor * logarithm - product, in double precision.
template <class L>
struct Terms {
  typename L::Number factor, logarithm, product;
};
FASTCNN_INLINE double loss_of(const Terms<Across>& of) {
  return (double)of.factor * of.logarithm - of.product;
}
template <bool kUpper>
FASTCNN_INLINE Doubles losses_of(const Terms<Abreast>& of) {
  return half_of<kUpper>(of.factor) * half_of<kUpper>(of.logarithm) - half_of<kUpper>(of.product);
}

// Targets: 1 at the label and 0 elsewhere, or as they stand in memory, moved towards 1 / cols.
struct OneHot {
  int64_t label;
  template <class Block>
  FASTCNN_INLINED Vec get(Block, int64_t j) const {
    const int64_t lane = label - j;
    return iota() == (lane >= 0 && lane < kLanes ? (int32_t)lane : -1) ? broadcast(1.0f) : Vec{};
  }
};
struct OneHotAbreast {
  IVec labels;
  template <class Block>
  FASTCNN_INLINED Vec get(Block, int64_t j) const {
    return labels == (int32_t)(j / kLanes) ? broadcast(1.0f) : Vec{};
  }
};
struct Dense {
  const float* row;
  float keep, share;
  Dense(const LossRows& a, const float* targets)
      : row(targets),
        keep((float)(1.0 - a.shape->label_smoothing)),
        share((float)(a.shape->label_smoothing / (double)a.cols)) {}
  template <class Block>
  FASTCNN_INLINED Vec get(Block block, int64_t j) const {
    return block.only(block.get(row + j) * keep + share, Vec{});
  }
};

// t v, and 0 where t is 0 whatever v: a logit of -inf in a class that is not wanted costs nothing.
FASTCNN_INLINE Vec weighted(Vec t, Vec v) { return t == Vec{} ? Vec{} : t * v; }

FASTCNN_INLINE bool ignored(const LossRows& a, int64_t r) {
  return a.shape->ignores && a.labels[r] == a.shape->ignore_class;
}

template <bool kLabels, class F>
FASTCNN_INLINE double sum_across(const LossRows& a, F f) {
  Weights weights(a);
  double loss = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const double weight = weights.next();
    float* dx = a.dx ? a.dx + r * a.cols : nullptr;
    if (kLabels && ignored(a, r)) {
      if (dx)
        for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED { block.put(dx + j, Vec{}); });
      continue;
    }
    const int64_t next = r + 1 < a.rows ? a.cols : 0;
    const float* x = a.x + r * a.cols;
    const Row<Across> row{x, dx, x + next, dx ? dx + next : x, a.cols, (float)(a.scale * weight)};
    if constexpr (kLabels)
      loss += weight * loss_of(f(Across{}, row, OneHot{a.labels[r]}));
    else
      loss += weight * loss_of(f(Across{}, row, Dense(a, a.target + r * a.cols)));
  }
  return loss;
}

// Row by row the weights, labels and losses of ten classes took as long as all the rest.
template <bool kLabels, class F>
FASTCNN_INLINE double sum_abreast(const LossRows& a, F f) {
  Weights weights(a);
  Vec x[kAbreast], target[kAbreast], dx[kAbreast];
  const int cols = (int)a.cols;
  Doubles low = {}, high = {};
  for_each_lanes(a.rows, [&](int64_t r, int n) FASTCNN_INLINED {
    Vec weight = broadcast(1.0f), scale = broadcast((float)a.scale);
    for (int i = 0; a.weights && i < n; ++i) {
      weight[i] = weights.next();
      scale[i] = (float)(a.scale * (double)weight[i]);
    }
    IVec labels = {}, counts = iota() < n;
    if constexpr (kLabels) labels = vec_to_bits(load_n((const float*)(a.labels + r), n));
    if (kLabels && a.shape->ignores) counts &= labels != (int32_t)a.shape->ignore_class;
    turn(a.x + r * cols, n, cols, x);
    if (!kLabels) turn(a.target + r * cols, n, cols, target);
    const int64_t next = (r + 2 * kLanes <= a.rows ? r + kLanes : r) * cols;
    const Row<Abreast> rows{(float*)x,       a.dx ? (float*)dx : nullptr,
                            a.x + next,      (a.dx ? a.dx : a.x) + next,
                            a.cols * kLanes, scale};
    Terms<Abreast> terms;
    if constexpr (kLabels)
      terms = f(Abreast{}, rows, OneHotAbreast{labels});
    else
      terms = f(Abreast{}, rows, Dense(a, (float*)target));
    terms.factor = counts ? terms.factor : Vec{};
    terms.logarithm = counts ? terms.logarithm : Vec{};
    terms.product = counts ? terms.product : Vec{};
    low += half_of<false>(weight) * losses_of<false>(terms);
    high += half_of<true>(weight) * losses_of<true>(terms);
    if (!a.dx) return;
    if (kLabels && a.shape->ignores)
      for (int j = 0; j < cols; ++j) dx[j] = counts ? dx[j] : Vec{};
    turn_back(dx, n, cols, a.dx + r * cols);
  });
  double loss = 0;
  for (int lane = 0; lane < kLanes / 2; ++lane) loss += low[lane] + high[lane];
  return loss;
}

// Sum over the rows of weight * loss, f(layout, row, target) being the terms of a row, or of kLanes.
template <bool kLabels, class F>
FASTCNN_INLINE double sum_of_rows(const LossRows& a, F f) {
  return a.cols <= kAbreast ? sum_abreast<kLabels>(a, f) : sum_across<kLabels>(a, f);
}

template <bool kLabels>
double from_logits(const LossRows& a) {
  return sum_of_rows<kLabels>(a, [](auto layout, const auto& row, const auto& target) FASTCNN_INLINED {
    using L = decltype(layout);
    const auto highest = greatest_of<L>(row.x, row.count);
    Vec sums = {}, totals = {}, products = {};
    // The exponentials keep their factor of 2^24. While they are computed, the next rows come from far.
    L::for_each(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec shifted = block.get(row.x + j) - highest, t = target.get(block, j),
                e = scaled_exp_of_negative(shifted);
      if (row.dx) {
        if (j % kOwnedFloats == 0) {
          __builtin_prefetch(row.next_x + j, 0, 2);
          own(row.next_dx + j);
        }
        block.put(row.dx + j, e);
      }
      sums += block.only(e, Vec{});
      totals += t;
      products += weighted(t, shifted);
    });
    const auto sum = L::sum(sums), total = L::sum(totals);
    if (row.dx) {
      const auto share = total / sum;
      L::for_each(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec e = block.get(row.dx + j);
        block.put(row.dx + j, fma(e, share - Vec{}, -target.get(block, j)) * row.scale);
      });
    }
    return Terms<L>{total, L::log_of(sum * kNegativeScale), L::sum(products)};
  });
}

constexpr float kLow = 1e-7f, kHigh = 1.0f - 1e-7f;
FASTCNN_INLINE Vec clip(Vec q) { return q < kLow ? broadcast(kLow) : (q > kHigh ? broadcast(kHigh) : q); }

template <class L>
FASTCNN_INLINE auto sum_of(const float* x, int64_t count) {
  Vec sums = {};
  L::for_each(count, [&](auto block, int64_t j) FASTCNN_INLINED { sums += block.get(x + j); });
  return L::sum(sums);
}

template <bool kLabels>
double from_probabilities(const LossRows& a) {
  return sum_of_rows<kLabels>(a, [](auto layout, const auto& row, const auto& target) FASTCNN_INLINED {
    using L = decltype(layout);
    const auto sum = sum_of<L>(row.x, row.count);
    Vec totals = {}, products = {};
    L::for_each(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = block.get(row.x + j) / sum, t = target.get(block, j), clipped = clip(q);
      products += block.only(weighted(t, log(clipped)), Vec{});
      totals += clipped == q ? t : Vec{};
    });
    const auto total = L::sum(totals);
    if (row.dx) {
      L::for_each(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec q = block.get(row.x + j) / sum, t = target.get(block, j);
        const Vec g = ((q < kLow) | (q > kHigh)) ? Vec{} : t / q;
        block.put(row.dx + j, (total - g) / sum * row.scale);
      });
    }
    return Terms<L>{{}, {}, L::sum(products)};
  });
}

// q of a row, computed again in each pass: dx, which may be x, is not written before the last.
template <class L>
struct FromLogits {
  typename L::Number highest, share;
  FASTCNN_INLINED FromLogits(const float* x, int64_t count) : highest(greatest_of<L>(x, count)) {
    Vec sums = {};
    L::for_each(count, [&](auto block, int64_t j) FASTCNN_INLINED {
      sums += block.only(scaled_exp_of_negative(block.get(x + j) - highest), Vec{});
    });
    share = 1.0f / L::sum(sums);
  }
  FASTCNN_INLINED Vec get(Vec x) const { return scaled_exp_of_negative(x - highest) * share; }
  FASTCNN_INLINED Vec back(Vec g, Vec q) const { return g * q; }
};
template <class L>
struct FromProbabilities {
  typename L::Number sum;
  FASTCNN_INLINED FromProbabilities(const float* x, int64_t count) : sum(sum_of<L>(x, count)) {}
  FASTCNN_INLINED Vec get(Vec x) const { return x / sum; }
  FASTCNN_INLINED Vec back(Vec g, Vec) const { return g / sum; }
};

// Not inlined: a dozen of them took half of this file's code.
__attribute__((noinline)) Vec power_of(Vec base, float exponent) { return power(base, exponent); }
__attribute__((noinline)) Vec log_of(Vec x) { return log(x); }

template <template <class> class Prediction>
double focal(const LossRows& a) {
  const float alpha = a.alpha ? 1.0f : (float)a.shape->alpha, gamma = (float)a.shape->beta;
  // alpha times this is g'
  const auto slope = [&](Vec q, Vec t) FASTCNN_INLINED {
    const Vec rest = 1.0f - q, by_log = t * power_of(rest, gamma) / q;
    const Vec by_factor = gamma == 0.0f ? Vec{} : gamma * (t * power_of(rest, gamma - 1.0f)) * log_of(q);
    return (q < kLow) | (q > kHigh) ? Vec{} : by_factor - by_log;
  };
  return sum_of_rows<false>(a, [&](auto layout, const auto& row, const auto& target) FASTCNN_INLINED {
    using L = decltype(layout);
    const Prediction<L> prediction(row.x, row.count);
    // Every term is linear in its target, so that an alpha of each class is a part of it.
    const auto wanted = [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec t = target.get(block, j);
      return a.alpha ? t * L::of_column(block, a.alpha, j) : t;
    };
    Vec losses = {}, products = {};
    L::for_each(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = prediction.get(block.get(row.x + j)), t = wanted(block, j), clipped = clip(q);
      losses += block.only(weighted(t, power_of(1.0f - clipped, gamma) * log_of(clipped)), Vec{});
      if (row.dx) products += block.only(slope(q, t) * q, Vec{});
    });
    if (row.dx) {
      const auto product = L::sum(products);
      L::for_each(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec q = prediction.get(block.get(row.x + j)), t = wanted(block, j);
        block.put(row.dx + j, prediction.back(slope(q, t) - product, q) * (alpha * row.scale));
      });
    }
    return Terms<L>{{}, {}, alpha * L::sum(losses)};
  });
}

}  // namespace

extern const ClassLossKernels class_loss_kernels;
const ClassLossKernels class_loss_kernels = {from_logits<true>,  from_probabilities<true>,
                                             from_logits<false>, from_probabilities<false>,
                                             focal<FromLogits>,  focal<FromProbabilities>};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
