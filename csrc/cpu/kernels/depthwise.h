// SPDX-License-Identifier: Apache-2.0
// Convolution with few channels to a group, channels-last. Weights [R][S][G][K] need no packing: output k
// sums x[first channel of its group + g] w[g][k] over g < G, and a vector is `lanes` outputs k of one pixel.
// There are three kinds of groups: one channel (depthwise), up to 8 where at least two groups share a vector
// (inputs are a permutation of the lanes of x), and groups of whole vectors of outputs (an input is a
// broadcast). fprop and dgrad are the same sum over taps. Steps count floats. Called by cpu/depthwise.cpp.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cpu {

// The groups of a sum: `in` inputs to each `out` outputs.
struct DepthwiseGroup {
  int64_t in, out;
};

// Output i and tap t meet column i step + t spread; those of [begin, end) exist. With a gap of 2, of step and
// spread 1 and 3 taps, only those an even number from `begin` do, and x begins at the first of 0 and 1 that
// is: as if zeros lay between the inputs, which a gradient of stride 2 sees.
struct DepthwiseColumns {
  int64_t outputs, taps, step, spread, begin, end;
  int64_t gap = 1;
};

// y[i y_q + k] = epilogue(what y holds, if that is to be added, +
//                         sum over h < taps_h, w < columns.taps whose column exists, g < group.in of
//                         x[h x_h + w x_w + i x_q + k / group.out group.in + g] * w[h w_h + w w_w + g w_g +
//                         k])
// for i < columns.outputs, k < channels.
struct DepthwiseRow {
  const float *x, *w;
  float* y;
  const float* bias;   // [channels], or null
  const float* mask;   // as y: the result is 0 where mask <= 0; or null
  const float* ahead;  // what rows to come will read: fetched meanwhile
  int64_t ahead_floats;
  int64_t x_h, x_w, x_q, w_h, w_w, w_g, y_q;
  int64_t taps_h, channels;
  DepthwiseColumns columns;
  DepthwiseGroup group;
  int32_t relu;  // 1: ReLU; 6: ReLU6
  int32_t accumulate;
};

// y[i][c] = epilogue(sum over m < times of x[i][c times + m]), i < pixels, c < channels.
struct DepthwiseRuns {
  const float* x;
  float* y;
  const float *bias, *mask;  // as in DepthwiseRow
  int64_t pixels, channels, times;
  int32_t relu;
};

struct DepthwiseKernels {
  int lanes;
  void (*row)(const DepthwiseRow&);
  // y: each of `count` values of x `times` times; and the reverse.
  void (*repeat)(const float* x, int64_t count, int64_t times, float* y);
  void (*sum_runs)(const DepthwiseRuns&);
  // Copies that go past the caches; finish_stream() before others may read them.
  void (*stream_copy)(const float* x, int64_t count, float* y);
  void (*finish_stream)();
};

}  // namespace cpu
}  // namespace fastcnn
