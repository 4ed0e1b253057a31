// SPDX-License-Identifier: Apache-2.0
// Rules of the dense layer: y = x w, dw = x^T dy, dx = dy w^T over the last axis. With the batch in lanes it
// is a convolution: over the last axis one of a single tap, and of what was flattened one whose window is the
// image.
#include "../operator.h"

namespace fastcnn {
namespace {

constexpr int kMask = 3, kConvMask = 2;  // operand of gemm, of conv2d_dgrad

void infer(Inference& f) {
  const int64_t units = f.positive("units"), in = f.x().shape.back();
  const bool use_bias = f.attributes.flag("use_bias");
  f.node.forward.gemm = {f.x().count / in, units, in, 0, 0};
  f.node.forward.epilogue.bias = use_bias;
  f.node.shape.back() = units;
  f.node.flops = 2.0 * static_cast<double>(f.x().count) * static_cast<double>(units);
  f.parameter({"kernel", {in, units}, in, units});
  if (use_bias) f.parameter({"bias", {units}, units, units});
}

OpDescriptor convolution(Builder& b, int i, Step step) {
  const int u = b.node(i).inputs[0];
  const GemmShape& y = b.node(i).forward.gemm;
  const int64_t rows = y.m, c = b.lies_as[u].back();
  OpDescriptor op = b.op(step);
  Conv2dShape& s = op.conv2d_fprop;  // the passes share this struct
  s.n = b.batch(), s.c = c, s.k = y.n;
  s.h = b.node(u).count / c, s.w = 1, s.p = rows, s.q = 1;
  s.r = s.h / rows, s.s = 1;
  s.stride_h = s.stride_w = s.dilation_h = s.dilation_w = s.groups = 1;
  return op;
}

void forward(Builder& b, int i) {
  NewStep step = {b.forward_op(i), {b.value[b.node(i).inputs[0]], b.parameter(i, "kernel")}, {}, ""};
  if (b.in_lanes()) {
    step.op = convolution(b, i, Step::k_conv2d_fprop);
    step.op.epilogue = b.node(i).forward.epilogue;
  }
  step.op.constant_weights = b.mode() != Mode::kTrain;
  step.kernel = 1, step.kernel_floats = b.node(i).forward.gemm.k * b.node(i).forward.gemm.n;
  forward_fused(b, i, step);
}

void gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  if (b.in_lanes()) {
    weight_gradient(b, i, "kernel",
                    {convolution(b, i, Step::k_conv2d_wgrad), {b.value[u], b.gradient[i]}, {}, node.name});
    if (!b.needs_gradient[u]) return;
    return b.add_input_gradient(
        u,
        {convolution(b, i, Step::k_conv2d_dgrad), {b.gradient[i], b.parameter(i, "kernel")}, {}, node.name},
        kConvMask);
  }
  const GemmShape y = b.forward_op(i).gemm;
  OpDescriptor wgrad = b.op(Step::k_gemm);
  wgrad.gemm = {y.k, y.n, y.m, 1, 0};
  b.add_parameter_gradient(i, "kernel", {wgrad, {b.value[u], b.gradient[i]}, {}, node.name});
  bias_gradient(b, i);
  if (!b.needs_gradient[u]) return;
  OpDescriptor dgrad = b.op(Step::k_gemm);
  dgrad.gemm = {y.m, y.k, y.n, 0, 1};
  b.add_input_gradient(u, {dgrad, {b.gradient[i], b.parameter(i, "kernel")}, {}, node.name}, kMask);
}

}  // namespace

const Rule rule_dense = {"Dense", 1, infer, forward, gradient};

}  // namespace fastcnn
