// SPDX-License-Identifier: Apache-2.0
// L[row] = mean_j f(x[row, j], t[row, j]) and dx = f'(x, t) weight[row] scale / cols, for the functions f of
// base/formulas/loss.h, over rows laid end to end: narrow rows fill whole vectors. Then the losses of a whole
// row, and the sums behind Dice and Tversky. Sums of kBlock elements are float32, those of blocks double
// precision. Of equal greatest numbers the first has the gradient. Called by cpu/loss.cpp.
#include "loss.h"

#include "row_layouts.h"
#include "weights.h"

#include "../../base/formulas/loss.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int64_t kBlock = 1024;

template <class F, bool kWeighted>
double sum_of_elements(const LossRows& a) {
  const F f(*a.shape, a.binary_targets != 0);
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

// L = -sum_j x_j t_j / (|x| |t|), each length at least 1e-7. The numbers of kLanes rows are computed
// together, and narrow rows are turned: a row of one column at a time took 5 times as long.
double cosine(const LossRows& a) {
  Weights weights(a);
  double total = 0;
  const bool narrow = a.cols < kLanes;
  for_each_lanes(a.rows, [&](int64_t begin, int rows) FASTCNN_INLINED {
    const int64_t at = begin * a.cols;
    Vec x[kLanes], t[kLanes], xx = {}, tt = {}, xt = {};
    const auto add = [](Vec v, Vec wanted, Vec& xx, Vec& tt, Vec& xt) FASTCNN_INLINED {
      xx = fma(v, v, xx), tt = fma(wanted, wanted, tt), xt = fma(v, wanted, xt);
    };
    if (narrow) {
      turn(a.x + at, rows, (int)a.cols, x), turn(a.target + at, rows, (int)a.cols, t);
      for (int64_t j = 0; j < a.cols; ++j) add(x[j], t[j], xx, tt, xt);
    } else {
      for (int r = 0; r < rows; ++r) {
        Vec sums[3] = {};
        for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
          j += at + r * a.cols;
          add(block.get(a.x + j), block.get(a.target + j), sums[0], sums[1], sums[2]);
        });
        xx[r] = lane_sum(sums[0]), tt[r] = lane_sum(sums[1]), xt[r] = lane_sum(sums[2]);
      }
    }
    const Vec length = sqrt(xx), x_length = at_least(length, kEpsilon),
              t_length = at_least(sqrt(tt), kEpsilon);
    const Vec similarity = xt / x_length / t_length;
    Vec scales = {};
    for (int r = 0; r < rows; ++r) {
      const double weight = weights.next();
      total -= weight * similarity[r];
      scales[r] = (float)(a.scale * weight);
    }
    if (!a.dx) return;
    scales /= x_length;
    // A clipped length does not change with x.
    const Vec along = length < kEpsilon ? Vec{} : similarity / x_length;
    if (narrow) {
      for (int64_t j = 0; j < a.cols; ++j) x[j] = (x[j] * along - t[j] / t_length) * scales;
      // Number by number: only here it would need turn_back(), which is 2 KB of AVX-512.
      for (int r = 0; r < rows; ++r)
        for (int64_t j = 0; j < a.cols; ++j) a.dx[at + r * a.cols + j] = x[j][r];
      return;
    }
    for (int r = 0; r < rows; ++r)
      for_each_vector(a.cols, [&](auto block, int64_t j) FASTCNN_INLINED {
        j += at + r * a.cols;
        block.put(a.dx + j,
                  (block.get(a.x + j) * along[r] - block.get(a.target + j) / t_length[r]) * scales[r]);
      });
  });
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
