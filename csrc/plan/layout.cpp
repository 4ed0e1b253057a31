// SPDX-License-Identifier: Apache-2.0
// Where a training step keeps its batch: in the lanes of the vectors, for small networks whose few channels
// would leave most of a vector empty, or in rows of channels.
#include <algorithm>
#include <cstdlib>

#include "builder.h"

namespace fastcnn {

bool suits_lanes(const Request& request) {
  constexpr int64_t kMostBlockFloats = 1 << 20;
  if (request.mode != Mode::kTrain || request.n < kBatchLanes) return false;
  bool convolves = false;
  for (const Node& node : request.graph.nodes) {
    if (node.count * kBatchLanes > kMostBlockFloats) return false;
    convolves = convolves || node.forward.step == Step::k_conv2d_fprop;
  }
  return convolves;
}

}  // namespace fastcnn
