// SPDX-License-Identifier: Apache-2.0
// Rules of the operators that join several inputs: y = f(...f(f(x_0, x_1), x_2)..., x_m), element by element
// with broadcasting, and concatenation. Samples are aligned at their last axes, as in Keras.
#include <algorithm>

#include "../operator.h"
#include "../validate_merge.h"

namespace fastcnn {
namespace {

const char* const kInputs[2] = {"an input", "the next one"};

// The shapes of a chain: inputs, and results so far. The last result is y.
struct Chain {
  std::vector<TensorShape> inputs, results;
};

Chain chain_of(const char* label, const std::vector<const std::vector<int64_t>*>& shapes) {
  size_t rank = 0;
  for (const auto* shape : shapes) rank = std::max(rank, shape->size());
  Chain chain;
  for (const auto* shape : shapes) chain.inputs.push_back(one_sample(*shape, rank));
  chain.results.push_back(chain.inputs[0]);
  for (size_t k = 1; k < shapes.size(); ++k) {
    TensorShape y;
    binary_shape(label, kInputs, chain.results.back(), chain.inputs[k], Binary::kAdd, &y);
    chain.results.push_back(y);
  }
  return chain;
}

Chain chain_of(const Builder& b, int i) {
  std::vector<const std::vector<int64_t>*> shapes;
  for (const int u : b.node(i).inputs) shapes.push_back(&b.node(u).shape);
  return chain_of(b.node(i).label.c_str(), shapes);
}

// Step k of the chain, forward or backward, for all samples of the batch. In lanes all values must lie alike:
// they are then taken as they lie, element by element.
OpDescriptor link(const Builder& b, const Chain& chain, size_t k, Step step, Binary kind) {
  OpDescriptor op = b.op(step);
  op.layout = Layout::kChannelsLast;
  TensorShape y;
  op.binary = binary_shape("plan", kInputs, chain.results[k - 1], chain.inputs[k], kind, &y);
  return for_batch(op, b.batch());
}

void need_alike_in_lanes(const Builder& b, int i) {
  const std::vector<int>& inputs = b.node(i).inputs;
  for (const int u : inputs)
    if (b.in_lanes() && (b.lies_as[u] != b.lies_as[inputs[0]] || b.node(u).shape != b.node(i).shape))
      throw NoRow(Code::kArgument, "broadcasting in lanes");
}

template <Binary kind>
void infer(Inference& f) {
  if (f.inputs.size() < 2)
    fail(Code::kArgument, "%s: inputs has %zu entries, wanted at least 2", f.label(), f.inputs.size());
  std::vector<const std::vector<int64_t>*> shapes;
  for (const Node* input : f.inputs) shapes.push_back(&input->shape);
  const Chain chain = chain_of(f.label(), shapes);
  const TensorShape& y = chain.results.back();
  f.node.shape.assign(y.size + 1, y.size + y.rank);
  TensorShape first;
  f.node.forward.binary = binary_shape(f.label(), kInputs, chain.inputs[0], chain.inputs[1], kind, &first);
  f.node.flops = 0;
  for (size_t k = 1; k < chain.results.size(); ++k)
    f.node.flops += static_cast<double>(chain.results[k].count());
}

// The result is written over one of the first two inputs where that has its shape and nothing else reads it;
// a later one would be lost before its turn.
void forward_chain(Builder& b, int i, Binary kind, float scale, bool may_overwrite) {
  need_alike_in_lanes(b, i);
  const std::vector<int>& inputs = b.node(i).inputs;
  b.lies_as[i] = b.in_lanes() ? b.lies_as[inputs[0]] : b.lies_as[i];
  const Chain chain = chain_of(b, i);
  const int64_t count = b.node(i).count;
  int over = -1;
  for (size_t k = 0; may_overwrite && over < 0 && k < 2; ++k)
    if (b.node(inputs[k]).count == count && b.reusable(inputs[k])) over = inputs[k];
  b.value[i] = over >= 0 ? b.value[over] : b.tensor_like(i);
  Ref sum = b.value[inputs[0]];
  for (size_t k = 1; k < inputs.size(); ++k) {
    OpDescriptor op = link(b, chain, k, Step::k_binary, kind);
    if (k + 1 == inputs.size()) {
      op.binary.scale = scale;
      return forward_fused(b, i, {op, {sum, b.value[inputs[k]]}, {b.value[i]}, ""});
    }
    const bool in_y = may_overwrite && chain.results[k].count() == count;
    const Ref y = in_y ? b.value[i] : b.numbers(b.batch() * chain.results[k].count());
    b.add({op, {sum, b.value[inputs[k]]}, {y}, b.node(i).name});
    b.saved[i].push_back(y);
    sum = y;
  }
}

// dx of an input of a linear chain: what it was repeated along is summed.
void gradient_linear(Builder& b, int i, size_t k, float scale) {
  const int u = b.node(i).inputs[k];
  if (!b.needs_gradient[u]) return;
  if (scale == 1 && b.node(u).count == b.node(i).count) return b.pass_gradient(i, u);
  const Chain chain = chain_of(b, i);
  OpDescriptor op = b.op(Step::k_binary_bwd);
  TensorShape y;
  op.binary_bwd = binary_shape("plan", kInputs, chain.inputs[k], chain.results.back(), Binary::kAdd, &y);
  op.binary_bwd.scale = scale;
  op.layout = Layout::kChannelsLast;
  b.add_input_gradient(u, {for_batch(op, b.batch()), {b.gradient[i]}, {}, b.node(i).name});
}

void forward_add(Builder& b, int i) { forward_chain(b, i, Binary::kAdd, 1, true); }
void forward_subtract(Builder& b, int i) { forward_chain(b, i, Binary::kSubtract, 1, true); }
void forward_average(Builder& b, int i) {
  forward_chain(b, i, Binary::kAdd, 1.0f / static_cast<float>(b.node(i).inputs.size()), true);
}

// What a convolution is added to is a residual to it, if that is at hand by then; in training a batch norm,
// which stands between them.
bool join_add(Builder& b, int i, int from, NewStep* step) {
  const Node& node = b.node(i);
  Epilogue& e = step->op.epilogue;
  if (b.mode() == Mode::kTrain && step->op.step != Step::k_batch_norm_fwd) return false;
  if (step->residual < 0 || e.residual || e.activation != Activation::kNone) return false;
  if (node.inputs.size() != 2) return false;
  const int other = node.inputs[node.inputs[0] == from];
  if (b.value[other].memory == Memory::kNone || b.node(other).count != node.count ||
      b.node(from).count != node.count)
    return false;
  step->in.resize(std::max<size_t>(step->in.size(), step->residual + 1));
  step->in[step->residual] = b.value[other];
  e.residual = 1;
  return true;
}

void gradient_add(Builder& b, int i) {
  for (size_t k = 0; k < b.node(i).inputs.size(); ++k) gradient_linear(b, i, k, 1);
}
void gradient_subtract(Builder& b, int i) {
  for (size_t k = 0; k < b.node(i).inputs.size(); ++k) gradient_linear(b, i, k, k ? -1.0f : 1.0f);
}
void gradient_average(Builder& b, int i) {
  const size_t inputs = b.node(i).inputs.size();
  OpDescriptor op = b.op(Step::k_rescale);
  op.rescale = {b.batch() * b.node(i).count, 1.0f / static_cast<float>(inputs), 0};
  const Ref scaled = b.over_gradient(i);
  b.add({op, {b.gradient[i]}, {scaled}, b.node(i).name});
  b.gradient[i] = scaled;
  gradient_add(b, i);
}

// Products and choices read their operands again: nothing is overwritten in training.
template <Binary kind>
void forward_read_again(Builder& b, int i) {
  forward_chain(b, i, kind, 1, b.mode() != Mode::kTrain);
}

template <Binary kind>
void gradient_read_again(Builder& b, int i) {
  const std::vector<int>& inputs = b.node(i).inputs;
  const Chain chain = chain_of(b, i);
  std::vector<bool> needed(inputs.size());  // by input k: whether one up to it needs a gradient
  for (size_t k = 0; k < inputs.size(); ++k)
    needed[k] = b.needs_gradient[inputs[k]] || (k > 0 && needed[k - 1]);
  Ref dy = b.gradient[i];
  for (size_t k = inputs.size() - 1; k > 0; --k) {
    const Ref before = k > 1 ? b.saved[i][k - 2] : b.value[inputs[0]];
    OpDescriptor op = link(b, chain, k, Step::k_binary_bwd, kind);
    op.binary_bwd.which = 1;
    const std::vector<Ref> in = {dy, before, b.value[inputs[k]]};
    if (b.needs_gradient[inputs[k]]) b.add_input_gradient(inputs[k], {op, in, {}, b.node(i).name});
    if (!needed[k - 1]) return;
    op.binary_bwd.which = 0;
    if (k == 1) return b.add_input_gradient(inputs[0], {op, in, {}, b.node(i).name});
    dy = b.numbers(b.batch() * chain.results[k - 1].count());
    b.add({op, in, {dy}, b.node(i).name});
  }
}

// Both know the axis with that of the samples, as Keras counts.
void infer_concatenate(Inference& f) {
  std::vector<TensorShape> shapes;
  for (const Node* input : f.inputs) shapes.push_back(one_sample(input->shape));
  int64_t axis = f.attributes.whole("axis");
  const TensorShape y = concatenated_shape(f.label(), shapes, &axis);
  f.node.shape.assign(y.size + 1, y.size + y.rank);
  f.node.settings = {axis};
}

// What is cut at the axis `at`: one sample, or in lanes a block, whose first axis are the channels.
TensorShape whole_of(const Builder& b, const Node& node, int* at) {
  *at = b.in_lanes() ? 1 : static_cast<int>(node.settings[0]);
  const int64_t channels = node.shape.back();
  return b.in_lanes() ? one_sample({channels, node.count / channels * kBatchLanes}) : one_sample(node.shape);
}

std::vector<int64_t> part_lengths(const Builder& b, const Node& node) {
  const size_t axis = static_cast<size_t>(node.settings[0]);
  std::vector<int64_t> lengths;
  for (const int u : node.inputs) {
    if (b.in_lanes() && (axis != node.shape.size() || b.lies_as[u] != b.node(u).shape))
      throw NoRow(Code::kArgument, "concatenation in lanes of other axes than channels");
    lengths.push_back(b.node(u).shape[axis - 1]);
  }
  return lengths;
}

// An empty step of a node for the batch: channels-last, as copies take blocks in lanes too.
OpDescriptor flat_op(const Builder& b, OpDescriptor op) {
  op.layout = Layout::kChannelsLast;
  return for_batch(op, b.in_lanes() ? b.batch() / kBatchLanes : b.n());
}

void forward_concatenate(Builder& b, int i) {
  b.value[i] = b.tensor_like(i);
  const Node& node = b.node(i);
  int axis;
  const TensorShape whole = whole_of(b, node, &axis);
  auto input = node.inputs.begin();
  for (const ConcatenateShape& shape : concatenate_shapes(whole, axis, part_lengths(b, node))) {
    OpDescriptor op = b.op(Step::k_concatenate);
    op.concatenate = shape;
    NewStep step{flat_op(b, op), {}, {b.value[i]}, node.name};
    for (int64_t k = 0; k < shape.parts; ++k) step.in.push_back(b.value[*input++]);
    b.add(step);
  }
}

void gradient_concatenate(Builder& b, int i) {
  const Node& node = b.node(i);
  int axis;
  const TensorShape whole = whole_of(b, node, &axis);
  const std::vector<int64_t> lengths = part_lengths(b, node);
  int64_t begin = 0;
  for (size_t k = 0; k < lengths.size(); begin += lengths[k++]) {
    const int u = node.inputs[k];
    OpDescriptor op = b.op(Step::k_copy);
    op.copy = part_shape(whole, axis, begin, lengths[k]);
    if (b.needs_gradient[u]) b.add_input_gradient(u, {flat_op(b, op), {b.gradient[i]}, {}, node.name});
  }
}

}  // namespace

const Rule rule_add = {"Add", kAnyNumber, infer<Binary::kAdd>, forward_add, gradient_add, join_add};
const Rule rule_subtract = {"Subtract", 2, infer<Binary::kSubtract>, forward_subtract, gradient_subtract};
const Rule rule_average = {"Average", kAnyNumber, infer<Binary::kAdd>, forward_average, gradient_average};
const Rule rule_multiply = {"Multiply", kAnyNumber, infer<Binary::kMultiply>,
                            forward_read_again<Binary::kMultiply>, gradient_read_again<Binary::kMultiply>};
const Rule rule_maximum = {"Maximum", kAnyNumber, infer<Binary::kMaximum>,
                           forward_read_again<Binary::kMaximum>, gradient_read_again<Binary::kMaximum>};
const Rule rule_minimum = {"Minimum", kAnyNumber, infer<Binary::kMinimum>,
                           forward_read_again<Binary::kMinimum>, gradient_read_again<Binary::kMinimum>};
const Rule rule_concatenate = {"Concatenate", kAnyNumber, infer_concatenate, forward_concatenate,
                               gradient_concatenate};

}  // namespace fastcnn
