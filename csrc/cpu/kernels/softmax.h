// SPDX-License-Identifier: Apache-2.0
// Row by row over a [rows, cols] matrix: softmax and its gradient, and the losses with theirs.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct LossRows {
  const float* x;         // [rows, cols]
  const int32_t* labels;  // [rows], or null
  const float* target;    // [rows, cols] where there are no labels
  float* dx;              // [rows, cols], or null
  int64_t rows, cols;
  float scale;  // of dx: 1 / rows of the whole batch
};

// Sum of the losses of the rows, added in their order.
using LossKernel = double (*)(const LossRows&);

struct SoftmaxKernels {
  void (*fwd)(const float* x, float* y, int64_t rows, int64_t cols);
  void (*bwd)(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols);
  LossKernel sparse_from_logits, sparse_from_probabilities;
  LossKernel categorical_from_logits, categorical_from_probabilities;
  LossKernel mean_squared_error;
  // The first of the greatest; a NaN is greater than every number.
  int64_t (*argmax)(const float* x, int64_t count);
};

}  // namespace cpu
}  // namespace fastcnn
