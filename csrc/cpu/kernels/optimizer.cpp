// SPDX-License-Identifier: Apache-2.0
// One step of an optimizer on parameters p with gradient g; Keras's formulas, each operation rounded as
// there.
//
//   SGD       p -= rate g
//   momentum  v = momentum v - rate g, p += v
//   Nesterov  v = momentum v - rate g, p += momentum v - rate g
//   Adam      m += (g - m) (1 - beta_1), v += (g g - v) (1 - beta_2), p -= m rate / (sqrt(v) + epsilon)
//
// Called by cpu/optimizer.cpp with pieces of the flat arrays of a model.
#include "optimizer.h"

#include "blocks.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

void sgd(const OptimizerRun& a) {
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    block.put(a.parameters + i, block.get(a.parameters + i) - a.rate * block.get(a.gradient + i));
  });
}

template <bool kNesterov>
void sgd_with_momentum(const OptimizerRun& a) {
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec change = a.rate * block.get(a.gradient + i);
    const Vec v = a.momentum * block.get(a.slot0 + i) - change;
    block.put(a.slot0 + i, v);
    block.put(a.parameters + i, block.get(a.parameters + i) + (kNesterov ? a.momentum * v - change : v));
  });
}

void adam(const OptimizerRun& a) {
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec g = block.get(a.gradient + i), m0 = block.get(a.slot0 + i), v0 = block.get(a.slot1 + i);
    const Vec m = m0 + (g - m0) * a.one_minus_beta_1, v = v0 + (g * g - v0) * a.one_minus_beta_2;
    block.put(a.slot0 + i, m);
    block.put(a.slot1 + i, v);
    block.put(a.parameters + i, block.get(a.parameters + i) - m * a.rate / (sqrt(v) + a.epsilon));
  });
}

}  // namespace

extern const OptimizerKernels optimizer_kernels;
const OptimizerKernels optimizer_kernels = {sgd, sgd_with_momentum<false>, sgd_with_momentum<true>, adam};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
