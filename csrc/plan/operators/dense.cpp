// SPDX-License-Identifier: Apache-2.0
// Rules of the dense layer: y = x w, dw = x^T dy, dx = dy w^T over the last axis.
#include "../operator.h"

namespace fastcnn {
namespace {

constexpr int kMask = 3;  // operand of gemm

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

void forward(Builder& b, int i) {
  forward_fused(b, i, {b.forward_op(i), {b.value[b.node(i).inputs[0]], b.parameter(i, "kernel")}, {}, ""});
}

void gradient(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0];
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
