// SPDX-License-Identifier: Apache-2.0
// Copies of strided blocks of floats.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// y[i . y_stride] = x[i . x_stride] for all i below size; strides in floats.
struct CopyBlock {
  const float* x;
  float* y;
  int64_t size[3], x_stride[3], y_stride[3];
  int32_t stream;  // y is larger than the caches
};

struct CopyKernels {
  void (*rows)(const CopyBlock&);       // any strides; fast where the last ones are 1, or 0 for x
  void (*transpose)(const CopyBlock&);  // the last stride of y and the second but last of x are 1
  void (*zero)(const CopyBlock&);       // y = 0
};

}  // namespace cpu
}  // namespace fastcnn
