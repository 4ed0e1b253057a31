// SPDX-License-Identifier: Apache-2.0
// The activations that work element by element, each forward and backward on flat arrays, in the order of the
// enum Activation. y may be x, and dx either of its operands.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct ActivationParameters {
  float alpha, beta, gamma;
  int32_t stream;  // the output is larger than the caches
};

using ActivationForward = void (*)(const float* x, float* y, int64_t count, const ActivationParameters&);
// `saved` is x or y, as the activation's row in FASTCNN_ACTIVATIONS says.
using ActivationBackward = void (*)(const float* dy, const float* saved, float* dx, int64_t count,
                                    const ActivationParameters&);

struct ActivationKernels {
  ActivationForward fwd[(int)Activation::kCount];
  ActivationBackward bwd[(int)Activation::kCount];
};

}  // namespace cpu
}  // namespace fastcnn
