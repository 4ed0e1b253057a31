// SPDX-License-Identifier: Apache-2.0
// Losses of predictions x with targets t, [rows, cols], and their gradients, in one pass. The cross-entropies
// over classes stand in class_loss.h.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// Some rows of a batch. Row r of them weighs weights[(first_row + r) / shape->rows_per_weight].
struct LossRows {
  const float* x;         // [rows, cols]
  const int32_t* labels;  // [rows], or null
  const float* target;    // [rows, cols] where there are no labels
  const float* weights;   // or null: every row weighs 1
  const float* alpha;     // focal: [cols], or null: shape->alpha for all
  float* dx;              // [rows, cols], or null
  int64_t rows, cols, first_row;
  double scale;  // of dx: 1 / divisor of the batch
  const LossShape* shape;
  int32_t binary_targets;  // hinge: all targets of the batch are 0 or 1, and mean -1 and 1
};

// Sum of the weighted losses of the rows.
using LossKernel = double (*)(const LossRows&);

struct OverlapSums {
  double target, prediction, both;  // of t, x and t x
};

struct LossKernels {
  LossKernel squared, absolute, percentage, squared_logarithmic, huber, log_cosh, hinge, squared_hinge,
      poisson, kl_divergence, binary, binary_from_logits, binary_focal, binary_focal_from_logits;
  LossKernel categorical_hinge, cosine;
  // Dice and Tversky: a loss of the whole batch. First the sums, then the gradient, if there is one.
  void (*overlap_sums)(const LossRows&, OverlapSums*);
  void (*overlap_bwd)(const LossRows&, double slope, double offset);  // dx = slope t + offset
  // Whether every number is 0 or 1.
  bool (*all_binary)(const float* t, int64_t count);
};

}  // namespace cpu
}  // namespace fastcnn
