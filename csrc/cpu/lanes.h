// SPDX-License-Identifier: Apache-2.0
// Steps with the batch in lanes: activations [N / 16][C][H][W][16].
#pragma once
#include "blocking.h"
#include "kernels/lanes.h"

namespace fastcnn {
namespace cpu {

inline int64_t lane_blocks(int64_t n) { return ceil_div(n, kBatchLanes); }

}  // namespace cpu
}  // namespace fastcnn
