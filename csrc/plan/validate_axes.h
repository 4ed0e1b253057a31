// SPDX-License-Identifier: Apache-2.0
// Axes that an operator works over, as users name them: in any order, from the front or from the end. Kernels
// work over the last axes, so that others are moved there and back.
#pragma once
#include <vector>

#include "validate.h"

namespace fastcnn {

// The axes of an array in the order in which those that were named are the last `count`; both parts keep
// their own order. order[i] is what becomes axis i.
struct MovedAxes {
  int rank, count;
  int order[kMaxRank];
  bool in_place() const;  // nothing is moved
};

// Throws where `axis` is empty, names an axis twice or one that is not there.
MovedAxes moved_to_end(const char* op, const std::vector<int64_t>& axis, int rank);

}  // namespace fastcnn
