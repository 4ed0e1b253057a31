// SPDX-License-Identifier: Apache-2.0
#include "validate_pool.h"

namespace fastcnn {
namespace {

void check_image(const char* op, const int64_t* x, int axes) {
  element_count(op, "x", x, axes + 2);
  for (int i = 0; i < axes; ++i)
    if (x[1 + i] >= kMaxParameter)
      fail(Code::kShape, "%s: x has shape %s, wanted every axis of the image below 2**31", op,
           ShapeText(x, axes + 2).text);
}

// Whether window i has a tap in the image.
bool sees_image(const PoolWindow& w, int axis, const Walk& walk, int64_t i) {
  const int64_t begin = i * w.walk.strides[axis] - walk.before, dilation = w.walk.dilation_rate[axis];
  const int64_t tap = begin < 0 ? (dilation - 1 - begin) / dilation : 0;
  return tap < w.size[axis] && begin + tap * dilation < walk.in;
}

Walk walk_axis(const char* op, int axis, int64_t in, const PoolWindow& w) {
  const int64_t stride = w.walk.strides[axis], dilation = w.walk.dilation_rate[axis];
  const int64_t extent = (w.size[axis] - 1) * dilation + 1;
  Walk result = walk(op, axis, in, extent, w.walk);
  const bool left_over = (result.out - 1) * stride + extent < in + result.before + result.after;
  if (w.ceil_mode && w.walk.padding != ConvWindow::kSame && left_over &&
      result.out * stride < in + result.before)
    ++result.out;
  // Taps closer together than the image is long cannot pass it by.
  if (dilation > in)
    for (int64_t i = 0; i < result.out; ++i)
      if (!sees_image(w, axis, result, i))
        fail(
            Code::kArgument,
            "%s: dilation_rate %lld in %s puts all taps of a window beside the %lld pixels of the input; use "
            "a smaller dilation_rate or less padding",
            op, static_cast<long long>(dilation), axis_name(w.walk.rank, axis), static_cast<long long>(in));
  return result;
}

void check_pool(const char* op, const int64_t* x, const PoolWindow& w) {
  const int axes = w.walk.rank;
  check_image(op, x, axes);
  check_parameter(op, "pool_size", w.size, axes, 1);
  check_window(op, w.walk);
  for (int i = 0; i < axes; ++i)
    if (w.walk.before[i] >= w.size[i] || w.walk.after[i] >= w.size[i])
      fail(Code::kArgument,
           "%s: padding in %s is (%lld, %lld), wanted it smaller than pool_size %s: a window must touch the "
           "input",
           op, axis_name(axes, i), static_cast<long long>(w.walk.before[i]),
           static_cast<long long>(w.walk.after[i]), ShapeText(w.size, axes).text);
}

// One axis of a pool, and where it goes in a shape struct.
struct Fields {
  int64_t *in, *size, *out, *stride, *dilation, *before, *after;
};

void fill(const char* op, const int64_t* x, const PoolWindow& w, const Fields* fields) {
  check_pool(op, x, w);
  for (int i = 0; i < w.walk.rank; ++i) {
    const Walk walk = walk_axis(op, i, x[1 + i], w);
    *fields[i].in = x[1 + i], *fields[i].size = w.size[i], *fields[i].out = walk.out;
    *fields[i].stride = w.walk.strides[i], *fields[i].dilation = w.walk.dilation_rate[i];
    *fields[i].before = walk.before, *fields[i].after = walk.after;
  }
}

// Of an output size that divides every axis; otherwise the windows differ, and only their number is kept.
int32_t fill_adaptive(const char* op, const int64_t* x, int axes, const int64_t* output_size,
                      const Fields* fields) {
  check_image(op, x, axes);
  check_parameter(op, "output_size", output_size, axes, 1);
  bool divides = true;
  for (int i = 0; i < axes; ++i) divides = divides && x[1 + i] % output_size[i] == 0;
  for (int i = 0; i < axes; ++i) {
    *fields[i].in = x[1 + i], *fields[i].out = output_size[i], *fields[i].dilation = 1;
    *fields[i].size = *fields[i].stride = divides ? x[1 + i] / output_size[i] : 1;
  }
  return !divides;
}

Fields length_fields(Pool2dShape& s) {
  return {&s.w, &s.s, &s.q, &s.stride_w, &s.dilation_w, &s.pad_left, &s.pad_right};
}
Fields height_fields(Pool2dShape& s) {
  return {&s.h, &s.r, &s.p, &s.stride_h, &s.dilation_h, &s.pad_top, &s.pad_bottom};
}

struct VolumeFields {
  Fields axis[3];
  explicit VolumeFields(Pool3dShape& s)
      : axis{{&s.d, &s.t, &s.o, &s.stride_d, &s.dilation_d, &s.pad_front, &s.pad_back},
             {&s.h, &s.r, &s.p, &s.stride_h, &s.dilation_h, &s.pad_top, &s.pad_bottom},
             {&s.w, &s.s, &s.q, &s.stride_w, &s.dilation_w, &s.pad_left, &s.pad_right}} {}
};

// An image of one row, of which everything else is 1.
Pool2dShape one_row(const int64_t x[3]) {
  Pool2dShape s{};
  s.n = x[0], s.c = x[2];
  s.h = s.r = s.p = s.stride_h = s.dilation_h = 1;
  return s;
}

Pool2dShape checked(const char* op, const Pool2dShape& s) {
  const int64_t y[4] = {s.n, s.p, s.q, s.c};
  element_count(op, "the output", y, 4);
  return s;
}

Pool3dShape checked(const char* op, const Pool3dShape& s) {
  const int64_t y[5] = {s.n, s.o, s.p, s.q, s.c}, between[5] = {s.n, s.d, s.p, s.q, s.c};
  element_count(op, "the output", y, 5);
  element_count(op, "the planes' output", between, 5);
  return s;
}

}  // namespace

Pool2dShape pool1d_shape(const char* op, const int64_t x[3], const PoolWindow& window) {
  Pool2dShape s = one_row(x);
  const Fields fields = length_fields(s);
  fill(op, x, window, &fields);
  s.count_include_pad = window.count_include_pad;
  return checked(op, s);
}

Pool2dShape pool2d_shape(const char* op, const int64_t x[4], const PoolWindow& window) {
  Pool2dShape s{};
  s.n = x[0], s.c = x[3], s.count_include_pad = window.count_include_pad;
  const Fields fields[2] = {height_fields(s), length_fields(s)};
  fill(op, x, window, fields);
  return checked(op, s);
}

Pool3dShape pool3d_shape(const char* op, const int64_t x[5], const PoolWindow& window) {
  Pool3dShape s{};
  s.n = x[0], s.c = x[4], s.count_include_pad = window.count_include_pad;
  fill(op, x, window, VolumeFields(s).axis);
  return checked(op, s);
}

Pool2dShape global_pool_shape(const char* op, const int64_t* x, int axes) {
  check_image(op, x, axes);
  const int64_t height = axes == 1 ? 1 : axes == 2 ? x[1] : x[1] * x[2];
  const int64_t image[4] = {x[0], height, x[axes], x[axes + 1]};
  PoolWindow window;
  window.size[0] = image[1], window.size[1] = image[2];
  return pool2d_shape(op, image, window);
}

Pool2dShape adaptive_pool1d_shape(const char* op, const int64_t x[3], const int64_t output_size[1]) {
  Pool2dShape s = one_row(x);
  const Fields fields = length_fields(s);
  s.adaptive = fill_adaptive(op, x, 1, output_size, &fields);
  return checked(op, s);
}

Pool2dShape adaptive_pool2d_shape(const char* op, const int64_t x[4], const int64_t output_size[2]) {
  Pool2dShape s{};
  s.n = x[0], s.c = x[3];
  const Fields fields[2] = {height_fields(s), length_fields(s)};
  s.adaptive = fill_adaptive(op, x, 2, output_size, fields);
  return checked(op, s);
}

Pool3dShape adaptive_pool3d_shape(const char* op, const int64_t x[5], const int64_t output_size[3]) {
  Pool3dShape s{};
  s.n = x[0], s.c = x[4];
  s.adaptive = fill_adaptive(op, x, 3, output_size, VolumeFields(s).axis);
  return checked(op, s);
}

LpPool2dShape lp_pool2d_shape(const char* op, const int64_t x[4], const PoolWindow& window, double power) {
  if (!(power >= 1 && power <= 1e6))
    fail(Code::kArgument, "%s: p is %g, wanted a number from 1 to 1e6; its limit is max_pool2d", op, power);
  return {pool2d_shape(op, x, window), static_cast<float>(power)};
}

Unpool2dShape unpool2d_shape(const char* op, const int64_t x[4], const int64_t y[4]) {
  element_count(op, "x", x, 4);
  element_count(op, "output_shape", y, 4);
  if (x[0] != y[0] || x[3] != y[3])
    fail(Code::kShape, "%s: output_shape is %s, wanted the %lld images and %lld channels of x", op,
         ShapeText(y, 4).text, static_cast<long long>(x[0]), static_cast<long long>(x[3]));
  if (y[1] > INT32_MAX / y[2])
    fail(Code::kShape, "%s: output_shape is %s, wanted fewer than 2**31 pixels in an image", op,
         ShapeText(y, 4).text);
  return {y[0], y[1], y[2], y[3], x[1], x[2]};
}

}  // namespace fastcnn
