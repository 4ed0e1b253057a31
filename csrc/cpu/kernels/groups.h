// SPDX-License-Identifier: Apache-2.0
// Groups of neighbouring channels that share a vector though they do not fill it: as many whole groups as
// there is room for, the lanes behind them idle. Included by kernels/depthwise.cpp and depthwise_wgrad.cpp,
// whose templates know groups of 1, 2, 4 and 8 channels by their number.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kSome = -1;  // stands for the numbers that divide no vector

FASTCNN_INLINE int64_t lanes_of_groups(int64_t group) { return kLanes / group * group; }

// Of each lane, that of its group's first channel.
FASTCNN_INLINE IVec first_of_group(int64_t group) {
  const float size = static_cast<float>(group);
  return __builtin_convertvector((as_numbers(iota()) + 0.5f) / size, IVec) * static_cast<int32_t>(group);
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
