// SPDX-License-Identifier: Apache-2.0
// From Python arguments to a ConvWindow: what eager operators and layers of convolution have in common.
#pragma once
#include "../plan/validate_conv.h"
#include "array.h"

namespace fastcnn {

// A whole number for all axes, or one for each.
void sizes(const char* op, const char* argument, py::handle value, int rank, int64_t* out);

struct ConvArguments {
  py::handle strides, padding, dilation_rate, groups;
  py::handle output_padding;  // None for what is not transposed
  bool causal;                // whether padding may be "causal"
};

// padding: "valid", "same", "causal", p, one number for each axis, or a pair (before, after) for each.
ConvWindow conv_window(const char* op, int rank, const ConvArguments& arguments);

}  // namespace fastcnn
