// SPDX-License-Identifier: Apache-2.0
// The loss of a row and its gradient, by a team of threads: x, dx [rows, cols] of Ns, target int32 labels
// [rows] for the sparse loss and float32 [rows, cols] for the others. Functors of loss.cu, which looks
// through the batch first where they need to know of it.
#pragma once
#include "stored.h"

#include "../base/formulas/loss.h"

FASTCNN_FORMULAS_BEGIN

// What the losses of rows need to know of the batch.
struct Survey {
  double counted;                   // rows, or the sum of their weights
  double target, prediction, both;  // sums of t, x and t x
  int64_t binary;                   // all targets are 0 or 1
};

template <class N>
struct Batch {
  LossShape s;
  const N* x;
  const int32_t* labels;
  const float *target, *weights, *alpha;
  N* dx;
  float* values;
  LossResult* result;
  double* row_loss;
  int64_t* row_correct;
  Survey* survey;
  int32_t by_weight, surveyed;

  FASTCNN_INLINED double weight(int64_t row) const {
    return weights ? double(weights[row / s.rows_per_weight]) : 1.0;
  }
  FASTCNN_INLINED bool ignored(int64_t row) const { return s.ignores && labels[row] == s.ignore_class; }
  FASTCNN_INLINED bool overlap() const { return s.loss == Loss::kTversky && !s.by_row; }
  FASTCNN_INLINED double divisor() const {
    if (s.reduction == Reduction::kSum || (overlap() && !s.rows_per_weight)) return 1.0;
    if ((overlap() && s.reduction == Reduction::kSumOverBatchSize) || !surveyed) return double(s.rows);
    return survey->counted;
  }
  FASTCNN_INLINED double scale() const {
    const double by = divisor();
    return by != 0.0 ? s.weight / by : 0.0;
  }
};

// One row for a team.
template <class N>
struct Row {
  const N* x;
  const float* target;
  N* dx;
  int64_t cols, label;
  double weight, scale;  // scale: of dx, by the weight too
};

inline bool is_hinge(const LossShape& s) { return s.loss == Loss::kHinge || s.loss == Loss::kSquaredHinge; }

// L = 1 - I / D, I = sum t x, D = I + alpha sum t (1 - x) + beta sum (1 - t) x + epsilon, dx = slope t +
// offset.
struct TverskyTerms {
  double loss, slope, offset;
};
FASTCNN_INLINE TverskyTerms tversky_of(const LossShape& s, const Survey& sums, double weight, double scale) {
  const double straight = 1.0 - s.alpha - s.beta;
  const double d = straight * sums.both + s.alpha * sums.target + s.beta * sums.prediction + s.epsilon;
  return {weight * (1.0 - sums.both / d), weight * scale * (straight * sums.both - d) / (d * d),
          weight * scale * s.beta * sums.both / (d * d)};
}

template <class N>
FASTCNN_INLINE TverskyTerms tversky_of(const Batch<N>& b) {
  return tversky_of(b.s, *b.survey, b.s.rows_per_weight ? b.survey->counted : 1.0, b.scale());
}

// Sum or mean over the elements of a row, by the functions of base/formulas/loss.h.
template <class F>
struct Elements {
  template <class T, class N>
  FASTCNN_INLINED static double run(T, const Batch<N>& b, const Row<N>& row) {
    const F f(b.s, b.surveyed && b.survey->binary);
    const double divisor = F::kMean ? double(row.cols) : 1.0;
    const float scale = float(row.scale / divisor);
    float sum = 0.0f;
    for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) {
      const Term term = f(row.x[j], row.target[j]);
      sum += term.value;
      if (row.dx) row.dx[j] = term.slope * scale;
    }
    return row.weight * double(T::sum(sum)) / divisor;
  }
};

// 1 at the label, or targets moved towards 1 / cols.
struct Targets {
  const float* at;
  int64_t label;
  float keep, share;
  template <class N>
  FASTCNN_INLINED Targets(const Batch<N>& b, const Row<N>& row)
      : at(b.labels ? nullptr : row.target),
        label(row.label),
        keep(float(1.0 - b.s.label_smoothing)),
        share(float(b.s.label_smoothing / double(row.cols))) {}
  FASTCNN_INLINED float operator[](int64_t j) const {
    return at ? at[j] * keep + share : j == label ? 1.0f : 0.0f;
  }
};

// t v, and 0 where t is 0 whatever v.
FASTCNN_INLINE float weighted(float t, float v) { return t == 0.0f ? 0.0f : t * v; }

constexpr float kLow = 1e-7f, kHigh = 1.0f - 1e-7f;
FASTCNN_INLINE float clipped(float q) { return q < kLow ? kLow : q > kHigh ? kHigh : q; }

struct CrossentropyFromLogits {
  template <class T, class N>
  FASTCNN_INLINED static double run(T team, const Batch<N>& b, const Row<N>& row) {
    const Targets targets(b, row);
    const float highest = greatest_of(team, row.x, row.cols), scale = float(row.scale);
    float sum = 0.0f, total = 0.0f, products = 0.0f;
    for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) {
      const float shifted = row.x[j] - highest, t = targets[j];
      sum += exp(shifted), total += t, products += weighted(t, shifted);
    }
    sum = T::sum(sum), total = T::sum(total), products = T::sum(products);
    for (int64_t j = T::rank(); row.dx && j < row.cols; j += T::kWidth)
      row.dx[j] = (exp(row.x[j] - highest) / sum * total - targets[j]) * scale;
    return row.weight * (double(total) * double(log(sum)) - double(products));
  }
};

template <class T, class N>
FASTCNN_INLINE float sum_of(T, const N* x, int64_t cols) {
  float sum = 0.0f;
  for (int64_t j = T::rank(); j < cols; j += T::kWidth) sum += x[j];
  return T::sum(sum);
}

struct CrossentropyFromProbabilities {
  template <class T, class N>
  FASTCNN_INLINED static double run(T team, const Batch<N>& b, const Row<N>& row) {
    const Targets targets(b, row);
    const float sum = sum_of(team, row.x, row.cols), scale = float(row.scale);
    float total = 0.0f, products = 0.0f;
    for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) {
      const float q = row.x[j] / sum, t = targets[j], inside = clipped(q);
      products += weighted(t, log(inside));
      total += inside == q ? t : 0.0f;
    }
    total = T::sum(total), products = T::sum(products);
    for (int64_t j = T::rank(); row.dx && j < row.cols; j += T::kWidth) {
      const float q = row.x[j] / sum, t = targets[j];
      row.dx[j] = (total - (q < kLow || q > kHigh ? 0.0f : t / q)) / sum * scale;
    }
    return row.weight * -double(products);
  }
};

// dL/dx = q (g' - sum(g' q)) from logits, (g' - sum(g' q)) / sum(x) from probabilities; slope() is g' over
// alpha, which is one for all classes or has one for each of them.
template <bool kLogits>
struct Focal {
  FASTCNN_INLINED static float slope(float q, float t, float gamma) {
    const float rest = 1.0f - q, by_log = t * power(rest, gamma) / q;
    const float by_factor = gamma == 0.0f ? 0.0f : gamma * (t * power(rest, gamma - 1.0f)) * log(q);
    return q < kLow || q > kHigh ? 0.0f : by_factor - by_log;
  }
  template <class T, class N>
  FASTCNN_INLINED static double run(T team, const Batch<N>& b, const Row<N>& row) {
    const Targets targets(b, row);
    const float alpha = b.alpha ? 1.0f : float(b.s.alpha), gamma = float(b.s.beta), scale = float(row.scale);
    const auto of_class = [&](int64_t j) { return b.alpha ? b.alpha[j] : 1.0f; };
    const float highest = kLogits ? greatest_of(team, row.x, row.cols) : 0.0f;
    float sum = 0.0f;
    if (kLogits) {
      for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) sum += exp(row.x[j] - highest);
      sum = T::sum(sum);
    } else {
      sum = sum_of(team, row.x, row.cols);
    }
    const auto prediction = [&](int64_t j) { return (kLogits ? exp(row.x[j] - highest) : row.x[j]) / sum; };
    float losses = 0.0f, products = 0.0f;
    for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) {
      const float q = prediction(j), t = targets[j], inside = clipped(q);
      losses += weighted(t, power(1.0f - inside, gamma) * log(inside)) * of_class(j);
      products += slope(q, t, gamma) * of_class(j) * q;
    }
    losses = T::sum(losses), products = T::sum(products);
    for (int64_t j = T::rank(); row.dx && j < row.cols; j += T::kWidth) {
      const float q = prediction(j), g = slope(q, targets[j], gamma) * of_class(j) - products;
      row.dx[j] = (kLogits ? g * q : g / sum) * (alpha * scale);
    }
    return row.weight * -double(alpha * losses);
  }
};

// L = max(0, 1 + max_j (1 - t_j) x_j - sum_j t_j x_j)
struct CategoricalHinge {
  template <class T, class N>
  FASTCNN_INLINED static double run(T, const Batch<N>&, const Row<N>& row) {
    float highest = -HUGE_VALF, sum = 0.0f;
    for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) {
      const float against = (1.0f - row.target[j]) * row.x[j];
      sum += row.target[j] * row.x[j];
      highest = against > highest ? against : highest;
    }
    highest = T::all(highest, Greater{}), sum = T::sum(sum);
    const float margin = highest - sum + 1.0f;
    int64_t first = row.cols;
    for (int64_t j = T::rank(); j < row.cols; j += T::kWidth)
      if (j < first && (1.0f - row.target[j]) * row.x[j] == highest) first = j;
    first = T::all(first, Lesser{});
    const float factor = margin > 0.0f ? 1.0f : margin == margin ? 0.0f : margin;
    const float scale = float(row.scale) * factor;
    for (int64_t j = T::rank(); row.dx && j < row.cols; j += T::kWidth)
      row.dx[j] = j == first ? (1.0f - row.target[j] - row.target[j]) * scale : -row.target[j] * scale;
    return row.weight * double(margin < 0.0f ? 0.0f : margin);
  }
};

// L = -sum_j x_j t_j / (|x| |t|), each length at least 1e-7
struct Cosine {
  template <class T, class N>
  FASTCNN_INLINED static double run(T, const Batch<N>&, const Row<N>& row) {
    float xx = 0.0f, tt = 0.0f, xt = 0.0f;
    for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) {
      xx = fma(row.x[j], row.x[j], xx), tt = fma(row.target[j], row.target[j], tt);
      xt = fma(row.x[j], row.target[j], xt);
    }
    const float length = sqrt(T::sum(xx)), x_length = at_least(length, kEpsilon);
    const float t_length = at_least(sqrt(T::sum(tt)), kEpsilon);
    const float similarity = T::sum(xt) / x_length / t_length, scale = float(row.scale) / x_length;
    const float along = length < kEpsilon ? 0.0f : similarity / x_length;  // a clipped length does not change
    for (int64_t j = T::rank(); row.dx && j < row.cols; j += T::kWidth)
      row.dx[j] = (row.x[j] * along - row.target[j] / t_length) * scale;
    return row.weight * -double(similarity);
  }
};

// Of the batch, or of each row.
template <bool kByRow>
struct Tversky {
  template <class T, class N>
  FASTCNN_INLINED static double run(T, const Batch<N>& b, const Row<N>& row) {
    TverskyTerms terms;
    if (kByRow) {
      Survey sums = {0.0, 0.0, 0.0, 0.0, 0};
      for (int64_t j = T::rank(); j < row.cols; j += T::kWidth) {
        const double t = double(row.target[j]), x = double(row.x[j]);
        sums.target += t, sums.prediction += x, sums.both += t * x;
      }
      sums.target = T::sum(sums.target), sums.prediction = T::sum(sums.prediction);
      sums.both = T::sum(sums.both);
      terms = tversky_of(b.s, sums, row.weight, b.scale());
    } else {
      terms = tversky_of(b);
    }
    const float slope = float(terms.slope), offset = float(terms.offset);
    for (int64_t j = T::rank(); row.dx && j < row.cols; j += T::kWidth)
      row.dx[j] = row.target[j] * slope + offset;
    return kByRow ? terms.loss : 0.0;
  }
};

FASTCNN_FORMULAS_END
