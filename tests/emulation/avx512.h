// SPDX-License-Identifier: Apache-2.0
// AVX-512 for processors without it: every intrinsic that csrc/cpu/kernels uses, as its definition in Intel's
// manual, lane by lane. Put before all else in a kernel's file (-include) by cmake/isas.cmake under
// FASTCNN_EMULATE_AVX512, so that what 16 lanes and 32 registers choose, tails included, runs on any x86-64
// processor with AVX2 and FMA. A plain vector operation is the compiler's own in either build.
#pragma once
#include <immintrin.h>  // before the macro: its inline functions ask the compiler for the instructions
#include <stdint.h>
#include <string.h>

#define __AVX512F__ 1
#define FASTCNN_EMULATED static inline __attribute__((always_inline, unused))
#define FASTCNN_EMULATED_CALL static __attribute__((noinline, unused))  // what would make compiling slow

FASTCNN_EMULATED_CALL __m512 emulated_maskz_loadu_ps(__mmask16 mask, const void* p) {
  float lane[16] = {};
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) memcpy(lane + i, static_cast<const char*>(p) + 4 * i, 4);
  __m512 v;
  memcpy(&v, lane, 64);
  return v;
}
FASTCNN_EMULATED_CALL void emulated_mask_storeu_ps(void* p, __mmask16 mask, __m512 v) {
  float lane[16];
  memcpy(lane, &v, 64);
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) memcpy(static_cast<char*>(p) + 4 * i, lane + i, 4);
}
FASTCNN_EMULATED __m512 emulated_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  __m256 x[2], y[2], z[2];
  memcpy(x, &a, 64), memcpy(y, &b, 64), memcpy(z, &c, 64);
  for (int i = 0; i < 2; ++i) z[i] = _mm256_fmadd_ps(x[i], y[i], z[i]);
  memcpy(&c, z, 64);
  return c;
}
FASTCNN_EMULATED __m512 emulated_sqrt_ps(__m512 a) {
  __m256 x[2];
  memcpy(x, &a, 64);
  for (int i = 0; i < 2; ++i) x[i] = _mm256_sqrt_ps(x[i]);
  memcpy(&a, x, 64);
  return a;
}
// The second operand where one is NaN or both are zeros.
FASTCNN_EMULATED_CALL __m512 emulated_maskz_max_ps(__mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a[i] = !(mask >> i & 1) ? 0.0f : a[i] > b[i] ? a[i] : b[i];
  return a;
}
FASTCNN_EMULATED_CALL __m512 emulated_maskz_min_ps(__mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a[i] = !(mask >> i & 1) ? 0.0f : a[i] < b[i] ? a[i] : b[i];
  return a;
}
FASTCNN_EMULATED_CALL __m128i emulated_maskz_cvtepi32_epi8(__mmask16 mask, __m512i a) {
  int32_t lane[16];
  int8_t byte[16];
  memcpy(lane, &a, 64);
  for (int i = 0; i < 16; ++i) byte[i] = mask >> i & 1 ? static_cast<int8_t>(lane[i]) : 0;
  __m128i v;
  memcpy(&v, byte, 16);
  return v;
}
FASTCNN_EMULATED_CALL __m512i emulated_maskz_cvtepu8_epi32(__mmask16 mask, __m128i a) {
  uint8_t byte[16];
  int32_t lane[16];
  memcpy(byte, &a, 16);
  for (int i = 0; i < 16; ++i) lane[i] = mask >> i & 1 ? byte[i] : 0;
  __m512i v;
  memcpy(&v, lane, 64);
  return v;
}
FASTCNN_EMULATED_CALL __m512i emulated_maskz_mul_epu32(__mmask8 mask, __m512i a, __m512i b) {
  uint64_t x[8], y[8];
  memcpy(x, &a, 64), memcpy(y, &b, 64);
  for (int i = 0; i < 8; ++i) x[i] = mask >> i & 1 ? (x[i] & 0xffffffff) * (y[i] & 0xffffffff) : 0;
  memcpy(&a, x, 64);
  return a;
}
FASTCNN_EMULATED_CALL __m512i emulated_maskz_shuffle_epi32(__mmask16 mask, __m512i a, int order) {
  int32_t x[16], y[16];
  memcpy(x, &a, 64);
  for (int i = 0; i < 16; ++i) y[i] = mask >> i & 1 ? x[i / 4 * 4 + (order >> 2 * (i % 4) & 3)] : 0;
  memcpy(&a, y, 64);
  return a;
}
// Faults where the instruction would: p is a multiple of 64.
FASTCNN_EMULATED void emulated_stream_ps(void* p, __m512 v) {
  if (reinterpret_cast<uintptr_t>(p) % 64) __builtin_trap();
  memcpy(p, &v, 64);
}

#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps
#define _mm512_mask_storeu_ps emulated_mask_storeu_ps
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_sqrt_ps emulated_sqrt_ps
#define _mm512_maskz_max_ps emulated_maskz_max_ps
#define _mm512_maskz_min_ps emulated_maskz_min_ps
#define _mm512_maskz_cvtepi32_epi8 emulated_maskz_cvtepi32_epi8
#define _mm512_maskz_cvtepu8_epi32 emulated_maskz_cvtepu8_epi32
#define _mm512_maskz_mul_epu32 emulated_maskz_mul_epu32
#define _mm512_maskz_shuffle_epi32 emulated_maskz_shuffle_epi32
#define _mm512_stream_ps emulated_stream_ps
