// SPDX-License-Identifier: Apache-2.0
// Steps on flat arrays: rescaling, sums of two. Chunks of the arrays go to the kernels of
// cpu/kernels/elementwise.
#include "kernels/elementwise.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

bool supports_rescale_flat(const OpDescriptor&) { return true; }

void prepare_rescale_flat(Prepared* p) {
  const double count = double(p->op.rescale.count);
  set_cost(p, 2 * count, 8 * count);
}

void run_rescale_flat(const Prepared& p, const Operands& operands, Context& context) {
  const RescaleShape& s = p.op.rescale;
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  for_each_chunk(context, s.count, kChunk, [&](int64_t begin, int64_t end) {
    kernels().elementwise->rescale(x + begin, y + begin, end - begin, s.scale, s.offset);
  });
}

bool supports_add_flat(const OpDescriptor&) { return true; }

void prepare_add_flat(Prepared* p) {
  const double count = double(p->op.add.count);
  set_cost(p, count, 12 * count);
}

// y may be a or b: the sum of several gradients is gathered in one of them.
void run_add_flat(const Prepared& p, const Operands& operands, Context& context) {
  const float *a = input(operands, 0), *b = input(operands, 1);
  float* y = output(operands, 0);
  const bool stream = y != a && y != b && streams(double(p.op.add.count));
  for_each_chunk(context, p.op.add.count, kChunk, [&](int64_t begin, int64_t end) {
    kernels().elementwise->add(a + begin, b + begin, y + begin, end - begin, stream);
  });
}

}  // namespace cpu
}  // namespace fastcnn
