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

// What pixels take from windows: of p = 1 and p = 2 the sum of the factors of those that hold a pixel, of
// other powers dy and y of the only one.
struct LpPool2dTaken {
  const float *x, *taken, *y;
  float* dx;
  float power;
  bool stream;    // dx is larger than the caches
  int64_t pitch;  // of the rows of dx
};

struct LpPool2dKernels {
  // p other than 1 and 2: rows [begin, end) of the N P rows of y.
  void (*fwd)(const LpPool2dFwd&, int64_t begin, int64_t end);
  // The same: rows [begin, end) of dx of image n.
  void (*bwd)(const LpPool2dBwd&, int64_t n, int64_t begin, int64_t end);
  // p = 1 or p = 2: what windows have for each of their pixels, before it is multiplied by x or its sign.
  void (*factors)(float power, const float* dy, const float* y, float* to, int64_t count);
  // `count` floats of x and dx.
  void (*take)(const LpPool2dTaken&, int64_t count);
};

}  // namespace cpu
}  // namespace fastcnn
