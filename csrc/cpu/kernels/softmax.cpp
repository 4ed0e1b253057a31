// SPDX-License-Identifier: Apache-2.0
// Softmax y = exp(x - max x) / sum, its gradient dx = y (dy - sum(dy y)), and the losses of a row with target
// t, for q = softmax(x), or x / sum(x) of probabilities:
//   from logits         L = -sum_j t_j log q_j                       dL/dx = q sum(t) - t
//   from probabilities  L = -sum_j t_j log clip(q_j)                 dL/dx = (sum over unclipped t - t/q) /
//   sum(x) focal               L = sum_j g_j, g = -t alpha (1 - clip(q))^gamma log clip(q)
//                       dL/dx = q (g' - sum(g' q)) from logits, (g' - sum(g' q)) / sum(x) from probabilities
// clip is to [1e-7, 1 - 1e-7], as in Keras; where it acts, t/q and g' are 0. Called by cpu/softmax.cpp and
// cpu/loss.cpp.
#include "softmax.h"

#include "blocks.h"
#include "vec_math.h"
#include "weights.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// The greatest of the lanes that are no NaN. (A row with a NaN gets it back through its sum.)
FASTCNN_INLINE float row_max(const float* x, int64_t cols) {
  const Vec lowest = broadcast(-__builtin_inff());
  Vec best = lowest;
  for_each_vector(cols, [&](auto block, int64_t j) FASTCNN_INLINED {
    const Vec v = block.only(block.get(x + j), lowest);
    best = v > best ? v : best;
  });
  return lane_max(best);
}

void fwd(const float* x, float* y, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float highest = row_max(x, cols);
    Vec sums = {};
    for_each_vector(cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec e = exp(block.get(x + j) - highest);
      block.put(y + j, e);
      sums += block.only(e, Vec{});
    });
    const float sum = lane_sum(sums);
    for_each_vector(cols,
                    [&](auto block, int64_t j) FASTCNN_INLINED { block.put(y + j, block.get(y + j) / sum); });
  }
}

void bwd(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r, dy += cols, y += cols, dx += cols) {
    Vec sums = {};
    for_each_vector(cols, [&](auto block, int64_t j)
                              FASTCNN_INLINED { sums = fma(block.get(dy + j), block.get(y + j), sums); });
    const float sum = lane_sum(sums);
    for_each_vector(cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      block.put(dx + j, block.get(y + j) * (block.get(dy + j) - sum));
    });
  }
}

// The target of a row: 1 at the label and 0 elsewhere, or as it stands in memory, moved towards 1 / cols.
struct OneHot {
  int64_t label;
  bool ignored;
  OneHot(const LossRows& a, int64_t r)
      : label(a.labels[r]), ignored(a.shape->ignores && label == a.shape->ignore_class) {}
  template <class Block>
  FASTCNN_INLINED Vec get(Block, int64_t j) const {
    const int64_t lane = label - j;
    return iota() == (lane >= 0 && lane < kLanes ? (int32_t)lane : -1) ? broadcast(1.0f) : Vec{};
  }
};
struct Dense {
  static constexpr bool ignored = false;
  const float* row;
  float keep, share;
  Dense(const LossRows& a, int64_t r)
      : row(a.target + r * a.cols),
        keep((float)(1.0 - a.shape->label_smoothing)),
        share((float)(a.shape->label_smoothing / (double)a.cols)) {}
  template <class Block>
  FASTCNN_INLINED Vec get(Block block, int64_t j) const {
    return block.only(block.get(row + j) * keep + share, Vec{});
  }
};

// t v, and 0 where t is 0 whatever v: a logit of -inf in a class that is not wanted costs nothing.
FASTCNN_INLINE Vec weighted(Vec t, Vec v) { return t == Vec{} ? Vec{} : t * v; }

// Sum over the rows of weight * row(target, r, scale of the row's dx).
template <class Target, class F>
FASTCNN_INLINE double sum_of_rows(const LossRows& a, F row) {
  Weights weights(a);
  double loss = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const Target target(a, r);
    const double weight = weights.next();
    if (!target.ignored) {
      loss += weight * row(target, r, (float)(a.scale * weight));
    } else if (a.dx) {
      for_each_vector(
          a.cols, [&](auto block, int64_t j) FASTCNN_INLINED { block.put(a.dx + r * a.cols + j, Vec{}); });
    }
  }
  return loss;
}

template <class Target>
double from_logits(const LossRows& a) {
  return sum_of_rows<Target>(a, [&](const Target& target, int64_t r, float scale) FASTCNN_INLINED {
    const float* x = a.x + r * a.cols;
    float* dx = a.dx ? a.dx + r * a.cols : nullptr;
    const float highest = row_max(x, a.cols);
    Vec sums = {}, totals = {}, products = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec shifted = block.get(x + j) - highest, t = target.get(block, j), e = exp(shifted);
      if (dx) block.put(dx + j, e);
      sums += block.only(e, Vec{});
      totals += t;
      products += weighted(t, shifted);
    });
    const float sum = lane_sum(sums), total = lane_sum(totals);
    if (dx) {
      for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
        block.put(dx + j, (block.get(dx + j) / sum * total - target.get(block, j)) * scale);
      });
    }
    return (double)total * log(broadcast(sum))[0] - lane_sum(products);
  });
}

constexpr float kLow = 1e-7f, kHigh = 1.0f - 1e-7f;
FASTCNN_INLINE Vec clip(Vec q) { return q < kLow ? broadcast(kLow) : (q > kHigh ? broadcast(kHigh) : q); }

FASTCNN_INLINE float row_sum(const float* x, int64_t cols) {
  Vec sums = {};
  for_each_vector(cols, [&](auto block, int64_t j) FASTCNN_INLINED { sums += block.get(x + j); });
  return lane_sum(sums);
}

template <class Target>
double from_probabilities(const LossRows& a) {
  return sum_of_rows<Target>(a, [&](const Target& target, int64_t r, float scale) FASTCNN_INLINED {
    const float* x = a.x + r * a.cols;
    const float sum = row_sum(x, a.cols);
    Vec totals = {}, products = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = block.get(x + j) / sum, t = target.get(block, j), clipped = clip(q);
      products += block.only(weighted(t, log(clipped)), Vec{});
      totals += clipped == q ? t : Vec{};
    });
    const float total = lane_sum(totals);
    if (a.dx) {
      for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec q = block.get(x + j) / sum, t = target.get(block, j);
        const Vec g = ((q < kLow) | (q > kHigh)) ? Vec{} : t / q;
        block.put(a.dx + r * a.cols + j, (total - g) / sum * scale);
      });
    }
    return (double)-lane_sum(products);
  });
}

// q of a row, computed again in each pass: dx, which may be x, is not written before the last.
struct FromLogits {
  float highest, sum;
  FASTCNN_INLINED FromLogits(const float* x, int64_t cols) : highest(row_max(x, cols)) {
    Vec sums = {};
    for_each_vector(cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      sums += block.only(exp(block.get(x + j) - highest), Vec{});
    });
    sum = lane_sum(sums);
  }
  FASTCNN_INLINED Vec get(Vec x) const { return exp(x - highest) / sum; }
  FASTCNN_INLINED Vec back(Vec g, Vec q) const { return g * q; }
};
struct FromProbabilities {
  float sum;
  FASTCNN_INLINED FromProbabilities(const float* x, int64_t cols) : sum(row_sum(x, cols)) {}
  FASTCNN_INLINED Vec get(Vec x) const { return x / sum; }
  FASTCNN_INLINED Vec back(Vec g, Vec) const { return g / sum; }
};

template <class Prediction>
double focal(const LossRows& a) {
  const float alpha = (float)a.shape->alpha, gamma = (float)a.shape->beta;
  return sum_of_rows<Dense>(a, [&](const Dense& target, int64_t r, float scale) FASTCNN_INLINED {
    const float* x = a.x + r * a.cols;
    const Prediction prediction(x, a.cols);
    // alpha times this is g'
    const auto slope = [&](Vec q, Vec t) FASTCNN_INLINED {
      const Vec rest = 1.0f - q, by_log = t * power(rest, gamma) / q;
      const Vec by_factor = gamma == 0.0f ? Vec{} : gamma * (t * power(rest, gamma - 1.0f)) * log(q);
      return (q < kLow) | (q > kHigh) ? Vec{} : by_factor - by_log;
    };
    Vec losses = {}, products = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = prediction.get(block.get(x + j)), t = target.get(block, j), clipped = clip(q);
      losses -= block.only(weighted(t, power(1.0f - clipped, gamma) * log(clipped)), Vec{});
      if (a.dx) products += block.only(slope(q, t) * q, Vec{});
    });
    if (a.dx) {
      const float product = lane_sum(products);
      for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
        const Vec q = prediction.get(block.get(x + j)), t = target.get(block, j);
        block.put(a.dx + r * a.cols + j, prediction.back(slope(q, t) - product, q) * (alpha * scale));
      });
    }
    return (double)(alpha * lane_sum(losses));
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
  const float highest = row_max(x, count);
  int64_t i = 0;
  while (any ? x[i] == x[i] : x[i] != highest) ++i;
  return i;
}

}  // namespace

extern const SoftmaxKernels softmax_kernels;
const SoftmaxKernels softmax_kernels = {fwd,
                                        bwd,
                                        from_logits<OneHot>,
                                        from_probabilities<OneHot>,
                                        from_logits<Dense>,
                                        from_probabilities<Dense>,
                                        focal<FromLogits>,
                                        focal<FromProbabilities>,
                                        argmax};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
