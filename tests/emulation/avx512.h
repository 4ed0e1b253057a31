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
#define __AVX512BF16__ 1
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
// Of whole b alone, unless a is NaN.
FASTCNN_EMULATED_CALL __m512 emulated_maskz_scalef_ps(__mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i)
    a[i] = !(mask >> i & 1) ? 0.0f : a[i] != a[i] ? a[i] : __builtin_ldexpf(a[i], static_cast<int>(b[i]));
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
FASTCNN_EMULATED_CALL __m512 emulated_permutex2var_ps(__m512 a, __m512i index, __m512 b) {
  float both[32], lane[16];
  int32_t from[16];
  memcpy(both, &a, 64), memcpy(both + 16, &b, 64), memcpy(from, &index, 64);
  for (int i = 0; i < 16; ++i) lane[i] = both[from[i] & 31];
  memcpy(&a, lane, 64);
  return a;
}
FASTCNN_EMULATED_CALL __m512 emulated_maskz_permutevar_ps(__mmask16 mask, __m512 a, __m512i index) {
  float x[16], y[16];
  int32_t from[16];
  memcpy(x, &a, 64), memcpy(from, &index, 64);
  for (int i = 0; i < 16; ++i) y[i] = mask >> i & 1 ? x[i / 4 * 4 + (from[i] & 3)] : 0;
  memcpy(&a, y, 64);
  return a;
}
FASTCNN_EMULATED_CALL __m512 emulated_maskz_broadcast_f32x4(__mmask16 mask, __m128 a) {
  __m512 v = {};
  for (int i = 0; i < 16; ++i) v[i] = mask >> i & 1 ? a[i % 4] : 0;
  return v;
}
FASTCNN_EMULATED_CALL __mmask16 emulated_cmpeq_epi32_mask(__m512i a, __m512i b) {
  int32_t x[16], y[16];
  memcpy(x, &a, 64), memcpy(y, &b, 64);
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= unsigned{x[i] == y[i]} << i;
  return static_cast<__mmask16>(mask);
}
// Ordered and quiet, for equality alone (_CMP_EQ_OQ).
FASTCNN_EMULATED_CALL __mmask16 emulated_cmp_ps_mask(__m512 a, __m512 b, int) {
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= unsigned{a[i] == b[i]} << i;
  return static_cast<__mmask16>(mask);
}
FASTCNN_EMULATED_CALL __m512 emulated_maskz_mov_ps(__mmask16 mask, __m512 a) {
  for (int i = 0; i < 16; ++i)
    if (!(mask >> i & 1)) a[i] = 0.0f;
  return a;
}
FASTCNN_EMULATED_CALL __m512 emulated_mask_add_ps(__m512 from, __mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) from[i] = a[i] + b[i];
  return from;
}
FASTCNN_EMULATED_CALL __m512 emulated_maskz_compress_ps(__mmask16 mask, __m512 a) {
  __m512 v = {};
  int packed = 0;
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) v[packed++] = a[i];
  return v;
}
FASTCNN_EMULATED __m512 emulated_castps128_ps512(__m128 a) {
  __m512 v = {};  // here what the instruction leaves undefined is 0
  memcpy(&v, &a, 16);
  return v;
}
FASTCNN_EMULATED __m512 emulated_insertf32x4(__m512 a, __m128 b, int quad) {
  memcpy(reinterpret_cast<char*>(&a) + 16 * quad, &b, 16);
  return a;
}
FASTCNN_EMULATED __m128 emulated_extractf32x4_ps(__m512 a, int quad) {
  __m128 v;
  memcpy(&v, reinterpret_cast<const char*>(&a) + 16 * quad, 16);
  return v;
}
// Faults where the instruction would: p is a multiple of 64.
FASTCNN_EMULATED void emulated_stream_ps(void* p, __m512 v) {
  if (reinterpret_cast<uintptr_t>(p) % 64) __builtin_trap();
  memcpy(p, &v, 64);
}

// AVX512_BF16. Neither reads nor changes MXCSR: denormal operands and results are zeros of their sign,
// rounding is to nearest, ties to even. Numbers of a pair widen by 16 bits of zeros.
typedef uint32_t EmulatedWords __attribute__((vector_size(64)));
FASTCNN_EMULATED EmulatedWords emulated_flush(EmulatedWords v) {
  return (v & 0x7fffffff) < 0x00800000 ? v & 0x80000000 : v;
}
FASTCNN_EMULATED EmulatedWords emulated_add_bf16(EmulatedWords sum, EmulatedWords a, EmulatedWords b) {
  const __m512 y =
      emulated_fmadd_ps((__m512)emulated_flush(a), (__m512)emulated_flush(b), (__m512)emulated_flush(sum));
  return emulated_flush((EmulatedWords)y);
}
// The second numbers of the pairs are multiplied first; each product is exact and each sum rounded once.
FASTCNN_EMULATED __m512 emulated_dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const EmulatedWords x = (EmulatedWords)a, y = (EmulatedWords)b, high = EmulatedWords{} + 0xffff0000;
  const EmulatedWords second = emulated_add_bf16((EmulatedWords)sum, x & high, y & high);
  return (__m512)emulated_add_bf16(second, x << 16, y << 16);
}
// a becomes the upper half. A NaN keeps its upper bits and becomes quiet.
FASTCNN_EMULATED_CALL __m512bh emulated_cvtne2ps_pbh(__m512 a, __m512 b) {
  uint32_t x[32];
  uint16_t y[32];
  memcpy(x, &b, 64), memcpy(x + 16, &a, 64);
  for (int i = 0; i < 32; ++i) {
    const uint32_t size = x[i] & 0x7fffffff;
    if (size < 0x00800000)
      y[i] = x[i] >> 16 & 0x8000;
    else if (size > 0x7f800000)
      y[i] = static_cast<uint16_t>(x[i] >> 16 | 0x40);
    else
      y[i] = static_cast<uint16_t>((x[i] + 0x7fff + (x[i] >> 16 & 1)) >> 16);
  }
  __m512bh v;
  memcpy(&v, y, 64);
  return v;
}

// AMX: eight tiles of each thread, shaped as it says. What does not fit together traps, as the instruction
// would.
struct EmulatedTiles {
  uint8_t config[64];
  uint32_t word[8][16][16];
  int rows(int i) const { return config[48 + i]; }
  int words(int i) const { return (config[16 + 2 * i] | config[17 + 2 * i] << 8) / 4; }
};
static thread_local EmulatedTiles emulated_tiles;
FASTCNN_EMULATED_CALL void emulated_tile_loadconfig(const void* p) {
  emulated_tiles = EmulatedTiles();
  memcpy(emulated_tiles.config, p, 64);
}
FASTCNN_EMULATED_CALL void emulated_tile_storeconfig(void* p) { memcpy(p, emulated_tiles.config, 64); }
FASTCNN_EMULATED_CALL void emulated_tile_zero(int i) {
  if (!emulated_tiles.rows(i)) __builtin_trap();
  memset(emulated_tiles.word[i], 0, sizeof emulated_tiles.word[i]);
}
FASTCNN_EMULATED_CALL void emulated_tile_loadd(int i, const void* p, int64_t stride) {
  emulated_tile_zero(i);
  for (int r = 0; r < emulated_tiles.rows(i); ++r)
    memcpy(emulated_tiles.word[i][r], static_cast<const char*>(p) + r * stride, 4 * emulated_tiles.words(i));
}
FASTCNN_EMULATED_CALL void emulated_tile_stored(int i, void* p, int64_t stride) {
  for (int r = 0; r < emulated_tiles.rows(i); ++r)
    memcpy(static_cast<char*>(p) + r * stride, emulated_tiles.word[i][r], 4 * emulated_tiles.words(i));
}
// Sums of the first and of the second numbers of the pairs, then both, then with what the tile held.
FASTCNN_EMULATED_CALL void emulated_tile_dpbf16ps(int sum, int a, int b) {
  EmulatedTiles& t = emulated_tiles;
  if (t.rows(sum) != t.rows(a) || t.words(a) != t.rows(b) || t.words(b) != t.words(sum)) __builtin_trap();
  const EmulatedWords high = EmulatedWords{} + 0xffff0000;
  for (int r = 0; r < t.rows(sum); ++r) {
    EmulatedWords first = {}, second = {}, held;
    for (int k = 0; k < t.words(a); ++k) {
      EmulatedWords y;
      memcpy(&y, t.word[b][k], 64);
      const EmulatedWords x = EmulatedWords{} + t.word[a][r][k];
      first = emulated_add_bf16(first, x << 16, y << 16);
      second = emulated_add_bf16(second, x & high, y & high);
    }
    memcpy(&held, t.word[sum][r], 64);
    const EmulatedWords one = EmulatedWords{} + 0x3f800000;
    held = emulated_add_bf16(emulated_add_bf16(first, one, second), one, held);
    memcpy(t.word[sum][r], &held, 64);
  }
}

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_tile_loadconfig
#define _tile_storeconfig emulated_tile_storeconfig
#define _tile_zero emulated_tile_zero
#define _tile_loadd emulated_tile_loadd
#define _tile_stored emulated_tile_stored
#define _tile_dpbf16ps emulated_tile_dpbf16ps
#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps
#define _mm512_mask_storeu_ps emulated_mask_storeu_ps
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_sqrt_ps emulated_sqrt_ps
#define _mm512_maskz_max_ps emulated_maskz_max_ps
#define _mm512_maskz_min_ps emulated_maskz_min_ps
#define _mm512_maskz_scalef_ps emulated_maskz_scalef_ps
#define _mm512_maskz_cvtepi32_epi8 emulated_maskz_cvtepi32_epi8
#define _mm512_maskz_cvtepu8_epi32 emulated_maskz_cvtepu8_epi32
#define _mm512_maskz_mul_epu32 emulated_maskz_mul_epu32
#define _mm512_maskz_shuffle_epi32 emulated_maskz_shuffle_epi32
#define _mm512_permutex2var_ps emulated_permutex2var_ps
#define _mm512_maskz_permutevar_ps emulated_maskz_permutevar_ps
#define _mm512_maskz_broadcast_f32x4 emulated_maskz_broadcast_f32x4
#define _mm512_cmpeq_epi32_mask emulated_cmpeq_epi32_mask
#define _mm512_cmp_ps_mask emulated_cmp_ps_mask
#define _mm512_maskz_mov_ps emulated_maskz_mov_ps
#define _mm512_mask_add_ps emulated_mask_add_ps
#define _mm512_maskz_compress_ps emulated_maskz_compress_ps
#define _mm512_castps128_ps512 emulated_castps128_ps512
#define _mm512_insertf32x4 emulated_insertf32x4
#define _mm512_extractf32x4_ps emulated_extractf32x4_ps
#define _mm512_stream_ps emulated_stream_ps
#define _mm512_dpbf16_ps emulated_dpbf16_ps
#define _mm512_cvtne2ps_pbh emulated_cvtne2ps_pbh
