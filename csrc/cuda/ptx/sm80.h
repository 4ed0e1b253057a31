// SPDX-License-Identifier: Apache-2.0
// The instructions of compute capability 8.0 that C++ has no words for: one function each, with its contract.
// Shared memory is named by its 32-bit address. Where a GPU is emulated, emulated_sm80.h defines the same.
#pragma once
#include <stdint.h>

#if defined(FASTCNN_EMULATE_CUDA)
#include <emulated_sm80.h>
#else

namespace fastcnn {
namespace cuda {
namespace ptx {

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// 16 bytes, or 4, from global to shared memory while the thread goes on; zeros if not `there`, whatever the
// source. Both addresses are multiples of the size.
__device__ __forceinline__ void copy_16(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void copy_4(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0)
               : "memory");
}
// 2 bytes, at once: no copy that goes on is so small.
__device__ __forceinline__ void copy_2(uint32_t to, const void* from) {
  const uint16_t value = from ? *static_cast<const uint16_t*>(from) : uint16_t(0);
  asm volatile("st.shared.u16 [%0], %1;" ::"r"(to), "h"(value) : "memory");
}
// Closes the group of the copies since the last; waits until at most kPending of this thread's groups are
// under way. Others see what has arrived after a barrier.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8x8 matrices of 16 bits, or of 8x4 floats: lane 8 i + r names row r of matrix i; each lane gets of
// matrix i, in value[i], the float at row lane / 4, column lane % 4.
__device__ __forceinline__ void load_matrices(uint32_t (&value)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(value[0]), "=r"(value[1]), "=r"(value[2]), "=r"(value[3])
               : "r"(row)
               : "memory");
}

// The same of matrices of 16 bits that lie across: each lane gets of matrix i those of rows 2 (lane % 4) and
// the next, column lane / 4, the first in the lower half.
__device__ __forceinline__ void load_matrices_across(uint32_t (&value)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(value[0]), "=r"(value[1]), "=r"(value[2]), "=r"(value[3])
               : "r"(row)
               : "memory");
}

// To the nearest number with 10 bits after the point, ties away from 0.
__device__ __forceinline__ uint32_t to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

// Two numbers with 7 bits after the point each, to the nearest, ties to even; `low` in the lower half.
__device__ __forceinline__ uint32_t to_bfloat16(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return 0;  // no kernel of other GPUs asks
#endif
}

// sum[16,8] += a[16,8] b[8,8]. With g = lane / 4 and t = lane % 4 a lane holds a at (g, t), (g + 8, t),
// (g, t + 4), (g + 8, t + 4), b at (t, g), (t + 4, g), and sum at (g, 2 t), (g, 2 t + 1), (g + 8, 2 t),
// (g + 8, 2 t + 1). Bits of a and b after the tenth do not count.
__device__ __forceinline__ void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4],
                                              const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// sum[16,8] += a[16,16] b[16,8] of pairs of bfloat16, the lower k in the lower half: a lane holds a at rows
// g, g + 8, g, g + 8 and k = 2 t, 2 t, 2 t + 8, 2 t + 8, b at k = 2 t, 2 t + 8 of column g.
__device__ __forceinline__ void multiply_bfloat16(float (&sum)[4], const uint32_t (&a)[4],
                                                  const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace ptx
}  // namespace cuda
}  // namespace fastcnn

#endif
