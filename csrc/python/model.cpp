// SPDX-License-Identifier: Apache-2.0
// From the dictionaries and arrays of Python to plan/: what a network, an optimizer, a loss and a data set
// look like there. Types are checked here, values in plan/.
#include "model.h"

#include <pybind11/stl.h>

#include <map>
#include <set>

#include "../cpu/cpu.h"
#include "array.h"
#include "gpu.h"
#include "loss.h"
#include "network.h"
#include "optimizer.h"
#include "precision.h"
#include "session.h"

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
  if (from.contains("weight"))
    objective.weight = static_cast<float>(real_number("loss", "weight", from["weight"]));
  objective.external = from.contains("external");
  if (objective.external) return objective;
  objective.loss = read_loss("loss", from);
  read_accuracy(accuracy, &objective);
  return objective;
}

py::tuple to_tuple(const std::vector<int64_t>& values) { return py::tuple(py::cast(values)); }

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

// They may wait for a training step, which may want the interpreter.
std::vector<StateTensor> tensors_of(Model& model, std::vector<StateTensor> (Model::*which)()) {
  const py::gil_scoped_release release;
  return (model.*which)();
}

// The parameters of these numbers; of None, all.
std::vector<StateTensor> chosen_tensors(const Model& model, const char* op, py::handle numbers) {
  const std::vector<StateTensor> all = model.parameter_tensors();
  if (numbers.is_none()) return all;
  std::vector<StateTensor> chosen;
  for (const py::handle number : list_of(numbers, op, "numbers")) {
    const int64_t i = whole_number(op, "numbers", number);
    if (i < 0 || i >= static_cast<int64_t>(all.size()))
      fail(Code::kArgument, "%s: numbers holds %lld, wanted numbers below %zu", op, static_cast<long long>(i),
           all.size());
    chosen.push_back(all[static_cast<size_t>(i)]);
  }
  return chosen;
}

py::list get_parameters(Model& model, py::handle numbers) {
  py::list result;
  for (const auto& array : Getter(model, chosen_tensors(model, "get_parameters", numbers)).arrays)
    result.append(array);
  return result;
}

py::list get_gradients(Model& model) {
  py::list result;
  for (const auto& array : Getter(model, tensors_of(model, &Model::gradient_tensors)).arrays)
    result.append(array);
  return result;
}

void set_parameters(Model& model, py::handle values, py::handle numbers) {
  const std::vector<StateTensor> tensors = chosen_tensors(model, "set_parameters", numbers);
  const py::list list = list_of(values, "set_parameters", "weights");
  if (list.size() != tensors.size())
    fail(Code::kArgument, "set_parameters: weights has %zu arrays, wanted %zu", list.size(), tensors.size());
  std::vector<ArrayView> views;
  std::vector<Source> sources;
  for (size_t i = 0; i < tensors.size(); ++i) {
    views.push_back(host_view("set_parameters", tensors[i].parameter->name.c_str(), list[i]));
    sources.push_back(source_of(views.back()));
  }
  py::gil_scoped_release release;
  model.write(tensors, sources, nullptr);
}

py::dict get_state(Model& model) {
  const Getter got(model, tensors_of(model, &Model::state_tensors));
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
  const std::vector<StateTensor> tensors = tensors_of(model, &Model::state_tensors);
  std::set<std::string> known = {"step", "seed", "learning_rate"};
  std::vector<ArrayView> views;
  std::vector<Source> sources;
  for (const StateTensor& tensor : tensors) {
    known.insert(tensor.name);
    views.push_back(
        host_view("set_state", tensor.name.c_str(), required("set_state", state, tensor.name.c_str())));
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

// A dict of "l1", "l2", "rate" and "constraint", (kind, least, most, rate, first axis, axis behind the last).
ParameterRule read_rule(const Parameter& p, const py::dict& from) {
  const char* op = "compile";
  ParameterRule rule;
  const auto real = [&](const char* key, double otherwise) {
    return from.contains(key) ? real_number(op, key, from[key]) : otherwise;
  };
  rule.l1 = real("l1", 0), rule.l2 = real("l2", 0), rule.rate = real("rate", 1);
  if (!from.contains("constraint")) return rule;
  const py::list entries = list_of(from["constraint"], op, "constraint");
  if (entries.size() != 6)
    fail(Code::kArgument, "%s: constraint has %zu entries, wanted 6", op, entries.size());
  ConstraintShape& shape = rule.constraint;
  rule.constrained = true;
  shape.kind = static_cast<ConstraintKind>(choice(op, "constraint", entries[0], {"non_negative", "norm"}));
  shape.least = static_cast<float>(real_number(op, "constraint", entries[1]));
  shape.most = static_cast<float>(real_number(op, "constraint", entries[2]));
  shape.rate = static_cast<float>(real_number(op, "constraint", entries[3]));
  const int64_t begin = whole_number(op, "axis", entries[4]), end = whole_number(op, "axis", entries[5]);
  const auto rank = static_cast<int64_t>(p.shape.size());
  if (begin < 0 || begin >= end || end > rank)
    fail(Code::kArgument, "%s: the constraint of '%s' has axes %lld to %lld, wanted axes of its shape %s", op,
         p.name.c_str(), static_cast<long long>(begin), static_cast<long long>(end - 1),
         ShapeText(p.shape.data(), static_cast<int>(rank)).text);
  shape.outer = shape.mid = shape.inner = 1;
  for (int64_t d = 0; d < rank; ++d)
    (d < begin ? shape.outer : d < end ? shape.mid : shape.inner) *= p.shape[static_cast<size_t>(d)];
  return rule;
}

// "auto" is the GPU if there is one that works.
Place place_of(py::handle device) {
  const Place host{&cpu::backend(), nullptr};
  const int wanted = choice("compile", "device", device, {"auto", "cpu", "cuda"});
  if (wanted == 1) return host;
  try {
    return gpu_place();
  } catch (const py::error_already_set& error) {
    const py::object missing = py::module_::import("fastcnn.errors").attr("DeviceError");
    if (!error.matches(missing)) throw;
    if (wanted == 0) return host;
    fail(Code::kDevice, "compile: device is 'cuda': %s", std::string(py::str(error.value())).c_str());
  } catch (const Error& error) {
    if (wanted == 0) return host;
    fail(error.code, "compile: device is 'cuda': %s", error.what());
  }
}

struct CompileArguments {
  py::dict optimizer;
  py::handle loss, accuracy, device, precision, math, frozen, rules;
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
  for (const py::handle each : list_of(from.rules, "compile", "rules")) {
    const py::list pair = list_of(each, "compile", "rules");
    if (pair.size() != 2 || !PyDict_Check(pair[1].ptr()))
      fail(Code::kDType, "compile: rules has another entry than a parameter and a dict");
    const int64_t index = whole_number("compile", "rules", pair[0]);
    if (index < 0 || index >= parameters)
      fail(Code::kArgument, "compile: rules names parameter %lld, wanted 0 to %lld",
           static_cast<long long>(index), static_cast<long long>(parameters - 1));
    options.recipe.rules.resize(static_cast<size_t>(parameters));
    options.recipe.rules[static_cast<size_t>(index)] =
        read_rule(model.graph().parameters[static_cast<size_t>(index)], py::dict(pair[1]));
  }
  options.place = place_of(from.device);
  const std::string precision = text("compile", "precision", from.precision);
  const bool on_gpu = options.place.on_gpu();
  if (on_gpu && precision == "tf32")
    options.recipe.precision = Precision::kTf32;
  else if (precision == "bfloat16")
    options.recipe.precision = on_gpu ? Precision::kBfloat16 : cpu_bfloat16("compile");
  else if (precision != "float32")
    fail(Code::kArgument, "compile: precision is '%.40s', wanted 'float32'%s or 'bfloat16'",
         precision.c_str(), on_gpu ? ", 'tf32'" : "");
  options.recipe.math =
      static_cast<Math>(choice("compile", "math", from.math, {"default", "strict", "fast"}));
  py::gil_scoped_release release;
  model.compile(options);
}

py::list parameters(const Graph& graph) {
  py::list result;
  for (const Parameter& p : graph.parameters)
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

// The steps of a plan for a GPU of this compute capability, 10 major + minor, which need not be there.
py::dict plan_for_gpu(Model& model, py::handle mode, py::handle batch_size, py::handle capability) {
  const char* op = "plan_for_gpu";
  const Mode m = mode_of(op, mode);
  const int64_t n = whole_number(op, "batch_size", batch_size);
  const int64_t sm = whole_number(op, "capability", capability);
  if (sm < 75 || sm > 999)
    fail(Code::kArgument, "%s: capability is %lld, wanted 75 for 7.5, 90 for 9.0 or another one", op,
         static_cast<long long>(sm));
  struct Assumed {
    const Device& device;
    explicit Assumed(const Device& d, int sm) : device(d) { device.assume(sm); }
    ~Assumed() { device.assume(0); }
  };
  const Backend& backend = gpu_kernels();
  StepList list;
  {
    const py::gil_scoped_release release;
    const Assumed assumed(*backend.device, static_cast<int>(sm));
    list = model.steps_on(backend, m, n);
  }
  py::list steps;
  for (const PlannedStep& step : list.steps)
    steps.append(py::dict(py::arg("layer") = step.name, py::arg("kernel") = step.prepared.kernel,
                          py::arg("flops") = step.prepared.flops, py::arg("bytes") = step.prepared.bytes));
  return py::dict(py::arg("arena_bytes") = list.arena_bytes, py::arg("steps") = steps);
}

}  // namespace

void bind_model(py::module_& m) {
  bind_session(m);
  py::class_<Model, std::shared_ptr<Model>>(m, "Model")
      .def(py::init([](const py::list& nodes, py::handle outputs) {
             return std::make_shared<Model>(read_layers(nodes), read_outputs(outputs));
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
      .def_property_readonly("parameters", [](const Model& model) { return parameters(model.graph()); })
      .def("get_parameters", &get_parameters, py::arg("numbers") = py::none())
      .def("set_parameters", &set_parameters, py::arg("weights"), py::arg("numbers") = py::none())
      .def(
          "compile",
          [](Model& model, const py::dict& optimizer, py::handle loss, py::handle accuracy, py::handle device,
             py::handle precision, py::handle math, py::handle frozen, py::handle rules) {
            compile(model, {optimizer, loss, accuracy, device, precision, math, frozen, rules});
          },
          py::arg("optimizer"), py::arg("loss"), py::arg("accuracy"), py::arg("device"), py::arg("precision"),
          py::arg("math"), py::arg("frozen") = py::tuple(), py::arg("rules") = py::tuple())
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
      .def("get_gradients", &get_gradients)
      .def("get_state", &get_state)
      .def("set_state", &set_state, py::arg("state"))
      .def(
          "session",
          [](const std::shared_ptr<Model>& model, py::handle mode, py::handle x, py::handle y, py::handle out,
             py::handle batch_size, py::handle sample_weight, py::handle external, py::handle where) {
            return std::make_unique<PySession>(
                model, PySessionArguments{mode, x, y, out, batch_size, sample_weight, external, where});
          },
          py::arg("mode"), py::arg("x"), py::arg("y") = py::none(), py::arg("out") = py::none(),
          py::arg("batch_size") = 32, py::arg("sample_weight") = py::none(), py::arg("external") = py::none(),
          py::arg("where") = py::none())
      .def(
          "predict",
          [](const std::shared_ptr<Model>& model, py::handle x, py::handle out) {
            const py::str mode("predict");
            const py::int_ all(INT64_MAX);
            const py::none none;
            PySession session(model, {mode, x, none, out, all, none, none, none});
            py::gil_scoped_release release;
            session.session().run({nullptr, 0, INT64_MAX, 0, {}});
          },
          py::arg("x"), py::arg("out"))
      .def(
          "describe",
          [](Model& model, py::handle mode, py::handle batch_size) {
            const Mode m = mode_of("describe", mode);
            const int64_t n = whole_number("describe", "batch_size", batch_size);
            py::gil_scoped_release release;
            return model.describe(m, n);
          },
          py::arg("mode"), py::arg("batch_size"))
      .def("plan_for_gpu", &plan_for_gpu, py::arg("mode"), py::arg("batch_size"), py::arg("capability"));

  m.def(
      "infer_shapes",
      [](const py::list& nodes) {
        py::list shapes;
        for (const Node& node : build_graph(read_layers(nodes), {}).nodes)
          shapes.append(to_tuple(node.shape));
        return shapes;
      },
      py::arg("nodes"));
  m.def(
      "infer_parameters",
      [](const py::list& nodes, py::handle outputs) {
        return parameters(build_graph(read_layers(nodes), read_outputs(outputs)));
      },
      py::arg("nodes"), py::arg("outputs"));
  m.def("plan_memory", &plan_memory_tuple, py::arg("tensors"));
}

}  // namespace fastcnn
