// SPDX-License-Identifier: Apache-2.0
// Normalization of rows by their own statistics: layer norm, RMS norm, unit norm.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct RowStatistics {
  RowNorm kind;
  int64_t cols;  // of a whole row
  double epsilon;
};

// Rows of `count` elements, or a piece of each row of `pitch` elements.
struct NormRows {
  const float *x, *dy;        // dy: backward passes alone
  const float *gamma, *beta;  // [count] or null
  float* y;                   // or dx, which may be dy or null
  float *dgamma, *dbeta;      // [count] or null: added to
  int64_t rows, count, pitch;
  int32_t stream;  // y is larger than the caches
};

// Of a piece of a row: a pivot near its mean (0 where nothing is centered), with d = x - pivot the sums of d
// and d^2, in a backward pass also of g = gamma dy and g d.
struct RowSums {
  float pivot, first, second, dy, product;
};

// xhat = (x - center) root + nudge, y = gamma xhat + beta, dx = g root + ((x - center) slope + offset)
struct RowFactors {
  float center, root, nudge, slope, offset;
};

struct RowNormKernels {
  // Whole rows.
  void (*fwd)(const RowStatistics&, const NormRows&);
  void (*fwd_relu)(const RowStatistics&, const NormRows&);
  void (*bwd)(const RowStatistics&, const NormRows&);
  // Long rows, piece by piece: sums of one piece, factors of one row from those of its pieces, and the map.
  void (*sums_fwd)(const RowStatistics&, const NormRows&, RowSums*);
  void (*sums_bwd)(const RowStatistics&, const NormRows&, RowSums*);
  void (*factors)(const RowStatistics&, const RowSums*, int64_t piece, RowFactors*);
  void (*apply_fwd)(const NormRows&, const RowFactors*);
  void (*apply_relu)(const NormRows&, const RowFactors*);
  void (*apply_bwd)(const NormRows&, const RowFactors*);
};

}  // namespace cpu
}  // namespace fastcnn
