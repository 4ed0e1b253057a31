// SPDX-License-Identifier: Apache-2.0
// Runs of pixels scaled, shifted and clipped, and runs of two samples mixed. Rows m and o of what belongs to
// the channels are given as often as the run is long.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct AdjustRun {
  float gain, minimum, maximum;
  const float *m, *o;
};

struct AdjustKernels {
  // y = clip(gain (x - m) + o); y may be x.
  void (*adjust)(const AdjustRun&, const float* x, float* y, int64_t count);
  // dx = dy where nothing is clipped, else 0.
  void (*unclipped)(const AdjustRun&, const float* x, const float* dy, float* dx, int64_t count);
  // y = of_a a + of_b b; y may be b
  void (*blend)(const float* a, const float* b, float* y, int64_t count, float of_a, float of_b);
};

}  // namespace cpu
}  // namespace fastcnn
