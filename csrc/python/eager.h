// SPDX-License-Identifier: Apache-2.0
// What the eager operators of fastcnn.ops share: view, validate, allocate, release the GIL, run one step.
// Everything is checked before the first byte is written: an operator takes its views, builds its descriptor
// from them, makes its outputs, and only then calls dense() and run().
#pragma once
#include "../plan/eager.h"
#include "../plan/validate_axes.h"
#include "../plan/validate_merge.h"
#include "array.h"

namespace fastcnn {

// Activations that an eager operator applies to its output: an Activation, or one over rows. ReLU is fused,
// the others are a second step.
constexpr int kNoActivation = 0, kRelu = static_cast<int>(Activation::kRelu);
constexpr int kSoftmax = static_cast<int>(Activation::kCount), kLogSoftmax = kSoftmax + 1;
int activation_of(const char* op, py::handle value);

Math math_of(const char* op, py::handle value);
bool channels_first(const char* op, py::handle value);

// A stored_view() of an image as [N,H,W,C], whatever its layout; a sequence of rank 3 and a volume of rank 5
// likewise.
ArrayView image_view(const char* op, const char* argument, py::handle value, bool first, int rank = 4);
// The same, of any rank from 1.
ArrayView any_rank_view(const char* op, const char* argument, py::handle value);
void input_shape_of(const char* op, py::handle value, bool first, int64_t* shape, int rank = 4);
void expect_shape(const char* op, const ArrayView& v, const int64_t* wanted);
inline void expect_shape(const char* op, const ArrayView& v, std::initializer_list<int64_t> wanted) {
  expect_shape(op, v, wanted.begin());
}
inline Sizes shape_of(const ArrayView& v) { return {v.shape, v.shape + v.rank}; }
TensorShape tensor_shape(const ArrayView& v);
inline Sizes sizes(const TensorShape& shape) { return {shape.size, shape.size + shape.rank}; }

// The activations that are not fused, in place.
void activate(const ArrayView& like, int activation, void* y, int64_t rows, int64_t cols);

// The view with its axes in another order: axis i is the one that stood at order[i].
ArrayView moved_view(const ArrayView& v, const MovedAxes& axes);

// A result that is written with its axes in another order: axis i of what is written is axis order[i] of it.
class MovedOutput {
 public:
  MovedOutput(const char* op, py::handle out, Sizes written, const MovedAxes& axes, Inputs inputs);
  void* data() { return written_.mutable_data(); }
  Array finish();

 private:
  MovedAxes axes_;
  Array result_, written_;
};

// An image result: written channels-last, and for channels_first copied over to [N,C,H,W].
class ImageOutput : public MovedOutput {
 public:
  ImageOutput(const char* op, py::handle out, bool first, const int64_t* last, Inputs inputs, int rank = 4);
};

// One axis or a sequence of them.
MovedAxes axes_argument(const char* op, py::handle axis, int rank);

// An optional [K] vector. get() copies a strided one, so it is not called before everything is validated.
class Bias {
 public:
  Bias(const char* op, py::handle value, int64_t length);
  const ArrayView* view() const { return given_ ? &view_ : nullptr; }
  const void* get() { return given_ ? dense(view_, &keep_) : nullptr; }

 private:
  bool given_;
  ArrayView view_{};
  Array keep_;
};

}  // namespace fastcnn
