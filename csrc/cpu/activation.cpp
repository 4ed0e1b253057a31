// SPDX-License-Identifier: Apache-2.0
// The steps of all activations that work element by element: chunks of flat arrays go to the functions of
// cpu/kernels/activation.
#include "kernels/activation.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

bool known(const FlatShape& s) {
  return s.activation > Activation::kNone && s.activation < Activation::kCount;
}

ActivationParameters parameters(const FlatShape& s) {
  return {s.alpha, s.beta, s.gamma, streams(double(s.count))};
}

}  // namespace

bool supports_activation_fwd_flat(const OpDescriptor& op) { return known(op.activation_fwd); }

void prepare_activation_fwd_flat(Prepared* p) {
  const double count = double(p->op.activation_fwd.count);
  set_cost(p, count, 8 * count);
}

void run_activation_fwd_flat(const Prepared& p, const Operands& operands, Context& context) {
  const FlatShape& s = p.op.activation_fwd;
  const ActivationForward f = kernels().activation->fwd[int(s.activation)];
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  for_each_chunk_of(context, y, s.count,
                    [&](int64_t begin, int64_t end) { f(x + begin, y + begin, end - begin, parameters(s)); });
}

bool supports_activation_bwd_flat(const OpDescriptor& op) { return known(op.activation_bwd); }

void prepare_activation_bwd_flat(Prepared* p) {
  const double count = double(p->op.activation_bwd.count);
  set_cost(p, 3 * count, 12 * count);
}

void run_activation_bwd_flat(const Prepared& p, const Operands& operands, Context& context) {
  const FlatShape& s = p.op.activation_bwd;
  const ActivationBackward f = kernels().activation->bwd[int(s.activation)];
  const float *dy = input(operands, 0), *saved = input(operands, 1);
  float* dx = output(operands, 0);
  for_each_chunk_of(context, dx, s.count, [&](int64_t begin, int64_t end) {
    f(dy + begin, saved + begin, dx + begin, end - begin, parameters(s));
  });
}

}  // namespace cpu
}  // namespace fastcnn
