// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in channels-last: a vector is `lanes` channels of one pixel. fprop and dgrad are the
// same sum over taps; wgrad keeps the sums of a few taps in registers over many pixels. Steps count floats.
// Called by cpu/depthwise.cpp.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cpu {

// y[i y_q + c] = epilogue(sum over h < taps_h, w < taps_w of x[h x_h + w x_w + i x_q + c] * w[h w_h + w w_w +
// c]) for i < outputs, c < channels.
struct DepthwiseRow {
  const float *x, *w;
  float* y;
  const float* bias;  // [channels], or null
  const float* mask;  // as y: the result is 0 where mask <= 0; or null
  int64_t x_h, x_w, x_q, w_h, w_w, y_q;
  int64_t taps_h, taps_w, outputs, channels;
  int32_t relu;
};

// dw[h dw_h + w dw_w + c] += sum over p < rows, q < cols of x[h x_h + w x_w + p x_p + q x_q + c] * dy[p dy_p
// + q dy_q + c] for c < channels.
struct DepthwiseSums {
  const float *x, *dy;
  float* dw;
  int64_t x_h, x_w, x_p, x_q, dy_p, dy_q, dw_h, dw_w;
  int64_t rows, cols, channels;
  int32_t taps_h, taps_w;  // at most kDepthwiseTapsH, kDepthwiseTapsW
};

constexpr int kDepthwiseTapsH = 3, kDepthwiseTapsW = 5;

// Each of `count` values of x `times` times, or each `times` values summed, with the row mask (or null)
// applied.
struct DepthwiseKernels {
  void (*row)(const DepthwiseRow&);
  void (*sums)(const DepthwiseSums&);
  void (*repeat)(const float* x, int64_t count, int64_t times, float* y);
  void (*sum_runs)(const float* x, int64_t count, int64_t times, const float* mask, float* y);
};

}  // namespace cpu
}  // namespace fastcnn
