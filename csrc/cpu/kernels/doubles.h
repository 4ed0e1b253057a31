// SPDX-License-Identifier: Apache-2.0
// The lanes of a vector in double precision, one half of them or the other. Included by the kernels whose
// sums need it.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

typedef float Half __attribute__((vector_size(kLanes * 2)));
typedef double Doubles __attribute__((vector_size(kLanes * 4)));

template <bool kUpper>
FASTCNN_INLINE Doubles half_of(Vec v) {
  Half half;
  memcpy(&half, (const char*)&v + kUpper * sizeof half, sizeof half);
  return __builtin_convertvector(half, Doubles);
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
