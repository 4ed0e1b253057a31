// SPDX-License-Identifier: Apache-2.0
// PReLU over runs of elements that have an alpha each, or one for all of them.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct PreluKernels {
  // y = x where x > 0, else alpha x; y may be x. stream: y is larger than the caches.
  void (*fwd)(const float* x, const float* alpha, float* y, int64_t count, bool stream);
  void (*fwd_shared)(const float* x, float alpha, float* y, int64_t count, bool stream);
  // dx = dy where x > 0, else alpha dy; dx may be dy.
  struct Gradient {
    const float *dy, *x;
    float* dx;
    int64_t count;
    bool stream;
  };
  void (*bwd)(const Gradient&, const float* alpha);
  void (*bwd_shared)(const Gradient&, float alpha);
  // Of the alphas, the terms dy x where x is not above 0: added to sums[i], or all of them summed.
  void (*accumulate)(const float* dy, const float* x, float* sums, int64_t count);
  float (*sum)(const float* dy, const float* x, int64_t count);
};

}  // namespace cpu
}  // namespace fastcnn
