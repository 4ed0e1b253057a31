// SPDX-License-Identifier: Apache-2.0
// Shapes of convolutions of one to three spatial axes, plain and transposed; see validate.h. All of them come
// back as a Conv3dShape: axes that a rank lacks have size 1, so a sequence is an image of one row and an
// image a volume of one frame, whose `frame` is the shape of its conv2d step.
#pragma once
#include "validate.h"

namespace fastcnn {

constexpr int kMaxSpatial = 3;

// How a window walks over its input; axes in the order of the arrays.
struct ConvWindow {
  enum Kind { kValid, kSame, kExplicit, kCausal };
  int rank = 2;  // spatial axes
  int64_t strides[kMaxSpatial] = {1, 1, 1};
  int64_t dilation_rate[kMaxSpatial] = {1, 1, 1};
  Kind padding = kValid;
  int64_t before[kMaxSpatial] = {}, after[kMaxSpatial] = {};  // kExplicit
  int64_t groups = 1;
  bool output_padding_given = false;  // of a transposed convolution
  int64_t output_padding[kMaxSpatial] = {};
};

// What all windows that slide are asked, those of pools too.

// Windows, strides and paddings stay below this, so sums and products of three of them fit 64 bits.
constexpr int64_t kMaxParameter = int64_t{1} << 31;

const char* axis_name(int rank, int axis);
void check_parameter(const char* op, const char* argument, const int64_t* value, int rank, int64_t least);
void check_window(const char* op, const ConvWindow& window);

// One axis: how often a window of `extent`, its dilation included, fits, and what padding it meets.
struct Walk {
  int64_t in, out, before, after;
};
Walk walk(const char* op, int axis, int64_t in, int64_t extent, const ConvWindow& window);

// x [N,...,C], kernel [...,C/groups,K].
Conv3dShape conv_shape(const char* op, const int64_t* x, const int64_t* kernel, const ConvWindow& window);

// The convolution that a transposed one is the data gradient of: x [N,...,K] is its dy, kernel
// [...,C/groups,K] its kernel, y [N,...,C] its dx. On each axis, with extent = dilation (taps - 1) + 1, y has
//   (x - 1) stride + extent + output_padding - before - after,
// where without output_padding enough is added for extent + output_padding >= stride; and with padding "same"
//   x stride, or (x - 1) stride + extent % 2 + output_padding, the odd pixel being cut off behind.
Conv3dShape conv_transpose_shape(const char* op, const int64_t* x, const int64_t* kernel,
                                 const ConvWindow& window);

}  // namespace fastcnn
