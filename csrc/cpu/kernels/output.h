// SPDX-License-Identifier: Apache-2.0
// Stores to an output, past the caches where it is larger than they are: it is then not read first, which
// saves a third of the traffic of a copy. Included by the kernels that memory bounds.
#pragma once
#include "blocks.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Of rows of `pitch` floats, whose vectors are aligned or stored as ever. end() comes before others read.
struct Output {
  bool streams;
  Output(const float* y, bool stream, int64_t pitch)
      : streams(stream && (uintptr_t)y % sizeof(Vec) == 0 && pitch % kLanes == 0) {}
  template <int kCount>
  FASTCNN_INLINED void put(Whole<kCount>, float* p, Vec v) const {
    if (streams) {
      stream(p, v);
    } else {
      store(p, v);
    }
  }
  FASTCNN_INLINED void put(Part part, float* p, Vec v) const { part.put(p, v); }
  FASTCNN_INLINED void end() const {
    if (streams) end_stream();
  }
};

// y[i] = f(x[i]) and y[i] = f(a[i], b[i]), as map() of blocks.h. y may be an input: then it is near anyway. A
// block is computed before any of it is written, so that its vectors may be computed side by side.
template <class F>
FASTCNN_INLINE void map(const Output& output, const float* x, float* y, int64_t count, F f) {
  for_each_block<2>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    Vec results[block.kVectors];
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v) results[v] = f(block.get(x + i + v * kLanes));
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v) output.put(block, y + i + v * kLanes, results[v]);
  });
  output.end();
}

template <class F>
FASTCNN_INLINE void map(const Output& output, const float* a, const float* b, float* y, int64_t count, F f) {
  for_each_block<2>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    Vec results[block.kVectors];
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v)
      results[v] = f(block.get(a + i + v * kLanes), block.get(b + i + v * kLanes));
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v) output.put(block, y + i + v * kLanes, results[v]);
  });
  output.end();
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
