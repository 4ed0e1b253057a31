// SPDX-License-Identifier: Apache-2.0
// Products whose sums are cut (split_depth): every part is written to the workspace as it is, then the parts
// are added in their order, and what follows the sum follows there.
#pragma once
#include "measure.h"
#include "reduce.h"
#include "tile.h"
#include "walk.h"

FASTCNN_FORMULAS_BEGIN

// Of the parts of `count` results.
inline size_t split_bytes(const Problem& p, int64_t count) {
  return p.splits > 1 ? sizeof(float) * size_t(p.splits) * size_t(count) : 0;
}

// y of rows of so many columns.
template <class T>
void finish_parts(Context& context, const PartialSums& from, T* y, const AfterSum<T>& after,
                  int64_t columns) {
  const Divisor n = Divisor::of(int32_t(columns));  // few tiles: no more results than 32 bits can tell
  sum_parts(context, from, y, [=] __device__(float sum, int64_t at) {
    const int32_t i = int32_t(at);
    return after(sum, at, i - i / n * n);
  });
}

template <class Tile, class T>
__global__ void __launch_bounds__(kThreads) measure_tiles(Measured<T> measured) {
  const int across = (measured.of.columns + Tile::kN - 1) / Tile::kN;
  measured.template tile<Tile::kM, Tile::kN>(int(blockIdx.x) / across * Tile::kM,
                                             int(blockIdx.x) % across * Tile::kN, int(threadIdx.x) / kWarp,
                                             kThreads / kWarp);
}
// The statistics of y, which no block that made a part of it can take.
template <class T>
void measure(Context& context, const Measured<T>& measured) {
  using Tile = SmallTile;
  const int64_t tiles = ceil_div(measured.of.rows, Tile::kM) * ceil_div(measured.of.columns, Tile::kN);
  FASTCNN_LAUNCH((measure_tiles<Tile, T>), unsigned(tiles), kThreads, stream_of(context))(measured);
}

FASTCNN_FORMULAS_END
