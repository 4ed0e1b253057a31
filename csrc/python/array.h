// SPDX-License-Identifier: Apache-2.0
// From Python arguments to plain C++: strict numbers, pairs, paddings, names, and views of NumPy arrays.
// Every function takes the operator or layer (`op`) and the argument's name for its message, and throws
// Error.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "../backend.h"
#include "../plan/source.h"
#include "../plan/validate.h"

namespace fastcnn {

namespace py = pybind11;

// What a call only looks through, of a list in braces or a vector: a list costs no memory of its own.
template <class T>
class Span {
 public:
  Span(std::initializer_list<T> list) : Span(list.begin(), list.end()) {}
  Span(const std::vector<T>& vector) : Span(vector.data(), vector.data() + vector.size()) {}
  Span(const T* begin, const T* end) : begin_(begin), end_(end) {}
  const T* begin() const { return begin_; }
  const T* end() const { return end_; }
  const T* data() const { return begin_; }
  size_t size() const { return static_cast<size_t>(end_ - begin_); }
  const T& operator[](size_t i) const { return begin_[i]; }

 private:
  const T *begin_, *end_;
};
using Sizes = Span<int64_t>;
struct ArrayView;
using Inputs = Span<const ArrayView*>;

// A borrowed array of any real dtype in native byte order, of any strides, in the memory of the host or of a
// GPU.
struct ArrayView {
  py::object owner;
  const char *op, *argument;  // for messages
  const char* data;
  DType dtype;
  int rank;
  int64_t shape[kMaxRank];
  int64_t strides[kMaxRank];  // bytes
  bool on_gpu, writeable;
  // A GPU's: of kU16, which are the bits of such numbers; may be that.
  bool bfloat16 = false, may_be_bfloat16 = false;
};

// An array that is a result or holds one for a while: NumPy's or CuPy's.
class Array {
 public:
  Array() = default;
  Array(py::object object, void* data) : object_(std::move(object)), data_(data) {}
  explicit Array(py::array array) : data_(array.mutable_data()) { object_ = std::move(array); }

  const py::object& object() const { return object_; }
  void* mutable_data() { return data_; }
  const void* data() const { return data_; }

 private:
  py::object object_;
  void* data_ = nullptr;
};

// "conv2d" or "layer 2 'conv2d_1' (Conv2D)", then ": x is a list, wanted ..."
std::string type_name(py::handle value);

int64_t whole_number(const char* op, const char* argument, py::handle value);
double real_number(const char* op, const char* argument, py::handle value);
bool truth(const char* op, const char* argument, py::handle value);
std::string text(const char* op, const char* argument, py::handle value);

// A whole number for both axes, or two of them.
void pair(const char* op, const char* argument, py::handle value, int64_t out[2]);
inline bool is_sequence(py::handle value) { return PyTuple_Check(value.ptr()) || PyList_Check(value.ptr()); }
// A sequence of `count` whole numbers.
void whole_numbers(const char* op, const char* argument, py::handle value, int count, int64_t* out);

// The position of `value` among the names; throws ArgumentError that lists them.
int choice(const char* op, const char* argument, py::handle value, std::initializer_list<const char*> names);

ArrayView view(const char* op, const char* argument, py::handle value);
// [first, last): the bytes that a view can touch; none if it is empty.
void extent(const ArrayView& v, const char** first, const char** last);
// The same for what works on the host alone.
ArrayView host_view(const char* op, const char* argument, py::handle value);
// Sets dtype and rank, once they are known to be ones that a view has.
void set_type(ArrayView* v, const py::dtype& dtype, int64_t rank);
// Whether it is C-contiguous and aligned.
bool is_dense(const ArrayView& v);
Source source_of(const ArrayView& view);
// Of a GPU's array that may be bfloat16.
ArrayView any_view(const char* op, const char* argument, py::handle value);
// The same for operators: float32 only, of this rank, or any from 1, not empty.
constexpr int kAnyRank = -1;
ArrayView float_view(const char* op, const char* argument, py::handle value, int rank);
// The same of what a GPU may hold as bfloat16 as well (Storage, backend.h).
ArrayView stored_view(const char* op, const char* argument, py::handle value, int rank);

// The elements of such a view in their order, any strides and alignment, to dense memory beside it.
void copy_view(const ArrayView& v, void* y);
// The data of such a view, dense: the array's own memory, or a copy that `keep` then owns.
const void* dense(const ArrayView& v, Array* keep);

// One step where the arrays of `like` are: on the CPU, or on CuPy's stream; with the GIL released, but for a
// CPU's work of a few microseconds.
void run(const ArrayView& like, const OpDescriptor& op, const Operands& operands,
         const RunScalars* scalars = nullptr);
// Several that need nothing of each other.
struct ViewedStep {
  ArrayView like;
  OpDescriptor op;
  Operands operands;
};
void run(const std::vector<ViewedStep>& steps, const RunScalars* scalars);

// A new array of this shape beside the inputs, or `out` once it is proven to be one: C-contiguous, aligned,
// writable, exactly this shape, apart from every input. It is stored as the first input is, or of float32.
// The inputs, some of which may be null, must all be on the host or all on a GPU, and those of stored_view()
// alike.
enum class Like { kFirstInput, kFloat32 };
Array output(const char* op, py::handle out, Sizes shape, Inputs inputs, Like stored = Like::kFirstInput);
// Throws if an output shares memory with one of the inputs, some of which may be null.
void expect_apart(const char* op, const ArrayView& out, Inputs inputs);
// Throws unless all of them, some of which may be null, are on the host or all on a GPU.
void same_place(const char* op, Inputs inputs);
// A new array like the output of an operator on `like`.
Array array_like(const ArrayView& like, const char* what, Sizes shape, DType dtype = DType::kF32);

}  // namespace fastcnn

namespace pybind11 {
namespace detail {

template <>
struct type_caster<fastcnn::Array> {
  static handle cast(const fastcnn::Array& array, return_value_policy, handle) {
    return array.object().inc_ref();
  }
  static constexpr auto name = const_name("numpy.ndarray");
};

}  // namespace detail
}  // namespace pybind11
