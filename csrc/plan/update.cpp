// SPDX-License-Identifier: Apache-2.0
// The last part of a training step: one optimizer step for each run of parameters that lie side by side and
// whose gradients have been written; most often one for all. Frozen parameters, moving statistics and those
// that no loss depends on are left alone.
#include <algorithm>

#include "builder.h"

namespace fastcnn {

namespace {

struct FloatRange {
  int64_t begin, end;
};

// In the order of the arena. A gap of the alignment belongs to the parameter before it: it holds zeros.
std::vector<FloatRange> trained_ranges(const Builder& b) {
  const Graph& graph = b.graph();
  std::vector<int> order;
  for (size_t i = 0; i < graph.parameters.size(); ++i)
    if (graph.parameters[i].trainable) order.push_back(static_cast<int>(i));
  std::sort(order.begin(), order.end(),
            [&](int x, int y) { return graph.parameters[x].offset < graph.parameters[y].offset; });
  std::vector<FloatRange> ranges;
  for (size_t i = 0; i < order.size(); ++i) {
    if (!b.parameter_written[order[i]]) continue;
    const int64_t begin = graph.parameters[order[i]].offset;
    const int64_t end = i + 1 < order.size() ? graph.parameters[order[i + 1]].offset : graph.trainable_floats;
    if (!ranges.empty() && ranges.back().end == begin)
      ranges.back().end = end;
    else
      ranges.push_back({begin, end});
  }
  return ranges;
}

}  // namespace

void build_update(Builder& b) {
  for (const FloatRange& range : trained_ranges(b)) {
    const int64_t offset = range.begin * static_cast<int64_t>(sizeof(float));
    OpDescriptor op = b.op(Step::k_optimizer);
    op.optimizer = b.recipe().optimizer;
    op.optimizer.count = range.end - range.begin;
    b.add({op,
           {{Memory::kGradients, offset}},
           {{Memory::kParameters, offset}, {Memory::kSlot0, offset}, {Memory::kSlot1, offset}},
           "optimizer"});
  }
}

}  // namespace fastcnn
