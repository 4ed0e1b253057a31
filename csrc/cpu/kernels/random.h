// SPDX-License-Identifier: Apache-2.0
// Random numbers by counter, and what the operators of training make of them. y may be x.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// Element i draws word i % 4 of the block with counter (i / 4, op, step) and the seed as key.
struct Draw {
  uint64_t seed, step;
  uint32_t op, threshold;  // an element stays when the upper 24 bits of its word are at least `threshold`
};

// Elements [begin, end) of the arrays x and y; begin is a multiple of 16.
struct DrawnRange {
  const float* x;
  float* y;
  int64_t begin, end;
};

struct RandomKernels {
  void (*dropout)(const DrawnRange&, const Draw&, float keep);
  // y = 1 where an element stays, else 0.
  void (*mask)(float* y, int64_t begin, int64_t end, const Draw&);
  void (*gaussian)(const DrawnRange&, const Draw&, Noise noise, float scale);
  void (*alpha_dropout)(const DrawnRange&, const Draw&, const AlphaDropoutShape&);
  // y[i] = x[i] / keep where mask[i] is not 0, else 0.
  void (*keep_where)(const float* x, const float* mask, float* y, int64_t count, float keep);
};

}  // namespace cpu
}  // namespace fastcnn
