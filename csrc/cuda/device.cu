// SPDX-License-Identifier: Apache-2.0
// Which GPU there is, copies, streams, captured graphs, and the two kernels around the steps of a batch. A
// GPU that has failed answers nothing in this process any more: the first such error is kept, and all that
// comes after it is refused with it.
#include <atomic>

#include "device.h"
#include "launch.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kLeastCapability = 75;

std::atomic<int> failure{cudaSuccess};
thread_local int assumed = 0;

bool is_final(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
      return true;
    default:
      return false;
  }
}

Code check(cudaError_t error, const char* what, Status* status) {
  if (is_final(error)) {
    int none = cudaSuccess;
    failure.compare_exchange_strong(none, error);
  }
  const auto first = static_cast<cudaError_t>(failure.load());
  if (first != cudaSuccess)
    return failed(
        status, Code::kLost,
        "%s: the GPU has failed (%s); nothing runs on it in this process any more, the CPU goes on. "
        "Start the process anew and load what was saved",
        what, cudaGetErrorString(first));
  if (error == cudaSuccess) return Code::kOk;
  cudaGetLastError();  // it is told here
  return failed(status, error == cudaErrorMemoryAllocation ? Code::kMemory : Code::kDevice, "%s: %s", what,
                cudaGetErrorString(error));
}

cudaStream_t on(void* stream) { return static_cast<cudaStream_t>(stream); }

Code open(Status* status) {
  int sm = 0;
  return capability(&sm, status);
}

void assume(int sm) { assumed = sm; }

Code check_memory(const void* memory, size_t bytes, Status* status) {
  if (bytes == 0) return Code::kOk;
  const char* const first = static_cast<const char*>(memory);
  for (const char* byte : {first, first + bytes - 1}) {
    cudaPointerAttributes attributes = {};
    const cudaError_t error = cudaPointerGetAttributes(&attributes, byte);
    if (is_final(error) || failure != cudaSuccess) return check(error, "an array", status);
    if (error == cudaSuccess && attributes.type != cudaMemoryTypeUnregistered) continue;
    cudaGetLastError();
    return failed(status, Code::kArgument, "address %p is in no GPU's memory",
                  static_cast<const void*>(byte));
  }
  return Code::kOk;
}

Code copy(void* to, const void* from, size_t bytes, void* stream, Status* status) {
  if (check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, on(stream)), "a copy", status) != Code::kOk)
    return status->code;
  return check(cudaStreamSynchronize(on(stream)), "a copy", status);
}

Code upload(void* to, const void* from, size_t bytes, void* stream, Status* status) {
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, on(stream)), "a copy", status);
}

Code zero(void* to, size_t bytes, void* stream, Status* status) {
  return check(cudaMemsetAsync(to, 0, bytes, on(stream)), "clearing memory", status);
}

Code launched(const char* what, Status* status) { return check(cudaGetLastError(), what, status); }

struct Range {
  const int32_t* numbers;
  int64_t count;
  uint32_t last;
};

// By the sign of what is negative, or of what is left to the last one. A thread waits for four numbers at
// once.
__global__ void __launch_bounds__(kThreads) find_outside(Range in, int32_t* found) {
  constexpr int kEach = 4;
  const int64_t step = int64_t(kThreads) * gridDim.x;
  uint32_t signs = 0;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < in.count; i += kEach * step) {
    uint32_t number[kEach];
    FASTCNN_UNROLL
    for (int e = 0; e < kEach; ++e)
      number[e] = i + e * step < in.count ? uint32_t(in.numbers[i + e * step]) : 0;
    FASTCNN_UNROLL
    for (int e = 0; e < kEach; ++e) signs |= number[e] | (in.last - number[e]);
  }
  if (signs >> 31) *found = 1;  // whoever comes last, it is the same
}

Code outside(const int32_t* numbers, int64_t count, int32_t last, void* word, int32_t* found, void* stream,
             Status* status) {
  if (zero(word, sizeof *found, stream, status) != Code::kOk) return status->code;
  const Range in = {numbers, count, uint32_t(last)};
  FASTCNN_LAUNCH(find_outside, blocks_for(count, kThreads), kThreads, on(stream))
  (in, static_cast<int32_t*>(word));
  if (launched("looking at indices", status) != Code::kOk) return status->code;
  return copy(found, word, sizeof *found, stream, status);
}

// Apart from the legacy stream, which cannot be captured and would wait for this one.
Code open_stream(void** stream, Status* status) {
  cudaStream_t made = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
  *stream = made;
  return check(error, "a stream", status);
}

void close_stream(void* stream) { cudaStreamDestroy(on(stream)); }

Code wait(void* stream, Status* status) {
  return check(cudaStreamSynchronize(on(stream)), "waiting for the GPU", status);
}

__global__ void __launch_bounds__(kThreads) move_on(NextBatch b) {
  __shared__ int64_t slot;
  if (threadIdx.x == 0) slot = b.cursor->slot + 1;
  __syncthreads();
  const int64_t* order = b.cursor->order;
  const int64_t row = b.cursor->row + slot * b.n;
  for (int64_t i = threadIdx.x; i < b.n; i += kThreads) b.index[i] = order ? order[row + i] : row + i;
  if (threadIdx.x != 0) return;
  b.cursor->slot = slot;
  b.cursor->scalars.step = b.cursor->first_step + uint64_t(b.cursor->counts * slot);
  b.cursor->scalars.learning_rate = b.rates[slot];
}

void next_batch(const NextBatch* b, void* stream) { FASTCNN_LAUNCH(move_on, 1, kThreads, on(stream))(*b); }

constexpr int kNotes = 16;
struct Notes {
  Note note[kNotes];
};

__global__ void __launch_bounds__(kThreads) keep_notes(Notes notes, const Cursor* cursor) {
  const Note note = notes.note[blockIdx.y];
  const auto* from = static_cast<const uint32_t*>(note.from);
  auto* to = reinterpret_cast<uint32_t*>(static_cast<char*>(note.to) + cursor->slot * note.stride);
  const int64_t step = int64_t(kThreads) * gridDim.x, count = note.bytes / 4;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) to[i] = from[i];
}

void take_notes(const Note* note, int count, const Cursor* cursor, void* stream) {
  for (int first = 0; first < count; first += kNotes) {
    Notes notes = {};
    const int some = count - first < kNotes ? count - first : kNotes;
    int64_t most = 0;
    for (int i = 0; i < some; ++i) {
      notes.note[i] = note[first + i];
      most = most > notes.note[i].bytes ? most : notes.note[i].bytes;
    }
    FASTCNN_LAUNCH(keep_notes, dim3(blocks_for(most / 4, kThreads), unsigned(some)), kThreads, on(stream))
    (notes, cursor);
  }
}

// Of this thread's work alone: others may allocate and copy meanwhile.
Code begin_capture(void* stream, Status* status) {
  return check(cudaStreamBeginCapture(on(stream), cudaStreamCaptureModeThreadLocal), "capturing", status);
}

Code end_capture(void* stream, void** graph, Status* status) {
  cudaGraph_t captured = nullptr;
  cudaGraphExec_t ready = nullptr;
  cudaError_t error = cudaStreamEndCapture(on(stream), &captured);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&ready, captured, 0);
  if (captured) cudaGraphDestroy(captured);
  *graph = ready;
  return check(error, "capturing", status);
}

Code replay(void* graph, void* stream, Status* status) {
  return check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), on(stream)), "a captured batch", status);
}

void drop_graph(void* graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

Code follow(void* then, void* first, void** moment, Status* status) {
  cudaEvent_t event = static_cast<cudaEvent_t>(*moment);
  if (!event &&
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event", status) != Code::kOk)
    return status->code;
  *moment = event;
  if (check(cudaEventRecord(event, on(first)), "an event", status) != Code::kOk) return status->code;
  return check(cudaStreamWaitEvent(on(then), event, 0), "an event", status);
}

Code mark(void** moment, void* stream, Status* status) {
  cudaEvent_t event = static_cast<cudaEvent_t>(*moment);
  if (!event && check(cudaEventCreate(&event), "an event", status) != Code::kOk) return status->code;
  *moment = event;
  return check(cudaEventRecord(event, on(stream)), "an event", status);
}

double seconds_between(void* first, void* last) {
  float milliseconds = 0;
  cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(first), static_cast<cudaEvent_t>(last));
  return milliseconds * 1e-3;
}

void drop_moment(void* moment) { cudaEventDestroy(static_cast<cudaEvent_t>(moment)); }

void* pin(size_t bytes) {
  void* memory = nullptr;
  if (cudaHostAlloc(&memory, bytes, cudaHostAllocDefault) == cudaSuccess) return memory;
  cudaGetLastError();
  return nullptr;
}

void unpin(void* memory) { cudaFreeHost(memory); }

}  // namespace

Code capability(int* sm, Status* status) {
  if (assumed) {
    *sm = assumed;
    return Code::kOk;
  }
  int driver = 0, runtime = 0, count = 0, device = 0, major = 0, minor = 0;
  if (failure != cudaSuccess) return check(cudaSuccess, "looking for a GPU", status);
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return failed(status, Code::kDevice, "%s", "no NVIDIA driver was found on this machine");
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver || driver / 1000 < runtime / 1000)
    return failed(status, Code::kDevice,
                  "the NVIDIA driver supports CUDA %d.%d, wanted %d.0 or later; update the driver",
                  driver / 1000, driver % 1000 / 10, runtime / 1000);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return failed(status, Code::kDevice, "%s", "the NVIDIA driver sees no GPU");
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

const Device kDevice = {open,       assume,          check_memory, copy,         upload,     zero,
                        outside,    launched,        open_stream,  close_stream, wait,       next_batch,
                        take_notes, begin_capture,   end_capture,  replay,       drop_graph, follow,
                        mark,       seconds_between, drop_moment,  pin,          unpin};

}  // namespace cuda
}  // namespace fastcnn
