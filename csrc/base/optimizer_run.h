// SPDX-License-Identifier: Apache-2.0
// An update of a run of parameters, down to the numbers of this very step.
#pragma once
#include "shape.h"

namespace fastcnn {

struct OptimizerRun {
  const float* gradient;
  float *parameters, *slot[3], *average;  // slots as each formula names them; no average: null
  int64_t count;
  float clip;   // of each element of the gradient; infinity: none
  float decay;  // w -= decay w, before the update
  float ema, one_minus_ema;
  int32_t overwrite;  // w = average
  int32_t idle;       // the rate is 0, and the formula would divide by it: a step of SGD, which moves nothing
  float rate;         // with the bias corrections that the formula has
  float momentum, epsilon, beta_1, one_minus_beta_1, beta_2, one_minus_beta_2;
  float gradient_rate, correction;                          // Nadam
  float inverse_rate, l1, two_l2, two_shrinkage, exponent;  // Ftrl
};

}  // namespace fastcnn
