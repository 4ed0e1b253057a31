// SPDX-License-Identifier: Apache-2.0
// The forward half of a step list: gather of the batch, the layers with what can be fused into them, and the
// losses with their gradients. What joins the step before it is the affair of its rule; a first
// Rescaling into the gather, a last softmax into a cross-entropy (log-softmax keeps what a rounded
// probability loses, as Keras does).
#include <algorithm>

#include "operator.h"
#include "validate_merge.h"

namespace fastcnn {

GatherShape dense_gather(int64_t n, int64_t sample, DType dtype) {
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

namespace {

bool saves_input(Op op) {
  const Saves saves = info(op).saves;
  return saves == Saves::kX || saves == Saves::kXAndY;
}

// The only reader of a node's values, if it is still to be computed; or -1.
int only_reader(const Builder& b, int i) {
  const Node& node = b.node(i);
  if (node.consumers.size() != 1 || node.output || b.done[node.consumers[0]]) return -1;
  return node.consumers[0];
}

}  // namespace

void forward_step(Builder& b, int i) {
  std::vector<Ref> in;
  for (const int input : b.node(i).inputs) in.push_back(b.value[input]);
  b.value[i] = b.tensor_like(i);
  b.add({b.forward_op(i), in, {b.value[i]}, b.node(i).name});
}

void forward_flat(Builder& b, int i) { forward_flat(b, i, b.forward_op(i)); }

void forward_flat(Builder& b, int i, const OpDescriptor& op) {
  const int u = b.node(i).inputs[0];
  const bool reads_again = b.mode() == Mode::kTrain && saves_input(b.node(i).op);
  b.value[i] = b.reusable(u) && !reads_again ? b.value[u] : b.tensor_like(i);
  b.lies_as[i] = b.lies_as[u];
  b.add({op, {b.value[u]}, {b.value[i]}, b.node(i).name});
}

void forward_rename(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  b.value[i] = b.value[u];
  b.lies_as[i] = b.lies_as[u];
}

namespace {

// Has the step write the statistics of node i's values, where some reader takes them and the device's row for
// the step can.
void add_statistics(Builder& b, int i, NewStep* step) {
  const std::vector<int>& readers = b.node(i).consumers;
  const auto takes = [&b](int reader) {
    const auto asks = rule(b.node(reader).op).takes_statistics;
    return asks && asks(b, reader);
  };
  OpDescriptor measuring = step->op;
  measuring.epilogue.statistics = 1;
  if (step->statistics < 0 || std::none_of(readers.begin(), readers.end(), takes) ||
      b.row_of(measuring) != b.row_of(step->op))
    return;
  const int64_t channels = b.node(i).shape.back(), rows = b.batch() * (b.node(i).count / channels);
  step->op = measuring;
  step->out.resize(std::max<size_t>(step->out.size(), step->statistics + 1));
  step->out[step->statistics] = b.statistics[i] =
      b.tensor_of_bytes(statistics_parts(rows) * channels, sizeof(PartStatistics));
}

}  // namespace

void forward_fused(Builder& b, int i, NewStep step) {
  if (b.has(i, "bias")) step.in.push_back(b.parameter(i, "bias"));
  step.name = b.node(i).name;
  std::vector<int> nodes = {i};
  for (int next; (next = only_reader(b, nodes.back())) >= 0; nodes.push_back(next)) {
    const auto join = rule(b.node(next).op).join;
    NewStep joined = step;
    if (!join || !join(b, next, nodes.back(), &joined) || b.row_of(joined.op) != b.row_of(step.op)) break;
    step = joined;
  }
  add_statistics(b, nodes.back(), &step);
  step.out.resize(std::max<size_t>(step.out.size(), 1));
  if (step.out[0].memory == Memory::kNone) step.out[0] = b.tensor_like(nodes.back());
  for (const int node : nodes) {
    b.value[node] = step.out[0];
    b.done[node] = true;
  }
  b.add(step);
}

namespace {

OpDescriptor gather_op(const Builder& b) {
  OpDescriptor op = b.op(Step::k_gather);
  op.layout = Layout::kChannelsLast;
  return op;
}

bool is_read_in_rows(const Builder& b, int i) {
  for (const int reader : b.node(i).consumers)
    if (rule(b.node(reader).op).in_rows) return true;
  return false;
}

void gather_input(Builder& b, int input) {
  const int i = b.graph().inputs[input];
  OpDescriptor op = gather_op(b);
  op.gather = dense_gather(b.n(), b.node(i).count, DType::kF32);
  const int fused = fused_rescaling(b.graph(), input);
  if (fused) {
    op.gather.scale = b.node(fused).forward.rescale.scale;
    op.gather.offset = b.node(fused).forward.rescale.offset;
    b.done[fused] = true;
  }
  const int made = fused ? fused : i;
  const bool in_lanes = b.in_lanes() && !is_read_in_rows(b, made);
  if (in_lanes) {
    const std::vector<int64_t>& shape = b.node(i).shape;
    op.layout = Layout::kBatchInLanes;
    op.gather.rank = 2;
    op.gather.shape[0] = b.node(i).count / shape.back(), op.gather.shape[1] = shape.back();
    op.gather.strides[0] = shape.back() * static_cast<int64_t>(sizeof(float));
    op.gather.strides[1] = sizeof(float);
  }
  const Ref batch = in_lanes ? b.tensor_like(i) : b.rows_like(i);
  b.add_feed(Feed::kInput, input,
             {op, {{port(Memory::kInput, input), 0}, {Memory::kIndex, 0}}, {batch}, "batch"});
  for (const int each : {i, made})
    if (in_lanes)
      b.value[each] = batch;
    else
      b.set_rows(each, batch);
}

// A cross-entropy from probabilities reads the input of the softmax or sigmoid that made them, if nothing
// else reads these. The binary accuracy compares the predictions themselves with one half, so it needs them.
bool undoes(Loss loss, Op op) {
  return (op == Op::k_softmax &&
          (loss == Loss::kSparseCrossentropy || loss == Loss::kCategoricalCrossentropy)) ||
         (op == Op::k_sigmoid && loss == Loss::kBinaryCrossentropy);
}

bool loss_takes_logits(const Builder& b, size_t output) {
  const Objective& objective = b.recipe().objectives[output];
  const Graph& graph = b.graph();
  const Node& node = graph.output(output);
  int times = 0;
  for (const int each : graph.outputs) times += each == graph.outputs[output];
  const MovedAxes rows =
      loss_axes(node.label.c_str(), objective.loss, static_cast<int>(node.shape.size()) + 1);
  const bool last =
      node.op != Op::k_softmax || (rows.in_place() && node.forward.softmax_fwd.cols == node.shape.back());
  return last && undoes(objective.loss.kind, node.op) && node.consumers.empty() && times == 1 &&
         objective.present && !objective.external && !objective.loss.from_logits &&
         objective.accuracy != Accuracy::kBinary;
}

struct Gathered {
  Feed feed;
  Memory from;
  const char* name;
  DType dtype;
};

// A tensor of what belongs to the samples of a batch: `sample` numbers of each.
Ref gather_batch(Builder& b, const Gathered& what, size_t output, int64_t sample) {
  OpDescriptor op = gather_op(b);
  op.gather = dense_gather(b.n(), sample, what.dtype);
  const Ref tensor = b.tensor_of_bytes(b.n() * sample, sizeof(float));
  b.add_feed(what.feed, static_cast<int>(output),
             {op, {{port(what.from, output), 0}, {Memory::kIndex, 0}}, {tensor}, what.name});
  return tensor;
}

// Labels as rows of zeros and a one.
Ref one_hot(Builder& b, Ref labels, const LossShape& loss) {
  OpDescriptor op = b.op(Step::k_one_hot);
  op.one_hot = {loss.rows, loss.cols};
  const Ref y = b.tensor(loss.rows * loss.cols);
  b.add({op, {labels}, {y}, "target"});
  return y;
}

// A target [n, of_sample], mixed as the samples were; a copy is for those who observe it.
Ref mixed(Builder& b, const std::vector<int>& mixings, Ref target, size_t output, int64_t of_sample) {
  for (const int i : mixings) {
    OpDescriptor op = b.op(Step::k_mix);
    op.mix = {b.n(), 1, 1, of_sample, 0, 0, 0, {}};
    const Ref y = b.tensor(b.n() * of_sample);
    b.add({op, {target, b.saved[i][0], b.saved[i][1]}, {y}, "target"});
    target = y;
  }
  if (b.observed()) {
    OpDescriptor copy = gather_op(b);
    copy.gather = dense_gather(b.n(), of_sample, DType::kF32);
    b.add({copy, {target}, {{port(Memory::kMixed, output), 0}}, "target"});
  }
  return target;
}

void add_loss(Builder& b, size_t output, bool takes_logits) {
  const Objective& objective = b.recipe().objectives[output];
  const int node = b.graph().outputs[output];
  const int predictions = takes_logits ? b.node(node).inputs[0] : node;
  std::vector<int64_t> shape = b.node(node).shape;
  shape.insert(shape.begin(), b.n());
  b.results[output] = b.tensor_of_bytes(1, sizeof(LossResult));
  Ref x = b.value[predictions], dx;
  if (b.in_lanes()) x = b.from_lanes(predictions, x);
  if (b.mode() == Mode::kTrain && b.needs_gradient[predictions]) dx = b.rows_like(predictions);
  const auto contribute = [&] {
    if (dx.memory == Memory::kNone) return;
    b.contribute(predictions, b.in_lanes() ? b.to_lanes(predictions, dx) : dx);
  };
  if (objective.external) {
    b.add_external_loss(static_cast<int>(output), x, dx, b.results[output]);
    return contribute();
  }
  OpDescriptor op = b.op(Step::k_loss);
  op.loss = loss_shape(b.node(node).label.c_str(), objective.loss, shape);
  op.loss.accuracy = objective.accuracy;
  const int64_t rows = op.loss.rows / b.n(), cols = op.loss.cols;  // of a sample
  const bool sparse = takes_labels(objective.loss);
  const std::vector<int> mixings =
      b.mode() == Mode::kTrain ? mixings_before(b.graph(), node) : std::vector<int>();
  Ref target = gather_batch(b, {Feed::kTarget, Memory::kTarget, "target", sparse ? DType::kI32 : DType::kF32},
                            output, rows * (sparse ? 1 : cols));
  Ref weight, alpha;
  if (b.weights(output))
    weight =
        gather_batch(b, {Feed::kWeight, Memory::kWeight, "weight", DType::kF32}, output, b.weights(output));
  if (op.loss.class_alpha) alpha = {port(Memory::kClassAlpha, output), 0};
  const MovedAxes axes =
      loss_axes(b.node(node).label.c_str(), objective.loss, static_cast<int>(shape.size()));
  const auto moved = [&](Ref from, Part way) {
    OpDescriptor copy = b.op(Step::k_copy);
    copy.layout = Layout::kChannelsLast;
    copy.copy = moved_copy(shape, axes, way);
    const Ref to = way == Part::kWrite ? dx : b.tensor(op.loss.rows * cols);
    b.add({copy, {from}, {to}, "loss"});
    return to;
  };
  const bool moves = !axes.in_place();
  if (moves) x = moved(x, Part::kRead);
  if (!mixings.empty()) {
    if (sparse) {  // the mean of the losses of two labels is that of their mean as rows
      target = one_hot(b, target, op.loss);
      op.loss.loss = Loss::kCategoricalCrossentropy;
      if (op.loss.accuracy == Accuracy::kSparse) op.loss.accuracy = Accuracy::kCategorical;
    }
    target = mixed(b, mixings, target, output, rows * cols);
  }
  if (moves && !sparse) target = moved(target, Part::kRead);
  const Ref row_dx = moves && dx.memory != Memory::kNone ? b.tensor(op.loss.rows * cols) : dx;
  if (takes_logits) op.loss.from_logits = 1;
  op.loss.weight = objective.weight;
  if (b.weights(output)) op.loss.rows_per_weight = rows / b.weights(output);
  b.add({op, {x, target, weight, alpha}, {row_dx, b.results[output]}, "loss"});
  if (moves && dx.memory != Memory::kNone) moved(row_dx, Part::kWrite);
  contribute();
}

// A copy for the caller. Predictions that the loss took as logits are made here.
void write_predictions(Builder& b, size_t output, bool takes_logits) {
  const int i = b.graph().outputs[output], source = takes_logits ? b.node(i).inputs[0] : i;
  const Ref place{port(Memory::kOutput, output), 0};
  const Ref rows = b.in_lanes() ? b.from_lanes(source, b.value[source]) : b.value[source];
  if (!takes_logits) return b.copy_rows(i, rows, place);
  OpDescriptor op = for_batch(b.node(i).forward, b.n());
  op.math = b.math();
  b.add({op, {rows}, {place}, b.node(i).name});
}

void keep_for_gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  if (saves_input(node.op))
    for (const int input : node.inputs) b.keep(b.value[input]);
  const Saves saves = info(node.op).saves;
  if (saves == Saves::kY || saves == Saves::kXAndY) b.keep(b.value[i]);
}

}  // namespace

int fused_rescaling(const Graph& graph, int input) {
  const Node& node = graph.input(input);
  return node.consumers.size() == 1 && !node.output && graph.nodes[node.consumers[0]].op == Op::k_rescaling
             ? node.consumers[0]
             : 0;
}

void build_forward(Builder& b) {
  const Graph& graph = b.graph();
  const bool measures = b.mode() != Mode::kPredict;
  std::vector<bool> takes_logits(graph.outputs.size());
  for (size_t o = 0; measures && o < graph.outputs.size(); ++o) {
    takes_logits[o] = loss_takes_logits(b, o);
    if (takes_logits[o]) b.done[graph.outputs[o]] = true;
  }
  for (size_t i = 0; i < graph.inputs.size(); ++i) gather_input(b, static_cast<int>(i));
  for (int i = 0; i < static_cast<int>(graph.nodes.size()); ++i) {
    const Node& node = b.node(i);
    if (node.op == Op::k_input || (node.consumers.empty() && !node.output)) continue;
    if (!b.done[i]) {
      const Rule& each = rule(node.op);
      for (const int input : node.inputs)
        if (!each.in_rows) b.settle(input);
      each.forward(b, i);
    }
    if (b.mode() == Mode::kTrain && b.value[i].memory != Memory::kNone) keep_for_gradient(b, i);
  }
  if (!measures) return b.write_outputs();
  for (size_t o = 0; o < graph.outputs.size(); ++o) {
    const int output = graph.outputs[o];
    b.settle(takes_logits[o] ? b.node(output).inputs[0] : output);
  }
  b.results.resize(graph.outputs.size());
  for (size_t o = 0; b.observed() && o < graph.outputs.size(); ++o) write_predictions(b, o, takes_logits[o]);
  for (size_t o = 0; o < graph.outputs.size(); ++o)
    if (b.recipe().objectives[o].present) add_loss(b, o, takes_logits[o]);
}

}  // namespace fastcnn
