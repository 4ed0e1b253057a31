// SPDX-License-Identifier: Apache-2.0
// Validation of what merges tensors and moves their elements, as in validate.h: each function throws Error or
// returns a shape struct that every kernel can trust, and where it is not the input's own the shape of the
// result. Shapes begin with the samples; eager operators pass all of them, networks one.
#pragma once
#include <vector>

#include "../backend.h"
#include "validate_axes.h"

namespace fastcnn {

struct TensorShape {
  int rank;
  int64_t size[kMaxRank];
  int64_t count() const;  // of elements, once they are validated
};

// One sample of this shape with the axis of samples, and ones after that up to `rank` axes; 0: its own.
TensorShape one_sample(const std::vector<int64_t>& shape, size_t rank = 0);

// What is added to or taken from the two ends of an axis.
struct Sides {
  int64_t before, after;
};

// The spatial axes of x: axis `first` and those that follow it.
struct Spatial {
  int first, count;
};

// y = f(a, b) with the rules of NumPy: shapes are aligned at their last axes, and sizes of 1 are repeated.
BinaryShape binary_shape(const char* op, const char* const arguments[2], const TensorShape& a,
                         const TensorShape& b, Binary kind, TensorShape* y);
// The sum of dy over the axes along which x was repeated.
BinaryShape repeated_shape(const char* op, const TensorShape& x, const TensorShape& dy);

// The shape of all inputs one after the other; `axis` may be negative and ends as a position.
TensorShape concatenated_shape(const char* op, const std::vector<TensorShape>& inputs, int64_t* axis);
// What writes y from inputs of these lengths on `axis`: a step for each kMaxParts of them.
std::vector<ConcatenateShape> concatenate_shapes(const TensorShape& y, int axis,
                                                 const std::vector<int64_t>& lengths);
// The part [begin, begin + length) of axis `axis` of `whole`.
CopyShape part_shape(const TensorShape& whole, int axis, int64_t begin, int64_t length);

CopyShape zero_padding_shape(const char* op, const TensorShape& x, const Spatial& axes, const Sides* padding,
                             TensorShape* y);
CopyShape cropping_shape(const char* op, const TensorShape& x, const Spatial& axes, const Sides* cropping,
                         TensorShape* y);
// Between a dense tensor of this shape and one with its axes moved: kRead reads the former, kWrite writes it.
enum class Part { kWrite, kRead };
CopyShape moved_copy(const std::vector<int64_t>& shape, const MovedAxes& axes, Part way);
// Axis i of y is axis dims[i - 1] of x; the samples stay the first.
CopyShape permute_shape(const char* op, const TensorShape& x, const int64_t* dims, TensorShape* y);
std::vector<int64_t> inverse_of(const std::vector<int64_t>& dims);
// x [N,F] to y [N,n,F], and the sums back.
CopyShape repeat_vector_shape(const char* op, const TensorShape& x, int64_t n, TensorShape* y);
BinaryShape repeat_vector_bwd_shape(const char* op, const TensorShape& x, int64_t n);

// Each pixel becomes a box of `factors`; the gradient is the sum of a box.
CopyShape upsampling_shape(const char* op, const TensorShape& x, const Spatial& axes, const int64_t* factors,
                           TensorShape* y);
BinaryShape upsampling_bwd_shape(const TensorShape& x, const Spatial& axes, const int64_t* factors);
// Of two spatial axes; x is upsampling_shape()'s.
ResizeShape bilinear_shape(const TensorShape& x, const Spatial& axes, const int64_t* factors);

}  // namespace fastcnn
