// SPDX-License-Identifier: Apache-2.0
// What happens to gradients before an update: g *= limit / max(norm(g), limit), in place, for one parameter
// or for all of them; and the mean of the gradients of several steps.
#include "kernels/elementwise.h"
#include "update.h"

namespace fastcnn {
namespace cpu {

bool supports_clip_norm_chunked(const OpDescriptor&) { return true; }

void prepare_clip_norm_chunked(Prepared* p) {
  const double count = double(p->op.clip_norm.count);
  set_cost(p, 3 * count, 12 * count);
  p->workspace_bytes = sizeof(double) * (norm_chunks(p->op.clip_norm.count) + 1);
}

void run_clip_norm_chunked(const Prepared& p, const Operands& operands, Context& context) {
  const ClipNormShape& s = p.op.clip_norm;
  if (!update_of(s.accumulation, *context.scalars).due) return;
  float* gradient = output(operands, 0);
  const double* norm = norm_of(context, gradient, s.count, static_cast<double*>(context.workspace));
  for_each_chunk(context, s.count, kChunk, [&](int64_t begin, int64_t end) {
    if (*norm <= s.limit)
      return;  // not so for NaN, which spreads, and infinity, whose share of itself is NaN
    const float scale = float(std::isinf(*norm) ? std::numeric_limits<double>::quiet_NaN() : s.limit / *norm);
    kernels().elementwise->rescale(gradient + begin, gradient + begin, end - begin, scale, 0);
  });
}

bool supports_accumulate_flat(const OpDescriptor&) { return true; }

void prepare_accumulate_flat(Prepared* p) {
  const double count = double(p->op.accumulate.count);
  set_cost(p, count, 12 * count);
}

void run_accumulate_flat(const Prepared& p, const Operands& operands, Context& context) {
  const AccumulateShape& s = p.op.accumulate;
  float *gradient = output(operands, 0), *sum = output(operands, 1);
  const OptimizerKernels& k = *kernels().optimizer;
  const bool due = update_of(s.accumulation, *context.scalars).due;
  for_each_chunk(context, s.count, kChunk, [&](int64_t begin, int64_t end) {
    if (due)
      k.accumulated(gradient + begin, sum + begin, end - begin, float(s.accumulation));
    else
      k.accumulate(gradient + begin, sum + begin, end - begin);
  });
}

}  // namespace cpu
}  // namespace fastcnn
