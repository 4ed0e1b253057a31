// SPDX-License-Identifier: Apache-2.0
#include "convolution.h"

#include <algorithm>

namespace fastcnn {

Convolution::Convolution(const ConvCall& call, const ConvOperator& is, const char* kernel_name)
    : op_(call.op.c_str()), kernel_name_(kernel_name), is_(is), rank_(is.rank + 2) {
  first_ = channels_first(op_, call.data_format);
  const bool causal = is.kind == ConvOperator::kPlain && is.rank == 1;
  window_ =
      conv_window(op_, is.rank,
                  {call.strides, call.padding, call.dilation_rate, call.groups, call.output_padding, causal});
  math_ = math_of(op_, call.math);
}

ArrayView Convolution::image(const char* argument, py::handle value) const {
  return image_view(op_, argument, value, first_, rank_);
}

ArrayView Convolution::kernel(py::handle value) const { return stored_view(op_, kernel_name_, value, rank_); }

void Convolution::input_shape(py::handle value, int64_t* shape) const {
  input_shape_of(op_, value, first_, shape, rank_);
}

ImageOutput Convolution::image_output(py::handle out, const int64_t* shape, Inputs inputs) const {
  return ImageOutput(op_, out, first_, shape, inputs, rank_);
}

void Convolution::kernel_shape(py::handle kernel_size, const int64_t* x, const int64_t* dy,
                               int64_t* kernel) const {
  sizes(op_, "kernel_size", kernel_size, is_.rank, kernel);
  const int64_t c = x[rank_ - 1], k = dy[rank_ - 1];
  if (is_.kind == ConvOperator::kDepthwise) {
    if (k % c)
      fail(Code::kShape, "%s: dy has %lld channels, wanted a multiple of the %lld channels of x", op_,
           static_cast<long long>(k), static_cast<long long>(c));
    kernel[is_.rank] = c, kernel[is_.rank + 1] = k / c;
    return;
  }
  const int64_t split = transposed() ? k : c,
                groups = window_.groups;  // what the groups divide in the kernel
  if (groups < 1 || split % groups)
    fail(Code::kArgument, "%s: groups is %lld, wanted a divisor of the %lld %s channels", op_,
         static_cast<long long>(groups), static_cast<long long>(split), transposed() ? "output" : "input");
  kernel[is_.rank] = split / groups, kernel[is_.rank + 1] = transposed() ? c : k;
}

void Convolution::set_shape(const int64_t* x, const int64_t* kernel) {
  int64_t weights[kMaxRank];
  std::copy(kernel, kernel + rank_, weights);
  if (is_.kind == ConvOperator::kDepthwise) {
    const int64_t channels = x[rank_ - 1];
    if (kernel[rank_ - 2] != channels)
      fail(
          Code::kShape,
          "%s: %s has shape %s (..., channels, depth_multiplier), wanted %lld in its last place but one, the "
          "channels of x",
          op_, kernel_name_, ShapeText(kernel, rank_).text, static_cast<long long>(channels));
    window_.groups = channels;
    weights[rank_ - 2] = 1, weights[rank_ - 1] = kernel[rank_ - 2] * kernel[rank_ - 1];
  }
  shape_ =
      transposed() ? conv_transpose_shape(op_, x, weights, window_) : conv_shape(op_, x, weights, window_);
  const Conv2dShape& f = shape_.frame;
  const int64_t in[] = {shape_.d, f.h, f.w, f.c}, out[] = {shape_.z, f.p, f.q, f.k};
  const int64_t* const y = transposed() ? in : out;
  y_shape_[0] = x[0];
  std::copy(y + kMaxSpatial - is_.rank, y + kMaxSpatial + 1, y_shape_ + 1);
}

int64_t Convolution::pixels_out() const {
  int64_t pixels = 1;
  for (int i = 0; i < rank_ - 1; ++i) pixels *= y_shape_[i];
  return pixels;
}

OpDescriptor Convolution::step(ConvPass pass) const {
  if (transposed() && pass != ConvPass::kWgrad)
    pass = pass == ConvPass::kFprop ? ConvPass::kDgrad : ConvPass::kFprop;
  const bool volume = is_.rank == kMaxSpatial;
  OpDescriptor op = make_op(Step::k_none, math_);
  if (pass == ConvPass::kFprop) {
    op.step = volume ? Step::k_conv3d_fprop : Step::k_conv2d_fprop;
    volume ? void(op.conv3d_fprop = shape_) : void(op.conv2d_fprop = shape_.frame);
  } else if (pass == ConvPass::kDgrad) {
    op.step = volume ? Step::k_conv3d_dgrad : Step::k_conv2d_dgrad;
    volume ? void(op.conv3d_dgrad = shape_) : void(op.conv2d_dgrad = shape_.frame);
  } else {
    op.step = volume ? Step::k_conv3d_wgrad : Step::k_conv2d_wgrad;
    volume ? void(op.conv3d_wgrad = shape_) : void(op.conv2d_wgrad = shape_.frame);
  }
  return op;
}

}  // namespace fastcnn
