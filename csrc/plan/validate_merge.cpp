// SPDX-License-Identifier: Apache-2.0
#include "validate_merge.h"

namespace fastcnn {
namespace {

constexpr int64_t kMaxParameter = int64_t{1} << 31;
long long ll(int64_t value) { return static_cast<long long>(value); }

void dense_strides(const TensorShape& x, int64_t* strides) {
  int64_t step = 1;
  for (int d = x.rank - 1; d >= 0; --d) strides[d] = step, step *= x.size[d];
}

// A copy of all of x to a y of the same rank, to be changed axis by axis.
CopyShape copy_of(const TensorShape& x, const TensorShape& y) {
  CopyShape shape{};
  shape.rank = y.rank;
  dense_strides(x, shape.x_stride);
  dense_strides(y, shape.y_stride);
  for (int d = 0; d < y.rank; ++d) shape.size[d] = shape.inner[d] = y.size[d];
  return shape;
}

void check_sides(const char* op, const char* argument, const Spatial& axes, const Sides* sides) {
  for (int i = 0; i < axes.count; ++i)
    if (sides[i].before < 0 || sides[i].after < 0 || sides[i].before >= kMaxParameter ||
        sides[i].after >= kMaxParameter)
      fail(Code::kArgument,
           "%s: %s is (%lld, %lld) on spatial axis %d, wanted whole numbers from 0 to 2**31 - 1", op,
           argument, ll(sides[i].before), ll(sides[i].after), i);
}

// [n, h, w, c] enlarged by (f, g) is [n, h, f, w, g, c], of which y is the dense view [n, hf, wg, c].
TensorShape boxes(const TensorShape& x, const Spatial& axes, const int64_t* factors) {
  TensorShape result{};
  for (int d = 0; d < x.rank; ++d) {
    result.size[result.rank++] = x.size[d];
    const int i = d - axes.first;
    if (i >= 0 && i < axes.count) result.size[result.rank++] = factors[i];
  }
  return result;
}

// Strides of x over boxes(): 0 inside a box.
void box_strides(const TensorShape& x, const Spatial& axes, int64_t* strides) {
  int64_t dense[kMaxRank];
  dense_strides(x, dense);
  for (int d = 0, to = 0; d < x.rank; ++d) {
    strides[to++] = dense[d];
    const int i = d - axes.first;
    if (i >= 0 && i < axes.count) strides[to++] = 0;
  }
}

}  // namespace

int64_t TensorShape::count() const {
  int64_t product = 1;
  for (int d = 0; d < rank; ++d) product *= size[d];
  return product;
}

TensorShape one_sample(const std::vector<int64_t>& shape, size_t rank) {
  const size_t ones = rank > shape.size() ? rank - shape.size() : 0;
  TensorShape result{static_cast<int>(shape.size() + ones) + 1, {}};
  for (size_t d = 0; d <= shape.size() + ones; ++d) result.size[d] = d <= ones ? 1 : shape[d - ones - 1];
  return result;
}

BinaryShape binary_shape(const char* op, const char* const arguments[2], const TensorShape& a,
                         const TensorShape& b, Binary kind, TensorShape* y) {
  element_count(op, arguments[0], a.size, a.rank);
  element_count(op, arguments[1], b.size, b.rank);
  BinaryShape shape{};
  shape.kind = kind, shape.scale = 1;
  shape.rank = y->rank = a.rank > b.rank ? a.rank : b.rank;
  int64_t a_step = 1, b_step = 1;
  for (int d = y->rank - 1; d >= 0; --d) {
    const int from_a = d - (y->rank - a.rank), from_b = d - (y->rank - b.rank);
    const int64_t a_size = from_a < 0 ? 1 : a.size[from_a], b_size = from_b < 0 ? 1 : b.size[from_b];
    if (a_size != b_size && a_size != 1 && b_size != 1)
      fail(Code::kShape, "%s: %s has shape %s and %s %s, wanted equal sizes, or 1, on every axis", op,
           arguments[0], ShapeText(a.size, a.rank).text, arguments[1], ShapeText(b.size, b.rank).text);
    shape.size[d] = y->size[d] = a_size > b_size ? a_size : b_size;
    shape.a_stride[d] = a_size == 1 ? 0 : a_step;
    shape.b_stride[d] = b_size == 1 ? 0 : b_step;
    a_step *= a_size, b_step *= b_size;
  }
  // One sample stands for all of them in a network, so its stride is kept: it is what the next one begins at.
  if (a.rank == y->rank && a.size[0] == y->size[0]) shape.a_stride[0] = a_step / a.size[0];
  if (b.rank == y->rank && b.size[0] == y->size[0]) shape.b_stride[0] = b_step / b.size[0];
  element_count(op, "the output", y->size, y->rank);
  return shape;
}

BinaryShape repeated_shape(const char* op, const TensorShape& x, const TensorShape& dy) {
  static const char* const arguments[2] = {"input_shape", "dy"};
  TensorShape y;
  const BinaryShape shape = binary_shape(op, arguments, x, dy, Binary::kAdd, &y);
  bool same = y.rank == dy.rank;
  for (int d = 0; same && d < y.rank; ++d) same = y.size[d] == dy.size[d];
  if (!same)
    fail(Code::kShape, "%s: input_shape is %s, which does not broadcast to dy's %s", op,
         ShapeText(x.size, x.rank).text, ShapeText(dy.size, dy.rank).text);
  return shape;
}

TensorShape concatenated_shape(const char* op, const std::vector<TensorShape>& inputs, int64_t* axis) {
  if (inputs.empty()) fail(Code::kArgument, "%s: inputs is empty, wanted at least one array", op);
  TensorShape y = inputs[0];
  if (*axis < -y.rank || *axis >= y.rank || *axis == 0 || *axis == -y.rank)
    fail(Code::kArgument, "%s: axis is %lld, wanted 1 to %d or -1 to %d: the samples are not concatenated",
         op, ll(*axis), y.rank - 1, 1 - y.rank);
  if (*axis < 0) *axis += y.rank;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorShape& x = inputs[i];
    element_count(op, "an input", x.size, x.rank);
    bool fits = x.rank == y.rank;
    for (int d = 0; fits && d < y.rank; ++d) fits = d == *axis || x.size[d] == y.size[d];
    if (!fits)
      fail(Code::kShape,
           "%s: input %zu has shape %s and input 0 %s, wanted equal sizes on every axis but %lld", op, i,
           ShapeText(x.size, x.rank).text, ShapeText(inputs[0].size, inputs[0].rank).text, ll(*axis));
    if (i > 0) y.size[*axis] += x.size[*axis];
    element_count(op, "the output", y.size, y.rank);
  }
  return y;
}

std::vector<ConcatenateShape> concatenate_shapes(const TensorShape& y, int axis,
                                                 const std::vector<int64_t>& lengths) {
  int64_t rows = 1, inner = 1, begin = 0;
  for (int d = 0; d < axis; ++d) rows *= y.size[d];
  for (int d = axis + 1; d < y.rank; ++d) inner *= y.size[d];
  std::vector<ConcatenateShape> shapes;
  for (const int64_t length : lengths) {
    if (shapes.empty() || shapes.back().parts == kMaxParts)
      shapes.push_back({rows, y.size[axis] * inner, begin, 0, 0, {}});
    ConcatenateShape& shape = shapes.back();
    shape.length[shape.parts++] = length * inner;
    shape.width += length * inner, begin += length * inner;
  }
  return shapes;
}

CopyShape part_shape(const TensorShape& whole, int axis, int64_t begin, int64_t length) {
  TensorShape part = whole;
  part.size[axis] = length;
  CopyShape shape = copy_of(whole, part);
  shape.size[axis] = shape.inner[axis] = length;
  shape.x_offset = begin * shape.x_stride[axis];
  return shape;
}

CopyShape zero_padding_shape(const char* op, const TensorShape& x, const Spatial& axes, const Sides* padding,
                             TensorShape* y) {
  element_count(op, "x", x.size, x.rank);
  check_sides(op, "padding", axes, padding);
  *y = x;
  for (int i = 0; i < axes.count; ++i) y->size[axes.first + i] += padding[i].before + padding[i].after;
  element_count(op, "the output", y->size, y->rank);
  CopyShape shape = copy_of(x, *y);
  for (int i = 0; i < axes.count; ++i)
    shape.before[axes.first + i] = padding[i].before, shape.inner[axes.first + i] = x.size[axes.first + i];
  return shape;
}

CopyShape cropping_shape(const char* op, const TensorShape& x, const Spatial& axes, const Sides* cropping,
                         TensorShape* y) {
  element_count(op, "x", x.size, x.rank);
  check_sides(op, "cropping", axes, cropping);
  *y = x;
  for (int i = 0; i < axes.count; ++i) {
    int64_t& size = y->size[axes.first + i];
    size -= cropping[i].before + cropping[i].after;
    if (size < 1)
      fail(Code::kShape,
           "%s: cropping takes %lld + %lld of the %lld pixels of spatial axis %d, wanted one left", op,
           ll(cropping[i].before), ll(cropping[i].after), ll(x.size[axes.first + i]), i);
  }
  CopyShape shape = copy_of(x, *y);
  for (int i = 0; i < axes.count; ++i) shape.x_offset += cropping[i].before * shape.x_stride[axes.first + i];
  return shape;
}

CopyShape permute_shape(const char* op, const TensorShape& x, const int64_t* dims, TensorShape* y) {
  element_count(op, "x", x.size, x.rank);
  bool seen[kMaxRank] = {};
  for (int d = 1; d < x.rank; ++d) {
    const int64_t from = dims[d - 1];
    if (from < 1 || from >= x.rank || seen[from])
      fail(Code::kArgument, "%s: dims is %s, wanted each of the axes 1 to %d once", op,
           ShapeText(dims, x.rank - 1).text, x.rank - 1);
    seen[from] = true;
  }
  *y = x;
  for (int d = 1; d < x.rank; ++d) y->size[d] = x.size[dims[d - 1]];
  CopyShape shape = copy_of(x, *y);
  int64_t strides[kMaxRank];
  dense_strides(x, strides);
  for (int d = 1; d < x.rank; ++d) shape.x_stride[d] = strides[dims[d - 1]];
  return shape;
}

CopyShape moved_copy(const std::vector<int64_t>& shape, const MovedAxes& axes, Part way) {
  TensorShape whole{axes.rank, {}};
  std::copy(shape.begin(), shape.end(), whole.size);
  int64_t strides[kMaxRank];
  dense_strides(whole, strides);
  TensorShape moved{axes.rank, {}};
  for (int d = 0; d < axes.rank; ++d) moved.size[d] = shape[static_cast<size_t>(axes.order[d])];
  CopyShape copy = copy_of(moved, moved);
  int64_t* const to = way == Part::kRead ? copy.x_stride : copy.y_stride;
  for (int d = 0; d < axes.rank; ++d) to[d] = strides[axes.order[d]];
  return copy;
}

std::vector<int64_t> inverse_of(const std::vector<int64_t>& dims) {
  std::vector<int64_t> inverse(dims.size());
  for (size_t i = 0; i < dims.size(); ++i)
    inverse[static_cast<size_t>(dims[i] - 1)] = static_cast<int64_t>(i) + 1;
  return inverse;
}

CopyShape repeat_vector_shape(const char* op, const TensorShape& x, int64_t n, TensorShape* y) {
  element_count(op, "x", x.size, x.rank);
  if (n < 1 || n >= kMaxParameter)
    fail(Code::kArgument, "%s: n is %lld, wanted a whole number from 1 to 2**31 - 1", op, ll(n));
  *y = {3, {x.size[0], n, x.size[1]}};
  element_count(op, "the output", y->size, y->rank);
  CopyShape shape = copy_of(*y, *y);
  shape.x_stride[0] = x.size[1], shape.x_stride[1] = 0;
  return shape;
}

BinaryShape repeat_vector_bwd_shape(const char* op, const TensorShape& x, int64_t n) {
  TensorShape y;
  const CopyShape forward = repeat_vector_shape(op, x, n, &y);
  BinaryShape shape{};
  shape.rank = 3, shape.scale = 1;
  for (int d = 0; d < 3; ++d) shape.size[d] = y.size[d], shape.a_stride[d] = forward.x_stride[d];
  return shape;
}

CopyShape upsampling_shape(const char* op, const TensorShape& x, const Spatial& axes, const int64_t* factors,
                           TensorShape* y) {
  element_count(op, "x", x.size, x.rank);
  *y = x;
  for (int i = 0; i < axes.count; ++i) {
    if (factors[i] < 1 || factors[i] >= kMaxParameter)
      fail(Code::kArgument, "%s: size is %lld on spatial axis %d, wanted a whole number from 1 to 2**31 - 1",
           op, ll(factors[i]), i);
    int64_t& size = y->size[axes.first + i];
    if (__builtin_mul_overflow(size, factors[i], &size))
      fail(Code::kShape,
           "%s: size is %lld on spatial axis %d, which makes an output of more than 2**60 elements", op,
           ll(factors[i]), i);
  }
  element_count(op, "the output", y->size, y->rank);
  const TensorShape boxed = boxes(x, axes, factors);
  CopyShape shape = copy_of(boxed, boxed);
  box_strides(x, axes, shape.x_stride);
  return shape;
}

BinaryShape upsampling_bwd_shape(const TensorShape& x, const Spatial& axes, const int64_t* factors) {
  const TensorShape boxed = boxes(x, axes, factors);
  BinaryShape shape{};
  shape.rank = boxed.rank, shape.scale = 1;
  for (int d = 0; d < boxed.rank; ++d) shape.size[d] = boxed.size[d];
  box_strides(x, axes, shape.a_stride);
  return shape;
}

ResizeShape bilinear_shape(const TensorShape& x, const Spatial& axes, const int64_t* factors) {
  ResizeShape shape{};
  shape.n = shape.c = 1;
  for (int d = 0; d < axes.first; ++d) shape.n *= x.size[d];
  for (int d = axes.first + axes.count; d < x.rank; ++d) shape.c *= x.size[d];
  shape.h = x.size[axes.first], shape.w = x.size[axes.first + 1];
  shape.factor_h = factors[0], shape.factor_w = factors[1];
  return shape;
}

}  // namespace fastcnn
