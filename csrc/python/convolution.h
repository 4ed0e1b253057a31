// SPDX-License-Identifier: Apache-2.0
// One call of a convolution on arrays: what its arguments have in common whatever the pass, and the step that
// does it. All run the conv2d and conv3d steps: a sequence is an image of one row; a depthwise kernel
// [...,C,M] lies in memory as [...,1,C M] of C groups; a transposed convolution runs the data gradient
// forwards, and its own data gradient is a plain convolution.
#pragma once
#include "conv_window.h"
#include "eager.h"

namespace fastcnn {

struct ConvOperator {
  enum Kind { kPlain, kTransposed, kDepthwise } kind;
  int rank;  // spatial axes
};

enum class ConvPass { kFprop, kDgrad, kWgrad };

// What all passes are given; `op` opens every message.
struct ConvCall {
  std::string op;
  py::handle strides, padding, output_padding, dilation_rate, groups, data_format, math;
};

class Convolution {
 public:
  Convolution(const ConvCall& call, const ConvOperator& is, const char* kernel_name = "kernel");

  ArrayView image(const char* argument, py::handle value) const;
  ArrayView kernel(py::handle value) const;
  void input_shape(py::handle value, int64_t* shape) const;
  ImageOutput image_output(py::handle out, const int64_t* shape, Inputs inputs) const;
  // The kernel of a weight gradient.
  void kernel_shape(py::handle kernel_size, const int64_t* x, const int64_t* dy, int64_t* kernel) const;

  // From x and the kernel as the operator has them: settles y_shape() and step().
  void set_shape(const int64_t* x, const int64_t* kernel);
  const int64_t* y_shape() const { return y_shape_; }
  int64_t channels_out() const { return y_shape_[rank_ - 1]; }
  int64_t pixels_out() const;  // of all samples
  OpDescriptor step(ConvPass pass) const;

  const char* op() const { return op_; }
  int rank() const { return rank_; }
  bool transposed() const { return is_.kind == ConvOperator::kTransposed; }
  Math math() const { return math_; }

 private:
  const char *op_, *kernel_name_;
  ConvOperator is_;
  int rank_;  // of arrays
  bool first_;
  ConvWindow window_;
  Math math_;
  Conv3dShape shape_{};
  int64_t y_shape_[kMaxRank] = {};
};

}  // namespace fastcnn
