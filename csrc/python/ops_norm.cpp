// SPDX-License-Identifier: Apache-2.0
// Normalization and its gradients on arrays. Those with several results return a tuple; their `out` is None
// or a tuple of as many, each an array or None.
#include <algorithm>

#include "../plan/validate_norm.h"
#include "eager.h"
#include "function.h"
#include "gpu.h"
#include "ops.h"

namespace fastcnn {
namespace {

using Shape = std::vector<int64_t>;

// An argument that may be None, of exactly this shape. get() copies a strided one, so it is not called before
// everything is validated.
class Optional {
 public:
  Optional(const char* op, const char* argument, py::handle value, const Shape& shape)
      : given_(!value.is_none()) {
    if (!given_) return;
    const int rank = static_cast<int>(shape.size());
    view_ = float_view(op, argument, value, rank);
    if (!std::equal(shape.begin(), shape.end(), view_.shape))
      fail(Code::kShape, "%s: %s has shape %s, wanted %s from the shape of x", op, argument,
           ShapeText(view_.shape, rank).text, ShapeText(shape.data(), rank).text);
  }
  bool given() const { return given_; }
  const ArrayView* view() const { return given_ ? &view_ : nullptr; }
  const void* get() { return given_ ? dense(view_, &keep_) : nullptr; }

 private:
  bool given_;
  ArrayView view_{};
  Array keep_;
};

// The results of one call: `out` of each, apart from all inputs and from each other.
class Outputs {
 public:
  Outputs(const char* op, py::handle out, size_t count, std::vector<const ArrayView*> inputs)
      : op_(op), inputs_(std::move(inputs)) {
    if (out.is_none()) return;
    if (!PyTuple_Check(out.ptr()) && !PyList_Check(out.ptr()))
      fail(Code::kDType, "%s: out is a %s, wanted None or a tuple of %zu", op, type_name(out).c_str(), count);
    const auto items = py::reinterpret_borrow<py::sequence>(out);
    if (items.size() != count)
      fail(Code::kArgument, "%s: out has %zu entries, wanted %zu", op, items.size(), count);
    for (size_t i = 0; i < count; ++i) given_.push_back(items[i]);
  }

  // The next one; all are made before any is written.
  void* add(Sizes shape, Like stored = Like::kFirstInput) {
    const size_t i = arrays_.size();
    py::object out = given_.empty() ? py::none() : given_[i];
    Array array = output(op_, out, shape, inputs_, stored);
    if (!out.is_none()) {
      const ArrayView mine = any_view(op_, "another of out", array.object());
      for (const ArrayView& other : views_) expect_apart(op_, mine, {&other});
      views_.push_back(mine);
    }
    arrays_.push_back(array);
    return array.mutable_data();
  }

  const Array& array(size_t i) const { return arrays_[i]; }

  py::tuple get() const {
    py::tuple result(arrays_.size());
    for (size_t i = 0; i < arrays_.size(); ++i) result[i] = arrays_[i].object();
    return result;
  }

 private:
  const char* op_;
  std::vector<const ArrayView*> inputs_;
  std::vector<py::object> given_;
  std::vector<ArrayView> views_;
  std::vector<Array> arrays_;
};

ArrayView same_shape_view(const char* op, const char* argument, py::handle value, const ArrayView& x) {
  const ArrayView v = stored_view(op, argument, value, x.rank);
  if (!std::equal(x.shape, x.shape + x.rank, v.shape))
    fail(Code::kShape, "%s: %s has shape %s and x %s, wanted equal shapes", op, argument,
         ShapeText(v.shape, v.rank).text, ShapeText(x.shape, x.rank).text);
  return v;
}

// Both or none.
void need_pair(const char* op, const Optional& mean, const Optional& variance) {
  if (mean.given() != variance.given())
    fail(Code::kArgument, "%s: %s is None, wanted both mean and variance or neither", op,
         mean.given() ? "variance" : "mean");
}

Array batch_norm(py::handle x, py::handle gamma, py::handle beta, py::handle mean, py::handle variance,
                 py::handle epsilon, py::handle out) {
  const char* op = "batch_norm";
  const ArrayView xv = any_rank_view(op, "x", x);
  const BatchNormShape shape =
      batch_norm_shape(op, xv.shape, xv.rank, real_number(op, "epsilon", epsilon), 0);
  const Shape channels = {shape.c};
  Optional g(op, "gamma", gamma, channels), b(op, "beta", beta, channels);
  Optional m(op, "mean", mean, channels), v(op, "variance", variance, channels);
  need_pair(op, m, v);
  Array y = output(op, out, shape_of(xv), {&xv, g.view(), b.view(), m.view(), v.view()}), keep;
  OpDescriptor step = make_op(m.given() ? Step::k_batch_norm_infer : Step::k_batch_norm_fwd);
  step.batch_norm_fwd = shape;
  const void* data = dense(xv, &keep);
  if (m.given())
    run(xv, step, {{data, m.get(), v.get(), g.get(), b.get()}, {y.mutable_data()}});
  else
    run(xv, step, {{data, g.get(), b.get()}, {y.mutable_data()}});
  return y;
}

// The moving statistics are returned, not changed in place: those given stay as they are.
void begin_moving(ArrayView like, Optional& given, float initial, int64_t c, void* to) {
  OpDescriptor step = make_op(Step::k_copy);
  if (given.given()) {
    like.bfloat16 = false;
    step.copy.size[0] = step.copy.inner[0] = c, step.copy.x_stride[0] = step.copy.y_stride[0] = 1;
    step.copy.rank = 1;
    run(like, step, {{given.get()}, {to}});
    return;
  }
  const std::vector<float> values(static_cast<size_t>(c), initial);
  if (like.on_gpu)
    gpu_copy(to, values.data(), values.size() * sizeof(float));
  else
    std::copy(values.begin(), values.end(), static_cast<float*>(to));
}

py::tuple batch_norm_train(py::handle x, py::handle gamma, py::handle beta, py::handle moving_mean,
                           py::handle moving_variance, py::handle momentum, py::handle epsilon,
                           py::handle out) {
  const char* op = "batch_norm_train";
  const ArrayView xv = any_rank_view(op, "x", x);
  const BatchNormShape shape = batch_norm_shape(op, xv.shape, xv.rank, real_number(op, "epsilon", epsilon),
                                                real_number(op, "momentum", momentum));
  const Shape channels = {shape.c};
  Optional g(op, "gamma", gamma, channels), b(op, "beta", beta, channels);
  Optional m(op, "moving_mean", moving_mean, channels), v(op, "moving_variance", moving_variance, channels);
  Outputs results(op, out, 3, {&xv, g.view(), b.view(), m.view(), v.view()});
  void* const y = results.add(shape_of(xv));
  void* const mean = results.add(channels, Like::kFloat32);
  void* const variance = results.add(channels, Like::kFloat32);
  Array keep;
  OpDescriptor step = make_op(Step::k_batch_norm_fwd);
  step.batch_norm_fwd = shape;
  const Operands operands{{dense(xv, &keep), g.get(), b.get()}, {y, mean, variance}};
  begin_moving(xv, m, 0, shape.c, mean);
  begin_moving(xv, v, 1, shape.c, variance);
  run(xv, step, operands);
  return results.get();
}

py::tuple batch_norm_bwd(py::handle dy, py::handle x, py::handle gamma, py::handle mean, py::handle variance,
                         py::handle epsilon, py::handle out) {
  const char* op = "batch_norm_bwd";
  const ArrayView xv = any_rank_view(op, "x", x), dyv = same_shape_view(op, "dy", dy, xv);
  const BatchNormShape shape =
      batch_norm_shape(op, xv.shape, xv.rank, real_number(op, "epsilon", epsilon), 0);
  const Shape channels = {shape.c};
  Optional g(op, "gamma", gamma, channels);
  Optional m(op, "mean", mean, channels), v(op, "variance", variance, channels);
  need_pair(op, m, v);
  Outputs results(op, out, 3, {&xv, &dyv, g.view(), m.view(), v.view()});
  void* const dx = results.add(shape_of(xv));
  void* const dgamma = results.add(channels, Like::kFloat32);
  void* const dbeta = results.add(channels, Like::kFloat32);
  Array keep_x, keep_dy;
  OpDescriptor step = make_op(m.given() ? Step::k_batch_norm_infer_bwd : Step::k_batch_norm_bwd);
  step.batch_norm_bwd = shape;
  const void *from_dy = dense(dyv, &keep_dy), *from_x = dense(xv, &keep_x);
  if (m.given())
    run(xv, step, {{from_dy, from_x, m.get(), v.get(), g.get()}, {dx, dgamma, dbeta}});
  else
    run(xv, step, {{from_dy, from_x, g.get()}, {dx, dgamma, dbeta}});
  return results.get();
}

// Instance norm is group norm with a group for each channel.
constexpr int64_t kEachChannel = -1;

Array group_norm_of(const char* op, py::handle x, py::handle gamma, py::handle beta, int64_t groups,
                    py::handle epsilon, py::handle out) {
  const ArrayView xv = any_rank_view(op, "x", x);
  const GroupNormShape shape =
      group_norm_shape(op, xv.shape, xv.rank, groups, real_number(op, "epsilon", epsilon));
  const Shape channels = {shape.c};
  Optional g(op, "gamma", gamma, channels), b(op, "beta", beta, channels);
  Array y = output(op, out, shape_of(xv), {&xv, g.view(), b.view()}), keep;
  OpDescriptor step = make_op(Step::k_group_norm_fwd);
  step.group_norm_fwd = shape;
  run(xv, step, {{dense(xv, &keep), g.get(), b.get()}, {y.mutable_data()}});
  return y;
}

py::tuple group_norm_bwd_of(const char* op, py::handle dy, py::handle x, py::handle gamma, int64_t groups,
                            py::handle epsilon, py::handle out) {
  const ArrayView xv = any_rank_view(op, "x", x), dyv = same_shape_view(op, "dy", dy, xv);
  const GroupNormShape shape =
      group_norm_shape(op, xv.shape, xv.rank, groups, real_number(op, "epsilon", epsilon));
  const Shape channels = {shape.c};
  Optional g(op, "gamma", gamma, channels);
  Outputs results(op, out, 3, {&xv, &dyv, g.view()});
  void* const dx = results.add(shape_of(xv));
  void* const dgamma = results.add(channels, Like::kFloat32);
  void* const dbeta = results.add(channels, Like::kFloat32);
  Array keep_x, keep_dy;
  OpDescriptor step = make_op(Step::k_group_norm_bwd);
  step.group_norm_bwd = shape;
  run(xv, step, {{dense(dyv, &keep_dy), dense(xv, &keep_x), g.get()}, {dx, dgamma, dbeta}});
  return results.get();
}

Array group_norm(py::handle x, py::handle gamma, py::handle beta, py::handle groups, py::handle epsilon,
                 py::handle out) {
  return group_norm_of("group_norm", x, gamma, beta, whole_number("group_norm", "groups", groups), epsilon,
                       out);
}

py::tuple group_norm_bwd(py::handle dy, py::handle x, py::handle gamma, py::handle groups, py::handle epsilon,
                         py::handle out) {
  return group_norm_bwd_of("group_norm_bwd", dy, x, gamma, whole_number("group_norm_bwd", "groups", groups),
                           epsilon, out);
}

Array instance_norm(py::handle x, py::handle gamma, py::handle beta, py::handle epsilon, py::handle out) {
  return group_norm_of("instance_norm", x, gamma, beta, kEachChannel, epsilon, out);
}

py::tuple instance_norm_bwd(py::handle dy, py::handle x, py::handle gamma, py::handle epsilon,
                            py::handle out) {
  return group_norm_bwd_of("instance_norm_bwd", dy, x, gamma, kEachChannel, epsilon, out);
}

struct Rows {
  Rows(const char* op, RowNorm kind, const ArrayView& whole, py::handle axis, py::handle epsilon)
      : axes(axes_argument(op, axis, whole.rank)), x(moved_view(whole, axes)) {
    shape = row_norm_shape(op, x.shape, x.rank, {axes.count, real_number(op, "epsilon", epsilon), kind});
    affine = Shape(x.shape + x.rank - axes.count, x.shape + x.rank);
  }
  MovedAxes axes;
  ArrayView x;  // its rows last
  RowNormShape shape;
  Shape affine;  // of gamma and beta
};

const char* const kRowOps[] = {"layer_norm", "rms_norm", "unit_norm"};
const char* const kRowOpsBwd[] = {"layer_norm_bwd", "rms_norm_bwd", "unit_norm_bwd"};

template <RowNorm kind>
Array row_norm(py::handle x, py::handle gamma, py::handle beta, py::handle axis, py::handle epsilon,
               py::handle out) {
  const char* op = kRowOps[static_cast<int>(kind)];
  const ArrayView xv = any_rank_view(op, "x", x);
  const Rows rows(op, kind, xv, axis, epsilon);
  Optional g(op, "gamma", gamma, rows.affine), b(op, "beta", beta, rows.affine);
  MovedOutput y(op, out, shape_of(rows.x), rows.axes, {&xv, g.view(), b.view()});
  Array keep;
  OpDescriptor step = make_op(Step::k_row_norm_fwd);
  step.row_norm_fwd = rows.shape;
  run(xv, step, {{dense(rows.x, &keep), g.get(), b.get()}, {y.data()}});
  return y.finish();
}

// Results: dx, dgamma, dbeta; the first `count` of them.
template <RowNorm kind, size_t count>
py::tuple row_norm_bwd(py::handle dy, py::handle x, py::handle gamma, py::handle axis, py::handle epsilon,
                       py::handle out) {
  const char* op = kRowOpsBwd[static_cast<int>(kind)];
  const ArrayView xv = any_rank_view(op, "x", x), dyv = same_shape_view(op, "dy", dy, xv);
  const Rows rows(op, kind, xv, axis, epsilon);
  Optional g(op, "gamma", gamma, rows.affine);
  Outputs results(op, out, count, {&xv, &dyv, g.view()});
  void* to[3] = {};
  for (size_t i = 0; i < count; ++i)
    to[i] = i ? results.add(rows.affine, Like::kFloat32) : results.add(shape_of(xv));
  Array keep_x, keep_dy;
  OpDescriptor step = make_op(Step::k_row_norm_bwd);
  step.row_norm_bwd = rows.shape;
  MovedOutput dx(op, results.array(0).object(), shape_of(rows.x), rows.axes, {&xv});
  run(xv, step,
      {{dense(moved_view(dyv, rows.axes), &keep_dy), dense(rows.x, &keep_x), g.get()},
       {dx.data(), to[1], to[2]}});
  dx.finish();
  return results.get();
}

}  // namespace

void bind_norm_ops(py::module_& m) {
  def(m, "batch_norm", &batch_norm);
  def(m, "batch_norm_train", &batch_norm_train);
  def(m, "batch_norm_bwd", &batch_norm_bwd);
  def(m, "group_norm", &group_norm);
  def(m, "group_norm_bwd", &group_norm_bwd);
  def(m, "instance_norm", &instance_norm);
  def(m, "instance_norm_bwd", &instance_norm_bwd);
  def(m, "layer_norm", &row_norm<RowNorm::kLayer>);
  def(m, "rms_norm", &row_norm<RowNorm::kRms>);
  def(m, "unit_norm", &row_norm<RowNorm::kUnit>);
  def(m, "layer_norm_bwd", &row_norm_bwd<RowNorm::kLayer, 3>);
  def(m, "rms_norm_bwd", &row_norm_bwd<RowNorm::kRms, 2>);
  def(m, "unit_norm_bwd", &row_norm_bwd<RowNorm::kUnit, 1>);
}

}  // namespace fastcnn
