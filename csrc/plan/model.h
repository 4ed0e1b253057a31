// SPDX-License-Identifier: Apache-2.0
// A model: the network, its state (parameters, gradients, optimizer slots in one allocation; step, seed,
// learning rate) and the plans that work on it. Training has it alone; any number of evaluations and
// predictions share it, each with a plan of its own.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gate.h"
#include "plan.h"
#include "source.h"

namespace fastcnn {

struct CompileOptions {
  Recipe recipe;
  double learning_rate = 0;
  Place place;  // where it works from now on
};

struct Scalars {
  int64_t step = 0, seed = 0;
  double learning_rate = 0;
};

// One named array of the state.
struct StateTensor {
  std::string name;  // "parameters/conv2d/kernel", "optimizer/slot0/conv2d/kernel"
  const Parameter* parameter;
  Memory memory;
};

class Model {
 public:
  // On the host, until it is compiled for another place.
  Model(const std::vector<Layer>& layers, const std::vector<int64_t>& outputs);

  const Graph& graph() const { return graph_; }

  // Starts anew: slots 0, step 0. Parameters and seed stay; if the place is another they go there.
  void compile(const CompileOptions& options);

  std::vector<StateTensor> parameter_tensors() const;
  std::vector<StateTensor> state_tensors();     // parameters and slots
  std::vector<StateTensor> gradient_tensors();  // of the latest training step
  // Copies them to `out`; the numbers of the same moment.
  Scalars read(const std::vector<StateTensor>& tensors, const std::vector<float*>& out);
  // Proves all values against the tensors' shapes, then writes them, and the scalars if given.
  void write(const std::vector<StateTensor>& tensors, const std::vector<Source>& values,
             const Scalars* scalars);

  Scalars scalars() { return read({}, {}); }
  void set_learning_rate(double value);
  // Weights become their averages, if the optimizer takes averages.
  void finalize();
  void set_step(int64_t value);
  void set_seed(int64_t value);

  std::string describe(Mode mode, int64_t batch_size);
  // The steps that another device would run; nothing of it is run or allocated.
  StepList steps_on(const Backend& backend, Mode mode, int64_t batch_size);

  // For sessions. Everything below is used while the gate is held.
  Gate& gate() { return gate_; }
  const Place& place() const { return place_; }
  const Backend& backend() const { return *place_.backend; }
  const Recipe& recipe() const { return recipe_; }
  uint64_t compilations() const { return compilations_; }
  void need_compiled(const char* op) const;
  void count_step() { ++run_scalars_.step; }
  void use_rate(double value);
  const RunScalars& run_scalars() const { return run_scalars_; }
  void bind(Memories* memories) const;
  // Of the parameters: goes up whenever they may have changed.
  uint64_t version() const { return version_; }
  void change_parameters() { ++version_; }

  // A plan of this mode that no other run uses; goes back at the end of the lease.
  class Lease {
   public:
    Lease(Model& model, Mode mode) : model_(model), plan_(model.take(mode)) {}
    ~Lease() { model_.give_back(std::move(plan_)); }
    Lease(const Lease&) = delete;
    Plan* operator->() const { return plan_.get(); }

   private:
    Model& model_;
    std::unique_ptr<Plan> plan_;
  };

 private:
  std::unique_ptr<Plan> take(Mode mode);
  void give_back(std::unique_ptr<Plan> plan);
  Batch described(Mode mode, int64_t batch_size) const;
  int last_memory() const { return compilations_ ? 1 + slots_ : 0; }
  float* floats(Memory memory) const;

  const Graph graph_;
  Place place_;
  Gate gate_;
  Buffer state_;  // parameters | gradients | slots 0, 1, ..., of graph_.parameter_floats each
  int slots_ = 0;
  RunScalars run_scalars_{};
  double learning_rate_ = 0;  // as the user gave it; run_scalars_ holds it rounded to float32
  Recipe recipe_;
  uint64_t compilations_ = 0;
  uint64_t version_ = 1;
  std::vector<std::unique_ptr<Plan>> idle_;
};

}  // namespace fastcnn
