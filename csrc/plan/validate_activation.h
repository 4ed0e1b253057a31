// SPDX-License-Identifier: Apache-2.0
// The elementwise activations as users name them, and what their parameters may be. Used by eager operators
// and by networks.
#pragma once
#include "../base/shape.h"
#include "../base/status.h"

namespace fastcnn {

struct ActivationInfo {
  const char *name, *name_bwd;
  Saves saves;
};

const ActivationInfo& info(Activation activation);

int parameters_of(Activation activation);
const char* parameter_name(Activation activation, int i);

// Elements of an array under an activation with these parameters, as many as it has.
FlatShape activation_shape(const char* op, Activation activation, int64_t count, const double* parameters);

// Whether Keras gives every parameter a default value, so that the name alone says what is meant.
bool has_defaults(Activation activation);
FlatShape activation_shape(Activation activation, int64_t count);

// PReLU of x [n, ...] under alphas whose shape is that of a sample with some sizes replaced by 1: those axes
// share their alphas.
PreluShape prelu_shape(const char* op, const int64_t* x, int rank, const int64_t* alpha);

}  // namespace fastcnn
