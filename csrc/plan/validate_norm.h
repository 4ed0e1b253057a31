// SPDX-License-Identifier: Apache-2.0
// The validator of normalization; the rules are those of validate.h.
#pragma once
#include <vector>

#include "validate_axes.h"

namespace fastcnn {

// Of x, whose last axis holds the channels.
BatchNormShape batch_norm_shape(const char* op, const int64_t* x, int rank, double epsilon, double momentum);

// The first axis of x holds the samples; groups is -1 for one of each channel.
GroupNormShape group_norm_shape(const char* op, const int64_t* x, int rank, int64_t groups, double epsilon);

// Statistics over the last `axes` axes of x.
struct RowAxes {
  int axes;
  double epsilon;
  RowNorm kind;
};
RowNormShape row_norm_shape(const char* op, const int64_t* x, int rank, const RowAxes& over);

}  // namespace fastcnn
