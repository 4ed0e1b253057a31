// SPDX-License-Identifier: Apache-2.0
// sums[c] = sum over rows of x[row, c], in an order that depends on the sizes and the vector width alone.
// Called by cpu/reduce.cpp for pieces of a matrix and again for their sums.
#include "reduce.h"

#include "blocks.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Even and odd rows apart: two chains of additions for each vector.
void column_sum_wide(const RowBlock& b, float* sums) {
  for_each_block<4>(b.cols, [&](auto block, int64_t c) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec even[kVectors] = {}, odd[kVectors] = {};
    const float* x = b.x + c;
    int64_t row = 0;
    for (; row + 2 <= b.rows; row += 2, x += 2 * b.pitch) {
      for (int v = 0; v < kVectors; ++v) even[v] += block.get(x + v * kLanes);
      for (int v = 0; v < kVectors; ++v) odd[v] += block.get(x + b.pitch + v * kLanes);
    }
    if (row < b.rows)
      for (int v = 0; v < kVectors; ++v) even[v] += block.get(x + v * kLanes);
    for (int v = 0; v < kVectors; ++v) block.put(sums + c + v * kLanes, even[v] + odd[v]);
  });
}

// Fewer columns than lanes, and rows without gaps: kLanes rows fill `cols` vectors, in which each lane keeps
// its column. Very narrow rows are taken several at a time, for enough chains of additions. What the vectors
// come to is added in halves, whole vectors too, whose rest counts no more: one by one, each addition waiting
// for the one before, 32 rows of 3 columns took twice as long, 28 of 8 five times.
void column_sum_narrow(const RowBlock& b, float* sums) {
  constexpr int kMost = kLanes < 8 ? 8 : kLanes;
  const int cols = (int)b.cols, together = cols < 8 ? 8 / cols : 1, vectors = cols * together;
  const int64_t step = vectors * kLanes, count = b.rows * b.cols;
  float partial[(kMost + 1) * kLanes] = {};
  int64_t i = 0;
  for (; i + step <= count; i += step)
    for (int64_t j = 0; j < step; j += kLanes) store(partial + j, load(partial + j) + load(b.x + i + j));
  for_each_vector(count - i, [&](auto block, int64_t j) FASTCNN_INLINED {
    store(partial + j, load(partial + j) + block.get(b.x + i + j));
  });
  for (int64_t half = step / 2; half >= cols; half /= 2)
    for (int64_t j = 0; j < half; j += kLanes)
      store(partial + j, load(partial + j) + load(partial + j + half));
  for (int c = 0; c < cols; ++c) sums[c] = partial[c];
}

void column_sum(const RowBlock& b, float* sums) {
  if (b.cols < kLanes && b.cols == b.pitch) {
    column_sum_narrow(b, sums);
  } else {
    column_sum_wide(b, sums);
  }
}

}  // namespace

extern const ReduceKernels reduce_kernels;
const ReduceKernels reduce_kernels = {column_sum};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
