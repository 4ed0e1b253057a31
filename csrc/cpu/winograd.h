// SPDX-License-Identifier: Apache-2.0
// Tiles of an image, shared by Winograd's convolution and its weight gradient: which pixels they are made of,
// and their way through a transform of kernels/winograd.h.
#pragma once
#include "blocking.h"
#include "kernels/winograd.h"

namespace fastcnn {
namespace cpu {

enum Order : int { kF2, kF4 };

struct Tiling {
  Order order;
  int64_t outputs, edge, points;  // m, m + 2, (m + 2)^2
  int64_t tiles_w, tiles_image, tiles;
};

inline Tiling tiling(Order order, int64_t n, int64_t h, int64_t w) {
  Tiling t = {};
  t.order = order;
  t.outputs = order == kF2 ? 2 : 4, t.edge = t.outputs + 2, t.points = t.edge * t.edge;
  t.tiles_w = ceil_div(w, t.outputs);
  t.tiles_image = ceil_div(h, t.outputs) * t.tiles_w;
  t.tiles = n * t.tiles_image;
  return t;
}

// The first output pixel of tile i of all images.
struct Place {
  int64_t n, p, q;
};
inline Place place_of(const Tiling& t, int64_t i) {
  const int64_t in_image = i % t.tiles_image;
  return {i / t.tiles_image, in_image / t.tiles_w * t.outputs, in_image % t.tiles_w * t.outputs};
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
  t.x_row = x.w * x.c, t.x_col = x.c, t.v_plane = to.v_plane, t.channels = x.channels;
  t.zeros = x.zeros;
  const auto clip = [&x](int64_t i) {
    return static_cast<int32_t>(std::max<int64_t>(0, std::min(i, x.edge)));
  };
  for (int64_t i = tiles.begin; i < tiles.end; ++i) {
    const Place at = place_of(d, i);
    const int64_t h = at.p + x.low_h, w = at.q + x.low_w;
    t.row_begin = clip(-h), t.row_end = clip(x.h - h);
    t.col_begin = clip(-w), t.col_end = clip(x.w - w);
    t.x = x.data + ((at.n * x.h + h) * x.w + w) * x.c;
    t.v = to.v + (i - tiles.begin) * to.v_row;
    transform(t);
  }
}

// Planes of a power of two would put the points of a tile into one set of the caches: a line between them.
inline int64_t plane_floats(int64_t floats) { return round_up(floats, 16) + 16; }

inline bool fits_winograd(const Conv2dShape& v) {
  return v.r == 3 && v.s == 3 && v.stride_h == 1 && v.stride_w == 1 && v.dilation_h == 1 &&
         v.dilation_w == 1 && v.groups == 1;
}

}  // namespace cpu
}  // namespace fastcnn
