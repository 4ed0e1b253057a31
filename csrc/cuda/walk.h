// SPDX-License-Identifier: Apache-2.0
// The index arithmetic of convolutions of volumes [N,D,H,W,C], images being volumes of one frame: output
// pixels, taps, and the classes of pixels that strides divide the input into. Host code and device code
// alike.
#pragma once
#include <initializer_list>

#include "../base/shape.h"

#if defined(__CUDACC__)
#define FASTCNN_WALK __host__ __device__ __forceinline__
#else
#define FASTCNN_WALK inline
#endif

namespace fastcnn {
namespace cuda {

// A number that others, from 0 to 2^31, are often divided by: a multiplication and a shift each.
struct Divisor {
  int32_t by;
  uint32_t multiplier, shift;

  FASTCNN_WALK static Divisor of(int32_t by) {
    uint32_t shift = 0;
    while ((1u << shift) < uint32_t(by)) ++shift;
    // multiplier = 2^32 (2^shift - by) / by + 1, digit by digit
    uint32_t rest = (1u << shift) - uint32_t(by), multiplier = 0;
    for (int digit = 0; digit < 32; ++digit) {
      rest *= 2, multiplier *= 2;
      if (rest >= uint32_t(by)) rest -= uint32_t(by), multiplier += 1;
    }
    return {by, multiplier + 1, shift};
  }
  FASTCNN_WALK operator int32_t() const { return by; }
  friend FASTCNN_WALK int32_t operator/(int32_t i, const Divisor& d) {
    return int32_t((high_half(uint32_t(i), d.multiplier) + uint32_t(i)) >> d.shift);
  }
  FASTCNN_WALK static uint32_t high_half(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
    return __umulhi(a, b);
#else
    return uint32_t((uint64_t(a) * b) >> 32);
#endif
  }
};

struct ConvAxis {
  int32_t in, taps, out, stride, dilation, pad;
};

struct Place {
  int32_t n, d, h, w;
};
struct TapPlace {
  int32_t t, r, s, channel;
};

// The pixels place, place + stride, ... of one axis, and the taps first, first + step, ... that reach them:
// from one tap to the next the window goes back by step_back.
struct AxisClass {
  int32_t place, first, step, count, step_back;

  FASTCNN_WALK int32_t tap(int32_t i) const { return first + i * step; }
  // The window whose first tap of the class is this pixel.
  FASTCNN_WALK int32_t window(int32_t pixel, const ConvAxis& a) const {
    return (pixel + a.pad - first * a.dilation - floor_part(pixel + a.pad - first * a.dilation, a.stride)) /
           a.stride;
  }
  // Non-zero only where no tap reaches the class at all.
  FASTCNN_WALK static int32_t floor_part(int32_t x, int32_t by) {
    const int32_t rest = x % by;
    return rest < 0 ? rest + by : rest;
  }
  FASTCNN_WALK static AxisClass of(const ConvAxis& a, int32_t place) {
    AxisClass c = {place, 0, 1, 0, 0};
    int32_t x = a.stride, y = a.dilation;  // to their greatest common divisor
    while (y) {
      const int32_t rest = x % y;
      x = y, y = rest;
    }
    c.step = a.stride / x;
    c.step_back = a.dilation / x;
    for (int32_t tap = 0; tap < a.taps && tap < c.step; ++tap)
      if ((place + a.pad - tap * a.dilation) % a.stride == 0) {
        c.first = tap;
        c.count = (a.taps - tap + c.step - 1) / c.step;
        break;
      }
    return c;
  }
};

struct PixelClass {
  AxisClass d, h, w;

  FASTCNN_WALK int32_t taps() const { return d.count * h.count * w.count; }
  // Of a sum over taps and channels, channels first.
  FASTCNN_WALK TapPlace tap(int32_t i, int32_t channels) const { return tap(i, channels, w.count, h.count); }
  template <class Number>
  FASTCNN_WALK static TapPlace tap(int32_t i, Number channels, Number width, Number height) {
    int32_t rest = i / channels;
    TapPlace at;
    at.channel = i - rest * channels;
    i = rest, rest = i / width, at.s = i - rest * width;
    at.t = rest / height, at.r = rest - at.t * height;
    return at;
  }
};

struct ConvWalk {
  ConvAxis d, h, w;
  int32_t n, c, k, groups, group_c, group_k;
  int64_t image, gradient;  // elements of a sample of x, of y

  FASTCNN_WALK int32_t outputs() const { return n * d.out * h.out * w.out; }
  FASTCNN_WALK int32_t taps() const { return d.taps * h.taps * w.taps; }
  FASTCNN_WALK int32_t classes() const { return d.stride * h.stride * w.stride; }
  // That reach a pixel: those of the class that the first tap reaches.
  FASTCNN_WALK static int32_t most_taps(const ConvAxis& a) {
    const int32_t step = AxisClass::of(a, 0).step;
    return (a.taps + step - 1) / step;
  }
  FASTCNN_WALK int32_t most_taps_of_class() const { return most_taps(d) * most_taps(h) * most_taps(w); }
  FASTCNN_WALK static int32_t pixels_of(const ConvAxis& a) { return (a.in + a.stride - 1) / a.stride; }
  // Of the largest class.
  FASTCNN_WALK int32_t class_pixels() const { return n * pixels_of(d) * pixels_of(h) * pixels_of(w); }

  template <class Number>
  FASTCNN_WALK static Place split(int32_t i, Number depth, Number height, Number width) {
    Place at;
    int32_t rest = i / width;
    at.w = i - rest * width;
    i = rest, rest = i / height, at.h = i - rest * height;
    at.n = rest / depth, at.d = rest - at.n * depth;
    return at;
  }
  FASTCNN_WALK Place output(int32_t i) const { return split(i, d.out, h.out, w.out); }
  FASTCNN_WALK TapPlace tap(int32_t i, int32_t channels) const {
    const int32_t rest = i / channels;
    const Place at = split(rest, d.taps, h.taps, w.taps);
    return {at.d, at.h, at.w, i - rest * channels};
  }
  FASTCNN_WALK int64_t tap_number(int32_t t, int32_t r, int32_t s) const {
    return (int64_t(t) * h.taps + r) * w.taps + s;
  }
  FASTCNN_WALK bool inside(int32_t a, int32_t b, int32_t e) const {
    return uint32_t(a) < uint32_t(d.in) && uint32_t(b) < uint32_t(h.in) && uint32_t(e) < uint32_t(w.in);
  }
  FASTCNN_WALK bool is_window(int32_t z, int32_t p, int32_t q) const {
    return uint32_t(z) < uint32_t(d.out) && uint32_t(p) < uint32_t(h.out) && uint32_t(q) < uint32_t(w.out);
  }
  FASTCNN_WALK int64_t element(int32_t a, int32_t b, int32_t e) const {
    return ((int64_t(a) * h.in + b) * w.in + e) * c;
  }
  FASTCNN_WALK int64_t window(int32_t z, int32_t p, int32_t q) const {
    return ((int64_t(z) * h.out + p) * w.out + q) * k;
  }
  FASTCNN_WALK PixelClass pixel_class(int32_t number) const {
    const Place at = split(number, d.stride, h.stride, w.stride);
    return {AxisClass::of(d, at.d), AxisClass::of(h, at.h), AxisClass::of(w, at.w)};
  }
  // n = -1 where the class has fewer pixels than the largest.
  FASTCNN_WALK Place pixel_of_class(const PixelClass& of, int32_t i) const {
    Place at = split(i, pixels_of(d), pixels_of(h), pixels_of(w));
    at.d = of.d.place + at.d * d.stride, at.h = of.h.place + at.h * h.stride;
    at.w = of.w.place + at.w * w.stride;
    if (at.n >= n || !inside(at.d, at.h, at.w)) at.n = -1;
    return at;
  }
};

inline bool walk_fits(const Conv2dShape& s) {
  const int64_t most = 1 << 20;
  for (const int64_t v : {s.h, s.w, s.r, s.s, s.p, s.q, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w,
                          s.pad_top, s.pad_left})
    if (v > most || v < -most) return false;
  return s.n < INT32_MAX && s.c < INT32_MAX && s.k < INT32_MAX && (s.r - 1) * s.dilation_h < most * 64 &&
         (s.s - 1) * s.dilation_w < most * 64;
}
inline bool walk_fits(const Conv3dShape& s) {
  const int64_t most = 1 << 20;
  return walk_fits(s.frame) && s.d <= most && s.t <= most && s.z <= most && s.stride_d <= most &&
         s.pad_front <= most && s.dilation_d <= most && (s.t - 1) * s.dilation_d < most * 64;
}

inline ConvWalk walk_of(const Conv3dShape& s) {
  const Conv2dShape& f = s.frame;
  const auto i = [](int64_t v) { return static_cast<int32_t>(v); };
  ConvWalk w = {};
  w.d = {i(s.d), i(s.t), i(s.z), i(s.stride_d), i(s.dilation_d), i(s.pad_front)};
  w.h = {i(f.h), i(f.r), i(f.p), i(f.stride_h), i(f.dilation_h), i(f.pad_top)};
  w.w = {i(f.w), i(f.s), i(f.q), i(f.stride_w), i(f.dilation_w), i(f.pad_left)};
  w.n = i(f.n), w.c = i(f.c), w.k = i(f.k), w.groups = i(f.groups);
  w.group_c = i(f.c / f.groups), w.group_k = i(f.k / f.groups);
  w.image = s.d * f.h * f.w * f.c, w.gradient = s.z * f.p * f.q * f.k;
  return w;
}
inline ConvWalk walk_of(const Conv2dShape& s) { return walk_of(Conv3dShape{s, 1, 1, 1, 1, 1, 0}); }

}  // namespace cuda
}  // namespace fastcnn
