// SPDX-License-Identifier: Apache-2.0
#include "optimizer.h"

#include <cmath>

namespace fastcnn {
namespace {

void need(bool good, const char* argument, double value, const char* wanted) {
  if (!good) fail(Code::kArgument, "optimizer: %s is %g, wanted %s", argument, value, wanted);
}
void need_share(const char* argument, double value) {
  need(value >= 0 && value < 1, argument, value, "a number in [0, 1)");
}
void need_positive(const char* argument, double value) {
  need(value > 0 && std::isfinite(static_cast<float>(value)), argument, value, "a finite number above 0");
}
void need_not_negative(const char* argument, double value) {
  need(value >= 0 && std::isfinite(static_cast<float>(value)), argument, value,
       "a finite number of at least 0");
}
void need_finite(const char* argument, double value) {
  need(std::isfinite(static_cast<float>(value)), argument, value, "a finite number");
}

void check_rule(const OptimizerRecipe& r) {
  const UpdateRule& rule = r.shape.rule;
  need_not_negative("weight_decay", r.weight_decay);
  need_not_negative("adam_weight_decay", r.adam_weight_decay);
  need_not_negative("clipvalue", rule.clip_value);
  need_not_negative("clipnorm", r.clip_norm);
  need_not_negative("global_clipnorm", r.global_clip_norm);
  if ((rule.clip_value > 0) + (r.clip_norm > 0) + (r.global_clip_norm > 0) > 1)
    fail(Code::kArgument, "optimizer: several of clipnorm, clipvalue and global_clipnorm came, wanted one");
  need(rule.ema_momentum >= 0 && rule.ema_momentum <= 1, "ema_momentum", rule.ema_momentum,
       "a number in [0, 1]");
  need(rule.ema_overwrite >= 0, "ema_overwrite_frequency", rule.ema_overwrite, "at least 0");
  need(rule.accumulation >= 0, "gradient_accumulation_steps", rule.accumulation, "at least 0");
}

void check_formula(const OptimizerRecipe& r) {
  const OptimizerShape& s = r.shape;
  need(s.momentum >= 0 && s.momentum <= 1, "momentum", s.momentum, "a number in [0, 1]");
  need_share("beta_1", s.beta_1);
  const bool rho = s.optimizer == Optimizer::kRmsprop || s.optimizer == Optimizer::kAdadelta;
  need_share(rho ? "rho" : "beta_2", s.beta_2);
  switch (s.optimizer) {
    case Optimizer::kSgd:
    case Optimizer::kLion:
      return;
    case Optimizer::kAdagrad:
      need_not_negative("initial_accumulator_value", r.initial_accumulator);
      break;
    case Optimizer::kFtrl:
      need_not_negative("initial_accumulator_value", r.initial_accumulator);
      need_not_negative("l1_regularization_strength", s.l1);
      need_not_negative("l2_regularization_strength", s.l2);
      need_not_negative("l2_shrinkage_regularization_strength", s.shrinkage);
      need_not_negative("beta", s.beta);
      need(s.power <= 0 && std::isfinite(static_cast<float>(s.power)), "learning_rate_power", s.power,
           "a finite number of at most 0");
      return;
    default:
      break;
  }
  need_positive("epsilon", s.epsilon);
}

void check_muon(const OptimizerRecipe& r) {
  const MuonShape& m = r.muon;
  need_finite("muon_a", m.a);
  need_finite("muon_b", m.b);
  need_finite("muon_c", m.c);
  need_not_negative("rms_rate", m.adjustment);
  need_not_negative("adam_lr_ratio", r.shape.rate_ratio);
  need(m.momentum >= 0 && m.momentum <= 1, "momentum", m.momentum, "a number in [0, 1]");
  need(m.iterations >= 0 && m.iterations <= 1000, "ns_steps", m.iterations, "a number from 0 to 1000");
}

int slots_of(const OptimizerShape& s) {
  switch (s.optimizer) {
    case Optimizer::kSgd:
      return s.momentum > 0;
    case Optimizer::kAdam:
      return 2 + (s.amsgrad != 0);
    case Optimizer::kRmsprop:
      return 1 + (s.momentum > 0) + (s.centered != 0);
    case Optimizer::kAdagrad:
    case Optimizer::kLion:
      return 1;
    default:
      return 2;
  }
}

}  // namespace

float OptimizerRecipe::initial_value(int slot) const {
  const bool accumulator =
      slot == 0 && (shape.optimizer == Optimizer::kAdagrad || shape.optimizer == Optimizer::kFtrl);
  return accumulator ? static_cast<float>(initial_accumulator) : 0.0f;
}

void settle(OptimizerRecipe* r) {
  check_rule(*r);
  check_formula(*r);
  if (r->is_muon) check_muon(*r);
  OptimizerShape& s = r->shape;
  if (s.momentum == 0) s.nesterov = 0;  // without a velocity it is plain descent
  s.slots = slots_of(s);
  r->muon.rule = s.rule;
  r->muon.rule.weight_decay = r->weight_decay;
  s.rule.weight_decay = r->is_muon ? r->adam_weight_decay : r->weight_decay;
  if (r->slots() > kMaxSlots)
    fail(Code::kArgument,
         "optimizer: it needs %d arrays for each weight, wanted at most %d; leave out use_ema or "
         "gradient_accumulation_steps",
         r->slots(), kMaxSlots);
}

void check_learning_rate(double value) {
  if (!(value >= 0) || !std::isfinite(static_cast<float>(value)))
    fail(Code::kArgument, "optimizer: learning_rate is %g, wanted a finite number of at least 0", value);
}

OptimizerShape range_update(const OptimizerRecipe& recipe, int64_t count, bool decay) {
  OptimizerShape shape = recipe.shape;
  shape.count = count;
  if (!decay) shape.rule.weight_decay = 0;
  return shape;
}

MuonShape matrix_update(const OptimizerRecipe& recipe, int64_t rows, int64_t cols, bool decay) {
  MuonShape shape = recipe.muon;
  shape.rows = rows, shape.cols = cols;
  // The root mean square of an orthogonal matrix's elements is 1 / sqrt(its longer side).
  if (recipe.by_side) shape.adjustment *= std::sqrt(static_cast<double>(rows > cols ? rows : cols));
  if (!decay) shape.rule.weight_decay = 0;
  return shape;
}

}  // namespace fastcnn
