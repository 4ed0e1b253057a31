// SPDX-License-Identifier: Apache-2.0
// See validate_conv.h.
#include "validate_conv.h"

#include <algorithm>

namespace fastcnn {

const char* axis_name(int rank, int axis) {
  static const char* const names[kMaxSpatial][kMaxSpatial] = {
      {"length"}, {"height", "width"}, {"depth", "height", "width"}};
  return names[rank - 1][axis];
}

void check_parameter(const char* op, const char* argument, const int64_t* value, int rank, int64_t least) {
  for (int i = 0; i < rank; ++i)
    if (value[i] < least || value[i] >= kMaxParameter)
      fail(Code::kArgument, "%s: %s is %s, wanted whole numbers from %lld to 2**31 - 1", op, argument,
           ShapeText(value, rank).text, static_cast<long long>(least));
}

void check_window(const char* op, const ConvWindow& w) {
  check_parameter(op, "strides", w.strides, w.rank, 1);
  check_parameter(op, "dilation_rate", w.dilation_rate, w.rank, 1);
  check_parameter(op, "padding before", w.before, w.rank, 0);
  check_parameter(op, "padding after", w.after, w.rank, 0);
  if (w.output_padding_given) check_parameter(op, "output_padding", w.output_padding, w.rank, 0);
  for (int i = 0; i < w.rank && w.output_padding_given; ++i) {
    const int64_t most = std::max(w.strides[i], w.dilation_rate[i]);
    if (w.output_padding[i] >= most)
      fail(Code::kArgument,
           "%s: output_padding is %s, wanted less than %lld in %s, the larger of strides and dilation_rate",
           op, ShapeText(w.output_padding, w.rank).text, static_cast<long long>(most), axis_name(w.rank, i));
  }
}

Walk walk(const char* op, int axis, int64_t in, int64_t extent, const ConvWindow& window) {
  const int64_t stride = window.strides[axis];
  Walk result{};
  result.in = in;
  if (window.padding == ConvWindow::kSame) {
    result.out = (in + stride - 1) / stride;
    const int64_t total = std::max<int64_t>(0, (result.out - 1) * stride + extent - in);
    result.before = total / 2;
    result.after = total - result.before;
    return result;
  }
  if (window.padding == ConvWindow::kExplicit)
    result.before = window.before[axis], result.after = window.after[axis];
  if (window.padding == ConvWindow::kCausal) result.before = extent - 1;
  const int64_t padded = in + result.before + result.after, room = padded - extent;
  if (room < 0)
    fail(Code::kShape,
         "%s: the window covers %lld in %s, but the padded input has only %lld; use a smaller window or "
         "dilation_rate, or padding='same'",
         op, static_cast<long long>(extent), axis_name(window.rank, axis), static_cast<long long>(padded));
  result.out = room / stride + 1;
  return result;
}

namespace {

// Sizes of x and kernel, and the channels: `inner` is what the kernel's third place from the end divides.
void check_arrays(const char* op, const int64_t* x, const int64_t* kernel, int rank) {
  element_count(op, "x", x, rank + 2);
  element_count(op, "kernel", kernel, rank + 2);
  for (int i = 0; i < rank; ++i)
    if (kernel[i] >= kMaxParameter || x[1 + i] >= kMaxParameter)
      fail(Code::kShape, "%s: x has shape %s and kernel %s, wanted a %s below 2**31", op,
           ShapeText(x, rank + 2).text, ShapeText(kernel, rank + 2).text, axis_name(rank, i));
}

// The axis of the convolution whose dx a transposed one computes: its `out` is the size given.
Walk walk_back(const char* op, int axis, int64_t out, int64_t extent, const ConvWindow& window) {
  const int64_t stride = window.strides[axis], given = window.output_padding[axis];
  const bool is_given = window.output_padding_given;
  const int64_t whole = (out - 1) * stride + extent;  // all that the windows cover
  Walk result{};
  result.out = out;
  if (window.padding == ConvWindow::kSame) {
    result.in = is_given ? (out - 1) * stride + extent % 2 + given : out * stride;
    const int64_t total = std::max<int64_t>(0, whole - result.in);
    result.before = total / 2;
    result.after = total - result.before;
  } else {
    if (window.padding == ConvWindow::kExplicit)
      result.before = window.before[axis], result.after = window.after[axis];
    const int64_t added = is_given ? given : std::max<int64_t>(0, stride - extent);
    result.in = whole + added - result.before - result.after;
  }
  if (result.in < 1)
    fail(Code::kShape,
         "%s: the output has %lld in %s, wanted at least 1: x with its windows covers %lld; use less padding",
         op, static_cast<long long>(result.in), axis_name(window.rank, axis), static_cast<long long>(whole));
  return result;
}

int64_t extent_of(const int64_t* kernel, const ConvWindow& window, int axis) {
  return window.dilation_rate[axis] * (kernel[axis] - 1) + 1;
}

// The shape of rank 3; `axes` in the order of the arrays.
Conv3dShape assemble(const int64_t* kernel, const ConvWindow& window, const Walk* axes) {
  const int missing = kMaxSpatial - window.rank;
  int64_t taps[kMaxSpatial], strides[kMaxSpatial], dilation[kMaxSpatial];
  Walk at[kMaxSpatial];
  for (int i = 0; i < kMaxSpatial; ++i) {
    const int axis = i - missing;
    const bool there = axis >= 0;
    taps[i] = there ? kernel[axis] : 1;
    strides[i] = there ? window.strides[axis] : 1, dilation[i] = there ? window.dilation_rate[axis] : 1;
    at[i] = there ? axes[axis] : Walk{1, 1, 0, 0};
  }
  Conv3dShape shape{};
  shape.d = at[0].in, shape.t = taps[0], shape.z = at[0].out;
  shape.stride_d = strides[0], shape.dilation_d = dilation[0], shape.pad_front = at[0].before;
  Conv2dShape& frame = shape.frame;
  frame.h = at[1].in, frame.r = taps[1], frame.p = at[1].out;
  frame.w = at[2].in, frame.s = taps[2], frame.q = at[2].out;
  frame.stride_h = strides[1], frame.stride_w = strides[2];
  frame.dilation_h = dilation[1], frame.dilation_w = dilation[2];
  frame.pad_top = at[1].before, frame.pad_bottom = at[1].after;
  frame.pad_left = at[2].before, frame.pad_right = at[2].after;
  frame.groups = window.groups;
  return shape;
}

void check_size(const char* op, const char* argument, int64_t n, const int64_t* sizes, int rank, int64_t c) {
  int64_t shape[kMaxSpatial + 2] = {n};
  std::copy(sizes, sizes + rank, shape + 1);
  shape[rank + 1] = c;
  element_count(op, argument, shape, rank + 2);
}

}  // namespace

Conv3dShape conv_shape(const char* op, const int64_t* x, const int64_t* kernel, const ConvWindow& window) {
  const int rank = window.rank;
  check_arrays(op, x, kernel, rank);
  check_window(op, window);
  const int64_t channels = x[rank + 1], filters = kernel[rank + 1], groups = window.groups;
  if (groups < 1 || channels % groups || filters % groups)
    fail(Code::kArgument,
         "%s: groups is %lld, wanted a divisor of both the %lld input channels and the %lld filters", op,
         static_cast<long long>(groups), static_cast<long long>(channels), static_cast<long long>(filters));
  if (kernel[rank] != channels / groups)
    fail(
        Code::kShape,
        "%s: kernel has shape %s (..., channels / groups, filters), wanted %lld in its last place but one: x "
        "has %lld channels in %lld group%s",
        op, ShapeText(kernel, rank + 2).text, static_cast<long long>(channels / groups),
        static_cast<long long>(channels), static_cast<long long>(groups), groups == 1 ? "" : "s");
  Walk axes[kMaxSpatial];
  int64_t out[kMaxSpatial], padded[kMaxSpatial];
  for (int i = 0; i < rank; ++i) {
    axes[i] = walk(op, i, x[1 + i], extent_of(kernel, window, i), window);
    out[i] = axes[i].out, padded[i] = axes[i].in + axes[i].before + axes[i].after;
  }
  check_size(op, "the output", x[0], out, rank, filters);
  // An input row with its padding is what kernels copy.
  check_size(op, "the padded input", x[0], padded, rank, channels);
  Conv3dShape shape = assemble(kernel, window, axes);
  shape.frame.n = x[0], shape.frame.c = channels, shape.frame.k = filters;
  return shape;
}

Conv3dShape conv_transpose_shape(const char* op, const int64_t* x, const int64_t* kernel,
                                 const ConvWindow& window) {
  const int rank = window.rank;
  check_arrays(op, x, kernel, rank);
  check_window(op, window);
  const int64_t channels = x[rank + 1], groups = window.groups;
  if (groups < 1 || channels % groups)
    fail(Code::kArgument, "%s: groups is %lld, wanted a divisor of the %lld input channels", op,
         static_cast<long long>(groups), static_cast<long long>(channels));
  if (kernel[rank + 1] != channels)
    fail(Code::kShape,
         "%s: kernel has shape %s (..., filters / groups, channels), wanted %lld in its last place, the "
         "channels "
         "of x",
         op, ShapeText(kernel, rank + 2).text, static_cast<long long>(channels));
  int64_t filters;
  if (__builtin_mul_overflow(kernel[rank], groups, &filters))
    fail(Code::kShape, "%s: kernel has shape %s, too many filters for %lld groups", op,
         ShapeText(kernel, rank + 2).text, static_cast<long long>(groups));
  Walk axes[kMaxSpatial];
  int64_t out[kMaxSpatial], whole[kMaxSpatial];
  for (int i = 0; i < rank; ++i) {
    const int64_t extent = extent_of(kernel, window, i);
    axes[i] = walk_back(op, i, x[1 + i], extent, window);
    out[i] = axes[i].in;
    whole[i] = std::max((x[1 + i] - 1) * window.strides[i] + extent, out[i]);
  }
  check_size(op, "the output", x[0], out, rank, filters);
  check_size(op, "the output before it is cropped", x[0], whole, rank, filters);
  Conv3dShape shape = assemble(kernel, window, axes);
  shape.frame.n = x[0], shape.frame.c = filters, shape.frame.k = channels;
  return shape;
}

}  // namespace fastcnn
