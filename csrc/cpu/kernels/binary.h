// SPDX-License-Identifier: Apache-2.0
// Two arrays into one, element by element, and the sums that their gradients are.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// y[i] = scale f(a[i], b[i]) over three dimensions, each array with its own strides in floats. Along the last
// dimension y is contiguous, a and b are so or repeat one element.
struct BinaryBlock {
  const float *a, *b;
  float* y;
  int64_t size[3], a_stride[3], b_stride[3], y_stride[3];
  float scale;
  int32_t stream;  // y is larger than the caches
};

// dx[i0, i1] = scale times the sum of g over three more dimensions, or dx[i0] over four: where the last is
// kept and where it is summed too. g is dy, dy p, or dy where the comparison of p with q is what is wanted.
struct SumBlock {
  const float *dy, *p, *q;
  float* dx;
  int64_t rows, cols, terms[3];
  int64_t dx_row;  // between rows
  // Of dy, p and q: between rows, along the three sums, between columns (dy: 1; p and q: 1 or 0).
  int64_t row[3], term[3][3], col[3];
  float scale;
  float sign;    // selected: 1 for a maximum, -1 for a minimum
  int32_t want;  // selected: dy goes where p wins (1) or where q does (0); equal ones are won by p
};

enum { kSumAll, kSumProduct, kSumSelected, kSumKinds };

struct BinaryKernels {
  void (*fwd[5])(const BinaryBlock&);  // by Binary
  void (*sum_kept[kSumKinds])(const SumBlock&);
  void (*sum_last[kSumKinds])(const SumBlock&);
};

}  // namespace cpu
}  // namespace fastcnn
