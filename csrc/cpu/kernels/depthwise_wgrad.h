// SPDX-License-Identifier: Apache-2.0
// The weight gradient of convolution with few channels to a group, channels-last: kinds of groups and layout
// of the weights as in depthwise.h. The sums of a few taps stay in registers over many pixels. Called by
// cpu/depthwise_wgrad.cpp.
#pragma once
#include "depthwise.h"

namespace fastcnn {
namespace cpu {

// dw[h dw_h + w dw_w + g dw_g + k] += sum over p < rows, q < columns.outputs whose row and column exist of
//     x[h x_h + w x_w + p x_p + q x_q + k / group.out group.in + g] * dy[p dy_p + q dy_q + k]
// for h < taps_h, w < columns.taps, g < group.in, k < channels. Output row p and tap h meet row
// first_row + p row_step + h row_spread; those of [0, rows_in) exist.
struct DepthwiseSums {
  const float *x, *dy;
  float* dw;
  const float* ahead[2];  // of x and dy, as above
  int64_t ahead_floats[2];
  int64_t x_h, x_w, x_p, x_q, dy_p, dy_q, dw_h, dw_w, dw_g;
  int64_t rows, first_row, row_step, row_spread, rows_in;
  int64_t taps_h, channels;  // taps_h and columns.taps: next_taps()
  DepthwiseColumns columns;
  DepthwiseGroup group;
};

struct DepthwiseTaps {
  int64_t h, w;
};

struct DepthwiseWgradKernels {
  // Taps that one call of sums() takes of so many; as many to a row whatever taps_h.
  DepthwiseTaps (*next_taps)(const DepthwiseGroup&, int64_t taps_h, int64_t taps_w);
  void (*sums)(const DepthwiseSums&);
};

}  // namespace cpu
}  // namespace fastcnn
