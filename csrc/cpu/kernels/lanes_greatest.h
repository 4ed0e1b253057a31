// SPDX-License-Identifier: Apache-2.0
// The greatest number of a window in each lane, and its tap as a byte: the first of equal ones, and a NaN is
// greater than every number.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE IVec load_bytes(const uint8_t* p) {
  LaneBytes bytes = {};
  memcpy(&bytes, p, kLanes);
  return byte_lanes(bytes);
}
FASTCNN_INLINE void store_bytes(uint8_t* p, IVec v) {
  const LaneBytes bytes = lane_bytes(v);
  memcpy(p, &bytes, kLanes);
}

struct Greatest {
  Vec value;
  IVec tap;

  FASTCNN_INLINED void begin(Vec v, int i) { value = v, tap = IVec{} + i; }
  FASTCNN_INLINED void take(Vec v, int i) {
    const IVec keep = (v <= value) | (value != value);
    value = keep ? value : v;
    tap = keep ? tap : IVec{} + i;
  }
};

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
