// SPDX-License-Identifier: Apache-2.0
// dx = sum of dy over the windows that hold a pixel and have chosen it, in the order of the windows: pixel by
// pixel, in whole vectors of channels, each of which is written once. Windows that give, tap by tap, read and
// write dx for each after it was cleared: of [16,112,112,64] that took 1.7 to 1.9 times as long. Where maxima
// are found again first, taking was no faster than that or than adding one by one. Included by the gradients
// of max pooling.
#pragma once

#include "windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <int kCount>
FASTCNN_INLINE IVec get_bytes(Whole<kCount>, const uint8_t* p) {
  LaneBytes bytes = {};
  memcpy(&bytes, p, kLanes);
  return byte_lanes(bytes);
}
FASTCNN_INLINE IVec get_bytes(Part part, const uint8_t* p) {
  LaneBytes bytes = {};
  memcpy(&bytes, p, (size_t)part.lanes);
  return byte_lanes(bytes);
}

// f(i, tap) for the windows of an axis that hold pixel `at`, in their order.
template <class F>
FASTCNN_INLINE void for_each_holder(const Axis& axis, int64_t at, F f) {
  for (int64_t tap = axis.size - 1; tap >= 0; --tap) {
    const int64_t from = at + axis.before - tap * axis.dilation;
    if (from < 0 || from % axis.stride) continue;
    const int64_t i = from / axis.stride;
    if (i < axis.out) f(i, tap);
  }
}

// What a place is: the number of a pixel, or that of a tap among those in the image.
struct PixelPlaces {
  typedef int32_t Place;
  static constexpr bool kTaps = false;
  template <class Block>
  static FASTCNN_INLINED IVec get(Block block, const Place* p) {
    return vec_to_bits(block.get((const float*)p));
  }
};
struct TapPlaces {
  typedef uint8_t Place;
  static constexpr bool kTaps = true;
  template <class Block>
  static FASTCNN_INLINED IVec get(Block block, const Place* p) {
    return get_bytes(block, p);
  }
};

constexpr int kMostTaps = 256;          // of a window or a box
constexpr int64_t kTakenFloats = 2048;  // of a row of windows at a time

// A row of windows [Q,C], or one: its places, and dy, which does not count where y is at most 0.
template <class Place>
struct Taken {
  const Place* places;
  const float *dy, *y;  // y may be null
  int64_t tap;          // of a window the wanted place where that is a tap, of a row the row of taps
};

// Pixels `step` after each other take from as many windows each, which stand side by side.
template <class Place>
struct TakenRun {
  const Taken<Place>* windows;
  int64_t count, pixels, channels, step, place;
  float* dx;  // the first pixel, whose number is `place`
  bool streams;
};

// Of vectors that are a pixel or half of one four are taken at once.
template <class Places>
__attribute__((noinline)) void take_run(const TakenRun<typename Places::Place>& given) {
  const TakenRun<typename Places::Place> run = given;
  const Output output(run.dx, run.streams, run.channels);
  const int64_t next = run.step * run.channels;
  const auto take = [&](auto pixels, int64_t i) FASTCNN_INLINED {
    constexpr int kPixels = pixels.kVectors;
    const auto some = [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors, kEach = kVectors / kPixels;
      Vec sum[kVectors] = {};
      IVec wanted[kVectors] = {};
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) wanted[v] += (int32_t)(run.place + (i + v / kEach) * run.step);
      const int64_t at = i * run.channels + c;
      for (int64_t t = 0; t < run.count; ++t) {
        const auto* const places = run.windows[t].places + at;
        const float *const dy = run.windows[t].dy + at, *const y = run.windows[t].y;
        FASTCNN_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const IVec place = Places::get(block, places + v * kLanes);
          const IVec same = place == (Places::kTaps ? IVec{} + (int32_t)run.windows[t].tap : wanted[v]);
          Vec value = block.get(dy + v * kLanes);
          if (Places::kTaps && y) value = block.get(y + at + v * kLanes) <= Vec{} ? Vec{} : value;
          sum[v] = same ? sum[v] + value : sum[v];
        }
      }
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v)
        output.put(block, run.dx + (i + v / kEach) * next + c + v % kEach * kLanes, sum[v]);
    };
    if constexpr (kPixels > 1)
      some(Whole<4>{}, 0);
    else
      for_each_block<4>(run.channels, some);
  };
  int64_t i = 0;
  if (run.channels == kLanes)
    for (; i + 4 <= run.pixels; i += 4) take(Whole<4>{}, i);
  if (run.channels == 2 * kLanes)
    for (; i + 2 <= run.pixels; i += 2) take(Whole<2>{}, i);
  for (; i < run.pixels; ++i) take(Whole<1>{}, i);
}

// A row of pixels, which `count` rows of windows hold. The number of its first pixel is `place`.
template <class Places>
__attribute__((noinline)) void take_row(const Geometry& g, const Taken<typename Places::Place>* rows,
                                        int64_t count, int64_t place, float* dx, bool streams) {
  const Axis axis = g.cols;
  const int64_t channels = g.s.c, stride = axis.stride;
  const Span inner = Places::kTaps ? g.inner : Span{0, axis.out};
  Taken<typename Places::Place> windows[kMostTaps];
  const int64_t chunk = larger(kTakenFloats / channels, 1), padded = axis.in + axis.before;
  for (int64_t begin = 0; begin * stride < padded; begin += chunk)
    for (int64_t phase = 0; phase < stride; ++phase) {
      // Pixel m stride + phase of the padded row is tap `tap` of window m + q, and every tap_step later one
      // of every q_step earlier window, `holders` of them.
      int64_t tap = phase, tap_step = stride, q_step = 1;
      if (axis.dilation > 1) {
        for (tap = 0; tap < stride && tap * axis.dilation % stride != phase;) ++tap;
        for (tap_step = 1; tap_step * axis.dilation % stride;) ++tap_step;
        q_step = tap_step * axis.dilation / stride;
        if (tap == stride) tap = axis.size;
      }
      const int64_t holders = tap < axis.size ? (axis.size - 1 - tap) / tap_step + 1 : 0;
      const int64_t q = (phase - tap * axis.dilation) / stride, earliest = q - (holders - 1) * q_step;
      int64_t m = begin;
      while (m * stride + phase < axis.before) ++m;
      const int64_t end = smaller(begin + chunk, (padded - phase + stride - 1) / stride);
      const Span alike =
          holders ? Span{larger(m, inner.begin - earliest), smaller(end, inner.end - q)} : Span{m, end};
      for (int64_t pixels; m < end; m += pixels) {
        pixels = m == alike.begin && m < alike.end ? alike.end - m : 1;
        const int64_t w = m * stride + phase - axis.before;
        int64_t taken = 0;
        for (int64_t r = 0; r < count; ++r)
          for (int64_t k = holders - 1; k >= 0; --k) {
            const int64_t window = m + q - k * q_step, from = window * channels;
            if (window < 0 || window >= axis.out) continue;
            int64_t number = 0;
            if constexpr (Places::kTaps) {
              const Span taps = axis.taps(window);
              number = rows[r].tap * axis.count(taps) + axis.count({taps.begin, w + 1}) - 1;
            }
            windows[taken++] = {rows[r].places + from, rows[r].dy + from,
                                rows[r].y ? rows[r].y + from : nullptr, number};
          }
        take_run<Places>({windows, taken, pixels, channels, stride, place + w, dx + w * channels, streams});
      }
    }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
