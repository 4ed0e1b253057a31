// SPDX-License-Identifier: Apache-2.0
// Which steps of a captured batch need not stand in line: the weight gradients of a backward pass, which
// nothing reads before the update. Each leaves the line of data gradients where it stands in the list, and
// comes back to it before a step that would take its memory. Operands are tensors that have no place yet.
#pragma once
#include <vector>

#include "memory.h"
#include "steps.h"

namespace fastcnn {

// Sets branch and joins of the steps before `end`, all of which are over before step `end` or, where there is
// none, the end of the batch; what a branch reads and writes lives until then. Memory beyond what the list
// takes in line is bounded.
void find_branches(std::vector<PlannedStep>& steps, size_t end, std::vector<Lifetime>& tensors);

}  // namespace fastcnn
