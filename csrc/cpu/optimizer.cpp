// SPDX-License-Identifier: Apache-2.0
// One update of a contiguous range of a model's parameters by any of Keras's optimizers but Muon: what of its
// formula is a number of the step is computed here in double, the rest is one pass of kernels/optimizer.
#include "update.h"

namespace fastcnn {
namespace cpu {

namespace {

using Kernel = void (*)(const OptimizerRun&);

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

// Nadam's decay of the first moment at update t.
double nadam_beta(double beta_1, double t) { return beta_1 * (1 - 0.5 * std::pow(0.96, t)); }

// The product of nadam_beta(1) to nadam_beta(t). Keras keeps it as a variable; here it follows from t alone,
// and is not needed any more once 1 minus it is 1.
double nadam_product(double beta_1, uint64_t t) {
  constexpr double kNothing = 1e-17;
  if (std::pow(beta_1, double(t)) < kNothing) return 0;
  double product = 1, decay = 1;
  for (uint64_t i = 1; i <= t && product >= kNothing; ++i) {
    decay *= 0.96;
    product *= beta_1 * (1 - 0.5 * decay);
  }
  return product;
}

// The bias corrections, in double, since 1 - beta^t cancels.
void set_rates(const OptimizerShape& s, uint64_t update, double rate, OptimizerRun* run) {
  const double t = double(update);
  const double first = 1 - std::pow(s.beta_1, t), second = 1 - std::pow(s.beta_2, t);
  if (s.rate_ratio != 0) rate *= s.rate_ratio;
  run->rate = float(rate);
  if (s.optimizer == Optimizer::kAdam) run->rate = float(rate * std::sqrt(second) / first);
  if (s.optimizer == Optimizer::kAdamax) run->rate = float(rate / first);
  if (s.optimizer == Optimizer::kNadam) {
    const double product = nadam_product(s.beta_1, update);
    const double now = nadam_beta(s.beta_1, t), next = nadam_beta(s.beta_1, t + 1);
    run->rate = float(rate * next / (1 - product * next));
    run->gradient_rate = float(rate * (1 - now) / (1 - product));
    run->correction = float(1 / second);
  }
  if (s.optimizer == Optimizer::kFtrl) {
    run->inverse_rate = float(1 / rate);
    run->l1 = float(s.l1);
    run->two_l2 = float(2 * s.l2 + s.beta / rate);
    run->two_shrinkage = float(2 * s.shrinkage);
    run->exponent = float(-s.power);
  }
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
  const float rate = context.scalars->learning_rate;
  OptimizerRun numbers = run_of(s.rule, update, rate);
  numbers.momentum = s.momentum, numbers.epsilon = s.epsilon;
  numbers.beta_1 = float(s.beta_1), numbers.one_minus_beta_1 = float(1 - s.beta_1);
  numbers.beta_2 = float(s.beta_2), numbers.one_minus_beta_2 = float(1 - s.beta_2);
  Kernel kernel = kernel_of(s);
  // Ftrl divides by the rate; a schedule may begin at 0, and then nothing moves.
  if (s.optimizer == Optimizer::kFtrl && rate == 0)
    kernel = kernels().optimizer->sgd;
  else
    set_rates(s, update.number, rate, &numbers);
  for_each_chunk(context, s.count, kChunk, [&](int64_t begin, int64_t end) {
    const auto at = [&](int i) { return operands.out[i] ? output(operands, i) + begin : nullptr; };
    OptimizerRun run = numbers;
    run.gradient = input(operands, 0) + begin;
    run.parameters = at(0);
    for (int i = 0; i < 3; ++i) run.slot[i] = at(1 + i);
    run.average = s.rule.use_ema ? at(1 + s.slots) : nullptr;
    run.count = end - begin;
    kernel(run);
  });
}

}  // namespace cpu
}  // namespace fastcnn
