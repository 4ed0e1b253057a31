// SPDX-License-Identifier: Apache-2.0
// Convolution with few channels to a group (1: depthwise, 2, 4 or 8), channels-last: a vector is `lanes`
// channels of one pixel, several groups at once. Weights [R][S][G][K] need no packing: with G channels to a
// group, output k sums x[k / G * G + g] w[g][k] over g, a permutation of the lanes of x. fprop and dgrad are
// the same sum over taps; wgrad keeps the sums of a few taps in registers over many pixels. Steps count
// floats. Called by cpu/depthwise.cpp.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cpu {

// y[i y_q + k] = epilogue(what y holds, if that is to be added, + sum over h < taps_h, w < taps_w, g < group
// of
//                         x[h x_h + w x_w + i x_q + k / group group + g] * w[h w_h + w w_w + g w_g + k])
// for i < outputs, k < channels.
struct DepthwiseRow {
  const float *x, *w;
  float* y;
  const float* bias;  // [channels], or null
  const float* mask;  // as y: the result is 0 where mask <= 0; or null
  int64_t x_h, x_w, x_q, w_h, w_w, w_g, y_q;
  int64_t taps_h, taps_w, outputs, channels;
  int32_t group, relu;
  int32_t accumulate;
};

// dw[h dw_h + w dw_w + g dw_g + k] += sum over p < rows, q < cols of
//     x[h x_h + w x_w + p x_p + q x_q + k / group group + g] * dy[p dy_p + q dy_q + k]
// for g < group, k < channels.
struct DepthwiseSums {
  const float *x, *dy;
  float* dw;
  int64_t x_h, x_w, x_p, x_q, dy_p, dy_q, dw_h, dw_w, dw_g;
  int64_t rows, cols, channels;
  int32_t group;
  int32_t taps_h, taps_w;  // at most most_taps(group)
};

// y[i][c] = epilogue(sum over m < times of x[i][c times + m]), i < pixels, c < channels.
struct DepthwiseRuns {
  const float* x;
  float* y;
  const float *bias, *mask;  // as in DepthwiseRow
  int64_t pixels, channels, times;
  int32_t relu;
};

struct DepthwiseTaps {
  int h, w;
};

struct DepthwiseKernels {
  int most_group;  // lanes of a vector, or 8
  DepthwiseTaps (*most_taps)(int group);
  void (*row)(const DepthwiseRow&);
  void (*sums)(const DepthwiseSums&);
  // y: each of `count` values of x `times` times; and the reverse.
  void (*repeat)(const float* x, int64_t count, int64_t times, float* y);
  void (*sum_runs)(const DepthwiseRuns&);
};

}  // namespace cpu
}  // namespace fastcnn
