// SPDX-License-Identifier: Apache-2.0
// Windows of pools over [N,D,H,W,C], an image being one plane: which pixels a window holds, which windows
// hold a pixel.
#pragma once
#include "stored.h"

FASTCNN_FORMULAS_BEGIN

// The taps of a window that lie in the image.
struct Taps {
  int64_t first, count, step;  // pixels
  int64_t divisor;             // of an average
};
struct Range {
  int64_t begin, end;
};

// One axis of a pool.
struct PoolAxis {
  int64_t in, out, taps, stride, dilation, before, after;
  int32_t adaptive, include_pad;

  FASTCNN_INLINED Taps of(int64_t window) const {
    if (adaptive) {
      const int64_t begin = window * in / out, end = ((window + 1) * in + out - 1) / out;
      return {begin, end - begin, 1, end - begin};
    }
    const int64_t first = window * stride - before;
    const int64_t skipped = first < 0 ? (dilation - 1 - first) / dilation : 0;
    const int64_t left = (in - first + dilation - 1) / dilation;
    const int64_t count = (left < taps ? left : taps) - skipped;
    const int64_t padded = (in + after - first + dilation - 1) / dilation;
    return {first + skipped * dilation, count, dilation,
            include_pad ? (padded < taps ? padded : taps) : count};
  }
  // The windows that may hold a pixel, and which of a window's taps it is, -1 if none.
  FASTCNN_INLINED Range over(int64_t pixel) const {
    if (adaptive) return {pixel * out / in, ((pixel + 1) * out + in - 1) / in};
    const int64_t above = pixel + before - ((taps - 1) * dilation + 1), last = (pixel + before) / stride + 1;
    return {above < 0 ? 0 : above / stride + 1, last < out ? last : out};
  }
  FASTCNN_INLINED static int64_t tap_of(int64_t pixel, const Taps& t) {
    const int64_t distance = pixel - t.first, tap = distance / t.step;
    return distance < 0 || tap * t.step != distance || tap >= t.count ? -1 : tap;
  }
};

struct PoolWindows {
  PoolAxis d, h, w;
  int64_t n, c;

  int64_t inputs() const { return n * d.in * h.in * w.in * c; }
  int64_t outputs() const { return n * d.out * h.out * w.out * c; }
};

inline PoolWindows windows_of(const Pool2dShape& s) {
  PoolWindows p = {};
  p.n = s.n, p.c = s.c;
  p.d = {1, 1, 1, 1, 1, 0, 0, 0, 0};
  p.h = {s.h, s.p, s.r, s.stride_h, s.dilation_h, s.pad_top, s.pad_bottom, s.adaptive, s.count_include_pad};
  p.w = {s.w, s.q, s.s, s.stride_w, s.dilation_w, s.pad_left, s.pad_right, s.adaptive, s.count_include_pad};
  return p;
}
inline PoolWindows windows_of(const Pool3dShape& s) {
  PoolWindows p = {};
  p.n = s.n, p.c = s.c;
  p.d = {s.d, s.o, s.t, s.stride_d, s.dilation_d, s.pad_front, s.pad_back, s.adaptive, s.count_include_pad};
  p.h = {s.h, s.p, s.r, s.stride_h, s.dilation_h, s.pad_top, s.pad_bottom, s.adaptive, s.count_include_pad};
  p.w = {s.w, s.q, s.s, s.stride_w, s.dilation_w, s.pad_left, s.pad_right, s.adaptive, s.count_include_pad};
  return p;
}

// A place in [N,D,H,W,C].
struct PoolPlace {
  int64_t n, d, h, w, c;
  FASTCNN_INLINED static PoolPlace at(int64_t i, int64_t depth, int64_t height, int64_t width,
                                      int64_t channels) {
    PoolPlace p;
    int64_t rest = i / channels;
    p.c = i - rest * channels;
    i = rest, rest = i / width, p.w = i - rest * width;
    i = rest, rest = i / height, p.h = i - rest * height;
    p.n = rest / depth, p.d = rest - p.n * depth;
    return p;
  }
};

// The window that makes output i: f(element of x, position among the taps) in their order.
struct PoolWindow {
  Taps d, h, w;
  int64_t base, c;  // of the sample, in pixels

  FASTCNN_INLINED PoolWindow(const PoolWindows& p, int64_t i, int64_t* image) {
    const PoolPlace at = PoolPlace::at(i, p.d.out, p.h.out, p.w.out, p.c);
    d = p.d.of(at.d), h = p.h.of(at.h), w = p.w.of(at.w), c = at.c;
    *image = base = at.n * p.d.in * p.h.in * p.w.in;
  }
  FASTCNN_INLINED int64_t divisor() const { return d.divisor * h.divisor * w.divisor; }
  template <class F>
  FASTCNN_INLINED void for_each(const PoolWindows& p, F f) const {
    int64_t position = 0;
    for (int64_t a = 0; a < d.count; ++a)
      for (int64_t r = 0; r < h.count; ++r) {
        const int64_t row =
            base + ((d.first + a * d.step) * p.h.in + h.first + r * h.step) * p.w.in + w.first;
        for (int64_t s = 0; s < w.count; ++s) f((row + s * w.step) * p.c + c, position++);
      }
  }
};

// f(output, position of the pixel among the window's taps, the window's divisor) for the windows that hold
// input i, in their order.
template <class F>
FASTCNN_INLINE void for_each_window_over(const PoolWindows& p, int64_t i, F f) {
  const PoolPlace at = PoolPlace::at(i, p.d.in, p.h.in, p.w.in, p.c);
  const Range ds = p.d.over(at.d), hs = p.h.over(at.h), ws = p.w.over(at.w);
  for (int64_t o = ds.begin; o < ds.end; ++o) {
    const Taps d = p.d.of(o);
    const int64_t a = PoolAxis::tap_of(at.d, d);
    if (a < 0) continue;
    for (int64_t y = hs.begin; y < hs.end; ++y) {
      const Taps h = p.h.of(y);
      const int64_t r = PoolAxis::tap_of(at.h, h);
      if (r < 0) continue;
      for (int64_t x = ws.begin; x < ws.end; ++x) {
        const Taps w = p.w.of(x);
        const int64_t s = PoolAxis::tap_of(at.w, w);
        if (s < 0) continue;
        f((((at.n * p.d.out + o) * p.h.out + y) * p.w.out + x) * p.c + at.c, (a * h.count + r) * w.count + s,
          d.divisor * h.divisor * w.divisor);
      }
    }
  }
}

FASTCNN_FORMULAS_END
