// SPDX-License-Identifier: Apache-2.0
// From the dictionaries and arrays of Python to plan/: what a network, an optimizer, a loss and a data set
// look like there. Types are checked here, values in plan/.
#include "model.h"

#include <pybind11/stl.h>

#include <map>
#include <set>

#include "../cpu/cpu.h"
#include "../plan/session.h"
#include "array.h"
#include "loss.h"
#include "network.h"
#include "optimizer.h"

namespace fastcnn {
namespace {

void read_accuracy(const py::handle& accuracy, Objective* objective) {
  if (accuracy.is_none()) return;
  const int i = choice("compile", "accuracy", accuracy, {"sparse", "categorical", "binary", "auto"});
  const Accuracy kinds[] = {Accuracy::kSparse, Accuracy::kCategorical, Accuracy::kBinary, Accuracy::kNone};
  objective->accuracy = kinds[i];
  objective->accuracy_by_shape = i == 3;
}

// A loss is a dict of "name" and its parameters; None for an output that has none.
Objective read_objective(py::handle loss, py::handle accuracy) {
  Objective objective;
  objective.present = !loss.is_none();
  if (!objective.present) return objective;
  if (!PyDict_Check(loss.ptr()))
    fail(Code::kDType, "compile: loss is a %s, wanted a dict", type_name(loss).c_str());
  const py::dict from = py::reinterpret_borrow<py::dict>(loss);
  objective.loss = read_loss("loss", from);
  if (from.contains("weight"))
    objective.weight = static_cast<float>(real_number("loss", "weight", from["weight"]));
  read_accuracy(accuracy, &objective);
  return objective;
}

// One value, or a tuple of them: of a model with several inputs or outputs.
py::tuple one_or_several(py::handle value) {
  if (PyTuple_Check(value.ptr())) return py::reinterpret_borrow<py::tuple>(value);
  return py::make_tuple(value);
}

py::tuple to_tuple(const std::vector<int64_t>& values) { return py::tuple(py::cast(values)); }

Mode mode_of(const char* op, py::handle mode) {
  return static_cast<Mode>(choice(op, "mode", mode, {"train", "evaluate", "predict"}));
}

// A float64 array of rank 1; None is one without entries.
std::vector<double> real_numbers(const char* op, const char* argument, py::handle value) {
  if (value.is_none()) return {};
  const ArrayView v = view(op, argument, value);
  if (v.dtype != DType::kF64 || v.rank != 1 || !(v.owner.flags() & py::array::c_style) || v.shape[0] == 0)
    fail(Code::kDType, "%s: %s has dtype %s and shape %s, wanted a contiguous float64 array of rank 1", op,
         argument, std::string(py::str(v.owner.dtype())).c_str(), ShapeText(v.shape, v.rank).text);
  const double* first = reinterpret_cast<const double*>(v.data);
  return std::vector<double>(first, first + v.shape[0]);
}

// The session and the arrays it reads and writes.
class PySession {
 public:
  PySession(const std::shared_ptr<Model>& model, py::handle mode, py::handle x, py::handle y, py::handle out,
            py::handle batch_size, py::handle sample_weight) {
    SessionArguments args;
    args.mode = mode_of("session", mode);
    const std::string op = text("session", "mode", mode);
    std::vector<ArrayView> x_views;
    for (const py::handle each : one_or_several(x)) {
      x_views.push_back(view(op.c_str(), "x", each));
      keep_.append(x_views.back().owner);
      args.x.push_back(source_of(x_views.back()));
    }
    if (args.mode != Mode::kPredict && !y.is_none()) {
      for (const py::handle each : one_or_several(y)) {
        const ArrayView y_view = view(op.c_str(), "y", each);
        keep_.append(y_view.owner);
        args.y.push_back(source_of(y_view));
      }
    }
    if (args.mode != Mode::kPredict && !sample_weight.is_none()) {
      for (const py::handle each : one_or_several(sample_weight)) {
        const ArrayView weight_view = view(op.c_str(), "sample_weight", each);
        keep_.append(weight_view.owner);
        args.weights.push_back(source_of(weight_view));
      }
    }
    args.batch_size = whole_number(op.c_str(), "batch_size", batch_size);
    {
      py::gil_scoped_release release;
      session_ = std::make_unique<Session>(model, args);
    }
    if (args.mode != Mode::kPredict) return;
    std::vector<const ArrayView*> inputs;
    for (const ArrayView& each : x_views) inputs.push_back(&each);
    const py::tuple outs = one_or_several(out);
    const std::vector<int>& outputs = model->graph().outputs;
    if (outs.size() != outputs.size())
      fail(Code::kArgument, "%s: out has %zu arrays, wanted %zu: one for each output", op.c_str(),
           outs.size(), outputs.size());
    std::vector<float*> places;
    for (size_t i = 0; i < outputs.size(); ++i) {
      std::vector<int64_t> shape = model->graph().output(i).shape;
      shape.insert(shape.begin(), session_->samples());
      py::array array = output(op.c_str(), outs[i], shape, inputs);
      places.push_back(static_cast<float*>(array.mutable_data()));
      keep_.append(array);
    }
    session_->write_to(places);
  }

  int64_t run(py::handle order, py::handle begin, py::handle seconds, py::handle rates) {
    Session::Run run{nullptr, whole_number("run", "begin", begin), real_number("run", "seconds", seconds),
                     real_numbers("run", "rates", rates)};
    py::object keep;
    if (!order.is_none()) {
      const ArrayView v = view("run", "order", order);
      if (v.dtype != DType::kI64 || v.rank != 1 || !(v.owner.flags() & py::array::c_style))
        fail(Code::kDType, "run: order has dtype %s and rank %d, wanted a contiguous int64 array of rank 1",
             std::string(py::str(v.owner.dtype())).c_str(), v.rank);
      if (v.shape[0] != session_->samples())
        fail(Code::kShape, "run: order has %lld entries, wanted %lld: one for each sample",
             static_cast<long long>(v.shape[0]), static_cast<long long>(session_->samples()));
      keep = v.owner;
      run.order = reinterpret_cast<const int64_t*>(v.data);
    }
    py::gil_scoped_release release;
    return session_->run(run);
  }

  Session& session() { return *session_; }

 private:
  py::list keep_;
  std::unique_ptr<Session> session_;
};

py::dict totals_dict(const Totals& totals) {
  return py::dict(py::arg("loss") = totals.loss, py::arg("correct") = totals.correct,
                  py::arg("samples") = totals.predictions);
}

py::list totals_list(const std::vector<Totals>& totals) {
  py::list result;
  for (const Totals& each : totals) result.append(totals_dict(each));
  return result;
}

// Copies of some arrays of the state, and the numbers of the same moment.
struct Getter {
  Model& model;
  std::vector<StateTensor> tensors;
  std::vector<py::array_t<float>> arrays;
  Scalars scalars;

  explicit Getter(Model& m, std::vector<StateTensor> t) : model(m), tensors(std::move(t)) {
    std::vector<float*> out;
    for (const StateTensor& tensor : tensors) {
      arrays.emplace_back(
          std::vector<py::ssize_t>(tensor.parameter->shape.begin(), tensor.parameter->shape.end()));
      out.push_back(arrays.back().mutable_data());
    }
    py::gil_scoped_release release;
    scalars = model.read(tensors, out);
  }
};

py::list get_parameters(Model& model) {
  py::list result;
  for (const auto& array : Getter(model, model.parameter_tensors()).arrays) result.append(array);
  return result;
}

void set_parameters(Model& model, py::handle values) {
  const std::vector<StateTensor> tensors = model.parameter_tensors();
  const py::list list = list_of(values, "set_parameters", "weights");
  if (list.size() != tensors.size())
    fail(Code::kArgument, "set_parameters: weights has %zu arrays, wanted %zu", list.size(), tensors.size());
  std::vector<ArrayView> views;
  std::vector<Source> sources;
  for (size_t i = 0; i < tensors.size(); ++i) {
    views.push_back(view("set_parameters", tensors[i].parameter->name.c_str(), list[i]));
    sources.push_back(source_of(views.back()));
  }
  py::gil_scoped_release release;
  model.write(tensors, sources, nullptr);
}

py::dict get_state(Model& model) {
  const Getter got(model, model.state_tensors());
  py::dict state;
  for (size_t i = 0; i < got.tensors.size(); ++i) state[got.tensors[i].name.c_str()] = got.arrays[i];
  const Scalars& scalars = got.scalars;
  const py::module_ numpy = py::module_::import("numpy");
  state["step"] = numpy.attr("array")(scalars.step, "int64");
  state["seed"] = numpy.attr("array")(scalars.seed, "int64");
  state["learning_rate"] = numpy.attr("array")(scalars.learning_rate, "float64");
  return state;
}

py::object state_number(const py::dict& state, const char* key) {
  const py::object array = py::module_::import("numpy").attr("asarray")(required("set_state", state, key));
  if (py::cast<int64_t>(array.attr("size")) != 1)
    fail(Code::kShape, "set_state: %s has several entries, wanted a number", key);
  return array.attr("item")();
}

void set_state(Model& model, const py::dict& state) {
  const std::vector<StateTensor> tensors = model.state_tensors();
  std::set<std::string> known = {"step", "seed", "learning_rate"};
  std::vector<ArrayView> views;
  std::vector<Source> sources;
  for (const StateTensor& tensor : tensors) {
    known.insert(tensor.name);
    views.push_back(
        view("set_state", tensor.name.c_str(), required("set_state", state, tensor.name.c_str())));
    sources.push_back(source_of(views.back()));
  }
  for (const auto& item : state)
    if (!known.count(text("set_state", "a name", item.first)))
      fail(Code::kArgument,
           "set_state: '%.80s' belongs to no parameter, optimizer slot or number of this model",
           text("set_state", "a name", item.first).c_str());
  Scalars scalars;
  scalars.step = whole_number("set_state", "step", state_number(state, "step"));
  scalars.seed = whole_number("set_state", "seed", state_number(state, "seed"));
  scalars.learning_rate = real_number("set_state", "learning_rate", state_number(state, "learning_rate"));
  py::gil_scoped_release release;
  model.write(tensors, sources, &scalars);
}

struct CompileArguments {
  py::dict optimizer;
  py::handle loss, accuracy, device, precision, math, frozen;
};

void compile(Model& model, const CompileArguments& from) {
  CompileOptions options;
  options.recipe.optimizer = read_optimizer(from.optimizer);
  read_parameter_rules(from.optimizer, model.graph(), &options.recipe.optimizer);
  options.learning_rate =
      real_number("optimizer", "learning_rate", required("optimizer", from.optimizer, "learning_rate"));
  const py::tuple losses = one_or_several(from.loss), accuracies = one_or_several(from.accuracy);
  if (losses.size() != accuracies.size())
    fail(Code::kArgument, "compile: loss has %zu entries and accuracy %zu, wanted as many", losses.size(),
         accuracies.size());
  for (size_t i = 0; i < losses.size(); ++i)
    options.recipe.objectives.push_back(read_objective(losses[i], accuracies[i]));
  const int64_t parameters = static_cast<int64_t>(model.graph().parameters.size());
  options.recipe.frozen.resize(static_cast<size_t>(parameters));
  for (const py::handle each : list_of(from.frozen, "compile", "frozen")) {
    const int64_t index = whole_number("compile", "frozen", each);
    if (index < 0 || index >= parameters)
      fail(Code::kArgument, "compile: frozen names parameter %lld, wanted 0 to %lld",
           static_cast<long long>(index), static_cast<long long>(parameters - 1));
    options.recipe.frozen[static_cast<size_t>(index)] = true;
  }
  if (choice("compile", "device", from.device, {"auto", "cpu", "cuda"}) == 2)
    fail(Code::kDevice,
         "compile: device is 'cuda', but this build has no CUDA backend; use device='cpu' or 'auto'");
  const std::string precision = text("compile", "precision", from.precision);
  if (precision != "float32")
    fail(Code::kArgument, "compile: precision is '%.40s', wanted 'float32', the only one on this device",
         precision.c_str());
  options.recipe.math =
      static_cast<Math>(choice("compile", "math", from.math, {"default", "strict", "fast"}));
  py::gil_scoped_release release;
  model.compile(options);
}

py::list parameters(const Model& model) {
  py::list result;
  for (const Parameter& p : model.graph().parameters)
    result.append(py::dict(py::arg("name") = p.name, py::arg("node") = p.node, py::arg("role") = p.role,
                           py::arg("shape") = to_tuple(p.shape), py::arg("fan_in") = p.fan_in,
                           py::arg("fan_out") = p.fan_out, py::arg("trainable") = p.trainable));
  return result;
}

Scalars scalars_of(Model& model) {
  py::gil_scoped_release release;
  return model.scalars();
}

// Sets one number of a model, which may wait for a training step.
template <class T>
void set_number(Model& model, void (Model::*set)(T), T value) {
  py::gil_scoped_release release;
  (model.*set)(value);
}

py::tuple plan_memory_tuple(const std::vector<std::tuple<int, int, size_t>>& tensors) {
  std::vector<Lifetime> lifetimes;
  for (const auto& each : tensors)
    lifetimes.push_back({std::get<0>(each), std::get<1>(each), std::get<2>(each)});
  const MemoryPlan plan = plan_memory(lifetimes);
  return py::make_tuple(plan.offsets, plan.peak);
}

}  // namespace

void bind_model(py::module_& m) {
  py::class_<PySession>(m, "Session")
      .def("run", &PySession::run, py::arg("order"), py::arg("begin"), py::arg("seconds"),
           py::arg("rates") = py::none())
      .def_property_readonly("batches", [](PySession& s) { return s.session().batches(); })
      .def("totals", [](PySession& s) { return totals_list(s.session().totals()); })
      .def("last", [](PySession& s) { return totals_list(s.session().last()); })
      .def("reset", [](PySession& s) { s.session().reset(); });

  py::class_<Model, std::shared_ptr<Model>>(m, "Model")
      .def(py::init([](const py::list& nodes, py::handle outputs) {
             return std::make_shared<Model>(read_layers(nodes), read_outputs(outputs), cpu::backend());
           }),
           py::arg("nodes"), py::arg("outputs") = py::none())
      .def_property_readonly("output_shapes",
                             [](const Model& model) {
                               py::list shapes;
                               for (const Node& node : model.graph().nodes)
                                 shapes.append(to_tuple(node.shape));
                               return shapes;
                             })
      .def_property_readonly("flops",
                             [](const Model& model) {
                               py::list flops;
                               for (const Node& node : model.graph().nodes) flops.append(node.flops);
                               return flops;
                             })
      .def_property_readonly("parameters", &parameters)
      .def("get_parameters", &get_parameters)
      .def("set_parameters", &set_parameters, py::arg("weights"))
      .def(
          "compile",
          [](Model& model, const py::dict& optimizer, py::handle loss, py::handle accuracy, py::handle device,
             py::handle precision, py::handle math, py::handle frozen) {
            compile(model, {optimizer, loss, accuracy, device, precision, math, frozen});
          },
          py::arg("optimizer"), py::arg("loss"), py::arg("accuracy"), py::arg("device"), py::arg("precision"),
          py::arg("math"), py::arg("frozen") = py::tuple())
      .def_property(
          "learning_rate", [](Model& model) { return scalars_of(model).learning_rate; },
          [](Model& model, py::handle value) {
            set_number(model, &Model::set_learning_rate, real_number("optimizer", "learning_rate", value));
          })
      .def("finalize", &Model::finalize, py::call_guard<py::gil_scoped_release>())
      .def_property(
          "step", [](Model& model) { return scalars_of(model).step; },
          [](Model& model, py::handle value) {
            set_number(model, &Model::set_step, whole_number("model", "step", value));
          })
      .def_property(
          "seed", [](Model& model) { return scalars_of(model).seed; },
          [](Model& model, py::handle value) {
            set_number(model, &Model::set_seed, whole_number("model", "seed", value));
          })
      .def("get_state", &get_state)
      .def("set_state", &set_state, py::arg("state"))
      .def(
          "session",
          [](const std::shared_ptr<Model>& model, py::handle mode, py::handle x, py::handle y, py::handle out,
             py::handle batch_size, py::handle sample_weight) {
            return std::make_unique<PySession>(model, mode, x, y, out, batch_size, sample_weight);
          },
          py::arg("mode"), py::arg("x"), py::arg("y") = py::none(), py::arg("out") = py::none(),
          py::arg("batch_size") = 32, py::arg("sample_weight") = py::none())
      .def(
          "describe",
          [](Model& model, py::handle mode, py::handle batch_size) {
            const Mode m = mode_of("describe", mode);
            const int64_t n = whole_number("describe", "batch_size", batch_size);
            py::gil_scoped_release release;
            return model.describe(m, n);
          },
          py::arg("mode"), py::arg("batch_size"));

  m.def(
      "infer_shapes",
      [](const py::list& nodes) {
        py::list shapes;
        for (const Node& node : build_graph(read_layers(nodes), {}).nodes)
          shapes.append(to_tuple(node.shape));
        return shapes;
      },
      py::arg("nodes"));
  m.def("plan_memory", &plan_memory_tuple, py::arg("tensors"));
}

}  // namespace fastcnn
