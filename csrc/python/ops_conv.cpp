// SPDX-License-Identifier: Apache-2.0
// conv2d and its two gradients on arrays.
#include "eager.h"
#include "ops.h"

namespace fastcnn {
namespace {

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

}  // namespace

void bind_conv_ops(py::module_& m) {
  m.def("conv2d", &conv2d, py::arg("x"), py::arg("kernel"), py::arg("bias"), py::arg("strides"),
        py::arg("padding"), py::arg("dilation_rate"), py::arg("groups"), py::arg("activation"),
        py::arg("data_format"), py::arg("math"), py::arg("out"));
  m.def("conv2d_dgrad", &conv2d_dgrad, py::arg("dy"), py::arg("kernel"), py::arg("input_shape"),
        py::arg("strides"), py::arg("padding"), py::arg("dilation_rate"), py::arg("groups"),
        py::arg("data_format"), py::arg("math"), py::arg("out"));
  m.def("conv2d_wgrad", &conv2d_wgrad, py::arg("x"), py::arg("dy"), py::arg("kernel_size"),
        py::arg("strides"), py::arg("padding"), py::arg("dilation_rate"), py::arg("groups"),
        py::arg("data_format"), py::arg("math"), py::arg("out"));
}

}  // namespace fastcnn
