// SPDX-License-Identifier: Apache-2.0
// Rules of PReLU: y = x where x > 0, else alpha x, with a trained alpha for each element of a sample, or for
// all along the shared axes.
#include <algorithm>

#include "../operator.h"
#include "../validate_activation.h"

namespace fastcnn {
namespace {

void infer(Inference& f) {
  const std::vector<int64_t>& sample = f.x().shape;
  const int rank = static_cast<int>(sample.size());
  std::vector<int64_t> alpha = sample, x = {1};
  for (const int64_t axis : f.attributes.list("shared_axes")) {
    if (axis < 1 || axis > rank)
      fail(Code::kArgument, "%s: shared_axes has %lld, wanted axes from 1 (the first after the batch) to %d",
           f.label(), static_cast<long long>(axis), rank);
    alpha[axis - 1] = 1;
  }
  x.insert(x.end(), sample.begin(), sample.end());
  const PreluShape shape = prelu_shape(f.label(), x.data(), rank + 1, alpha.data());
  f.node.forward.prelu_fwd = shape;
  f.node.flops = 2.0 * static_cast<double>(f.x().count);
  f.parameter({"alpha", alpha, shape.alphas, shape.alphas});
}

void forward(Builder& b, int i) {
  const Ref x = b.value[b.node(i).inputs[0]];
  b.value[i] = b.tensor_like(i);
  b.add({b.forward_op(i), {x, b.parameter(i, "alpha")}, {b.value[i]}, b.node(i).name});
}

void gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  const PreluShape shape = b.forward_op(i).prelu_fwd;
  OpDescriptor own = b.op(Step::k_prelu_alpha_bwd);
  own.prelu_alpha_bwd = shape;
  b.add_parameter_gradient(i, "alpha", {own, {b.gradient[i], b.value[u]}, {}, node.name});
  if (!b.needs_gradient[u]) return;
  OpDescriptor op = b.op(Step::k_prelu_bwd);
  op.prelu_bwd = shape;
  gradient_flat(b, i, op, {b.value[u], b.parameter(i, "alpha")});
}

}  // namespace

const Rule rule_prelu = {"PReLU", 1, infer, forward, gradient};

}  // namespace fastcnn
