// SPDX-License-Identifier: Apache-2.0
// Updates of arrays, in place: what optimizers do outside of a model.
#include "eager.h"
#include "network.h"
#include "ops.h"
#include "optimizer.h"

namespace fastcnn {
namespace {

// An array that is written: float32, dense, apart from those named before it.
float* written(const char* op, const char* argument, py::handle value, const ArrayView& like) {
  const ArrayView v = float_view(op, argument, value, like.rank);
  if (!std::equal(v.shape, v.shape + v.rank, like.shape))
    fail(Code::kShape, "%s: %s has shape %s, wanted %s as %s", op, argument, ShapeText(v.shape, v.rank).text,
         ShapeText(like.shape, like.rank).text, like.argument);
  const std::string label = std::string(op) + ": " + argument;
  return static_cast<float*>(output(label.c_str(), value, shape_of(v), {&like}).mutable_data());
}

RunScalars scalars_of(const char* op, py::handle step, double learning_rate) {
  const int64_t number = whole_number(op, "step", step);
  if (number < 0) fail(Code::kArgument, "%s: step is %lld, wanted at least 0", op, (long long)number);
  RunScalars scalars{};
  scalars.step = static_cast<uint64_t>(number);
  scalars.learning_rate = static_cast<float>(learning_rate);
  return scalars;
}

struct Variable {
  py::handle parameters, gradient, slots, decay, matrix;
};

// Proven; `keep` holds what the step reads.
ViewedStep update_of(const OptimizerRecipe& recipe, const Variable& from, Array* keep) {
  const char* op = "optimizer";
  const bool decay = truth(op, "decay", from.decay);
  const ArrayView g = float_view(op, "gradient", from.gradient, kAnyRank);
  const int64_t count = element_count(op, "gradient", g.shape, g.rank);
  const py::list slots = list_of(from.slots, op, "slots");
  if (slots.size() != static_cast<size_t>(recipe.slots()))
    fail(Code::kArgument, "%s: slots has %zu arrays, wanted %d", op, slots.size(), recipe.slots());
  Operands operands{};
  operands.out[0] = written(op, "parameters", from.parameters, g);
  for (size_t i = 0; i < slots.size(); ++i) operands.out[1 + i] = written(op, "a slot", slots[i], g);
  OpDescriptor step = make_op(Step::k_optimizer);
  step.optimizer = range_update(recipe, count, decay);
  if (!from.matrix.is_none()) {
    int64_t sides[2];
    whole_numbers(op, "matrix", from.matrix, 2, sides);
    if (!recipe.is_muon || element_count(op, "matrix", sides, 2) != count)
      fail(Code::kShape, "%s: matrix is %s, wanted None or, of muon, the %lld elements of the gradient", op,
           ShapeText(sides, 2).text, static_cast<long long>(count));
    step = make_op(Step::k_muon);
    step.muon = matrix_update(recipe, sides[0], sides[1], decay);
    operands.out[2] = step.muon.rule.use_ema ? operands.out[1 + recipe.average()] : nullptr;
  }
  operands.in[0] = dense(g, keep);
  return {g, step, operands};
}

// The description is read once: its thirty names took longer than the update of a small variable. All is
// proven before the first is written, and then one parallel region has them all: one for each variable, of
// eight with 131072 numbers, took 1.4 times as long.
void optimizer_step(const py::dict& description, const py::list& variables, py::handle step,
                    py::handle learning_rate) {
  const char* op = "optimizer";
  const OptimizerRecipe recipe = read_optimizer(description);
  const double rate = real_number(op, "learning_rate", learning_rate);
  check_learning_rate(rate);
  const RunScalars scalars = scalars_of(op, step, rate);
  std::vector<ViewedStep> steps;
  steps.reserve(variables.size());
  std::vector<Array> kept(variables.size());
  for (const py::handle each : variables) {
    const py::list of = list_of(each, op, "a variable");
    if (of.size() != 5) fail(Code::kArgument, "%s: a variable has %zu parts, wanted 5", op, of.size());
    steps.push_back(update_of(recipe, {of[0], of[1], of[2], of[3], of[4]}, &kept[steps.size()]));
  }
  run(steps, &scalars);
}

void clip_norm(py::handle gradient, py::handle limit) {
  const char* op = "clip_norm";
  const ArrayView g = float_view(op, "gradient", gradient, kAnyRank);
  OpDescriptor step = make_op(Step::k_clip_norm);
  const double most = real_number(op, "limit", limit);
  if (!(most > 0)) fail(Code::kArgument, "%s: limit is %g, wanted a number above 0", op, most);
  step.clip_norm = {element_count(op, "gradient", g.shape, g.rank), most, 1};
  float* data = static_cast<float*>(output(op, gradient, shape_of(g), {}).mutable_data());
  const RunScalars scalars{};
  run(g, step, {{}, {data}}, &scalars);
}

void accumulate(py::handle gradient, py::handle sum, py::handle steps, py::handle step_number) {
  const char* op = "accumulate";
  const ArrayView g = float_view(op, "gradient", gradient, kAnyRank);
  const int64_t count = whole_number(op, "steps", steps);
  if (count < 1 || count > INT32_MAX)
    fail(Code::kArgument, "%s: steps is %lld, wanted 1 to 2**31 - 1", op, static_cast<long long>(count));
  const RunScalars scalars = scalars_of(op, step_number, 0);
  OpDescriptor step = make_op(Step::k_accumulate);
  step.accumulate = {element_count(op, "gradient", g.shape, g.rank), static_cast<int32_t>(count)};
  float* to = written(op, "sum", sum, g);
  float* data = static_cast<float*>(output(op, gradient, shape_of(g), {}).mutable_data());
  run(g, step, {{}, {data, to}}, &scalars);
}

// The value that each slot begins with.
py::list optimizer_slots(const py::dict& description) {
  const OptimizerRecipe recipe = read_optimizer(description);
  py::list values;
  for (int i = 0; i < recipe.slots(); ++i) values.append(recipe.initial_value(i));
  return values;
}

}  // namespace

void bind_optimizer_ops(py::module_& m) {
  m.def("optimizer_slots", &optimizer_slots, py::arg("description"));
  m.def("optimizer_step", &optimizer_step, py::arg("description"), py::arg("variables"), py::arg("step"),
        py::arg("learning_rate"));
  m.def("clip_norm", &clip_norm, py::arg("gradient"), py::arg("limit"));
  m.def("accumulate", &accumulate, py::arg("gradient"), py::arg("sum"), py::arg("steps"), py::arg("step"));
}

}  // namespace fastcnn
