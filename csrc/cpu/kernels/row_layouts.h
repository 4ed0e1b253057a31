// SPDX-License-Identifier: Apache-2.0
// How the rows of a matrix lie in vectors: one after the other, its columns in the lanes, or kLanes of them
// abreast. Included by the kernels that take an exponential of every number.
#pragma once
#include "blocks.h"
#include "turn.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// `count` numbers, taken vector by vector, and a Number for each row.
struct Across {  // one row, its columns in the lanes
  using Number = float;
  static constexpr int kBest = 2;  // vectors of the greatest so far: one waits for itself
  static FASTCNN_INLINED float sum(Vec v) { return lane_sum(v); }
  static FASTCNN_INLINED float greatest(Vec v) { return lane_max(v); }
  static FASTCNN_INLINED float log_of(float x) { return log(broadcast(x))[0]; }
  template <class F>
  static FASTCNN_INLINED void for_each(int64_t count, F f) {
    for_each_vector(count, f);
  }
  template <class Block>
  static FASTCNN_INLINED Vec of_column(Block block, const float* p, int64_t j) {
    return block.get(p + j);
  }
};
struct Abreast {  // kLanes rows, one in each lane, column after column: narrow rows leave no lane empty
  using Number = Vec;
  static constexpr int kBest = 1;  // two took 5 percent longer for 2 to 5 columns
  static FASTCNN_INLINED Vec sum(Vec v) { return v; }
  static FASTCNN_INLINED Vec greatest(Vec v) { return v; }
  static FASTCNN_INLINED Vec log_of(Vec x) { return log(x); }
  template <class F>
  static FASTCNN_INLINED void for_each(int64_t count, F f) {
    for (int64_t i = 0; i < count; i += kLanes) f(Whole<1>{}, i);  // no part: that is code for nothing
  }
  template <class Block>
  static FASTCNN_INLINED Vec of_column(Block, const float* p, int64_t j) {
    return broadcast(p[j / kLanes]);
  }
};

// The greatest numbers that are no NaN. (A row with a NaN gets it back through its sum.)
template <class L>
FASTCNN_INLINE auto greatest_of(const float* x, int64_t count) {
  const Vec lowest = broadcast(-__builtin_inff());
  Vec best[2] = {lowest, lowest};
  for_each_block<L::kBest>(count, [&](auto block, int64_t j) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v)
      best[v] = max_or_second(block.only(block.get(x + j + v * kLanes), lowest), best[v]);
  });
  return L::greatest(L::kBest > 1 ? max_or_second(best[0], best[1]) : best[0]);
}

// Not inlined by each of the kernels.
__attribute__((noinline, unused)) void turn(const float* x, int rows, int cols, Vec* to) {
  get_rows(x, rows, cols, to);
}
__attribute__((noinline, unused)) void turn_back(const Vec* from, int rows, int cols, float* y) {
  put_rows(from, rows, cols, y);
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
