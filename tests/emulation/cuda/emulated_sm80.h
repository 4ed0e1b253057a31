// SPDX-License-Identifier: Apache-2.0
// csrc/cuda/ptx/sm80.h for machines without a GPU. Copies are made as late as the waits allow, so that a
// missing wait shows; products are exact, their sum is cut off, not rounded, as tensor cores do.
#pragma once
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

#include <deque>

namespace emulated {

inline void require(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "emulated CUDA: %s\n", what);
  abort();
}

struct Copies {
  struct One {
    unsigned char* to;
    const void* from;
    size_t bytes, valid;
  };
  std::deque<std::vector<One>> groups = {{}};  // the last is open
};
inline Copies& copies() {
  static Copies of_thread[1024];
  return of_thread[threadIdx.x];
}

constexpr uint32_t kWindow = 232448;  // bytes of shared memory that a block can have
// Those that a kernel is started with, at address 0; arrays of its own lie within 2 GB of them.
inline unsigned char* window() {
  alignas(1024) static unsigned char memory[kWindow];
  return memory;
}
inline unsigned char* shared(uint32_t address) { return window() + int32_t(address); }

// What the lanes of a warp show each other: warp by warp, two boards in turn.
template <class T>
struct Boards {
  T lane[2][32][32];
  int turn[1024];
};
template <class T>
const T (&show(const T& mine))[32] {
  static Boards<T> boards;
  const unsigned thread = threadIdx.x, warp = thread / 32;
  const int turn = boards.turn[thread] ^= 1;
  boards.lane[turn][warp][thread % 32] = mine;
  warp_barrier(0xffffffffu);
  return boards.lane[turn][warp];
}

inline float toward_zero(double x) {
  float y = static_cast<float>(x);
  if (isfinite(x) && fabs(double(y)) > fabs(x)) y = nextafterf(y, 0.0f);
  return y;
}

}  // namespace emulated

namespace fastcnn {
namespace cuda {
namespace ptx {

inline uint32_t shared_address(const void* p) {
  return uint32_t(static_cast<const unsigned char*>(p) - emulated::window());
}

inline void copy_bytes(uint32_t to, const void* from, bool there, size_t bytes) {
  unsigned char* const at = emulated::shared(to);
  emulated::require(uintptr_t(at) % bytes == 0 && (!there || uintptr_t(from) % bytes == 0),
                    "an aligned copy");
  emulated::copies().groups.back().push_back({at, from, bytes, there ? bytes : 0});
}
inline void copy_16(uint32_t to, const void* from, bool there) { copy_bytes(to, from, there, 16); }
inline void copy_4(uint32_t to, const void* from, bool there) { copy_bytes(to, from, there, 4); }
inline void copy_2(uint32_t to, const void* from) {
  unsigned char* const at = emulated::shared(to);
  emulated::require(uintptr_t(at) % 2 == 0 && uintptr_t(from) % 2 == 0, "an aligned copy");
  from ? void(memcpy(at, from, 2)) : void(memset(at, 0, 2));
}
inline void commit_copies() { emulated::copies().groups.emplace_back(); }
template <int kPending>
void wait_copies() {
  auto& groups = emulated::copies().groups;
  for (; groups.size() > kPending + 1; groups.pop_front())
    for (const auto& one : groups.front()) {
      memset(one.to, 0, one.bytes);
      if (one.valid) memcpy(one.to, one.from, one.valid);
    }
}

inline void load_matrices(uint32_t (&value)[4], uint32_t row) {
  const auto& rows = emulated::show(row);
  const unsigned lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned char* at = emulated::shared(rows[8 * i + lane / 4]);
    emulated::require(uintptr_t(at) % 16 == 0, "an aligned row of a matrix");
    memcpy(&value[i], at + 4 * (lane % 4), 4);
  }
}

inline void load_matrices_across(uint32_t (&value)[4], uint32_t row) {
  const auto& rows = emulated::show(row);
  const unsigned lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 4; ++i)
    for (unsigned j = 0; j < 2; ++j) {
      const unsigned char* at = emulated::shared(rows[8 * i + 2 * (lane % 4) + j]);
      emulated::require(uintptr_t(at) % 16 == 0, "an aligned row of a matrix");
      memcpy(reinterpret_cast<unsigned char*>(&value[i]) + 2 * j, at + 2 * (lane / 4), 2);
    }
}

inline uint32_t to_tf32(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x != x ? 0x7fffe000u : bits;
  return (bits + 0x1000u) & 0xffffe000u;
}

inline void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Operands {
    float a[4], b[2];
  };
  Operands mine;
  for (int i = 0; i < 4; ++i) mine.a[i] = __int_as_float(int32_t(a[i] & 0xffffe000u));
  for (int i = 0; i < 2; ++i) mine.b[i] = __int_as_float(int32_t(b[i] & 0xffffe000u));
  const auto& all = emulated::show(mine);
  const unsigned lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 % 8, half = i / 2, col = 2 * (lane % 4) + i % 2;
    double total = double(sum[i]);
    for (unsigned k = 0; k < 8; ++k)
      total += double(all[4 * row + k % 4].a[half + k / 4 * 2]) * double(all[4 * col + k % 4].b[k / 4]);
    sum[i] = emulated::toward_zero(total);
  }
}

inline uint32_t bfloat16_bits(float x) {
  const uint32_t bits = uint32_t(__float_as_int(x));
  if (x != x) return 0x7fff;
  return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}
inline uint32_t to_bfloat16(float low, float high) { return bfloat16_bits(high) << 16 | bfloat16_bits(low); }

inline void multiply_bfloat16(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Operands {
    uint32_t a[4], b[2];
  };
  const Operands mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const auto& all = emulated::show(mine);
  const unsigned lane = threadIdx.x % 32;
  const auto number = [](uint32_t pair, unsigned k) {
    return double(__int_as_float(int32_t(k % 2 ? pair & 0xffff0000u : pair << 16)));
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 % 8, half = i / 2, col = 2 * (lane % 4) + i % 2;
    double total = double(sum[i]);
    for (unsigned k = 0; k < 16; ++k)
      total += number(all[4 * row + k % 8 / 2].a[half + k / 8 * 2], k) *
               number(all[4 * col + k % 8 / 2].b[k / 8], k);
    sum[i] = emulated::toward_zero(total);
  }
}

}  // namespace ptx
}  // namespace cuda
}  // namespace fastcnn
