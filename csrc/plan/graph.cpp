// SPDX-License-Identifier: Apache-2.0
#include "graph.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "buffer.h"
#include "eager.h"

namespace fastcnn {
namespace {

constexpr OperatorInfo kOperators[] = {
#define FASTCNN_OPERATOR(name, forward, saves) {#name, Step::k_##forward, Saves::saves},
    FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR
        {"input", Step::k_none, Saves::kNothing}};

long long ll(int64_t value) { return static_cast<long long>(value); }

const char* layer_class(Op op) {
  switch (op) {
    case Op::k_conv2d:
      return "Conv2D";
    case Op::k_dense:
      return "Dense";
    case Op::k_max_pool2d:
      return "MaxPooling2D";
    case Op::k_average_pool2d:
      return "AveragePooling2D";
    case Op::k_sum_pool2d:
      return "SumPooling2D";
    case Op::k_relu:
      return "ReLU";
    case Op::k_softmax:
      return "Softmax";
    case Op::k_dropout:
      return "Dropout";
    case Op::k_rescaling:
      return "Rescaling";
    case Op::k_flatten:
      return "Flatten";
    case Op::k_input:
      return "Input";
    case Op::k_sigmoid:
    case Op::k_tanh:
      break;
  }
  return "Activation";
}

struct Position {
  int layer;
  Op op;           // that names the layer's class
  bool continues;  // the layer of the node before: its activation
};

bool is_activation(Op op) {
  return op == Op::k_relu || op == Op::k_sigmoid || op == Op::k_tanh || op == Op::k_softmax;
}

// Layer and class of each node; the input is not counted.
std::vector<Position> positions(const std::vector<Layer>& layers) {
  std::vector<Position> result;
  int next = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool continues = i > 0 && layers[i].name == layers[i - 1].name && layers[i - 1].op != Op::k_input &&
                           is_activation(layers[i].op);
    if (continues)
      result.push_back({result.back().layer, result.back().op, true});
    else
      result.push_back({layers[i].op == Op::k_input ? 0 : next++, layers[i].op, false});
  }
  return result;
}

class GraphBuilder {
 public:
  explicit GraphBuilder(const std::vector<Layer>& layers)
      : layers_(layers), labels_(layer_labels(layers)), positions_(positions(layers)) {}

  Graph build() {
    if (layers_.empty() || layers_[0].op != Op::k_input)
      fail(Code::kArgument, "model: the first node is %s, wanted an input",
           layers_.empty() ? "missing" : labels_[0].c_str());
    for (size_t i = 0; i < layers_.size(); ++i) add(static_cast<int>(i));
    for (const Node& node : graph_.nodes)
      if (node.consumers.empty() && &node != &graph_.nodes.back())
        fail(Code::kArgument, "%s: nothing reads its output, wanted every layer to lead to the last",
             node.label.c_str());
    return std::move(graph_);
  }

 private:
  void add(int i) {
    const Layer& layer = layers_[i];
    Node node;
    node.op = layer.op;
    node.name = layer.name;
    node.label = labels_[i];
    node.forward = make_op(info(layer.op).forward);
    node.flops = 0;
    check_name(i);
    check_inputs(i, &node);
    infer(layer, &node);
    node.count = element_count(node.label.c_str(), "the output", node.shape.data(), rank(node));
    if (rank(node) > kMaxRank - 1)
      fail(Code::kShape, "%s: the output has shape %s, wanted at most %d axes", node.label.c_str(),
           ShapeText(node.shape.data(), rank(node)).text, kMaxRank - 1);
    for (const int input : node.inputs) graph_.nodes[input].consumers.push_back(i);
    graph_.nodes.push_back(std::move(node));
  }

  void check_name(int i) {
    const std::string& name = layers_[i].name;
    if (name.empty()) fail(Code::kArgument, "%s: the name is empty", labels_[i].c_str());
    if (!names_.insert(name).second && !positions_[i].continues)
      fail(Code::kArgument, "%s: the name is used by two layers, wanted a name of its own",
           labels_[i].c_str());
  }

  void check_inputs(int i, Node* node) {
    const Layer& layer = layers_[i];
    const size_t wanted = layer.op == Op::k_input ? 0 : 1;
    if (layer.op == Op::k_input && i > 0)
      fail(Code::kArgument, "%s: a second input, wanted one at the beginning", node->label.c_str());
    if (layer.inputs.size() != wanted)
      fail(Code::kArgument, "%s: inputs has %zu entries, wanted %zu", node->label.c_str(),
           layer.inputs.size(), wanted);
    for (const int64_t input : layer.inputs) {
      if (input < 0 || input >= i)
        fail(Code::kArgument, "%s: inputs names node %lld, wanted one before %d", node->label.c_str(),
             ll(input), i);
      node->inputs.push_back(static_cast<int>(input));
    }
  }

  static int rank(const Node& node) { return static_cast<int>(node.shape.size()); }

  // Shape, descriptor, parameters and FLOPs (a multiplication and an addition are two) of one sample.
  void infer(const Layer& layer, Node* node) {
    if (layer.op == Op::k_input) return infer_input(layer, node);
    const Node& x = graph_.nodes[node->inputs[0]];
    OpDescriptor& op = node->forward;
    node->shape = x.shape;
    switch (layer.op) {
      case Op::k_conv2d:
        return infer_conv2d(layer, x, node);
      case Op::k_dense:
        return infer_dense(layer, x, node);
      case Op::k_max_pool2d:
      case Op::k_average_pool2d:
      case Op::k_sum_pool2d:
        return infer_pool2d(layer, x, node);
      case Op::k_relu:
        return infer_activation(x, Activation::kRelu, 1, node);
      case Op::k_sigmoid:
        return infer_activation(x, Activation::kSigmoid, 4, node);
      case Op::k_tanh:
        return infer_activation(x, Activation::kTanh, 4, node);
      case Op::k_softmax:
        op.softmax_fwd = {x.count / x.shape.back(), x.shape.back()};
        node->flops = 4.0 * static_cast<double>(x.count);  // subtract, exponential, sum, divide
        return;
      case Op::k_dropout:
        if (!(layer.rate >= 0 && layer.rate < 1))
          fail(Code::kArgument, "%s: rate is %g, wanted a number in [0, 1)", node->label.c_str(), layer.rate);
        op.dropout = {x.count, static_cast<float>(layer.rate), dropouts_++};
        return;
      case Op::k_rescaling:
        if (!std::isfinite(static_cast<float>(layer.scale)) ||
            !std::isfinite(static_cast<float>(layer.offset)))
          fail(Code::kArgument, "%s: scale is %g and offset %g, wanted numbers finite in float32",
               node->label.c_str(), layer.scale, layer.offset);
        op.rescale = {x.count, static_cast<float>(layer.scale), static_cast<float>(layer.offset)};
        node->flops = 2.0 * static_cast<double>(x.count);
        return;
      case Op::k_flatten:
        node->shape = {x.count};
        return;
      case Op::k_input:
        return;
    }
  }

  void infer_input(const Layer& layer, Node* node) {
    if (layer.shape.empty())
      fail(Code::kShape, "%s: shape is (), wanted at least one axis besides the batch", node->label.c_str());
    if (layer.shape.size() > kMaxRank - 1)
      fail(Code::kShape, "%s: shape has %zu axes, wanted at most %d", node->label.c_str(), layer.shape.size(),
           kMaxRank - 1);
    element_count(node->label.c_str(), "shape", layer.shape.data(), static_cast<int>(layer.shape.size()));
    node->shape = layer.shape;
  }

  static void need_image(const Node& x, const Node& node) {
    if (x.shape.size() != 3)
      fail(Code::kShape, "%s: the input has shape %s, wanted [height, width, channels]", node.label.c_str(),
           ShapeText(x.shape.data(), rank(x)).text);
  }

  static int64_t positive(const Node& node, const char* argument, int64_t value) {
    constexpr int64_t kLimit = int64_t{1} << 31;
    if (value < 1 || value >= kLimit)
      fail(Code::kArgument, "%s: %s is %lld, wanted 1 to 2**31 - 1", node.label.c_str(), argument, ll(value));
    return value;
  }

  void infer_conv2d(const Layer& layer, const Node& x, Node* node) {
    need_image(x, *node);
    const int64_t filters = positive(*node, "filters", layer.filters);
    const int64_t groups = positive(*node, "groups", layer.window.groups);
    const int64_t r = positive(*node, "kernel_size", layer.kernel_size[0]);
    const int64_t s = positive(*node, "kernel_size", layer.kernel_size[1]);
    const int64_t in[4] = {1, x.shape[0], x.shape[1], x.shape[2]};
    // A remainder is left for conv2d_shape() to refuse.
    const std::vector<int64_t> kernel = {r, s, std::max<int64_t>(x.shape[2] / groups, 1), filters};
    const Conv2dShape shape = conv2d_shape(node->label.c_str(), in, kernel.data(), layer.window);
    node->forward.conv2d_fprop = shape;
    node->shape = {shape.p, shape.q, shape.k};
    const double taps = static_cast<double>(r) * static_cast<double>(s);
    node->flops =
        2.0 * static_cast<double>(shape.p * shape.q * shape.k) * taps * static_cast<double>(kernel[2]);
    node->kernel = parameter(*node, {"kernel", kernel, r * s * kernel[2], r * s * filters});
    if (layer.use_bias) node->bias = parameter(*node, {"bias", {filters}, filters, filters});
    node->forward.epilogue.bias = layer.use_bias;
  }

  void infer_dense(const Layer& layer, const Node& x, Node* node) {
    const int64_t units = positive(*node, "units", layer.units), in = x.shape.back();
    node->forward.gemm = {x.count / in, units, in, 0, 0};
    node->shape.back() = units;
    node->flops = 2.0 * static_cast<double>(x.count) * static_cast<double>(units);
    node->kernel = parameter(*node, {"kernel", {in, units}, in, units});
    if (layer.use_bias) node->bias = parameter(*node, {"bias", {units}, units, units});
    node->forward.epilogue.bias = layer.use_bias;
  }

  void infer_pool2d(const Layer& layer, const Node& x, Node* node) {
    need_image(x, *node);
    const int64_t in[4] = {1, x.shape[0], x.shape[1], x.shape[2]};
    const Pool2dShape shape =
        pool2d_shape(node->label.c_str(), in, layer.pool_size, layer.window, layer.ceil_mode);
    node->forward.max_pool2d_fwd = shape;  // the pools share this struct
    node->shape = {shape.p, shape.q, shape.c};
    node->flops = static_cast<double>(shape.p * shape.q * shape.c) * static_cast<double>(shape.r * shape.s);
  }

  void infer_activation(const Node& x, Activation activation, int flops, Node* node) {
    node->forward.activation_fwd = {x.count, activation};
    node->flops = flops * static_cast<double>(x.count);
  }

  struct NewParameter {
    const char* role;
    std::vector<int64_t> shape;
    int64_t fan_in, fan_out;
  };

  int parameter(const Node& node, const NewParameter& p) {
    constexpr int64_t kAligned = kAlignment / sizeof(float);
    const int64_t count =
        element_count(node.label.c_str(), p.role, p.shape.data(), static_cast<int>(p.shape.size()));
    graph_.parameters.push_back({node.name + "/" + p.role, static_cast<int>(graph_.nodes.size()), p.role,
                                 p.shape, p.fan_in, p.fan_out, count, graph_.parameter_floats});
    graph_.parameter_floats += (count + kAligned - 1) / kAligned * kAligned;
    const int64_t whole[1] = {graph_.parameter_floats};
    element_count(node.label.c_str(), "with it the parameters of the model", whole, 1);
    return static_cast<int>(graph_.parameters.size()) - 1;
  }

  const std::vector<Layer>& layers_;
  const std::vector<std::string> labels_;
  const std::vector<Position> positions_;
  std::set<std::string> names_;
  uint32_t dropouts_ = 0;
  Graph graph_;
};

}  // namespace

const OperatorInfo& info(Op op) { return kOperators[static_cast<int>(op)]; }

Op operator_named(const std::string& name) {
  std::string wanted;
  for (int i = 0; i <= static_cast<int>(Op::k_input); ++i) {
    if (name == kOperators[i].name) return static_cast<Op>(i);
    wanted += std::string(i ? ", " : "") + kOperators[i].name;
  }
  fail(Code::kArgument, "model: op is '%.40s', wanted one of %s", name.c_str(), wanted.c_str());
}

std::vector<std::string> layer_labels(const std::vector<Layer>& layers) {
  const std::vector<Position> all = positions(layers);
  std::vector<std::string> labels;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Position at = all[i];
    const std::string position = layers[i].op == Op::k_input ? "" : std::to_string(at.layer) + " ";
    const char* kind = layers[i].op == Op::k_input ? "" : "layer ";
    labels.push_back(kind + position + "'" + layers[i].name.substr(0, 60) + "' (" + layer_class(at.op) + ")");
  }
  return labels;
}

Graph build_graph(const std::vector<Layer>& layers) { return GraphBuilder(layers).build(); }

OpDescriptor for_batch(OpDescriptor op, int64_t n) {
  switch (op.step) {
    case Step::k_conv2d_fprop:
      op.conv2d_fprop.n *= n;
      break;
    case Step::k_gemm:
      op.gemm.m *= n;
      break;
    case Step::k_max_pool2d_fwd:
    case Step::k_average_pool2d_fwd:
    case Step::k_sum_pool2d_fwd:
      op.max_pool2d_fwd.n *= n;
      break;
    case Step::k_activation_fwd:
      op.activation_fwd.count *= n;
      break;
    case Step::k_softmax_fwd:
      op.softmax_fwd.rows *= n;
      break;
    case Step::k_dropout:
      op.dropout.count *= n;
      break;
    case Step::k_rescale:
      op.rescale.count *= n;
      break;
    default:
      break;
  }
  return op;
}

}  // namespace fastcnn
