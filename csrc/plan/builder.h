// SPDX-License-Identifier: Apache-2.0
// A step list under construction: tensors with their lifetimes, the value and the gradient of each node, and
// the steps in order. The rules of operators add steps; finish() gives every tensor its place.
#pragma once
#include <functional>
#include <vector>

#include "graph.h"
#include "memory.h"
#include "optimizer.h"
#include "steps.h"
#include "validate_loss.h"

namespace fastcnn {

// What one output of the model is measured by; fixed by compile().
struct Objective {
  bool present = true;    // false: an output without a loss
  bool external = false;  // the caller's own function: see LossFunction
  LossOptions loss;
  Accuracy accuracy = Accuracy::kNone;
  bool accuracy_by_shape = false;  // until compile() has settled it
  float weight = 1;                // of this loss in the sum over the outputs
};

// What holds for one parameter.
struct ParameterRule {
  double l1 = 0, l2 = 0;  // l1 sum |w| + l2 sum w^2 is added to the loss
  bool constrained = false;
  ConstraintShape constraint{};
  double rate = 1;  // times the learning rate
};

// What a training or evaluation measures and how it updates; fixed by compile().
struct Recipe {
  Math math = Math::kDefault;
  Precision precision = Precision::kFloat32;
  std::vector<Objective> objectives;  // one for each output
  OptimizerRecipe optimizer;
  std::vector<bool> frozen;          // parameters that are not to change
  std::vector<ParameterRule> rules;  // of each parameter; empty: none has one
};

struct Request {
  const Graph& graph;
  const Backend& backend;
  const Recipe& recipe;
  Mode mode;
  Batch batch;
  Layout layout = Layout::kChannelsLast;
};

// One step to add: its descriptor and operands, in the order of FASTCNN_STEPS.
struct NewStep {
  OpDescriptor op;
  std::vector<Ref> in, out;
  std::string name;
  // What those who join it need to know: the operand of the weights [..., channels of y] that it is linear
  // in, the floats of these, and the operands of a residual and of a scale of y's channels; -1 where there is
  // none. And which output, besides y, are the statistics of its channels.
  int kernel = -1;
  int64_t kernel_floats = 0;
  int residual = -1, scale = -1, statistics = -1;
};

class Builder {
 public:
  explicit Builder(const Request& request);

  const Graph& graph() const { return request_.graph; }
  const Node& node(int i) const { return request_.graph.nodes[i]; }
  const Recipe& recipe() const { return request_.recipe; }
  Mode mode() const { return request_.mode; }
  // Of every step: errors of a forward pass alone do not add up over an epoch, so it takes the fast kernels.
  Math math() const;
  int64_t n() const { return request_.batch.n; }
  bool in_lanes() const { return request_.layout == Layout::kBatchInLanes; }
  // Samples of a value: n, and in lanes those that fill up the last block.
  int64_t batch() const;
  int64_t weights(size_t output) const { return request_.batch.weights[output]; }
  bool observed() const { return request_.batch.observed; }

  Ref tensor(int64_t floats) { return tensor_of_bytes(floats, sizeof(float)); }
  // Of activations or their gradients, as these are stored.
  Ref numbers(int64_t count);
  Ref tensor_of_bytes(int64_t count, size_t size);
  // That is made of the parameters alone and stays while these do; any tensor on a GPU, and in training,
  // where they change.
  Ref constant(int64_t floats);
  Ref constant_weights(int64_t count);  // the same, as weights are read
  // A tensor shaped like the node's output, and one of n samples channels-last.
  Ref tensor_like(int node) { return tensor_of(node, batch()); }
  Ref rows_like(int node) { return tensor_of(node, n()); }

  OpDescriptor op(Step step) const;         // empty
  OpDescriptor forward_op(int node) const;  // for a batch

  // The row that the device takes for a descriptor, where all lies as activations do if one supports that;
  // null if none does.
  const void* row_of(const OpDescriptor& op) const;
  // Whether there is one that needs no conversions.
  bool has_row(const OpDescriptor& op) const;
  // False if no row supports the descriptor; nothing is added then.
  bool try_add(const NewStep& step);
  // Throws if no row supports it.
  void add(const NewStep& step);
  void add_feed(Feed feed, int port, const NewStep& step);
  // The batch of a node's values, or of their gradient, in the other layout: rows are n samples alone.
  Ref to_lanes(int node, Ref rows);
  Ref from_lanes(int node, Ref lanes);
  // A node's value channels-last, whatever the layout, and a value that was made so. It is put into lanes by
  // settle() where something reads it there.
  Ref rows_of(int node);
  void set_rows(int node, Ref rows);
  void settle(int node);
  // A node's values as float32, for the caller.
  void copy_rows(int node, Ref rows, Ref place);
  // The step of an external loss: predictions in, gradient and result out.
  void add_external_loss(int port, Ref predictions, Ref gradient, Ref result);

  // Parameters of a node by their role.
  bool has(int node, const char* role) const { return graph().parameter(node, role) >= 0; }
  Ref parameter(int node, const char* role) const;
  // It is there, is trainable, and is not frozen.
  bool trains(int node, const char* role) const;
  bool trains(int parameter) const;
  // The node has parameters and none of them may change: a frozen layer.
  bool frozen(int node) const;

  // Adds the step whose only output is the gradient of a parameter; adds nothing where trains() is false. A
  // layer that is called several times sums up.
  void add_parameter_gradient(int node, const char* role, NewStep step);
  // The same for a step with several outputs: where it shall write, kNone if trains() is false; then, after
  // the step was added, its completion.
  Ref begin_parameter_gradient(int node, const char* role);
  void end_parameter_gradient(int node, const char* role, Ref written);

  // Adds the step whose only output is a contribution to the gradient of node u, and which adds those before
  // it where its row can, as a residual. If a ReLU made the values of u, or of a pool whose gradient stays
  // pooled, its mask is applied in the same step where a row can: as operand `mask` of the step, or without
  // one when the step reads the values anyway.
  static constexpr int kNoMask = -1, kMaskIsRead = -2;
  void add_input_gradient(int u, NewStep step, int mask = kNoMask);
  // `ref` holds a contribution to the gradient of node u, whole: the first one is the gradient, others are
  // added.
  void contribute(int u, Ref ref);
  // The gradient of node i is a contribution to that of u, unchanged and without a step.
  void pass_gradient(int i, int u);
  // Where dx may be written when dy, the gradient of node i, has been read: over it, unless others read it
  // too.
  Ref over_gradient(int i);

  // The predictions go to the caller's arrays instead of the arena.
  void write_outputs();
  Ref in_state(Memory memory, int parameter) const;
  void set_trained(const std::vector<FloatRange>& ranges) { list_.trained = ranges; }
  // Of the gradients: what follows reads those of the parameters, in whatever ranges.
  void end_gradients() { gradients_end_ = list_.steps.size(); }
  StepList finish();

  std::vector<Ref> value, gradient;           // of each node; kNone before there is one
  std::vector<Ref> rows;                      // in lanes: a value that is also there channels-last
  std::vector<std::vector<Ref>> saved;        // what a forward rule keeps for its gradient rule, by node
  std::vector<int> pooled;                    // of a convolution whose gradient is that of its pooled values,
                                              // at the places that the pool has saved: the pool; or -1
  std::vector<Ref> statistics;                // of a node's values, where the step that made them wrote some
  std::vector<bool> done;                     // forward: already part of another step
  std::vector<bool> masked;                   // gradient of a ReLU's output: the mask has been applied
  int in_turn = -1;                           // backward: the node whose rule adds steps
  std::vector<bool> needs_gradient;           // a parameter that trains lies at or before it
  std::vector<bool> parameter_written;        // gradient of each parameter
  std::vector<Ref> results;                   // of each objective; kNone for an output without a loss
  std::vector<Ref> penalties;                 // of each regularized parameter
  std::vector<std::vector<int64_t>> lies_as;  // shape of each node's value before it was flattened
  std::vector<std::function<void()>> put_off;  // what adds the weight gradients, after all others

  // The node that made the values of u: past nodes that only rename.
  int origin(int u) const;
  // Whether a step that reads u may write its result over it.
  bool reusable(int u) const;
  // The values are read again by the backward pass.
  void keep(Ref tensor);

 private:
  struct Summand {
    std::string name;
    int64_t count;
  };

  void find_chains();
  Ref tensor_of(int node, int64_t samples);
  void push(const NewStep& step, const Prepared& prepared);
  // storage.cpp
  static constexpr size_t kNarrowBytes = 2;
  Storage storage() const;  // of activations and their gradients
  bool is_narrow(Ref ref) const;
  int64_t count_of(Ref tensor) const;
  bool find_row(const NewStep& step, Prepared* prepared) const;
  Ref converted_like(Ref tensor, bool narrow);
  void convert(Ref from, Ref to, const std::string& name);
  Ref as_stored(Ref ref, bool narrow, const std::string& name);
  Ref constants(size_t bytes);
  void touch(Ref ref);
  void add_sum(Ref a, Ref b, Ref y, const Summand& of);
  bool is_relu(int i) const;
  std::vector<Ref> batches() const;
  bool is_last_reader(int u) const;
  bool mask_can_be_fused(int u, int from) const;

  const Request request_;
  std::vector<Lifetime> tensors_;
  std::vector<bool> kept_;    // by tensor: read again by the backward pass
  std::vector<bool> shared_;  // by tensor: the gradient of several nodes
  std::vector<bool> narrow_;  // by tensor: numbers of bfloat16
  Ref narrow_parameters_;     // their tensor, if there is one
  StepList list_;
  size_t gradients_end_ = 0;
};

// A layout that not all steps of a network have rows for: it is built in the other one.
struct NoRow : Error {
  using Error::Error;
};

bool same(Ref a, Ref b);

// What activations and their gradients are stored as.
Storage storage_of_plan(const Backend& backend, Precision precision);

// A node whose output is another name for its first input.
bool renames(Op op);

// A dense array of this many samples; a session replaces it by its own array's dtype and strides.
GatherShape dense_gather(int64_t n, int64_t sample, DType dtype);

// forward.cpp: gather, forward and losses. A Rescaling right after an input is part of its gather; its node,
// or 0.
int fused_rescaling(const Graph& graph, int input);
void build_forward(Builder& b);
// gradients.cpp: backward steps by the rules of operators.
void build_gradients(Builder& b);
// update.cpp: penalties, and the optimizer.
void build_penalties(Builder& b);
void build_update(Builder& b);

// layout.cpp: whether a training step is worth building with the batch in lanes.
bool suits_lanes(const Request& request);

// The whole list for one mode and number of samples.
StepList build_steps(const Request& request);

}  // namespace fastcnn
