// SPDX-License-Identifier: Apache-2.0
// A loss on arrays: its value, the losses of the rows, or the gradient, by the step that trains networks.
#include "eager.h"
#include "gpu.h"
#include "loss.h"
#include "ops.h"

namespace fastcnn {
namespace {

// The numbers as dense memory of float32 or int32; float32 that is dense is used in place.
const void* numbers(const ArrayView& v, DType to, Array* keep) {
  if (v.dtype == DType::kF32 && to == DType::kF32 && v.rank > 0) return dense(v, keep);
  Source source = source_of(v);
  if (source.rank == 0) source.rank = 1, source.shape[0] = 1;
  const std::vector<int64_t> shape(source.shape, source.shape + source.rank);
  *keep = array_like(v, v.argument, shape, to);
  OpDescriptor op = make_op(Step::k_gather);
  op.gather = gather_of(source, source.shape[0], to);
  run(v, op, {{v.data, nullptr}, {keep->mutable_data()}});
  return keep->data();
}

// A copy with the axes of a row last, and one from there.
const void* moved(const ArrayView& like, const void* x, const std::vector<int64_t>& shape,
                  const MovedAxes& axes, Array* keep) {
  *keep = array_like(like, like.argument, moved_shape(shape, axes));
  OpDescriptor step = make_op(Step::k_copy);
  step.copy = moved_copy(shape, axes, Part::kRead);
  run(like, step, {{x}, {keep->mutable_data()}});
  return keep->data();
}
void move_back(const Array& x, const std::vector<int64_t>& shape, const MovedAxes& axes, Array* y,
               const ArrayView& like) {
  OpDescriptor step = make_op(Step::k_copy);
  step.copy = moved_copy(shape, axes, Part::kWrite);
  run(like, step, {{x.data()}, {y->mutable_data()}});
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
  // Labels are looked at before anything runs, wherever they are.
  const py::object seen = t.on_gpu && takes_labels(options) ? to_numpy(t) : t.owner;
  if (x.rank < 1) fail(Code::kShape, "%s: y_pred has rank 0, wanted at least 1", op);
  element_count(op, "y_pred", x.shape, x.rank);
  std::vector<int64_t> shape(x.shape, x.shape + x.rank);
  // As in Keras, [N] beside [N, 1] is a column.
  if (x.rank == 1 && t.rank == 2 && t.shape[1] == 1 && !takes_labels(options)) shape.push_back(1);
  check_loss_target(op, options, shape, source_of(seen.is(t.owner) ? t : view(op, "y_true", seen)));
  const MovedAxes axes = loss_axes(op, options, static_cast<int>(shape.size()));
  const std::vector<int64_t> rows = rows_of(shape, axes);

  OpDescriptor step = make_op(Step::k_loss);
  step.loss = loss_shape(op, options, shape);
  ArrayView w{};
  if (!sample_weight.is_none()) {
    w = view(op, "sample_weight", sample_weight);
    step.loss.rows_per_weight = rows_per_weight(op, rows, source_of(w));
  }
  const std::vector<const ArrayView*> inputs = {&x, &t, sample_weight.is_none() ? nullptr : &w};
  const bool moves = !axes.in_place();
  same_place(op, inputs);
  Array values, dx;
  if (wanted == Wanted::kRows) values = output(op, out, rows, inputs);
  if (wanted == Wanted::kGradient) dx = output(op, out, shape_of(x), inputs);

  Array keep_x, keep_t, keep_w, rows_of_x, rows_of_t, rows_of_dx;
  LossResult result{};
  Operands operands{};
  operands.in[0] = numbers(x, DType::kF32, &keep_x);
  operands.in[1] = numbers(t, takes_labels(options) ? DType::kI32 : DType::kF32, &keep_t);
  if (moves) operands.in[0] = moved(x, operands.in[0], shape, axes, &rows_of_x);
  if (moves && !takes_labels(options)) operands.in[1] = moved(t, operands.in[1], shape, axes, &rows_of_t);
  if (!sample_weight.is_none()) operands.in[2] = numbers(w, DType::kF32, &keep_w);
  if (step.loss.class_alpha) operands.in[3] = options.class_alpha.data();
  Array alpha, of_batch;  // a GPU reads and writes its own memory
  if (step.loss.class_alpha && x.on_gpu) {
    alpha = array_like(x, "alpha", {step.loss.cols});
    gpu_copy(alpha.mutable_data(), options.class_alpha.data(), options.class_alpha.size() * sizeof(float));
    operands.in[3] = alpha.data();
  }
  if (x.on_gpu) of_batch = array_like(x, "the loss", {sizeof result / sizeof(float)});
  operands.out[1] = x.on_gpu ? of_batch.mutable_data() : &result;
  if (wanted == Wanted::kGradient) {
    if (moves) rows_of_dx = array_like(x, "the gradient of rows", moved_shape(shape, axes));
    operands.out[0] = (moves ? rows_of_dx : dx).mutable_data();
  }
  if (wanted == Wanted::kRows) operands.out[2] = values.mutable_data();
  run(x, step, operands);
  if (wanted == Wanted::kRows) return values.object();
  if (wanted == Wanted::kGradient) {
    if (moves) move_back(rows_of_dx, shape, axes, &dx, x);
    return dx.object();
  }
  if (x.on_gpu) gpu_copy(&result, of_batch.data(), sizeof result);
  return py::float_(result.divisor ? result.loss / result.divisor : 0.0);
}

}  // namespace

void bind_loss_ops(py::module_& m) {
  m.def("loss", &loss, py::arg("loss"), py::arg("y_true"), py::arg("y_pred"), py::arg("sample_weight"),
        py::arg("wanted"), py::arg("out"));
}

}  // namespace fastcnn
