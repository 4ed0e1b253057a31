// SPDX-License-Identifier: Apache-2.0
#include "network.h"

#include "conv_window.h"

namespace fastcnn {

py::object required(const char* op, const py::dict& dict, const char* key) {
  if (!dict.contains(key)) fail(Code::kArgument, "%s: '%s' is missing", op, key);
  return dict[key];
}

py::list list_of(const py::handle& value, const char* op, const char* argument) {
  if (!PyTuple_Check(value.ptr()) && !PyList_Check(value.ptr()))
    fail(Code::kDType, "%s: %s is a %s, wanted a list", op, argument, type_name(value).c_str());
  return py::list(py::reinterpret_borrow<py::object>(value));
}

namespace {

std::vector<int64_t> whole_list(const char* op, const char* argument, const py::handle& value) {
  std::vector<int64_t> result;
  for (const py::handle item : list_of(value, op, argument))
    result.push_back(whole_number(op, argument, item));
  return result;
}

// The attributes of one node. Read while the graph is built, with the GIL held.
class DictAttributes final : public Attributes {
 public:
  DictAttributes(std::string label, py::dict node) : label_(std::move(label)), node_(std::move(node)) {}

  bool has(const char* key) const override { return node_.contains(key); }
  int64_t whole(const char* key) const override { return whole_number(op(), key, get(key)); }
  double real(const char* key) const override { return real_number(op(), key, get(key)); }
  bool flag(const char* key) const override { return truth(op(), key, get(key)); }
  std::string text(const char* key) const override { return fastcnn::text(op(), key, get(key)); }
  int choice(const char* key, std::initializer_list<const char*> names) const override {
    return fastcnn::choice(op(), key, get(key), names);
  }
  void pair(const char* key, int64_t out[2]) const override { fastcnn::pair(op(), key, get(key), out); }
  std::vector<int64_t> list(const char* key) const override { return whole_list(op(), key, get(key)); }
  void sizes(const char* key, int rank, int64_t* out) const override {
    fastcnn::sizes(op(), key, get(key), rank, out);
  }
  ConvWindow conv_window(int rank, bool causal) const override {
    const py::object strides = get("strides"), padding = get("padding");
    const py::object dilation = has("dilation_rate") ? get("dilation_rate") : py::int_(1);
    const py::object groups = has("groups") ? get("groups") : py::int_(1);
    const py::object added = has("output_padding") ? get("output_padding") : py::none();
    return fastcnn::conv_window(op(), rank, {strides, padding, dilation, groups, added, causal});
  }

 private:
  const char* op() const { return label_.c_str(); }
  py::object get(const char* key) const { return required(op(), node_, key); }

  const std::string label_;
  const py::dict node_;
};

}  // namespace

std::vector<int64_t> read_outputs(const py::handle& outputs) {
  return outputs.is_none() ? std::vector<int64_t>() : whole_list("model", "outputs", outputs);
}

std::vector<Layer> read_layers(const py::list& nodes) {
  std::vector<Layer> layers;
  std::vector<py::dict> dicts;
  for (const py::handle each : nodes) {
    if (!PyDict_Check(each.ptr()))
      fail(Code::kDType, "model: a node is a %s, wanted a dict", type_name(each).c_str());
    dicts.push_back(py::reinterpret_borrow<py::dict>(each));
    const py::dict& node = dicts.back();
    Layer layer;
    layer.op = operator_named(text("model", "op", required("model", node, "op")));
    layer.name = text("model", "name", required("model", node, "name"));
    if (node.contains("layer")) layer.kind = text("model", "layer", node["layer"]);
    if (node.contains("call")) layer.call = whole_number("model", "call", node["call"]);
    layer.inputs = whole_list("model", "inputs", required("model", node, "inputs"));
    layers.push_back(std::move(layer));
  }
  const std::vector<std::string> labels = layer_labels(layers);
  for (size_t i = 0; i < layers.size(); ++i)
    layers[i].attributes = std::make_shared<DictAttributes>(labels[i], dicts[i]);
  return layers;
}

}  // namespace fastcnn
