// SPDX-License-Identifier: Apache-2.0
// Rules of normalization. Nothing is saved but x: the backward steps take the statistics from it again.
// Batch norm in training updates its moving statistics in place; in evaluation and prediction, and in
// training where the layer is frozen or called so, it uses them.
#include <algorithm>

#include "../operator.h"
#include "../validate_norm.h"

namespace fastcnn {
namespace {

// The sample's shape with the batch before it, of one.
std::vector<int64_t> with_batch(const Inference& f) {
  std::vector<int64_t> shape = {1};
  shape.insert(shape.end(), f.x().shape.begin(), f.x().shape.end());
  return shape;
}

void affine_parameters(Inference& f, const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  if (f.attributes.flag("scale")) f.parameter({"gamma", shape, count, count});
  if (f.attributes.flag("center")) f.parameter({"beta", shape, count, count});
}

Ref input_of(const Builder& b, int i) { return b.value[b.node(i).inputs[0]]; }

// Adds the step that writes dx over dy, dgamma and dbeta, where one of them is wanted.
void gradient_step(Builder& b, int i, const OpDescriptor& op, const std::vector<Ref>& in) {
  const int u = b.node(i).inputs[0];
  Ref dx;
  if (b.needs_gradient[u]) dx = b.over_gradient(i);
  const Ref dgamma = b.begin_parameter_gradient(i, "gamma"), dbeta = b.begin_parameter_gradient(i, "beta");
  b.add({op, in, {dx, dgamma, dbeta}, b.node(i).name});
  b.end_parameter_gradient(i, "gamma", dgamma);
  b.end_parameter_gradient(i, "beta", dbeta);
  if (dx.memory != Memory::kNone) b.contribute(u, dx);
}

// Batch norm.

constexpr int kResidual = 4;  // operand of the forward step

void infer_batch(Inference& f) {
  const std::vector<int64_t> x = with_batch(f);
  f.node.forward.batch_norm_fwd =
      batch_norm_shape(f.label(), x.data(), static_cast<int>(x.size()), f.attributes.real("epsilon"),
                       f.attributes.real("momentum"));
  f.node.flops = 6.0 * static_cast<double>(f.x().count);
  f.node.settings = {f.attributes.has("training") && !f.attributes.flag("training")};
  const int64_t c = x.back();
  affine_parameters(f, {c});
  f.parameter({"moving_mean", {c}, c, c, false});
  f.parameter({"moving_variance", {c}, c, c, false});
}

// In lanes its channels must be those of the lanes, which flattened ones are not.
OpDescriptor batch_step(const Builder& b, int i, Step step) {
  OpDescriptor op = b.op(step);
  op.batch_norm_fwd = b.forward_op(i).batch_norm_fwd;
  if (b.in_lanes() && b.lies_as[b.node(i).inputs[0]].back() != op.batch_norm_fwd.c)
    throw NoRow(Code::kArgument, "batch norm of flattened images in lanes");
  return op;
}

OpDescriptor with_moving(const Builder& b, int i, Step step) {
  OpDescriptor op = b.op(step);
  op.batch_norm_infer = b.forward_op(i).batch_norm_fwd;
  return op;
}

// A frozen layer, or one whose caller wants no training of its statistics.
bool keeps_moving(const Builder& b, int i) { return b.frozen(i) || b.node(i).settings[0]; }

// Of a batch in training.
bool measures_batch(const Builder& b, int i) { return b.mode() == Mode::kTrain && !keeps_moving(b, i); }

bool takes_statistics_of_batch(const Builder& b, int i) {
  if (!measures_batch(b, i)) return false;
  OpDescriptor op = batch_step(b, i, Step::k_batch_norm_fwd);
  op.epilogue.statistics = 1;
  return b.has_row(op);
}

void forward_batch(Builder& b, int i) {
  const Ref x = input_of(b, i), gamma = b.parameter(i, "gamma"), beta = b.parameter(i, "beta");
  const Ref mean = b.parameter(i, "moving_mean"), variance = b.parameter(i, "moving_variance");
  if (!measures_batch(b, i))
    return forward_fused(
        b, i, {with_moving(b, i, Step::k_batch_norm_infer), {x, mean, variance, gamma, beta}, {}, ""});
  const Ref statistics = b.statistics[b.node(i).inputs[0]];
  OpDescriptor op = batch_step(b, i, Step::k_batch_norm_fwd);
  op.epilogue.statistics = statistics.memory != Memory::kNone;
  NewStep step = {op, {x, gamma, beta, statistics}, {{}, mean, variance}, ""};
  step.residual = kResidual;
  forward_fused(b, i, step);
}

// By its moving statistics it is a map of each channel, which goes into the weights before it. A convolution
// that packs its weights multiplies them on the way; elsewhere they are written again, but not where they
// outnumber the values that it saves a pass over.
bool join_batch(Builder& b, int i, int from, NewStep* step) {
  Epilogue& e = step->op.epilogue;
  if (b.mode() == Mode::kTrain || step->kernel < 0 || e.residual || e.activation != Activation::kNone)
    return false;
  OpDescriptor scaled = step->op;
  scaled.epilogue.scale = 1;
  const bool scales = step->scale >= 0 && b.row_of(scaled) == b.row_of(step->op);
  const int operand = scales ? step->scale : step->kernel;
  const BatchNormShape& s = b.node(i).forward.batch_norm_fwd;
  const int64_t floats = scales ? s.c : step->kernel_floats;
  if (!scales && floats > b.n() * b.node(from).count) return false;
  OpDescriptor fold = b.op(Step::k_batch_norm_fold);
  fold.batch_norm_fold = {floats / s.c, s.c, s.epsilon, s.momentum};
  const size_t bias = step->kernel + 1;  // follows the weights in every linear step
  step->in.resize(std::max<size_t>({step->in.size(), bias + 1, static_cast<size_t>(operand) + 1}));
  const Ref w = scales ? b.constant(floats) : b.constant_weights(floats), shift = b.constant(s.c);
  b.add({fold,
         {step->in[operand], b.parameter(i, "moving_mean"), b.parameter(i, "moving_variance"),
          b.parameter(i, "gamma"), b.parameter(i, "beta"), step->in[bias]},
         {w, shift},
         b.node(i).name});
  step->in[operand] = w, step->in[bias] = shift;
  e.bias = 1;
  e.scale = scales || e.scale;
  return true;
}

void gradient_batch(Builder& b, int i) {
  const Ref dy = b.gradient[i], x = input_of(b, i), gamma = b.parameter(i, "gamma");
  if (keeps_moving(b, i))
    return gradient_step(b, i, with_moving(b, i, Step::k_batch_norm_infer_bwd),
                         {dy, x, b.parameter(i, "moving_mean"), b.parameter(i, "moving_variance"), gamma});
  gradient_step(b, i, batch_step(b, i, Step::k_batch_norm_bwd), {dy, x, gamma});
}

// Group and instance norm.

void forward_affine(Builder& b, int i) {
  forward_fused(b, i,
                {b.forward_op(i), {input_of(b, i), b.parameter(i, "gamma"), b.parameter(i, "beta")}, {}, ""});
}

void infer_group(Inference& f) {
  const std::vector<int64_t> x = with_batch(f);
  f.node.forward.group_norm_fwd =
      group_norm_shape(f.label(), x.data(), static_cast<int>(x.size()), f.attributes.whole("groups"),
                       f.attributes.real("epsilon"));
  f.node.flops = 6.0 * static_cast<double>(f.x().count);
  affine_parameters(f, {x.back()});
}

void gradient_group(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_group_norm_bwd);
  op.group_norm_bwd = b.forward_op(i).group_norm_fwd;
  gradient_step(b, i, op, {b.gradient[i], input_of(b, i), b.parameter(i, "gamma")});
}

// Layer, RMS and unit norm.

template <RowNorm kind>
void infer_row(Inference& f) {
  const std::vector<int64_t> x = with_batch(f);
  const int rank = static_cast<int>(x.size());
  const MovedAxes over = moved_to_end(f.label(), f.attributes.list("axis"), rank);
  const int axes = over.count;
  if (axes == rank) fail(Code::kArgument, "%s: axis names the axis of the batch, 0", f.label());
  if (!over.in_place())
    fail(Code::kArgument, "%s: axis leaves out axes after one that it names, wanted the last ones",
         f.label());
  f.node.forward.row_norm_fwd =
      row_norm_shape(f.label(), x.data(), rank, {axes, f.attributes.real("epsilon"), kind});
  f.node.flops = 6.0 * static_cast<double>(f.x().count);
  affine_parameters(f, std::vector<int64_t>(x.end() - axes, x.end()));
}

void gradient_row(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_row_norm_bwd);
  op.row_norm_bwd = b.forward_op(i).row_norm_fwd;
  gradient_step(b, i, op, {b.gradient[i], input_of(b, i), b.parameter(i, "gamma")});
}

}  // namespace

const Rule rule_batch_norm = {"BatchNormalization", 1,          infer_batch, forward_batch,
                              gradient_batch,       join_batch, false,       takes_statistics_of_batch};
const Rule rule_group_norm = {"GroupNormalization", 1, infer_group, forward_affine, gradient_group};
const Rule rule_layer_norm = {"LayerNormalization", 1, infer_row<RowNorm::kLayer>, forward_affine,
                              gradient_row};
const Rule rule_rms_norm = {"RMSNormalization", 1, infer_row<RowNorm::kRms>, forward_affine, gradient_row};
const Rule rule_unit_norm = {"UnitNormalization", 1, infer_row<RowNorm::kUnit>, forward_affine, gradient_row};

}  // namespace fastcnn
