// SPDX-License-Identifier: Apache-2.0
// Transforms of Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4, with a = m + 2 points per axis:
//
//   y = A' ((G w G') . (B' x B)) A,   x [a,a], w [3,3], y [m,m], for each pair of channels;
//
// the products are summed over the input channels, point by point. F(2) takes the points 0, 1, -1, inf: its
// input and output transforms only add, so whole numbers stay exact. F(4) takes 0, 1, -1, 1/2, -2, inf, half
// the error of 0, +-1, +-2. Vectors run over channels; the a a points lie a plane apart. Called by
// cpu/winograd.cpp, which multiplies the planes by the kernel of tile.h.
// A. Lavin, S. Gray, Fast algorithms for convolutional neural networks, CVPR 2016.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cpu {

// v[point][channel] = B' x B of one tile, or A x A' of the gradient of its output. Whole vectors are written:
// v has room for channels rounded up to the lanes, and holds zeros beyond the last.
struct InputTile {
  const float* x;                                  // its first pixel, which may lie outside of the image
  const float* zeros;                              // [channels]: what lies outside
  float* v;                                        // points v_plane apart
  int64_t x_row, x_col, v_plane, channels;         // steps of x from pixel to pixel
  int32_t row_begin, row_end, col_begin, col_end;  // pixels of the tile that lie in the image
};

// y = A' m A of one tile, its first `rows` x `cols` pixels: y += bias, y += residual, relu, and 0 where mask
// <= 0. With `pool`, which is F(2)'s alone, y is the greatest of them, index its number: the first of equal
// ones, and a NaN is greater than every number.
struct OutputTile {
  const float* m;  // points m_plane apart; whole vectors are read
  float* y;
  const float* bias;             // [channels], or null
  const float *mask, *residual;  // as y, or null
  uint8_t* index;                // as y, or null
  int64_t m_plane, y_row, y_col, channels;
  int32_t rows, cols, relu, pool;
};

// u[point][i] = G w G'. w [9][count], taps in the order in which x meets them; count is a multiple of the
// lanes.
struct FilterTiles {
  const float* w;
  float* u;  // points u_plane apart
  int64_t count, u_plane;
};

// dw[tap][i] = G' d G, i < count, d being the sum of `parts` arrays in order; whole vectors are read.
struct FilterGradient {
  const float* d;  // points d_plane, parts d_part apart
  float* dw;       // taps dw_tap apart
  int64_t d_plane, d_part, parts, dw_tap, count;
};

// Of F(2) and F(4); the weight gradient of F(2) alone.
struct WinogradKernels {
  void (*input[2])(const InputTile&);
  void (*gradient[1])(const InputTile&);
  void (*filter_gradient[1])(const FilterGradient&);
  void (*output[2])(const OutputTile&);
  void (*filter[2])(const FilterTiles&);
};

}  // namespace cpu
}  // namespace fastcnn
