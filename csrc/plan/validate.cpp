// SPDX-License-Identifier: Apache-2.0
#include "validate.h"

namespace fastcnn {
namespace {

// Windows, strides and paddings stay far below this, so sums and products of three of them fit 64 bits.
constexpr int64_t kMaxParameter = int64_t{1} << 31;
constexpr int64_t kMaxElements = int64_t{1} << 60;
const char* const kAxis[2] = {"height", "width"};

void check_parameter(const char* op, const char* argument, const int64_t value[2], int64_t least) {
  if (value[0] < least || value[1] < least || value[0] >= kMaxParameter || value[1] >= kMaxParameter)
    fail(Code::kArgument, "%s: %s is (%lld, %lld), wanted whole numbers from %lld to 2**31 - 1", op, argument,
         static_cast<long long>(value[0]), static_cast<long long>(value[1]), static_cast<long long>(least));
}

struct Axis {
  int64_t out, before, after;
};

// Output size and padding of one axis: `extent` is the window with its dilation.
Axis walk(const char* op, int axis, int64_t in, int64_t extent, const Window& window) {
  const int64_t stride = window.strides[axis];
  Axis result{};
  if (window.padding.kind == Padding::kSame) {
    result.out = (in + stride - 1) / stride;
    int64_t total = (result.out - 1) * stride + extent - in;
    if (total < 0) total = 0;
    result.before = total / 2;
    result.after = total - result.before;
    return result;
  }
  if (window.padding.kind == Padding::kExplicit) {
    result.before = axis ? window.padding.left : window.padding.top;
    result.after = axis ? window.padding.right : window.padding.bottom;
  }
  const int64_t room = in + result.before + result.after - extent;
  if (room < 0)
    fail(Code::kShape,
         "%s: the window covers %lld in %s, but the padded input has only %lld; use a smaller window or "
         "dilation_rate, or padding='same'",
         op, static_cast<long long>(extent), kAxis[axis],
         static_cast<long long>(in + result.before + result.after));
  result.out = room / stride + 1;
  return result;
}

void check_window(const char* op, const Window& window) {
  check_parameter(op, "strides", window.strides, 1);
  const int64_t vertical[2] = {window.padding.top, window.padding.bottom};
  const int64_t horizontal[2] = {window.padding.left, window.padding.right};
  check_parameter(op, "padding (top, bottom)", vertical, 0);
  check_parameter(op, "padding (left, right)", horizontal, 0);
}

}  // namespace

ShapeText::ShapeText(const int64_t* shape, int rank) {
  size_t used = 0;
  text[used++] = '[';
  for (int i = 0; i < rank && used + 24 < sizeof text; ++i)
    used += static_cast<size_t>(std::snprintf(text + used, sizeof text - used, i ? ", %lld" : "%lld",
                                              static_cast<long long>(shape[i])));
  std::snprintf(text + used, sizeof text - used, "]");
}

int64_t element_count(const char* op, const char* argument, const int64_t* shape, int rank) {
  int64_t count = 1;
  for (int i = 0; i < rank; ++i) {
    if (shape[i] <= 0)
      fail(Code::kShape, "%s: %s has shape %s, wanted every size to be at least 1", op, argument,
           ShapeText(shape, rank).text);
    if (__builtin_mul_overflow(count, shape[i], &count) || count > kMaxElements)
      fail(Code::kShape, "%s: %s has shape %s, whose number of elements exceeds 2**60", op, argument,
           ShapeText(shape, rank).text);
  }
  return count;
}

Pool2dShape pool2d_shape(const char* op, const int64_t x[4], const int64_t pool_size[2], const Window& window,
                         bool ceil_mode) {
  element_count(op, "x", x, 4);
  check_parameter(op, "pool_size", pool_size, 1);
  check_window(op, window);
  if (x[1] >= kMaxParameter || x[2] >= kMaxParameter)
    fail(Code::kShape, "%s: x has shape %s, wanted height and width below 2**31", op, ShapeText(x, 4).text);
  const Padding& padding = window.padding;
  if (padding.top >= pool_size[0] || padding.bottom >= pool_size[0] || padding.left >= pool_size[1] ||
      padding.right >= pool_size[1])
    fail(Code::kArgument,
         "%s: padding is ((%lld, %lld), (%lld, %lld)), wanted it smaller than pool_size (%lld, %lld): a "
         "window "
         "must touch the input",
         op, static_cast<long long>(padding.top), static_cast<long long>(padding.bottom),
         static_cast<long long>(padding.left), static_cast<long long>(padding.right),
         static_cast<long long>(pool_size[0]), static_cast<long long>(pool_size[1]));

  Pool2dShape shape{};
  shape.n = x[0], shape.h = x[1], shape.w = x[2], shape.c = x[3];
  shape.r = pool_size[0], shape.s = pool_size[1];
  shape.stride_h = window.strides[0], shape.stride_w = window.strides[1];
  Axis axes[2] = {walk(op, 0, shape.h, shape.r, window), walk(op, 1, shape.w, shape.s, window)};
  for (int i = 0; i < 2; ++i) {
    const int64_t in = x[1 + i], stride = window.strides[i];
    const int64_t padded = in + axes[i].before + axes[i].after;
    const bool left_over = (axes[i].out - 1) * stride + pool_size[i] < padded;
    if (ceil_mode && window.padding.kind != Padding::kSame && left_over &&
        axes[i].out * stride < in + axes[i].before)
      ++axes[i].out;
  }
  shape.p = axes[0].out, shape.pad_top = axes[0].before;
  shape.q = axes[1].out, shape.pad_left = axes[1].before;
  const int64_t y[4] = {shape.n, shape.p, shape.q, shape.c};
  element_count(op, "the output", y, 4);
  return shape;
}

}  // namespace fastcnn
