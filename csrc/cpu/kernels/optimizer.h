// SPDX-License-Identifier: Apache-2.0
// Updates of a run of parameters.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct OptimizerRun {
  const float* gradient;
  float *parameters, *slot0, *slot1;  // slots: velocity; or first and second moment; or null
  int64_t count;
  float rate;  // of Adam: with the bias corrections in it
  float momentum, one_minus_beta_1, one_minus_beta_2, epsilon;
};

struct OptimizerKernels {
  void (*sgd)(const OptimizerRun&);
  void (*momentum)(const OptimizerRun&);
  void (*nesterov)(const OptimizerRun&);
  void (*adam)(const OptimizerRun&);
};

}  // namespace cpu
}  // namespace fastcnn
