// SPDX-License-Identifier: Apache-2.0
// Pairs of samples: weighted means, or a box of one in the other.
#include <cstring>

#include "chunks.h"
#include "kernels.h"
#include "kernels/adjust.h"

namespace fastcnn {
namespace cpu {

bool supports_mix_pairs(const OpDescriptor&) { return true; }

void prepare_mix_pairs(Prepared* p) {
  const MixShape& s = p->op.mix;
  const double count = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  set_cost(p, s.boxed ? 0 : 2 * count, (s.boxed ? 8 : 12) * count);
}

void run_mix_pairs(const Prepared& p, const Operands& operands, Context& context) {
  const MixShape& s = p.op.mix;
  const int64_t size = s.h * s.w * s.c;
  const auto index = static_cast<const int64_t*>(operands.in[1]);  // [n]
  const auto boxes = static_cast<const int64_t*>(operands.in[3]);  // [n, 4]
  parallel_for(*context.member, s.n, [&](int64_t i) {
    const float *a = input(operands, 0) + i * size, *b = input(operands, 0) + index[i] * size;
    float* y = output(operands, 0) + i * size;
    if (!s.boxed) return kernels().adjust->blend(a, b, y, size, input(operands, 2)[i]);
    std::memcpy(y, a, sizeof(float) * size);
    const int64_t* box = boxes + 4 * i;
    for (int64_t row = box[0]; row < box[1] && box[2] < box[3]; ++row) {
      const int64_t at = (row * s.w + box[2]) * s.c;
      std::memcpy(y + at, b + at, sizeof(float) * (box[3] - box[2]) * s.c);
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
