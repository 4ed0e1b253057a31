// SPDX-License-Identifier: Apache-2.0
// From Python arguments to a PoolWindow: what eager pools and pooling layers have in common.
#pragma once
#include "../plan/validate_pool.h"
#include "conv_window.h"

namespace fastcnn {

struct PoolArguments {
  py::handle pool_size, strides, padding;  // strides: None means pool_size
  py::handle dilation_rate, count_include_pad, ceil_mode;
};

// Each size a whole number for all axes, or one for each; padding "valid", "same", such numbers, or a pair
// (before, after) for each axis.
PoolWindow pool_window(const char* op, int axes, const PoolArguments& arguments);

// The sizes that an adaptive pool is to have; of an axis that is None it keeps the input's.
void adaptive_size(const char* op, py::handle value, int axes, const int64_t* x, int64_t* out);

}  // namespace fastcnn
