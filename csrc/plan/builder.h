// SPDX-License-Identifier: Apache-2.0
// A step list under construction: tensors with their lifetimes, the value and the gradient of each node, and
// the steps in order. forward.cpp and gradients.cpp add steps; finish() gives every tensor its place.
#pragma once
#include <vector>

#include "graph.h"
#include "memory.h"
#include "steps.h"

namespace fastcnn {

// What a training or evaluation measures and how it updates; fixed by compile().
struct Recipe {
  Math math = Math::kDefault;
  Loss loss = Loss::kSparseCrossentropy;
  bool from_logits = false;
  Accuracy accuracy = Accuracy::kNone;
  OptimizerShape optimizer{};
};

struct Request {
  const Graph& graph;
  const Backend& backend;
  const Recipe& recipe;
  Mode mode;
  int64_t n;
};

// One step to add: its descriptor and operands, in the order of FASTCNN_STEPS.
struct NewStep {
  OpDescriptor op;
  std::vector<Ref> in, out;
  std::string name;
};

class Builder {
 public:
  explicit Builder(const Request& request);

  const Graph& graph() const { return request_.graph; }
  const Node& node(int i) const { return request_.graph.nodes[i]; }
  const Recipe& recipe() const { return request_.recipe; }
  Mode mode() const { return request_.mode; }
  int64_t n() const { return request_.n; }

  Ref tensor(int64_t floats) { return tensor_of_bytes(floats, sizeof(float)); }
  Ref tensor_of_bytes(int64_t count, size_t size);
  // A tensor shaped like the node's output.
  Ref tensor_like(int node);
  Ref parameter(int index) const { return in_state(Memory::kParameters, index); }
  Ref gradient_of_parameter(int index) const { return in_state(Memory::kGradients, index); }

  OpDescriptor op(Step step) const;         // empty
  OpDescriptor forward_op(int node) const;  // for n samples

  // False if no row supports the descriptor; nothing is added then.
  bool try_add(const NewStep& step);
  // Throws if no row supports it.
  void add(const NewStep& step);
  void add_feed(Feed feed, const NewStep& step);

  // Adds the step that writes the gradient of the output of node u. If a ReLU made those values, its mask is
  // applied in the same step where a row can: operand `mask` of the step, or none when the step reads the
  // values anyway.
  static constexpr int kNoOperand = -1;
  void add_input_gradient(int u, NewStep step, int mask);

  // The predictions go to the caller's array instead of the arena.
  void write_output(int node);
  StepList finish();

  std::vector<Ref> value, gradient;  // of each node; kNone before there is one
  std::vector<bool> done;            // forward: already part of another step
  std::vector<bool> masked;          // gradient of a ReLU's output: the mask has been applied
  std::vector<bool> needs_gradient;  // a parameter lies before it
  Ref result;

  // The node that made the values of u: past nodes that only rename.
  int origin(int u) const;
  // Whether a step that reads u may write its result over it.
  bool reusable(int u) const;
  // The values are read again by the backward pass.
  void freeze(Ref tensor);

 private:
  Ref in_state(Memory memory, int parameter) const;
  void touch(Ref ref);

  const Request request_;
  std::vector<Lifetime> tensors_;
  std::vector<bool> frozen_;
  StepList list_;
};

// forward.cpp: gather, forward and loss. A Rescaling right after the input is part of the gather; its node,
// or 0.
int fused_rescaling(const Graph& graph);
void build_forward(Builder& b);
// gradients.cpp: backward steps by the operator table.
void build_gradients(Builder& b);

// The whole list for one mode and number of samples.
StepList build_steps(const Request& request);

}  // namespace fastcnn
