// SPDX-License-Identifier: Apache-2.0
// Windows of pools over [N,D,H,W,C], an image being one plane: which pixels a window holds, which windows
// hold a pixel. All in 32 bits: images have fewer than 2^31 elements.
#pragma once
#include "places.h"

FASTCNN_FORMULAS_BEGIN

// The taps of a window that lie in the image.
struct Taps {
  int32_t first, count;  // pixels
  int32_t divisor;       // of an average
};
struct Range {
  int32_t begin, end;
};

// One axis of a pool.
struct PoolAxis {
  int32_t in, out, taps, before, after;
  Divisor stride, dilation;
  int32_t adaptive, include_pad;
  double inverse_in, inverse_out;

  // (i * of + more) / by, without the 64-bit division, which is a call.
  FASTCNN_INLINED static int32_t share(int32_t i, int32_t of, int32_t more, int32_t by, double inverse) {
    const int64_t all = int64_t(i) * of + more;
    const int32_t close = int32_t(double(all) * inverse);
    const int64_t rest = all - int64_t(close) * by;
    return close + (rest >= by) - (rest < 0);
  }
  FASTCNN_INLINED Taps of(int32_t window) const {
    if (adaptive) {
      const int32_t begin = share(window, in, 0, out, inverse_out);
      const int32_t end = share(window + 1, in, out - 1, out, inverse_out);
      return {begin, end - begin, end - begin};
    }
    const int32_t first = window * stride.by - before, round = dilation.by - 1;
    const int32_t skipped = first < 0 ? (round - first) / dilation : 0;
    const int32_t left = (in - first + round) / dilation;  // every window has a tap in the image
    const int32_t count = (left < taps ? left : taps) - skipped;
    const int32_t padded = (in + after - first + round) / dilation;
    return {first + skipped * dilation.by, count, include_pad ? (padded < taps ? padded : taps) : count};
  }
  // The windows that may hold a pixel, and which of a window's taps it is, -1 if none.
  FASTCNN_INLINED Range over(int32_t pixel) const {
    if (adaptive)
      return {share(pixel, out, 0, in, inverse_in), share(pixel + 1, out, in - 1, in, inverse_in)};
    const int32_t above = pixel + before - ((taps - 1) * dilation.by + 1);
    const int32_t last = (pixel + before) / stride + 1;
    return {above < 0 ? 0 : above / stride + 1, last < out ? last : out};
  }
  FASTCNN_INLINED int32_t tap_of(int32_t pixel, const Taps& t) const {
    const int32_t distance = pixel - t.first, tap = distance / dilation;
    return distance < 0 || tap * dilation.by != distance || tap >= t.count ? -1 : tap;
  }
};

struct PoolWindows {
  PoolAxis d, h, w;
  int32_t n, c;
  bool volume;
  bool fit;  // in 32 bits

  int64_t input_pixels() const { return int64_t(d.in) * h.in * w.in; }
  int64_t output_pixels() const { return int64_t(d.out) * h.out * w.out; }
  int64_t inputs() const { return n * input_pixels() * c; }
  int64_t outputs() const { return n * output_pixels() * c; }
  Places input_places(int32_t units) const { return Places::of(n, d.in, h.in, w.in, c / units); }
  Places output_places(int32_t units) const { return Places::of(n, d.out, h.out, w.out, c / units); }
};

// Sizes of one axis as a shape has them.
struct AxisSizes {
  int64_t in, out, taps, stride, dilation, before, after;
};
inline PoolAxis axis_of(AxisSizes s, int32_t adaptive, int32_t include_pad, bool* fit) {
  constexpr int64_t kMost = 1 << 28;
  if (s.out == 1) s.stride = 1;
  if (adaptive || s.taps == 1) s.dilation = 1;
  if (adaptive) s.taps = s.stride = 1, s.before = s.after = 0;
  for (const int64_t size : {s.in, s.out, s.taps, s.stride, s.dilation, s.before, s.after})
    *fit = *fit && size < kMost;
  *fit = *fit && double(s.taps) * double(s.dilation) < double(kMost) &&
         double(s.out) * double(s.stride) < double(kMost);
  if (!*fit) return {};
  const auto i = [](int64_t size) { return int32_t(size); };
  const Divisor stride = Divisor::of(i(s.stride)), dilation = Divisor::of(i(s.dilation));
  return {i(s.in),  i(s.out), i(s.taps),   i(s.before),        i(s.after),         stride,
          dilation, adaptive, include_pad, 1.0 / double(s.in), 1.0 / double(s.out)};
}

inline PoolWindows windows_of(const Pool3dShape& s, bool volume = true) {
  PoolWindows p = {};
  p.volume = volume;
  p.fit = s.n <= INT32_MAX && double(s.d) * double(s.h) * double(s.w) * double(s.c) <= INT32_MAX &&
          double(s.o) * double(s.p) * double(s.q) * double(s.c) <= INT32_MAX;
  const auto axis = [&](const AxisSizes& of) { return axis_of(of, s.adaptive, s.count_include_pad, &p.fit); };
  p.d = axis({s.d, s.o, s.t, s.stride_d, s.dilation_d, s.pad_front, s.pad_back});
  p.h = axis({s.h, s.p, s.r, s.stride_h, s.dilation_h, s.pad_top, s.pad_bottom});
  p.w = axis({s.w, s.q, s.s, s.stride_w, s.dilation_w, s.pad_left, s.pad_right});
  if (p.fit) p.n = int32_t(s.n), p.c = int32_t(s.c);
  return p;
}
inline PoolWindows windows_of(const Pool2dShape& s) {
  Pool3dShape v = {};
  v.n = s.n, v.c = s.c, v.adaptive = s.adaptive, v.count_include_pad = s.count_include_pad;
  v.d = v.o = v.t = v.stride_d = v.dilation_d = 1;
  v.h = s.h, v.p = s.p, v.r = s.r, v.w = s.w, v.q = s.q, v.s = s.s;
  v.stride_h = s.stride_h, v.dilation_h = s.dilation_h, v.pad_top = s.pad_top, v.pad_bottom = s.pad_bottom;
  v.stride_w = s.stride_w, v.dilation_w = s.dilation_w, v.pad_left = s.pad_left, v.pad_right = s.pad_right;
  return windows_of(v, false);
}

// The window that makes an output: f(pixel of the image, position among the taps) in their order.
struct PoolWindow {
  Taps d, h, w;

  FASTCNN_INLINED PoolWindow(const PoolWindows& p, const UnitPlace& at)
      : d(p.volume ? p.d.of(at.d) : Taps{0, 1, 1}), h(p.h.of(at.h)), w(p.w.of(at.w)) {}
  FASTCNN_INLINED int32_t divisor() const { return d.divisor * h.divisor * w.divisor; }
  template <class F>
  FASTCNN_INLINED void for_each(const PoolWindows& p, F f) const {
    const int32_t dilation_h = p.h.dilation.by, dilation_w = p.w.dilation.by;
    int32_t position = 0;
    for (int32_t a = 0; a < d.count; ++a) {
      int32_t row = ((d.first + a * p.d.dilation.by) * p.h.in + h.first) * p.w.in + w.first;
      for (int32_t r = 0; r < h.count; ++r, row += dilation_h * p.w.in)
        for (int32_t s = 0; s < w.count; ++s) f(row + s * dilation_w, position++);
    }
  }
};

// f(output pixel of the image, position of the input's pixel among the window's taps, the window's divisor)
// for the windows that hold an input, in their order.
template <class F>
FASTCNN_INLINE void for_each_window_over(const PoolWindows& p, const UnitPlace& at, F f) {
  const Range ds = p.volume ? p.d.over(at.d) : Range{0, 1}, hs = p.h.over(at.h), ws = p.w.over(at.w);
  for (int32_t o = ds.begin; o < ds.end; ++o) {
    const Taps d = p.volume ? p.d.of(o) : Taps{0, 1, 1};
    const int32_t a = p.volume ? p.d.tap_of(at.d, d) : 0;
    if (a < 0) continue;
    for (int32_t y = hs.begin; y < hs.end; ++y) {
      const Taps h = p.h.of(y);
      const int32_t r = p.h.tap_of(at.h, h);
      if (r < 0) continue;
      for (int32_t x = ws.begin; x < ws.end; ++x) {
        const Taps w = p.w.of(x);
        const int32_t s = p.w.tap_of(at.w, w);
        if (s < 0) continue;
        f((o * p.h.out + y) * p.w.out + x, (a * h.count + r) * w.count + s,
          d.divisor * h.divisor * w.divisor);
      }
    }
  }
}

FASTCNN_FORMULAS_END
