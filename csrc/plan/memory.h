// SPDX-License-Identifier: Apache-2.0
// The memory planner: where each tensor of a plan lies in the arena, so that tensors alive at the same time
// never overlap and the arena is small. A pure function of lifetimes and sizes.
#pragma once
#include <cstddef>
#include <vector>

namespace fastcnn {

// A tensor written first by step `first` and read last by step `last`.
struct Lifetime {
  int first, last;
  size_t bytes;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // 64-byte aligned; tensors of no bytes lie at 0
  size_t peak = 0;              // bytes of the arena
};

// Greedy by size (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020): the
// largest first, each into the tightest gap between those already placed that live at the same time.
MemoryPlan plan_memory(const std::vector<Lifetime>& tensors);

}  // namespace fastcnn
