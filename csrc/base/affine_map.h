// SPDX-License-Identifier: Apache-2.0
// Which point of an image each pixel of another shows.
#pragma once
#include <stdint.h>

namespace fastcnn {

// Pixel (p, q) shows the point with row = row_p p + row_q q + row_0 and so on, in units of 2^-32 pixels:
// whatever adds whole numbers finds the same points.
struct AffineMap {
  int64_t row_p, row_q, row_0, col_p, col_q, col_0;
};
constexpr int kPointBits = 32;

}  // namespace fastcnn
