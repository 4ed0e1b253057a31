// SPDX-License-Identifier: Apache-2.0
// Where a training step keeps its batch: in the lanes of the vectors, for small networks whose few channels
// would leave most of a vector empty, or in rows of channels, which alone Winograd's kernels know.
#include "builder.h"

namespace fastcnn {

bool suits_lanes(const Request& request) {
  // An activation of a block stays in the caches of a core and its share of the last one. On AVX2 the step of
  // LeNet-5 took 0.6 of the time in lanes, that of a network of 1, 32 and 64 channels 0.85; one of 3, 16 and
  // 32 was even, and one of 64 and 128 took 1.06.
  // With Winograd's kernels beside it the second took 1.5 times as long in lanes (25.2 against 16.5 ms for 32
  // images), and so did 3, 32, 32 and 32 channels; 3, 16 and 16 took 1.2 times and 1, 8 and 16 1.05 times.
  constexpr int64_t kMostBlockFloats = 1 << 20, kMostChannels = 32, kMostBesideWinograd = 8;
  if (request.mode != Mode::kTrain || request.batch.n < kBatchLanes) return false;
  bool convolves = false;
  for (const Node& node : request.graph.nodes) {
    if (node.count * kBatchLanes > kMostBlockFloats) return false;
    if (node.forward.step != Step::k_conv2d_fprop) continue;
    const Conv2dShape& v = node.forward.conv2d_fprop;
    const bool winograd = request.recipe.math != Math::kStrict && v.r == 3 && v.s == 3 && v.stride_h == 1 &&
                          v.stride_w == 1 && v.groups == 1;
    if (v.c > (winograd ? kMostBesideWinograd : kMostChannels)) return false;
    convolves = true;
  }
  return convolves;
}

}  // namespace fastcnn
