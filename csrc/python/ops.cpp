// SPDX-License-Identifier: Apache-2.0
// The eager operators behind fastcnn.ops: view, validate, allocate, release the GIL, run one step.
// Everything is checked before the first byte is written.
#include "ops.h"

#include "../base/parallel.h"
#include "../cpu/cpu.h"
#include "../plan/eager.h"
#include "array.h"

namespace fastcnn {
namespace {

using Inputs = std::initializer_list<const ArrayView*>;

// Activations that an eager operator applies to its output in a second step.
constexpr int kNoActivation = 0, kRelu = 1, kSigmoid = 2, kTanh = 3, kSoftmax = 4;

int activation_of(const char* op, py::handle value) {
  if (value.is_none()) return kNoActivation;
  const int index = choice(op, "activation", value, {"linear", "relu", "sigmoid", "tanh", "softmax"});
  return index;
}

Math math_of(const char* op, py::handle value) {
  return static_cast<Math>(choice(op, "math", value, {"default", "strict", "fast"}));
}

bool channels_first(const char* op, py::handle value) {
  return choice(op, "data_format", value, {"channels_last", "channels_first"}) == 1;
}

// [N,C,H,W] seen as [N,H,W,C].
void to_channels_last(int64_t v[4]) {
  const int64_t c = v[1];
  v[1] = v[2], v[2] = v[3], v[3] = c;
}

ArrayView image_view(const char* op, const char* argument, py::handle value, bool first) {
  ArrayView v = float_view(op, argument, value, 4);
  if (first) to_channels_last(v.shape), to_channels_last(v.strides);
  return v;
}

void input_shape_of(const char* op, py::handle value, bool first, int64_t shape[4]) {
  whole_numbers(op, "input_shape", value, 4, shape);
  if (first) to_channels_last(shape);
}

void expect_shape(const char* op, const ArrayView& v, std::initializer_list<int64_t> wanted) {
  if (!std::equal(wanted.begin(), wanted.end(), v.shape))
    fail(Code::kShape, "%s: %s has shape %s (channels last), wanted %s from the other arguments", op,
         v.argument, ShapeText(v.shape, v.rank).text, ShapeText(wanted.begin(), v.rank).text);
}

void run(const OpDescriptor& op, const Operands& operands) {
  py::gil_scoped_release release;
  run_eager(cpu::backend(), op, operands);
}

// An image result: written channels-last, and for channels_first copied over to [N,C,H,W].
class ImageOutput {
 public:
  ImageOutput(const char* op, py::handle out, bool first, const int64_t nhwc[4], Inputs inputs)
      : first_(first) {
    const std::vector<int64_t> last{nhwc[0], nhwc[1], nhwc[2], nhwc[3]};
    result_ =
        output(op, out, first ? std::vector<int64_t>{nhwc[0], nhwc[3], nhwc[1], nhwc[2]} : last, inputs);
    written_ = first ? output(op, py::none(), last, {}) : result_;
  }
  float* data() { return static_cast<float*>(written_.mutable_data()); }
  py::array finish() {
    if (!first_) return result_;
    ArrayView v = float_view("transpose", "y", written_, 4);
    OpDescriptor op = make_op(Step::k_gather);
    GatherShape& shape = op.gather;
    shape.n = v.shape[0], shape.sample_stride = v.strides[0], shape.rank = 3;
    const int axes[3] = {3, 1, 2};
    for (int i = 0; i < 3; ++i) shape.shape[i] = v.shape[axes[i]], shape.strides[i] = v.strides[axes[i]];
    shape.from = DType::kF32, shape.to = DType::kF32, shape.scale = 1, shape.offset = 0;
    run(op, {{v.data, nullptr}, {result_.mutable_data()}});
    return result_;
  }

 private:
  bool first_;
  py::array result_, written_;
};

// The activations that are not fused, in place.
void activate(int activation, float* y, int64_t rows, int64_t cols) {
  if (activation == kNoActivation) return;
  OpDescriptor op = make_op(activation == kSoftmax ? Step::k_softmax_fwd : Step::k_activation_fwd);
  if (activation == kSoftmax)
    op.softmax_fwd = {rows, cols};
  else
    op.activation_fwd = {rows * cols, static_cast<Activation>(activation)};
  run(op, {{y}, {y}});
}

// An optional [K] vector. get() copies a strided one, so it is not called before everything is validated.
class Bias {
 public:
  Bias(const char* op, py::handle value, int64_t length) : given_(!value.is_none()) {
    if (!given_) return;
    view_ = float_view(op, "bias", value, 1);
    if (view_.shape[0] != length)
      fail(Code::kShape, "%s: bias has shape %s, wanted [%lld], one value for each output channel", op,
           ShapeText(view_.shape, 1).text, static_cast<long long>(length));
  }
  const ArrayView* view() const { return given_ ? &view_ : nullptr; }
  const float* get() { return given_ ? dense(view_, &keep_) : nullptr; }

 private:
  bool given_;
  ArrayView view_{};
  py::array keep_;
};

Window conv_window(const char* op, py::handle strides, py::handle padding_value, py::handle dilation_rate,
                   py::handle groups) {
  Window window;
  pair(op, "strides", strides, window.strides);
  pair(op, "dilation_rate", dilation_rate, window.dilation_rate);
  window.padding = padding(op, padding_value);
  window.groups = whole_number(op, "groups", groups);
  return window;
}

py::array conv2d(py::handle x, py::handle kernel, py::handle bias, py::handle strides,
                 py::handle padding_value, py::handle dilation_rate, py::handle groups, py::handle activation,
                 py::handle data_format, py::handle math, py::handle out) {
  const char* op = "conv2d";
  const bool first = channels_first(op, data_format);
  const ArrayView xv = image_view(op, "x", x, first), wv = float_view(op, "kernel", kernel, 4);
  const Window window = conv_window(op, strides, padding_value, dilation_rate, groups);
  const int act = activation_of(op, activation);
  OpDescriptor step = make_op(Step::k_conv2d_fprop, math_of(op, math));
  const Conv2dShape& shape = step.conv2d_fprop = conv2d_shape(op, xv.shape, wv.shape, window);
  Bias b(op, bias, shape.k);
  const int64_t y_shape[4] = {shape.n, shape.p, shape.q, shape.k};
  ImageOutput y(op, out, first, y_shape, {&xv, &wv, b.view()});

  py::array keep_x, keep_w;
  const float* b_data = b.get();
  step.epilogue.bias = b_data != nullptr;
  step.epilogue.activation = act == kRelu ? Activation::kRelu : Activation::kNone;
  run(step, {{dense(xv, &keep_x), dense(wv, &keep_w), b_data}, {y.data()}});
  if (act != kRelu) activate(act, y.data(), shape.n * shape.p * shape.q, shape.k);
  return y.finish();
}

py::array conv2d_dgrad(py::handle dy, py::handle kernel, py::handle input_shape, py::handle strides,
                       py::handle padding_value, py::handle dilation_rate, py::handle groups,
                       py::handle data_format, py::handle math, py::handle out) {
  const char* op = "conv2d_dgrad";
  const bool first = channels_first(op, data_format);
  const ArrayView dyv = image_view(op, "dy", dy, first), wv = float_view(op, "kernel", kernel, 4);
  int64_t x_shape[4];
  input_shape_of(op, input_shape, first, x_shape);
  OpDescriptor step = make_op(Step::k_conv2d_dgrad, math_of(op, math));
  const Conv2dShape& shape = step.conv2d_dgrad =
      conv2d_shape(op, x_shape, wv.shape, conv_window(op, strides, padding_value, dilation_rate, groups));
  expect_shape(op, dyv, {shape.n, shape.p, shape.q, shape.k});
  ImageOutput dx(op, out, first, x_shape, {&dyv, &wv});
  py::array keep_dy, keep_w;
  run(step, {{dense(dyv, &keep_dy), dense(wv, &keep_w), nullptr}, {dx.data()}});
  return dx.finish();
}

py::array conv2d_wgrad(py::handle x, py::handle dy, py::handle kernel_size, py::handle strides,
                       py::handle padding_value, py::handle dilation_rate, py::handle groups,
                       py::handle data_format, py::handle math, py::handle out) {
  const char* op = "conv2d_wgrad";
  const bool first = channels_first(op, data_format);
  const ArrayView xv = image_view(op, "x", x, first), dyv = image_view(op, "dy", dy, first);
  const Window window = conv_window(op, strides, padding_value, dilation_rate, groups);
  int64_t kernel[4];
  pair(op, "kernel_size", kernel_size, kernel);
  if (window.groups < 1)
    fail(Code::kArgument, "%s: groups is %lld, wanted at least 1", op, static_cast<long long>(window.groups));
  kernel[2] = xv.shape[3] / window.groups, kernel[3] = dyv.shape[3];
  if (kernel[2] == 0)
    fail(Code::kArgument, "%s: groups is %lld, wanted a divisor of the %lld input channels", op,
         static_cast<long long>(window.groups), static_cast<long long>(xv.shape[3]));
  OpDescriptor step = make_op(Step::k_conv2d_wgrad, math_of(op, math));
  const Conv2dShape& shape = step.conv2d_wgrad = conv2d_shape(op, xv.shape, kernel, window);
  expect_shape(op, dyv, {shape.n, shape.p, shape.q, shape.k});
  py::array dw = output(op, out, {kernel[0], kernel[1], kernel[2], kernel[3]}, {&xv, &dyv});
  py::array keep_x, keep_dy;
  run(step, {{dense(xv, &keep_x), dense(dyv, &keep_dy)}, {dw.mutable_data()}});
  return dw;
}

// The steps of one kind of pooling.
struct Pool {
  const char *fwd_name, *bwd_name;
  Step fwd, bwd;
};
const Pool kPools[3] = {
    {"max_pool2d", "max_pool2d_bwd", Step::k_max_pool2d_fwd, Step::k_max_pool2d_bwd},
    {"average_pool2d", "average_pool2d_bwd", Step::k_average_pool2d_fwd, Step::k_average_pool2d_bwd},
    {"sum_pool2d", "sum_pool2d_bwd", Step::k_sum_pool2d_fwd, Step::k_sum_pool2d_bwd}};

Pool2dShape pool_shape(const char* op, const int64_t x[4], py::handle pool_size, py::handle strides,
                       py::handle padding_value, py::handle ceil_mode) {
  int64_t size[2];
  pair(op, "pool_size", pool_size, size);
  Window window;
  if (strides.is_none())
    window.strides[0] = size[0], window.strides[1] = size[1];
  else
    pair(op, "strides", strides, window.strides);
  window.padding = padding(op, padding_value);
  return pool2d_shape(op, x, size, window, truth(op, "ceil_mode", ceil_mode));
}

template <int kind>
py::array pool2d(py::handle x, py::handle pool_size, py::handle strides, py::handle padding_value,
                 py::handle ceil_mode, py::handle data_format, py::handle out) {
  const char* op = kPools[kind].fwd_name;
  const bool first = channels_first(op, data_format);
  const ArrayView xv = image_view(op, "x", x, first);
  OpDescriptor step = make_op(kPools[kind].fwd);
  const Pool2dShape& shape = step.max_pool2d_fwd =
      pool_shape(op, xv.shape, pool_size, strides, padding_value, ceil_mode);
  const int64_t y_shape[4] = {shape.n, shape.p, shape.q, shape.c};
  ImageOutput y(op, out, first, y_shape, {&xv});
  py::array keep;
  run(step, {{dense(xv, &keep)}, {y.data()}});
  return y.finish();
}

// `x` is the input itself for max-pooling, whose gradient depends on it, and its shape for the others.
template <int kind>
py::array pool2d_bwd(py::handle dy, py::handle x, py::handle pool_size, py::handle strides,
                     py::handle padding_value, py::handle ceil_mode, py::handle data_format, py::handle out) {
  const char* op = kPools[kind].bwd_name;
  const bool first = channels_first(op, data_format);
  const ArrayView dyv = image_view(op, "dy", dy, first);
  ArrayView xv{};
  int64_t x_shape[4];
  if (kind == 0) {
    xv = image_view(op, "x", x, first);
    std::copy(xv.shape, xv.shape + 4, x_shape);
  } else {
    input_shape_of(op, x, first, x_shape);
  }
  OpDescriptor step = make_op(kPools[kind].bwd);
  const Pool2dShape& shape = step.max_pool2d_bwd =
      pool_shape(op, x_shape, pool_size, strides, padding_value, ceil_mode);
  expect_shape(op, dyv, {shape.n, shape.p, shape.q, shape.c});
  ImageOutput dx(op, out, first, x_shape, kind == 0 ? Inputs{&dyv, &xv} : Inputs{&dyv});
  py::array keep_dy, keep_x;
  run(step, {{dense(dyv, &keep_dy), kind == 0 ? dense(xv, &keep_x) : nullptr}, {dx.data()}});
  return dx.finish();
}

py::array gemm(py::handle a, py::handle b, py::handle transpose_a, py::handle transpose_b, py::handle bias,
               py::handle activation, py::handle out) {
  const char* op = "gemm";
  const ArrayView av = float_view(op, "a", a, 2), bv = float_view(op, "b", b, 2);
  const bool ta = truth(op, "transpose_a", transpose_a), tb = truth(op, "transpose_b", transpose_b);
  const int act = activation_of(op, activation);
  OpDescriptor step = make_op(Step::k_gemm);
  const GemmShape& shape = step.gemm = {av.shape[ta], bv.shape[!tb], av.shape[!ta], ta, tb};
  if (bv.shape[tb] != shape.k)
    fail(Code::kShape, "%s: a has shape %s%s and b %s%s, wanted equal inner sizes, got %lld and %lld", op,
         ShapeText(av.shape, 2).text, ta ? " transposed" : "", ShapeText(bv.shape, 2).text,
         tb ? " transposed" : "", static_cast<long long>(shape.k), static_cast<long long>(bv.shape[tb]));
  const int64_t y_shape[2] = {shape.m, shape.n};
  element_count(op, "the output", y_shape, 2);
  Bias bias_view(op, bias, shape.n);
  py::array y = output(op, out, {shape.m, shape.n}, {&av, &bv, bias_view.view()});
  py::array keep_a, keep_b;
  const float* bias_data = bias_view.get();
  step.epilogue.bias = bias_data != nullptr;
  step.epilogue.activation = act == kRelu ? Activation::kRelu : Activation::kNone;
  run(step, {{dense(av, &keep_a), dense(bv, &keep_b), bias_data, nullptr}, {y.mutable_data()}});
  if (act != kRelu) activate(act, static_cast<float*>(y.mutable_data()), shape.m, shape.n);
  return y;
}

// Elementwise operators and softmax (over the last axis), of any rank from 1.
const char* const kActivations[5] = {"", "relu", "sigmoid", "tanh", "softmax"};
const char* const kActivationsBwd[5] = {"", "relu_bwd", "sigmoid_bwd", "tanh_bwd", "softmax_bwd"};

ArrayView any_rank_view(const char* op, const char* argument, py::handle value) {
  const ArrayView v = view(op, argument, value);
  if (v.rank < 1) fail(Code::kShape, "%s: %s has rank 0, wanted at least 1", op, argument);
  return float_view(op, argument, value, v.rank);
}

OpDescriptor activation_step(int kind, bool bwd, const ArrayView& v) {
  const int64_t count = element_count("activation", "x", v.shape, v.rank), cols = v.shape[v.rank - 1];
  if (kind == kSoftmax) {
    OpDescriptor step = make_op(bwd ? Step::k_softmax_bwd : Step::k_softmax_fwd);
    step.softmax_fwd = {count / cols, cols};
    return step;
  }
  OpDescriptor step = make_op(bwd ? Step::k_activation_bwd : Step::k_activation_fwd);
  step.activation_fwd = {count, static_cast<Activation>(kind)};
  return step;
}

template <int kind>
py::array activation_fwd(py::handle x, py::handle out) {
  const char* op = kActivations[kind];
  const ArrayView xv = any_rank_view(op, "x", x);
  py::array y = output(op, out, std::vector<int64_t>(xv.shape, xv.shape + xv.rank), {&xv}), keep;
  run(activation_step(kind, false, xv), {{dense(xv, &keep)}, {y.mutable_data()}});
  return y;
}

template <int kind>
py::array activation_bwd(py::handle dy, py::handle y, py::handle out) {
  const char* op = kActivationsBwd[kind];
  const ArrayView dyv = any_rank_view(op, "dy", dy), yv = float_view(op, "y", y, dyv.rank);
  if (!std::equal(dyv.shape, dyv.shape + dyv.rank, yv.shape))
    fail(Code::kShape, "%s: dy has shape %s and y %s, wanted equal shapes", op,
         ShapeText(dyv.shape, dyv.rank).text, ShapeText(yv.shape, yv.rank).text);
  py::array dx = output(op, out, std::vector<int64_t>(yv.shape, yv.shape + yv.rank), {&dyv, &yv}), keep_dy,
            keep_y;
  run(activation_step(kind, true, yv), {{dense(dyv, &keep_dy), dense(yv, &keep_y)}, {dx.mutable_data()}});
  return dx;
}

}  // namespace

void bind_ops(py::module_& m) {
  m.def("conv2d", &conv2d, py::arg("x"), py::arg("kernel"), py::arg("bias"), py::arg("strides"),
        py::arg("padding"), py::arg("dilation_rate"), py::arg("groups"), py::arg("activation"),
        py::arg("data_format"), py::arg("math"), py::arg("out"));
  m.def("conv2d_dgrad", &conv2d_dgrad, py::arg("dy"), py::arg("kernel"), py::arg("input_shape"),
        py::arg("strides"), py::arg("padding"), py::arg("dilation_rate"), py::arg("groups"),
        py::arg("data_format"), py::arg("math"), py::arg("out"));
  m.def("conv2d_wgrad", &conv2d_wgrad, py::arg("x"), py::arg("dy"), py::arg("kernel_size"),
        py::arg("strides"), py::arg("padding"), py::arg("dilation_rate"), py::arg("groups"),
        py::arg("data_format"), py::arg("math"), py::arg("out"));
  const auto def_pool = [&m](const char* name, auto f) {
    m.def(name, f, py::arg("x"), py::arg("pool_size"), py::arg("strides"), py::arg("padding"),
          py::arg("ceil_mode"), py::arg("data_format"), py::arg("out"));
  };
  def_pool("max_pool2d", &pool2d<0>);
  def_pool("average_pool2d", &pool2d<1>);
  def_pool("sum_pool2d", &pool2d<2>);
  const auto def_pool_bwd = [&m](const char* name, const char* x, auto f) {
    m.def(name, f, py::arg("dy"), py::arg(x), py::arg("pool_size"), py::arg("strides"), py::arg("padding"),
          py::arg("ceil_mode"), py::arg("data_format"), py::arg("out"));
  };
  def_pool_bwd("max_pool2d_bwd", "x", &pool2d_bwd<0>);
  def_pool_bwd("average_pool2d_bwd", "input_shape", &pool2d_bwd<1>);
  def_pool_bwd("sum_pool2d_bwd", "input_shape", &pool2d_bwd<2>);
  m.def("gemm", &gemm, py::arg("a"), py::arg("b"), py::arg("transpose_a"), py::arg("transpose_b"),
        py::arg("bias"), py::arg("activation"), py::arg("out"));
  m.def("relu", &activation_fwd<kRelu>, py::arg("x"), py::arg("out"));
  m.def("sigmoid", &activation_fwd<kSigmoid>, py::arg("x"), py::arg("out"));
  m.def("tanh", &activation_fwd<kTanh>, py::arg("x"), py::arg("out"));
  m.def("softmax", &activation_fwd<kSoftmax>, py::arg("x"), py::arg("out"));
  m.def("relu_bwd", &activation_bwd<kRelu>, py::arg("dy"), py::arg("y"), py::arg("out"));
  m.def("sigmoid_bwd", &activation_bwd<kSigmoid>, py::arg("dy"), py::arg("y"), py::arg("out"));
  m.def("tanh_bwd", &activation_bwd<kTanh>, py::arg("dy"), py::arg("y"), py::arg("out"));
  m.def("softmax_bwd", &activation_bwd<kSoftmax>, py::arg("dy"), py::arg("y"), py::arg("out"));
}

}  // namespace fastcnn
