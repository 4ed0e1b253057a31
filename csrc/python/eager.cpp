// SPDX-License-Identifier: Apache-2.0
#include "eager.h"

#include <algorithm>
#include <numeric>

#include "../plan/validate_activation.h"

namespace fastcnn {
namespace {

// [N,C,H,W] seen as [N,H,W,C].
void to_channels_last(int64_t* v, int rank) { std::rotate(v + 1, v + 2, v + rank); }

MovedAxes image_axes(bool first, int rank) {
  MovedAxes axes{rank, 1, {}};
  std::iota(axes.order, axes.order + rank, 0);
  if (first) std::rotate(axes.order + 1, axes.order + 2, axes.order + rank);
  return axes;
}

}  // namespace

int activation_of(const char* op, py::handle value) {
  if (value.is_none()) return kNoActivation;
  const std::string name = text(op, "activation", value);
  std::string names;
  for (int i = 0; i < kSoftmax; ++i) {
    const Activation kind = static_cast<Activation>(i);
    if (!has_defaults(kind) || kind == Activation::k_general_relu) continue;
    if (name == info(kind).name) return i;
    names += info(kind).name + std::string(", ");
  }
  if (name == "softmax") return kSoftmax;
  if (name == "log_softmax") return kLogSoftmax;
  if (name == "swish") return static_cast<int>(Activation::k_silu);
  if (name == "hard_swish") return static_cast<int>(Activation::k_hard_silu);
  fail(Code::kArgument, "%s: activation is '%.20s', wanted %ssoftmax or log_softmax", op, name.c_str(),
       names.c_str());
}

Math math_of(const char* op, py::handle value) {
  return static_cast<Math>(choice(op, "math", value, {"default", "strict", "fast"}));
}

bool channels_first(const char* op, py::handle value) {
  return choice(op, "data_format", value, {"channels_last", "channels_first"}) == 1;
}

ArrayView image_view(const char* op, const char* argument, py::handle value, bool first, int rank) {
  ArrayView v = stored_view(op, argument, value, rank);
  if (first) to_channels_last(v.shape, rank), to_channels_last(v.strides, rank);
  return v;
}

ArrayView any_rank_view(const char* op, const char* argument, py::handle value) {
  return stored_view(op, argument, value, kAnyRank);
}

void input_shape_of(const char* op, py::handle value, bool first, int64_t* shape, int rank) {
  whole_numbers(op, "input_shape", value, rank, shape);
  if (first) to_channels_last(shape, rank);
}

void expect_shape(const char* op, const ArrayView& v, const int64_t* wanted) {
  if (!std::equal(wanted, wanted + v.rank, v.shape))
    fail(Code::kShape, "%s: %s has shape %s (channels last), wanted %s from the other arguments", op,
         v.argument, ShapeText(v.shape, v.rank).text, ShapeText(wanted, v.rank).text);
}

TensorShape tensor_shape(const ArrayView& v) {
  TensorShape shape{v.rank, {}};
  std::copy(v.shape, v.shape + v.rank, shape.size);
  return shape;
}

void activate(const ArrayView& like, int activation, void* y, int64_t rows, int64_t cols) {
  if (activation == kNoActivation) return;
  OpDescriptor op = make_op(activation == kSoftmax      ? Step::k_softmax_fwd
                            : activation == kLogSoftmax ? Step::k_log_softmax_fwd
                                                        : Step::k_activation_fwd);
  if (activation >= kSoftmax)
    op.softmax_fwd = {rows, cols};
  else
    op.activation_fwd = activation_shape(static_cast<Activation>(activation), rows * cols);
  run(like, op, {{y}, {y}});
}

ArrayView moved_view(const ArrayView& v, const MovedAxes& axes) {
  ArrayView moved = v;
  for (int i = 0; i < axes.rank; ++i) {
    moved.shape[i] = v.shape[axes.order[i]];
    moved.strides[i] = v.strides[axes.order[i]];
  }
  return moved;
}

MovedOutput::MovedOutput(const char* op, py::handle out, Sizes written, const MovedAxes& axes, Inputs inputs)
    : axes_(axes) {
  int64_t shape[kMaxRank];
  for (size_t i = 0; i < written.size(); ++i) shape[axes.order[i]] = written[i];
  result_ = output(op, out, {shape, shape + written.size()}, inputs);
  written_ =
      axes.in_place() ? result_ : array_like(any_view(op, "out", result_.object()), "the output", written);
}

Array MovedOutput::finish() {
  if (axes_.in_place()) return result_;
  const ArrayView v = any_view("transpose", "y", written_.object());
  ArrayView back = v;
  for (int i = 0; i < axes_.rank; ++i) {
    back.shape[axes_.order[i]] = v.shape[i];
    back.strides[axes_.order[i]] = v.strides[i];
  }
  copy_view(back, result_.mutable_data());
  return result_;
}

ImageOutput::ImageOutput(const char* op, py::handle out, bool first, const int64_t* last, Inputs inputs,
                         int rank)
    : MovedOutput(op, out, {last, last + rank}, image_axes(first, rank), inputs) {}

MovedAxes axes_argument(const char* op, py::handle axis, int rank) {
  std::vector<int64_t> numbers;
  if (PyTuple_Check(axis.ptr()) || PyList_Check(axis.ptr())) {
    numbers.resize(static_cast<size_t>(PySequence_Size(axis.ptr())));
    whole_numbers(op, "axis", axis, static_cast<int>(numbers.size()), numbers.data());
  } else {
    numbers.push_back(whole_number(op, "axis", axis));
  }
  return moved_to_end(op, numbers, rank);
}

Bias::Bias(const char* op, py::handle value, int64_t length) : given_(!value.is_none()) {
  if (!given_) return;
  view_ = float_view(op, "bias", value, 1);
  if (view_.shape[0] != length)
    fail(Code::kShape, "%s: bias has shape %s, wanted [%lld], one value for each output channel", op,
         ShapeText(view_.shape, 1).text, static_cast<long long>(length));
}

}  // namespace fastcnn
