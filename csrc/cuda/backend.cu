// SPDX-License-Identifier: Apache-2.0
// The GPU's Backend, the one symbol that this shared object exports: which GPU there is, which kernel a step
// takes, copies, errors. The kernel is the first row of rows.inc that the GPU's compute capability runs and
// whose supports() agrees.
#include <stdio.h>

#include "launch.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kLeastCapability = 75;
#if defined(FASTCNN_EMULATE_CUDA)
constexpr char kVariant[] = "emulated";
#else
constexpr char kVariant[] = "cuda";
#endif

constexpr KernelRow kRows[] = {
#define FASTCNN_ROW_ON(least, most, step, algorithm) \
  {Step::k_##step,                                   \
   #step "_" #algorithm,                             \
   {least, most},                                    \
   supports_##step##_##algorithm,                    \
   prepare_##step##_##algorithm,                     \
   run_##step##_##algorithm},
#include "rows.inc"
#undef FASTCNN_ROW_ON
};
constexpr int kRowCount = sizeof kRows / sizeof *kRows;

constexpr Step kWithoutRow[] = {
#define FASTCNN_ROW_ON(least, most, step, algorithm)
#define FASTCNN_NO_ROW(step) Step::k_##step,
#include "rows.inc"
#undef FASTCNN_NO_ROW
#undef FASTCNN_ROW_ON
};

constexpr bool has_row(Step step) {
  for (const KernelRow& row : kRows)
    if (row.step == step) return true;
  return false;
}
constexpr bool listed(Step step) {
  for (const Step each : kWithoutRow)
    if (each == step) return true;
  return false;
}
constexpr bool every_step_is_listed_once() {
  for (int32_t i = 0; i < static_cast<int32_t>(Step::kCount); ++i)
    if (has_row(static_cast<Step>(i)) == listed(static_cast<Step>(i))) return false;
  return true;
}
static_assert(every_step_is_listed_once(), "a step has neither a row nor a FASTCNN_NO_ROW, or both");

constexpr const char* kStepNames[] = {
#define FASTCNN_NAME(name, shape, inputs, outputs) #name,
    FASTCNN_STEPS(FASTCNN_NAME)
#undef FASTCNN_NAME
};

template <class... Values>
Code failed(Status* status, Code code, const char* format, Values... values) {
  status->code = code;
  snprintf(status->message, sizeof status->message, format, values...);
  return code;
}

Code check(cudaError_t error, const char* what, Status* status) {
  if (error == cudaSuccess) return Code::kOk;
  return failed(status, error == cudaErrorMemoryAllocation ? Code::kMemory : Code::kDevice, "%s: %s", what,
                cudaGetErrorString(error));
}

// 10 major + minor of the current GPU, or why there is none.
Code capability(int* sm, Status* status) {
  int driver = 0, runtime = 0, count = 0, device = 0, major = 0, minor = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return failed(status, Code::kDevice, "no NVIDIA driver was found on this machine");
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver || driver / 1000 < runtime / 1000)
    return failed(status, Code::kDevice,
                  "the NVIDIA driver supports CUDA %d.%d, wanted %d.0 or later; update the driver",
                  driver / 1000, driver % 1000 / 10, runtime / 1000);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return failed(status, Code::kDevice, "the NVIDIA driver sees no GPU");
  if (check(error, "looking for a GPU", status) != Code::kOk) return status->code;
  if (check(cudaGetDevice(&device), "looking for a GPU", status) != Code::kOk) return status->code;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  *sm = 10 * major + minor;
  if (*sm < kLeastCapability)
    return failed(status, Code::kDevice, "GPU %d has compute capability %d.%d, wanted 7.5 or later", device,
                  major, minor);
  return Code::kOk;
}

Code open(Status* status) {
  int sm = 0;
  return capability(&sm, status);
}

Code prepare(const OpDescriptor* op, Prepared* out, Status* status) {
  int sm = 0;
  if (capability(&sm, status) != Code::kOk) return status->code;
  for (const KernelRow& row : kRows) {
    const bool runs = row.on.least <= sm && sm <= row.on.most;
    if (row.step != op->step || !runs || op->layout != Layout::kChannelsLast || !row.supports(*op)) continue;
    *out = Prepared{};
    out->op = *op;
    out->row = &row;
    out->kernel = row.name;
    row.prepare(out);
    return Code::kOk;
  }
  return failed(status, Code::kDevice, "there is no GPU kernel of %s%s yet; it runs on the CPU",
                kStepNames[static_cast<int>(op->step)], listed(op->step) ? "" : " with these options");
}

void run(const Prepared* prepared, const Operands* operands, Context* context) {
  static_cast<const KernelRow*>(prepared->row)->run(*prepared, *operands, *context);
}

struct KernelList {
  KernelInfo info[kRowCount];
  KernelList() {
    for (int i = 0; i < kRowCount; ++i) info[i] = {kRows[i].step, kRows[i].name};
  }
};

const KernelInfo* kernel_list(int* count) {
  static const KernelList list;
  *count = kRowCount;
  return list.info;
}

Code copy(void* to, const void* from, size_t bytes, void* stream, Status* status) {
  const auto on = static_cast<cudaStream_t>(stream);
  if (check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, on), "a copy", status) != Code::kOk)
    return status->code;
  return check(cudaStreamSynchronize(on), "a copy", status);
}

Code upload(void* to, const void* from, size_t bytes, void* stream, Status* status) {
  const auto on = static_cast<cudaStream_t>(stream);
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, on), "a copy", status);
}

Code zero(void* to, size_t bytes, void* stream, Status* status) {
  return check(cudaMemsetAsync(to, 0, bytes, static_cast<cudaStream_t>(stream)), "clearing memory", status);
}

Code launched(const char* what, Status* status) { return check(cudaGetLastError(), what, status); }

}  // namespace

}  // namespace cuda
}  // namespace fastcnn

extern "C" __attribute__((visibility("default"))) const fastcnn::Backend* fastcnn_cuda_backend() {
  using namespace fastcnn::cuda;
  static const fastcnn::Device device = {open, copy, upload, zero, launched};
  static const fastcnn::Backend backend = {fastcnn::kBackendVersion,
                                           sizeof(fastcnn::Backend),
                                           "cuda",
                                           kVariant,
                                           prepare,
                                           run,
                                           kernel_list,
                                           &device};
  return &backend;
}
