// SPDX-License-Identifier: Apache-2.0
// The validator's part for pools, of one, two and three axes: see validate.h for what every function
// promises. Of the axes' numbers the first `rank` count.
#pragma once
#include "validate_conv.h"

namespace fastcnn {

struct PoolWindow {
  int64_t size[kMaxSpatial] = {1, 1, 1};
  ConvWindow walk;         // strides, padding and dilation; its rank is the pool's
  bool ceil_mode = false;  // a last, clipped window where the strides leave pixels over
  bool count_include_pad = false;
};

// Windows take part of the input each: padding is smaller than the window, and no window falls between the
// pixels. A window that ceil_mode adds does not begin in the padding.
Pool2dShape pool1d_shape(const char* op, const int64_t x[3], const PoolWindow& window);  // H = 1
Pool2dShape pool2d_shape(const char* op, const int64_t x[4], const PoolWindow& window);
Pool3dShape pool3d_shape(const char* op, const int64_t x[5], const PoolWindow& window);

// One window over x [N,...,C] of 1 to 3 axes, seen as an image.
Pool2dShape global_pool_shape(const char* op, const int64_t* x, int axes);

// Windows floor(i in / out) .. ceil((i + 1) in / out) on every axis; where out divides in, plain ones.
Pool2dShape adaptive_pool1d_shape(const char* op, const int64_t x[3], const int64_t output_size[1]);
Pool2dShape adaptive_pool2d_shape(const char* op, const int64_t x[4], const int64_t output_size[2]);
Pool3dShape adaptive_pool3d_shape(const char* op, const int64_t x[5], const int64_t output_size[3]);

LpPool2dShape lp_pool2d_shape(const char* op, const int64_t x[4], const PoolWindow& window, double power);

// x [N,P,Q,C] into y [N,H,W,C].
Unpool2dShape unpool2d_shape(const char* op, const int64_t x[4], const int64_t y[4]);

}  // namespace fastcnn
