// SPDX-License-Identifier: Apache-2.0
#include "loss.h"

#include "array.h"

namespace fastcnn {
namespace {

constexpr double kEpsilon = 1e-7;

double number_or(const char* op, const py::dict& from, const char* key, double otherwise) {
  return from.contains(key) ? real_number(op, key, from[key]) : otherwise;
}

bool truth_or_false(const char* op, const py::dict& from, const char* key) {
  return from.contains(key) && truth(op, key, from[key]);
}

std::vector<float> class_numbers(const char* op, const char* argument, const py::object& value) {
  std::vector<float> result;
  for (const py::handle each : py::reinterpret_borrow<py::sequence>(value))
    result.push_back(static_cast<float>(real_number(op, argument, each)));
  if (result.empty()) fail(Code::kArgument, "%s: %s is empty, wanted a number for each class", op, argument);
  return result;
}

std::vector<int64_t> axes_of(const char* op, const py::object& value) {
  if (!is_sequence(value)) return {whole_number(op, "axis", value)};
  std::vector<int64_t> axes(py::len(value));
  whole_numbers(op, "axis", value, static_cast<int>(axes.size()), axes.data());
  if (axes.empty()) fail(Code::kArgument, "%s: axis is empty, wanted at least one axis", op);
  return axes;
}

void read_reduction(const char* op, const py::dict& from, LossOptions* options) {
  if (!from.contains("reduction")) return;
  const py::object value = from["reduction"];
  options->unreduced = value.is_none() || (py::isinstance<py::str>(value) && value.equal(py::str("none")));
  if (options->unreduced) return;
  const Reduction reductions[] = {Reduction::kSumOverBatchSize, Reduction::kSum, Reduction::kSumOverBatchSize,
                                  Reduction::kMeanWithSampleWeight};
  options->reduction = reductions[choice(
      op, "reduction", value, {"sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"})];
}

}  // namespace

LossOptions read_loss(const char* op, const py::dict& from) {
  if (!from.contains("name")) fail(Code::kArgument, "%s: 'name' is missing", op);
  LossOptions options;
  // In the order of Loss, and dice, which is Tversky's with other numbers.
  const int index =
      choice(op, "name", from["name"],
             {"sparse_categorical_crossentropy", "categorical_crossentropy", "mean_squared_error",
              "binary_crossentropy", "binary_focal_crossentropy", "categorical_focal_crossentropy",
              "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
              "huber", "log_cosh", "hinge", "squared_hinge", "categorical_hinge", "kl_divergence", "poisson",
              "cosine_similarity", "tversky", "dice"});
  const bool dice = index > static_cast<int>(Loss::kTversky);
  options.kind = dice ? Loss::kTversky : static_cast<Loss>(index);
  options.from_logits = truth_or_false(op, from, "from_logits");
  options.class_balancing = truth_or_false(op, from, "apply_class_balancing");
  options.label_smoothing = number_or(op, from, "label_smoothing", 0);
  read_reduction(op, from, &options);
  if (from.contains("ignore_class") && !from["ignore_class"].is_none()) {
    options.ignores = true;
    options.ignore_class = whole_number(op, "ignore_class", from["ignore_class"]);
  }
  if (options.kind == Loss::kHuber) {
    options.alpha = number_or(op, from, "delta", 1);
  } else if (options.kind == Loss::kTversky) {
    options.alpha = dice ? 0.5 : number_or(op, from, "alpha", 0.5);
    options.beta = dice ? 0.5 : number_or(op, from, "beta", 0.5);
    options.epsilon = dice ? kEpsilon / 2 : kEpsilon;
  } else {
    const bool each = options.kind == Loss::kCategoricalFocalCrossentropy && from.contains("alpha") &&
                      is_sequence(from["alpha"]);
    if (each) options.class_alpha = class_numbers(op, "alpha", from["alpha"]);
    options.alpha = each ? 1 : number_or(op, from, "alpha", 0.25);
    options.beta = number_or(op, from, "gamma", 2);
  }
  if (from.contains("axis") && !from["axis"].is_none()) options.axes = axes_of(op, from["axis"]);
  check_loss(op, options);
  return options;
}

}  // namespace fastcnn
