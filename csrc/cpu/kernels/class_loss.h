// SPDX-License-Identifier: Apache-2.0
// The cross-entropies over classes and their gradients, row by row over a [rows, cols] matrix.
#pragma once
#include "loss.h"

namespace fastcnn {
namespace cpu {

struct ClassLossKernels {
  LossKernel sparse_from_logits, sparse_from_probabilities;
  LossKernel categorical_from_logits, categorical_from_probabilities;
  LossKernel focal_from_logits, focal_from_probabilities;
};

}  // namespace cpu
}  // namespace fastcnn
