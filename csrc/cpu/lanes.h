// SPDX-License-Identifier: Apache-2.0
// Steps with the batch in lanes: activations [N / 16][C][H][W][16].
#pragma once
#include "blocking.h"
#include "kernels/lanes.h"

namespace fastcnn {
namespace cpu {

inline int64_t lane_blocks(int64_t n) { return ceil_div(n, kBatchLanes); }

// What is in both, at least an empty range.
inline Range both(Range a, Range b) {
  const Range c = {std::max(a.begin, b.begin), std::min(a.end, b.end)};
  return c.begin < c.end ? c : Range{a.begin, a.begin};
}

// Smaller tasks than elsewhere: these steps only run inside of a plan, whose team is awake.
constexpr double kLanesTaskFlops = 3e5;
inline int64_t lanes_tasks(double flops) {
  return std::max<int64_t>(1, std::min<int64_t>(kTasks, static_cast<int64_t>(flops / kLanesTaskFlops)));
}

}  // namespace cpu
}  // namespace fastcnn
