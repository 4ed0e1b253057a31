// SPDX-License-Identifier: Apache-2.0
// y[row, col] = scale (float32) x[row, col] + offset, or (int32) x[row, col]; x strided in bytes, of any real
// type. Plain loops, which the compiler turns into vectors; rows that are not contiguous are packed first.
// Called by cpu/gather.cpp.
#include "gather.h"

#include "blocks.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

struct Half {
  uint16_t bits;
};
struct Bool {
  uint8_t byte;
};

template <class T>
FASTCNN_INLINE T read(const char* p) {
  T value;
  memcpy(&value, p, sizeof value);
  return value;
}

template <class T>
FASTCNN_INLINE float to_float(T value) {
  return (float)value;
}
FASTCNN_INLINE float to_float(Bool value) { return value.byte != 0 ? 1.0f : 0.0f; }
// The exponent is moved by 112. Infinity and NaN need it twice; numbers below 2^-14 get a 1 in front of their
// fraction, which is then subtracted.
FASTCNN_INLINE float to_float(Half value) {
  const uint32_t magnitude = (uint32_t)(value.bits & 0x7fff) << 13, exponent = magnitude & 0x0f800000;
  const uint32_t moved = magnitude + (112u << 23) +
                         (exponent == 0x0f800000 ? 112u << 23
                          : exponent == 0        ? 1u << 23
                                                 : 0);
  float result;
  memcpy(&result, &moved, sizeof result);
  result -= exponent == 0 ? 6.103515625e-05f : 0.0f;  // 2^-14
  uint32_t bits;
  memcpy(&bits, &result, sizeof bits);
  bits |= (uint32_t)(value.bits & 0x8000) << 16;
  memcpy(&result, &bits, sizeof result);
  return result;
}

// Numbers that no int32 holds become the lowest one.
FASTCNN_INLINE int32_t to_int(double value) {
  return value > -2147483649.0 && value < 2147483648.0 ? (int32_t)value : INT32_MIN;
}
FASTCNN_INLINE int32_t to_int(float value) { return to_int((double)value); }
FASTCNN_INLINE int32_t to_int(Half value) { return to_int((double)to_float(value)); }
FASTCNN_INLINE int32_t to_int(Bool value) { return value.byte != 0; }
template <class T>
FASTCNN_INLINE int32_t to_int(T value) {
  return (int32_t)value;
}

// Elements of so many bytes side by side. One loop for all types of a size: their conversions stand once
// each.
template <int kBytes>
__attribute__((noinline)) void pack(const char* x, int64_t stride, int64_t count, char* to) {
  for (int64_t i = 0; i < count; ++i) memcpy(to + i * kBytes, x + i * stride, kBytes);
}

// y[row, col] = f(x[row, col]).
template <class From, class To, class F>
FASTCNN_INLINE void for_each_element(const GatherBlock& b, F f) {
  constexpr int64_t kSize = sizeof(From), kPacked = 256;
  const bool apart = b.cols > 1 && b.col_stride != kSize;
  const int64_t piece = apart && b.cols > kPacked ? kPacked : b.cols;
  char packed[kPacked * kSize];
  To* __restrict y = (To*)b.y;
  for (int64_t row = 0; row < b.rows; ++row, y += b.cols) {
    const char* x = b.x + (b.index ? b.index[row] : row) * b.row_stride;
    for (int64_t begin = 0; begin < b.cols; begin += piece) {
      const int64_t count = b.cols - begin < piece ? b.cols - begin : piece;
      const char* __restrict from = x + begin * b.col_stride;
      if (apart) pack<kSize>(from, b.col_stride, count, packed), from = packed;
      for (int64_t i = 0; i < count; ++i) y[begin + i] = f(read<From>(from + i * kSize));
    }
  }
}

template <class From>
void gather_float(const GatherBlock& b) {
  // What keeps the bits of -0: 0 would turn it into 0.
  const float scale = b.scale, offset = scale == 1.0f && b.offset == 0.0f ? -0.0f : b.offset;
  for_each_element<From, float>(b,
                                [=](From value) FASTCNN_INLINED { return to_float(value) * scale + offset; });
}

template <class From>
void gather_int(const GatherBlock& b) {
  for_each_element<From, int32_t>(b, [](From value) FASTCNN_INLINED { return to_int(value); });
}

}  // namespace

extern const GatherKernels gather_kernels;
const GatherKernels gather_kernels = {
    {gather_float<float>, gather_float<double>, gather_float<Half>, gather_float<uint8_t>,
     gather_float<int8_t>, gather_float<uint16_t>, gather_float<int16_t>, gather_float<uint32_t>,
     gather_float<int32_t>, gather_float<uint64_t>, gather_float<int64_t>, gather_float<Bool>},
    {gather_int<float>, gather_int<double>, gather_int<Half>, gather_int<uint8_t>, gather_int<int8_t>,
     gather_int<uint16_t>, gather_int<int16_t>, gather_int<uint32_t>, gather_int<int32_t>,
     gather_int<uint64_t>, gather_int<int64_t>, gather_int<Bool>}};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
