// SPDX-License-Identifier: Apache-2.0
// Runs of floats, taken in whole vectors and at the end as part of one: the loop is written once, with a
// lambda that gets the block's way to load and store. Nothing beyond the run is read or written.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <int kCount>
struct Whole {
  static constexpr int kVectors = kCount;
  FASTCNN_INLINED Vec get(const float* p) const { return load(p); }
  FASTCNN_INLINED void put(float* p, Vec v) const { store(p, v); }
  FASTCNN_INLINED Vec only(Vec v, Vec) const { return v; }
};

struct Part {
  static constexpr int kVectors = 1;
  int lanes;
  FASTCNN_INLINED Vec get(const float* p) const { return load_n(p, lanes); }
  FASTCNN_INLINED void put(float* p, Vec v) const { store_n(p, v, lanes); }
  // v in the lanes of the run, `otherwise` in the rest.
  FASTCNN_INLINED Vec only(Vec v, Vec otherwise) const { return iota() < lanes ? v : otherwise; }
};

// f(block, i) for blocks of at most kMany vectors that cover [0, count); the vectors of a block begin at i +
// v * kLanes.
template <int kMany, class F>
FASTCNN_INLINE void for_each_block(int64_t count, F f) {
  int64_t i = 0;
  for (; i + kMany * kLanes <= count; i += kMany * kLanes) f(Whole<kMany>{}, i);
  if constexpr (kMany > 1)
    for (; i + kLanes <= count; i += kLanes) f(Whole<1>{}, i);
  if (i < count) f(Part{(int)(count - i)}, i);
}

// How many of `count` floats come before vectors are aligned; 0 if all do.
FASTCNN_INLINE int64_t before_line(const float* p, int64_t count) {
  const int64_t floats = -(int64_t)((uintptr_t)p / sizeof *p) & (kLanes - 1);
  return floats < count ? floats : 0;
}

// f(block, i) vector by vector.
template <class F>
FASTCNN_INLINE void for_each_vector(int64_t count, F f) {
  for_each_block<1>(count, f);
}

// y[i] = f(x[i]) of vectors; y may be x: a block is read before it is written.
template <class F>
FASTCNN_INLINE void map(const float* x, float* y, int64_t count, F f) {
  for_each_block<2>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, i += kLanes) block.put(y + i, f(block.get(x + i)));
  });
}

template <class F>
FASTCNN_INLINE void map(const float* a, const float* b, float* y, int64_t count, F f) {
  for_each_block<2>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, i += kLanes)
      block.put(y + i, f(block.get(a + i), block.get(b + i)));
  });
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
