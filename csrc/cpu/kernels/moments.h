// SPDX-License-Identifier: Apache-2.0
// From sums about a pivot to sums about the mean, in double precision. Values x[i] are summed in float32 as
// d[i] = x[i] - pivot with a pivot near their mean, so nothing cancels however far from zero they lie; what
// is left of pivot - mean is put right here, exactly:
//   sum (x - mean)^2    = sum d^2 + e (2 sum d + n e)        e = pivot - mean
//   sum dy (x - mean)   = sum dy d + e sum dy
#pragma once
#include <stdint.h>

#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE double squares_about(double e, double n, double first, double second) {
  return second + e * (2 * first + n * e);
}

// A sum of squares that rounding has made negative is 0; NaN stays NaN.
FASTCNN_INLINE double no_less_than_zero(double square) { return square < 0 ? 0 : square; }

FASTCNN_INLINE double inverse_root(double x) { return 1 / __builtin_sqrt(x); }

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
