// SPDX-License-Identifier: Apache-2.0
#include "array.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <numeric>

#include "../cpu/cpu.h"
#include "../plan/eager.h"
#include "../plan/large_results.h"
#include "gpu.h"
#include "precision.h"

namespace fastcnn {
namespace {

// Python's and NumPy's: bool, numpy.bool, numpy.bool_.
bool is_bool(py::handle value) {
  if (PyBool_Check(value.ptr())) return true;
  const char* name = Py_TYPE(value.ptr())->tp_name;
  return !std::strcmp(name, "numpy.bool") || !std::strcmp(name, "numpy.bool_");
}

// Exactly numpy.ndarray: none of the questions that subclasses and foreign objects must answer, each of which
// costs an AttributeError.
bool is_plain_array(py::handle value) {
  return Py_TYPE(value.ptr()) == py::detail::npy_api::get().PyArray_Type_;
}

[[noreturn]] void wrong_type(const char* op, const char* argument, py::handle value, const char* wanted) {
  fail(Code::kDType, "%s: %s is a %s, wanted %s", op, argument, type_name(value).c_str(), wanted);
}

bool dtype_of(const py::dtype& dtype, DType* out) {
  struct Known {
    char kind;
    int size;
    DType dtype;
  };
  static const Known known[] = {{'f', 4, DType::kF32}, {'f', 8, DType::kF64}, {'f', 2, DType::kF16},
                                {'u', 1, DType::kU8},  {'i', 1, DType::kI8},  {'u', 2, DType::kU16},
                                {'i', 2, DType::kI16}, {'u', 4, DType::kU32}, {'i', 4, DType::kI32},
                                {'u', 8, DType::kU64}, {'i', 8, DType::kI64}, {'b', 1, DType::kBool}};
  for (const Known& k : known)
    if (dtype.kind() == k.kind && dtype.itemsize() == k.size) {
      *out = k.dtype;
      return dtype.byteorder() != (PY_BIG_ENDIAN ? '<' : '>');
    }
  return false;
}

int64_t item_size(const ArrayView& v) { return item_size(v.dtype); }

std::string dtype_text(const ArrayView& v) { return py::str(v.owner.attr("dtype")); }
void expect_no_bfloat16(const ArrayView& v) {
  if (v.bfloat16)
    fail(Code::kDType, "%s: %s has dtype bfloat16, which is not taken here; convert it to float32", v.op,
         v.argument);
}
void expect_float32(const ArrayView& v) {
  if (v.dtype != DType::kF32 && !v.bfloat16)
    fail(Code::kDType, "%s: %s has dtype %s, wanted float32; convert it with %s.astype(numpy.float32)", v.op,
         v.argument, dtype_text(v).c_str(), v.argument);
}
const char* kind_of(const ArrayView& v) { return v.on_gpu ? "in a GPU's memory" : "a NumPy array"; }

// From here on results begin with a cache line, at the cost of an owner: NumPy's own memory begins 16 bytes
// into one, where no vector of 32 bytes is aligned and none can pass the caches.
constexpr int64_t kAlignedBytes = 16 << 10;

// numpy.empty(shape, float32), or an array of memory that the capsule frees. pybind11's constructor works out
// strides first, which NumPy does itself.
py::array new_array(Sizes shape, void* memory = nullptr, const py::object& owner = {}) {
  static_assert(std::is_same<Py_intptr_t, int64_t>::value, "NumPy's sizes are of 64 bits");
  auto& numpy = py::detail::npy_api::get();
  PyObject* const made = numpy.PyArray_NewFromDescr_(
      numpy.PyArray_Type_, py::dtype::of<float>().release().ptr(), static_cast<int>(shape.size()),
      shape.data(), nullptr, memory, memory ? numpy.NPY_ARRAY_WRITEABLE_ : 0, nullptr);
  if (!made) throw py::error_already_set();
  const auto array = py::reinterpret_steal<py::array>(made);
  if (owner && numpy.PyArray_SetBaseObject_(made, owner.inc_ref().ptr())) throw py::error_already_set();
  return array;
}

// Where in a page a result begins that is computed from these: apart from each, as far as may be. In one that
// began at the same place or a little further, as arrays of whole pages that are allocated in turn do, loads
// waited for the stores before them, whose addresses end alike: a sum of two that the caches hold took up
// to 1.4 times as long. From 200 bytes on none did (Zen 4). Beyond 8 MB, where memory bounds the work, it
// made no difference.
constexpr uintptr_t kPage = 4096, kApart = 256;
constexpr size_t kPagedBytes = 128 << 10;

uintptr_t place_apart_from(Inputs inputs) {
  uintptr_t into = kPage / 8;
  for (; into < kPage; into += kPage / 4)
    if (std::none_of(inputs.begin(), inputs.end(), [into](const ArrayView* v) {
          return v &&
                 (into - reinterpret_cast<uintptr_t>(v->data) + kAlignment) % kPage < kAlignment + kApart;
        }))
      break;
  return into % kPage;
}

// Not a Buffer, which stands on pages of 2 MB from half of one on.
py::array aligned_array(Sizes shape, size_t bytes, Inputs inputs) {
  const auto release = [](PyObject* owner) { std::free(PyCapsule_GetPointer(owner, nullptr)); };
  const bool paged = bytes >= kPagedBytes;
  const uintptr_t step = paged ? kPage : kAlignment, into = paged ? place_apart_from(inputs) : 0;
  std::unique_ptr<void, decltype(&std::free)> block(std::malloc(bytes + step), std::free);
  if (!block) throw std::bad_alloc();
  const py::capsule owner(block.get(), nullptr, release);
  const auto address = reinterpret_cast<uintptr_t>(block.release());
  return new_array(shape, reinterpret_cast<void*>((address - into + step - 1) / step * step + into), owner);
}

// What is over before another thread could be running: it would not gain by the GIL, and to give that away
// and take it back is a tenth of such a call.
constexpr double kBriefFlops = 640 << 10, kBriefBytes = 64 << 10;
bool is_brief(const Prepared& step) { return step.flops < kBriefFlops && step.bytes < kBriefBytes; }

Array allocate(const char* op, const char* what, Sizes shape, Inputs inputs = {}) {
  try {
    const double count = std::accumulate(shape.begin(), shape.end(), 1.0, std::multiplies<>());
    const double bytes = count * sizeof(float);
    if (bytes < kAlignedBytes || count > 0x1p60) return Array(new_array(shape));
    if (bytes < kLargeResult) return Array(aligned_array(shape, static_cast<size_t>(bytes), inputs));
    Buffer* const memory = take_large_result(static_cast<size_t>(bytes));
    const py::capsule owner(memory, [](void* p) { keep_large_result(static_cast<Buffer*>(p)); });
    return Array(new_array(shape, memory->data(), owner));
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_MemoryError)) throw;
  } catch (const std::bad_alloc&) {
  } catch (const Error&) {
  }
  const int rank = static_cast<int>(shape.size());
  fail(Code::kMemory, "%s: %s of shape %s needs %lld bytes, which were refused", op, what,
       ShapeText(shape.data(), rank).text,
       static_cast<long long>(element_count(op, what, shape.data(), rank)) * 4);
}

}  // namespace

std::string type_name(py::handle value) { return Py_TYPE(value.ptr())->tp_name; }

int64_t whole_number(const char* op, const char* argument, py::handle value) {
  if (is_bool(value) || !PyIndex_Check(value.ptr())) wrong_type(op, argument, value, "a whole number");
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) {
    PyErr_Clear();
    wrong_type(op, argument, value, "a whole number");
  }
  int overflow = 0;
  const int64_t number = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow) fail(Code::kArgument, "%s: %s does not fit 64 bits", op, argument);
  return number;
}

double real_number(const char* op, const char* argument, py::handle value) {
  const bool number = PyFloat_Check(value.ptr()) || PyIndex_Check(value.ptr()) ||
                      (PyNumber_Check(value.ptr()) && !PyComplex_Check(value.ptr()));
  if (is_bool(value) || !number) wrong_type(op, argument, value, "a real number");
  const double result = PyFloat_AsDouble(value.ptr());
  if (result == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    wrong_type(op, argument, value, "a real number");
  }
  return result;
}

bool truth(const char* op, const char* argument, py::handle value) {
  if (!is_bool(value)) wrong_type(op, argument, value, "True or False");
  return PyObject_IsTrue(value.ptr()) == 1;
}

std::string text(const char* op, const char* argument, py::handle value) {
  if (!PyUnicode_Check(value.ptr())) wrong_type(op, argument, value, "a string");
  Py_ssize_t size = 0;
  const char* const got = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (!got) {
    PyErr_Clear();
    fail(Code::kArgument, "%s: %s has a lone surrogate, wanted text that UTF-8 can hold", op, argument);
  }
  return std::string(got, static_cast<size_t>(size));
}

void whole_numbers(const char* op, const char* argument, py::handle value, int count, int64_t* out) {
  if (!is_sequence(value)) wrong_type(op, argument, value, "a tuple of whole numbers");
  const auto items = py::reinterpret_borrow<py::sequence>(value);
  if (static_cast<int>(items.size()) != count)
    fail(Code::kArgument, "%s: %s has %zu entries, wanted %d", op, argument, items.size(), count);
  for (int i = 0; i < count; ++i) out[i] = whole_number(op, argument, py::object(items[i]));
}

void pair(const char* op, const char* argument, py::handle value, int64_t out[2]) {
  if (is_sequence(value)) return whole_numbers(op, argument, value, 2, out);
  out[0] = out[1] = whole_number(op, argument, value);
}

int choice(const char* op, const char* argument, py::handle value, std::initializer_list<const char*> names) {
  if (!PyUnicode_Check(value.ptr())) wrong_type(op, argument, value, "a string");
  const char* got = PyUnicode_AsUTF8(value.ptr());
  if (!got) PyErr_Clear(), got = "?";  // lone surrogates
  int position = 0;
  for (const char* name : names) {
    if (!std::strcmp(got, name)) return position;
    ++position;
  }
  std::string wanted;
  for (const char* name : names) wanted += std::string(wanted.empty() ? "'" : ", '") + name + "'";
  fail(Code::kArgument, "%s: %s is '%.60s', wanted one of %s", op, argument, got, wanted.c_str());
}

ArrayView any_view(const char* op, const char* argument, py::handle value) {
  if (!is_plain_array(value)) {
    if (is_on_gpu(value)) return gpu_view(op, argument, value);
    if (!py::isinstance<py::array>(value) && !py::hasattr(value, "__array_interface__"))
      wrong_type(op, argument, value, "a NumPy array");
    if (py::hasattr(value, "mask") && py::hasattr(value, "fill_value"))
      fail(Code::kDType, "%s: %s is a masked array, whose mask would be ignored; pass %s.filled(value)", op,
           argument, argument);
  }
  const py::array array =
      is_plain_array(value) ? py::reinterpret_borrow<py::array>(value) : py::array::ensure(value);
  if (!array) {
    PyErr_Clear();
    wrong_type(op, argument, value, "a NumPy array");
  }
  ArrayView v{array, op,    argument,         static_cast<const char*>(array.data()), DType::kF32, 0, {},
              {},    false, array.writeable()};
  set_type(&v, array.dtype(), array.ndim());
  std::copy_n(array.shape(), v.rank, v.shape);
  std::copy_n(array.strides(), v.rank, v.strides);
  return v;
}

ArrayView view(const char* op, const char* argument, py::handle value) {
  const ArrayView v = any_view(op, argument, value);
  expect_no_bfloat16(v);
  return v;
}

ArrayView host_view(const char* op, const char* argument, py::handle value) {
  if (!is_plain_array(value) && is_on_gpu(value))
    fail(Code::kDevice, "%s: %s is in a GPU's memory, wanted a NumPy array", op, argument);
  return view(op, argument, value);
}

void extent(const ArrayView& v, const char** first, const char** last) {
  *first = *last = v.data;
  if (std::find(v.shape, v.shape + v.rank, 0) != v.shape + v.rank) return;
  for (int i = 0; i < v.rank; ++i) {
    const int64_t reach = (v.shape[i] - 1) * v.strides[i];
    (reach < 0 ? *first : *last) += reach;
  }
  *last += item_size(v);
}

void set_type(ArrayView* v, const py::dtype& dtype, int64_t rank) {
  if (!dtype_of(dtype, &v->dtype))
    fail(Code::kDType, "%s: %s has dtype %s, wanted a real dtype in native byte order", v->op, v->argument,
         dtype_text(*v).c_str());
  if (rank > kMaxRank)
    fail(Code::kShape, "%s: %s has rank %lld, wanted at most %d", v->op, v->argument,
         static_cast<long long>(rank), kMaxRank);
  v->rank = static_cast<int>(rank);
}

bool is_dense(const ArrayView& v) {
  int64_t step = item_size(v);
  bool dense = reinterpret_cast<uintptr_t>(v.data) % static_cast<uintptr_t>(step) == 0;
  for (int i = v.rank - 1; i >= 0; --i) {
    if (v.shape[i] != 1 && v.strides[i] != step) dense = false;
    step *= v.shape[i];
  }
  return dense;
}

Source source_of(const ArrayView& view) {
  Source source;
  source.data = view.data;
  source.dtype = view.dtype;
  source.rank = view.rank;
  std::copy(view.shape, view.shape + view.rank, source.shape);
  std::copy(view.strides, view.strides + view.rank, source.strides);
  return source;
}

ArrayView stored_view(const char* op, const char* argument, py::handle value, int rank) {
  ArrayView v = any_view(op, argument, value);
  v.may_be_bfloat16 = true;
  if (rank == kAnyRank && v.rank < 1)
    fail(Code::kShape, "%s: %s has rank 0, wanted at least 1", op, argument);
  expect_float32(v);
  if (rank != kAnyRank && v.rank != rank)
    fail(Code::kShape, "%s: %s has shape %s, wanted rank %d", op, argument, ShapeText(v.shape, v.rank).text,
         rank);
  element_count(op, argument, v.shape, v.rank);
  return v;
}

ArrayView float_view(const char* op, const char* argument, py::handle value, int rank) {
  ArrayView v = stored_view(op, argument, value, rank);
  expect_no_bfloat16(v);
  v.may_be_bfloat16 = false;
  return v;
}

void copy_view(const ArrayView& v, void* y) {
  const int64_t size = item_size(v);
  bool aligned = reinterpret_cast<uintptr_t>(v.data) % static_cast<uintptr_t>(size) == 0;
  for (int i = 0; i < v.rank; ++i) aligned = aligned && v.strides[i] % size == 0;
  OpDescriptor op = make_op(aligned ? Step::k_copy : Step::k_gather);
  if (aligned) {
    CopyShape& shape = op.copy;
    shape.rank = v.rank;
    int64_t step = 1;
    for (int i = v.rank - 1; i >= 0; --i) {
      shape.size[i] = shape.inner[i] = v.shape[i];
      shape.x_stride[i] = v.strides[i] / size;
      shape.y_stride[i] = step;
      step *= v.shape[i];
    }
  } else {
    GatherShape& shape = op.gather;
    shape.n = v.shape[0], shape.sample_stride = v.strides[0], shape.rank = v.rank - 1;
    for (int i = 1; i < v.rank; ++i) shape.shape[i - 1] = v.shape[i], shape.strides[i - 1] = v.strides[i];
    shape.from = shape.to = DType::kF32, shape.scale = 1;
  }
  run(v, op, {{v.data, nullptr}, {y}});
}

namespace {

// With the precision that is set.
const Prepared& prepared_on_cpu(const OpDescriptor& op) {
  const Precision precision = eager_cpu_precision();
  if (precision == Precision::kFloat32) return prepared_eager(cpu::backend(), op);
  OpDescriptor rounded = op;
  rounded.precision = precision;
  return prepared_eager(cpu::backend(), rounded);
}

}  // namespace

void run(const ArrayView& like, const OpDescriptor& op, const Operands& operands, const RunScalars* scalars) {
  if (like.on_gpu)
    return run_on_gpu(op, like.bfloat16 ? Storage::kBfloat16 : Storage::kFloat32, operands, scalars);
  const Prepared& step = prepared_on_cpu(op);
  if (is_brief(step)) return run_eager(cpu::backend(), step, operands, scalars);
  py::gil_scoped_release release;
  run_eager(cpu::backend(), step, operands, scalars);
}

void run(const std::vector<ViewedStep>& steps, const RunScalars* scalars) {
  std::vector<EagerStep> here;
  here.reserve(steps.size());
  for (const ViewedStep& each : steps)
    if (!each.like.on_gpu && steps.size() > 1) here.push_back({prepared_on_cpu(each.op), each.operands});
  for (const ViewedStep& each : steps)
    if (each.like.on_gpu || steps.size() == 1) run(each.like, each.op, each.operands, scalars);
  py::gil_scoped_release release;
  run_eager(cpu::backend(), here, scalars);
}

const void* dense(const ArrayView& v, Array* keep) {
  if (is_dense(v)) return v.data;
  const std::string what = std::string("a dense copy of ") + v.argument;
  *keep = array_like(v, what.c_str(), {v.shape, v.shape + v.rank});
  copy_view(v, keep->mutable_data());
  return keep->data();
}

Array array_like(const ArrayView& like, const char* what, Sizes shape, DType dtype) {
  if (like.bfloat16 && dtype == DType::kF32) dtype = DType::kU16;
  if (like.on_gpu) return gpu_array(like.op, what, shape, dtype);
  if (dtype == DType::kI32)
    return Array(py::array_t<int32_t>(std::vector<int64_t>(shape.begin(), shape.end())));
  return allocate(like.op, what, shape);
}

void same_place(const char* op, Inputs inputs) {
  const ArrayView* first = nullptr;
  for (const ArrayView* input : inputs) {
    if (!input) continue;
    if (!first) first = input;
    if (input->on_gpu != first->on_gpu)
      fail(Code::kDevice, "%s: %s is %s and %s is %s, wanted all arrays in one place", op, first->argument,
           kind_of(*first), input->argument, kind_of(*input));
  }
}

void expect_apart(const char* op, const ArrayView& out, Inputs inputs) {
  const char *begin, *end, *first, *last;
  extent(out, &begin, &end);
  for (const ArrayView* input : inputs) {
    if (!input) continue;
    extent(*input, &first, &last);
    if (first < end && begin < last)
      fail(Code::kArgument, "%s: out overlaps %s in memory, wanted an array of its own", op, input->argument);
  }
}

// Those that may be bfloat16 all are, or none.
static void same_storage(const char* op, Inputs inputs) {
  const ArrayView* first = nullptr;
  for (const ArrayView* input : inputs) {
    if (!input || !input->may_be_bfloat16) continue;
    if (!first) first = input;
    if (input->bfloat16 != first->bfloat16)
      fail(Code::kDType, "%s: %s has dtype %s and %s %s, wanted one dtype", op, first->argument,
           dtype_text(*first).c_str(), input->argument, dtype_text(*input).c_str());
  }
}

Array output(const char* op, py::handle out, Sizes shape, Inputs inputs, Like stored) {
  same_place(op, inputs);
  same_storage(op, inputs);
  const auto some = std::find_if(inputs.begin(), inputs.end(), [](const ArrayView* v) { return v; });
  const ArrayView* const first_input = some == inputs.end() ? nullptr : *some;
  const int rank = static_cast<int>(shape.size());
  const bool on_gpu = first_input && first_input->on_gpu;
  const bool bfloat16 = on_gpu && first_input->bfloat16 && stored == Like::kFirstInput;
  if (out.is_none())
    return on_gpu ? gpu_array(op, "the output", shape, bfloat16 ? DType::kU16 : DType::kF32)
                  : allocate(op, "the output", shape, inputs);
  if (!py::isinstance<py::array>(out) && !is_on_gpu(out)) wrong_type(op, "out", out, "an array or None");
  const ArrayView v = any_view(op, "out", out);
  if (first_input && v.on_gpu != on_gpu)
    fail(Code::kDevice, "%s: out is %s and %s is %s, wanted all arrays in one place", op, kind_of(v),
         first_input->argument, kind_of(*first_input));
  if (v.bfloat16 != bfloat16 || (v.dtype != DType::kF32 && !bfloat16))
    fail(Code::kDType, "%s: out has dtype %s, wanted %s", op, dtype_text(v).c_str(),
         bfloat16 ? "bfloat16" : "float32");
  if (v.rank != rank || !std::equal(shape.begin(), shape.end(), v.shape))
    fail(Code::kShape, "%s: out has shape %s, wanted %s", op, ShapeText(v.shape, v.rank).text,
         ShapeText(shape.data(), rank).text);
  if (!is_dense(v))
    fail(Code::kArgument, "%s: out is not C-contiguous and aligned, wanted an array as numpy.empty makes it",
         op);
  if (!v.writeable) fail(Code::kArgument, "%s: out is read-only, wanted a writable array", op);
  expect_apart(op, v, inputs);
  return Array(v.owner, const_cast<char*>(v.data));
}

}  // namespace fastcnn
