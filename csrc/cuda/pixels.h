// SPDX-License-Identifier: Apache-2.0
// A convolution's forward pass or data gradient as products whose a is read pixel by pixel through a map
// (ptx/maps.h) and whose b through another: which tiles there are, which pixels and taps a step of a tile
// loads, where its sums belong. Pixels go by classes, of which strides make several in the gradient (walk.h).
// A matrix product is a convolution of m images of one pixel. Host code and device code alike.
#pragma once
#include "ptx/maps.h"
#include "walk.h"

namespace fastcnn {
namespace cuda {

constexpr int kMostClasses = 4;

// Base pixels lower, lower + step, ..., `out` of them along an axis; taps 0, 1, ... of the class lie
// tap_first, tap_first + tap_step, ... behind a base.
struct PixelAxis {
  int32_t out, lower, taps, tap_first;
};

struct PixelClassOfMap {
  PixelAxis h, w;
  int32_t first_tile, steps;  // of the sum: taps times chunks
  int32_t first_row;          // of b's slices
  int64_t place;              // in y, of its first pixel
};

struct PixelProduct {
  PixelClassOfMap of[kMostClasses];
  int32_t classes, tiles, tiles_n, images;
  int32_t chunks, numbers;  // of the channels; channels of a chunk, a row of a map
  int32_t base_step, tap_step;
  int32_t slice_step_h, slice_step_w;  // from one tap's weights to the next
  int32_t columns;
  int64_t image, row, pixel;  // of y, between the pixels of a class

  // Tile t: its class, first row and first column.
  struct Tile {
    int32_t in_class, m, n;
  };
  FASTCNN_WALK Tile tile(int32_t t, int32_t tile_m, int32_t tile_n) const {
    int32_t c = 0;
    while (c + 1 < classes && t >= of[c + 1].first_tile) ++c;
    t -= of[c].first_tile;
    return {c, t / tiles_n * tile_m, t % tiles_n * tile_n};
  }
  FASTCNN_WALK ptx::PixelsPlace first_pixel(const PixelClassOfMap& c, int32_t m) const {
    const int32_t rows = m / c.w.out, x = m - rows * c.w.out, n = rows / c.h.out, y = rows - n * c.h.out;
    return {0, c.w.lower + x * base_step, c.h.lower + y * base_step, n, c.w.tap_first, c.h.tap_first};
  }
  // Where row m of a class lies in y; -1: there is none.
  FASTCNN_WALK int64_t place(const PixelClassOfMap& c, int32_t m) const {
    const int32_t rows = m / c.w.out, x = m - rows * c.w.out, n = rows / c.h.out, y = rows - n * c.h.out;
    return n < images ? c.place + n * image + y * row + x * pixel : -1;
  }
};

// The steps of a tile one after the other: channels, then taps.
struct PixelSteps {
  ptx::PixelsPlace a;
  int32_t slice;
  int32_t tap_h, tap_w;
  FASTCNN_WALK PixelSteps(const PixelProduct& p, const PixelClassOfMap& c, int32_t m)
      : a(p.first_pixel(c, m)), slice(c.first_row), tap_h(0), tap_w(0) {}
  FASTCNN_WALK void next(const PixelProduct& p, const PixelClassOfMap& c) {
    a.channel += p.numbers;
    if (a.channel < p.chunks * p.numbers) return;
    a.channel = 0;
    if (++tap_w < c.w.taps) {
      a.tap_w += p.tap_step, slice += p.slice_step_w;
      return;
    }
    slice -= (tap_w - 1) * p.slice_step_w;
    tap_w = 0, a.tap_w = c.w.tap_first;
    ++tap_h, a.tap_h += p.tap_step, slice += p.slice_step_h;
  }
};

struct PixelTile {
  int32_t m, n;
  int32_t numbers;  // of a row of a map
};
inline int32_t tiles_of(int64_t rows, int32_t tile) { return int32_t((rows + tile - 1) / tile); }

// y [n, out, out, k] from x [n, in, in, c], b [taps, k, c].
inline PixelProduct fprop_product(const ConvWalk& w, const PixelTile& tile) {
  PixelProduct p = {};
  p.classes = 1, p.images = w.n, p.columns = w.k, p.tiles_n = tiles_of(w.k, tile.n);
  p.chunks = tiles_of(w.c, tile.numbers), p.numbers = tile.numbers;
  p.base_step = w.h.stride, p.tap_step = w.h.dilation;
  p.slice_step_h = w.w.taps, p.slice_step_w = 1;
  p.image = w.gradient, p.row = int64_t(w.w.out) * w.k, p.pixel = w.k;
  p.of[0] = {{w.h.out, -w.h.pad, w.h.taps, 0}, {w.w.out, -w.w.pad, w.w.taps, 0}, 0, 0, 0, 0};
  p.of[0].steps = p.chunks * w.taps();
  p.tiles = p.tiles_n * tiles_of(int64_t(w.n) * w.h.out * w.w.out, tile.m);
  return p;
}

// dx [n, in, in, c] from dy [n, out, out, k], b [taps, c, k]. Of one dilation and one stride, not both
// above 1.
inline PixelProduct dgrad_product(const ConvWalk& w, const PixelTile& tile) {
  PixelProduct p = {};
  const int32_t stride = w.h.stride, dilation = w.h.dilation;
  p.images = w.n, p.columns = w.c, p.tiles_n = tiles_of(w.c, tile.n);
  p.chunks = tiles_of(w.k, tile.numbers), p.numbers = tile.numbers;
  p.base_step = 1, p.tap_step = -dilation;
  p.slice_step_h = stride * w.w.taps, p.slice_step_w = stride;
  p.image = w.image, p.row = int64_t(stride) * w.w.in * w.c, p.pixel = int64_t(stride) * w.c;
  const auto axis = [&](const ConvAxis& of, int32_t place) {
    const AxisClass c = AxisClass::of(of, place);
    const int32_t reach = c.count > 0 ? (c.count - 1) * dilation : 0;
    return PixelAxis{(of.in - place + stride - 1) / stride, c.window(place, of) - reach, c.count, reach};
  };
  for (int32_t i = 0; i < stride * stride; ++i) {
    const int32_t h = i / stride, e = i % stride;
    if (h >= w.h.in || e >= w.w.in) continue;
    PixelClassOfMap c = {axis(w.h, h), axis(w.w, e), 0, 0, 0, 0};
    c.steps = p.chunks * c.h.taps * c.w.taps;  // 0: no tap reaches the class
    c.first_row = AxisClass::of(w.h, h).first * w.w.taps + AxisClass::of(w.w, e).first;
    c.place = (int64_t(h) * w.w.in + e) * w.c;
    int at = p.classes++;  // the longest sums first: short ones fill the last places
    for (; at > 0 && p.of[at - 1].steps < c.steps; --at) p.of[at] = p.of[at - 1];
    p.of[at] = c;
  }
  for (int32_t i = 0; i < p.classes; ++i) {
    p.of[i].first_tile = p.tiles;
    p.tiles += p.tiles_n * tiles_of(int64_t(w.n) * p.of[i].h.out * p.of[i].w.out, tile.m);
  }
  return p;
}

// What the map of a class's a says; `from` has data, sizes and count.
inline ptx::Pixels pixels_of(const PixelProduct& p, const PixelClassOfMap& c, ptx::Pixels from) {
  from.lower_h = c.h.lower, from.lower_w = c.w.lower;
  from.upper_h = c.h.lower + (c.h.out - 1) * p.base_step - int32_t(from.h - 1);
  from.upper_w = c.w.lower + (c.w.out - 1) * p.base_step - int32_t(from.w - 1);
  from.step_h = from.step_w = p.base_step;
  return from;
}

inline bool fits_maps(const PixelProduct& p, const ptx::Pixels& from) {
  for (int32_t i = 0; i < p.classes; ++i) {
    const PixelClassOfMap& c = p.of[i];
    const int32_t reach = (p.tap_step < 0 ? -p.tap_step : p.tap_step);
    if (!ptx::fits_map(pixels_of(p, c, from)) || c.h.taps * reach > 255 || c.w.taps * reach > 255)
      return false;
  }
  return true;
}

}  // namespace cuda
}  // namespace fastcnn
