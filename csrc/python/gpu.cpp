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

void* stream() { return reinterpret_cast<void*>(py::cast<uintptr_t>(device_module("stream")())); }

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
  if (py::hasattr(value, "__cuda_array_interface__")) return true;
  if (!py::hasattr(value, "__dlpack_device__") || py::isinstance<py::array>(value)) return false;
  constexpr int kCuda = 2, kCudaManaged = 13;  // of DLPack's DLDeviceType
  const py::object device = value.attr("__dlpack_device__")();
  const int kind = py::cast<int>(device[py::int_(0)]);
  return kind == kCuda || kind == kCudaManaged;
}

ArrayView gpu_view(const char* op, const char* argument, py::handle value) {
  gpu_backend();  // says what is missing, if anything is
  const py::object array = device_module("as_cupy")(value, std::string(op) + ": " + argument);
  ArrayView v{array, op, argument, nullptr, DType::kF32, 0, {}, {}, true, true};
  v.data = reinterpret_cast<const char*>(py::cast<uintptr_t>(array.attr("data").attr("ptr")));
  const auto shape = py::cast<std::vector<int64_t>>(array.attr("shape"));
  const auto strides = py::cast<std::vector<int64_t>>(array.attr("strides"));
  v.bfloat16 = py::isinstance(array, device_module("Bfloat16"));
  set_type(&v, v.bfloat16 ? py::dtype::of<uint16_t>() : py::dtype::from_args(array.attr("dtype")),
           static_cast<int64_t>(shape.size()));
  std::copy(shape.begin(), shape.end(), v.shape);
  std::copy(strides.begin(), strides.end(), v.strides);
  const char *first, *last;
  extent(v, &first, &last);
  Status status{};
  if (first < last &&
      gpu_backend().device->check_memory(first, static_cast<size_t>(last - first), &status) != Code::kOk)
    fail(status.code, "%s: %s: %s", op, argument, status.message);
  return v;
}

Array gpu_array(const char* op, const std::string& what, const std::vector<int64_t>& shape, DType dtype) {
  const char* name = dtype == DType::kF32   ? "float32"
                     : dtype == DType::kI32 ? "int32"
                     : dtype == DType::kU16 ? "bfloat16"
                                            : "uint8";
  const py::object array = device_module("empty")(op, what, py::tuple(py::cast(shape)), name);
  return Array(array, reinterpret_cast<void*>(py::cast<uintptr_t>(array.attr("data").attr("ptr"))));
}

py::object to_numpy(const ArrayView& v) { return device_module("to_numpy")(v.owner); }

const Backend& gpu_backend() {
  static const Backend* backend = nullptr;  // under the GIL
  if (!backend) {
    device_module("library")();
    Status status{};
    gpu_kernels().device->open(&status);
    check(status);
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
  DevicePlace place{stream(), nullptr};
  const size_t bytes = device_bytes(backend, op, scalars != nullptr);
  Array workspace;  // given back to the pool at once: CuPy hands it out on the same stream alone
  if (bytes) {
    workspace = gpu_array("fastcnn", "the workspace of a kernel", {static_cast<int64_t>(bytes)}, DType::kU8);
    place.workspace = workspace.mutable_data();
  }
  py::gil_scoped_release release;
  run_eager_on(backend, op, operands, scalars, place);
}

void gpu_copy(void* to, const void* from, size_t bytes) {
  Status status{};
  void* const on = stream();
  py::gil_scoped_release release;
  gpu_backend().device->copy(to, from, bytes, on, &status);
  check(status);
}

}  // namespace fastcnn
