// SPDX-License-Identifier: Apache-2.0
#include "graph.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "buffer.h"
#include "eager.h"
#include "operator.h"

namespace fastcnn {
namespace {

constexpr OperatorInfo kOperators[] = {
#define FASTCNN_OPERATOR(name, forward, saves) {#name, Step::k_##forward, Saves::saves},
    FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR
        {"input", Step::k_none, Saves::kNothing}};

const Rule* const kRules[] = {
#define FASTCNN_OPERATOR(name, forward, saves) &rule_##name,
    FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR
};

long long ll(int64_t value) { return static_cast<long long>(value); }

int rank(const Node& node) { return static_cast<int>(node.shape.size()); }

// "'conv2d' (None, 26, 26, 6)"
std::string with_shape(const Node& node) {
  std::string text = "'" + node.name.substr(0, 60) + "' (None";
  for (const int64_t size : node.shape) text += ", " + std::to_string(size);
  return text + ")";
}

const char* layer_class(const Layer& layer) {
  if (!layer.kind.empty()) return layer.kind.c_str();
  return layer.op == Op::k_input ? "Input" : rule(layer.op).layer;
}

// Which layer a node belongs to; inputs are not counted.
struct Position {
  int number;
  size_t first;    // the node that names the layer's class
  bool continues;  // the layer of the node before
};

std::vector<Position> positions(const std::vector<Layer>& layers) {
  std::vector<Position> result;
  std::map<std::string, size_t> first_calls;
  int next = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    const bool counts = layer.op != Op::k_input;
    const auto called = first_calls.find(layer.name);
    const bool continues = i > 0 && counts && layers[i - 1].op != Op::k_input &&
                           layer.name == layers[i - 1].name && layer.call == layers[i - 1].call;
    if (continues)
      result.push_back({result.back().number, result.back().first, true});
    else if (layer.call > 0 && called != first_calls.end())
      result.push_back({result[called->second].number, called->second, false});
    else
      result.push_back({counts ? next++ : 0, i, false});
    first_calls.emplace(layer.name, i);
  }
  return result;
}

class GraphBuilder;

class NodeInference final : public Inference {
 public:
  NodeInference(GraphBuilder& builder, Node& node, const Attributes& attributes)
      : Inference(node, attributes), builder_(builder) {}
  void parameter(const NewParameter& p) override;
  uint32_t next_draw() override;

 private:
  GraphBuilder& builder_;
};

class GraphBuilder {
 public:
  explicit GraphBuilder(const std::vector<Layer>& layers)
      : layers_(layers), labels_(layer_labels(layers)), positions_(positions(layers)) {}

  Graph build(const std::vector<int64_t>& outputs) {
    if (layers_.empty() || layers_[0].op != Op::k_input)
      fail(Code::kArgument, "model: the first node is %s, wanted an input",
           layers_.empty() ? "missing" : labels_[0].c_str());
    for (size_t i = 0; i < layers_.size(); ++i) add(static_cast<int>(i));
    if (outputs.empty())
      add_output(ll(static_cast<int64_t>(layers_.size())) - 1);
    else
      for (const int64_t output : outputs) add_output(output);
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      if (!read_[i] && !graph_.nodes[i].output)
        fail(Code::kArgument,
             "%s: nothing reads its output, wanted every layer to lead to an output of the model",
             graph_.nodes[i].label.c_str());
    forget_unread();
    place_parameters();
    for (Node& node : graph_.nodes) leave_out_unread(node);
    return std::move(graph_);
  }

  void parameter(const Node& node, const Inference::NewParameter& p) {
    const std::string name = node.name + "/" + p.role;
    const auto found = std::find_if(graph_.parameters.begin(), graph_.parameters.end(),
                                    [&](const Parameter& each) { return each.name == name; });
    const char* label = node.label.c_str();
    if (found == graph_.parameters.end()) {
      const int64_t count = element_count(label, p.role, p.shape.data(), static_cast<int>(p.shape.size()));
      if (count > kMostFloats - parameter_floats_)
        fail(Code::kShape, "%s: with it the model has more than 2**58 parameters", label);
      parameter_floats_ += count;
      this_node_.push_back(static_cast<int>(graph_.parameters.size()));
      graph_.parameters.push_back({name, static_cast<int>(graph_.nodes.size()), p.role, p.shape, p.fan_in,
                                   p.fan_out, p.trainable, count, 0});
      return;
    }
    if (layers_[graph_.nodes.size()].call == 0)
      fail(Code::kArgument, "%s: the name is used by two layers, wanted a name of its own", label);
    if (found->shape != p.shape)
      fail(Code::kShape,
           "%s: called again on an input for which its %s has shape %s, wanted %s as in its first call",
           label, p.role, ShapeText(p.shape.data(), static_cast<int>(p.shape.size())).text,
           ShapeText(found->shape.data(), static_cast<int>(found->shape.size())).text);
    this_node_.push_back(static_cast<int>(found - graph_.parameters.begin()));
  }

  uint32_t next_draw() { return draws_++; }

 private:
  static constexpr int64_t kMostFloats = int64_t{1} << 58;

  void add(int i) {
    const Layer& layer = layers_[i];
    Node node;
    node.op = layer.op;
    node.name = layer.name;
    node.label = labels_[i];
    node.forward = make_op(info(layer.op).forward);
    check_name(i);
    check_inputs(i, &node);
    NodeInference inference(*this, node, *layer.attributes);
    if (layer.op == Op::k_input) {
      infer_input(inference);
    } else {
      for (const int input : node.inputs) inference.inputs.push_back(&graph_.nodes[input]);
      node.shape = inference.x().shape;
      try {
        rule(layer.op).infer(inference);
      } catch (const Error& error) {
        throw Error(error.code, error.what() + origin(node));
      }
    }
    node.parameters = std::move(this_node_);
    this_node_.clear();
    node.count = element_count(node.label.c_str(), "the output", node.shape.data(), rank(node));
    if (rank(node) > kMaxRank - 1)
      fail(Code::kShape, "%s: the output has shape %s, wanted at most %d axes", node.label.c_str(),
           ShapeText(node.shape.data(), rank(node)).text, kMaxRank - 1);
    for (const int input : node.inputs) graph_.nodes[input].consumers.push_back(i);
    if (layer.op == Op::k_input) graph_.inputs.push_back(i);
    graph_.nodes.push_back(std::move(node));
    same_as_.push_back(original(i));
    read_.push_back(false);
  }

  // The node with the values of node i, which moves them to where they come from, or not at all: layers that
  // take their channels first permute before and after, and between two of them nothing is left to do.
  int original(int i) const {
    const Node& node = graph_.nodes[static_cast<size_t>(i)];
    if (node.op != Op::k_permute) return i;
    const int u = node.inputs[0];
    std::vector<int64_t> dims = node.settings;
    const Node& before = graph_.nodes[static_cast<size_t>(u)];
    const bool pair = before.op == Op::k_permute;
    if (pair)
      for (int64_t& each : dims) each = before.settings[static_cast<size_t>(each - 1)];
    for (size_t d = 0; d < dims.size(); ++d)
      if (dims[d] != static_cast<int64_t>(d) + 1) return i;
    return pair ? before.inputs[0] : u;
  }

  // Nodes that stand for others are not computed: they read nothing, and so on back to what is read.
  void forget_unread() {
    for (int i = static_cast<int>(graph_.nodes.size()) - 1; i >= 0; --i) {
      const Node& node = graph_.nodes[static_cast<size_t>(i)];
      if (!node.consumers.empty() || node.output || node.op == Op::k_input) continue;
      for (const int input : node.inputs) {
        std::vector<int>& readers = graph_.nodes[static_cast<size_t>(input)].consumers;
        readers.erase(std::remove(readers.begin(), readers.end(), i), readers.end());
      }
    }
  }

  // How the shapes came about that a layer does not fit: what it reads and, of a single input, the layers
  // before that one, up to where branches meet.
  std::string origin(const Node& node) const {
    constexpr int kMost = 4;
    std::string text = node.inputs.size() == 1 ? "; its input came from " : "; its inputs came from ";
    std::string between;
    const std::vector<int>* reads = &node.inputs;
    std::string after = node.name;
    for (int count = 0; count < kMost && !reads->empty();) {
      const Node& before = graph_.nodes[reads->front()];
      if (reads->size() > 1) {
        for (const int each : *reads) {
          text += between + with_shape(graph_.nodes[each]);
          between = " and ";
        }
        break;
      }
      reads = &before.inputs;
      if (before.name == after) continue;  // the same layer, without its activation
      after = before.name;
      text += between + with_shape(before);
      between = ", made from ";
      ++count;
    }
    return between.empty() ? "" : text;
  }

  void check_name(int i) {
    const Layer& layer = layers_[i];
    if (layer.name.empty()) fail(Code::kArgument, "%s: the name is empty", labels_[i].c_str());
    const int64_t calls = calls_[layer.name];
    if (positions_[i].continues) return;
    if (layer.call < calls || layer.call < 0)
      fail(Code::kArgument, "%s: the name is used by two layers, wanted a name of its own",
           labels_[i].c_str());
    if (layer.call > calls)
      fail(Code::kArgument, "%s: its call is number %lld, wanted %lld", labels_[i].c_str(), ll(layer.call),
           ll(calls));
    calls_[layer.name] = layer.call + 1;
  }

  void check_inputs(int i, Node* node) {
    const Layer& layer = layers_[i];
    const int wanted = layer.op == Op::k_input ? 0 : rule(layer.op).inputs;
    const char* label = node->label.c_str();
    if (layer.op == Op::k_input && graph_.inputs.size() != graph_.nodes.size())
      fail(Code::kArgument, "%s: an input after a layer, wanted all inputs at the beginning", label);
    if (layer.op == Op::k_input && graph_.inputs.size() == kMaxPorts)
      fail(Code::kArgument, "%s: the model has more than %d inputs", label, kMaxPorts);
    if (wanted == kAnyNumber && layer.inputs.empty())
      fail(Code::kArgument, "%s: inputs has no entries, wanted at least 1", label);
    if (wanted != kAnyNumber && layer.inputs.size() != static_cast<size_t>(wanted))
      fail(Code::kArgument, "%s: inputs has %zu entries, wanted %d", label, layer.inputs.size(), wanted);
    for (const int64_t input : layer.inputs) {
      if (input < 0 || input >= i)
        fail(Code::kArgument, "%s: inputs names node %lld, wanted one before %d", label, ll(input), i);
      read_[static_cast<size_t>(input)] = true;
      node->inputs.push_back(same_as_[static_cast<size_t>(input)]);
    }
  }

  static void infer_input(Inference& f) {
    f.node.shape = f.attributes.list("shape");
    if (f.node.shape.empty())
      fail(Code::kShape, "%s: shape is (), wanted at least one axis besides the batch", f.label());
    if (f.node.shape.size() > kMaxRank - 1)
      fail(Code::kShape, "%s: shape has %zu axes, wanted at most %d", f.label(), f.node.shape.size(),
           kMaxRank - 1);
    element_count(f.label(), "shape", f.node.shape.data(), rank(f.node));
  }

  void add_output(int64_t output) {
    const int64_t count = static_cast<int64_t>(graph_.nodes.size());
    if (output < 0 || output >= count)
      fail(Code::kArgument, "model: outputs names node %lld, wanted 0 to %lld", ll(output), ll(count - 1));
    if (graph_.outputs.size() == kMaxPorts) fail(Code::kArgument, "model: more than %d outputs", kMaxPorts);
    read_[static_cast<size_t>(output)] = true;
    int from = same_as_[static_cast<size_t>(output)];
    if (graph_.nodes[static_cast<size_t>(from)].op == Op::k_input) from = static_cast<int>(output);
    graph_.nodes[static_cast<size_t>(from)].output = true;
    graph_.outputs.push_back(from);
  }

  // Trainable ones first, so that an optimizer passes over them in one run.
  void place_parameters() {
    constexpr int64_t kAligned = kAlignment / sizeof(float);
    for (const bool trainable : {true, false}) {
      for (Parameter& p : graph_.parameters) {
        if (p.trainable != trainable) continue;
        p.offset = graph_.parameter_floats;
        graph_.parameter_floats += (p.count + kAligned - 1) / kAligned * kAligned;
      }
      if (trainable) graph_.trainable_floats = graph_.parameter_floats;
    }
  }

  bool read_once(const Node& node) const { return node.consumers.size() == 1 && !node.output; }

  // Rows and columns that a convolution makes and no window of the pool that alone reads them meets, past an
  // activation between them: no step computes them. The shapes that users see stay.
  void leave_out_unread(Node& pool) {
    const Step step = pool.forward.step;
    if (step != Step::k_max_pool2d_fwd && step != Step::k_average_pool2d_fwd &&
        step != Step::k_sum_pool2d_fwd)
      return;
    for (const int reader : pool.consumers)  // it writes all pixels
      if (graph_.nodes[reader].op == Op::k_max_unpool2d) return;
    Pool2dShape& s = pool.forward.max_pool2d_fwd;  // the pools share this struct
    const auto read = [](int64_t size, int64_t windows, int64_t stride, int64_t extent, int64_t pad) {
      return std::min(size, (windows - 1) * stride + extent - pad);
    };
    const int64_t h = read(s.h, s.p, s.stride_h, (s.r - 1) * s.dilation_h + 1, s.pad_top);
    const int64_t w = read(s.w, s.q, s.stride_w, (s.s - 1) * s.dilation_w + 1, s.pad_left);
    Node* node = &graph_.nodes[pool.inputs[0]];
    Node* activation = nullptr;
    if (node->forward.step == Step::k_activation_fwd && read_once(*node)) {
      activation = node;
      node = &graph_.nodes[node->inputs[0]];
    }
    if (s.adaptive || h * w == s.h * s.w || node->forward.step != Step::k_conv2d_fprop || !read_once(*node))
      return;
    s.h = h, s.w = w;
    node->forward.conv2d_fprop.p = h, node->forward.conv2d_fprop.q = w;
    node->count = h * w * s.c;
    if (!activation) return;
    activation->count = activation->forward.activation_fwd.count = node->count;
  }

  const std::vector<Layer>& layers_;
  const std::vector<std::string> labels_;
  const std::vector<Position> positions_;
  std::map<std::string, int64_t> calls_;  // so far, by name
  std::vector<int> this_node_;            // parameters of the node under inference
  std::vector<int> same_as_;              // by node: the one whose values it stands for, or itself
  std::vector<bool> read_;                // by node, as the user wrote them
  int64_t parameter_floats_ = 0;
  uint32_t draws_ = 0;
  Graph graph_;
};

void NodeInference::parameter(const NewParameter& p) { builder_.parameter(node, p); }
uint32_t NodeInference::next_draw() { return builder_.next_draw(); }

}  // namespace

int64_t Inference::positive(const char* argument, int64_t value) const {
  constexpr int64_t kLimit = int64_t{1} << 31;
  if (value < 1 || value >= kLimit)
    fail(Code::kArgument, "%s: %s is %lld, wanted 1 to 2**31 - 1", label(), argument, ll(value));
  return value;
}

void Inference::need_spatial(int axes) const {
  static const char* const names[] = {"length", "height, width", "depth, height, width"};
  if (rank(x()) != axes + 1)
    fail(Code::kShape, "%s: the input has shape %s, wanted [%s, channels]", label(),
         ShapeText(x().shape.data(), rank(x())).text, names[axes - 1]);
}

const OperatorInfo& info(Op op) { return kOperators[static_cast<int>(op)]; }

const Rule& rule(Op op) { return *kRules[static_cast<int>(op)]; }

Op operator_named(const std::string& name) {
  std::string wanted;
  for (int i = 0; i <= static_cast<int>(Op::k_input); ++i) {
    if (name == kOperators[i].name) return static_cast<Op>(i);
    wanted += std::string(i ? ", " : "") + kOperators[i].name;
  }
  fail(Code::kArgument, "model: op is '%.40s', wanted one of %s", name.c_str(), wanted.c_str());
}

int Graph::parameter(int node, const char* role) const {
  for (const int p : nodes[node].parameters)
    if (parameters[p].role == role) return p;
  return -1;
}

std::vector<std::string> layer_labels(const std::vector<Layer>& layers) {
  const std::vector<Position> all = positions(layers);
  std::vector<std::string> labels;
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string position =
        layers[i].op == Op::k_input ? "" : "layer " + std::to_string(all[i].number) + " ";
    labels.push_back(position + "'" + layers[i].name.substr(0, 60) + "' (" +
                     layer_class(layers[all[i].first]) + ")");
  }
  return labels;
}

Graph build_graph(const std::vector<Layer>& layers, const std::vector<int64_t>& outputs) {
  return GraphBuilder(layers).build(outputs);
}

OpDescriptor for_batch(OpDescriptor op, int64_t n) {
  if (op.step == Step::k_none) return op;
  int64_t first;
  std::memcpy(&first, &op.gemm, sizeof first);
  first *= n;
  std::memcpy(static_cast<void*>(&op.gemm), &first, sizeof first);
  return op;
}

}  // namespace fastcnn
