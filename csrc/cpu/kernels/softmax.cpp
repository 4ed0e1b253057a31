// SPDX-License-Identifier: Apache-2.0
// Softmax y = exp(x - max x) / sum, its gradient dx = y (dy - sum(dy y)), log-softmax y = x - max x -
// log(sum), its gradient dx = dy - exp(y) sum(dy), and the losses of a row with target
// t, for q = softmax(x), or x / sum(x) of probabilities:
//   from logits         L = -sum_j t_j log q_j                       dL/dx = q sum(t) - t
//   from probabilities  L = -sum_j t_j log clip(q_j)                 dL/dx = (sum over unclipped t - t/q) /
//   sum(x) focal               L = sum_j g_j, g = -t alpha (1 - clip(q))^gamma log clip(q)
//                       dL/dx = q (g' - sum(g' q)) from logits, (g' - sum(g' q)) / sum(x) from probabilities
// clip is to [1e-7, 1 - 1e-7], as in Keras; where it acts, t/q and g' are 0. Called by cpu/softmax.cpp and
// cpu/loss.cpp.
#include "softmax.h"

#include "blocks.h"
#include "turn.h"
#include "vec_math.h"
#include "weights.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// How rows lie in vectors: Row::count numbers, taken vector by vector, and a Number for each row.
struct Across {  // one row, its columns in the lanes
  using Number = float;
  static FASTCNN_INLINED float sum(Vec v) { return lane_sum(v); }
  static FASTCNN_INLINED float greatest(Vec v) { return lane_max(v); }
  static FASTCNN_INLINED float log_of(float x) { return log(broadcast(x))[0]; }
  static FASTCNN_INLINED float at(float x, int) { return x; }
  template <class Block>
  static FASTCNN_INLINED Vec of_column(Block block, const float* p, int64_t j) {
    return block.get(p + j);
  }
};
struct Abreast {  // kLanes rows, one in each lane, column after column: narrow rows leave no lane empty
  using Number = Vec;
  static FASTCNN_INLINED Vec sum(Vec v) { return v; }
  static FASTCNN_INLINED Vec greatest(Vec v) { return v; }
  static FASTCNN_INLINED Vec log_of(Vec x) { return log(x); }
  static FASTCNN_INLINED float at(Vec x, int lane) { return x[lane]; }
  template <class Block>
  static FASTCNN_INLINED Vec of_column(Block, const float* p, int64_t j) {
    return broadcast(p[j / kLanes]);
  }
};

// The greatest numbers that are no NaN. (A row with a NaN gets it back through its sum.)
template <class L>
FASTCNN_INLINE auto greatest_of(const float* x, int64_t count) {
  const Vec lowest = broadcast(-__builtin_inff());
  Vec best = lowest;
  for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED {
    best = max_or_second(block.only(block.get(x + j), lowest), best);
  });
  return L::greatest(best);
}

// The most columns of rows that are taken abreast, and, across, of those whose numbers are computed together.
// Found with lanes of 8: a logarithm of each row is better shared for longer, and gradients need too little
// arithmetic for either.
struct Limits {
  int abreast;
  int64_t together;
};
constexpr int kAbreast = 32;
constexpr Limits kFwd = {20, 512}, kLogFwd = {kAbreast, 512}, kBwd = {kLanes - 1, 0};

void turn(const float* x, int rows, int cols, Vec* to) { get_rows(x, rows, cols, to); }
void turn_back(const Vec* from, int rows, int cols, float* y) { put_rows(from, rows, cols, y); }

struct RowArrays {
  const float *a, *b;
  float* to;
  int64_t rows, cols;
};

// For all rows, to[i] depending on a[i], b[i], which may be null, and a number n of the row, that
// number() makes of first(layout, a, b, to, count); then second(layout, a, b, to, count, n) follows. Some
// rows are at each stage at a time, so that one row does not wait for the other.
template <class First, class Number, class Second>
FASTCNN_INLINE void for_rows(const Limits& limits, const RowArrays& of, First first, Number number,
                             Second second) {
  const int64_t cols = of.cols;
  if (cols > limits.abreast) {
    const int64_t some = cols <= limits.together ? kLanes : 1;
    for (int64_t begin = 0; begin < of.rows; begin += some) {
      const int64_t rows = of.rows - begin < some ? of.rows - begin : some;
      float numbers[kLanes] = {};
      const auto each = [&](auto f) FASTCNN_INLINED {
        for (int64_t r = 0, at = begin * cols; r < rows; ++r, at += cols)
          f(of.a + at, of.b ? of.b + at : nullptr, of.to + at, numbers[r]);
      };
      if (some == 1) {
        each([&](const float* a, const float* b, float* to, float&) FASTCNN_INLINED {
          const Vec n = number(broadcast(first(Across{}, a, b, to, cols)));
          second(Across{}, a, b, to, cols, n[0]);
        });
        continue;
      }
      each([&](const float* a, const float* b, float* to, float& n)
               FASTCNN_INLINED { n = first(Across{}, a, b, to, cols); });
      store(numbers, number(load(numbers)));
      each([&](const float* a, const float* b, float* to, float& n)
               FASTCNN_INLINED { second(Across{}, a, b, to, cols, n); });
    }
    return;
  }
  constexpr int kTimes = 4;
  Vec a[kTimes][kAbreast], b[kTimes][kAbreast], numbers[kTimes];
  for (int64_t begin = 0; begin < of.rows; begin += kTimes * kLanes) {
    const int64_t left = of.rows - begin, rows = left < kTimes * kLanes ? left : kTimes * kLanes;
    const auto each = [&](auto f) FASTCNN_INLINED {
      for_each_lanes(rows,
                     [&](int64_t r, int some) FASTCNN_INLINED { f(r / kLanes, (begin + r) * cols, some); });
    };
    each([&](int64_t i, int64_t at, int some) FASTCNN_INLINED {
      turn(of.a + at, some, (int)cols, a[i]);
      if (of.b) turn(of.b + at, some, (int)cols, b[i]);
      numbers[i] = number(first(Abreast{}, (float*)a[i], (float*)b[i], (float*)a[i], cols * kLanes));
    });
    each([&](int64_t i, int64_t at, int some) FASTCNN_INLINED {
      second(Abreast{}, (float*)a[i], (float*)b[i], (float*)a[i], cols * kLanes, numbers[i]);
      turn_back(a[i], some, (int)cols, of.to + at);
    });
  }
}

// The sum of the exponentials of a row less its greatest. y: these, or with kLogs what they are of.
template <bool kLogs, class L>
FASTCNN_INLINE auto sum_of_powers(L layout, const float* x, float* y, int64_t count) {
  const auto highest = greatest_of<L>(x, count);
  Vec sums = {};
  for_each_block<2>(count, [&](auto block, int64_t j) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, j += kLanes) {
      const Vec shifted = block.get(x + j) - highest, e = exp_of_negative(shifted);
      block.put(y + j, kLogs ? shifted : e);
      sums += block.only(e, Vec{});
    }
  });
  return layout.sum(sums);
}

void fwd(const float* x, float* y, int64_t rows, int64_t cols) {
  for_rows(
      kFwd, {x, nullptr, y, rows, cols},
      [](auto layout, const float* x, const float*, float* y, int64_t count)
          FASTCNN_INLINED { return sum_of_powers<false>(layout, x, y, count); },
      [](Vec sum) FASTCNN_INLINED { return 1.0f / sum; },
      [](auto, const float*, const float*, float* y, int64_t count, auto share)
          FASTCNN_INLINED { map(y, y, count, [&](Vec e) FASTCNN_INLINED { return e * share; }); });
}

void bwd(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols) {
  for_rows(
      kBwd, {dy, y, dx, rows, cols},
      [](auto layout, const float* dy, const float* y, float*, int64_t count) FASTCNN_INLINED {
        Vec sums = {};
        for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED {
          sums = fma(block.get(dy + j), block.get(y + j), sums);
        });
        return layout.sum(sums);
      },
      [](Vec sum) FASTCNN_INLINED { return sum; },
      [](auto, const float* dy, const float* y, float* dx, int64_t count, auto sum) FASTCNN_INLINED {
        map(dy, y, dx, count, [&](Vec dy, Vec y) FASTCNN_INLINED { return y * (dy - sum); });
      });
}

void log_fwd(const float* x, float* y, int64_t rows, int64_t cols) {
  for_rows(
      kLogFwd, {x, nullptr, y, rows, cols},
      [](auto layout, const float* x, const float*, float* y, int64_t count)
          FASTCNN_INLINED { return sum_of_powers<true>(layout, x, y, count); },
      [](Vec sum) FASTCNN_INLINED { return log(sum); },
      [](auto, const float*, const float*, float* y, int64_t count, auto log_sum) FASTCNN_INLINED {
        map(y, y, count, [&](Vec shifted) FASTCNN_INLINED { return shifted - log_sum; });
      });
}

void log_bwd(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols) {
  for_rows(
      kBwd, {dy, y, dx, rows, cols},
      [](auto layout, const float* dy, const float*, float*, int64_t count) FASTCNN_INLINED {
        Vec sums = {};
        for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED { sums += block.get(dy + j); });
        return layout.sum(sums);
      },
      [](Vec sum) FASTCNN_INLINED { return sum; },
      [](auto, const float* dy, const float* y, float* dx, int64_t count, auto sum) FASTCNN_INLINED {
        map(dy, y, dx, count, [&](Vec dy, Vec y) FASTCNN_INLINED { return dy - exp(y) * sum; });
      });
}

template <class L>
struct Row {
  const float* x;
  float* dx;  // or null
  int64_t count;
  typename L::Number scale;  // of dx
};

// The loss of a row is factor * logarithm - product, in double precision.
template <class L>
struct Terms {
  typename L::Number factor, logarithm, product;
  FASTCNN_INLINED double loss(int lane) const {
    return (double)L::at(factor, lane) * L::at(logarithm, lane) - L::at(product, lane);
  }
};

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
    const Row<Across> row{a.x + r * a.cols, dx, a.cols, (float)(a.scale * weight)};
    if constexpr (kLabels)
      loss += weight * f(Across{}, row, OneHot{a.labels[r]}).loss(0);
    else
      loss += weight * f(Across{}, row, Dense(a, a.target + r * a.cols)).loss(0);
  }
  return loss;
}

template <bool kLabels, class F>
FASTCNN_INLINE double sum_abreast(const LossRows& a, F f) {
  Weights weights(a);
  Vec x[kAbreast], target[kAbreast], dx[kAbreast];
  const int cols = (int)a.cols;
  double loss = 0;
  for_each_lanes(a.rows, [&](int64_t r, int n) FASTCNN_INLINED {
    Vec weight = {}, scale = {};
    IVec labels = {}, counts = IVec{} - 1;
    for (int i = 0; i < n; ++i) {
      const double each = weights.next();
      weight[i] = (float)each;
      scale[i] = (float)(a.scale * each);
      if (kLabels) labels[i] = a.labels[r + i];
      if (kLabels && ignored(a, r + i)) counts[i] = 0;
    }
    turn(a.x + r * cols, n, cols, x);
    if (!kLabels) turn(a.target + r * cols, n, cols, target);
    const Row<Abreast> rows{(float*)x, a.dx ? (float*)dx : nullptr, a.cols * kLanes, scale};
    Terms<Abreast> terms;
    if constexpr (kLabels)
      terms = f(Abreast{}, rows, OneHotAbreast{labels});
    else
      terms = f(Abreast{}, rows, Dense(a, (float*)target));
    for (int i = 0; i < n; ++i)
      if (counts[i]) loss += (double)weight[i] * terms.loss(i);
    if (!a.dx) return;
    if (kLabels && a.shape->ignores)
      for (int j = 0; j < cols; ++j) dx[j] = counts ? dx[j] : Vec{};
    turn_back(dx, n, cols, a.dx + r * cols);
  });
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
    for_each_vector(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec shifted = block.get(row.x + j) - highest, t = target.get(block, j),
                e = exp_of_negative(shifted);
      if (row.dx) block.put(row.dx + j, e);
      sums += block.only(e, Vec{});
      totals += t;
      products += weighted(t, shifted);
    });
    const auto sum = L::sum(sums), total = L::sum(totals);
    if (row.dx) {
      for_each_vector(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
        block.put(row.dx + j, (block.get(row.dx + j) / sum * total - target.get(block, j)) * row.scale);
      });
    }
    return Terms<L>{total, L::log_of(sum), L::sum(products)};
  });
}

constexpr float kLow = 1e-7f, kHigh = 1.0f - 1e-7f;
FASTCNN_INLINE Vec clip(Vec q) { return q < kLow ? broadcast(kLow) : (q > kHigh ? broadcast(kHigh) : q); }

template <class L>
FASTCNN_INLINE auto sum_of(const float* x, int64_t count) {
  Vec sums = {};
  for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED { sums += block.get(x + j); });
  return L::sum(sums);
}

template <bool kLabels>
double from_probabilities(const LossRows& a) {
  return sum_of_rows<kLabels>(a, [](auto layout, const auto& row, const auto& target) FASTCNN_INLINED {
    using L = decltype(layout);
    const auto sum = sum_of<L>(row.x, row.count);
    Vec totals = {}, products = {};
    for_each_vector(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = block.get(row.x + j) / sum, t = target.get(block, j), clipped = clip(q);
      products += block.only(weighted(t, log(clipped)), Vec{});
      totals += clipped == q ? t : Vec{};
    });
    const auto total = L::sum(totals);
    if (row.dx) {
      for_each_vector(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
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
  typename L::Number highest, sum;
  FASTCNN_INLINED FromLogits(const float* x, int64_t count) : highest(greatest_of<L>(x, count)) {
    Vec sums = {};
    for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED {
      sums += block.only(exp_of_negative(block.get(x + j) - highest), Vec{});
    });
    sum = L::sum(sums);
  }
  FASTCNN_INLINED Vec get(Vec x) const { return exp_of_negative(x - highest) / sum; }
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
    for_each_vector(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = prediction.get(block.get(row.x + j)), t = wanted(block, j), clipped = clip(q);
      losses += block.only(weighted(t, power_of(1.0f - clipped, gamma) * log_of(clipped)), Vec{});
      if (row.dx) products += block.only(slope(q, t) * q, Vec{});
    });
    if (row.dx) {
      const auto product = L::sum(products);
      for_each_vector(row.count, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec q = prediction.get(block.get(row.x + j)), t = wanted(block, j);
        block.put(row.dx + j, prediction.back(slope(q, t) - product, q) * (alpha * row.scale));
      });
    }
    return Terms<L>{{}, {}, alpha * L::sum(losses)};
  });
}

int64_t argmax(const float* x, int64_t count) {
  IVec nans = {};
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec v = block.get(x + i);
    nans |= v != v;
  });
  bool any = false;
  for (int lane = 0; lane < kLanes; ++lane) any |= nans[lane] != 0;
  const float highest = greatest_of<Across>(x, count);
  int64_t i = 0;
  while (any ? x[i] == x[i] : x[i] != highest) ++i;
  return i;
}

}  // namespace

extern const SoftmaxKernels softmax_kernels;
const SoftmaxKernels softmax_kernels = {fwd,
                                        bwd,
                                        log_fwd,
                                        log_bwd,
                                        from_logits<true>,
                                        from_probabilities<true>,
                                        from_logits<false>,
                                        from_probabilities<false>,
                                        focal<FromLogits>,
                                        focal<FromProbabilities>,
                                        argmax};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
