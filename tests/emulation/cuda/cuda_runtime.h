// SPDX-License-Identifier: Apache-2.0
// CUDA for machines without a GPU, as far as csrc/cuda needs it: found in place of NVIDIA's header of this
// name under FASTCNN_EMULATE_CUDA, so that g++ compiles the kernels as they stand. The threads of a block are
// fibers, which change places at barriers and in shuffles alone; blocks come one after the other; device
// memory is a part of the host's. A kernel whose threads part at a barrier ends the program, as it would hang
// a GPU. What is put on a stream runs when the stream is waited for.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <vector>

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
struct alignas(8) uint2 {
  unsigned x, y;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace emulated {

struct Place {
  dim3 thread, block, threads, blocks;
};
extern Place place;

// Puts a grid on the stream, which runs `thread` for each of its threads.
void launch(dim3 blocks, dim3 threads, void* stream, std::function<void()> thread);
void block_barrier();
void warp_barrier(unsigned mask);
// Writes this lane's value, waits for the lanes of the mask, and reads another's.
uint64_t exchange(unsigned mask, uint64_t value, int from_lane);
int lane();

template <class T>
T shuffle(unsigned mask, T value, int from_lane) {
  static_assert(sizeof(T) <= 8, "a shuffle moves four or eight bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = exchange(mask, bits, from_lane);
  memcpy(&value, &bits, sizeof value);
  return value;
}

template <class Kernel>
struct Launch {
  Kernel kernel;
  dim3 blocks, threads;
  void* stream;
  template <class... Arguments>
  void operator()(Arguments... arguments) const {
    const Kernel f = kernel;
    launch(blocks, threads, stream, [f, arguments...] { f(arguments...); });
  }
};
template <class Kernel>
Launch<Kernel> make_launch(Kernel kernel, dim3 blocks, dim3 threads, void* stream) {
  return {kernel, blocks, threads, stream};
}

}  // namespace emulated

#define threadIdx (emulated::place.thread)
#define blockIdx (emulated::place.block)
#define blockDim (emulated::place.threads)
#define gridDim (emulated::place.blocks)
#define FASTCNN_LAUNCH(kernel, blocks, threads, stream) emulated::make_launch(kernel, blocks, threads, stream)

#define __syncthreads() emulated::block_barrier()
#define __syncwarp(mask) emulated::warp_barrier(mask)
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return emulated::shuffle(mask, value, emulated::lane() ^ bits);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from_lane) {
  return emulated::shuffle(mask, value, from_lane);
}

inline float __int_as_float(int32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
inline int32_t __float_as_int(float value) {
  int32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t((uint64_t(a) * b) >> 32); }

typedef void* cudaStream_t;
typedef void* cudaGraph_t;
typedef void* cudaGraphExec_t;
typedef void* cudaEvent_t;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorECCUncorrectable = 214,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorAssert = 710,
  cudaErrorHardwareStackError = 714,
  cudaErrorIllegalInstruction = 715,
  cudaErrorMisalignedAddress = 716,
  cudaErrorInvalidAddressSpace = 717,
  cudaErrorInvalidPc = 718,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureUnjoined = 904
};
enum cudaMemcpyKind { cudaMemcpyDefault = 4 };
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };
enum cudaMemoryType { cudaMemoryTypeUnregistered = 0, cudaMemoryTypeDevice = 2 };
struct cudaPointerAttributes {
  cudaMemoryType type;
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0;

const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
void emulated_touch(const void* memory);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode);
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t, unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t);
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t cudaEventCreate(cudaEvent_t*);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned flags);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned flags);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last);
cudaError_t cudaEventDestroy(cudaEvent_t);
