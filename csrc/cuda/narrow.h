// SPDX-License-Identifier: Apache-2.0
// Convolutions of few channels and filters on the GPU's multiply-add units: which they are, their weights in
// shared memory, as four filters of a channel or four channels of a filter, and the tiles of their images.
#pragma once
#include "reduce.h"
#include "walk.h"

FASTCNN_FORMULAS_BEGIN

constexpr int64_t kMostFilters = 32, kMostQuads = 1176;  // 32 filters of 7 x 7 x 3 weights
constexpr int kFour = 4, kMostChannels = 7;              // eight fill the strips of a matrix product

inline int64_t quads(int64_t channels) { return ceil_div(channels, kFour); }

// Whose weights of so many filters at once fit as four filters of a channel.
inline bool is_narrow(const Conv2dShape& s, int64_t filters) {
  return s.groups == 1 && s.c <= kMostChannels && filters <= kMostFilters && walk_fits(s) &&
         s.r * s.s * s.c * quads(filters) <= kMostQuads &&
         double(s.n) * double(s.p) * double(s.q) * double(s.k) < INT32_MAX &&
         double(s.n) * double(s.h) * double(s.w) * double(s.c) < INT32_MAX;
}
// All of whose weights fit as four channels of a filter, too.
inline bool is_narrow(const Conv2dShape& s) {
  return is_narrow(s, s.k) && s.r * s.s * s.k * quads(s.c) <= kMostQuads;
}

FASTCNN_INLINE float4 add_scaled(float by, const float4& w, const float4& to) {
  return make_float4(fma(by, w.x, to.x), fma(by, w.y, to.y), fma(by, w.z, to.z), fma(by, w.w, to.w));
}

template <class T>
struct Weights {
  const T* w;  // [taps, c, k], of which rows lie `pitch` apart
  int32_t taps, c, k, pitch;

  FASTCNN_INLINED float at(int32_t tap, int32_t ch, int32_t filter) const {
    return ch < c && filter < k ? float(w[(tap * c + ch) * pitch + filter]) : 0.0f;
  }
  // [taps, c, across], of which k fill the first quads, and [taps, k, quads of c]; the whole block.
  FASTCNN_INLINED void put_filters(float4* to, const Divisor& across) const {
    for (int32_t i = int32_t(threadIdx.x); i < taps * c * across; i += kThreads) {
      const int32_t row = i / across, first = (i - row * across) * kFour, tap = row / c, ch = row - tap * c;
      to[i] = make_float4(at(tap, ch, first), at(tap, ch, first + 1), at(tap, ch, first + 2),
                          at(tap, ch, first + 3));
    }
    __syncthreads();
  }
  FASTCNN_INLINED void put_channels(float4* to) const {
    const int32_t across = (c + kFour - 1) / kFour;
    for (int32_t i = int32_t(threadIdx.x); i < taps * k * across; i += kThreads) {
      const int32_t row = i / across, first = (i - row * across) * kFour, tap = row / k, f = row - tap * k;
      to[i] =
          make_float4(at(tap, first, f), at(tap, first + 1, f), at(tap, first + 2, f), at(tap, first + 3, f));
    }
    __syncthreads();
  }
};

constexpr int32_t kMostImage = 6144;  // numbers of x that a tile reads, in shared memory

// The length of even parts of a whole, not more than `most`.
inline int32_t even(int32_t whole, int32_t most) {
  const int32_t parts = (whole + most - 1) / most;
  return (whole + parts - 1) / parts;
}

// The images cut into tiles of so many rows and columns.
struct Tiles {
  int32_t rows, cols, count;
  Divisor high, wide;  // tiles of an image

  static Tiles of(int32_t n, int32_t height, int32_t width, int32_t rows, int32_t cols) {
    const Divisor high = Divisor::of((height + rows - 1) / rows),
                  wide = Divisor::of((width + cols - 1) / cols);
    return {rows, cols, n * high * wide, high, wide};
  }
  // The sample of tile i, and its first row and column.
  FASTCNN_INLINED Place place(int32_t i) const {
    const int32_t line = i / wide, n = line / high;
    return {n, 0, (line - n * high) * rows, (i - line * wide) * cols};
  }
};

// What a tile reads of x: height x width pixels in shared memory, zeros beyond the borders.
struct TileImage {
  int32_t height, width, numbers;
  Divisor row;

  // So that `fits` tells whether there is room.
  static TileImage of(double height, double width, int32_t c, int32_t behind) {
    if (height * width * c + behind > kMostImage) return {0, 0, 0, Divisor::of(1)};
    const auto h = int32_t(height), w = int32_t(width);
    return {h, w, h * w * c, Divisor::of(w * c)};
  }
  bool fits() const { return height > 0; }

  // From pixel (h0, w0) of x's sample n on; the whole block.
  template <class T>
  FASTCNN_INLINED void put(const ConvWalk& w, const T* x, int32_t n, int32_t h0, int32_t w0,
                           float* to) const {
    const int32_t e0 = w0 * w.c, row_of_x = w.w.in * w.c;
    const T* const from = x + n * w.image + int64_t(h0) * row_of_x + e0;
    for (int32_t i = int32_t(threadIdx.x); i < numbers; i += kThreads) {
      const int32_t line = i / row, e = i - line * row;
      const bool there = uint32_t(h0 + line) < uint32_t(w.h.in) && uint32_t(e0 + e) < uint32_t(row_of_x);
      to[i] = there ? float(from[line * row_of_x + e]) : 0.0f;
    }
  }
};

FASTCNN_FORMULAS_END
