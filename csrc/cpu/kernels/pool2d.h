// SPDX-License-Identifier: Apache-2.0
// Max, average and sum pooling over channels-last tensors, some rows of windows or of pixels at a time.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct Pool2dFwd {
  const Pool2dShape* shape;
  const float* x;  // [N,H,W,C]
  float* y;        // [N,P,Q,C]
  int32_t average;
};

struct Pool2dKernels {
  // Rows [begin, end) of the N P rows of y.
  void (*max_fwd)(const Pool2dFwd&, int64_t begin, int64_t end);
  void (*sum_fwd)(const Pool2dFwd&, int64_t begin, int64_t end);
  // The root of the sum of squares, or the sum of |x|.
  void (*norm_fwd)(const Pool2dFwd&, bool squares, int64_t begin, int64_t end);
  // max_fwd, and of each maximum its place in the image: [N,P,Q,C] of h W + w.
  void (*max_with_index)(const Pool2dFwd&, int32_t* index, int64_t begin, int64_t end);
};

}  // namespace cpu
}  // namespace fastcnn
