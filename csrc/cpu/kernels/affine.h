// SPDX-License-Identifier: Apache-2.0
// Images seen through an affine map, and the transpose of that.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// Pixel (p, q) shows the point with row = row_p p + row_q q + row_0 and so on, in units of 2^-32 pixels:
// whatever adds whole numbers finds the same points.
struct AffineMap {
  int64_t row_p, row_q, row_0, col_p, col_q, col_0;
};
constexpr int kPointBits = 32;

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
