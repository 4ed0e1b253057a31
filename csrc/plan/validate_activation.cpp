// SPDX-License-Identifier: Apache-2.0
#include "validate_activation.h"

#include <cmath>
#include <limits>

namespace fastcnn {
namespace {

constexpr ActivationInfo kActivations[] = {{"linear", "linear_bwd", Saves::kNothing},
#define FASTCNN_ACTIVATION(name, forward, saves) {#name, #name "_bwd", Saves::saves},
                                           FASTCNN_ACTIVATIONS(FASTCNN_ACTIVATION)
#undef FASTCNN_ACTIVATION
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();  // no default

// wanted: "a number of 0 or more".
struct Rule {
  const char *name, *wanted;
  double least;
  bool above;     // least itself is refused
  bool infinite;  // infinity is allowed
  double usual;
};

struct Rules {
  Activation activation;
  int parameters;
  Rule of[3];
};

constexpr const char *kAny = "a number finite in float32", *kFromZero = "a finite number of 0 or more",
                     *kAboveZero = "a finite number above 0 in float32",
                     *kFromZeroOrNone = "a number of 0 or more, or None";

// A negative slope (or alpha) would hide the sign of x, which the gradient reads off y.
constexpr Rules kRules[] = {
    {Activation::k_leaky_relu, 1, {{"negative_slope", kFromZero, 0, false, false, 0.2}}},
    {Activation::k_general_relu,
     3,
     {{"negative_slope", kFromZero, 0, false, false, 0},
      {"max_value", kFromZeroOrNone, 0, false, true, kInfinity},
      {"threshold", kFromZero, 0, false, false, 0}}},
    {Activation::k_elu, 1, {{"alpha", kFromZero, 0, false, false, 1}}},
    {Activation::k_celu, 1, {{"alpha", kAboveZero, 0, true, false, 1}}},
    {Activation::k_hard_shrink, 1, {{"threshold", kFromZero, 0, false, false, 0.5}}},
    {Activation::k_soft_shrink, 1, {{"threshold", kFromZero, 0, false, false, 0.5}}},
    {Activation::k_threshold,
     2,
     {{"threshold", kAny, -kInfinity, true, false, kNone},
      {"default_value", kAny, -kInfinity, true, false, kNone}}},
    {Activation::k_squareplus, 1, {{"b", kAboveZero, 0, true, false, 4}}},
};

constexpr Rules kNoRules{};

const Rules& rules_of(Activation activation) {
  for (const Rules& rules : kRules)
    if (rules.activation == activation) return rules;
  return kNoRules;
}

float checked(const char* op, const Rule& rule, double value) {
  const float single = static_cast<float>(value);
  const bool large_enough = rule.above ? single > rule.least : single >= rule.least;
  if (!large_enough || (std::isinf(single) && !(rule.infinite && std::isinf(value))))
    fail(Code::kArgument, "%s: %s is %g, wanted %s", op, rule.name, value, rule.wanted);
  return single;
}

}  // namespace

const ActivationInfo& info(Activation activation) { return kActivations[static_cast<int>(activation)]; }

int parameters_of(Activation activation) { return rules_of(activation).parameters; }
const char* parameter_name(Activation activation, int i) { return rules_of(activation).of[i].name; }

FlatShape activation_shape(const char* op, Activation activation, int64_t count, const double* parameters) {
  FlatShape shape{};
  shape.count = count;
  shape.activation = activation;
  float* const to[3] = {&shape.alpha, &shape.beta, &shape.gamma};
  const Rules& rules = rules_of(activation);
  for (int i = 0; i < rules.parameters; ++i) *to[i] = checked(op, rules.of[i], parameters[i]);
  return shape;
}

bool has_defaults(Activation activation) {
  const Rules& rules = rules_of(activation);
  for (int i = 0; i < rules.parameters; ++i)
    if (std::isnan(rules.of[i].usual)) return false;
  return true;
}

FlatShape activation_shape(Activation activation, int64_t count) {
  double usual[3] = {};
  const Rules& rules = rules_of(activation);
  for (int i = 0; i < rules.parameters; ++i) usual[i] = rules.of[i].usual;
  return activation_shape(info(activation).name, activation, count, usual);
}

}  // namespace fastcnn
