// SPDX-License-Identifier: Apache-2.0
// Two arrays into one, and the gradients of it, on arrays.
#include "eager.h"
#include "function.h"
#include "ops.h"

namespace fastcnn {
namespace {

// Average is a sum with a scale.
enum { kAdd, kSubtract, kMultiply, kMaximum, kMinimum, kHalfSum };
const char* const kNames[6] = {"add", "subtract", "multiply", "maximum", "minimum", "average"};
const char* const kNamesBwd[6] = {"add_bwd",     "subtract_bwd", "multiply_bwd",
                                  "maximum_bwd", "minimum_bwd",  "average_bwd"};
constexpr Binary kind_of(int op) { return op == kHalfSum ? Binary::kAdd : static_cast<Binary>(op); }
constexpr float scale_of(int op) { return op == kHalfSum ? 0.5f : 1.0f; }

template <int kind>
Array binary(py::handle x1, py::handle x2, py::handle out) {
  const char* op = kNames[kind];
  static const char* const arguments[2] = {"x1", "x2"};
  const ArrayView a = any_rank_view(op, "x1", x1), b = any_rank_view(op, "x2", x2);
  OpDescriptor step = make_op(Step::k_binary);
  TensorShape shape;
  step.binary = binary_shape(op, arguments, tensor_shape(a), tensor_shape(b), kind_of(kind), &shape);
  step.binary.scale = scale_of(kind);
  Array y = output(op, out, sizes(shape), {&a, &b}), keep_a, keep_b;
  run(a, step, {{dense(a, &keep_a), dense(b, &keep_b)}, {y.mutable_data()}});
  return y;
}

void expect_output_shape(const char* op, const ArrayView& dy, const TensorShape& y) {
  if (dy.rank != y.rank || !std::equal(y.size, y.size + y.rank, dy.shape))
    fail(Code::kShape, "%s: dy has shape %s, wanted %s from the other arguments", op,
         ShapeText(dy.shape, dy.rank).text, ShapeText(y.size, y.rank).text);
}

int index_of(const char* op, py::handle value) {
  const int64_t index = whole_number(op, "index", value);
  if (index != 0 && index != 1)
    fail(Code::kArgument, "%s: index is %lld, wanted 0 (for x1) or 1 (for x2)", op,
         static_cast<long long>(index));
  return static_cast<int>(index);
}

// A shape that has been given instead of the array.
TensorShape given_shape(const char* op, py::handle value) {
  if (!PyTuple_Check(value.ptr()) && !PyList_Check(value.ptr()))
    fail(Code::kDType, "%s: input_shape is a %s, wanted a tuple of whole numbers", op,
         type_name(value).c_str());
  const auto rank = static_cast<int>(PySequence_Size(value.ptr()));
  if (rank < 1 || rank > kMaxRank)
    fail(Code::kArgument, "%s: input_shape has %d entries, wanted 1 to %d", op, rank, kMaxRank);
  TensorShape shape{rank, {}};
  whole_numbers(op, "input_shape", value, rank, shape.size);
  element_count(op, "input_shape", shape.size, rank);
  return shape;
}

// Sums, differences and averages: nothing but the shape of the input matters.
template <int kind>
Array linear_bwd(py::handle dy, py::handle input_shape, py::handle index, py::handle out) {
  const char* op = kNamesBwd[kind];
  const ArrayView dyv = any_rank_view(op, "dy", dy);
  const TensorShape x = given_shape(op, input_shape);
  OpDescriptor step = make_op(Step::k_binary_bwd);
  step.binary_bwd = repeated_shape(op, x, tensor_shape(dyv));
  step.binary_bwd.scale = scale_of(kind) * (kind == kSubtract && index_of(op, index) ? -1.0f : 1.0f);
  Array dx = output(op, out, sizes(x), {&dyv}), keep;
  run(dyv, step, {{dense(dyv, &keep)}, {dx.mutable_data()}});
  return dx;
}

Array add_bwd(py::handle dy, py::handle input_shape, py::handle out) {
  return linear_bwd<kAdd>(dy, input_shape, py::none(), out);
}
Array average_bwd(py::handle dy, py::handle input_shape, py::handle out) {
  return linear_bwd<kHalfSum>(dy, input_shape, py::none(), out);
}

Array multiply_bwd(py::handle dy, py::handle other, py::handle input_shape, py::handle out) {
  const char* op = kNamesBwd[kMultiply];
  static const char* const arguments[2] = {"input_shape", "other"};
  const ArrayView dyv = any_rank_view(op, "dy", dy), bv = any_rank_view(op, "other", other);
  const TensorShape x = given_shape(op, input_shape);
  OpDescriptor step = make_op(Step::k_binary_bwd);
  TensorShape y;
  step.binary_bwd = binary_shape(op, arguments, x, tensor_shape(bv), Binary::kMultiply, &y);
  expect_output_shape(op, dyv, y);
  Array dx = output(op, out, sizes(x), {&dyv, &bv}), keep_dy, keep_b;
  run(dyv, step, {{dense(dyv, &keep_dy), nullptr, dense(bv, &keep_b)}, {dx.mutable_data()}});
  return dx;
}

template <int kind>
Array selected_bwd(py::handle dy, py::handle x1, py::handle x2, py::handle index, py::handle out) {
  const char* op = kNamesBwd[kind];
  static const char* const arguments[2] = {"x1", "x2"};
  const ArrayView dyv = any_rank_view(op, "dy", dy);
  const ArrayView a = any_rank_view(op, "x1", x1), b = any_rank_view(op, "x2", x2);
  OpDescriptor step = make_op(Step::k_binary_bwd);
  TensorShape y;
  step.binary_bwd = binary_shape(op, arguments, tensor_shape(a), tensor_shape(b), kind_of(kind), &y);
  step.binary_bwd.which = index_of(op, index);
  expect_output_shape(op, dyv, y);
  Array dx = output(op, out, shape_of(step.binary_bwd.which ? b : a), {&dyv, &a, &b});
  Array keep_dy, keep_a, keep_b;
  run(dyv, step, {{dense(dyv, &keep_dy), dense(a, &keep_a), dense(b, &keep_b)}, {dx.mutable_data()}});
  return dx;
}

}  // namespace

void bind_merge_ops(py::module_& m) {
  def(m, "add", &binary<kAdd>);
  def(m, "subtract", &binary<kSubtract>);
  def(m, "multiply", &binary<kMultiply>);
  def(m, "maximum", &binary<kMaximum>);
  def(m, "minimum", &binary<kMinimum>);
  def(m, "average", &binary<kHalfSum>);
  def(m, "add_bwd", &add_bwd);
  def(m, "average_bwd", &average_bwd);
  def(m, "subtract_bwd", &linear_bwd<kSubtract>);
  def(m, "multiply_bwd", &multiply_bwd);
  def(m, "maximum_bwd", &selected_bwd<kMaximum>);
  def(m, "minimum_bwd", &selected_bwd<kMinimum>);
}

}  // namespace fastcnn
