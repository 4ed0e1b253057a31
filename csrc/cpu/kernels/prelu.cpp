// SPDX-License-Identifier: Apache-2.0
// y = x where x > 0, else alpha x; dx = dy where x > 0, else alpha dy; dalpha = sum of dy x where x is not
// above 0. Called with runs of the arrays by cpu/prelu.cpp.
#include "prelu.h"

#include "output.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

using Gradient = PreluKernels::Gradient;

void fwd(const float* x, const float* alpha, float* y, int64_t count, bool stream) {
  map(Output(y, stream, 0), x, alpha, y, count,
      [](Vec v, Vec a) FASTCNN_INLINED { return v > Vec{} ? v : a * v; });
}

void fwd_shared(const float* x, float alpha, float* y, int64_t count, bool stream) {
  map(Output(y, stream, 0), x, y, count, [=](Vec v) FASTCNN_INLINED { return v > Vec{} ? v : alpha * v; });
}

void bwd(const Gradient& g, const float* alpha) {
  const Output output(g.dx, g.stream, 0);
  for_each_block<2>(g.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, i += kLanes) {
      const Vec dy = block.get(g.dy + i);
      output.put(block, g.dx + i, block.get(g.x + i) > Vec{} ? dy : block.get(alpha + i) * dy);
    }
  });
  output.end();
}

void bwd_shared(const Gradient& g, float alpha) {
  map(Output(g.dx, g.stream, 0), g.dy, g.x, g.dx, g.count,
      [=](Vec dy, Vec x) FASTCNN_INLINED { return x > Vec{} ? dy : alpha * dy; });
}

FASTCNN_INLINE Vec term(Vec dy, Vec x) { return x > Vec{} ? Vec{} : dy * x; }

void accumulate(const float* dy, const float* x, float* sums, int64_t count) {
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    block.put(sums + i, block.get(sums + i) + term(block.get(dy + i), block.get(x + i)));
  });
}

// Two chains of additions.
float sum(const float* dy, const float* x, int64_t count) {
  Vec sums[2] = {};
  for_each_block<2>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, i += kLanes)
      sums[v] += term(block.get(dy + i), block.get(x + i));
  });
  return lane_sum(sums[0] + sums[1]);
}

}  // namespace

extern const PreluKernels prelu_kernels;
const PreluKernels prelu_kernels = {fwd, fwd_shared, bwd, bwd_shared, accumulate, sum};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
