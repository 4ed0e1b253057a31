// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// `rows` rows of `cols` floats, `pitch` floats apart.
struct RowBlock {
  const float* x;
  int64_t rows, cols, pitch;
};

struct ReduceKernels {
  // sums[c] = sum over the rows of x[row, c]
  void (*column_sum)(const RowBlock&, float* sums);
};

}  // namespace cpu
}  // namespace fastcnn
