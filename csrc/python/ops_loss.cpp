// SPDX-License-Identifier: Apache-2.0
// A loss on arrays: its value, the losses of the rows, or the gradient, by the step that trains networks.
#include "eager.h"
#include "loss.h"
#include "ops.h"

namespace fastcnn {
namespace {

// The numbers as dense memory of float32 or int32; float32 that is dense is used in place.
const void* numbers(const ArrayView& v, DType to, py::array* keep) {
  if (v.dtype == DType::kF32 && to == DType::kF32 && v.rank > 0) return dense(v, keep);
  Source source = source_of(v);
  if (source.rank == 0) source.rank = 1, source.shape[0] = 1;
  const std::vector<int64_t> shape(source.shape, source.shape + source.rank);
  if (to == DType::kF32)
    *keep = output(v.op, py::none(), shape, {});
  else
    *keep = py::array_t<int32_t>(shape);
  OpDescriptor op = make_op(Step::k_gather);
  op.gather = gather_of(source, source.shape[0], to);
  run(op, {{v.data, nullptr}, {keep->mutable_data()}});
  return keep->data();
}

// A copy with the axes of a row last, and one from there.
const void* moved(const char* op, const void* x, const std::vector<int64_t>& shape, const MovedAxes& axes,
                  py::array* keep) {
  *keep = output(op, py::none(), moved_shape(shape, axes), {});
  OpDescriptor step = make_op(Step::k_copy);
  step.copy = moved_copy(shape, axes, Part::kRead);
  run(step, {{x}, {keep->mutable_data()}});
  return keep->data();
}
void moved_back(const void* x, const std::vector<int64_t>& shape, const MovedAxes& axes, void* y) {
  OpDescriptor step = make_op(Step::k_copy);
  step.copy = moved_copy(shape, axes, Part::kWrite);
  run(step, {{x}, {y}});
}

enum class Wanted { kValue, kRows, kGradient };

py::object loss(const py::dict& description, py::handle y_true, py::handle y_pred, py::handle sample_weight,
                py::handle wanted_name, py::handle out) {
  const std::string name = description.contains("name") ? text("loss", "name", description["name"]) : "loss";
  const char* op = name.c_str();
  const LossOptions options = read_loss(op, description);
  auto wanted = static_cast<Wanted>(choice(op, "wanted", wanted_name, {"value", "rows", "gradient"}));
  // Dice and Tversky over everything have no rows: their one loss stands for all.
  if (wanted == Wanted::kRows && options.kind == Loss::kTversky && options.axes.empty())
    wanted = Wanted::kValue;

  const ArrayView x = view(op, "y_pred", y_pred), t = view(op, "y_true", y_true);
  if (x.rank < 1) fail(Code::kShape, "%s: y_pred has rank 0, wanted at least 1", op);
  element_count(op, "y_pred", x.shape, x.rank);
  std::vector<int64_t> shape = shape_of(x);
  // As in Keras, [N] beside [N, 1] is a column.
  if (x.rank == 1 && t.rank == 2 && t.shape[1] == 1 && !takes_labels(options)) shape.push_back(1);
  check_loss_target(op, options, shape, source_of(t));
  const MovedAxes axes = loss_axes(op, options, static_cast<int>(shape.size()));
  const std::vector<int64_t> rows = rows_of(shape, axes);

  OpDescriptor step = make_op(Step::k_loss);
  step.loss = loss_shape(op, options, shape);
  ArrayView w{};
  if (!sample_weight.is_none()) {
    w = view(op, "sample_weight", sample_weight);
    step.loss.rows_per_weight = rows_per_weight(op, rows, source_of(w));
  }
  const Inputs inputs = {&x, &t, sample_weight.is_none() ? nullptr : &w};
  const bool moves = !axes.in_place();
  py::array values, dx;
  if (wanted == Wanted::kRows) values = output(op, out, rows, inputs);
  if (wanted == Wanted::kGradient) dx = output(op, out, shape_of(x), inputs);

  py::array keep_x, keep_t, keep_w, rows_of_x, rows_of_t, rows_of_dx;
  LossResult result{};
  Operands operands{};
  operands.in[0] = numbers(x, DType::kF32, &keep_x);
  operands.in[1] = numbers(t, takes_labels(options) ? DType::kI32 : DType::kF32, &keep_t);
  if (moves) operands.in[0] = moved(op, operands.in[0], shape, axes, &rows_of_x);
  if (moves && !takes_labels(options)) operands.in[1] = moved(op, operands.in[1], shape, axes, &rows_of_t);
  if (!sample_weight.is_none()) operands.in[2] = numbers(w, DType::kF32, &keep_w);
  if (step.loss.class_alpha) operands.in[3] = options.class_alpha.data();
  operands.out[1] = &result;
  if (wanted == Wanted::kGradient) {
    if (moves) rows_of_dx = output(op, py::none(), moved_shape(shape, axes), {});
    operands.out[0] = (moves ? rows_of_dx : dx).mutable_data();
  }
  if (wanted == Wanted::kRows) operands.out[2] = values.mutable_data();
  run(step, operands);
  if (wanted == Wanted::kValue) return py::float_(result.divisor ? result.loss / result.divisor : 0.0);
  if (wanted == Wanted::kRows) return std::move(values);
  if (moves) moved_back(rows_of_dx.data(), shape, axes, dx.mutable_data());
  return std::move(dx);
}

}  // namespace

void bind_loss_ops(py::module_& m) {
  m.def("loss", &loss, py::arg("loss"), py::arg("y_true"), py::arg("y_pred"), py::arg("sample_weight"),
        py::arg("wanted"), py::arg("out"));
}

}  // namespace fastcnn
