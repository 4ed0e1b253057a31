// SPDX-License-Identifier: Apache-2.0
#include "eager.h"

#include <algorithm>

#include "../cpu/cpu.h"
#include "../plan/validate_activation.h"

namespace fastcnn {
namespace {

// [N,C,H,W] seen as [N,H,W,C].
void to_channels_last(int64_t* v, int rank) { std::rotate(v + 1, v + 2, v + rank); }

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
  ArrayView v = float_view(op, argument, value, rank);
  if (first) to_channels_last(v.shape, rank), to_channels_last(v.strides, rank);
  return v;
}

ArrayView any_rank_view(const char* op, const char* argument, py::handle value) {
  const ArrayView v = view(op, argument, value);
  if (v.rank < 1) fail(Code::kShape, "%s: %s has rank 0, wanted at least 1", op, argument);
  return float_view(op, argument, value, v.rank);
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

void run(const OpDescriptor& op, const Operands& operands) {
  py::gil_scoped_release release;
  run_eager(cpu::backend(), op, operands);
}

void activate(int activation, float* y, int64_t rows, int64_t cols) {
  if (activation == kNoActivation) return;
  OpDescriptor op = make_op(activation == kSoftmax      ? Step::k_softmax_fwd
                            : activation == kLogSoftmax ? Step::k_log_softmax_fwd
                                                        : Step::k_activation_fwd);
  if (activation >= kSoftmax)
    op.softmax_fwd = {rows, cols};
  else
    op.activation_fwd = activation_shape(static_cast<Activation>(activation), rows * cols);
  run(op, {{y}, {y}});
}

ImageOutput::ImageOutput(const char* op, py::handle out, bool first, const int64_t* last, Inputs inputs,
                         int rank)
    : first_(first) {
  std::vector<int64_t> shape(last, last + rank);
  if (first) std::rotate(shape.begin() + 1, shape.end() - 1, shape.end());
  result_ = output(op, out, shape, inputs);
  written_ = first ? output(op, py::none(), std::vector<int64_t>(last, last + rank), {}) : result_;
}

py::array ImageOutput::finish() {
  if (!first_) return result_;
  ArrayView v = float_view("transpose", "y", written_, static_cast<int>(written_.ndim()));
  const int last = v.rank - 1;
  std::rotate(v.shape + 1, v.shape + last, v.shape + v.rank);
  std::rotate(v.strides + 1, v.strides + last, v.strides + v.rank);
  copy_view(v, static_cast<float*>(result_.mutable_data()));
  return result_;
}

Bias::Bias(const char* op, py::handle value, int64_t length) : given_(!value.is_none()) {
  if (!given_) return;
  view_ = float_view(op, "bias", value, 1);
  if (view_.shape[0] != length)
    fail(Code::kShape, "%s: bias has shape %s, wanted [%lld], one value for each output channel", op,
         ShapeText(view_.shape, 1).text, static_cast<long long>(length));
}

}  // namespace fastcnn
