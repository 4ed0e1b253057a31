// SPDX-License-Identifier: Apache-2.0
// Streams, captured graphs and errors of the emulated GPU. The legacy stream does at once what it is given;
// any other keeps it until it is waited for, so that a wait which is missing shows.
#include <stdlib.h>
#include <time.h>

#include <mutex>
#include <set>

#include "cuda_runtime.h"
#include "memory.h"

#define FASTCNN_EXPORT extern "C" __attribute__((visibility("default")))

namespace emulated {

void run_grid(dim3 blocks, dim3 threads, const std::function<void()>& thread);

namespace {

using Work = std::function<void()>;

struct Stream {
  std::vector<Work> waiting, captured;
  bool capturing = false;
};

std::recursive_mutex mutex;
cudaError_t last = cudaSuccess;     // since it was asked for
cudaError_t failure = cudaSuccess;  // of a kernel: stays
int64_t kernels, graphs, captures;
int64_t fails_in;  // the kernel that fails; 0: none
cudaError_t fails_with = cudaSuccess;

cudaError_t told(cudaError_t error) {
  if (failure != cudaSuccess) return failure;
  if (error != cudaSuccess) last = error;
  return error;
}

void flush(Stream& stream) {
  const AtWork open;
  std::vector<Work> all;
  all.swap(stream.waiting);
  for (const Work& work : all)
    if (failure == cudaSuccess) work();
}

void put(void* on, Work work) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (failure != cudaSuccess) return;
  auto* const stream = static_cast<Stream*>(on);
  if (!stream) {
    const AtWork open;
    work();
  } else {
    (stream->capturing ? stream->captured : stream->waiting).push_back(std::move(work));
  }
}

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

}  // namespace

void launch(dim3 blocks, dim3 threads, void* stream, std::function<void()> thread) {
  put(stream, [=] {
    if (++kernels == fails_in)
      failure = fails_with;
    else
      run_grid(blocks, threads, thread);
  });
}

}  // namespace emulated

using namespace emulated;
using Lock = std::lock_guard<std::recursive_mutex>;

// From now on the kernel after so many others fails with this error; 0: the next.
FASTCNN_EXPORT void emulated_fail(int64_t kernels_before, int error) {
  fails_in = kernels + kernels_before + 1;
  fails_with = static_cast<cudaError_t>(error);
}
FASTCNN_EXPORT void emulated_counts(int64_t* out) { out[0] = kernels, out[1] = graphs, out[2] = captures; }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    default:
      return "emulated";
  }
}
cudaError_t cudaGetLastError() {
  const Lock lock(mutex);
  if (failure != cudaSuccess) return failure;
  const cudaError_t error = last;
  last = cudaSuccess;
  return error;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  attributes->type = is_device_memory(memory) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return told(cudaSuccess);
}

// From the host's memory: taken over at once, as a GPU's driver does; to it: done on return.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t on) {
  const Lock lock(mutex);
  if (failure != cudaSuccess || bytes == 0) return failure;
  auto* const stream = static_cast<Stream*>(on);
  if (!is_device_memory(to)) {
    if (stream && stream->capturing) return told(cudaErrorStreamCaptureUnsupported);
    if (stream) flush(*stream);
    const AtWork open;
    if (failure == cudaSuccess) memcpy(to, from, bytes);
  } else if (is_device_memory(from)) {
    put(on, [=] { memcpy(to, from, bytes); });
  } else {
    const auto* const first = static_cast<const char*>(from);
    put(on, [to, kept = std::vector<char>(first, first + bytes)] { memcpy(to, kept.data(), kept.size()); });
  }
  return told(cudaSuccess);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t on) {
  put(on, [=] { memset(to, value, bytes); });
  return told(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new Stream;
  return told(cudaSuccess);
}
cudaError_t cudaStreamDestroy(cudaStream_t on) {
  delete static_cast<Stream*>(on);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t on) {
  const Lock lock(mutex);
  if (on) flush(*static_cast<Stream*>(on));
  return told(cudaSuccess);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t on, cudaStreamCaptureMode) {
  const Lock lock(mutex);
  auto* const stream = static_cast<Stream*>(on);
  if (!stream || stream->capturing) return told(cudaErrorStreamCaptureUnsupported);
  stream->capturing = true;
  return told(cudaSuccess);
}
cudaError_t cudaStreamEndCapture(cudaStream_t on, cudaGraph_t* graph) {
  const Lock lock(mutex);
  auto* const stream = static_cast<Stream*>(on);
  stream->capturing = false;
  ++captures;
  *graph = new std::vector<Work>(std::move(stream->captured));
  stream->captured.clear();
  return told(cudaSuccess);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = new std::vector<Work>(*static_cast<std::vector<Work>*>(graph));
  return told(cudaSuccess);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete static_cast<std::vector<Work>*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) { return cudaGraphDestroy(ready); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t on) {
  const Lock lock(mutex);
  ++graphs;
  for (const Work& work : *static_cast<std::vector<Work>*>(ready)) put(on, work);
  return told(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new double(0);
  return told(cudaSuccess);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t on) {
  put(on, [event] { *static_cast<double*>(event) = now(); });
  return told(cudaSuccess);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
  *milliseconds = float(1e3 * (*static_cast<double*>(last) - *static_cast<double*>(first)));
  return told(cudaSuccess);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete static_cast<double*>(event);
  return cudaSuccess;
}
