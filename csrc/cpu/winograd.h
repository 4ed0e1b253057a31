// SPDX-License-Identifier: Apache-2.0
// Tiles of an image, shared by Winograd's convolution and its weight gradient: which pixels they are made of,
// and their way through a transform of kernels/winograd.h.
#pragma once
#include "blocking.h"
#include "kernels/winograd.h"

namespace fastcnn {
namespace cpu {

enum Order : int { kF2, kF4 };

// An image falls apart into dilation_h x dilation_w phases of every so-manieth pixel, each convolved on its
// own.
struct Tiling {
  Order order;
  int64_t outputs, edge, points;  // m, m + 2, (m + 2)^2
  int64_t dilation_h, dilation_w;
  int64_t tiles_w, tiles_phase, tiles_image, tiles;
};

inline Tiling tiling(Order order, const Conv2dShape& v, int64_t h, int64_t w) {
  Tiling t = {};
  t.order = order;
  t.outputs = order == kF2 ? 2 : 4, t.edge = t.outputs + 2, t.points = t.edge * t.edge;
  t.dilation_h = v.dilation_h, t.dilation_w = v.dilation_w;
  t.tiles_w = ceil_div(ceil_div(w, v.dilation_w), t.outputs);
  t.tiles_phase = ceil_div(ceil_div(h, v.dilation_h), t.outputs) * t.tiles_w;
  t.tiles_image = t.tiles_phase * v.dilation_h * v.dilation_w;
  t.tiles = v.n * t.tiles_image;
  return t;
}

// The first output pixel of tile i of all images.
struct Place {
  int64_t n, p, q;
};
inline Place place_of(const Tiling& t, int64_t i) {
  const int64_t phase = i % t.tiles_image / t.tiles_phase, tile = i % t.tiles_phase;
  return {i / t.tiles_image, phase / t.dilation_w + tile / t.tiles_w * t.outputs * t.dilation_h,
          phase % t.dilation_w + tile % t.tiles_w * t.outputs * t.dilation_w};
}

// f(i, place, whether the tile begins a row) for some tiles. A place is worked out once for each row:
// divisions for each tile took a sixth of the time of 16 channels.
template <class F>
inline void for_each_place(const Tiling& t, Range tiles, F f) {
  for (int64_t i = tiles.begin; i < tiles.end;) {
    Place at = place_of(t, i);
    const int64_t end = std::min(tiles.end, i + t.tiles_w - i % t.tiles_w);
    for (bool first = true; i < end; ++i, first = false, at.q += t.outputs * t.dilation_w) f(i, at, first);
  }
}

// How many of `most` pixels from `first`, `step` apart, lie before `end`.
inline int32_t pixels_before(int64_t end, int64_t first, int64_t step, int64_t most) {
  const int64_t rest = std::max<int64_t>(0, end - first);
  return static_cast<int32_t>(std::min(most, step == 1 ? rest : ceil_div(rest, step)));
}

// Some channels of images [n,h,w,c]; pixels of tiles lie (low_h, low_w) from their outputs, `edge` of them.
struct Tiled {
  const float* data;  // of the first image, at the first channel
  int64_t h, w, c, channels;
  int64_t low_h, low_w, edge;
  const float* zeros;  // [channels]
};

// Points of one tile of V [point][tile][v_row], planes v_plane apart.
struct Points {
  float* v;  // of the first tile
  int64_t v_row, v_plane;
};

inline void transform_tiles(void (*transform)(const InputTile&), const Tiling& d, const Tiled& x, Range tiles,
                            const Points& to) {
  InputTile t = {};
  t.x_row = d.dilation_h * x.w * x.c, t.x_col = d.dilation_w * x.c;
  t.v_plane = to.v_plane, t.channels = x.channels;
  t.zeros = x.zeros;
  for_each_place(d, tiles, [&](int64_t i, const Place& at, bool first) {
    const int64_t h = at.p + x.low_h, w = at.q + x.low_w;
    if (first) {
      t.row_begin = pixels_before(0, h, d.dilation_h, x.edge);
      t.row_end = pixels_before(x.h, h, d.dilation_h, x.edge);
    }
    t.col_begin = pixels_before(0, w, d.dilation_w, x.edge);
    t.col_end = pixels_before(x.w, w, d.dilation_w, x.edge);
    t.x = x.data + ((at.n * x.h + h) * x.w + w) * x.c;
    t.v = to.v + (i - tiles.begin) * to.v_row;
    transform(t);
  });
}

// Planes an odd number of lines apart: the points of a tile lie in as many sets of the caches. (Planes 20 KB
// apart doubled the time of a weight gradient.)
inline int64_t plane_floats(int64_t floats) { return (ceil_div(floats, 16) | 1) * 16; }

inline bool fits_winograd(const Conv2dShape& v) {
  return v.r == 3 && v.s == 3 && v.stride_h == 1 && v.stride_w == 1 && v.groups == 1;
}

}  // namespace cpu
}  // namespace fastcnn
