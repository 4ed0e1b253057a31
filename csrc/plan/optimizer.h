// SPDX-License-Identifier: Apache-2.0
// What compile() is told of an optimizer: proven here, before anything is allocated, for models and for steps
// on arrays alike. Its arrays of state, "slots", are those of the formula, then the average of the weights,
// then the sum of accumulated gradients, as far as it has them.
#pragma once
#include <vector>

#include "../base/shape.h"
#include "../base/status.h"

namespace fastcnn {

struct OptimizerRecipe {
  struct Matrix {
    int64_t rows, cols;  // 0: the parameter takes Adam
  };

  OptimizerShape shape{};  // of a range whose count is not set; for Muon of the parameters that take Adam
  MuonShape muon{};        // of a matrix whose sides are not set
  bool is_muon = false, by_side = false;           // Muon's rate grows with the root of the longer side
  double clip_norm = 0, global_clip_norm = 0;      // 0: none
  double weight_decay = 0, adam_weight_decay = 0;  // the latter of Muon's Adam
  double initial_accumulator = 0;
  // Of a model, one entry for each parameter; empty: every one decays, none is a matrix.
  std::vector<bool> decays;
  std::vector<Matrix> matrices;

  int slots() const { return shape.slots + shape.rule.use_ema + (shape.rule.accumulation > 1); }
  int average() const { return shape.slots; }                           // the slot, if there is one
  int accumulated() const { return shape.slots + shape.rule.use_ema; }  // the same
  float initial_value(int slot) const;
};

// Throws ArgumentError, or sets what follows from the rest: the number of slots, the rule of Muon's matrices.
void settle(OptimizerRecipe* recipe);

void check_learning_rate(double value);

// The update of `count` neighbours, and of one matrix by Muon; without weight decay unless they `decay`.
OptimizerShape range_update(const OptimizerRecipe& recipe, int64_t count, bool decay);
MuonShape matrix_update(const OptimizerRecipe& recipe, int64_t rows, int64_t cols, bool decay);

}  // namespace fastcnn
