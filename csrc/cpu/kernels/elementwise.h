// SPDX-License-Identifier: Apache-2.0
// Element by element over flat arrays: rescaling, sums. y may be x.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct ElementwiseKernels {
  void (*rescale)(const float* x, float* y, int64_t count, float scale, float offset);
  // stream: y is larger than the caches, and neither a nor b
  void (*add)(const float* a, const float* b, float* y, int64_t count, bool stream);
};

}  // namespace cpu
}  // namespace fastcnn
