// SPDX-License-Identifier: Apache-2.0
// The register tile that every matrix kernel of the CPU is made of (convolution, its gradients, GEMM):
//
//   y[i][j] = epilogue(sum over h < taps_h, w < taps_w, k < depth of a[A] b[B])
//   A = h a_h + w a_w + i / 3 a_group + i % 3 a_row + k a_step
//   B = h b_h + w b_w + j + k b_step
//
// Rows come in threes: evenly spaced rows have a_group = 3 a_row; three taps of three filter rows fit as
// well. A row of the tile broadcasts scalars of a; columns are the lanes of a few vectors. Strides, dilation,
// transposes and channel groups are only steps; steps count floats. Called by cpu/conv2d*.cpp and
// cpu/gemm.cpp, which choose the blocking. Beside it products with few vectors, which memory bounds.
#pragma once
#include <stdint.h>

namespace fastcnn {
namespace cpu {

struct Tile {
  const float* a;
  const float* b;         // whole vectors are read: columns beyond the last must be readable
  float* y;               // [rows][cols], y_row apart; nothing beyond the last column is touched
  const float* bias;      // [cols], or null
  const float* mask;      // as y: the result is 0 where mask <= 0; or null
  const float* residual;  // as y: added before ReLU; or null
  const float* ahead;     // ahead_floats that will be read after this strip: fetched meanwhile; or null
  const float* next_y;    // likewise next_y_floats that will be written; or null
  int64_t a_h, a_w, a_row, a_group, a_step;
  int64_t b_h, b_w, b_step;
  int64_t y_row;
  int64_t a_tile, y_tile;  // from one tile to the next, where each has as many rows as the others; or 0
  int64_t taps_h, taps_w, depth;
  int64_t ahead_floats, next_y_floats;
  int32_t accumulate;  // add to what y holds
  int32_t relu;        // 1: ReLU; 6: ReLU6
  int32_t fetch_y;     // y is far: its lines are asked for before the sum
  int32_t closed;      // the first tap meets the row of `a` before a tile's own; see closed_rows
  float* copy;         // [depth][cols] of b, by the first tile for the others; or null. See may_copy.
};

// The weight gradient of kTaps taps of a filter row and some channels of x side by side in a pixel:
//
//   y[s y_tap + i y_row + j] = sum over h, w, k of b[B] a[h a_h + w a_w + i + (k + s - left) a_step]
//
// h, w and B as in Tile, k < depth where k + s - left lies in [0, columns). Each scalar of a is read once for
// all taps, whose vectors of b stay in registers meanwhile. Of the epilogue there is `accumulate` alone.
struct Taps {
  static constexpr int kTaps = 3, kRows = 8, kFewRows = 5;  // the channels
  Tile tile;
  int64_t columns, left, y_tap;
  int32_t rows;       // kRows or kFewRows
  int32_t first_row;  // those before are not written
  int32_t cols;       // at most a vector
};

// out[k][j] = b[k * b_step + j * b_col], j < cols; zero for cols <= j < width. One of the steps is 1. width
// is a multiple of the lanes; with b_col = 1 it may also be cols.
struct Panel {
  const float* b;
  int64_t b_step, b_col, depth;
  int32_t cols, width;
  const float* scale = nullptr;  // [cols]: b times it, of b_col = 1 alone; or null
};

// y[i * y_step + j] = epilogue(x[j * x_row + i]), i < count, j < channels <= lanes; whole vectors of x are
// read.
struct Interleave {
  const float* x;
  float* y;
  const float *bias, *mask;  // as in Tile
  int64_t x_row, y_step, count;
  int32_t channels, relu;
};

// Sums over k < depth, for i < vectors and j < outputs:
//   dots:     y[i * y_row + j * y_col] = sum of v[i * v_row + k] w[j * w_row + k], v_step is 1
//   not dots: y[i * y_row + j] = sum of v[i * v_row + k * v_step] w[k * w_row + j]
struct VectorsTimes {
  const float *v, *w;
  float* y;
  int64_t v_row, v_step, w_row, y_row, depth, outputs;
  int32_t vectors, dots;
  int64_t y_col = 1;
};

constexpr int kMaxVectors = 4;

struct TileKernels {
  int lanes;
  int vectors;                    // of the tile that is fastest
  int max_rows[kMaxVectors + 1];  // of a tile of 1, 2, ... vectors; 0: there is none
  // Fewest and most rows of one vector that take taps together where a_w = a_row; most is 0 where none do.
  int sliding_rows[2];
  // Likewise of a closed tile: one vector, taps_w = 3, evenly spaced rows. Of the rows of `a` before its
  // first and after its last, which would be zeros, nothing is read.
  int closed_rows[2];
  // Strips of kMaxVectors whole vectors may have a copy; at least max_rows of them, of a single tap.
  bool may_copy;
  // Any number of rows, as few nearly equal tiles as possible, none of more than `most` rows (more than one
  // tile only of evenly spaced rows); cols <= kMaxVectors * lanes.
  void (*strip)(const Tile&, int64_t rows, int cols, int most);
  void (*taps)(const Taps&);               // null where registers do not hold it
  void (*pack)(const Panel&, float* out);  // [depth][width]
  void (*interleave_channels)(const Interleave&);
  void (*vectors_times)(const VectorsTimes&);
  // y[i] = sum of the `parts` arrays x + p * stride, in order.
  void (*sum_parts)(const float* x, int64_t parts, int64_t stride, int64_t count, float* y);
  // Independent multiply-adds in registers, the processor's peak; returns how many floating-point operations
  // it did.
  int64_t (*multiply_add)(int64_t turns);
};

}  // namespace cpu
}  // namespace fastcnn
