// SPDX-License-Identifier: Apache-2.0
// The instructions of compute capability 9.0 that C++ has no words for: one function each, with its contract.
// Shared memory is named by its 32-bit address. Where a GPU is emulated, emulated_sm90.h defines the same.
#pragma once
#include "maps.h"

#if defined(FASTCNN_EMULATE_CUDA)
#include <emulated_sm90.h>
#else

#define FASTCNN_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]

namespace fastcnn {
namespace cuda {
namespace ptx {

// Moves registers between the warps of a block, by whole groups of four warps; the kernel's launch bounds
// must name a least number of blocks.
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Barriers in shared memory, 8 bytes each. One thread sets them up; the block sees them after init_done() and
// a
// __syncthreads(). A phase ends with `arrivals` arrivals and the bytes that were announced.
__device__ __forceinline__ void init_barrier(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}
__device__ __forceinline__ void init_done() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void arrive_expecting(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// Until the phase of this parity has ended; to a new barrier the phase of parity 1 has.
__device__ __forceinline__ void wait_for(uint32_t barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "AGAIN:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra.uni END;\n"
      "bra.uni AGAIN;\n"
      "END:\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// Waits for all of so many threads, which see then what each has written. `number` is not 0, which is that of
// __syncthreads().
__device__ __forceinline__ void meet(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// Boxes of a tensor come to shared memory, their bytes counted by the barrier; what lies outside the tensor
// is 0.
__device__ __forceinline__ void load_box(uint32_t to, const Map* map, uint32_t barrier, BoxPlace at) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5}], "
      "[%2];" ::"r"(to),
      "l"(map), "r"(barrier), "r"(at.inner), "r"(at.row), "r"(at.slice)
      : "memory");
}
// Of pixels: from the first one on, which lies in the map's box of bases, along w, h, n, each moved by the
// tap.
__device__ __forceinline__ void load_pixels(uint32_t to, const Map* map, uint32_t barrier,
                                            const PixelsPlace& at) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4, %5, "
      "%6}], [%2], {%7, %8};" ::"r"(to),
      "l"(map), "r"(barrier), "r"(at.channel), "r"(at.w), "r"(at.h), "r"(at.n), "h"(uint16_t(at.tap_w)),
      "h"(uint16_t(at.tap_h))
      : "memory");
}

__device__ __forceinline__ float load_float(uint32_t from) {
  float x;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(from) : "memory");
  return x;
}

// Products of groups of four warps, which go on while the threads do. Operands lie in shared memory, as rows
// of 128 bytes along k that load_box() and load_pixels() have put there.
__device__ __forceinline__ uint64_t operand(uint32_t address) {
  constexpr uint64_t kEightRows = 1024 >> 4, kSwizzled = 1;
  return uint64_t((address & 0x3ffff) >> 4) | kEightRows << 32 | kSwizzled << 62;
}
// The same for bfloat16 that lie across the sum: rows of 64 numbers for each k, more than 64 of them `lead`
// bytes apart.
__device__ __forceinline__ uint64_t operand_across(uint32_t address, uint32_t lead) {
  return operand(address) | uint64_t(lead >> 4) << 16;
}
constexpr int kProductBytes = 32;  // of a row, which one product takes: 8 floats, 16 bfloat16
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// The compiler may neither move nor copy sums that products still add to, nor overwrite registers that they
// still read.
template <int kCount>
__device__ __forceinline__ void keep_in_place(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
__device__ __forceinline__ void keep_in_place(uint32_t (&a)[4]) {
  asm volatile("" : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3])::"memory");
}

// Warp w has rows 16 w to 16 w + 15; with g = lane / 4, t = lane % 4, d[4 j] to d[4 j + 3] are at rows g, g,
// g + 8, g + 8 of these and columns 8 j + 2 t, + 1, + 0, + 1. d[64,n] (+)= a[64,k] b[k,n], n twice the sums
// of a thread; multiply_tf32() with k = 8, multiply_bfloat16() with k = 16, multiply_across() of operands
// that lie so. a may come from registers, which hold it at (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4) of
// a warp's rows. Bits of numbers after the tenth do not count.
#define FASTCNN_FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define FASTCNN_SIXTEEN(d, i) \
  FASTCNN_FOUR(d, i), FASTCNN_FOUR(d, i + 4), FASTCNN_FOUR(d, i + 8), FASTCNN_FOUR(d, i + 12)
#define FASTCNN_SUMS_8(d, i) FASTCNN_FOUR(d, i), FASTCNN_FOUR(d, i + 4)
#define FASTCNN_SUMS_16(d, i) FASTCNN_SIXTEEN(d, i)
#define FASTCNN_SUMS_32(d, i) FASTCNN_SIXTEEN(d, i), FASTCNN_SIXTEEN(d, i + 16)
#define FASTCNN_SUMS_64(d, i) FASTCNN_SUMS_32(d, i), FASTCNN_SUMS_32(d, i + 32)
#define FASTCNN_SUMS_128(d, i) FASTCNN_SUMS_64(d, i), FASTCNN_SUMS_64(d, i + 64)
#define FASTCNN_NAMES_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define FASTCNN_NAMES_16 FASTCNN_NAMES_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define FASTCNN_NAMES_32 \
  FASTCNN_NAMES_16       \
  ", "                   \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define FASTCNN_NAMES_64                                                             \
  FASTCNN_NAMES_32                                                                   \
  ", "                                                                               \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FASTCNN_NAMES_128                                                                        \
  FASTCNN_NAMES_64                                                                               \
  ", "                                                                                           \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define FASTCNN_PRODUCT(function, shape, options, count, a_name, b_name, add_name)                        \
  __device__ __forceinline__ void function(float (&d)[count], uint64_t a, uint64_t b, bool add) {         \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_name ", 0;\nwgmma.mma_async.sync.aligned." shape \
                 " {" FASTCNN_NAMES_##count "}, " a_name ", " b_name ", p, " options ";\n}"               \
                 : FASTCNN_SUMS_##count(d, 0)                                                             \
                 : "l"(a), "l"(b), "r"(int(add)));                                                        \
  }
FASTCNN_PRODUCT(multiply_tf32, "m64n64k8.f32.tf32.tf32", "1, 1", 32, "%32", "%33", "%34")
FASTCNN_PRODUCT(multiply_tf32, "m64n128k8.f32.tf32.tf32", "1, 1", 64, "%64", "%65", "%66")
FASTCNN_PRODUCT(multiply_tf32, "m64n256k8.f32.tf32.tf32", "1, 1", 128, "%128", "%129", "%130")
FASTCNN_PRODUCT(multiply_bfloat16, "m64n64k16.f32.bf16.bf16", "1, 1, 0, 0", 32, "%32", "%33", "%34")
FASTCNN_PRODUCT(multiply_bfloat16, "m64n128k16.f32.bf16.bf16", "1, 1, 0, 0", 64, "%64", "%65", "%66")
FASTCNN_PRODUCT(multiply_bfloat16, "m64n256k16.f32.bf16.bf16", "1, 1, 0, 0", 128, "%128", "%129", "%130")
FASTCNN_PRODUCT(multiply_across, "m64n64k16.f32.bf16.bf16", "1, 1, 1, 1", 32, "%32", "%33", "%34")
FASTCNN_PRODUCT(multiply_across, "m64n128k16.f32.bf16.bf16", "1, 1, 1, 1", 64, "%64", "%65", "%66")
#undef FASTCNN_PRODUCT
#define FASTCNN_PRODUCT(shape, count, a_names, b_name, add_name)                                          \
  __device__ __forceinline__ void multiply_tf32(float (&d)[count], const uint32_t (&a)[4], uint64_t b,    \
                                                bool add) {                                               \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_name ", 0;\nwgmma.mma_async.sync.aligned." shape \
                 ".f32.tf32.tf32 {" FASTCNN_NAMES_##count "}, {" a_names "}, " b_name ", p, 1, 1;\n}"     \
                 : FASTCNN_SUMS_##count(d, 0)                                                             \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(add)));                    \
  }
FASTCNN_PRODUCT("m64n16k8", 8, "%8, %9, %10, %11", "%12", "%13")
FASTCNN_PRODUCT("m64n32k8", 16, "%16, %17, %18, %19", "%20", "%21")
FASTCNN_PRODUCT("m64n64k8", 32, "%32, %33, %34, %35", "%36", "%37")
#undef FASTCNN_PRODUCT

// The kernel with more shared memory than others have.
template <class Parameters>
void start(void (*kernel)(Parameters), dim3 blocks, dim3 threads, size_t shared_bytes, cudaStream_t stream,
           const Parameters& parameters) {
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
  kernel<<<blocks, threads, shared_bytes, stream>>>(parameters);
}

}  // namespace ptx
}  // namespace cuda
}  // namespace fastcnn

#endif
