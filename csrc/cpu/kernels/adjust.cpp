// SPDX-License-Identifier: Apache-2.0
// y = clip(gain (x - m) + o), where nothing of that was clipped, and y = of_a a + of_b b. NaN stays.
// Called with runs of pixels by cpu/adjust.cpp, cpu/erase.cpp and cpu/mix.cpp.
#include "adjust.h"

#include "blocks.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE Vec adjusted(const AdjustRun& run, Vec x, Vec m, Vec o) {
  return fma(broadcast(run.gain), x - m, o);
}

void adjust(const AdjustRun& run, const float* x, float* y, int64_t count) {
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec v = adjusted(run, block.get(x + i), block.get(run.m + i), block.get(run.o + i));
    const Vec low = v < run.minimum ? broadcast(run.minimum) : v;
    block.put(y + i, low > run.maximum ? broadcast(run.maximum) : low);
  });
}

void unclipped(const AdjustRun& run, const float* x, const float* dy, float* dx, int64_t count) {
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec v = adjusted(run, block.get(x + i), block.get(run.m + i), block.get(run.o + i));
    const IVec outside = (v < run.minimum) | (v > run.maximum);
    block.put(dx + i, outside ? Vec{} : block.get(dy + i));
  });
}

void blend(const float* a, const float* b, float* y, int64_t count, float of_a, float of_b) {
  map(a, b, y, count, [=](Vec v, Vec w) FASTCNN_INLINED { return fma(broadcast(of_a), v, w * of_b); });
}

}  // namespace

extern const AdjustKernels adjust_kernels;
const AdjustKernels adjust_kernels = {adjust, unclipped, blend};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
