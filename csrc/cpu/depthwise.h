// SPDX-License-Identifier: Apache-2.0
// What the three passes of convolution with few channels to a group share: its kinds of groups, its blocking
// and the rows that a band reads. An image is a volume of one frame.
#pragma once
#include "blocking.h"
#include "kernels/depthwise.h"

namespace fastcnn {
namespace cpu {

// The blocking, from the shape alone. A task is a band of output rows of one frame; of all three passes
// `bands` counts them.
struct Depthwise {
  int64_t bands;
  int64_t rows_in;        // of x, read by a band
  int64_t chunks;         // wgrad: partial sums
  int32_t ahead, stream;  // larger than an L2 cache; larger than the last cache
};

inline int64_t multiplier(const Conv2dShape& v) { return v.k / v.c; }
inline DepthwiseGroup group_of(const Conv2dShape& v) { return {v.c / v.groups, v.k / v.groups}; }
inline bool one_channel(const Conv2dShape& v) { return v.c == v.groups; }

// Groups of a sum over `in` inputs for each `out` outputs that the kernels know, where they win: with 16
// channels to a group the direct convolution, which packs its weights, was 1.3 to 1.4 times faster, and where
// a group has a vector for itself, as 5 or 7 channels of 8 lanes, 0.9 to 1.6 times.
inline bool supports_group(const DepthwiseGroup& g) {
  const int64_t lanes = kernels().depthwise->lanes;
  if (g.in > 8 || g.out > 8) return false;
  return g.out % lanes == 0 || (g.in == g.out && 2 * g.in <= lanes);
}

inline Conv3dShape volume_of(const Conv2dShape& v) { return {v, 1, 1, 1, 1, 1, 0}; }

inline int64_t weight_floats(const Conv3dShape& v) {
  return v.t * v.frame.r * v.frame.s * group_of(v.frame).in * v.frame.k;
}

// Rows of a frame of x, or of dy: row h at data + (h - first) times the floats of a row.
struct Rows {
  const float* data;  // null: no tap meets any row
  int64_t first;
};

// Input rows that output rows [begin, end) of the forward pass read.
inline Range rows_read(const Conv2dShape& v, Range p) {
  const int64_t begin = std::max<int64_t>(0, p.begin * v.stride_h - v.pad_top);
  const int64_t end = std::min(v.h, (p.end - 1) * v.stride_h - v.pad_top + (v.r - 1) * v.dilation_h + 1);
  return {begin, std::max(begin, end)};
}

// With a multiplier rows of x are repeated, channel by channel, into scratch.
inline Rows rows_of_x(const Conv2dShape& v, const float* image, Range rows, float* scratch) {
  const int64_t times = one_channel(v) ? multiplier(v) : 1;
  if (times == 1) return {image, 0};
  if (rows.begin < rows.end)
    kernels().depthwise->repeat(image + rows.begin * v.w * v.c, (rows.end - rows.begin) * v.w * v.c, times,
                                scratch);
  return {scratch, rows.begin};
}

// The frames that one output frame sums, and the taps that it meets them in.
struct Frames {
  Axis axis;
  int64_t i;
  Range taps;

  int64_t source(int64_t t) const { return i * axis.step + axis.first + t * axis.spread; }
  int64_t filter(int64_t t) const { return axis.filter + t * axis.filter_step; }
};

inline Frames frames_met(const Conv3dShape& v, bool dgrad, int64_t frame) {
  const int64_t phase = dgrad ? frame % v.stride_d : 0;
  Frames f = {axis_of(depth_of(v), dgrad, phase), dgrad ? frame / v.stride_d : frame, {}};
  f.taps = taps_inside(f.axis, f.i, dgrad ? v.z : v.d);
  return f;
}

// Costs, bands and rows of a band; what scratch holds is the pass's.
Depthwise plan_depthwise(Prepared*, const Conv3dShape&, bool dgrad);

}  // namespace cpu
}  // namespace fastcnn
