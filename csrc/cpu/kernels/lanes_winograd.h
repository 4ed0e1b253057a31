// SPDX-License-Identifier: Apache-2.0
// The transforms of Winograd's F(2x2,3x3) (Lavin and Gray, 2016) with the batch in lanes:
//
//   Y = A^T [sum over channels of (G w G^T) . (B^T x B)] A
//
// on tiles of 4x4 inputs and 2x2 outputs; position 4 i + j of a tile is element (i, j) of its product. The
// products of each position are those of a 1x1 convolution (lanes.h). A filter of 5x5 is along each axis
// F(2,3) of three taps beside F(2,2) of two: an output is the sum of both, and products that meet the same
// outputs share a position. The numbers are still 0, 1 and -1, but for halves in G. Called by
// cpu/conv2d_lanes_winograd.cpp and cpu/conv2d_lanes_winograd_wgrad.cpp.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

constexpr int kWinogradPositions = 16;

// Along an axis: points of a filter and of an image; those that position i sums are first[i], first[i] + 1,
// ..., terms[i] of them.
struct WinogradAxis {
  int taps, points;
  int first[4], terms[4];
};
constexpr WinogradAxis kWinogradAxes[] = {{3, 4, {0, 1, 2, 3}, {1, 1, 1, 1}},
                                          {5, 7, {0, 2, 4, 5}, {2, 2, 1, 2}}};

// u[point][i] = (G w G^T)[point] of w[r][s][i], begin <= i < end <= count; with `flip` of the filter turned
// round.
struct WinogradFilter {
  const float* w;
  float* u;
  int64_t count, begin, end;
  int32_t flip;
};

// v[point][tile][channel][16] of rows [begin, end) of the points of a row of tiles of x
// [channels][height][width][16], whose first begins at (row, col), two columns apart; x is zero beyond its
// borders.
struct WinogradInput {
  const float* x;
  float* v;
  int64_t point;  // from one to the next, floats
  int64_t channels, height, width, row, col, tiles;
  int64_t begin, end;
};

// y[channel][p][q][16] = epilogue(A^T m A) of m[position][channel][tile][16], for at most `rows` rows (1 or
// 2) and `cols` columns. With `pool` y is [channel][tile][16], the greatest of each tile, and index[...]
// where it is, as kernels/lanes_pool.h has it.
struct WinogradOutput {
  const float* m;
  const float* bias;  // [channels], or null
  const float* mask;  // as y: the result is 0 where mask <= 0; or null
  float* y;
  uint8_t* index;  // or null
  int64_t position;
  int64_t channels, tiles, y_channel, y_row, rows, cols;
  int32_t relu, pool;
};

// The positions of a row, w[position][tile][i] for i < pixel, of A dy A^T: of two rows of dy
// [columns][pixel], either of which may be missing, of their sum or with `subtracts` of the upper less the
// lower.
struct WinogradGradient {
  const float *upper, *lower;
  float* w;
  int64_t position;  // from one to the next, floats
  int64_t pixel, tiles, columns;
  int32_t subtracts;
};

// Filters and inputs for each of kWinogradAxes.
struct LanesWinogradKernels {
  void (*filter[2])(const WinogradFilter&);
  void (*input[2])(const WinogradInput&);
  void (*output)(const WinogradOutput&);
  void (*gradient)(const WinogradGradient&);
  // Of 5x5 taps: dw[r][s][i] = (G^T d G)[r][s] of d[point][i], i < count, a multiple of 16.
  void (*filter_gradient)(const float* d, float* dw, int64_t count);
};

}  // namespace cpu
}  // namespace fastcnn
