// SPDX-License-Identifier: Apache-2.0
// Rules of convolution.
#include <algorithm>

#include "../operator.h"

namespace fastcnn {
namespace {

constexpr int kMask = 2;  // operand of conv2d_dgrad

void infer(Inference& f) {
  f.need_image();
  Window window;
  const int64_t filters = f.positive("filters");
  int64_t size[2];
  f.attributes.pair("kernel_size", size);
  f.positive("kernel_size", size[0]);
  f.positive("kernel_size", size[1]);
  f.attributes.pair("strides", window.strides);
  window.padding = f.attributes.padding();
  f.attributes.pair("dilation_rate", window.dilation_rate);
  window.groups = f.positive("groups");
  const bool use_bias = f.attributes.flag("use_bias");

  const std::vector<int64_t>& x = f.x().shape;
  const int64_t in[4] = {1, x[0], x[1], x[2]};
  // A remainder is left for conv2d_shape() to refuse.
  const std::vector<int64_t> kernel = {size[0], size[1], std::max<int64_t>(x[2] / window.groups, 1), filters};
  const Conv2dShape shape = conv2d_shape(f.label(), in, kernel.data(), window);
  f.node.forward.conv2d_fprop = shape;
  f.node.forward.epilogue.bias = use_bias;
  f.node.shape = {shape.p, shape.q, shape.k};
  const double taps = static_cast<double>(size[0]) * static_cast<double>(size[1]);
  f.node.flops =
      2.0 * static_cast<double>(shape.p * shape.q * shape.k) * taps * static_cast<double>(kernel[2]);
  f.parameter({"kernel", kernel, size[0] * size[1] * kernel[2], size[0] * size[1] * filters});
  if (use_bias) f.parameter({"bias", {filters}, filters, filters});
}

void forward(Builder& b, int i) {
  forward_fused(b, i, {b.forward_op(i), {b.value[b.node(i).inputs[0]], b.parameter(i, "kernel")}, {}, ""});
}

void gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  const Conv2dShape shape = b.forward_op(i).conv2d_fprop;
  OpDescriptor wgrad = b.op(Step::k_conv2d_wgrad);
  wgrad.conv2d_wgrad = shape;
  b.add_parameter_gradient(i, "kernel", {wgrad, {b.value[u], b.gradient[i]}, {}, node.name});
  bias_gradient(b, i);
  if (!b.needs_gradient[u]) return;
  OpDescriptor dgrad = b.op(Step::k_conv2d_dgrad);
  dgrad.conv2d_dgrad = shape;
  b.add_input_gradient(u, {dgrad, {b.gradient[i], b.parameter(i, "kernel")}, {}, node.name}, kMask);
}

}  // namespace

const Rule rule_conv2d = {"Conv2D", 1, infer, forward, gradient};

}  // namespace fastcnn
