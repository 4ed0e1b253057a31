// SPDX-License-Identifier: Apache-2.0
#include "network.h"

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

std::vector<int64_t> numbers(const char* op, const char* argument, const py::handle& value) {
  std::vector<int64_t> result;
  for (const py::handle item : list_of(value, op, argument))
    result.push_back(whole_number(op, argument, item));
  return result;
}

// Reads the attributes of one node.
class Attributes {
 public:
  Attributes(const std::string& label, const py::dict& node) : op_(label.c_str()), node_(node) {}

  int64_t whole(const char* key) const { return whole_number(op_, key, get(key)); }
  double real(const char* key) const { return real_number(op_, key, get(key)); }
  bool flag(const char* key) const { return truth(op_, key, get(key)); }
  void two(const char* key, int64_t out[2]) const { pair(op_, key, get(key), out); }
  std::vector<int64_t> list(const char* key) const { return numbers(op_, key, get(key)); }
  Padding pad() const { return padding(op_, get("padding")); }

 private:
  py::object get(const char* key) const { return required(op_, node_, key); }

  const char* op_;
  const py::dict& node_;
};

void read_attributes(const Attributes& from, Layer* layer) {
  switch (layer->op) {
    case Op::k_input:
      layer->shape = from.list("shape");
      return;
    case Op::k_conv2d:
      layer->filters = from.whole("filters");
      from.two("kernel_size", layer->kernel_size);
      from.two("strides", layer->window.strides);
      layer->window.padding = from.pad();
      from.two("dilation_rate", layer->window.dilation_rate);
      layer->window.groups = from.whole("groups");
      layer->use_bias = from.flag("use_bias");
      return;
    case Op::k_dense:
      layer->units = from.whole("units");
      layer->use_bias = from.flag("use_bias");
      return;
    case Op::k_max_pool2d:
    case Op::k_average_pool2d:
    case Op::k_sum_pool2d:
      from.two("pool_size", layer->pool_size);
      from.two("strides", layer->window.strides);
      layer->window.padding = from.pad();
      layer->ceil_mode = from.flag("ceil_mode");
      return;
    case Op::k_dropout:
      layer->rate = from.real("rate");
      return;
    case Op::k_rescaling:
      layer->scale = from.real("scale");
      layer->offset = from.real("offset");
      return;
    case Op::k_relu:
    case Op::k_sigmoid:
    case Op::k_tanh:
    case Op::k_softmax:
    case Op::k_flatten:
      return;
  }
}

}  // namespace

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
    layer.inputs = numbers("model", "inputs", required("model", node, "inputs"));
    layers.push_back(std::move(layer));
  }
  const std::vector<std::string> labels = layer_labels(layers);
  for (size_t i = 0; i < layers.size(); ++i) read_attributes(Attributes(labels[i], dicts[i]), &layers[i]);
  return layers;
}

}  // namespace fastcnn
