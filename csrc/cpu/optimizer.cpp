// SPDX-License-Identifier: Apache-2.0
// One update of a contiguous range of a model's parameters by any of Keras's optimizers but Muon: what of its
// formula is a number of the step is computed here in double, the rest is one pass of kernels/optimizer.
#include "caches.h"
#include "update.h"

namespace fastcnn {
namespace cpu {

namespace {

using Kernel = OptimizerKernels::Update*;

Kernel kernel_of(const OptimizerShape& s) {
  const OptimizerKernels& k = *kernels().optimizer;
  switch (s.optimizer) {
    case Optimizer::kSgd:
      return s.momentum == 0 ? k.sgd : s.nesterov ? k.nesterov : k.momentum;
    case Optimizer::kAdam:
      return s.amsgrad ? k.amsgrad : k.adam;
    case Optimizer::kRmsprop:
      return k.rmsprop[s.centered != 0][s.momentum > 0];
    case Optimizer::kAdagrad:
      return k.adagrad;
    case Optimizer::kAdadelta:
      return k.adadelta;
    case Optimizer::kAdamax:
      return k.adamax;
    case Optimizer::kNadam:
      return k.nadam;
    case Optimizer::kLion:
      return k.lion;
    case Optimizer::kFtrl:
      return k.ftrl[s.power != -0.5];
  }
  return nullptr;
}

// Whether what a core has read of the parameters may still be in a cache of its own. To take such lines over
// from it where none is took 1.05 to 1.13 times as long (Zen 4, 131072 parameters and more).
bool may_be_held(const OptimizerShape& s) {
  return sizeof(float) * double(2 + s.slots) * double(s.count) <= l2_cache_bytes();
}

}  // namespace

bool supports_optimizer_flat(const OpDescriptor& op) { return kernel_of(op.optimizer) != nullptr; }

void prepare_optimizer_flat(Prepared* p) {
  const OptimizerShape& s = p->op.optimizer;
  const double arrays = 3 + 2 * (s.slots + s.rule.use_ema);  // gradient read, the others read and written
  set_cost(p, 2 * arrays * s.count, 4 * arrays * s.count);
}

void run_optimizer_flat(const Prepared& p, const Operands& operands, Context& context) {
  const OptimizerShape& s = p.op.optimizer;
  const Update update = update_of(s.rule.accumulation, *context.scalars);
  if (!update.due) return;
  const OptimizerRun numbers = numbers_of(s, update, context.scalars->learning_rate);
  const bool shared = may_be_held(s);
  const Kernel kernel = numbers.idle ? kernels().optimizer->sgd : kernel_of(s);
  for_each_chunk_of(context, output(operands, 0), s.count, [&](int64_t begin, int64_t end) {
    const auto at = [&](int i) { return operands.out[i] ? output(operands, i) + begin : nullptr; };
    OptimizerRun run = numbers;
    run.gradient = input(operands, 0) + begin;
    run.parameters = at(0);
    for (int i = 0; i < 3; ++i) run.slot[i] = at(1 + i);
    run.average = s.rule.use_ema ? at(1 + s.slots) : nullptr;
    run.count = end - begin;
    kernel(run, shared);
  });
}

}  // namespace cpu
}  // namespace fastcnn
