// SPDX-License-Identifier: Apache-2.0
// Row by row over a [rows, cols] matrix: softmax, its logarithm, and their gradients.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cpu {

struct SoftmaxKernels {
  void (*fwd)(const float* x, float* y, int64_t rows, int64_t cols);
  void (*bwd)(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols);
  void (*log_fwd)(const float* x, float* y, int64_t rows, int64_t cols);
  void (*log_bwd)(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols);
  // The first of the greatest; a NaN is greater than every number.
  int64_t (*argmax)(const float* x, int64_t count);
};

}  // namespace cpu
}  // namespace fastcnn
