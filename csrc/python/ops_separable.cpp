// SPDX-License-Identifier: Apache-2.0
// Separable convolutions on arrays: a depthwise convolution, whose result `mid` [N,...,C M] nobody sees, then
// a pointwise one, conv2d with a kernel of one pixel over all of mid's. Backwards mid is computed again, or
// its gradient is.
#include "convolution.h"
#include "function.h"
#include "ops.h"

namespace fastcnn {
namespace {

using H = py::handle;

class Separable {
 public:
  Separable(const ConvCall& call, int rank)
      : depthwise_(call, {ConvOperator::kDepthwise, rank}, "depthwise_kernel") {}

  ArrayView image(const char* argument, H value) const { return depthwise_.image(argument, value); }
  ArrayView depthwise_kernel(H value) const { return depthwise_.kernel(value); }
  ArrayView pointwise_kernel(H value) const {
    return stored_view(depthwise_.op(), "pointwise_kernel", value, depthwise_.rank());
  }
  Convolution& depthwise() { return depthwise_; }

  // After depthwise().set_shape(): the pointwise convolution to `filters` channels, and y_shape().
  void set_filters(int64_t filters) {
    const int rank = depthwise_.rank();
    std::copy(depthwise_.y_shape(), depthwise_.y_shape() + rank, y_shape_);
    y_shape_[rank - 1] = filters;
    element_count(depthwise_.op(), "the output", y_shape_, rank);
    pointwise_ = {};
    pointwise_.n = y_shape_[0];
    pointwise_.h = pointwise_.p = rank > 3 ? y_shape_[1] : 1;
    pointwise_.w = pointwise_.q = y_shape_[rank - 2];
    pointwise_.r = pointwise_.s = 1;
    pointwise_.c = depthwise_.channels_out(), pointwise_.k = filters;
    pointwise_.stride_h = pointwise_.stride_w = pointwise_.dilation_h = pointwise_.dilation_w = 1;
    pointwise_.groups = 1;
  }
  void expect_pointwise(const ArrayView& kernel) const {
    int64_t wanted[kMaxRank] = {1, 1, 1, 1, 1};
    const int rank = depthwise_.rank();
    wanted[rank - 2] = depthwise_.channels_out(), wanted[rank - 1] = kernel.shape[rank - 1];
    expect_shape(depthwise_.op(), kernel, wanted);
  }
  const int64_t* y_shape() const { return y_shape_; }

  OpDescriptor pointwise(Step step) const {
    OpDescriptor op = make_op(step, depthwise_.math());
    (step == Step::k_conv2d_fprop   ? op.conv2d_fprop
     : step == Step::k_conv2d_dgrad ? op.conv2d_dgrad
                                    : op.conv2d_wgrad) = pointwise_;
    return op;
  }
  // What lies between the two, or its gradient.
  Array mid(const ArrayView& like) const {
    return array_like(like, "what lies between the two convolutions",
                      {depthwise_.y_shape(), depthwise_.y_shape() + depthwise_.rank()});
  }

 private:
  Convolution depthwise_;
  Conv2dShape pointwise_{};
  int64_t y_shape_[kMaxRank] = {};
};

Array fprop(const ConvCall& call, int rank, H x, H depthwise_kernel, H pointwise_kernel, H bias, H activation,
            H out) {
  Separable conv(call, rank);
  const char* op = call.op.c_str();
  const ArrayView xv = conv.image("x", x), dv = conv.depthwise_kernel(depthwise_kernel),
                  pv = conv.pointwise_kernel(pointwise_kernel);
  const int act = activation_of(op, activation);
  conv.depthwise().set_shape(xv.shape, dv.shape);
  conv.expect_pointwise(pv);
  const int64_t filters = pv.shape[pv.rank - 1];
  conv.set_filters(filters);
  Bias b(op, bias, filters);
  ImageOutput y = conv.depthwise().image_output(out, conv.y_shape(), {&xv, &dv, &pv, b.view()});

  Array keep_x, keep_d, keep_p, mid = conv.mid(xv);
  const void* b_data = b.get();
  const void *x_data = dense(xv, &keep_x), *d_data = dense(dv, &keep_d), *p_data = dense(pv, &keep_p);
  run(xv, conv.depthwise().step(ConvPass::kFprop), {{x_data, d_data, nullptr}, {mid.mutable_data()}});
  OpDescriptor step = conv.pointwise(Step::k_conv2d_fprop);
  step.epilogue.bias = b_data != nullptr;
  step.epilogue.activation = act == kRelu ? Activation::kRelu : Activation::kNone;
  run(xv, step, {{mid.data(), p_data, b_data}, {y.data()}});
  if (act != kRelu) activate(xv, act, y.data(), conv.depthwise().pixels_out(), filters);
  return y.finish();
}

Array dgrad(const ConvCall& call, int rank, H dy, H depthwise_kernel, H pointwise_kernel, H input_shape,
            H out) {
  Separable conv(call, rank);
  const ArrayView dyv = conv.image("dy", dy), dv = conv.depthwise_kernel(depthwise_kernel),
                  pv = conv.pointwise_kernel(pointwise_kernel);
  int64_t x_shape[kMaxRank];
  conv.depthwise().input_shape(input_shape, x_shape);
  conv.depthwise().set_shape(x_shape, dv.shape);
  conv.expect_pointwise(pv);
  conv.set_filters(pv.shape[pv.rank - 1]);
  expect_shape(call.op.c_str(), dyv, conv.y_shape());
  ImageOutput dx = conv.depthwise().image_output(out, x_shape, {&dyv, &dv, &pv});

  Array keep_dy, keep_d, keep_p, mid = conv.mid(dyv);
  const void *dy_data = dense(dyv, &keep_dy), *d_data = dense(dv, &keep_d), *p_data = dense(pv, &keep_p);
  run(dyv, conv.pointwise(Step::k_conv2d_dgrad), {{dy_data, p_data, nullptr}, {mid.mutable_data()}});
  run(dyv, conv.depthwise().step(ConvPass::kDgrad), {{mid.data(), d_data, nullptr}, {dx.data()}});
  return dx.finish();
}

Array depthwise_wgrad(const ConvCall& call, int rank, H x, H dy, H pointwise_kernel, H kernel_size, H out) {
  Separable conv(call, rank);
  const char* op = call.op.c_str();
  const ArrayView xv = conv.image("x", x), dyv = conv.image("dy", dy),
                  pv = conv.pointwise_kernel(pointwise_kernel);
  // mid has as many channels as the pointwise kernel reads.
  int64_t mid_channels[kMaxRank] = {}, kernel[kMaxRank];
  mid_channels[pv.rank - 1] = pv.shape[pv.rank - 2];
  if (mid_channels[pv.rank - 1] % xv.shape[xv.rank - 1])
    fail(Code::kShape,
         "%s: pointwise_kernel has shape %s, wanted a multiple of the %lld channels of x in its "
         "last place but one",
         op, ShapeText(pv.shape, pv.rank).text, static_cast<long long>(xv.shape[xv.rank - 1]));
  conv.depthwise().kernel_shape(kernel_size, xv.shape, mid_channels, kernel);
  conv.depthwise().set_shape(xv.shape, kernel);
  conv.expect_pointwise(pv);
  conv.set_filters(pv.shape[pv.rank - 1]);
  expect_shape(op, dyv, conv.y_shape());
  Array dw = output(op, out, {kernel, kernel + xv.rank}, {&xv, &dyv, &pv});

  Array keep_x, keep_dy, keep_p, mid = conv.mid(xv);
  const void *x_data = dense(xv, &keep_x), *dy_data = dense(dyv, &keep_dy), *p_data = dense(pv, &keep_p);
  run(xv, conv.pointwise(Step::k_conv2d_dgrad), {{dy_data, p_data, nullptr}, {mid.mutable_data()}});
  run(xv, conv.depthwise().step(ConvPass::kWgrad), {{x_data, mid.data()}, {dw.mutable_data()}});
  return dw;
}

Array pointwise_wgrad(const ConvCall& call, int rank, H x, H dy, H depthwise_kernel, H out) {
  Separable conv(call, rank);
  const char* op = call.op.c_str();
  const ArrayView xv = conv.image("x", x), dyv = conv.image("dy", dy),
                  dv = conv.depthwise_kernel(depthwise_kernel);
  conv.depthwise().set_shape(xv.shape, dv.shape);
  const int64_t filters = dyv.shape[dyv.rank - 1];
  conv.set_filters(filters);
  expect_shape(op, dyv, conv.y_shape());
  std::vector<int64_t> kernel(static_cast<size_t>(xv.rank), 1);
  kernel[kernel.size() - 2] = conv.depthwise().channels_out(), kernel[kernel.size() - 1] = filters;
  Array dw = output(op, out, kernel, {&xv, &dyv, &dv});

  Array keep_x, keep_dy, keep_d, mid = conv.mid(xv);
  const void *x_data = dense(xv, &keep_x), *dy_data = dense(dyv, &keep_dy), *d_data = dense(dv, &keep_d);
  run(xv, conv.depthwise().step(ConvPass::kFprop), {{x_data, d_data, nullptr}, {mid.mutable_data()}});
  run(xv, conv.pointwise(Step::k_conv2d_wgrad), {{mid.data(), dy_data}, {dw.mutable_data()}});
  return dw;
}

// No groups but those of the depthwise half.
template <int rank>
void bind(py::module_& m, const std::string& name) {
  const auto call = [](const std::string& op, H strides, H padding, H dilation_rate, H data_format, H math) {
    static const py::int_& one = *new py::int_(1);  // never freed: the interpreter may be gone by then
    return ConvCall{op, strides, padding, py::none(), dilation_rate, one, data_format, math};
  };
  def(m, name,
      [=](H x, H depthwise_kernel, H pointwise_kernel, H bias, H strides, H padding, H dilation_rate,
          H activation, H data_format, H math, H out) {
        return fprop(call(name, strides, padding, dilation_rate, data_format, math), rank, x,
                     depthwise_kernel, pointwise_kernel, bias, activation, out);
      });
  const std::string dgrad_name = name + "_dgrad";
  def(m, dgrad_name,
      [=](H dy, H depthwise_kernel, H pointwise_kernel, H input_shape, H strides, H padding, H dilation_rate,
          H data_format, H math, H out) {
        return dgrad(call(dgrad_name, strides, padding, dilation_rate, data_format, math), rank, dy,
                     depthwise_kernel, pointwise_kernel, input_shape, out);
      });
  const std::string depthwise_name = name + "_depthwise_wgrad";
  def(m, depthwise_name,
      [=](H x, H dy, H pointwise_kernel, H kernel_size, H strides, H padding, H dilation_rate, H data_format,
          H math, H out) {
        return depthwise_wgrad(call(depthwise_name, strides, padding, dilation_rate, data_format, math), rank,
                               x, dy, pointwise_kernel, kernel_size, out);
      });
  const std::string pointwise_name = name + "_pointwise_wgrad";
  def(m, pointwise_name,
      [=](H x, H dy, H depthwise_kernel, H strides, H padding, H dilation_rate, H data_format, H math,
          H out) {
        return pointwise_wgrad(call(pointwise_name, strides, padding, dilation_rate, data_format, math), rank,
                               x, dy, depthwise_kernel, out);
      });
}

}  // namespace

void bind_separable_ops(py::module_& m) {
  bind<1>(m, "separable_conv1d");
  bind<2>(m, "separable_conv2d");
}

}  // namespace fastcnn
