// SPDX-License-Identifier: Apache-2.0
// An optimizer as Python describes it, a dictionary, turned into what plan/optimizer.h proves.
#pragma once
#include "../plan/graph.h"
#include "../plan/optimizer.h"
#include "array.h"

namespace fastcnn {

// Types are checked here, values by settle(), which has been called. What all optimizers share may be
// missing.
OptimizerRecipe read_optimizer(const py::dict& from);

// What holds for single parameters of a model: "no_decay", their numbers, and "matrices", (number, rows,
// cols).
void read_parameter_rules(const py::dict& from, const Graph& graph, OptimizerRecipe* recipe);

}  // namespace fastcnn
