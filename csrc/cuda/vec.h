// SPDX-License-Identifier: Apache-2.0
// The vocabulary of base/formulas/ on a GPU, where a vector is the one number of a thread. Compiled without
// contraction, as the CPU's: a fused multiply-add is written as fma().
#pragma once
#include <cuda_runtime.h>
#include <stdint.h>

#define FASTCNN_INLINE static __device__ __forceinline__
#define FASTCNN_INLINED __device__ __forceinline__
#if defined(__CUDACC__)
#define FASTCNN_UNROLL _Pragma("unroll")
#define FASTCNN_ROLLED _Pragma("unroll 1")
#else
#define FASTCNN_UNROLL _Pragma("GCC unroll 64")
#define FASTCNN_ROLLED
#endif
#define FASTCNN_FORMULAS_BEGIN \
  namespace fastcnn {          \
  namespace cuda {             \
  namespace {
#define FASTCNN_FORMULAS_END \
  }                          \
  }                          \
  }

FASTCNN_FORMULAS_BEGIN

using Vec = float;
using IVec = int32_t;

FASTCNN_INLINE Vec broadcast(float x) { return x; }
FASTCNN_INLINE Vec bits_to_vec(IVec v) { return __int_as_float(v); }
FASTCNN_INLINE IVec vec_to_bits(Vec v) { return __float_as_int(v); }
FASTCNN_INLINE Vec as_numbers(IVec v) { return float(v); }
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return ::fmaf(a, b, c); }
FASTCNN_INLINE Vec sqrt(Vec a) { return ::sqrtf(a); }
FASTCNN_INLINE Vec relu(Vec a) { return a < 0.0f ? 0.0f : a; }
FASTCNN_INLINE Vec max_or_second(Vec a, Vec b) { return a > b ? a : b; }
FASTCNN_INLINE Vec min_or_second(Vec a, Vec b) { return a < b ? a : b; }
FASTCNN_INLINE Vec exact_product_plus(Vec a, Vec b, Vec c) { return fma(a, b, c); }

// One number at a time: the Block of the optimizers' formulas.
struct One {
  FASTCNN_INLINED Vec get(const float* p) const { return *p; }
  FASTCNN_INLINED void put(float* p, Vec v) const { *p = v; }
};

FASTCNN_FORMULAS_END
