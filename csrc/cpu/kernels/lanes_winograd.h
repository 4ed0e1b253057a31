// SPDX-License-Identifier: Apache-2.0
// The transforms of Winograd's F(2x2,3x3) (Lavin and Gray, 2016) with the batch in lanes:
//
//   Y = A^T [sum over channels of (G w G^T) . (B^T x B)] A
//
// on tiles of 4x4 inputs and 2x2 outputs; position 4 i + j of a tile is element (i, j) of its product. The
// products of each position are those of a 1x1 convolution (lanes.h). Called by
// cpu/conv2d_lanes_winograd.cpp.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

constexpr int kWinogradPositions = 16;

// u[position][i] = (G w G^T)[position] of w[r][s][i], begin <= i < end <= count; with `flip` of
// w[2 - r][2 - s][i].
struct WinogradFilter {
  const float* w;
  float* u;
  int64_t count, begin, end;
  int32_t flip;
};

// v[position][tile][channel][16] of a row of tiles of x [channels][height][width][16], whose first begins at
// (row, col), two columns apart; x is zero beyond its borders.
struct WinogradInput {
  const float* x;
  float* v;
  int64_t position;  // from one to the next, floats
  int64_t channels, height, width, row, col, tiles;
};

// y[channel][p][q][16] = epilogue(A^T m A) of m[position][channel][tile][16], for at most `rows` rows (1 or
// 2) and `cols` columns.
struct WinogradOutput {
  const float* m;
  const float* bias;  // [channels], or null
  const float* mask;  // as y: the result is 0 where mask <= 0; or null
  float* y;
  int64_t position;
  int64_t channels, tiles, y_channel, y_row, rows, cols;
  int32_t relu;
};

struct LanesWinogradKernels {
  void (*filter)(const WinogradFilter&);
  void (*input)(const WinogradInput&);
  void (*output)(const WinogradOutput&);
};

}  // namespace cpu
}  // namespace fastcnn
