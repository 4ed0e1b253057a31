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
  const auto reach = [&](int64_t n) { return a.spread == 1 ? n : ceil_div(n, a.spread); };
  const int64_t begin = first < 0 ? std::min(a.taps, reach(-first)) : 0;
  const int64_t end = first < inputs ? std::min(a.taps, reach(inputs - first)) : 0;
  return {begin, std::max(begin, end)};
}

// Outputs i in [within.begin, within.end) whose input i stride + offset lies in [0, inputs); at least an
// empty range.
inline Range outputs_inside(Range within, int64_t stride, int64_t offset, int64_t inputs) {
  const int64_t begin = std::max(within.begin, offset < 0 ? ceil_div(-offset, stride) : 0);
  const int64_t end = std::min(within.end, offset < inputs ? (inputs - 1 - offset) / stride + 1 : 0);
  return begin < end ? Range{begin, end} : Range{within.begin, within.begin};
}

inline AxisShape height_of(const Conv2dShape& v) {
  return {v.h, v.p, v.r, v.stride_h, v.dilation_h, v.pad_top};
}
inline AxisShape width_of(const Conv2dShape& v) {
  return {v.w, v.q, v.s, v.stride_w, v.dilation_w, v.pad_left};
}
inline AxisShape depth_of(const Conv3dShape& v) {
  return {v.d, v.z, v.t, v.stride_d, v.dilation_d, v.pad_front};
}

// Sizes are of the operation: dgrad's input is dy. in_g and out_g are the channels of a group.
struct Correlation {
  AxisShape height, width;
  int32_t dgrad;
  int64_t n, in_h, in_w, in_c, out_h, out_w, out_c;
  int64_t groups, in_g, out_g;
  int64_t filter_w, weight_tap, weight_in,
      weight_out;                          // taps of a filter row; steps of w per tap, input, output channel
  int64_t phases_h, phases_w, rows, cols;  // rows, cols: outputs of the longest phase
  int64_t step_h, step_w;                  // output i of an axis meets taps from i step + low
  int64_t low_h, high_h, low_w, high_w;    // to i step + high
};

inline Axis axis_h(const Correlation& c, int64_t phase) { return axis_of(c.height, c.dgrad, phase); }
inline Axis axis_w(const Correlation& c, int64_t phase) { return axis_of(c.width, c.dgrad, phase); }

inline Correlation correlation(const Conv2dShape& v, bool dgrad) {
  Correlation d = {};
  d.height = height_of(v), d.width = width_of(v);
  d.dgrad = dgrad;
  d.n = v.n, d.groups = v.groups, d.filter_w = v.s;
  const int64_t c = v.c / v.groups, k = v.k / v.groups;
  d.weight_tap = c * v.k;
  d.phases_h = d.phases_w = d.step_h = d.step_w = 1;
  if (dgrad) {
    d.in_h = v.p, d.in_w = v.q, d.in_c = v.k, d.in_g = k, d.weight_in = 1;
    d.out_h = v.h, d.out_w = v.w, d.out_c = v.c, d.out_g = c, d.weight_out = v.k;
    d.phases_h = std::min(v.stride_h, v.h), d.phases_w = std::min(v.stride_w, v.w);
  } else {
    d.in_h = v.h, d.in_w = v.w, d.in_c = v.c, d.in_g = c, d.weight_in = v.k;
    d.out_h = v.p, d.out_w = v.q, d.out_c = v.k, d.out_g = k, d.weight_out = 1;
    d.step_h = v.stride_h, d.step_w = v.stride_w;
  }
  const auto extent = [](int64_t phases, auto axis, int64_t* outputs, int64_t* low, int64_t* high) {
    bool any = false;
    for (int64_t i = 0; i < phases; ++i) {
      const Axis a = axis(i);
      *outputs = std::max(*outputs, a.outputs);
      if (!a.taps) continue;
      const int64_t last = a.first + (a.taps - 1) * a.spread;
      *low = any ? std::min(*low, a.first) : a.first;
      *high = any ? std::max(*high, last) : last;
      any = true;
    }
  };
  extent(d.phases_h, [&](int64_t i) { return axis_h(d, i); }, &d.rows, &d.low_h, &d.high_h);
  extent(d.phases_w, [&](int64_t i) { return axis_w(d, i); }, &d.cols, &d.low_w, &d.high_w);
  return d;
}

// Input rows that output rows [begin, end) of any phase meet.
inline Range rows_met(const Correlation& d, Range rows) {
  const int64_t begin = std::max<int64_t>(0, rows.begin * d.step_h + d.low_h);
  const int64_t end = std::min(d.in_h, (rows.end - 1) * d.step_h + d.high_h + 1);
  return {begin, std::max(begin, end)};
}
inline int64_t most_rows_met(const Correlation& d, int64_t rows) {
  return std::min(d.in_h, (rows - 1) * d.step_h + d.high_h - d.low_h + 1);
}

}  // namespace cpu
}  // namespace fastcnn
