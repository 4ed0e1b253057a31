// SPDX-License-Identifier: Apache-2.0
// Softmax y = exp(x - max x) / sum, its gradient dx = y (dy - sum(dy y)), and the losses of a row with target
// t:
//   from logits          L = -sum_j t_j log softmax(x)_j                   dL/dx = softmax(x) sum(t) - t
//   from probabilities   q = x / sum(x), L = -sum_j t_j log clip(q_j)      dL/dx = (sum over unclipped t -
//   t/q) / sum(x) mean squared error   L = sum_j (x_j - t_j)^2 / cols                    dL/dx = 2 (x - t) /
//   cols
// clip is to [1e-7, 1 - 1e-7], as in Keras; t/q is 0 where it acts. Called by cpu/softmax.cpp and
// cpu/loss.cpp.
#include "softmax.h"

#include "blocks.h"
#include "vec_math.h"

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

// The target of a row: 1 at the label and 0 elsewhere, or as it stands in memory.
struct OneHot {
  int64_t label;
  OneHot(const LossRows& a, int64_t r) : label(a.labels[r]) {}
  template <class Block>
  FASTCNN_INLINED Vec get(Block, int64_t j) const {
    const int64_t lane = label - j;
    return iota() == (lane >= 0 && lane < kLanes ? (int32_t)lane : -1) ? broadcast(1.0f) : Vec{};
  }
};
struct Dense {
  const float* row;
  Dense(const LossRows& a, int64_t r) : row(a.target + r * a.cols) {}
  template <class Block>
  FASTCNN_INLINED Vec get(Block block, int64_t j) const {
    return block.get(row + j);
  }
};

// t v, and 0 where t is 0 whatever v: a logit of -inf in a class that is not wanted costs nothing.
FASTCNN_INLINE Vec weighted(Vec t, Vec v) { return t == Vec{} ? Vec{} : t * v; }

template <class Target>
double from_logits(const LossRows& a) {
  double loss = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const Target target(a, r);
    const float* x = a.x + r * a.cols;
    const float highest = row_max(x, a.cols);
    Vec sums = {}, totals = {}, products = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec shifted = block.get(x + j) - highest, t = target.get(block, j), e = exp(shifted);
      if (a.dx) block.put(a.dx + r * a.cols + j, e);
      sums += block.only(e, Vec{});
      totals += t;
      products += weighted(t, shifted);
    });
    const float sum = lane_sum(sums), total = lane_sum(totals);
    loss += (double)total * log(broadcast(sum))[0] - lane_sum(products);
    if (!a.dx) continue;
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      float* dx = a.dx + r * a.cols + j;
      block.put(dx, (block.get(dx) / sum * total - target.get(block, j)) * a.scale);
    });
  }
  return loss;
}

template <class Target>
double from_probabilities(const LossRows& a) {
  const float low = 1e-7f, high = 1.0f - 1e-7f;
  double loss = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const Target target(a, r);
    const float* x = a.x + r * a.cols;
    Vec sums = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED { sums += block.get(x + j); });
    const float sum = lane_sum(sums);
    Vec totals = {}, products = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = block.get(x + j) / sum, t = target.get(block, j);
      const Vec clipped = q < low ? broadcast(low) : (q > high ? broadcast(high) : q);
      products += block.only(weighted(t, log(clipped)), Vec{});
      totals += clipped == q ? t : Vec{};
    });
    const float total = lane_sum(totals);
    loss -= lane_sum(products);
    if (!a.dx) continue;
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec q = block.get(x + j) / sum, t = target.get(block, j);
      const Vec g = ((q < low) | (q > high)) ? Vec{} : t / q;
      block.put(a.dx + r * a.cols + j, (total - g) / sum * a.scale);
    });
  }
  return loss;
}

double mean_squared_error(const LossRows& a) {
  double loss = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    const int64_t row = r * a.cols;
    const float scale = 2.0f * a.scale / (float)a.cols;
    Vec sums = {};
    for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
      const Vec d = block.get(a.x + row + j) - block.get(a.target + row + j);
      sums = fma(d, d, sums);
      if (a.dx) block.put(a.dx + row + j, d * scale);
    });
    loss += (double)lane_sum(sums) / (double)a.cols;
  }
  return loss;
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
                                        mean_squared_error,
                                        argmax};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
