// SPDX-License-Identifier: Apache-2.0
// What the direct convolutions of few channels share: images in shared memory by fours of channels.
#pragma once
#include "conv.h"
#include "narrow.h"

FASTCNN_FORMULAS_BEGIN

constexpr int32_t kRoom = 2048;   // float4s of shared memory: half of what the smallest multiprocessor has
constexpr int32_t kLeastSum = 3;  // channels that fill a four well enough

// Whether places of numbers fit into 32 bits.
inline bool numbers_fit(const ConvWalk& w) {
  return fits(w) && double(w.n) * double(w.image) < INT32_MAX && double(w.n) * double(w.gradient) < INT32_MAX;
}

// put(i, get(i)) for every i below count by the whole block, a thread waiting for several at a time.
template <int kAtATime, class Get, class Put>
FASTCNN_INLINE void move(int32_t count, Get get, Put put) {
  FASTCNN_ROLLED
  for (int32_t first = int32_t(threadIdx.x); first < count; first += kAtATime * kThreads) {
    float4 some[kAtATime];
    FASTCNN_UNROLL
    for (int e = 0; e < kAtATime; ++e)
      if (first + e * kThreads < count) some[e] = get(first + e * kThreads);
    FASTCNN_UNROLL
    for (int e = 0; e < kAtATime; ++e)
      if (first + e * kThreads < count) put(first + e * kThreads, some[e]);
  }
}

struct Images {
  const float* x;
  int32_t n, h, w, c;
  bool by_fours;

  static Images of(const float* x, int32_t n, int32_t h, int32_t w, int32_t c) {
    return {x, n, h, w, c, c % kFour == 0 && aligned_to(x, 16)};
  }
};

// [fours of channels, samples, height, width] in shared memory, with lengths that keep banks apart.
struct Staged {
  Divisor height, width, fours;
  int32_t samples, pitch, plane;

  static double room(int32_t samples, double height, double width, int32_t fours) {
    return (samples * height * (width + 1) + 1) * fours;
  }
  static Staged of(int32_t samples, int32_t height, int32_t width, int32_t fours) {
    const int32_t pitch = width | 1, plane = (samples * height * pitch) | 1;
    return {Divisor::of(height), Divisor::of(width), Divisor::of(fours), samples, pitch, plane};
  }
  // From (n0, h0, w0, c0) on, zeros beyond the borders; the whole block.
  FASTCNN_INLINED void put(const Images& from, int32_t n0, int32_t h0, int32_t w0, int32_t c0,
                           float4* to) const {
    struct Pixel {
      int32_t line, column, four;
    };
    const auto pixel = [&](int32_t i) {
      const int32_t all = i / fours, line = all / width;
      return Pixel{line, all - line * width, i - all * fours};
    };
    move<4>(
        samples * height * width * fours,
        [&](int32_t i) {
          const Pixel at = pixel(i);
          const int32_t sample = at.line / height, n = n0 + sample;
          const int32_t h = h0 + at.line - sample * height, w = w0 + at.column, c = c0 + at.four * kFour;
          float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
          if (n >= from.n || uint32_t(h) >= uint32_t(from.h) || uint32_t(w) >= uint32_t(from.w)) return four;
          const float* const x = from.x + (((n * from.h + h) * from.w + w) * from.c + c);
          const int32_t left = from.c - c;
          if (from.by_fours && left > 0) return *reinterpret_cast<const float4*>(x);
          if (left > 0) four.x = x[0];
          if (left > 1) four.y = x[1];
          if (left > 2) four.z = x[2];
          if (left > 3) four.w = x[3];
          return four;
        },
        [&](int32_t i, const float4& four) {
          const Pixel at = pixel(i);
          to[at.four * plane + at.line * pitch + at.column] = four;
        });
  }
};

FASTCNN_INLINE float component(const float4& four, int e) {
  return e == 0 ? four.x : e == 1 ? four.y : e == 2 ? four.z : four.w;
}

FASTCNN_FORMULAS_END
