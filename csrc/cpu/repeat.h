// SPDX-License-Identifier: Apache-2.0
// Short rows under one row of factors: a kernel that is given the factors several times over works on long
// runs.
#pragma once
#include <cstring>

#include "chunks.h"

namespace fastcnn {
namespace cpu {

// How often a row of `cols` is repeated, and what that makes of it.
inline int64_t repeats_of(int64_t cols) { return cols < 256 ? ceil_div(256, cols) : 1; }

inline void repeat_row(const float* row, int64_t cols, float* to) {
  for (int64_t i = 0; i < repeats_of(cols); ++i) std::memcpy(to + i * cols, row, sizeof(float) * cols);
}

}  // namespace cpu
}  // namespace fastcnn
