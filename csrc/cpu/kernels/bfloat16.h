// SPDX-License-Identifier: Apache-2.0
// Products of pairs of bfloat16, which take two steps of a sum at once: only for instruction sets that have
// them. Pairs lie as words in the place of floats; called by cpu/bfloat16.cpp and, with its words, by the
// rows of floats.
#pragma once
#include "tile.h"

namespace fastcnn {
namespace cpu {

struct Bfloat16Products {
  // As TileKernels::strip, a step of the sum two products: a and b are words.
  void (*strip)(const Tile&, int64_t rows, int cols, int most);
  int32_t rows;   // of a tile, or 0: as of floats
  int32_t steps;  // of words, that are taken at once
  float cost;     // of a word, in multiply-adds of floats
};

struct Bfloat16Kernels {
  Bfloat16Products products;
  // y[i] = (x[2 i], x[2 i + 1]); a zero follows the last of an odd count.
  void (*round_along)(const float* x, int64_t count, float* y);
  // y[i] = (first[i], second[i]), both times scale[i]; second and scale may be null: zero, one.
  void (*round_across)(const float* first, const float* second, const float* scale, int64_t count, float* y);
  // y[c][i] = (first[i][c], second[i][c]), i < count.
  void (*round_turned)(const float* first, const float* second, int64_t count, int64_t channels, float* y);
};

}  // namespace cpu
}  // namespace fastcnn
