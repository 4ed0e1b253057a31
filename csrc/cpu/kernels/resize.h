// SPDX-License-Identifier: Apache-2.0
// Rows of a bilinear enlargement by whole factors, and of its gradient.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// A row [width, channels] and the row [width factor, channels] that it grows to.
struct ResizeRow {
  int64_t width, channels, factor;
  int32_t stream;  // the output is larger than the caches
};

struct ResizeKernels {
  // y[i] = sum over k of weights[k] x[i + k pitch], or that added to y
  void (*mix)(const float* x, int64_t pitch, const float* weights, int64_t rows, float* y, int64_t count,
              bool add);
  void (*spread)(const float* x, float* y, const ResizeRow&);
  void (*collect)(const float* dy, float* dx, const ResizeRow&);
};

}  // namespace cpu
}  // namespace fastcnn
