// SPDX-License-Identifier: Apache-2.0
// Updates of a run of parameters, and what prepares their gradients.
#pragma once
#include "../../base/optimizer_run.h"

namespace fastcnn {
namespace cpu {

struct OptimizerKernels {
  // `shared`: other cores have read the parameters and may still hold them.
  using Update = void(const OptimizerRun&, bool shared);
  Update* sgd;
  Update* momentum;
  Update* nesterov;
  Update* adam;
  Update* amsgrad;
  Update* rmsprop[2][2];  // [centered][momentum]
  Update* adagrad;
  Update* adadelta;
  Update* adamax;
  Update* nadam;
  Update* lion;
  Update* ftrl[2];  // [exponent is not 1/2]
  // m = momentum m + g, u = m or, with Nesterov, g + momentum m; m is slot 0, u slot 1
  void (*muon_direction[2])(const OptimizerRun&);
  // y = b x + c x2
  void (*polynomial)(const float* x, const float* x2, float* y, int64_t count, const float (&bc)[2]);
  // sum += g; the last of several: g = (g + sum) / steps, sum = 0
  void (*accumulate)(const float* g, float* sum, int64_t count);
  void (*accumulated)(float* g, float* sum, int64_t count, float steps);
  double (*sum_of_squares)(const float* x, int64_t count);
  double (*sum_of_magnitudes)(const float* x, int64_t count);
  // g += l1 sign(w) + two_l2 w
  void (*penalize)(const float* w, float* g, int64_t count, float l1, float two_l2);
  void (*add_squares)(const float* x, float* sums, int64_t count);  // sums += x x
  void (*multiply)(float* x, const float* factors, int64_t count);  // x *= factors
  void (*not_negative)(float* x, int64_t count);                    // NaN stays
};

}  // namespace cpu
}  // namespace fastcnn
