// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <algorithm>

#include "network.h"

namespace fastcnn {

py::tuple one_or_several(py::handle value) {
  if (PyTuple_Check(value.ptr())) return py::reinterpret_borrow<py::tuple>(value);
  return py::make_tuple(value);
}

Mode mode_of(const char* op, py::handle mode) {
  return static_cast<Mode>(choice(op, "mode", mode, {"train", "evaluate", "predict"}));
}

namespace {

// A float64 array of rank 1; None is one without entries.
std::vector<double> real_numbers(const char* op, const char* argument, py::handle value) {
  if (value.is_none()) return {};
  const ArrayView v = host_view(op, argument, value);
  if (v.dtype != DType::kF64 || v.rank != 1 || !is_dense(v) || v.shape[0] == 0)
    fail(Code::kDType, "%s: %s has dtype %s and shape %s, wanted a contiguous float64 array of rank 1", op,
         argument, std::string(py::str(v.owner.attr("dtype"))).c_str(), ShapeText(v.shape, v.rank).text);
  const double* first = reinterpret_cast<const double*>(v.data);
  return std::vector<double>(first, first + v.shape[0]);
}

py::tuple tuple_of(const std::vector<int64_t>& shape) {
  py::list sizes;
  for (const int64_t each : shape) sizes.append(each);
  return py::tuple(sizes);
}

py::dict totals_dict(const Totals& totals) {
  return py::dict(py::arg("loss") = totals.loss, py::arg("correct") = totals.correct,
                  py::arg("samples") = totals.predictions);
}

std::vector<Totals> read_totals(py::handle value) {
  const char* op = "resume";
  std::vector<Totals> totals;
  for (const py::handle each : list_of(value, op, "totals")) {
    if (!PyDict_Check(each.ptr())) fail(Code::kDType, "resume: totals has an entry that is no dict");
    const py::dict from = py::reinterpret_borrow<py::dict>(each);
    totals.push_back({real_number(op, "loss", required(op, from, "loss")),
                      whole_number(op, "correct", required(op, from, "correct")),
                      whole_number(op, "samples", required(op, from, "samples"))});
  }
  return totals;
}

py::list totals_list(const std::vector<Totals>& totals) {
  py::list result;
  for (const Totals& each : totals) result.append(totals_dict(each));
  return result;
}

}  // namespace

PySession::PySession(const std::shared_ptr<Model>& model, const PySessionArguments& from) : model_(model) {
  const auto& [mode, x, y, out, batch_size, sample_weight, external, where] = from;
  SessionArguments args;
  args.updates = text("session", "mode", mode) != "gradients";
  args.mode = args.updates ? mode_of("session", mode) : Mode::kTrain;
  const std::string op = args.where = text("session", "where", where.is_none() ? mode : where);
  std::vector<ArrayView> x_views;
  for (const py::handle each : one_or_several(x)) {
    x_views.push_back(host_view(op.c_str(), "x", each));
    keep_.append(x_views.back().owner);
    args.x.push_back(source_of(x_views.back()));
  }
  if (args.mode != Mode::kPredict && !y.is_none()) {
    for (const py::handle each : one_or_several(y)) {
      const ArrayView y_view = host_view(op.c_str(), "y", each);
      keep_.append(y_view.owner);
      args.y.push_back(source_of(y_view));
    }
  }
  if (args.mode != Mode::kPredict && !sample_weight.is_none()) {
    for (const py::handle each : one_or_several(sample_weight)) {
      const ArrayView weight_view = host_view(op.c_str(), "sample_weight", each);
      keep_.append(weight_view.owner);
      args.weights.push_back(source_of(weight_view));
    }
  }
  args.batch_size = whole_number(op.c_str(), "batch_size", batch_size);
  const bool writes = args.mode == Mode::kPredict || !out.is_none();
  const py::tuple outs = writes ? one_or_several(out) : py::tuple();
  int64_t rows = 0;  // of `out`; of predict as many as samples
  if (writes && args.mode != Mode::kPredict && outs.size() > 0) {
    const ArrayView first = host_view(op.c_str(), "out", outs[0]);
    rows = first.rank > 0 ? first.shape[0] : 0;
    args.observed_batches = args.batch_size > 0 ? rows / args.batch_size : 0;
    if (args.observed_batches < 1)
      fail(Code::kShape, "%s: out has %lld rows, wanted room for a batch of %lld", op.c_str(),
           static_cast<long long>(rows), static_cast<long long>(args.batch_size));
  }
  {
    py::gil_scoped_release release;
    session_ = std::make_unique<Session>(model, args);
  }
  if (!external.is_none()) measure_by(external);
  if (!writes) return;
  if (args.mode == Mode::kPredict) rows = session_->samples();
  rows_ = rows;
  std::vector<const ArrayView*> inputs;
  for (const ArrayView& each : x_views) inputs.push_back(&each);
  write_to(op.c_str(), outs, rows, inputs);
}

int64_t PySession::run(py::handle order, py::handle begin, py::handle seconds, py::handle rates,
                       py::handle end) {
  Session::Run run{nullptr, whole_number("run", "begin", begin),
                   end.is_none() ? INT64_MAX : whole_number("run", "end", end),
                   real_number("run", "seconds", seconds), real_numbers("run", "rates", rates)};
  py::object keep;
  if (!order.is_none()) {
    const ArrayView v = host_view("run", "order", order);
    if (v.dtype != DType::kI64 || v.rank != 1 || !is_dense(v))
      fail(Code::kDType, "run: order has dtype %s and rank %d, wanted a contiguous int64 array of rank 1",
           std::string(py::str(v.owner.attr("dtype"))).c_str(), v.rank);
    if (v.shape[0] != session_->samples())
      fail(Code::kShape, "run: order has %lld entries, wanted %lld: one for each sample",
           static_cast<long long>(v.shape[0]), static_cast<long long>(session_->samples()));
    keep = v.owner;
    run.order = reinterpret_cast<const int64_t*>(v.data);
  }
  py::gil_scoped_release release;
  return session_->run(run);
}

void PySession::write_to(const char* op, const py::tuple& outs, int64_t rows, Inputs inputs) {
  const std::vector<int>& outputs = model_->graph().outputs;
  if (outs.size() != outputs.size())
    fail(Code::kArgument, "%s: out has %zu arrays, wanted %zu: one for each output", op, outs.size(),
         outputs.size());
  std::vector<float*> places;
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::vector<int64_t> shape = model_->graph().output(i).shape;
    shape.insert(shape.begin(), rows);
    Array array = output(op, outs[i], shape, inputs);
    places.push_back(static_cast<float*>(array.mutable_data()));
    keep_.append(array.object());
  }
  session_->write_to(places);
}

py::list PySession::mixed_shapes() const {
  py::list shapes;
  for (size_t i = 0; i < model_->graph().outputs.size(); ++i) {
    if (session_->mixes(i))
      shapes.append(tuple_of(session_->mixed_shape(i)));
    else
      shapes.append(py::none());
  }
  return shapes;
}

void PySession::write_mixed(py::handle mixed) {
  const py::list given = list_of(mixed, "write_mixed", "mixed");
  const size_t outputs = model_->graph().outputs.size();
  if (given.size() != outputs)
    fail(Code::kArgument, "write_mixed: mixed has %zu entries, wanted %zu: one for each output", given.size(),
         outputs);
  std::vector<float*> places(outputs);
  for (size_t i = 0; i < outputs; ++i) {
    if (!session_->mixes(i)) continue;
    std::vector<int64_t> shape = session_->mixed_shape(i);
    shape.insert(shape.begin(), rows_);
    if (py::reinterpret_borrow<py::object>(given[i]).is_none())
      fail(Code::kArgument, "write_mixed: mixed[%zu] is None, wanted an array", i);
    Array array = output("write_mixed", given[i], shape, {});
    places[i] = static_cast<float*>(array.mutable_data());
    keep_.append(array.object());
  }
  session_->write_mixed_to(places);
}

void PySession::measure_by(py::handle function) {
  keep_.append(function);
  session_->measure_by([this, function](size_t output, int64_t batch, const float* predictions,
                                        float* gradient, LossResult* result) {
    const py::gil_scoped_acquire acquire;
    measure(function, output, batch, predictions, gradient, result);
  });
}

// `function` (output, batch, predictions) -> (the batch's loss, its gradient).
void PySession::measure(py::handle function, size_t output, int64_t batch, const float* predictions,
                        float* gradient, LossResult* result) const {
  const Node& node = model_->graph().output(output);
  std::vector<int64_t> shape = node.shape;
  shape.insert(shape.begin(), session_->samples_of(batch));
  const int64_t count = shape[0] * node.count;
  py::array_t<float> seen(std::vector<py::ssize_t>(shape.begin(), shape.end()));
  std::copy(predictions, predictions + count, seen.mutable_data());
  const py::object answer = function(output, batch, seen);
  const py::list pair = list_of(answer, "loss", "the answer");
  if (pair.size() != 2)
    fail(Code::kArgument, "loss: %zu values came, wanted the loss and its gradient", pair.size());
  const double rows = static_cast<double>(count / node.shape.back());
  *result = {real_number("loss", "the loss", pair[0]) * rows, rows, 0};
  if (!gradient) return;
  const ArrayView g = host_view("loss", "the gradient", pair[1]);
  if (g.dtype != DType::kF32 || !is_dense(g) || std::vector<int64_t>(g.shape, g.shape + g.rank) != shape)
    fail(Code::kShape, "loss: the gradient has shape %s, wanted float32 of shape %s",
         ShapeText(g.shape, g.rank).text, ShapeText(shape.data(), static_cast<int>(shape.size())).text);
  std::copy_n(reinterpret_cast<const float*>(g.data), count, gradient);
}

void bind_session(py::module_& m) {
  py::class_<PySession>(m, "Session")
      .def("run", &PySession::run, py::arg("order"), py::arg("begin"), py::arg("seconds"),
           py::arg("rates") = py::none(), py::arg("end") = py::none())
      .def_property_readonly("batches", [](PySession& s) { return s.session().batches(); })
      .def_property_readonly("mixed_shapes", &PySession::mixed_shapes)
      .def("write_mixed", &PySession::write_mixed, py::arg("mixed"))
      .def("totals", [](PySession& s) { return totals_list(s.session().totals()); })
      .def("last", [](PySession& s) { return totals_list(s.session().last()); })
      .def_property_readonly("penalty", [](PySession& s) { return s.session().penalty(); })
      .def("reset", [](PySession& s) { s.session().reset(); })
      .def(
          "resume",
          [](PySession& s, py::handle totals, py::handle penalty) {
            s.session().resume(read_totals(totals), real_number("resume", "penalty", penalty));
          },
          py::arg("totals"), py::arg("penalty"));
}

}  // namespace fastcnn
