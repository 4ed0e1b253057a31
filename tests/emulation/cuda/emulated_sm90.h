// SPDX-License-Identifier: Apache-2.0
// csrc/cuda/ptx/sm90.h for machines without a GPU. What goes on while threads do is done as late as it may
// be: loads when somebody waits for a barrier, products when their group is waited for. Products read shared
// memory by their operands' descriptors and undo the swizzle; their sums are cut off, not rounded.
#pragma once
#include <cuda_runtime.h>
#include <emulated_sm80.h>

#include <deque>

#define __grid_constant__
#define FASTCNN_DYNAMIC_SHARED(name) unsigned char* const name = emulated::window()

namespace emulated {

template <class T>
T& in_window(uint32_t address) {
  require(address % sizeof(T) == 0 && address + sizeof(T) <= kWindow, "an address in shared memory");
  return *reinterpret_cast<T*>(window() + address);
}

struct Barrier {
  uint8_t parity, arrivals, awaited, unused;
  int32_t bytes;
  void end_phase() {
    if (awaited == 0 && bytes == 0) parity ^= 1, awaited = arrivals;
  }
};

inline std::deque<std::function<void()>>& loads() {
  static std::deque<std::function<void()>> under_way;
  return under_way;
}

struct Products {
  std::deque<std::vector<std::function<void()>>> groups = {{}};  // the last is open
};
inline Products& products() {
  static Products of_thread[1024];
  return of_thread[threadIdx.x];
}

// To nearest, ties to even, as loads do.
inline float nearest_tf32(float x) {
  uint32_t bits = uint32_t(__float_as_int(x));
  if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0xfffu + (bits >> 13 & 1)) & 0xffffe000u;
  return __int_as_float(int32_t(bits));
}

inline uint32_t swizzled(uint32_t address) { return address ^ ((address >> 7 & 7) << 4); }

// Row `row`, number k of an operand of rows of 128 bytes; numbers of 4 bytes, or 2.
template <int kBytes>
uint32_t operand_place(uint64_t operand, uint32_t row, uint32_t k) {
  require(operand >> 62 == 1 && (operand >> 49 & 7) == 0, "an operand of swizzled rows");
  const uint32_t start = uint32_t(operand & 0x3fff) << 4, eight_rows = uint32_t(operand >> 32 & 0x3fff) << 4;
  return swizzled(start + row / 8 * eight_rows + row % 8 * 128 + kBytes * k);
}
inline double tf32(uint32_t bits) { return double(__int_as_float(int32_t(bits & 0xffffe000u))); }
template <int kBytes>
double operand_at(uint64_t operand, uint32_t row, uint32_t k) {
  const uint32_t at = operand_place<kBytes>(operand, row, k);
  if (kBytes == 4) return tf32(in_window<uint32_t>(at));
  return double(__int_as_float(int32_t(uint32_t(in_window<uint16_t>(at)) << 16)));
}

// Column `column` of row k of an operand of rows across the sum.
inline double across_at(uint64_t operand, uint32_t column, uint32_t k) {
  require(operand >> 62 == 1 && (operand >> 49 & 7) == 0, "an operand of swizzled rows");
  const uint32_t start = uint32_t(operand & 0x3fff) << 4, eight_rows = uint32_t(operand >> 32 & 0x3fff) << 4;
  const uint32_t lead = uint32_t(operand >> 16 & 0x3fff) << 4;
  const uint32_t at = start + k / 8 * eight_rows + k % 8 * 128 + column / 64 * lead + column % 64 * 2;
  return double(__int_as_float(int32_t(uint32_t(in_window<uint16_t>(swizzled(at))) << 16)));
}

template <int kCount>
void add_products_across(float* d, uint64_t a, uint64_t b, bool add, unsigned thread) {
  const unsigned lane = thread % 32, top = thread / 32 % 4 * 16 + lane / 4;
  for (unsigned i = 0; i < kCount; ++i) {
    const unsigned row = top + i / 2 % 2 * 8, column = i / 4 * 8 + 2 * (lane % 4) + i % 2;
    double total = add ? double(d[i]) : 0.0;
    for (unsigned k = 0; k < 16; ++k) total += across_at(a, row, k) * across_at(b, column, k);
    d[i] = toward_zero(total);
  }
}

template <int kCount, int kBytes>
void add_products(float* d, uint64_t a, uint64_t b, bool add, unsigned thread) {
  const unsigned lane = thread % 32, top = thread / 32 % 4 * 16 + lane / 4;
  for (unsigned half = 0; half < 2; ++half) {
    constexpr unsigned kDepth = 32 / kBytes;
    double row[kDepth];
    for (unsigned k = 0; k < kDepth; ++k) row[k] = operand_at<kBytes>(a, top + 8 * half, k);
    for (unsigned j = 0; j < kCount / 4; ++j)
      for (unsigned i = 0; i < 2; ++i) {
        float& sum = d[4 * j + 2 * half + i];
        double total = add ? double(sum) : 0.0;
        for (unsigned k = 0; k < kDepth; ++k)
          total += row[k] * operand_at<kBytes>(b, 8 * j + 2 * (lane % 4) + i, k);
        sum = toward_zero(total);
      }
  }
}

// Four registers of each of the lanes that hold the rows of a thread's sums, as they are when products begin.
// They must be the same when these are done.
struct Rows {
  const uint32_t* registers;
  uint32_t own[4], of[4][4];
  explicit Rows(const uint32_t (&a)[4]) : registers(a) {
    struct Four {
      uint32_t of[4];
    } mine;
    memcpy(mine.of, a, sizeof mine), memcpy(own, a, sizeof own);
    const auto& all = show(mine);
    for (unsigned t = 0; t < 4; ++t) memcpy(of[t], all[threadIdx.x % 32 / 4 * 4 + t].of, sizeof of[t]);
  }
  double at(unsigned half, unsigned k) const { return tf32(of[k % 4][k / 4 * 2 + half]); }
};

template <int kCount>
void add_products_of_rows(float* d, const Rows& a, uint64_t b, bool add, unsigned thread) {
  require(memcmp(a.registers, a.own, sizeof a.own) == 0, "registers that products still read");
  double row[2][8];
  for (unsigned i = 0; i < 16; ++i) row[i / 8][i % 8] = a.at(i / 8, i % 8);
  for (unsigned i = 0; i < kCount; i += i % 2 ? 3 : 1) {
    double column[8];
    for (unsigned k = 0; k < 8; k += 4) {  // sixteen bytes stay together
      const uint32_t* const four =
          &in_window<uint32_t>(operand_place<4>(b, i / 4 * 8 + 2 * (thread % 4) + i % 2, k));
      for (unsigned j = 0; j < 4; ++j) column[k + j] = tf32(four[j]);
    }
    for (unsigned half = 0; half < 2; ++half) {
      float& sum = d[i + 2 * half];
      double total = add ? double(sum) : 0.0;
      for (unsigned k = 0; k < 8; ++k) total += row[half][k] * column[k];
      sum = toward_zero(total);
    }
  }
}

}  // namespace emulated

namespace fastcnn {
namespace cuda {
namespace ptx {

template <int kRegisters>
void give_registers() {}
template <int kRegisters>
void take_registers() {}

inline void init_barrier(uint32_t barrier, uint32_t arrivals) {
  emulated::in_window<emulated::Barrier>(barrier) = {0, uint8_t(arrivals), uint8_t(arrivals), 0, 0};
}
inline void init_done() {}
inline void arrive(uint32_t barrier) {
  auto& of = emulated::in_window<emulated::Barrier>(barrier);
  emulated::require(of.awaited > 0, "no more arrivals than a barrier awaits");
  --of.awaited;
  of.end_phase();
}
inline void arrive_expecting(uint32_t barrier, uint32_t bytes) {
  emulated::in_window<emulated::Barrier>(barrier).bytes += int32_t(bytes);
  arrive(barrier);
}
inline void meet(int number, int threads) {
  struct Meeting {
    int come, times;
  };
  static Meeting meetings[16];
  Meeting& of = meetings[number];
  const int times = of.times;
  if (++of.come == threads) of = {0, times + 1};
  while (of.times == times) emulated::warp_barrier(1u << (threadIdx.x % 32));  // lets the others go on
}
inline void wait_for(uint32_t barrier, uint32_t parity) {
  for (int tries = 0; emulated::in_window<emulated::Barrier>(barrier).parity == parity; ++tries) {
    emulated::require(tries < 1000000, "a barrier whose phase ends");
    if (emulated::loads().empty()) {
      emulated::warp_barrier(1u << (threadIdx.x % 32));  // lets the others go on
    } else {
      const auto load = emulated::loads().front();
      emulated::loads().pop_front();
      load();
    }
  }
}

// From number `first` of the data on, as many as there are.
inline void put_row(uint32_t to, int row, const MapData& from, int64_t first, int64_t count) {
  for (int i = 0; i < from.numbers(); ++i) {
    const uint32_t at = emulated::swizzled(to + uint32_t(128 * row + from.bytes * i));
    if (from.bytes == 2)
      emulated::in_window<uint16_t>(at) = i < count ? static_cast<const uint16_t*>(from.data)[first + i] : 0;
    else {
      const float x = i < count ? static_cast<const float*>(from.data)[first + i] : 0.0f;
      emulated::in_window<float>(at) = from.exact ? x : emulated::nearest_tf32(x);
    }
  }
}
inline void loaded(uint32_t barrier, int rows) {
  auto& of = emulated::in_window<emulated::Barrier>(barrier);
  of.bytes -= 128 * rows;
  of.end_phase();
}

inline void load_box(uint32_t to, const Map* map, uint32_t barrier, BoxPlace at) {
  emulated::require(!map->of_pixels && to % 1024 == 0, "a map of matrices, an aligned place");
  const Matrices m = map->matrices;
  emulated::loads().push_back([=] {
    for (int i = 0; i < m.box_rows; ++i) {
      const int64_t row = at.row + i;
      const bool there = at.slice < m.slices && row < m.rows && at.inner < m.inner;
      put_row(to, i, m.of, (at.slice * m.rows + row) * m.inner + at.inner, there ? m.inner - at.inner : 0);
    }
    loaded(barrier, m.box_rows);
  });
}
inline void load_pixels(uint32_t to, const Map* map, uint32_t barrier, const PixelsPlace& at) {
  emulated::require(map->of_pixels && to % 1024 == 0, "a map of pixels, an aligned place");
  const Pixels p = map->pixels;
  const int64_t last_h = p.h - 1 + p.upper_h, last_w = p.w - 1 + p.upper_w;
  emulated::require(at.w >= p.lower_w && at.w <= last_w && at.h >= p.lower_h && at.h <= last_h,
                    "a first pixel among the bases");
  emulated::require(at.tap_h >= 0 && at.tap_h < 256 && at.tap_w >= 0 && at.tap_w < 256, "a tap of a byte");
  emulated::loads().push_back([=] {
    int64_t w = at.w, h = at.h, n = at.n;
    for (int i = 0; i < p.count; ++i) {
      const int64_t y = h + at.tap_h, x = w + at.tap_w;
      const bool there = n < p.n && y >= 0 && y < p.h && x >= 0 && x < p.w && at.channel < p.c;
      put_row(to, i, p.of, ((n * p.h + y) * p.w + x) * p.c + at.channel, there ? p.c - at.channel : 0);
      w += p.step_w;
      if (w > last_w) w = p.lower_w, h += p.step_h;
      if (h > last_h) h = p.lower_h, n += 1;
    }
    loaded(barrier, p.count);
  });
}

inline float load_float(uint32_t from) { return emulated::in_window<float>(from); }

inline uint64_t operand(uint32_t address) {
  return uint64_t((address & 0x3ffff) >> 4) | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}
inline uint64_t operand_across(uint32_t address, uint32_t lead) {
  return operand(address) | uint64_t(lead >> 4) << 16;
}
constexpr int kProductBytes = 32;
inline void begin_products() {}
inline void commit_products() { emulated::products().groups.emplace_back(); }
template <int kPending>
void wait_products() {
  auto& groups = emulated::products().groups;
  for (; groups.size() > kPending + 1; groups.pop_front())
    for (const auto& product : groups.front()) product();
}
template <class T, int kCount>
void keep_in_place(T (&)[kCount]) {}

template <int kCount>
void multiply_tf32(float (&d)[kCount], uint64_t a, uint64_t b, bool add) {
  const unsigned thread = threadIdx.x;
  float* const sums = d;
  emulated::products().groups.back().push_back(
      [=] { emulated::add_products<kCount, 4>(sums, a, b, add, thread); });
}
template <int kCount>
void multiply_tf32(float (&d)[kCount], const uint32_t (&a)[4], uint64_t b, bool add) {
  const unsigned thread = threadIdx.x;
  float* const sums = d;
  const emulated::Rows rows(a);
  emulated::products().groups.back().push_back(
      [=] { emulated::add_products_of_rows<kCount>(sums, rows, b, add, thread); });
}
template <int kCount>
void multiply_bfloat16(float (&d)[kCount], uint64_t a, uint64_t b, bool add) {
  const unsigned thread = threadIdx.x;
  float* const sums = d;
  emulated::products().groups.back().push_back(
      [=] { emulated::add_products<kCount, 2>(sums, a, b, add, thread); });
}
template <int kCount>
void multiply_across(float (&d)[kCount], uint64_t a, uint64_t b, bool add) {
  const unsigned thread = threadIdx.x;
  float* const sums = d;
  emulated::products().groups.back().push_back(
      [=] { emulated::add_products_across<kCount>(sums, a, b, add, thread); });
}

template <class Parameters>
void start(void (*kernel)(Parameters), dim3 blocks, dim3 threads, size_t shared_bytes, cudaStream_t stream,
           const Parameters& parameters) {
  emulated::require(shared_bytes <= emulated::kWindow, "shared memory that a block can have");
  FASTCNN_LAUNCH(kernel, blocks, threads, stream)(parameters);
}

}  // namespace ptx
}  // namespace cuda
}  // namespace fastcnn
