// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "../base/status.h"
#include "buffer.h"

namespace fastcnn {
namespace {

struct Placed {
  size_t begin, end;
  int first, last;
};

// The start of the tightest gap of `bytes` between the blocks, which are sorted by their begin; the end of
// the last block if there is none.
size_t best_gap(const std::vector<Placed>& blocks, const Lifetime& tensor, size_t bytes) {
  size_t end = 0, best = SIZE_MAX, best_size = SIZE_MAX;
  for (const Placed& block : blocks) {
    if (block.last < tensor.first || tensor.last < block.first) continue;
    if (block.begin >= end + bytes && block.begin - end < best_size) {
      best = end;
      best_size = block.begin - end;
    }
    end = std::max(end, block.end);
  }
  return best == SIZE_MAX ? end : best;
}

}  // namespace

MemoryPlan plan_memory(const std::vector<Lifetime>& tensors) {
  MemoryPlan plan;
  plan.offsets.resize(tensors.size());
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&tensors](size_t a, size_t b) { return tensors[a].bytes > tensors[b].bytes; });
  std::vector<Placed> blocks;
  for (const size_t i : order) {
    const Lifetime& tensor = tensors[i];
    if (tensor.bytes == 0) continue;
    if (tensor.bytes > SIZE_MAX / 4 - plan.peak)
      fail(Code::kMemory, "a plan needs more than %zu bytes, which no machine has", SIZE_MAX / 4);
    const size_t bytes = align_up(tensor.bytes);
    const size_t begin = best_gap(blocks, tensor, bytes);
    const Placed placed{begin, begin + bytes, tensor.first, tensor.last};
    const auto by_begin = [](const Placed& a, const Placed& b) { return a.begin < b.begin; };
    blocks.insert(std::upper_bound(blocks.begin(), blocks.end(), placed, by_begin), placed);
    plan.offsets[i] = begin;
    plan.peak = std::max(plan.peak, placed.end);
  }
  return plan;
}

}  // namespace fastcnn
