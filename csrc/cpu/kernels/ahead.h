// SPDX-License-Identifier: Apache-2.0
// Memory that will be read soon, fetched a few lines at a time while something else is computed.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int64_t kLineFloats = 16;

// How many lines each of `times` calls of fetch() takes, so that all of it is fetched.
FASTCNN_INLINE int64_t lines_each(int64_t floats, int64_t times) {
  return times ? (floats / kLineFloats + times - 1) / times : 0;
}

FASTCNN_INLINE const float* fetch(const float* p, int64_t lines) {
  for (; lines > 0; --lines, p += kLineFloats) __builtin_prefetch(p, 0, 2);
  return p;
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
