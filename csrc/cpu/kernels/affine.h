// SPDX-License-Identifier: Apache-2.0
// Images seen through an affine map, and the transpose of that.
#pragma once
#include "../../base/affine_map.h"
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct AffineImage {
  AffineMap map;
  int64_t h, w, c;
  int64_t pitch;   // floats of a row of x, which may be wider than w
  int64_t floats;  // of x that may be read
  int64_t q;       // pixels of a row of y
  Fill fill;
  int32_t bilinear;
  float fill_value;
};

struct AffineKernels {
  // Rows [begin, end) of y [P, Q, C].
  void (*rows)(const AffineImage&, const float* x, float* y, int64_t begin, int64_t end);
  // dx += what rows [begin, end) of dy owe to it, in the order of the pixels of y.
  void (*scatter)(const AffineImage&, const float* dy, float* dx, int64_t begin, int64_t end);
};

}  // namespace cpu
}  // namespace fastcnn
