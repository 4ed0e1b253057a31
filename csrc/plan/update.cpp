// SPDX-License-Identifier: Apache-2.0
// The last part of a training step: gradients are accumulated and clipped, then one optimizer step is added
// for each run of parameters that lie side by side and are updated alike, most often one for all, and for
// each matrix of Muon. Frozen parameters, moving statistics and those that no loss depends on are left alone;
// their gradients are zero, so that sums over all gradients may pass over them.
#include <algorithm>

#include "builder.h"

namespace fastcnn {

namespace {

struct Trained {
  int parameter;
  FloatRange range;  // a gap of the alignment belongs to the parameter before it: it holds zeros
};

// In the order of the arena.
std::vector<Trained> trained_parameters(const Builder& b) {
  const Graph& graph = b.graph();
  std::vector<int> order;
  for (size_t i = 0; i < graph.parameters.size(); ++i)
    if (graph.parameters[i].trainable) order.push_back(static_cast<int>(i));
  std::sort(order.begin(), order.end(),
            [&](int x, int y) { return graph.parameters[x].offset < graph.parameters[y].offset; });
  std::vector<Trained> trained;
  for (size_t i = 0; i < order.size(); ++i) {
    if (!b.parameter_written[order[i]]) continue;
    const int64_t begin = graph.parameters[order[i]].offset;
    const int64_t end = i + 1 < order.size() ? graph.parameters[order[i + 1]].offset : graph.trainable_floats;
    trained.push_back({order[i], {begin, end}});
  }
  return trained;
}

// Adds a range, to the one before it where they touch.
void append(std::vector<FloatRange>& ranges, const FloatRange& range) {
  if (!ranges.empty() && ranges.back().end == range.begin)
    ranges.back().end = range.end;
  else
    ranges.push_back(range);
}

Ref at(Memory memory, int64_t floats) { return {memory, floats * static_cast<int64_t>(sizeof(float))}; }
Memory slot_memory(int slot) { return static_cast<Memory>(static_cast<int>(Memory::kSlot0) + slot); }

void add_clipping(Builder& b, const std::string& name, int64_t begin, int64_t count) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  OpDescriptor op = b.op(Step::k_clip_norm);
  op.clip_norm = {count, recipe.clip_norm > 0 ? recipe.clip_norm : recipe.global_clip_norm,
                  recipe.shape.rule.accumulation};
  b.add({op, {}, {at(Memory::kGradients, begin)}, name});
}

void add_preparation(Builder& b, const std::vector<Trained>& trained) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  const int64_t begin = trained.front().range.begin, count = trained.back().range.end - begin;
  if (recipe.shape.rule.accumulation > 1) {
    OpDescriptor op = b.op(Step::k_accumulate);
    op.accumulate = {count, recipe.shape.rule.accumulation};
    const Memory sum = slot_memory(recipe.accumulated());
    b.add({op, {}, {at(Memory::kGradients, begin), at(sum, begin)}, "optimizer"});
  }
  if (recipe.global_clip_norm > 0) add_clipping(b, "optimizer", begin, count);
  if (recipe.clip_norm > 0)
    for (const Trained& each : trained) {
      const Parameter& p = b.graph().parameters[each.parameter];
      add_clipping(b, p.name, p.offset, p.count);
    }
}

void add_range(Builder& b, const FloatRange& range, bool decay) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  OpDescriptor op = b.op(Step::k_optimizer);
  op.optimizer = range_update(recipe, range.end - range.begin, decay);
  NewStep step{
      op, {at(Memory::kGradients, range.begin)}, {at(Memory::kParameters, range.begin)}, "optimizer"};
  for (int slot = 0; slot < recipe.slots(); ++slot) step.out.push_back(at(slot_memory(slot), range.begin));
  b.add(step);
}

void add_matrix(Builder& b, const Parameter& p, const OptimizerRecipe::Matrix& matrix, bool decay) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  OpDescriptor op = b.op(Step::k_muon);
  op.muon = matrix_update(recipe, matrix.rows, matrix.cols, decay);
  NewStep step{op,
               {at(Memory::kGradients, p.offset)},
               {at(Memory::kParameters, p.offset), at(Memory::kSlot0, p.offset)},
               p.name};
  if (recipe.shape.rule.use_ema) step.out.push_back(at(slot_memory(recipe.average()), p.offset));
  b.add(step);
}

}  // namespace

void build_update(Builder& b) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  const std::vector<Trained> trained = trained_parameters(b);
  if (trained.empty()) return;
  add_preparation(b, trained);
  std::vector<FloatRange> all, alike[2];  // alike: without decay, with it
  for (const Trained& each : trained) {
    append(all, each.range);
    const auto i = static_cast<size_t>(each.parameter);
    const bool decay = recipe.decays.empty() || recipe.decays[i];
    if (!recipe.matrices.empty() && recipe.matrices[i].rows > 0)
      add_matrix(b, b.graph().parameters[i], recipe.matrices[i], decay);
    else
      append(alike[decay], each.range);
  }
  for (const bool decay : {false, true})
    for (const FloatRange& range : alike[decay]) add_range(b, range, decay);
  b.set_trained(all);
}

}  // namespace fastcnn
