// SPDX-License-Identifier: Apache-2.0
// A thread to a place in [N,D,H,W,C]: where it lies follows from 32-bit numbers and the host's divisors, and
// the channels of a place go by kC at a time, so that this arithmetic is theirs together. Four, if they are
// aligned so: sixteen bytes of floats.
#pragma once
#include "stored.h"
#include "walk.h"

FASTCNN_FORMULAS_BEGIN

// unit[i] of the array; the channel is counted in units, too.
struct UnitPlace {
  int64_t unit;
  int32_t n, d, h, w, c;
};

struct Places {
  int32_t n;
  Divisor d, h, w, units;  // of channels

  static Places of(int32_t n, int32_t d, int32_t h, int32_t w, int32_t units) {
    return {n, Divisor::of(d), Divisor::of(h), Divisor::of(w), Divisor::of(units)};
  }
  FASTCNN_WALK int64_t image() const { return int64_t(d.by) * h.by * w.by * units.by; }
  // Of a pixel of the samples from the first on.
  FASTCNN_INLINED UnitPlace at(int32_t first, int32_t pixel, int32_t c) const {
    const int32_t rows = pixel / w, planes = rows / h, samples = planes / d;
    return {first * image() + int64_t(pixel) * units.by + c,
            first + samples,
            planes - samples * d.by,
            rows - planes * h.by,
            pixel - rows * w.by,
            c};
  }
};

// Samples first, first + 1, ...: `count` units.
struct SomeSamples {
  int32_t first, count;
};

template <class F>
__global__ void __launch_bounds__(kThreads) each_place(Places of, SomeSamples some, F f) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= uint32_t(some.count)) return;
  const int32_t pixel = int32_t(i) / of.units;
  f(of.at(some.first, pixel, int32_t(i) - pixel * of.units.by));
}

// f(place) for each, neighbours by neighbouring threads. An image has fewer than 2^31 units.
template <class F>
void for_each_place(Context& context, const Places& of, F f) {
  const int64_t image = of.image();
  if (image == 0) return;
  const int64_t most = INT32_MAX / image;
  for (int64_t first = 0; first < of.n; first += most) {
    const int64_t samples = of.n - first < most ? of.n - first : most;
    const SomeSamples some = {int32_t(first), int32_t(samples * image)};
    FASTCNN_LAUNCH(each_place<F>, unsigned(ceil_div(some.count, kThreads)), kThreads, stream_of(context))
    (of, some, f);
  }
}

// Fewer threads than this wait longer for memory than they save by sharing arithmetic.
constexpr int64_t kEnoughPlaces = 1 << 13;
template <class T>
bool by_fours(int64_t places, int64_t channels, std::initializer_list<const void*> arrays) {
  return channels % 4 == 0 && aligned_to_fours<T>(arrays) && places * channels / 4 >= kEnoughPlaces;
}

FASTCNN_FORMULAS_END
