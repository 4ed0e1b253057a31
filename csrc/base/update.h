// SPDX-License-Identifier: Apache-2.0
// The numbers of one update from what changes from step to step: whether it is due, its rates with the bias
// corrections, in double. On a GPU they are worked out there, since a captured graph has no other place.
#pragma once
#include <cmath>

#include "both.h"
#include "optimizer_run.h"

namespace fastcnn {

// The update that this training step completes, number = 1, 2, ...
struct Update {
  bool due;
  uint64_t number;
};

FASTCNN_BOTH Update update_of(int32_t accumulation, const RunScalars& scalars) {
  const uint64_t steps = accumulation > 1 ? uint64_t(accumulation) : 1, done = scalars.step + 1;
  return {done % steps == 0, done / steps};
}

// Without pointers, and with the rate as it is.
FASTCNN_BOTH OptimizerRun run_of(const UpdateRule& rule, const Update& update, float rate) {
  OptimizerRun run{};
  run.clip = rule.clip_value > 0 ? rule.clip_value : float(HUGE_VAL);
  run.decay = float(double(rate) * rule.weight_decay);
  const double ema = update.number > 1 ? rule.ema_momentum : 0;  // the first average is w
  run.ema = float(ema);
  run.one_minus_ema = float(1 - ema);
  run.overwrite = rule.ema_overwrite > 0 && update.number % uint64_t(rule.ema_overwrite) == 0;
  run.rate = rate;
  return run;
}

// Nadam's decay of the first moment at update t.
FASTCNN_BOTH double nadam_beta(double beta_1, double t) { return beta_1 * (1 - 0.5 * std::pow(0.96, t)); }

// The product of nadam_beta(1) to nadam_beta(t). Keras keeps it as a variable; here it follows from t alone,
// and is not needed any more once 1 minus it is 1.
FASTCNN_BOTH double nadam_product(double beta_1, uint64_t t) {
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
FASTCNN_BOTH void set_rates(const OptimizerShape& s, uint64_t update, double rate, OptimizerRun* run) {
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

FASTCNN_BOTH OptimizerRun numbers_of(const OptimizerShape& s, const Update& update, float rate) {
  OptimizerRun run = run_of(s.rule, update, rate);
  run.momentum = s.momentum, run.epsilon = s.epsilon;
  run.beta_1 = float(s.beta_1), run.one_minus_beta_1 = float(1 - s.beta_1);
  run.beta_2 = float(s.beta_2), run.one_minus_beta_2 = float(1 - s.beta_2);
  // Ftrl divides by the rate; a schedule may begin at 0, and then nothing moves.
  run.idle = s.optimizer == Optimizer::kFtrl && rate == 0;
  if (!run.idle) set_rates(s, update.number, rate, &run);
  return run;
}

}  // namespace fastcnn
