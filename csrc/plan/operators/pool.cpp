// SPDX-License-Identifier: Apache-2.0
// Rules of pooling.
#include "../operator.h"

namespace fastcnn {
namespace {

constexpr int kMask = 1;  // operand of average_pool2d_bwd and sum_pool2d_bwd

void infer(Inference& f) {
  f.need_image();
  int64_t size[2];
  Window window;
  f.attributes.pair("pool_size", size);
  f.attributes.pair("strides", window.strides);
  window.padding = f.attributes.padding();
  const bool ceil_mode = f.attributes.flag("ceil_mode");
  const std::vector<int64_t>& x = f.x().shape;
  const int64_t in[4] = {1, x[0], x[1], x[2]};
  const Pool2dShape shape = pool2d_shape(f.label(), in, size, window, ceil_mode);
  f.node.forward.max_pool2d_fwd = shape;  // the pools share this struct
  f.node.shape = {shape.p, shape.q, shape.c};
  f.node.flops = static_cast<double>(shape.p * shape.q * shape.c) * static_cast<double>(shape.r * shape.s);
}

void gradient_max(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  OpDescriptor op = b.op(Step::k_max_pool2d_bwd);
  op.max_pool2d_bwd = b.forward_op(i).max_pool2d_fwd;
  b.add_input_gradient(u, {op, {b.gradient[i], b.value[u]}, {}, b.node(i).name}, Builder::kMaskIsRead);
}

void gradient_linear(Builder& b, int i, Step step) {
  OpDescriptor op = b.op(step);
  op.average_pool2d_bwd = b.forward_op(i).average_pool2d_fwd;
  b.add_input_gradient(b.node(i).inputs[0], {op, {b.gradient[i]}, {}, b.node(i).name}, kMask);
}

void gradient_average(Builder& b, int i) { gradient_linear(b, i, Step::k_average_pool2d_bwd); }
void gradient_sum(Builder& b, int i) { gradient_linear(b, i, Step::k_sum_pool2d_bwd); }

}  // namespace

const Rule rule_max_pool2d = {"MaxPooling2D", 1, infer, forward_step, gradient_max};
const Rule rule_average_pool2d = {"AveragePooling2D", 1, infer, forward_step, gradient_average};
const Rule rule_sum_pool2d = {"SumPooling2D", 1, infer, forward_step, gradient_sum};

}  // namespace fastcnn
