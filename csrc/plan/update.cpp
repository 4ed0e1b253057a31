// SPDX-License-Identifier: Apache-2.0
// The last part of a training step: penalties are added to gradients, which are accumulated and clipped, then
// one optimizer step is added for each run of parameters that lie side by side and are updated alike, most
// often one for all, and for each matrix of Muon; then come constraints. Frozen parameters, moving statistics
// and those that no loss depends on are left alone; their gradients are zero, so that sums over all gradients
// may pass over them.
#include <algorithm>
#include <map>

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

ParameterRule rule_of(const Builder& b, int parameter) {
  const std::vector<ParameterRule>& rules = b.recipe().rules;
  return rules.empty() ? ParameterRule() : rules[static_cast<size_t>(parameter)];
}

// How parameters are updated apart from the formula.
struct Manner {
  bool decay;
  double rate;
  bool operator<(const Manner& other) const {
    return decay != other.decay ? decay < other.decay : rate < other.rate;
  }
};

void add_range(Builder& b, const FloatRange& range, const Manner& manner) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  OpDescriptor op = b.op(Step::k_optimizer);
  op.optimizer = range_update(recipe, range.end - range.begin, manner.decay);
  if (manner.rate != 1) {
    op.optimizer.rate_ratio = manner.rate * (op.optimizer.rate_ratio != 0 ? op.optimizer.rate_ratio : 1);
    op.optimizer.rule.weight_decay *= manner.rate;
  }
  NewStep step{
      op, {at(Memory::kGradients, range.begin)}, {at(Memory::kParameters, range.begin)}, "optimizer"};
  for (int slot = 0; slot < recipe.slots(); ++slot) step.out.push_back(at(slot_memory(slot), range.begin));
  b.add(step);
}

void add_matrix(Builder& b, const Parameter& p, const OptimizerRecipe::Matrix& matrix, const Manner& manner) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  OpDescriptor op = b.op(Step::k_muon);
  op.muon = matrix_update(recipe, matrix.rows, matrix.cols, manner.decay);
  op.muon.adjustment *= manner.rate;
  op.muon.rule.weight_decay *= manner.rate;
  NewStep step{op,
               {at(Memory::kGradients, p.offset)},
               {at(Memory::kParameters, p.offset), at(Memory::kSlot0, p.offset)},
               p.name};
  if (recipe.shape.rule.use_ema) step.out.push_back(at(slot_memory(recipe.average()), p.offset));
  b.add(step);
}

void add_constraint(Builder& b, int parameter) {
  const ParameterRule rule = rule_of(b, parameter);
  if (!rule.constrained) return;
  OpDescriptor op = b.op(Step::k_constraint);
  op.constraint = rule.constraint;
  b.add({op, {}, {b.in_state(Memory::kParameters, parameter)}, b.graph().parameters[parameter].name});
}

}  // namespace

void build_penalties(Builder& b) {
  for (int i = 0; i < static_cast<int>(b.graph().parameters.size()); ++i) {
    const ParameterRule rule = rule_of(b, i);
    if ((rule.l1 == 0 && rule.l2 == 0) || !b.trains(i)) continue;
    const Parameter& p = b.graph().parameters[i];
    OpDescriptor op = b.op(Step::k_penalty);
    op.penalty = {p.count, rule.l1, rule.l2, b.parameter_written[i]};
    const bool training = b.mode() == Mode::kTrain;
    const Ref gradient = training ? b.in_state(Memory::kGradients, i) : Ref{};
    b.penalties.push_back(b.tensor_of_bytes(1, sizeof(double)));
    b.add({op, {b.in_state(Memory::kParameters, i)}, {gradient, b.penalties.back()}, p.name});
    if (training) b.parameter_written[i] = true;
  }
}

void build_update(Builder& b) {
  const OptimizerRecipe& recipe = b.recipe().optimizer;
  const std::vector<Trained> trained = trained_parameters(b);
  if (trained.empty()) return;
  add_preparation(b, trained);
  std::vector<FloatRange> all;
  std::map<Manner, std::vector<FloatRange>> alike;
  for (const Trained& each : trained) {
    append(all, each.range);
    const auto i = static_cast<size_t>(each.parameter);
    const Manner manner{recipe.decays.empty() || recipe.decays[i], rule_of(b, each.parameter).rate};
    if (!recipe.matrices.empty() && recipe.matrices[i].rows > 0)
      add_matrix(b, b.graph().parameters[i], recipe.matrices[i], manner);
    else
      append(alike[manner], each.range);
  }
  for (const auto& [manner, ranges] : alike)
    for (const FloatRange& range : ranges) add_range(b, range, manner);
  for (const Trained& each : trained) add_constraint(b, each.parameter);
  b.set_trained(all);
}

}  // namespace fastcnn
