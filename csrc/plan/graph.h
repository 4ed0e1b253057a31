// SPDX-License-Identifier: Apache-2.0
// The network: nodes in topological order with inferred shapes, their forward descriptors for one sample, and
// the parameters. Built once per model from what the user wrote; plans only read it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../backend.h"
#include "validate.h"

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

// One node as the user wrote it: an operator reads the fields that belong to it.
struct Layer {
  Op op = Op::k_input;
  std::string name;
  std::vector<int64_t> inputs;  // indices of earlier nodes
  std::vector<int64_t> shape;   // input: one sample
  int64_t filters = 0, units = 0;
  int64_t kernel_size[2] = {1, 1}, pool_size[2] = {1, 1};
  Window window;
  bool use_bias = false, ceil_mode = false;
  double scale = 1, offset = 0, rate = 0;
};

struct Parameter {
  std::string name;  // "conv2d/kernel"
  int node;
  const char* role;  // "kernel" or "bias"
  std::vector<int64_t> shape;
  int64_t fan_in, fan_out;
  int64_t count, offset;  // floats; where it begins in the parameters, 64-byte aligned
};

struct Node {
  Op op;
  std::string name;
  std::string label;  // "layer 2 'conv2d_1' (Conv2D)": opens every message about it
  std::vector<int> inputs, consumers;
  std::vector<int64_t> shape;  // of one sample of the output
  int64_t count;               // floats of it
  OpDescriptor forward;        // for one sample; k_none for the input and for flatten
  double flops;                // of one sample
  int kernel = -1, bias = -1;  // parameters
};

struct Graph {
  std::vector<Node> nodes;  // the first is the input, the last the output
  std::vector<Parameter> parameters;
  int64_t parameter_floats = 0;  // with the gaps of the alignment, which stay zero
  const Node& input() const { return nodes.front(); }
  const Node& output() const { return nodes.back(); }
};

// Opens the messages about a description: "layer 2 'conv2d_1' (Conv2D)". The position counts layers, not
// nodes: an activation written as an argument of a layer is a node of the same name.
std::vector<std::string> layer_labels(const std::vector<Layer>& layers);

Graph build_graph(const std::vector<Layer>& layers);

// The descriptor of one sample for n of them.
OpDescriptor for_batch(OpDescriptor op, int64_t n);

}  // namespace fastcnn
