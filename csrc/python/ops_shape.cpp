// SPDX-License-Identifier: Apache-2.0
// What moves elements: concatenation, permutation, padding, cropping, repetition, upsampling, on arrays.
#include "eager.h"
#include "function.h"
#include "ops.h"

namespace fastcnn {
namespace {

Array run_copy(const CopyShape& shape, const ArrayView& x, const TensorShape& y_shape, py::handle out) {
  OpDescriptor step = make_op(Step::k_copy);
  step.copy = shape;
  Array y = output(x.op, out, sizes(y_shape), {&x}), keep;
  run(x, step, {{dense(x, &keep)}, {y.mutable_data()}});
  return y;
}

Array run_sum(const BinaryShape& shape, const ArrayView& dy, const TensorShape& x_shape, py::handle out) {
  OpDescriptor step = make_op(Step::k_binary_bwd);
  step.binary_bwd = shape;
  Array dx = output(dy.op, out, sizes(x_shape), {&dy}), keep;
  run(dy, step, {{dense(dy, &keep)}, {dx.mutable_data()}});
  return dx;
}

// An image of one to three spatial axes.
ArrayView spatial_view(const char* op, const char* argument, py::handle value, bool first, Spatial* axes) {
  const ArrayView v = any_rank_view(op, argument, value);
  if (v.rank < 3 || v.rank > 5)
    fail(Code::kShape, "%s: %s has shape %s, wanted rank 3, 4 or 5: samples, spatial axes, channels", op,
         argument, ShapeText(v.shape, v.rank).text);
  *axes = {first ? 2 : 1, v.rank - 2};
  return v;
}

// A number for all spatial axes, or one for each.
void each_axis(const char* op, const char* argument, py::handle value, int count, int64_t* numbers) {
  if (is_sequence(value)) return whole_numbers(op, argument, value, count, numbers);
  numbers[0] = whole_number(op, argument, value);
  for (int i = 1; i < count; ++i) numbers[i] = numbers[0];
}

// n, (n, ...) or ((before, after), ...); of one axis (before, after).
void sides(const char* op, const char* argument, py::handle value, int count, Sides* result) {
  int64_t both[2];
  if (count == 1 && is_sequence(value)) {
    whole_numbers(op, argument, value, 2, both);
    result[0] = {both[0], both[1]};
    return;
  }
  if (!is_sequence(value)) {
    both[0] = whole_number(op, argument, value);
    for (int i = 0; i < count; ++i) result[i] = {both[0], both[0]};
    return;
  }
  const auto items = py::reinterpret_borrow<py::sequence>(value);
  if (static_cast<int>(items.size()) != count)
    fail(Code::kArgument, "%s: %s has %zu entries, wanted %d, one for each spatial axis", op, argument,
         items.size(), count);
  for (int i = 0; i < count; ++i) {
    pair(op, argument, py::object(items[i]), both);
    result[i] = {both[0], both[1]};
  }
}

// Padding is the gradient of cropping, and the other way round.
template <bool crops>
Array resides(const char* op, const char* argument, const char* amount, py::handle x, py::handle value,
              py::handle data_format, py::handle out) {
  Spatial axes;
  const ArrayView v = spatial_view(op, argument, x, channels_first(op, data_format), &axes);
  Sides by[3];
  sides(op, amount, value, axes.count, by);
  TensorShape y;
  const TensorShape shape = tensor_shape(v);
  const CopyShape copy =
      crops ? cropping_shape(op, shape, axes, by, &y) : zero_padding_shape(op, shape, axes, by, &y);
  return run_copy(copy, v, y, out);
}

Array zero_padding(py::handle x, py::handle padding, py::handle data_format, py::handle out) {
  return resides<false>("zero_padding", "x", "padding", x, padding, data_format, out);
}
Array zero_padding_bwd(py::handle dy, py::handle padding, py::handle data_format, py::handle out) {
  return resides<true>("zero_padding_bwd", "dy", "padding", dy, padding, data_format, out);
}
Array cropping(py::handle x, py::handle by, py::handle data_format, py::handle out) {
  return resides<true>("cropping", "x", "cropping", x, by, data_format, out);
}
Array cropping_bwd(py::handle dy, py::handle by, py::handle data_format, py::handle out) {
  return resides<false>("cropping_bwd", "dy", "cropping", dy, by, data_format, out);
}

Array concatenate(py::handle inputs, py::handle axis, py::handle out) {
  const char* op = "concatenate";
  if (!is_sequence(inputs))
    fail(Code::kDType, "%s: inputs is a %s, wanted a list of arrays", op, type_name(inputs).c_str());
  std::vector<ArrayView> views;
  std::vector<TensorShape> shapes;
  for (const auto item : py::reinterpret_borrow<py::sequence>(inputs)) {
    views.push_back(any_rank_view(op, "inputs", item));
    shapes.push_back(tensor_shape(views.back()));
  }
  int64_t position = whole_number(op, "axis", axis);
  const TensorShape shape = concatenated_shape(op, shapes, &position);
  std::vector<const ArrayView*> pointers;
  for (const ArrayView& v : views) pointers.push_back(&v);
  Array y = output(op, out, sizes(shape), pointers);
  std::vector<Array> keep(views.size());
  std::vector<const void*> data;  // before anything is written: a copy may be refused
  for (size_t i = 0; i < views.size(); ++i) data.push_back(dense(views[i], &keep[i]));
  std::vector<int64_t> lengths;
  for (const ArrayView& v : views) lengths.push_back(v.shape[position]);
  const void* const* part = data.data();
  for (const ConcatenateShape& each : concatenate_shapes(shape, static_cast<int>(position), lengths)) {
    OpDescriptor step = make_op(Step::k_concatenate);
    step.concatenate = each;
    Operands operands{{}, {y.mutable_data()}};
    std::copy_n(part, each.parts, operands.in);
    run(views[0], step, operands);
    part += each.parts;
  }
  return y;
}

Array concatenate_bwd(py::handle dy, py::handle lengths, py::handle index, py::handle axis, py::handle out) {
  const char* op = "concatenate_bwd";
  const ArrayView v = any_rank_view(op, "dy", dy);
  int64_t position = whole_number(op, "axis", axis);
  const TensorShape whole = concatenated_shape(op, {tensor_shape(v)}, &position);
  if (!is_sequence(lengths))
    fail(Code::kDType, "%s: sizes is a %s, wanted a tuple of whole numbers", op, type_name(lengths).c_str());
  const auto count = static_cast<int64_t>(PySequence_Size(lengths.ptr()));
  const int64_t chosen = whole_number(op, "index", index);
  if (chosen < 0 || chosen >= count)
    fail(Code::kArgument, "%s: index is %lld, wanted 0 or more and less than the %lld sizes", op,
         static_cast<long long>(chosen), static_cast<long long>(count));
  std::vector<int64_t> length(static_cast<size_t>(count));
  whole_numbers(op, "sizes", lengths, static_cast<int>(count), length.data());
  int64_t begin = 0, total = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t one = length[static_cast<size_t>(i)], left = whole.size[position] - total;
    if (one < 1 || one > left)
      fail(Code::kArgument, "%s: sizes has %lld in place %lld, wanted sizes from 1 that add up to dy's %lld",
           op, static_cast<long long>(one), static_cast<long long>(i),
           static_cast<long long>(whole.size[position]));
    if (i < chosen) begin += one;
    total += one;
  }
  if (total != whole.size[position])
    fail(Code::kArgument, "%s: sizes add up to %lld, wanted dy's %lld on axis %lld", op,
         static_cast<long long>(total), static_cast<long long>(whole.size[position]),
         static_cast<long long>(position));
  TensorShape part = whole;
  part.size[position] = length[static_cast<size_t>(chosen)];
  return run_copy(part_shape(whole, static_cast<int>(position), begin, part.size[position]), v, part, out);
}

// The gradient is the permutation back.
template <bool bwd>
Array permute(py::handle x, py::handle dims, py::handle out) {
  const char* op = bwd ? "permute_bwd" : "permute";
  const ArrayView v = any_rank_view(op, bwd ? "dy" : "x", x);
  std::vector<int64_t> axes(static_cast<size_t>(v.rank - 1));
  whole_numbers(op, "dims", dims, v.rank - 1, axes.data());
  TensorShape y;
  CopyShape copy = permute_shape(op, tensor_shape(v), axes.data(), &y);
  if (bwd) copy = permute_shape(op, tensor_shape(v), inverse_of(axes).data(), &y);
  return run_copy(copy, v, y, out);
}

Array repeat_vector(py::handle x, py::handle n, py::handle out) {
  const char* op = "repeat_vector";
  const ArrayView v = stored_view(op, "x", x, 2);
  TensorShape y;
  const CopyShape copy = repeat_vector_shape(op, tensor_shape(v), whole_number(op, "n", n), &y);
  return run_copy(copy, v, y, out);
}

Array repeat_vector_bwd(py::handle dy, py::handle out) {
  const char* op = "repeat_vector_bwd";
  const ArrayView v = stored_view(op, "dy", dy, 3);
  const TensorShape x{2, {v.shape[0], v.shape[2]}};
  return run_sum(repeat_vector_bwd_shape(op, x, v.shape[1]), v, x, out);
}

// nearest or bilinear
bool is_bilinear(const char* op, py::handle interpolation, const ArrayView& x) {
  if (choice(op, "interpolation", interpolation, {"nearest", "bilinear"}) == 0) return false;
  if (x.rank != 4)
    fail(Code::kArgument, "%s: interpolation is 'bilinear' and %s has rank %d, wanted 4, or 'nearest'", op,
         x.argument, x.rank);
  return true;
}

Array upsampling(py::handle x, py::handle size, py::handle interpolation, py::handle data_format,
                 py::handle out) {
  const char* op = "upsampling";
  Spatial axes;
  const ArrayView v = spatial_view(op, "x", x, channels_first(op, data_format), &axes);
  int64_t factors[3];
  each_axis(op, "size", size, axes.count, factors);
  const bool bilinear = is_bilinear(op, interpolation, v);
  TensorShape y;
  const CopyShape copy = upsampling_shape(op, tensor_shape(v), axes, factors, &y);
  if (!bilinear) return run_copy(copy, v, y, out);
  OpDescriptor step = make_op(Step::k_resize_fwd);
  step.resize_fwd = bilinear_shape(tensor_shape(v), axes, factors);
  Array result = output(op, out, sizes(y), {&v}), keep;
  run(v, step, {{dense(v, &keep)}, {result.mutable_data()}});
  return result;
}

Array upsampling_bwd(py::handle dy, py::handle size, py::handle interpolation, py::handle data_format,
                     py::handle out) {
  const char* op = "upsampling_bwd";
  Spatial axes;
  const ArrayView v = spatial_view(op, "dy", dy, channels_first(op, data_format), &axes);
  int64_t factors[3];
  each_axis(op, "size", size, axes.count, factors);
  const bool bilinear = is_bilinear(op, interpolation, v);
  TensorShape x = tensor_shape(v), y;
  for (int i = 0; i < axes.count; ++i) {
    int64_t& pixels = x.size[axes.first + i];
    if (factors[i] < 1 || pixels % factors[i])
      fail(Code::kArgument, "%s: size is %lld on spatial axis %d, wanted a divisor of dy's %lld pixels", op,
           static_cast<long long>(factors[i]), i, static_cast<long long>(pixels));
    pixels /= factors[i];
  }
  upsampling_shape(op, x, axes, factors, &y);
  if (!bilinear) return run_sum(upsampling_bwd_shape(x, axes, factors), v, x, out);
  OpDescriptor step = make_op(Step::k_resize_bwd);
  step.resize_bwd = bilinear_shape(x, axes, factors);
  Array result = output(op, out, sizes(x), {&v}), keep;
  run(v, step, {{dense(v, &keep)}, {result.mutable_data()}});
  return result;
}

}  // namespace

void bind_shape_ops(py::module_& m) {
  def(m, "zero_padding", &zero_padding);
  def(m, "zero_padding_bwd", &zero_padding_bwd);
  def(m, "cropping", &cropping);
  def(m, "cropping_bwd", &cropping_bwd);
  def(m, "concatenate", &concatenate);
  def(m, "concatenate_bwd", &concatenate_bwd);
  def(m, "permute", &permute<false>);
  def(m, "permute_bwd", &permute<true>);
  def(m, "repeat_vector", &repeat_vector);
  def(m, "repeat_vector_bwd", &repeat_vector_bwd);
  def(m, "upsampling", &upsampling);
  def(m, "upsampling_bwd", &upsampling_bwd);
}

}  // namespace fastcnn
