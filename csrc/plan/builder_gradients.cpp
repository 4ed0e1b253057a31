// SPDX-License-Identifier: Apache-2.0
// How the gradients of values and of parameters come together: who writes first, who adds, and which step can
// take a sum or a mask along.
#include <algorithm>

#include "builder.h"

namespace fastcnn {

int Builder::origin(int u) const {
  while (renames(node(u).op)) u = node(u).inputs[0];
  return u;
}

Ref Builder::begin_parameter_gradient(int i, const char* role) {
  if (!trains(i, role)) return {};
  const int p = graph().parameter(i, role);
  return parameter_written[p] ? tensor(graph().parameters[p].count) : in_state(Memory::kGradients, p);
}

void Builder::end_parameter_gradient(int i, const char* role, Ref written) {
  if (written.memory == Memory::kNone) return;
  const int p = graph().parameter(i, role);
  const Ref sum = in_state(Memory::kGradients, p);
  if (parameter_written[p]) add_sum(sum, written, sum, {node(i).name, graph().parameters[p].count});
  parameter_written[p] = true;
}

void Builder::add_parameter_gradient(int i, const char* role, NewStep step) {
  const Ref place = begin_parameter_gradient(i, role);
  if (place.memory == Memory::kNone) return;
  step.out = {place};
  add(step);
  end_parameter_gradient(i, role, place);
}

void Builder::add_sum(Ref a, Ref b, Ref y, const Summand& of) {
  OpDescriptor sum = op(Step::k_add);
  sum.add.count = of.count;
  add({sum, {a, b}, {y}, of.name});
}

void Builder::contribute(int u, Ref ref) {
  Ref& sum = gradient[u];
  if (sum.memory == Memory::kNone) {
    sum = ref;
    return;
  }
  const Ref y = !shared_[sum.offset] ? sum : !shared_[ref.offset] ? ref : tensor_like(u);
  add_sum(sum, ref, y, {node(u).name, batch() * node(u).count});
  sum = y;
}

void Builder::pass_gradient(int i, int u) {
  if (node(i).inputs.size() > 1) shared_[gradient[i].offset] = true;
  contribute(u, gradient[i]);
}

Ref Builder::over_gradient(int i) { return shared_[gradient[i].offset] ? tensor_like(i) : gradient[i]; }

// The greatest values of a ReLU are masked as all of them are.
bool Builder::is_relu(int i) const {
  if (node(i).op == Op::k_relu) return true;
  if (node(i).inputs.empty()) return false;
  const int u = node(i).inputs[0];
  return node(u).op == Op::k_relu && pooled[node(u).inputs[0]] == i;
}

// Whether no other node than the one whose turn it is can still contribute to the gradient of u.
bool Builder::is_last_reader(int u) const {
  const std::vector<int>& readers = node(u).consumers;
  return std::count_if(readers.begin(), readers.end(), [this](int i) { return i <= in_turn; }) <= 1;
}

// A mask acts on the whole gradient of the ReLU's output: a step can apply it that is the last one to
// contribute, and adds what others have.
bool Builder::mask_can_be_fused(int u, int from) const {
  if (!is_relu(from)) return false;
  for (bool whole = is_last_reader(u);; whole = node(u).consumers.size() == 1) {
    if (!whole || node(u).output) return false;
    if (u == from) return true;
    u = node(u).inputs[0];
  }
}

void Builder::add_input_gradient(int u, NewStep step, int mask) {
  const int from = origin(u);
  const Ref before = gradient[u];
  const bool first = before.memory == Memory::kNone;
  NewStep sum = step;
  sum.op.epilogue.residual = 1;
  const bool adds = !first && step.residual >= 0 && row_of(sum.op) == row_of(step.op);
  if (adds) {
    step = sum;
    step.in.resize(std::max<size_t>(step.in.size(), step.residual + 1));
    step.in[step.residual] = before;
    gradient[u] = {};
  } else if (!first) {
    mask = kNoMask;
  }
  const Ref dx = adds && !shared_[before.offset] ? before : tensor_like(u);
  step.out = {dx};
  if (mask != kNoMask && mask_can_be_fused(u, from)) {
    NewStep fused = step;
    fused.op.epilogue.relu_mask = 1;
    if (mask != kMaskIsRead) {
      fused.in.resize(std::max<size_t>(fused.in.size(), mask + 1));
      fused.in[mask] = value[from];
    }
    if (try_add(fused)) {
      masked[from] = true;
      return contribute(u, dx);
    }
  }
  add(step);
  contribute(u, dx);
}

}  // namespace fastcnn
