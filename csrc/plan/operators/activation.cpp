// SPDX-License-Identifier: Apache-2.0
// Rules of activations.
#include "../operator.h"
#include "../validate_activation.h"

namespace fastcnn {
namespace {

template <Activation activation>
void infer(Inference& f) {
  double parameters[3] = {};
  for (int i = 0; i < parameters_of(activation); ++i)
    parameters[i] = f.attributes.real(parameter_name(activation, i));
  f.node.forward.activation_fwd = activation_shape(f.label(), activation, f.x().count, parameters);
  f.node.flops = (activation == Activation::kRelu ? 1 : 4) * static_cast<double>(f.x().count);
}

template <Saves saves>
void gradient(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_activation_bwd);
  op.activation_bwd = b.forward_op(i).activation_fwd;
  gradient_flat(b, i, op, {b.value[saves == Saves::kX ? b.node(i).inputs[0] : i]});
}

// One without parameters whose input may be lost: its gradient does not read it.
template <Activation activation, Saves saves>
bool join(Builder& b, int, int, NewStep* step) {
  if (parameters_of(activation) || (b.mode() == Mode::kTrain && saves == Saves::kX)) return false;
  if (step->op.epilogue.activation != Activation::kNone) return false;
  step->op.epilogue.activation = activation;
  return true;
}

void gradient_relu(Builder& b, int i) {
  if (b.masked[i])
    b.pass_gradient(i, b.node(i).inputs[0]);
  else
    gradient<Saves::kY>(b, i);
}

// softmax and its logarithm: their shapes are the same struct. Over the last axis, or so many of the last.
void infer_softmax(Inference& f) {
  const std::vector<int64_t>& x = f.x().shape;
  const int64_t axes = f.attributes.has("axes") ? f.positive("axes") : 1;
  if (axes > static_cast<int64_t>(x.size()))
    fail(Code::kArgument, "%s: axes is %lld, wanted at most %zu", f.label(), static_cast<long long>(axes),
         x.size());
  int64_t cols = 1;
  for (auto size = x.end() - axes; size != x.end(); ++size) cols *= *size;
  f.node.forward.softmax_fwd = {f.x().count / cols, cols};
  f.node.flops = 4.0 * static_cast<double>(f.x().count);  // subtract, exponential, sum, divide
}

// In lanes where it makes predictions; a loss that trains takes the logits.
void forward_softmax(Builder& b, int i) {
  if (!b.in_lanes()) return forward_step(b, i);
  OpDescriptor op = for_batch(b.node(i).forward, b.n());
  op.math = b.math();
  const Ref y = b.rows_like(i);
  b.add({op, {b.rows_of(b.node(i).inputs[0])}, {y}, b.node(i).name});
  b.set_rows(i, y);
}

template <Step step>
void gradient_softmax(Builder& b, int i) {
  OpDescriptor op = b.op(step);
  op.softmax_bwd = b.forward_op(i).softmax_fwd;
  b.add_input_gradient(b.node(i).inputs[0], {op, {b.gradient[i], b.value[i]}, {}, b.node(i).name});
}

constexpr const char* layer_of(Activation activation) {
  switch (activation) {
    case Activation::k_relu:
    case Activation::k_general_relu:
      return "ReLU";
    case Activation::k_leaky_relu:
      return "LeakyReLU";
    case Activation::k_elu:
      return "ELU";
    default:
      return "Activation";
  }
}

template <Activation activation, Saves saves>
constexpr Rule rule_of() {
  return {layer_of(activation),
          1,
          infer<activation>,
          forward_flat,
          activation == Activation::kRelu ? gradient_relu : gradient<saves>,
          join<activation, saves>};
}

}  // namespace

#define FASTCNN_ACTIVATION(name, forward, saves) \
  const Rule rule_##name = rule_of<Activation::k_##name, Saves::saves>();
FASTCNN_ACTIVATIONS(FASTCNN_ACTIVATION)
#undef FASTCNN_ACTIVATION
const Rule rule_softmax = {"Softmax", 1, infer_softmax, forward_softmax,
                           gradient_softmax<Step::k_softmax_bwd>};
const Rule rule_log_softmax = {"Activation", 1, infer_softmax, forward_softmax,
                               gradient_softmax<Step::k_log_softmax_bwd>};

}  // namespace fastcnn
