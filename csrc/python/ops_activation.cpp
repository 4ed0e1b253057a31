// SPDX-License-Identifier: Apache-2.0
// Activations and their gradients on arrays of any rank from 1: those that work element by element, by name
// and parameters, PReLU, and softmax and its logarithm over one axis or several.
#include "../plan/validate_activation.h"
#include "eager.h"
#include "function.h"
#include "ops.h"

namespace fastcnn {
namespace {

Activation activation_named(py::handle value) {
  const std::string name = text("activation", "name", value);
  for (int i = 1; i < static_cast<int>(Activation::kCount); ++i)
    if (name == info(static_cast<Activation>(i)).name) return static_cast<Activation>(i);
  fail(Code::kArgument, "activation: '%.40s' is no elementwise activation", name.c_str());
}

// For messages: both forms of GELU are one operator to the user.
const ActivationInfo& shown(Activation activation) {
  return info(activation == Activation::k_gelu_tanh ? Activation::k_gelu : activation);
}

FlatShape flat_shape(const char* op, Activation activation, const ArrayView& v, py::handle given) {
  if (!PyTuple_Check(given.ptr()))
    fail(Code::kDType, "%s: parameters is a %s, wanted a tuple", op, type_name(given).c_str());
  const auto parameters = py::reinterpret_borrow<py::tuple>(given);
  double values[3] = {};
  if (static_cast<int>(parameters.size()) != parameters_of(activation))
    fail(Code::kArgument, "%s: %zu parameters came, wanted %d", op, parameters.size(),
         parameters_of(activation));
  for (size_t i = 0; i < parameters.size(); ++i)
    values[i] = real_number(op, parameter_name(activation, static_cast<int>(i)), parameters[i]);
  return activation_shape(op, activation, element_count(op, "x", v.shape, v.rank), values);
}

RowsShape rows_shape(const char* op, const ArrayView& v, int axes) {
  int64_t cols = 1;
  for (int i = v.rank - axes; i < v.rank; ++i) cols *= v.shape[i];
  return {element_count(op, "x", v.shape, v.rank) / cols, cols};
}

// dy and what the forward pass saved, which must agree.
struct Saved {
  ArrayView dy, saved;
  Saved(const char* op, const char* argument, py::handle gradient, py::handle value)
      : dy(any_rank_view(op, "dy", gradient)), saved(stored_view(op, argument, value, dy.rank)) {
    if (!std::equal(dy.shape, dy.shape + dy.rank, saved.shape))
      fail(Code::kShape, "%s: dy has shape %s and %s %s, wanted equal shapes", op,
           ShapeText(dy.shape, dy.rank).text, argument, ShapeText(saved.shape, saved.rank).text);
  }
};

Array activation(py::handle name, py::handle x, py::handle parameters, py::handle out) {
  const Activation kind = activation_named(name);
  const char* op = shown(kind).name;
  const ArrayView xv = any_rank_view(op, "x", x);
  OpDescriptor step = make_op(Step::k_activation_fwd);
  step.activation_fwd = flat_shape(op, kind, xv, parameters);
  Array y = output(op, out, shape_of(xv), {&xv}), keep;
  run(xv, step, {{dense(xv, &keep)}, {y.mutable_data()}});
  return y;
}

Array activation_bwd(py::handle name, py::handle dy, py::handle saved, py::handle parameters,
                     py::handle out) {
  const Activation kind = activation_named(name);
  const char* op = shown(kind).name_bwd;
  const Saved in(op, info(kind).saves == Saves::kX ? "x" : "y", dy, saved);
  OpDescriptor step = make_op(Step::k_activation_bwd);
  step.activation_bwd = flat_shape(op, kind, in.dy, parameters);
  Array dx = output(op, out, shape_of(in.dy), {&in.dy, &in.saved}), keep_dy, keep_saved;
  run(in.dy, step, {{dense(in.dy, &keep_dy), dense(in.saved, &keep_saved)}, {dx.mutable_data()}});
  return dx;
}

template <Step step_of>
Array softmax(py::handle x, py::handle axis, py::handle out) {
  const char* op = step_of == Step::k_softmax_fwd ? "softmax" : "log_softmax";
  const ArrayView xv = any_rank_view(op, "x", x);
  const MovedAxes axes = axes_argument(op, axis, xv.rank);
  const ArrayView rows = moved_view(xv, axes);
  OpDescriptor step = make_op(step_of);
  step.softmax_fwd = rows_shape(op, rows, axes.count);
  MovedOutput y(op, out, shape_of(rows), axes, {&xv});
  Array keep;
  run(xv, step, {{dense(rows, &keep)}, {y.data()}});
  return y.finish();
}

template <Step step_of>
Array softmax_bwd(py::handle dy, py::handle y, py::handle axis, py::handle out) {
  const char* op = step_of == Step::k_softmax_bwd ? "softmax_bwd" : "log_softmax_bwd";
  const Saved in(op, "y", dy, y);
  const MovedAxes axes = axes_argument(op, axis, in.dy.rank);
  const ArrayView rows = moved_view(in.dy, axes), saved = moved_view(in.saved, axes);
  OpDescriptor step = make_op(step_of);
  step.softmax_bwd = rows_shape(op, rows, axes.count);
  MovedOutput dx(op, out, shape_of(rows), axes, {&in.dy, &in.saved});
  Array keep_dy, keep_saved;
  run(rows, step, {{dense(rows, &keep_dy), dense(saved, &keep_saved)}, {dx.data()}});
  return dx.finish();
}

PreluShape checked_prelu(const char* op, const ArrayView& x, const int64_t* alpha, int alpha_rank) {
  if (x.rank < 2) fail(Code::kShape, "%s: x has rank %d, wanted at least 2, the first the batch", op, x.rank);
  if (alpha_rank != x.rank - 1)
    fail(Code::kShape, "%s: alpha has rank %d, wanted %d, that of a sample", op, alpha_rank, x.rank - 1);
  element_count(op, "x", x.shape, x.rank);
  return prelu_shape(op, x.shape, x.rank, alpha);
}

Array prelu(py::handle x, py::handle alpha, py::handle out) {
  const char* op = "prelu";
  const ArrayView xv = any_rank_view(op, "x", x), av = float_view(op, "alpha", alpha, kAnyRank);
  OpDescriptor step = make_op(Step::k_prelu_fwd);
  step.prelu_fwd = checked_prelu(op, xv, av.shape, av.rank);
  Array y = output(op, out, shape_of(xv), {&xv, &av}), keep_x, keep_a;
  run(xv, step, {{dense(xv, &keep_x), dense(av, &keep_a)}, {y.mutable_data()}});
  return y;
}

Array prelu_bwd(py::handle dy, py::handle x, py::handle alpha, py::handle out) {
  const char* op = "prelu_bwd";
  const Saved in(op, "x", dy, x);
  const ArrayView av = float_view(op, "alpha", alpha, kAnyRank);
  OpDescriptor step = make_op(Step::k_prelu_bwd);
  step.prelu_bwd = checked_prelu(op, in.saved, av.shape, av.rank);
  Array dx = output(op, out, shape_of(in.dy), {&in.dy, &in.saved, &av}), keep_dy, keep_x, keep_a;
  run(in.dy, step,
      {{dense(in.dy, &keep_dy), dense(in.saved, &keep_x), dense(av, &keep_a)}, {dx.mutable_data()}});
  return dx;
}

Array prelu_alpha_bwd(py::handle dy, py::handle x, py::handle alpha_shape, py::handle out) {
  const char* op = "prelu_alpha_bwd";
  const Saved in(op, "x", dy, x);
  std::vector<int64_t> shape(static_cast<size_t>(in.saved.rank - 1));
  whole_numbers(op, "alpha_shape", alpha_shape, in.saved.rank - 1, shape.data());
  OpDescriptor step = make_op(Step::k_prelu_alpha_bwd);
  step.prelu_alpha_bwd = checked_prelu(op, in.saved, shape.data(), in.saved.rank - 1);
  Array dalpha = output(op, out, shape, {&in.dy, &in.saved}, Like::kFloat32), keep_dy, keep_x;
  run(in.dy, step, {{dense(in.dy, &keep_dy), dense(in.saved, &keep_x)}, {dalpha.mutable_data()}});
  return dalpha;
}

}  // namespace

void bind_activation_ops(py::module_& m) {
  def(m, "activation", &activation);
  def(m, "activation_bwd", &activation_bwd);
  def(m, "prelu", &prelu);
  def(m, "prelu_bwd", &prelu_bwd);
  def(m, "prelu_alpha_bwd", &prelu_alpha_bwd);
  def(m, "softmax", &softmax<Step::k_softmax_fwd>);
  def(m, "log_softmax", &softmax<Step::k_log_softmax_fwd>);
  def(m, "softmax_bwd", &softmax_bwd<Step::k_softmax_bwd>);
  def(m, "log_softmax_bwd", &softmax_bwd<Step::k_log_softmax_bwd>);
}

}  // namespace fastcnn
