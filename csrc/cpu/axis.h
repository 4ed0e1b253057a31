// SPDX-License-Identifier: Apache-2.0
// A convolution along one spatial axis, for fprop and dgrad alike: which inputs an output sums, with which
// taps.
//
// fprop reads x at p stride + r dilation - pad. dgrad reads dy at (h + pad - r dilation) / stride where that
// divides, so it falls apart into `stride` phases of h, each an ordinary stride-1 convolution of dy with
// every stride-th tap.
#pragma once
#include <algorithm>
#include <numeric>

#include "chunks.h"

namespace fastcnn {
namespace cpu {

struct Range {
  int64_t begin, end;
};

// One spatial axis of a phase: output first_out + i step_out, i < outputs, sums over tap t < taps the input
// i step + first + t spread times the filter's element filter + t filter_step.
struct Axis {
  int64_t outputs, first_out, step_out;
  int64_t taps, step, first, spread;
  int64_t filter, filter_step;
};

struct AxisShape {
  int64_t input, output, filter, stride, dilation, pad;  // of the forward pass
};

inline Axis fprop_axis(const AxisShape& v) {
  return {v.output, 0, 1, v.filter, v.stride, -v.pad, v.dilation, 0, 1};
}

inline Axis dgrad_axis(const AxisShape& v, int64_t phase) {
  const int64_t every = v.stride / std::gcd(v.stride, v.dilation);  // taps of one phase lie this far apart
  int64_t r = 0;
  while (r < std::min(every, v.filter) && (phase + v.pad - r * v.dilation) % v.stride) ++r;
  Axis a = {};
  a.outputs = ceil_div(v.input - phase, v.stride), a.first_out = phase, a.step_out = v.stride;
  a.step = 1;
  a.spread = every * v.dilation / v.stride;
  if (r == std::min(every, v.filter)) return a;  // no tap meets this phase: zeros
  a.taps = ceil_div(v.filter - r, every);
  a.filter = r + (a.taps - 1) * every, a.filter_step = -every;
  a.first = (phase + v.pad - a.filter * v.dilation) / v.stride;
  return a;
}

inline Axis axis_of(const AxisShape& v, bool dgrad, int64_t phase) {
  return dgrad ? dgrad_axis(v, phase) : fprop_axis(v);
}

// Taps whose input lies in [0, inputs), for output i.
inline Range taps_inside(const Axis& a, int64_t i, int64_t inputs) {
  const int64_t first = i * a.step + a.first;
  const int64_t begin = first < 0 ? std::min(a.taps, ceil_div(-first, a.spread)) : 0;
  const int64_t end = first < inputs ? std::min(a.taps, (inputs - 1 - first) / a.spread + 1) : 0;
  return {begin, std::max(begin, end)};
}

inline AxisShape height_of(const Conv2dShape& v) {
  return {v.h, v.p, v.r, v.stride_h, v.dilation_h, v.pad_top};
}
inline AxisShape width_of(const Conv2dShape& v) {
  return {v.w, v.q, v.s, v.stride_w, v.dilation_w, v.pad_left};
}

}  // namespace cpu
}  // namespace fastcnn
