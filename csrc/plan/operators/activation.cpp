// SPDX-License-Identifier: Apache-2.0
// Rules of activations.
#include "../operator.h"

namespace fastcnn {
namespace {

template <Activation activation, int flops>
void infer(Inference& f) {
  f.node.forward.activation_fwd = {f.x().count, activation};
  f.node.flops = flops * static_cast<double>(f.x().count);
}

void gradient(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_activation_bwd);
  op.activation_bwd = b.forward_op(i).activation_fwd;
  gradient_flat(b, i, op, {b.value[i]});
}

void gradient_relu(Builder& b, int i) {
  if (b.masked[i])
    b.pass_gradient(i, b.node(i).inputs[0]);
  else
    gradient(b, i);
}

void infer_softmax(Inference& f) {
  const int64_t cols = f.x().shape.back();
  f.node.forward.softmax_fwd = {f.x().count / cols, cols};
  f.node.flops = 4.0 * static_cast<double>(f.x().count);  // subtract, exponential, sum, divide
}

void gradient_softmax(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_softmax_bwd);
  op.softmax_bwd = b.forward_op(i).softmax_fwd;
  b.add_input_gradient(b.node(i).inputs[0], {op, {b.gradient[i], b.value[i]}, {}, b.node(i).name});
}

}  // namespace

const Rule rule_relu = {"ReLU", 1, infer<Activation::kRelu, 1>, forward_flat, gradient_relu};
const Rule rule_sigmoid = {"Activation", 1, infer<Activation::kSigmoid, 4>, forward_flat, gradient};
const Rule rule_tanh = {"Activation", 1, infer<Activation::kTanh, 4>, forward_flat, gradient};
const Rule rule_softmax = {"Softmax", 1, infer_softmax, forward_step, gradient_softmax};

}  // namespace fastcnn
