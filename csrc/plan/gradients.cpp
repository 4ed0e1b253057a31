// SPDX-License-Identifier: Apache-2.0
// The backward half of a training step: from the last node to the first, the rule of each operator is given
// the gradient of its node's output, which is whole by then (all readers of the node come after it).
#include "operator.h"

namespace fastcnn {

void gradient_rename(Builder& b, int i) { b.pass_gradient(i, b.node(i).inputs[0]); }

void gradient_flat(Builder& b, int i, const OpDescriptor& op, const std::vector<Ref>& in) {
  std::vector<Ref> operands = {b.gradient[i]};
  operands.insert(operands.end(), in.begin(), in.end());
  const Ref dx = b.over_gradient(i);
  b.add({op, operands, {dx}, b.node(i).name});
  b.contribute(b.node(i).inputs[0], dx);
}

void bias_gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  const int64_t cols = node.shape.back();
  OpDescriptor op = b.op(Step::k_column_sum);
  op.column_sum = {b.batch() * (node.count / cols), cols};
  b.add_parameter_gradient(i, "bias", {op, {b.gradient[i]}, {}, node.name});
}

namespace {

void add_weight_gradient(Builder& b, int i, const char* role, NewStep step) {
  const bool sums_bias = b.in_lanes() || step.op.step == Step::k_conv2d_wgrad_pooled;
  if (!sums_bias || !b.trains(i, role) || !b.trains(i, "bias")) {
    b.add_parameter_gradient(i, role, step);
    return bias_gradient(b, i);
  }
  step.op.epilogue.bias = 1;
  step.out = {b.begin_parameter_gradient(i, role), b.begin_parameter_gradient(i, "bias")};
  b.add(step);
  b.end_parameter_gradient(i, role, step.out[0]);
  b.end_parameter_gradient(i, "bias", step.out[1]);
}

}  // namespace

// In lanes after the data gradients, which then can follow each other block by block.
void weight_gradient(Builder& b, int i, const char* role, NewStep step) {
  if (!b.in_lanes()) return add_weight_gradient(b, i, role, std::move(step));
  b.put_off.push_back([&b, i, role, step = std::move(step)] { add_weight_gradient(b, i, role, step); });
}

void build_gradients(Builder& b) {
  for (int i = static_cast<int>(b.graph().nodes.size()) - 1; i >= 0; --i) {
    if (b.node(i).op == Op::k_input) continue;
    b.in_turn = i;
    if (b.needs_gradient[i] && b.gradient[i].memory != Memory::kNone) rule(b.node(i).op).gradient(b, i);
  }
  for (const auto& add : b.put_off) add();
}

}  // namespace fastcnn
