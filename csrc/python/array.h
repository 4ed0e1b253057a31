// SPDX-License-Identifier: Apache-2.0
// From Python arguments to plain C++: strict numbers, pairs, paddings, names, and views of NumPy arrays.
// Every function takes the operator or layer (`op`) and the argument's name for its message, and throws
// Error.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "../base/shape.h"
#include "../plan/source.h"
#include "../plan/validate.h"

namespace fastcnn {

namespace py = pybind11;

// A borrowed array of any real dtype in native byte order, of any strides.
struct ArrayView {
  py::array owner;
  const char *op, *argument;  // for messages
  const char* data;
  DType dtype;
  int rank;
  int64_t shape[kMaxRank];
  int64_t strides[kMaxRank];  // bytes
};

// "conv2d" or "layer 2 'conv2d_1' (Conv2D)", then ": x is a list, wanted ..."
std::string type_name(py::handle value);

int64_t whole_number(const char* op, const char* argument, py::handle value);
double real_number(const char* op, const char* argument, py::handle value);
bool truth(const char* op, const char* argument, py::handle value);
std::string text(const char* op, const char* argument, py::handle value);

// A whole number for both axes, or two of them.
void pair(const char* op, const char* argument, py::handle value, int64_t out[2]);
// A sequence of `count` whole numbers.
void whole_numbers(const char* op, const char* argument, py::handle value, int count, int64_t* out);

// The position of `value` among the names; throws ArgumentError that lists them.
int choice(const char* op, const char* argument, py::handle value, std::initializer_list<const char*> names);

ArrayView view(const char* op, const char* argument, py::handle value);
Source source_of(const ArrayView& view);
// The same for operators: float32 only, of this rank, or any from 1, not empty.
constexpr int kAnyRank = -1;
ArrayView float_view(const char* op, const char* argument, py::handle value, int rank);

// The elements of a float32 view in their order, any strides and alignment, to dense memory.
void copy_view(const ArrayView& v, float* y);
// The data of a float32 view, dense: the array's own memory, or a copy that `keep` then owns.
const float* dense(const ArrayView& v, py::array* keep);

// A new float32 array of this shape, or `out` once it is proven to be one: C-contiguous, aligned, writable,
// exactly this shape, apart from every input.
py::array output(const char* op, py::handle out, const std::vector<int64_t>& shape,
                 const std::vector<const ArrayView*>& inputs);

}  // namespace fastcnn
