// SPDX-License-Identifier: Apache-2.0
// fastcnn._native: what is bound where, the translation of errors, and what the library knows about itself.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../base/parallel.h"
#include "../cpu/cpu.h"
#include "array.h"
#include "gpu.h"
#include "model.h"
#include "ops.h"
#include "precision.h"

namespace fastcnn {
namespace {

const char* exception_name(Code code) {
  switch (code) {
    case Code::kShape:
      return "ShapeError";
    case Code::kDType:
      return "DTypeError";
    case Code::kDevice:
      return "DeviceError";
    case Code::kLost:
      return "DeviceLostError";
    case Code::kMemory:
      return "OutOfMemoryError";
    default:
      return "ArgumentError";
  }
}

py::list operators() {
  struct Row {
    const char *name, *forward;
    Saves saves;
  };
  static constexpr Row rows[] = {
#define FASTCNN_OPERATOR(name, forward, saves) {#name, #forward, Saves::saves},
      FASTCNN_OPERATORS(FASTCNN_OPERATOR)
#undef FASTCNN_OPERATOR
  };
  static const char* const saved[] = {"nothing", "x", "y", "x and y"};
  py::list result;
  for (const Row& row : rows)
    result.append(py::dict(py::arg("name") = row.name, py::arg("forward") = row.forward,
                           py::arg("saved") = saved[static_cast<int>(row.saves)]));
  return result;
}

py::list kernels_of(const Backend& backend) {
  int count = 0;
  const KernelInfo* rows = backend.kernels(&count);
  py::list result;
  for (int i = 0; i < count; ++i)
    result.append(py::dict(py::arg("step") = name_of(rows[i].step), py::arg("name") = rows[i].name));
  return result;
}

py::dict thread_sources_dict() {
  const ThreadSources from = thread_sources();
  return py::dict(py::arg("omp_num_threads") = from.omp_num_threads, py::arg("affinity") = from.affinity,
                  py::arg("cgroup_quota") = from.quota, py::arg("threads") = current_threads());
}

int checked_threads(const char* op, py::handle value) {
  const int64_t count = whole_number(op, "num_threads", value);
  if (count < 1 || count > kMaxThreads)
    fail(Code::kArgument, "%s: num_threads is %lld, wanted 1 to %d", op, static_cast<long long>(count),
         kMaxThreads);
  return static_cast<int>(count);
}

}  // namespace
}  // namespace fastcnn

PYBIND11_MODULE(_native, m) {
  using namespace fastcnn;
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& error) {
      const py::object type = py::module_::import("fastcnn.errors").attr(exception_name(error.code));
      PyErr_SetString(type.ptr(), error.what());
    }
  });
  bind_ops(m);
  bind_model(m);
  m.def("operators", &operators);
  m.def("kernels", [] { return kernels_of(cpu::backend()); });
  m.def("gpu_variant", [] { return gpu_backend().variant; });
  m.def("set_gpu_precision", &set_gpu_precision, py::arg("precision"));
  m.def("gpu_kernels", [] { return kernels_of(gpu_backend()); });
  m.def("isa", [] { return cpu::backend().variant; });
  m.def("isas", &cpu::supported_isas);
  m.def("bfloat16", [] { return !cpu::bfloat16_missing(); });
  m.def("bfloat16_pays", cpu::bfloat16_pays);
  m.def("set_cpu_precision", &set_cpu_precision, py::arg("precision"));
  m.def("thread_sources", &thread_sources_dict);
  m.def("get_num_threads", &current_threads);
  m.def(
      "set_num_threads",
      [](py::handle num_threads) { set_threads(checked_threads("set_num_threads", num_threads)); },
      py::arg("num_threads"));
  m.def(
      "fma_peak",
      [](py::handle num_threads) { return cpu::fma_peak(checked_threads("fma_peak", num_threads)); },
      py::arg("num_threads"));
  m.def(
      "copy_bandwidth",
      [](py::handle num_threads) {
        return cpu::copy_bandwidth(checked_threads("copy_bandwidth", num_threads));
      },
      py::arg("num_threads"));
}
