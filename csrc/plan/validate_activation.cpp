// SPDX-License-Identifier: Apache-2.0
#include "validate_activation.h"

#include <cmath>
#include <limits>

#include "validate.h"

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

PreluShape prelu_shape(const char* op, const int64_t* x, int rank, const int64_t* alpha) {
  PreluShape shape{};
  shape.n = x[0];
  shape.rows = shape.cols = shape.alphas = 1;
  // Neighbouring axes of a kind are one, from the last on; axes of size 1 are none.
  bool shared[kMaxRank] = {};
  int64_t size[kMaxRank], count = 0;
  for (int axis = rank - 1; axis > 0; --axis) {
    if (alpha[axis - 1] != 1 && alpha[axis - 1] != x[axis])
      fail(Code::kShape, "%s: alpha has shape %s, wanted that of a sample, %s, or 1 in place of some sizes",
           op, ShapeText(alpha, rank - 1).text, ShapeText(x + 1, rank - 1).text);
    if (x[axis] == 1) continue;
    const bool shares = alpha[axis - 1] == 1;
    if (count == 0 || shared[count - 1] != shares) {
      shared[count] = shares;
      size[count++] = 1;
    }
    size[count - 1] *= x[axis];
    if (!shares) shape.alphas *= x[axis];
  }
  if (count == 0) return shape;
  shape.cols = size[0];
  shape.shared = shared[0];
  int64_t stride = shape.shared ? 1 : shape.cols;
  for (int64_t i = 1; i < count; ++i) shape.rows *= size[i];
  // A single axis over the rows that shares its alphas says nothing: rank stays 0.
  if (count == 1 || (count == 2 && shared[1])) return shape;
  shape.rank = static_cast<int32_t>(count - 1);
  for (int64_t i = 1; i < count; ++i) {
    const int64_t axis = shape.rank - i;
    shape.size[axis] = size[i];
    shape.stride[axis] = shared[i] ? 0 : stride;
    if (!shared[i]) stride *= size[i];
  }
  return shape;
}

}  // namespace fastcnn
