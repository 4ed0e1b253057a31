// SPDX-License-Identifier: Apache-2.0
// The forward half of a step list: gather of the batch, the layers with what can be fused into them, and the
// loss with its gradient. An activation is fused into the convolution or dense layer before it, a first
// Rescaling into the gather, a last softmax into a cross-entropy (log-softmax keeps what a rounded
// probability loses, as Keras does).
#include "builder.h"

namespace fastcnn {
namespace {

// A dense array of this many samples; a session replaces it by its own array's dtype and strides.
GatherShape gather_of(int64_t n, int64_t sample, DType dtype) {
  GatherShape shape{};
  shape.n = n;
  shape.rank = 1;
  shape.shape[0] = sample;
  shape.strides[0] = sizeof(float);
  shape.sample_stride = sample * static_cast<int64_t>(sizeof(float));
  shape.from = shape.to = dtype;
  shape.scale = 1;
  return shape;
}

void gather_input(Builder& b) {
  const Node& input = b.graph().input();
  OpDescriptor op = b.op(Step::k_gather);
  op.gather = gather_of(b.n(), input.count, DType::kF32);
  b.value[0] = b.tensor_like(0);
  if (const int fused = fused_rescaling(b.graph())) {
    op.gather.scale = b.node(fused).forward.rescale.scale;
    op.gather.offset = b.node(fused).forward.rescale.offset;
    b.value[fused] = b.value[0];
    b.done[fused] = true;
  }
  b.add_feed(Feed::kInput, {op, {{Memory::kInput, 0}, {Memory::kIndex, 0}}, {b.value[0]}, "batch"});
}

bool is_activation(Op op) { return op == Op::k_relu || op == Op::k_sigmoid || op == Op::k_tanh; }

void add_with_parameters(Builder& b, int i) {
  const Node& node = b.node(i);
  OpDescriptor op = b.forward_op(i);
  std::vector<Ref> in = {b.value[node.inputs[0]], b.parameter(node.kernel)};
  if (node.bias >= 0) in.push_back(b.parameter(node.bias));
  b.value[i] = b.tensor_like(i);
  const int next = node.consumers.size() == 1 ? node.consumers[0] : -1;
  if (next >= 0 && is_activation(b.node(next).op)) {
    op.epilogue.activation = b.node(next).forward.activation_fwd.activation;
    if (b.try_add({op, in, {b.value[i]}, node.name})) {
      b.value[next] = b.value[i];
      b.done[next] = true;
      return;
    }
    op.epilogue.activation = Activation::kNone;
  }
  b.add({op, in, {b.value[i]}, node.name});
}

// Element by element: over its input where nothing else reads that.
void add_flat(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  b.value[i] = b.reusable(u) ? b.value[u] : b.tensor_like(i);
  b.add({b.forward_op(i), {b.value[u]}, {b.value[i]}, b.node(i).name});
}

void add_node(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  switch (node.op) {
    case Op::k_conv2d:
    case Op::k_dense:
      return add_with_parameters(b, i);
    case Op::k_max_pool2d:
    case Op::k_average_pool2d:
    case Op::k_sum_pool2d:
    case Op::k_softmax:
      b.value[i] = b.tensor_like(i);
      return b.add({b.forward_op(i), {b.value[u]}, {b.value[i]}, node.name});
    case Op::k_dropout:
      if (b.mode() == Mode::kTrain && node.forward.dropout.rate > 0) return add_flat(b, i);
      b.value[i] = b.value[u];
      return;
    case Op::k_flatten:
      b.value[i] = b.value[u];
      return;
    case Op::k_relu:
    case Op::k_sigmoid:
    case Op::k_tanh:
    case Op::k_rescaling:
      return add_flat(b, i);
    case Op::k_input:
      return;
  }
}

// A cross-entropy from probabilities reads the input of the softmax that made them. The binary accuracy
// compares the predictions themselves with one half, so it needs them.
bool loss_takes_logits(const Builder& b) {
  const Recipe& recipe = b.recipe();
  return b.graph().output().op == Op::k_softmax && recipe.loss != Loss::kMeanSquaredError &&
         !recipe.from_logits && recipe.accuracy != Accuracy::kBinary;
}

void add_loss(Builder& b, int predictions, bool from_logits) {
  const int64_t cols = b.graph().output().shape.back();
  const int64_t rows = b.n() * (b.graph().output().count / cols);
  const bool sparse = b.recipe().loss == Loss::kSparseCrossentropy;
  const int64_t sample = b.graph().output().count / (sparse ? cols : 1);
  OpDescriptor gather = b.op(Step::k_gather);
  gather.gather = gather_of(b.n(), sample, sparse ? DType::kI32 : DType::kF32);
  const Ref target = b.tensor_of_bytes(b.n() * sample, sizeof(float));
  b.add_feed(Feed::kTarget, {gather, {{Memory::kTarget, 0}, {Memory::kIndex, 0}}, {target}, "target"});

  OpDescriptor op = b.op(Step::k_loss);
  op.loss = {rows, cols, b.recipe().loss, from_logits, b.recipe().accuracy};
  b.result = b.tensor_of_bytes(1, sizeof(LossResult));
  if (b.mode() == Mode::kTrain && b.needs_gradient[predictions])
    b.gradient[predictions] = b.tensor_like(predictions);
  b.add({op, {b.value[predictions], target}, {b.gradient[predictions], b.result}, "loss"});
}

}  // namespace

int fused_rescaling(const Graph& graph) {
  const std::vector<int>& readers = graph.input().consumers;
  return readers.size() == 1 && graph.nodes[readers[0]].op == Op::k_rescaling ? readers[0] : 0;
}

void build_forward(Builder& b) {
  const int last = static_cast<int>(b.graph().nodes.size()) - 1;
  const bool measures = b.mode() != Mode::kPredict;
  const bool skip_softmax = measures && loss_takes_logits(b);
  gather_input(b);
  for (int i = 1; i <= last; ++i) {
    const Node& node = b.node(i);
    if (skip_softmax && i == last) break;
    if (!b.done[i]) add_node(b, i);
    if (b.mode() != Mode::kTrain) continue;
    const Saves saves = info(node.op).saves;
    if (saves == Saves::kX) b.freeze(b.value[node.inputs[0]]);
    if (saves == Saves::kY) b.freeze(b.value[i]);
  }
  if (!measures) return b.write_output(last);
  if (skip_softmax)
    add_loss(b, b.node(last).inputs[0], true);
  else
    add_loss(b, last, b.recipe().from_logits);
}

}  // namespace fastcnn
