// SPDX-License-Identifier: Apache-2.0
// Where a plan keeps its batch: in the lanes of the vectors, for small networks whose few channels would
// leave most of a vector empty, or in rows of channels.
#include "builder.h"

namespace fastcnn {

bool suits_lanes(const Request& request) {
  // An activation of a block stays in the caches of a core and its share of the last one. On AVX2 the step of
  // LeNet-5 took 0.6 of the time in lanes; with direct kernels alone one of 3, 16 and 32 channels was even,
  // and one of 64 and 128 took 1.06. Winograd's kernels are there in both layouts, but for the weight
  // gradient: 8, 10 and 12 channels took 0.97 to 0.9 in lanes, 16 was even, 8 and 16 with batch norms 0.79,
  // 16 and 32 took 1.08, 1, 32 and 64 1.06. Kernels of groups fill their vectors with channels too: 16 and 32
  // between pointwise ones took 1.08.
  constexpr int64_t kMostBlockFloats = 1 << 20, kMostChannels = 32, kMostBesideWinograd = 16,
                    kMostGrouped = 8;
  if (request.batch.n < kBatchLanes) return false;
  bool convolves = false;
  for (const Node& node : request.graph.nodes) {
    if (node.count * kBatchLanes > kMostBlockFloats) return false;
    if (node.forward.step != Step::k_conv2d_fprop) continue;
    const Conv2dShape& v = node.forward.conv2d_fprop;
    const bool winograd = request.recipe.math != Math::kStrict && v.r == 3 && v.s == 3 && v.stride_h == 1 &&
                          v.stride_w == 1 && v.groups == 1;
    if (v.c > (winograd ? kMostBesideWinograd : v.groups > 1 ? kMostGrouped : kMostChannels)) return false;
    convolves = true;
  }
  return convolves;
}

}  // namespace fastcnn
