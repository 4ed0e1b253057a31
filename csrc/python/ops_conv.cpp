// SPDX-License-Identifier: Apache-2.0
// Convolutions on arrays: plain, transposed and depthwise, of one to three spatial axes, each with its two
// gradients. An operator comes in by its name: its arguments are the same whatever its kind and rank.
#include <algorithm>

#include "convolution.h"
#include "function.h"
#include "ops.h"

namespace fastcnn {
namespace {

struct Named {
  const char* name;
  ConvOperator is;
};

constexpr Named kOperators[] = {
    {"conv1d", {ConvOperator::kPlain, 1}},
    {"conv2d", {ConvOperator::kPlain, 2}},
    {"conv3d", {ConvOperator::kPlain, 3}},
    {"conv1d_transpose", {ConvOperator::kTransposed, 1}},
    {"conv2d_transpose", {ConvOperator::kTransposed, 2}},
    {"conv3d_transpose", {ConvOperator::kTransposed, 3}},
    {"depthwise_conv1d", {ConvOperator::kDepthwise, 1}},
    {"depthwise_conv2d", {ConvOperator::kDepthwise, 2}},
};

const ConvOperator& operator_of(const std::string& op, const char* suffix) {
  for (const Named& one : kOperators)
    if (op == std::string(one.name) + suffix) return one.is;
  fail(Code::kArgument, "%.60s: there is no convolution of this name", op.c_str());
}

Array fprop(const ConvCall& call, py::handle x, py::handle kernel, py::handle bias, py::handle activation,
            py::handle out) {
  Convolution conv(call, operator_of(call.op, ""));
  const ArrayView xv = conv.image("x", x), wv = conv.kernel(kernel);
  const int act = activation_of(conv.op(), activation);
  conv.set_shape(xv.shape, wv.shape);
  Bias b(conv.op(), bias, conv.channels_out());
  ImageOutput y = conv.image_output(out, conv.y_shape(), {&xv, &wv, b.view()});

  Array keep_x, keep_w;
  const void* b_data = b.get();
  OpDescriptor step = conv.step(ConvPass::kFprop);
  step.epilogue.bias = b_data != nullptr;
  step.epilogue.activation = act == kRelu ? Activation::kRelu : Activation::kNone;
  Operands operands{{dense(xv, &keep_x), dense(wv, &keep_w)}, {y.data()}};
  operands.in[conv.transposed() ? 3 : 2] = b_data;
  run(xv, step, operands);
  if (act != kRelu) activate(xv, act, y.data(), conv.pixels_out(), conv.channels_out());
  return y.finish();
}

Array dgrad(const ConvCall& call, py::handle dy, py::handle kernel, py::handle input_shape, py::handle out) {
  Convolution conv(call, operator_of(call.op, "_dgrad"));
  const ArrayView dyv = conv.image("dy", dy), wv = conv.kernel(kernel);
  int64_t x_shape[kMaxRank];
  conv.input_shape(input_shape, x_shape);
  conv.set_shape(x_shape, wv.shape);
  expect_shape(conv.op(), dyv, conv.y_shape());
  ImageOutput dx = conv.image_output(out, x_shape, {&dyv, &wv});
  Array keep_dy, keep_w;
  run(dyv, conv.step(ConvPass::kDgrad), {{dense(dyv, &keep_dy), dense(wv, &keep_w)}, {dx.data()}});
  return dx.finish();
}

Array wgrad(const ConvCall& call, py::handle x, py::handle dy, py::handle kernel_size, py::handle out) {
  Convolution conv(call, operator_of(call.op, "_wgrad"));
  const ArrayView xv = conv.image("x", x), dyv = conv.image("dy", dy);
  int64_t kernel[kMaxRank];
  conv.kernel_shape(kernel_size, xv.shape, dyv.shape, kernel);
  conv.set_shape(xv.shape, kernel);
  expect_shape(conv.op(), dyv, conv.y_shape());
  Array dw = output(conv.op(), out, {kernel, kernel + conv.rank()}, {&xv, &dyv});
  Array keep_x, keep_dy;
  const void *a = dense(xv, &keep_x), *b = dense(dyv, &keep_dy);
  if (conv.transposed()) std::swap(a, b);  // the convolution's input is y
  run(xv, conv.step(ConvPass::kWgrad), {{a, b}, {dw.mutable_data()}});
  return dw;
}

}  // namespace

void bind_conv_ops(py::module_& m) {
  using H = py::handle;
  def(m, "conv",
      [](H op, H x, H kernel, H bias, H strides, H padding, H output_padding, H dilation_rate, H groups,
         H activation, H data_format, H math, H out) {
        return fprop({text("conv", "op", op), strides, padding, output_padding, dilation_rate, groups,
                      data_format, math},
                     x, kernel, bias, activation, out);
      });
  def(m, "conv_dgrad",
      [](H op, H dy, H kernel, H input_shape, H strides, H padding, H output_padding, H dilation_rate,
         H groups, H data_format, H math, H out) {
        return dgrad({text("conv", "op", op), strides, padding, output_padding, dilation_rate, groups,
                      data_format, math},
                     dy, kernel, input_shape, out);
      });
  def(m, "conv_wgrad",
      [](H op, H x, H dy, H kernel_size, H strides, H padding, H output_padding, H dilation_rate, H groups,
         H data_format, H math, H out) {
        return wgrad({text("conv", "op", op), strides, padding, output_padding, dilation_rate, groups,
                      data_format, math},
                     x, dy, kernel_size, out);
      });
}

}  // namespace fastcnn
