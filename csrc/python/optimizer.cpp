// SPDX-License-Identifier: Apache-2.0
#include "optimizer.h"

#include "network.h"

namespace fastcnn {
namespace {

// One description; names of keys are Keras's.
class Description {
 public:
  explicit Description(const py::dict& dict) : dict_(dict) {}

  double real(const char* key) const { return real_number("optimizer", key, get(key)); }
  float single(const char* key) const { return static_cast<float>(real(key)); }
  int32_t flag(const char* key) const { return truth("optimizer", key, get(key)); }
  int choose(const char* key, std::initializer_list<const char*> names) const {
    return choice("optimizer", key, get(key), names);
  }
  int32_t whole(const char* key) const {
    const int64_t value = whole_number("optimizer", key, get(key));
    if (value < 0 || value > INT32_MAX)
      fail(Code::kArgument, "optimizer: %s is %lld, wanted 0 to 2**31 - 1", key,
           static_cast<long long>(value));
    return static_cast<int32_t>(value);
  }
  // Whether the key is there and not None.
  bool has(const char* key) const { return dict_.contains(key) && !get(key).is_none(); }
  double real_or(const char* key, double otherwise) const { return has(key) ? real(key) : otherwise; }
  int32_t whole_or(const char* key, int32_t otherwise) const { return has(key) ? whole(key) : otherwise; }

 private:
  py::object get(const char* key) const { return required("optimizer", dict_, key); }

  const py::dict& dict_;
};

void read_rule(const Description& from, OptimizerRecipe* recipe) {
  UpdateRule& rule = recipe->shape.rule;
  recipe->weight_decay = from.real_or("weight_decay", 0);
  rule.clip_value = static_cast<float>(from.real_or("clipvalue", 0));
  recipe->clip_norm = from.real_or("clipnorm", 0);
  recipe->global_clip_norm = from.real_or("global_clipnorm", 0);
  rule.use_ema = from.has("use_ema") && from.flag("use_ema");
  rule.ema_momentum = from.real_or("ema_momentum", 0);
  rule.ema_overwrite = from.whole_or("ema_overwrite_frequency", 0);
  rule.accumulation = from.whole_or("gradient_accumulation_steps", 0);
}

void read_betas(const Description& from, const char* beta_1, const char* beta_2, OptimizerShape* shape) {
  shape->beta_1 = from.real(beta_1);
  shape->beta_2 = from.real(beta_2);
}

void read_muon(const Description& from, OptimizerRecipe* recipe) {
  MuonShape& muon = recipe->muon;
  recipe->is_muon = true;
  muon.momentum = from.single("momentum");
  muon.nesterov = from.flag("nesterov");
  muon.iterations = from.whole("ns_steps");
  muon.a = from.single("muon_a"), muon.b = from.single("muon_b"), muon.c = from.single("muon_c");
  recipe->by_side = from.has("rms_rate");
  muon.adjustment = from.real_or("rms_rate", 1);
  OptimizerShape& adam = recipe->shape;
  adam.optimizer = Optimizer::kAdam;
  read_betas(from, "adam_beta_1", "adam_beta_2", &adam);
  adam.epsilon = from.single("epsilon");
  adam.rate_ratio = from.real("adam_lr_ratio");
  recipe->adam_weight_decay = from.real_or("adam_weight_decay", 0);
}

void read_ftrl(const Description& from, OptimizerRecipe* recipe) {
  OptimizerShape& shape = recipe->shape;
  recipe->initial_accumulator = from.real("initial_accumulator_value");
  shape.power = from.real("learning_rate_power");
  shape.l1 = from.real("l1_regularization_strength");
  shape.l2 = from.real("l2_regularization_strength");
  shape.shrinkage = from.real("l2_shrinkage_regularization_strength");
  shape.beta = from.real("beta");
}

void read_formula(const Description& from, OptimizerRecipe* recipe) {
  OptimizerShape& shape = recipe->shape;
  const auto read_epsilon = [&] { shape.epsilon = from.single("epsilon"); };
  switch (shape.optimizer) {
    case Optimizer::kSgd:
      shape.momentum = from.single("momentum");
      shape.nesterov = from.flag("nesterov");
      return;
    case Optimizer::kAdam:
      shape.amsgrad = from.has("amsgrad") && from.flag("amsgrad");
      [[fallthrough]];
    case Optimizer::kAdamax:
    case Optimizer::kNadam:
      read_betas(from, "beta_1", "beta_2", &shape);
      return read_epsilon();
    case Optimizer::kLion:
      return read_betas(from, "beta_1", "beta_2", &shape);
    case Optimizer::kRmsprop:
      shape.momentum = from.single("momentum");
      shape.centered = from.flag("centered");
      [[fallthrough]];
    case Optimizer::kAdadelta:
      shape.beta_2 = from.real("rho");
      return read_epsilon();
    case Optimizer::kAdagrad:
      recipe->initial_accumulator = from.real("initial_accumulator_value");
      return read_epsilon();
    case Optimizer::kFtrl:
      return read_ftrl(from, recipe);
  }
}

}  // namespace

OptimizerRecipe read_optimizer(const py::dict& dict) {
  const Description from(dict);
  OptimizerRecipe recipe;
  constexpr int kMuon = 9;
  const int kind = from.choose(
      "name", {"sgd", "adam", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "lion", "ftrl", "muon"});
  read_rule(from, &recipe);
  if (kind == kMuon) {
    read_muon(from, &recipe);
  } else {
    recipe.shape.optimizer = static_cast<Optimizer>(kind);
    read_formula(from, &recipe);
  }
  settle(&recipe);
  return recipe;
}

void read_parameter_rules(const py::dict& from, const Graph& graph, OptimizerRecipe* recipe) {
  const char* op = "optimizer";
  const std::vector<Parameter>& parameters = graph.parameters;
  const auto number = [&](const char* argument, int64_t value) {
    if (value < 0 || value >= static_cast<int64_t>(parameters.size()))
      fail(Code::kArgument, "%s: %s names parameter %lld, wanted 0 to %zu", op, argument,
           static_cast<long long>(value), parameters.size() - 1);
    return static_cast<size_t>(value);
  };
  if (from.contains("no_decay")) {
    recipe->decays.assign(parameters.size(), true);
    for (const py::handle each : list_of(from["no_decay"], op, "no_decay"))
      recipe->decays[number("no_decay", whole_number(op, "no_decay", each))] = false;
  }
  if (!from.contains("matrices")) return;
  if (!recipe->is_muon) fail(Code::kArgument, "%s: matrices came, wanted them of muon alone", op);
  recipe->matrices.assign(parameters.size(), {0, 0});
  for (const py::handle each : list_of(from["matrices"], op, "matrices")) {
    int64_t entry[3];
    whole_numbers(op, "matrices", each, 3, entry);
    const Parameter& p = parameters[number("matrices", entry[0])];
    if (element_count(op, "matrices", entry + 1, 2) != p.count)
      fail(Code::kShape, "%s: matrices has %s for '%s', wanted its %lld elements", op,
           ShapeText(entry + 1, 2).text, p.name.c_str(), static_cast<long long>(p.count));
    recipe->matrices[static_cast<size_t>(entry[0])] = {entry[1], entry[2]};
  }
}

}  // namespace fastcnn
