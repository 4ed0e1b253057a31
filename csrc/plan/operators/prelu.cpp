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

// With the batch in lanes [N / 16][C][pixels][16]: an alpha for each channel is one for each row of pixels.
OpDescriptor step_of(const Builder& b, int i, Step step) {
  OpDescriptor op = b.op(step);
  op.prelu_fwd = b.forward_op(i).prelu_fwd;  // the passes share this struct
  if (!b.in_lanes()) return op;
  const int u = b.node(i).inputs[0];
  const int64_t alphas = op.prelu_fwd.alphas, channels = b.lies_as[u].back();
  const bool of_channels = alphas == channels && b.node(i).shape.back() == channels;
  if (alphas != 1 && !of_channels) throw NoRow(Code::kArgument, "an alpha for each element in lanes");
  const int64_t x[3] = {b.batch() / kBatchLanes, channels, b.node(i).count / channels * kBatchLanes};
  const int64_t alpha[2] = {alphas, 1};
  op.prelu_fwd = prelu_shape("plan", x, 3, alpha);
  op.layout = Layout::kChannelsLast;
  return op;
}

void forward(Builder& b, int i) {
  const Ref x = b.value[b.node(i).inputs[0]];
  b.value[i] = b.tensor_like(i);
  b.lies_as[i] = b.lies_as[b.node(i).inputs[0]];
  b.add({step_of(b, i, Step::k_prelu_fwd), {x, b.parameter(i, "alpha")}, {b.value[i]}, b.node(i).name});
}

void gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  b.add_parameter_gradient(
      i, "alpha", {step_of(b, i, Step::k_prelu_alpha_bwd), {b.gradient[i], b.value[u]}, {}, node.name});
  if (!b.needs_gradient[u]) return;
  gradient_flat(b, i, step_of(b, i, Step::k_prelu_bwd), {b.value[u], b.parameter(i, "alpha")});
}

}  // namespace

const Rule rule_prelu = {"PReLU", 1, infer, forward, gradient};

}  // namespace fastcnn
