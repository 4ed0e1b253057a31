// SPDX-License-Identifier: Apache-2.0
// Lp pooling over channels-last tensors, some rows of windows or of pixels at a time.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct LpPool2dFwd {
  const LpPool2dShape* shape;
  const float* x;  // [N,H,W,C]
  float* y;        // [N,P,Q,C]
};

struct LpPool2dBwd {
  const LpPool2dShape* shape;
  const float* dy;  // [N,P,Q,C]
  const float* x;   // [N,H,W,C]
  const float* y;   // [N,P,Q,C]
  float* dx;        // [N,H,W,C]
};

struct LpPool2dKernels {
  // Rows [begin, end) of the N P rows of y.
  void (*fwd)(const LpPool2dFwd&, int64_t begin, int64_t end);
  // Rows [begin, end) of dx of image n.
  void (*bwd)(const LpPool2dBwd&, int64_t n, int64_t begin, int64_t end);
};

}  // namespace cpu
}  // namespace fastcnn
