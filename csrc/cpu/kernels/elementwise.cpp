// SPDX-License-Identifier: Apache-2.0
// y[i] = scale x[i] + offset, and y[i] = a[i] + b[i].
// Called with pieces of flat arrays by cpu/elementwise.cpp.
#include "elementwise.h"

#include "output.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Two roundings, as in the gather: a rescaling fused into it has the same bits.
void rescale(const float* x, float* y, int64_t count, float scale, float offset) {
  map(x, y, count, [=](Vec v) { return v * scale + offset; });
}

void add(const float* a, const float* b, float* y, int64_t count, bool stream) {
  map(Output(y, stream, 0), a, b, y, count, [](Vec v, Vec w) { return v + w; });
}

}  // namespace

extern const ElementwiseKernels elementwise_kernels;
const ElementwiseKernels elementwise_kernels = {rescale, add};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
