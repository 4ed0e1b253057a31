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

enum class Wanted { kValue, kRows, kGradient };

py::object loss(const py::dict& description, py::handle y_true, py::handle y_pred, py::handle sample_weight,
                py::handle wanted_name, py::handle out) {
  const std::string name = description.contains("name") ? text("loss", "name", description["name"]) : "loss";
  const char* op = name.c_str();
  const LossOptions options = read_loss(op, description);
  auto wanted = static_cast<Wanted>(choice(op, "wanted", wanted_name, {"value", "rows", "gradient"}));
  // Dice and Tversky have no rows: their one loss stands for all.
  if (wanted == Wanted::kRows && options.kind == Loss::kTversky) wanted = Wanted::kValue;

  const ArrayView x = view(op, "y_pred", y_pred), t = view(op, "y_true", y_true);
  if (x.rank < 1) fail(Code::kShape, "%s: y_pred has rank 0, wanted at least 1", op);
  const int64_t count = element_count(op, "y_pred", x.shape, x.rank);
  std::vector<int64_t> shape = shape_of(x);
  // As in Keras, [N] beside [N, 1] is a column.
  if (x.rank == 1 && t.rank == 2 && t.shape[1] == 1 && !takes_labels(options)) shape.push_back(1);
  check_loss_target(op, options, shape, source_of(t));
  const std::vector<int64_t> rows(shape.begin(), shape.end() - 1);

  OpDescriptor step = make_op(Step::k_loss);
  step.loss = loss_shape(options, count / shape.back(), shape.back());
  ArrayView w{};
  if (!sample_weight.is_none()) {
    w = view(op, "sample_weight", sample_weight);
    step.loss.rows_per_weight = rows_per_weight(op, rows, source_of(w));
  }
  py::array result_array;
  if (wanted != Wanted::kValue)
    result_array = output(op, out, wanted == Wanted::kRows ? rows : shape_of(x),
                          {&x, &t, sample_weight.is_none() ? nullptr : &w});

  py::array keep_x, keep_t, keep_w;
  LossResult result{};
  Operands operands{};
  operands.in[0] = numbers(x, DType::kF32, &keep_x);
  operands.in[1] = numbers(t, takes_labels(options) ? DType::kI32 : DType::kF32, &keep_t);
  if (!sample_weight.is_none()) operands.in[2] = numbers(w, DType::kF32, &keep_w);
  operands.out[1] = &result;
  if (wanted == Wanted::kGradient) operands.out[0] = result_array.mutable_data();
  if (wanted == Wanted::kRows) operands.out[2] = result_array.mutable_data();
  run(step, operands);
  if (wanted != Wanted::kValue) return std::move(result_array);
  return py::float_(result.divisor ? result.loss / result.divisor : 0.0);
}

}  // namespace

void bind_loss_ops(py::module_& m) {
  m.def("loss", &loss, py::arg("loss"), py::arg("y_true"), py::arg("y_pred"), py::arg("sample_weight"),
        py::arg("wanted"), py::arg("out"));
}

}  // namespace fastcnn
