// SPDX-License-Identifier: Apache-2.0
// One optimizer step over all parameters of a model, which stand in one flat array: SGD (plain, with
// momentum, with Nesterov's) and Adam.
#include "kernels/optimizer.h"

#include <cmath>

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

int slots(const OptimizerShape& s) { return s.optimizer == Optimizer::kAdam ? 2 : s.momentum != 0; }

// Keras's rate of step t = 1, 2, ..., with both bias corrections; in double, since 1 - beta^t cancels.
float adam_rate(const OptimizerShape& s, const RunScalars& scalars) {
  const double t = double(scalars.step + 1);
  const double first = 1.0 - std::pow(s.beta_1, t), second = 1.0 - std::pow(s.beta_2, t);
  return float(double(scalars.learning_rate) * std::sqrt(second) / first);
}

void (*update(const OptimizerShape& s))(const OptimizerRun&) {
  const OptimizerKernels& k = *kernels().optimizer;
  if (s.optimizer == Optimizer::kAdam) return k.adam;
  if (s.momentum == 0) return k.sgd;
  return s.nesterov ? k.nesterov : k.momentum;
}

}  // namespace

bool supports_optimizer_flat(const OpDescriptor&) { return true; }

void prepare_optimizer_flat(Prepared* p) {
  const OptimizerShape& s = p->op.optimizer;
  const double arrays = 3 + 2 * slots(s);  // gradient read, the others read and written
  set_cost(p, arrays * s.count, 4 * arrays * s.count);
}

void run_optimizer_flat(const Prepared& p, const Operands& operands, Context& context) {
  const OptimizerShape& s = p.op.optimizer;
  const auto f = update(s);
  const bool adam = s.optimizer == Optimizer::kAdam;
  const float rate = adam ? adam_rate(s, *context.scalars) : context.scalars->learning_rate;
  for_each_chunk(context, s.count, kChunk, [&](int64_t begin, int64_t end) {
    OptimizerRun run;
    run.gradient = input(operands, 0) + begin;
    run.parameters = output(operands, 0) + begin;
    run.slot0 = slots(s) > 0 ? output(operands, 1) + begin : nullptr;
    run.slot1 = slots(s) > 1 ? output(operands, 2) + begin : nullptr;
    run.count = end - begin;
    run.rate = rate;
    run.momentum = s.momentum;
    run.one_minus_beta_1 = float(1.0 - s.beta_1);
    run.one_minus_beta_2 = float(1.0 - s.beta_2);
    run.epsilon = s.epsilon;
    f(run);
  });
}

}  // namespace cpu
}  // namespace fastcnn
