// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <shared_mutex>

#include "../cpu/cpu.h"
#include "eager.h"

namespace fastcnn {
namespace {

constexpr size_t kIdlePlans = 16;

void check_number(const char* name, int64_t value) {
  if (value < 0)
    fail(Code::kArgument, "model: %s is %lld, wanted 0 to 2**63 - 1", name, static_cast<long long>(value));
}

// Keras's choice: by the target's shape, which the loss has settled.
Accuracy accuracy_by_shape(const LossOptions& loss, int64_t outputs) {
  if (takes_labels(loss)) return Accuracy::kSparse;
  return outputs == 1 ? Accuracy::kBinary : Accuracy::kCategorical;
}

void check_accuracy(const LossOptions& loss, Accuracy accuracy, int64_t outputs) {
  if (accuracy == Accuracy::kNone) return;
  const bool sparse = takes_labels(loss);
  if (sparse != (accuracy == Accuracy::kSparse))
    fail(Code::kArgument, "compile: accuracy is '%s', but the loss takes %s targets, wanted %s",
         accuracy == Accuracy::kSparse   ? "sparse"
         : accuracy == Accuracy::kBinary ? "binary"
                                         : "categorical",
         sparse ? "sparse (class numbers)" : "dense", sparse ? "'sparse'" : "'categorical' or 'binary'");
  if (accuracy == Accuracy::kBinary && outputs != 1)
    fail(Code::kArgument,
         "compile: accuracy is 'binary', but the model has %lld outputs, wanted one; use 'categorical'",
         static_cast<long long>(outputs));
}

void check_rule(const ParameterRule& rule) {
  for (const double factor : {rule.l1, rule.l2})
    if (!(factor >= 0) || !std::isfinite(static_cast<float>(factor)))
      fail(Code::kArgument, "compile: a regularizer has the factor %g, wanted a finite number of at least 0",
           factor);
  if (!(rule.rate > 0) || !std::isfinite(static_cast<float>(rule.rate)))
    fail(Code::kArgument, "compile: a learning rate is multiplied by %g, wanted a finite number above 0",
         rule.rate);
}

}  // namespace

Model::Model(const std::vector<Layer>& layers, const std::vector<int64_t>& outputs)
    : graph_(build_graph(layers, outputs)), place_{&cpu::backend(), nullptr} {
  const size_t bytes = static_cast<size_t>(graph_.parameter_floats) * sizeof(float);
  state_ = Buffer(bytes, "model: the parameters");
  if (bytes) std::memset(state_.data(), 0, bytes);
}

void Model::compile(const CompileOptions& options) {
  Recipe recipe = options.recipe;
  settle(&recipe.optimizer);
  check_learning_rate(options.learning_rate);
  if (recipe.objectives.size() != graph_.outputs.size())
    fail(Code::kArgument, "compile: loss has %zu entries, wanted %zu: one for each output",
         recipe.objectives.size(), graph_.outputs.size());
  for (size_t i = 0; i < recipe.objectives.size(); ++i) {
    Objective& objective = recipe.objectives[i];
    if (!objective.present) continue;
    if (!std::isfinite(objective.weight))
      fail(Code::kArgument, "compile: loss_weights has %g, wanted finite numbers", objective.weight);
    if (objective.external) continue;
    if (objective.loss.unreduced)
      fail(Code::kArgument,
           "compile: loss has reduction None, wanted 'sum_over_batch_size', 'sum', 'mean' or "
           "'mean_with_sample_weight': a model is trained on one number");
    std::vector<int64_t> shape = graph_.output(i).shape;
    shape.insert(shape.begin(), 1);
    const int64_t outputs = loss_shape("compile: loss", objective.loss, shape).cols;
    if (objective.accuracy_by_shape) objective.accuracy = accuracy_by_shape(objective.loss, outputs);
    check_accuracy(objective.loss, objective.accuracy, outputs);
  }
  for (const ParameterRule& rule : recipe.rules) check_rule(rule);
  const int slots = recipe.optimizer.slots();
  const size_t bytes = static_cast<size_t>(graph_.parameter_floats) * sizeof(float);
  std::unique_lock<Gate> held(gate_);
  const char* const what = "compile: parameters, gradients and optimizer slots";
  Buffer state(bytes * (2 + static_cast<size_t>(slots)), what);
  if (bytes) {
    place_.copy(state.data(), state_.data(), bytes);
    std::memset(state.data() + bytes, 0, state.bytes() - bytes);
    for (int slot = 0; slot < slots; ++slot) {
      float* const values = reinterpret_cast<float*>(state.data() + bytes * (2 + static_cast<size_t>(slot)));
      std::fill_n(values, graph_.parameter_floats, recipe.optimizer.initial_value(slot));
    }
  }
  if (options.place.on_gpu()) {
    Buffer there(state.bytes(), what, options.place.pool);
    options.place.copy(there.data(), state.data(), state.bytes());
    state = std::move(there);
  }
  idle_.clear();
  state_ = std::move(state);
  place_ = options.place;
  slots_ = slots;
  recipe_ = recipe;
  learning_rate_ = options.learning_rate;
  run_scalars_.learning_rate = static_cast<float>(learning_rate_);
  run_scalars_.step = 0;
  ++compilations_;
}

void Model::need_compiled(const char* op) const {
  if (compilations_ == 0)
    fail(Code::kArgument, "%s: the model has no loss and no optimizer; call compile() first", op);
}

float* Model::floats(Memory memory) const {
  const int position = static_cast<int>(memory) - static_cast<int>(Memory::kParameters);
  if (position > last_memory())
    fail(Code::kArgument, "model: compiled again while its state was read or written");
  return reinterpret_cast<float*>(state_.data()) + position * graph_.parameter_floats;
}

void Model::bind(Memories* memories) const {
  if (!graph_.parameter_floats) return;
  for (int i = 0; i <= last_memory(); ++i) {
    const Memory memory = static_cast<Memory>(static_cast<int>(Memory::kParameters) + i);
    (*memories)[memory] = reinterpret_cast<char*>(floats(memory));
  }
}

std::vector<StateTensor> Model::parameter_tensors() const {
  std::vector<StateTensor> tensors;
  for (const Parameter& p : graph_.parameters)
    tensors.push_back({"parameters/" + p.name, &p, Memory::kParameters});
  return tensors;
}

std::vector<StateTensor> Model::gradient_tensors() {
  std::shared_lock<Gate> held(gate_);
  need_compiled("gradients");
  std::vector<StateTensor> tensors;
  for (const Parameter& p : graph_.parameters)
    tensors.push_back({"gradients/" + p.name, &p, Memory::kGradients});
  return tensors;
}

std::vector<StateTensor> Model::state_tensors() {
  std::shared_lock<Gate> held(gate_);
  std::vector<StateTensor> tensors = parameter_tensors();
  const Memory memories[] = {Memory::kSlot0, Memory::kSlot1, Memory::kSlot2, Memory::kSlot3};
  for (int slot = 0; slot < slots_; ++slot)
    for (const Parameter& p : graph_.parameters)
      tensors.push_back({"optimizer/slot" + std::to_string(slot) + "/" + p.name, &p, memories[slot]});
  return tensors;
}

Scalars Model::read(const std::vector<StateTensor>& tensors, const std::vector<float*>& out) {
  std::shared_lock<Gate> held(gate_);
  std::vector<const float*> from;
  for (const StateTensor& tensor : tensors) from.push_back(floats(tensor.memory) + tensor.parameter->offset);
  std::vector<float> here;  // of a GPU what lies between the first and the last of them, by one copy
  if (place_.on_gpu() && !from.empty()) {
    const float *first = from[0], *last = from[0];
    for (size_t i = 0; i < from.size(); ++i) {
      first = std::min(first, from[i]);
      last = std::max(last, from[i] + tensors[i].parameter->count);
    }
    here.resize(static_cast<size_t>(last - first));
    place_.copy(here.data(), first, here.size() * sizeof(float));
    for (const float*& each : from) each = here.data() + (each - first);
  }
  for (size_t i = 0; i < from.size(); ++i)
    std::memcpy(out[i], from[i], static_cast<size_t>(tensors[i].parameter->count) * sizeof(float));
  return {static_cast<int64_t>(run_scalars_.step), static_cast<int64_t>(run_scalars_.seed), learning_rate_};
}

void Model::write(const std::vector<StateTensor>& tensors, const std::vector<Source>& values,
                  const Scalars* scalars) {
  if (scalars) {
    check_learning_rate(scalars->learning_rate);
    check_number("step", scalars->step);
    check_number("seed", scalars->seed);
  }
  int64_t floats_in_all = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Parameter& p = *tensors[i].parameter;
    const Source& value = values[i];
    if (std::vector<int64_t>(value.shape, value.shape + value.rank) != p.shape)
      fail(Code::kShape, "%s: the value of '%s' has shape %s, wanted %s", graph_.nodes[p.node].label.c_str(),
           tensors[i].name.c_str(), ShapeText(value.shape, value.rank).text,
           ShapeText(p.shape.data(), static_cast<int>(p.shape.size())).text);
    floats_in_all += p.count;
  }
  std::vector<float> cast(static_cast<size_t>(floats_in_all));
  float* to = cast.data();
  for (size_t i = 0; i < tensors.size(); ++i) {
    OpDescriptor op = make_op(Step::k_gather);
    op.gather = gather_of(values[i], values[i].shape[0], DType::kF32);
    run_eager(cpu::backend(), op, {{values[i].data, nullptr}, {to}});
    to += tensors[i].parameter->count;
  }
  std::unique_lock<Gate> held(gate_);
  change_parameters();
  const float* from = cast.data();
  for (const StateTensor& tensor : tensors) {
    const Parameter& p = *tensor.parameter;
    place_.copy(floats(tensor.memory) + p.offset, from, static_cast<size_t>(p.count) * sizeof(float));
    from += p.count;
  }
  if (!scalars) return;
  learning_rate_ = scalars->learning_rate;
  run_scalars_ = {static_cast<uint64_t>(scalars->step), static_cast<uint64_t>(scalars->seed),
                  static_cast<float>(learning_rate_)};
}

void Model::use_rate(double value) {
  learning_rate_ = value;
  run_scalars_.learning_rate = static_cast<float>(value);
}

void Model::set_learning_rate(double value) {
  check_learning_rate(value);
  std::unique_lock<Gate> held(gate_);
  use_rate(value);
}

void Model::finalize() {
  std::unique_lock<Gate> held(gate_);
  need_compiled("finalize");
  const OptimizerRecipe& optimizer = recipe_.optimizer;
  if (!optimizer.shape.rule.use_ema || run_scalars_.step == 0) return;
  change_parameters();
  const Lease plan(*this, Mode::kTrain);
  const auto slot = static_cast<Memory>(static_cast<int>(Memory::kSlot0) + optimizer.average());
  for (const FloatRange& range :
       plan->list({1, std::vector<int64_t>(graph_.outputs.size()), false, true}).trained)
    place_.copy(floats(Memory::kParameters) + range.begin, floats(slot) + range.begin,
                static_cast<size_t>(range.end - range.begin) * sizeof(float));
}

void Model::set_step(int64_t value) {
  check_number("step", value);
  std::unique_lock<Gate> held(gate_);
  run_scalars_.step = static_cast<uint64_t>(value);
}

void Model::set_seed(int64_t value) {
  check_number("seed", value);
  std::unique_lock<Gate> held(gate_);
  run_scalars_.seed = static_cast<uint64_t>(value);
}

Batch Model::described(Mode mode, int64_t batch_size) const {
  if (mode != Mode::kPredict) need_compiled("describe");
  if (batch_size < 1)
    fail(Code::kArgument, "describe: batch_size is %lld, wanted at least 1",
         static_cast<long long>(batch_size));
  return {batch_size, std::vector<int64_t>(graph_.outputs.size()), false, true};
}

std::string Model::describe(Mode mode, int64_t batch_size) {
  std::shared_lock<Gate> held(gate_);
  const Batch batch = described(mode, batch_size);
  const Lease plan(*this, mode);
  return plan->describe(batch);
}

StepList Model::steps_on(const Backend& backend, Mode mode, int64_t batch_size) {
  std::shared_lock<Gate> held(gate_);
  return build_steps({graph_, backend, recipe_, mode, described(mode, batch_size)});
}

std::unique_ptr<Plan> Model::take(Mode mode) {
  {
    std::lock_guard<std::mutex> held(gate_.mutex());
    for (size_t i = 0; i < idle_.size(); ++i)
      if (idle_[i]->mode() == mode) {
        std::unique_ptr<Plan> plan = std::move(idle_[i]);
        idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
        return plan;
      }
  }
  return std::unique_ptr<Plan>(new Plan(graph_, place_, recipe_, mode));
}

void Model::give_back(std::unique_ptr<Plan> plan) {
  std::lock_guard<std::mutex> held(gate_.mutex());
  if (idle_.size() < kIdlePlans) idle_.push_back(std::move(plan));
}

}  // namespace fastcnn
