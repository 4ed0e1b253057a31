// SPDX-License-Identifier: Apache-2.0
// Transforms of Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4, with a = m + 2 points per axis:
//
//   y = A' ((G w G') . (B' x B)) A,   x [a,a], w [3,3], y [m,m], for each pair of channels;
//
// the products are summed over the input channels, point by point. F(2) takes the points 0, 1, -1, inf: its
// input and output transforms only add, so whole numbers stay exact. F(4) takes 0, 1, -1, 1/2, -2, inf, half
// the error of 0, +-1, +-2. Vectors run over channels; the a a points lie a plane apart. Called by
// cpu/winograd.cpp, which multiplies the planes by the kernel of tile.h.
//
// A filter with stride 2 meets even pixels by its taps 0 and 2, which is F(2,2) by the points 0, 1, inf and
// only adds as well, and odd pixels by tap 1. Along an axis their products share three sums:
//
//   y0 = (x0 - x2) w0 + x1 w1 + x2 (w0 + w2),   y1 = x2 (w0 + w2) + x3 w1 + (x4 - x2) w2,
//
// 5 products in place of 6, 25 in place of 36 for a tile. Turned round, for dgrad, 3 pixels d make 4 outputs:
//
//   y0 = (d0 - d1) w0 + d1 (w0 + w2),  y1 = d1 w1,  y2 = d1 (w0 + w2) + (d2 - d1) w2,  y3 = d2 w1.
//
// Of other filters F(2) and F(4) take the parts of three and of two taps, see Split in cpu/winograd.h.
//
// (F(3,2) of even pixels takes 49 products of 81, for 3x3 outputs: as many for each output where these are 14
// or 28 in a row, more at 7, and a transform of 49 points.) A. Lavin, S. Gray, Fast algorithms for
// convolutional neural networks, CVPR 2016.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cpu {

struct Pixels {
  int32_t begin, end;
};

// v[point][channel] = B' x B of each of `count` tiles side by side, or A x A' of the gradients of their
// outputs. Whole vectors are written: v has room for channels rounded up to the lanes, and holds zeros beyond
// the last.
struct InputTiles {
  const float* x;      // column 0 of the first row of a tile, which may lie outside of the image
  const float* zeros;  // a vector: what lies outside
  float* v;            // points v_plane apart
  int64_t x_row, pixel, v_plane, v_tile,
      channels;                         // steps to the next row and column of x, the next tile of v
  int64_t tile_row;                     // to the pixels of the tile below, which are asked for
  int64_t col, step, tile_step, width;  // the first column of a tile, on to the next, to the next tile; all
  int64_t count;
  Pixels rows;            // of a tile that lie in the image
  bool short_h, short_w;  // of F(2), and F(4)'s input: nobody needs the last row or column of points
};

// y = A' m A of each of `count` tiles side by side, their pixels `rows` x `cols`: y += bias, y += residual,
// relu, and 0 where mask <= 0. With `pool`, which is F(2)'s alone, y is the greatest of them, index its
// number: the first of equal ones, and a NaN is greater than every number.
struct OutputTiles {
  const float* m;  // points m_plane apart; whole vectors are read
  float* y;
  const float* bias;             // [channels], or null
  const float *mask, *residual;  // as y, or null
  uint8_t* index;                // as y, or null
  int64_t m_plane, y_row, y_col, channels;
  int64_t count, m_tile, y_tile;  // on to the next tile
  Pixels rows, cols;
  int32_t relu, pool;
};

// u[point][i][j] = G w G', i < rows, j < cols, which is a multiple of the lanes; taps in the order in which x
// meets them. Of a short axis the third tap is zero, and the last points are not written.
struct FilterTiles {
  const float* w;  // taps (w_h, w_w), rows w_row apart
  float* u;        // points u_plane, rows cols apart
  int64_t w_h, w_w, w_row, rows, cols, u_plane;
  const float* ahead;  // taps (ahead_h, ahead_w), rows ahead_row apart: asked for meanwhile
  int64_t ahead_h, ahead_w, ahead_row;
  bool short_h, short_w;
};

// dw[tap][i] = G' d G, i < count, d being the sum of `parts` arrays in order; whole vectors are read. Of a
// short axis there are two taps, and points may lack the last: what is there is not used.
struct FilterGradient {
  const float* d;  // points d_plane, parts d_part apart
  float* dw;       // taps (dw_h, dw_w) apart
  int64_t d_plane, d_part, parts, dw_h, dw_w, count;
  bool short_h, short_w;
};

constexpr int kMostFar = 6;

// m[point][tile] = v[point][tile] u[point], sums over `depth` channels, of as many tiles as a product takes;
// m takes the place of v. u [point][depth][vectors].
struct Products {
  const float* u;
  float* v;  // tiles v_tile apart
  int64_t points, depth, v_tile, v_plane, u_plane;
  int32_t vectors;
  int32_t runs;  // of memory, far_floats from `far` on, that are asked for meanwhile
  int64_t far_floats;
  const float* far[kMostFar];
};

// Of F(2), F(4), stride 2 and its dgrad; weight gradients have none of the last.
struct WinogradKernels {
  void (*input[4])(const InputTiles&);
  void (*gradient[3])(const InputTiles&);
  void (*filter_gradient[3])(const FilterGradient&);
  void (*output[4])(const OutputTiles&);
  void (*filter[4])(const FilterTiles&);
  int tiles[3];  // of a product with 1 or 2 vectors
  void (*multiply)(const Products&);
  bool asks;  // whether a product asks for its `far`
};

}  // namespace cpu
}  // namespace fastcnn
