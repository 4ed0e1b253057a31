// SPDX-License-Identifier: Apache-2.0
#include "gpu.h"

#include <dlfcn.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "../plan/eager.h"

namespace fastcnn {
namespace {

// fastcnn._device, which alone knows CuPy.
py::object device_module(const char* name) { return py::module_::import("fastcnn._device").attr(name); }

py::object name(const char* text) {
  return py::reinterpret_steal<py::object>(PyUnicode_InternFromString(text));
}

// What every call asks of CuPy, found once: imports, names that were no Python strings yet, and questions
// put by way of Python were most of a small call.
struct Cupy {
  py::tuple found = device_module("cupy_parts")();
  py::object ndarray = found[0], empty = found[1], current_stream = found[2];
  py::object bfloat16 = device_module("Bfloat16");
  py::object bits = name("bits"), data = name("data"), dtype = name("dtype"), ptr = name("ptr"),
             shape = name("shape"), strides = name("strides");
};
const Cupy* loaded = nullptr;  // by gpu_backend(), for good: models may outlive static objects; under the GIL

const Cupy& cupy() {
  gpu_backend();
  return *loaded;
}

bool is_exactly(py::handle value, const py::object& type) {
  return reinterpret_cast<PyObject*>(Py_TYPE(value.ptr())) == type.ptr();
}
bool is_cupys(py::handle value) { return loaded && is_exactly(value, loaded->ndarray); }

void* address_of(py::handle holder) {
  return reinterpret_cast<void*>(py::cast<uintptr_t>(holder.attr(cupy().ptr)));
}
void* stream() { return address_of(cupy().current_stream()); }

void copy_sizes(py::handle tuple, int count, int64_t* out) {
  for (int i = 0; i < count; ++i) out[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple.ptr(), i));
}

py::dtype dtype_of(DType dtype) {
  return dtype == DType::kF32   ? py::dtype::of<float>()
         : dtype == DType::kI32 ? py::dtype::of<int32_t>()
         : dtype == DType::kU16 ? py::dtype::of<uint16_t>()
                                : py::dtype::of<uint8_t>();
}

const Backend& load(const std::string& path) {
  void* const object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object) fail(Code::kDevice, "fastcnn's object for GPUs cannot be loaded: %.300s", dlerror());
  using Get = const Backend* (*)();
  const Get get = reinterpret_cast<Get>(dlsym(object, "fastcnn_cuda_backend"));
  const Backend* const backend = get ? get() : nullptr;
  if (!backend || backend->version != kBackendVersion || backend->size != sizeof(Backend))
    fail(Code::kDevice, "%s belongs to another version of fastcnn; install both anew", path.c_str());
  return *backend;
}

Precision eager_precision = Precision::kFloat32;  // under the GIL

class CupyPool : public Pool {
 public:
  char* take(size_t bytes, const char* what, void** holder) override {
    const py::gil_scoped_acquire acquire;
    try {
      const py::object array = device_module("memory")(what, bytes);
      char* const begin = reinterpret_cast<char*>(py::cast<uintptr_t>(array.attr("data").attr("ptr")));
      *holder = py::object(array).release().ptr();
      return begin;
    } catch (const py::error_already_set& error) {
      throw Error(error.matches(PyExc_MemoryError) ? Code::kMemory : Code::kDevice, text_of(error));
    }
  }

  void give_back(void* holder) noexcept override {
    if (!Py_IsInitialized()) return;
    const py::gil_scoped_acquire acquire;
    Py_DECREF(static_cast<PyObject*>(holder));
  }

  size_t free_bytes() override {
    const py::gil_scoped_acquire acquire;
    try {
      return py::cast<size_t>(device_module("free_bytes")());
    } catch (const py::error_already_set& error) {
      throw Error(Code::kDevice, text_of(error));
    }
  }

 private:
  static std::string text_of(const py::error_already_set& error) { return py::str(error.value()); }
};

}  // namespace

bool is_on_gpu(py::handle value) {
  if (is_cupys(value)) return true;
  if (py::hasattr(value, "__cuda_array_interface__")) return true;
  if (!py::hasattr(value, "__dlpack_device__") || py::isinstance<py::array>(value)) return false;
  constexpr int kCuda = 2, kCudaManaged = 13;  // of DLPack's DLDeviceType
  const py::object device = value.attr("__dlpack_device__")();
  const int kind = py::cast<int>(device[py::int_(0)]);
  return kind == kCuda || kind == kCudaManaged;
}

ArrayView gpu_view(const char* op, const char* argument, py::handle value) {
  const Cupy& names = cupy();   // says what is missing, if anything is
  constexpr char kOther = 'V';  // the kind of a dtype that is not NumPy's
  const bool known = is_cupys(value) && py::dtype(value.attr(names.dtype)).kind() != kOther;
  const auto array = known ? py::reinterpret_borrow<py::object>(value)
                           : device_module("as_cupy")(value, std::string(op) + ": " + argument);
  ArrayView v{array, op, argument, nullptr, DType::kF32, 0, {}, {}, true, true};
  v.bfloat16 = is_exactly(array, names.bfloat16);
  const py::object numbers = v.bfloat16 ? array.attr(names.bits) : array;
  v.data = static_cast<const char*>(address_of(numbers.attr(names.data)));
  const py::tuple shape = numbers.attr(names.shape), strides = numbers.attr(names.strides);
  set_type(&v, numbers.attr(names.dtype), static_cast<int64_t>(shape.size()));
  copy_sizes(shape, v.rank, v.shape);
  copy_sizes(strides, v.rank, v.strides);
  if (known) return v;  // CuPy has asked for its memory or allocated it
  const char *first, *last;
  extent(v, &first, &last);
  Status status{};
  if (first < last &&
      gpu_backend().device->check_memory(first, static_cast<size_t>(last - first), &status) != Code::kOk)
    fail(status.code, "%s: %s: %s", op, argument, status.message);
  return v;
}

Array gpu_array(const char* op, const char* what, Sizes sizes, DType dtype) {
  py::tuple shape(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) shape[i] = py::int_(sizes[i]);
  const py::dtype numbers = dtype_of(dtype);
  auto array = py::reinterpret_steal<py::object>(
      PyObject_CallFunctionObjArgs(cupy().empty.ptr(), shape.ptr(), numbers.ptr(), nullptr));
  if (!array) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) throw py::error_already_set();
    PyErr_Clear();
    array = device_module("empty")(op, what, shape, numbers);  // says what failed
  }
  void* const address = address_of(array.attr(cupy().data));
  return Array(dtype == DType::kU16 ? cupy().bfloat16(array) : array, address);
}

py::object to_numpy(const ArrayView& v) { return device_module("to_numpy")(v.owner); }

const Backend& gpu_backend() {
  static const Backend* backend = nullptr;  // under the GIL
  if (!backend) {
    device_module("library")();
    Status status{};
    gpu_kernels().device->open(&status);
    check(status);
    loaded = new Cupy;
    backend = &gpu_kernels();
  }
  return *backend;
}

const Backend& gpu_kernels() {
  static const Backend* backend = nullptr;
  if (!backend) backend = &load(py::cast<std::string>(device_module("kernels")()));
  return *backend;
}

Place gpu_place() {
  static CupyPool* const pool = new CupyPool;  // models may outlive static objects
  Status status{};
  gpu_backend().device->open(&status);
  check(status);
  return {&gpu_backend(), pool};
}

void set_gpu_precision(py::handle precision) {
  eager_precision = static_cast<Precision>(
      choice("set_gpu_precision", "precision", precision, {"float32", "tf32", "bfloat16"}));
}

void run_on_gpu(OpDescriptor op, Storage storage, const Operands& operands, const RunScalars* scalars) {
  const Backend& backend = gpu_backend();
  op.storage = storage;
  op.precision = storage == Storage::kBfloat16 ? Precision::kBfloat16 : eager_precision;
  const Prepared& prepared = prepared_eager(backend, op);
  DevicePlace place{stream(), nullptr};
  const size_t bytes = device_bytes(prepared, scalars != nullptr);
  Array workspace;  // given back to the pool at once: CuPy hands it out on the same stream alone
  if (bytes) {
    workspace = gpu_array("fastcnn", "the workspace of a kernel", {static_cast<int64_t>(bytes)}, DType::kU8);
    place.workspace = workspace.mutable_data();
  }
  py::gil_scoped_release release;
  run_eager_on(backend, prepared, operands, scalars, place);
}

bool gpu_within(const int32_t* numbers, int64_t count, int32_t last) {
  Array word = gpu_array("fastcnn", "the check of indices", {1}, DType::kI32);
  Status status{};
  int32_t found = 0;
  void *const on = stream(), *const told = word.mutable_data();
  py::gil_scoped_release release;
  gpu_backend().device->outside(numbers, count, last, told, &found, on, &status);
  check(status);
  return !found;
}

void gpu_copy(void* to, const void* from, size_t bytes) {
  Status status{};
  void* const on = stream();
  py::gil_scoped_release release;
  gpu_backend().device->copy(to, from, bytes, on, &status);
  check(status);
}

}  // namespace fastcnn
