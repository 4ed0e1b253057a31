// SPDX-License-Identifier: Apache-2.0
#include "builder.h"

#include <algorithm>

#include "buffer.h"
#include "eager.h"

namespace fastcnn {
namespace {

// A team pays when half of the work outweighs its meetings. Rates of one core on data in its caches, so that
// a small network stays on one thread; results have the same bits either way.
constexpr double kFlopsPerSecond = 100e9, kBytesPerSecond = 40e9, kMeeting = 3e-6;

bool same(Ref a, Ref b) { return a.memory == b.memory && a.offset == b.offset; }

}  // namespace

Builder::Builder(const Request& request) : request_(request) {
  const std::vector<Node>& nodes = request.graph.nodes;
  value.resize(nodes.size());
  gradient.resize(nodes.size());
  done.resize(nodes.size());
  masked.resize(nodes.size());
  for (const Node& each : nodes) {
    bool needs = each.kernel >= 0;
    for (const int input : each.inputs) needs = needs || needs_gradient[input];
    needs_gradient.push_back(needs);
  }
  list_.n = request.n;
}

Ref Builder::tensor_of_bytes(int64_t count, size_t size) {
  const int64_t counts[1] = {count};
  element_count("plan", "a tensor", counts, 1);
  tensors_.push_back({-1, -1, static_cast<size_t>(count) * size});
  frozen_.push_back(false);
  return {Memory::kArena, static_cast<int64_t>(tensors_.size()) - 1};
}

Ref Builder::tensor_like(int i) {
  const int64_t shape[2] = {n(), node(i).count};
  return tensor(element_count(node(i).label.c_str(), "the output of a batch", shape, 2));
}

Ref Builder::in_state(Memory memory, int parameter) const {
  return {memory, graph().parameters[parameter].offset * static_cast<int64_t>(sizeof(float))};
}

OpDescriptor Builder::op(Step step) const { return make_op(step, recipe().math); }

OpDescriptor Builder::forward_op(int i) const {
  OpDescriptor batch = for_batch(node(i).forward, n());
  batch.math = recipe().math;
  return batch;
}

void Builder::touch(Ref ref) {
  if (ref.memory != Memory::kArena) return;
  Lifetime& life = tensors_[ref.offset];
  const int now = static_cast<int>(list_.steps.size());
  if (life.first < 0) life.first = now;
  life.last = now;
}

bool Builder::try_add(const NewStep& step) {
  PlannedStep planned;
  Status status{};
  if (request_.backend.prepare(&step.op, &planned.prepared, &status) != Code::kOk) return false;
  std::copy(step.in.begin(), step.in.end(), planned.in);
  std::copy(step.out.begin(), step.out.end(), planned.out);
  if (planned.prepared.workspace_bytes)
    planned.workspace = tensor_of_bytes(static_cast<int64_t>(planned.prepared.workspace_bytes), 1);
  for (const Ref& ref : planned.in) touch(ref);
  for (const Ref& ref : planned.out) touch(ref);
  touch(planned.workspace);
  planned.name = step.name;
  list_.steps.push_back(std::move(planned));
  return true;
}

void Builder::add(const NewStep& step) {
  if (try_add(step)) return;
  Prepared prepared;
  Status status{};
  request_.backend.prepare(&step.op, &prepared, &status);
  fail(status.code, "%s: %s", step.name.c_str(), status.message);
}

void Builder::add_feed(Feed feed, const NewStep& step) {
  add(step);
  list_.steps.back().feed = feed;
}

int Builder::origin(int u) const {
  while (node(u).op == Op::k_flatten) u = node(u).inputs[0];
  return u;
}

void Builder::add_input_gradient(int u, NewStep step, int mask) {
  const int from = origin(u);
  gradient[u] = tensor_like(u);
  step.out = {gradient[u]};
  if (node(from).op == Op::k_relu) {
    NewStep fused = step;
    fused.op.epilogue.relu_mask = 1;
    if (mask != kNoOperand) {
      fused.in.resize(std::max<size_t>(fused.in.size(), mask + 1));
      fused.in[mask] = value[from];
    }
    if (try_add(fused)) {
      masked[from] = true;
      return;
    }
  }
  add(step);
}

bool Builder::reusable(int u) const {
  if (frozen_[value[u].offset]) return false;
  for (;;) {
    const Node& each = node(u);
    if (each.consumers.size() != 1) return false;
    if (each.inputs.empty() || !same(value[u], value[each.inputs[0]])) return true;
    u = each.inputs[0];
  }
}

void Builder::freeze(Ref tensor) { frozen_[tensor.offset] = true; }

void Builder::write_output(int node) {
  const Ref predictions = value[node];
  tensors_[predictions.offset].bytes = 0;
  const auto redirect = [predictions](Ref& ref) {
    if (same(ref, predictions)) ref = {Memory::kOutput, 0};
  };
  for (PlannedStep& step : list_.steps) {
    for (Ref& ref : step.in) redirect(ref);
    for (Ref& ref : step.out) redirect(ref);
  }
}

StepList Builder::finish() {
  if (result.memory == Memory::kArena) tensors_[result.offset].last = static_cast<int>(list_.steps.size());
  const MemoryPlan memory = plan_memory(tensors_);
  const auto place = [&memory](Ref& ref) {
    if (ref.memory == Memory::kArena) ref.offset = static_cast<int64_t>(memory.offsets[ref.offset]);
  };
  double seconds = 0;
  bool any_parallel = false;
  for (PlannedStep& step : list_.steps) {
    for (Ref& ref : step.in) place(ref);
    for (Ref& ref : step.out) place(ref);
    place(step.workspace);
    const Prepared& prepared = step.prepared;
    list_.scratch_bytes = std::max(list_.scratch_bytes, prepared.scratch_bytes);
    list_.flops += prepared.flops;
    seconds += prepared.flops / kFlopsPerSecond + prepared.bytes / kBytesPerSecond;
    any_parallel = any_parallel || prepared.parallel;
  }
  list_.result = result;
  place(list_.result);
  list_.arena_bytes = memory.peak;
  list_.parallel = any_parallel && seconds / 2 > kMeeting * static_cast<double>(list_.steps.size());
  return std::move(list_);
}

StepList build_steps(const Request& request) {
  Builder b(request);
  build_forward(b);
  if (request.mode == Mode::kTrain) build_gradients(b);
  return b.finish();
}

}  // namespace fastcnn
