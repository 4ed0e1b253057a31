// SPDX-License-Identifier: Apache-2.0
// Numbers as they lie in memory (Storage, backend.h): T is float or Bfloat16, and kernels compute with floats
// whatever they load and store. The bfloat16 next to a float is rounded to nearest, ties to even.
#pragma once
#include <initializer_list>

#include "launch.h"

FASTCNN_FORMULAS_BEGIN

struct Bfloat16 {
  uint16_t bits;

  Bfloat16() = default;
  FASTCNN_INLINED Bfloat16(float x) {
    const uint32_t whole = uint32_t(__float_as_int(x));
    bits = uint16_t(x != x ? 0x7fffu : (whole + 0x7fffu + (whole >> 16 & 1u)) >> 16);
  }
  FASTCNN_INLINED operator float() const { return __int_as_float(int32_t(uint32_t(bits) << 16)); }
};

// Which of two functions, of what is read as float and as Bfloat16, a step is.
template <class F>
F* by_storage(const Prepared& p, F* of_float, F* of_bfloat16) {
  return p.op.storage == Storage::kFloat32 ? of_float : of_bfloat16;
}
#define FASTCNN_BY_STORAGE(p, ...) by_storage(p, __VA_ARGS__<float>, __VA_ARGS__<Bfloat16>)

inline bool aligned_to(const void* p, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }
template <class T>
bool aligned_to_fours(std::initializer_list<const void*> arrays) {
  for (const void* array : arrays)
    if (!aligned_to(array, 4 * sizeof(T))) return false;
  return true;
}

// Neighbours in memory that are moved with one instruction, where they are aligned so.
template <class T, int kCount>
struct alignas(kCount * sizeof(T)) Together {
  T of[kCount];

  FASTCNN_INLINED static Together at(const T* from) { return *reinterpret_cast<const Together*>(from); }
  FASTCNN_INLINED void put(T* to) const { *reinterpret_cast<Together*>(to) = *this; }
};

inline double bytes_of_number(const Prepared* p) {
  return p->op.storage == Storage::kFloat32 ? sizeof(float) : sizeof(Bfloat16);
}

// y[i] = f(a[i], b[i]), or f(a[i], 0) if not kTwo.
template <bool kTwo, class T, class F>
struct Flat {
  const T *a, *b;
  T* y;
  int64_t count;
  F f;

  FASTCNN_INLINED void one(int64_t i) const { y[i] = T(f(float(a[i]), kTwo ? float(b[i]) : 0.0f)); }
  FASTCNN_INLINED void operator()(int64_t i) const {
    if constexpr (sizeof(T) == sizeof(float))
      one(i);
    else
      two(i);
  }
  // Numbers 2 i and 2 i + 1, at a time where they are aligned so: a warp then moves as many bytes with an
  // instruction as it does of floats.
  FASTCNN_INLINED void two(int64_t i) const {
    const int64_t first = 2 * i;
    const uintptr_t all =
        reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) | reinterpret_cast<uintptr_t>(y);
    if (all % 4 || first + 1 == count) {
      one(first);
      if (first + 1 < count) one(first + 1);
      return;
    }
    using Pair = Together<T, 2>;
    const Pair x = Pair::at(a + first);
    Pair z;
    if constexpr (kTwo) {
      const Pair w = Pair::at(b + first);
      z.of[0] = f(float(x.of[0]), float(w.of[0])), z.of[1] = f(float(x.of[1]), float(w.of[1]));
    } else {
      z.of[0] = f(float(x.of[0]), 0.0f), z.of[1] = f(float(x.of[1]), 0.0f);
    }
    z.put(y + first);
  }
};

template <bool kTwo, class T, class F>
void map_flat(Context& context, int64_t count, const Operands& o, F f) {
  const Flat<kTwo, T, F> map = {input<T>(o, 0), kTwo ? input<T>(o, 1) : nullptr, output<T>(o, 0), count, f};
  for_each(context, sizeof(T) == sizeof(float) ? count : ceil_div(count, 2), map);
}

FASTCNN_FORMULAS_END
