// SPDX-License-Identifier: Apache-2.0
// Rules of convolutions: plain, transposed and depthwise, of one to three spatial axes. All run the conv2d
// and conv3d steps: a sequence is an image of one row, a depthwise kernel [...,C,M] that of C groups. A
// transposed convolution runs the data gradient of the plain one that goes the other way, so its own data
// gradient is fprop, and its weight gradient takes x for dy. Of a separable convolution each half is a node;
// the roles of their kernels differ.
#include <algorithm>

#include "../operator.h"

namespace fastcnn {
namespace {

constexpr int kMask = 2, kPooledMask = 3, kSum = 4;    // operands of the dgrad steps
constexpr int kKernel = 1, kResidual = 3, kScale = 4;  // of the fprop steps
constexpr int kStatistics = 2;                         // output of those

struct Form {
  Op op;
  int rank;  // spatial axes
  bool transposed, depthwise;
};

constexpr Form kForms[] = {
    {Op::k_conv1d, 1, false, false},          {Op::k_conv2d, 2, false, false},
    {Op::k_conv3d, 3, false, false},          {Op::k_conv1d_transpose, 1, true, false},
    {Op::k_conv2d_transpose, 2, true, false}, {Op::k_conv3d_transpose, 3, true, false},
    {Op::k_depthwise_conv1d, 1, false, true}, {Op::k_depthwise_conv2d, 2, false, true},
};

const Form& form_of(Op op) {
  return *std::find_if(std::begin(kForms), std::end(kForms), [&](const Form& form) { return form.op == op; });
}

// What node.settings[0] counts.
const char* const kRoles[] = {"kernel", "depthwise_kernel", "pointwise_kernel"};
const char* role_of(const Node& node) { return kRoles[node.settings[0]]; }

// The kernel [size...] with its channels, as the layer has it.
std::vector<int64_t> kernel_shape(const Inference& f, const Form& form, const ConvWindow& window) {
  int64_t size[kMaxSpatial];
  f.attributes.sizes("kernel_size", form.rank, size);
  for (int i = 0; i < form.rank; ++i) f.positive("kernel_size", size[i]);
  std::vector<int64_t> kernel(size, size + form.rank);
  const int64_t channels = f.x().shape.back();
  if (form.depthwise) {
    kernel.insert(kernel.end(), {channels, f.positive("depth_multiplier")});
    return kernel;
  }
  const int64_t filters = f.positive("filters"), groups = f.positive("groups", window.groups);
  if (form.transposed && filters % groups)
    fail(Code::kArgument, "%s: groups is %lld, wanted a divisor of the %lld filters", f.label(),
         static_cast<long long>(groups), static_cast<long long>(filters));
  // A remainder of the channels of x is left for conv_shape() to refuse.
  const int64_t split = std::max<int64_t>((form.transposed ? filters : channels) / groups, 1);
  kernel.insert(kernel.end(), {split, form.transposed ? channels : filters});
  return kernel;
}

Conv3dShape shape_of(const Inference& f, const Form& form, ConvWindow window, std::vector<int64_t> kernel) {
  std::vector<int64_t> in = f.x().shape;
  in.insert(in.begin(), 1);
  if (form.transposed) return conv_transpose_shape(f.label(), in.data(), kernel.data(), window);
  if (form.depthwise) {
    window.groups = in.back();
    element_count(f.label(), "kernel", kernel.data(), static_cast<int>(kernel.size()));
    kernel[form.rank + 1] *= kernel[form.rank];
    kernel[form.rank] = 1;
  }
  return conv_shape(f.label(), in.data(), kernel.data(), window);
}

void infer(Inference& f) {
  const Form& form = form_of(f.node.op);
  f.need_spatial(form.rank);
  const ConvWindow window = f.attributes.conv_window(form.rank, form.op == Op::k_conv1d);
  const std::vector<int64_t> kernel = kernel_shape(f, form, window);
  const bool use_bias = f.attributes.flag("use_bias");
  const Conv3dShape shape = shape_of(f, form, window, kernel);

  const Conv2dShape& frame = shape.frame;
  OpDescriptor& op = f.node.forward;
  if (form.transposed) op.step = form.rank == kMaxSpatial ? Step::k_conv3d_dgrad : Step::k_conv2d_dgrad;
  if (form.rank == kMaxSpatial)
    op.conv3d_fprop = shape;  // the passes share this struct
  else
    op.conv2d_fprop = frame;
  op.epilogue.bias = use_bias;
  f.node.settings = {f.attributes.has("kernel_role")
                         ? f.attributes.choice("kernel_role", {kRoles[0], kRoles[1], kRoles[2]})
                         : 0};
  const int64_t in[] = {shape.d, frame.h, frame.w, frame.c}, out[] = {shape.z, frame.p, frame.q, frame.k};
  const int64_t* const y = form.transposed ? in : out;
  f.node.shape.assign(y + kMaxSpatial - form.rank, y + kMaxSpatial + 1);

  double taps = 1;
  for (int i = 0; i < form.rank; ++i) taps *= static_cast<double>(kernel[i]);
  f.node.flops = 2.0 * static_cast<double>(shape.z * frame.p * frame.q * frame.k) * taps *
                 static_cast<double>(frame.c / frame.groups);
  int64_t receptive = 1;
  for (int i = 0; i < form.rank; ++i) receptive *= kernel[i];
  f.parameter({role_of(f.node), kernel, receptive * kernel[form.rank], receptive * kernel[form.rank + 1]});
  const int64_t filters = f.node.shape.back();
  if (use_bias) f.parameter({"bias", {filters}, filters, filters});
}

// The step of another pass of the same convolution.
OpDescriptor step_of(Builder& b, int i, Step images, Step volumes) {
  const OpDescriptor y = b.forward_op(i);
  const bool volume = y.step == Step::k_conv3d_fprop || y.step == Step::k_conv3d_dgrad;
  OpDescriptor op = b.op(volume ? volumes : images);
  if (volume)
    op.conv3d_fprop = y.conv3d_fprop;
  else
    op.conv2d_fprop = y.conv2d_fprop;
  return op;
}

void forward(Builder& b, int i) {
  const Node& node = b.node(i);
  NewStep step = {b.forward_op(i), {b.value[node.inputs[0]], b.parameter(i, role_of(node))}, {}, ""};
  step.op.constant_weights = b.mode() != Mode::kTrain;
  if (form_of(node.op).transposed) {
    step.in.push_back(Ref{});  // dgrad: the mask stands before the bias
  } else {
    step.kernel = kKernel;
    step.kernel_floats = b.graph().parameters[b.graph().parameter(i, role_of(node))].count;
    if (step.op.step == Step::k_conv2d_fprop)
      step.residual = kResidual, step.scale = kScale, step.statistics = kStatistics;
  }
  forward_fused(b, i, step);
}

void gradient_pooled(Builder& b, int i) {
  const Node& node = b.node(i);
  const int u = node.inputs[0], pool = b.pooled[i];
  const Ref dy = b.gradient[i], places = b.saved[pool][0];
  weight_gradient(
      b, i, role_of(node),
      {pooled_step(b, Step::k_conv2d_wgrad_pooled, i, pool), {b.value[u], dy, places}, {}, node.name});
  if (b.needs_gradient[u])
    b.add_input_gradient(u,
                         {pooled_step(b, Step::k_conv2d_dgrad_pooled, i, pool),
                          {dy, places, b.parameter(i, role_of(node))},
                          {},
                          node.name},
                         kPooledMask);
}

void gradient(Builder& b, int i) {
  if (b.pooled[i] >= 0) return gradient_pooled(b, i);
  const Node& node = b.node(i);
  const int u = node.inputs[0];
  const bool transposed = form_of(node.op).transposed;
  const char* const role = role_of(node);
  Ref x = b.value[u], dy = b.gradient[i];
  if (transposed) std::swap(x, dy);
  weight_gradient(b, i, role,
                  {step_of(b, i, Step::k_conv2d_wgrad, Step::k_conv3d_wgrad), {x, dy}, {}, node.name});
  if (!b.needs_gradient[u]) return;
  const OpDescriptor op = transposed ? step_of(b, i, Step::k_conv2d_fprop, Step::k_conv3d_fprop)
                                     : step_of(b, i, Step::k_conv2d_dgrad, Step::k_conv3d_dgrad);
  NewStep step = {op, {b.gradient[i], b.parameter(i, role)}, {}, node.name};
  if (op.step == Step::k_conv2d_dgrad) step.residual = kSum;
  b.add_input_gradient(u, step, transposed ? Builder::kNoMask : kMask);
}

}  // namespace

const Rule rule_conv1d = {"Conv1D", 1, infer, forward, gradient};
const Rule rule_conv2d = {"Conv2D", 1, infer, forward, gradient};
const Rule rule_conv3d = {"Conv3D", 1, infer, forward, gradient};
const Rule rule_conv1d_transpose = {"Conv1DTranspose", 1, infer, forward, gradient};
const Rule rule_conv2d_transpose = {"Conv2DTranspose", 1, infer, forward, gradient};
const Rule rule_conv3d_transpose = {"Conv3DTranspose", 1, infer, forward, gradient};
const Rule rule_depthwise_conv1d = {"DepthwiseConv1D", 1, infer, forward, gradient};
const Rule rule_depthwise_conv2d = {"DepthwiseConv2D", 1, infer, forward, gradient};

}  // namespace fastcnn
