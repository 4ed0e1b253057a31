// SPDX-License-Identifier: Apache-2.0
// Element by element over flat arrays: rescaling, sums, dropout. y may be x.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct DropoutMask {
  uint64_t seed, step;
  uint32_t op, threshold;  // an element stays when the upper 24 bits of its word are at least `threshold`
  float keep;              // 1 - rate
};

struct ElementwiseKernels {
  void (*rescale)(const float* x, float* y, int64_t count, float scale, float offset);
  void (*add)(const float* a, const float* b, float* y, int64_t count);  // y may be a or b
  // Elements [begin, end) of the arrays x and y; begin is a multiple of 16.
  void (*dropout)(const float* x, float* y, int64_t begin, int64_t end, const DropoutMask& mask);
};

}  // namespace cpu
}  // namespace fastcnn
