// SPDX-License-Identifier: Apache-2.0
// Strided numbers of any real type to dense float32 or int32.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct GatherBlock {
  const char* x;
  void* y;               // [rows, cols], dense
  const int64_t* index;  // of the rows of x; null: in their order
  int64_t rows, cols;
  int64_t row_stride, col_stride;  // of x, in bytes; any sign, any alignment
  float scale, offset;             // y = scale x + offset, in float32
};

constexpr int kDTypes = 12;

struct GatherKernels {
  void (*to_float[kDTypes])(const GatherBlock&);  // by the DType of x
  void (*to_int[kDTypes])(const GatherBlock&);    // without scale and offset
};

}  // namespace cpu
}  // namespace fastcnn
