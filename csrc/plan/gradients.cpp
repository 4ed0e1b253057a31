// SPDX-License-Identifier: Apache-2.0
// The backward half of a training step: one rule grad_<operator> for each row of FASTCNN_OPERATORS. A rule is
// given the gradient of its node's output and adds the steps that write the gradients of the parameters and,
// where a parameter lies before it, of the input. An operator without a rule does not link.
// Every value has one reader: no operator joins two branches yet, and build_graph() refuses one that leads
// nowhere.
#include "builder.h"

namespace fastcnn {

#define FASTCNN_OPERATOR(name, forward, saves) void grad_##name(Builder& b, int i);
FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR

namespace {

constexpr int kConvMask = 2, kGemmMask = 3, kPoolMask = 1;  // operands of FASTCNN_STEPS

using Rule = void (*)(Builder&, int);
constexpr Rule kRules[] = {
#define FASTCNN_OPERATOR(name, forward, saves) grad_##name,
    FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR
};

// db[k] = sum of dy over all that shares a bias.
void add_bias_gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  if (node.bias < 0) return;
  const int64_t cols = node.shape.back();
  OpDescriptor op = b.op(Step::k_column_sum);
  op.column_sum = {b.n() * (node.count / cols), cols};
  b.add({op, {b.gradient[i]}, {b.gradient_of_parameter(node.bias)}, node.name});
}

// Over dy itself, which nothing else reads.
void add_in_place(Builder& b, int i, const OpDescriptor& op, const std::vector<Ref>& in) {
  const int u = b.node(i).inputs[0];
  b.gradient[u] = b.gradient[i];
  b.add({op, in, {b.gradient[u]}, b.node(i).name});
}

void grad_activation(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_activation_bwd);
  op.activation_bwd = b.forward_op(i).activation_fwd;
  add_in_place(b, i, op, {b.gradient[i], b.value[i]});
}

void grad_linear_pool2d(Builder& b, int i, Step step) {
  OpDescriptor op = b.op(step);
  op.average_pool2d_bwd = b.forward_op(i).average_pool2d_fwd;  // the pools share this struct
  b.add_input_gradient(b.node(i).inputs[0], {op, {b.gradient[i]}, {}, b.node(i).name}, kPoolMask);
}

}  // namespace

void grad_conv2d(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  const Conv2dShape shape = b.forward_op(i).conv2d_fprop;
  OpDescriptor wgrad = b.op(Step::k_conv2d_wgrad);
  wgrad.conv2d_wgrad = shape;
  b.add({wgrad, {b.value[u], b.gradient[i]}, {b.gradient_of_parameter(node.kernel)}, node.name});
  add_bias_gradient(b, i);
  if (!b.needs_gradient[u]) return;
  OpDescriptor dgrad = b.op(Step::k_conv2d_dgrad);
  dgrad.conv2d_dgrad = shape;
  b.add_input_gradient(u, {dgrad, {b.gradient[i], b.parameter(node.kernel)}, {}, node.name}, kConvMask);
}

// y = x w: dw = x^T dy, dx = dy w^T.
void grad_dense(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  const GemmShape y = b.forward_op(i).gemm;
  OpDescriptor wgrad = b.op(Step::k_gemm);
  wgrad.gemm = {y.k, y.n, y.m, 1, 0};
  b.add({wgrad, {b.value[u], b.gradient[i]}, {b.gradient_of_parameter(node.kernel)}, node.name});
  add_bias_gradient(b, i);
  if (!b.needs_gradient[u]) return;
  OpDescriptor dgrad = b.op(Step::k_gemm);
  dgrad.gemm = {y.m, y.k, y.n, 0, 1};
  b.add_input_gradient(u, {dgrad, {b.gradient[i], b.parameter(node.kernel)}, {}, node.name}, kGemmMask);
}

void grad_max_pool2d(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  OpDescriptor op = b.op(Step::k_max_pool2d_bwd);
  op.max_pool2d_bwd = b.forward_op(i).max_pool2d_fwd;
  b.add_input_gradient(u, {op, {b.gradient[i], b.value[u]}, {}, b.node(i).name}, Builder::kNoOperand);
}

void grad_average_pool2d(Builder& b, int i) { grad_linear_pool2d(b, i, Step::k_average_pool2d_bwd); }
void grad_sum_pool2d(Builder& b, int i) { grad_linear_pool2d(b, i, Step::k_sum_pool2d_bwd); }

void grad_relu(Builder& b, int i) {
  if (b.masked[i])
    b.gradient[b.node(i).inputs[0]] = b.gradient[i];
  else
    grad_activation(b, i);
}
void grad_sigmoid(Builder& b, int i) { grad_activation(b, i); }
void grad_tanh(Builder& b, int i) { grad_activation(b, i); }

void grad_softmax(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  OpDescriptor op = b.op(Step::k_softmax_bwd);
  op.softmax_bwd = b.forward_op(i).softmax_fwd;
  b.gradient[u] = b.tensor_like(u);
  b.add({op, {b.gradient[i], b.value[i]}, {b.gradient[u]}, b.node(i).name});
}

// The same elements are dropped, the same factor applied: the step is its own gradient.
void grad_dropout(Builder& b, int i) {
  const OpDescriptor op = b.forward_op(i);
  if (op.dropout.rate > 0)
    add_in_place(b, i, op, {b.gradient[i]});
  else
    b.gradient[b.node(i).inputs[0]] = b.gradient[i];
}

void grad_rescaling(Builder& b, int i) {
  OpDescriptor op = b.forward_op(i);
  op.rescale.offset = 0;
  add_in_place(b, i, op, {b.gradient[i]});
}

void grad_flatten(Builder& b, int i) { b.gradient[b.node(i).inputs[0]] = b.gradient[i]; }

void build_gradients(Builder& b) {
  const Graph& graph = b.graph();
  for (int i = static_cast<int>(graph.nodes.size()) - 1; i > 0; --i) {
    const bool wanted = graph.nodes[i].kernel >= 0 || b.needs_gradient[graph.nodes[i].inputs[0]];
    if (wanted && b.gradient[i].memory != Memory::kNone) kRules[static_cast<int>(graph.nodes[i].op)](b, i);
  }
  if (graph.parameter_floats == 0) return;
  OpDescriptor op = b.op(Step::k_optimizer);
  op.optimizer = b.recipe().optimizer;
  op.optimizer.count = graph.parameter_floats;
  b.add({op,
         {{Memory::kGradients, 0}},
         {{Memory::kParameters, 0}, {Memory::kSlot0, 0}, {Memory::kSlot1, 0}},
         "optimizer"});
}

}  // namespace fastcnn
