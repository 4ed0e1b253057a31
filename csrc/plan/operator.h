// SPDX-License-Identifier: Apache-2.0
// What the plan knows of an operator: its rule. plan/operators/<family>.cpp defines rule_<operator> for each
// row of FASTCNN_OPERATORS; an operator without one does not link. Everything that differs between operators
// stands there; graph.cpp, forward.cpp and gradients.cpp know none of them.
#pragma once
#include "builder.h"

namespace fastcnn {

// One node while its shape is inferred. infer() reads the attributes, proves them against the inputs, and
// fills node.shape, node.forward (for one sample), node.flops (a multiplication and an addition are two) and
// node.settings; node.shape is that of the first input when it begins.
class Inference {
 public:
  virtual ~Inference() = default;

  Node& node;
  const Attributes& attributes;
  std::vector<const Node*> inputs;

  const Node& x() const { return *inputs[0]; }
  const char* label() const { return node.label.c_str(); }
  // A whole number from 1 to 2^31 - 1.
  int64_t positive(const char* argument, int64_t value) const;
  int64_t positive(const char* key) const { return positive(key, attributes.whole(key)); }
  // Refuses an input without so many spatial axes and channels.
  void need_spatial(int axes) const;
  void need_image() const { need_spatial(2); }

  struct NewParameter {
    const char* role;
    std::vector<int64_t> shape;
    int64_t fan_in, fan_out;
    bool trainable = true;
  };
  // Adds a parameter of the layer, or finds that of its first call.
  virtual void parameter(const NewParameter& p) = 0;
  // A number of its own for each operator that draws random numbers: part of the counter.
  virtual uint32_t next_draw() = 0;

 protected:
  Inference(Node& n, const Attributes& a) : node(n), attributes(a) {}
};

constexpr int kAnyNumber = -1;  // of inputs: at least one

struct Rule {
  const char* layer;  // its class, for messages about a node that names none
  int inputs;         // how many, or kAnyNumber
  void (*infer)(Inference&);
  // Adds the steps that write b.value[node], or makes it another value's name.
  void (*forward)(Builder& b, int node);
  // Given b.gradient[node], adds the steps that write the gradients of the node's parameters and contributes
  // to those of its inputs. Called where the node needs a gradient and has one.
  void (*gradient)(Builder& b, int node);
  // Makes itself part of the step that writes its input `from`, which nothing else reads; false where it
  // cannot. Null: never.
  bool (*join)(Builder& b, int node, int from, NewStep* step) = nullptr;
  // Its steps read and write channels-last in either layout: forward() takes rows_of() its input.
  bool in_rows = false;
  // Whether it reads the statistics of its input's channels where there are some. Null: never.
  bool (*takes_statistics)(const Builder& b, int node) = nullptr;
};

#define FASTCNN_OPERATOR(name, forward, saves) extern const Rule rule_##name;
FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR

const Rule& rule(Op op);

// Forward rules that several operators share.

// One step from the inputs to a tensor of its own.
void forward_step(Builder& b, int node);
// Element by element: over its input where nothing else reads that.
void forward_flat(Builder& b, int node);
void forward_flat(Builder& b, int node, const OpDescriptor& op);
// Another name for its input.
void forward_rename(Builder& b, int node);
// A step with an epilogue: adds the bias operand if the node has one, then lets the nodes that alone follow
// join, one after the other, while the device's row for the step stays the same. Outputs besides the first
// are the step's own; so is the first where it is given.
void forward_fused(Builder& b, int node, NewStep step);

// The step of an augmentation for one sample, in training or not, and that of its gradient, which reads dy
// and with `reads_x` x; none where it leaves everything as it is.
OpDescriptor augmentation(const Node& node, bool training);
OpDescriptor augmentation_bwd(const Node& node, bool* reads_x);
// The nodes on the way to this one that mix samples in training, in their order; saved[] of each holds index,
// weight and box. What the samples of an output are compared with is mixed as they are.
std::vector<int> mixings_before(const Graph& graph, int node);

// Gradient rules that several operators share.

// A gradient step of convolution `conv`, whose values go into max pool `pool` alone.
OpDescriptor pooled_step(const Builder& b, Step step, int conv, int pool);

void gradient_rename(Builder& b, int node);
// dx over dy where nothing else reads that. `in` follows dy.
void gradient_flat(Builder& b, int node, const OpDescriptor& op, const std::vector<Ref>& in);
// db[k] = sum of dy over all that shares a bias.
void bias_gradient(Builder& b, int node);
// dw by this step, and db: in the same step where the batch lies in lanes or the gradient is pooled.
void weight_gradient(Builder& b, int node, const char* role, NewStep step);

}  // namespace fastcnn
