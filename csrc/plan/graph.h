// SPDX-License-Identifier: Apache-2.0
// The network: nodes in topological order with inferred shapes, their forward descriptors for one sample, and
// the parameters. Built once per model from what the user wrote; plans only read it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../backend.h"
#include "attributes.h"

namespace fastcnn {

enum class Op : int32_t {
#define FASTCNN_OPERATOR(name, forward, saves) k_##name,
  FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR
      k_input
};

struct OperatorInfo {
  const char* name;
  Step forward;
  Saves saves;
};

const OperatorInfo& info(Op op);
// The operator of this name; throws ArgumentError that lists them.
Op operator_named(const std::string& name);

// One node as the user wrote it. Nodes of one name that follow each other are one layer (a convolution and
// its activation); a layer that is called again has the same name and the next number of its call, and shares
// its parameters.
struct Layer {
  Op op = Op::k_input;
  std::string name;
  std::string kind;  // class of the layer for messages; empty: the operator's own
  int64_t call = 0;
  std::vector<int64_t> inputs;  // indices of earlier nodes
  std::shared_ptr<const Attributes> attributes;
};

struct Parameter {
  std::string name;  // "conv2d/kernel"
  int node;          // that uses it first
  std::string role;  // "kernel", "bias"
  std::vector<int64_t> shape;
  int64_t fan_in, fan_out;
  bool trainable;         // false: moving statistics
  int64_t count, offset;  // floats; where it begins in the parameters, 64-byte aligned
};

struct Node {
  Op op;
  std::string name;
  std::string label;  // "layer 2 'conv2d_1' (Conv2D)": opens every message about it
  std::vector<int> inputs, consumers;
  bool output = false;            // of the model
  std::vector<int64_t> shape;     // of one sample of the output
  int64_t count = 0;              // floats of it
  OpDescriptor forward;           // for one sample; k_none for the input and for what only renames
  std::vector<int64_t> settings;  // what the operator's rule keeps besides
  double flops = 0;               // of one sample
  std::vector<int> parameters;    // indices, in the order of the layer's weights
};

struct Graph {
  std::vector<Node> nodes;
  std::vector<int> inputs, outputs;  // nodes
  std::vector<Parameter> parameters;
  int64_t parameter_floats = 0;  // trainable ones first; with the gaps of the alignment, which stay zero
  int64_t trainable_floats = 0;

  const Node& input(size_t i) const { return nodes[inputs[i]]; }
  const Node& output(size_t i) const { return nodes[outputs[i]]; }
  // The index of the node's parameter of this role, or -1.
  int parameter(int node, const char* role) const;
};

constexpr int kMaxPorts = 16;  // inputs, and outputs

// Opens the messages about a description: "layer 2 'conv2d_1' (Conv2D)". The position counts layers, not
// nodes.
std::vector<std::string> layer_labels(const std::vector<Layer>& layers);

// `outputs` are nodes; with none given the last one.
Graph build_graph(const std::vector<Layer>& layers, const std::vector<int64_t>& outputs);

// The descriptor of one sample for n of them: the first field of every shape grows with the batch.
OpDescriptor for_batch(OpDescriptor op, int64_t n);

}  // namespace fastcnn
