// SPDX-License-Identifier: Apache-2.0
#include "validate_axes.h"

namespace fastcnn {

bool MovedAxes::in_place() const {
  for (int i = 0; i < rank; ++i)
    if (order[i] != i) return false;
  return true;
}

MovedAxes moved_to_end(const char* op, const std::vector<int64_t>& axis, int rank) {
  bool named[kMaxRank] = {};
  for (const int64_t each : axis) {
    const int64_t a = each < 0 ? each + rank : each;
    if (a < 0 || a >= rank)
      fail(Code::kArgument, "%s: axis is %lld, wanted %d to %d: x has rank %d", op,
           static_cast<long long>(each), -rank, rank - 1, rank);
    if (named[a]) fail(Code::kArgument, "%s: axis names axis %lld twice", op, static_cast<long long>(a));
    named[a] = true;
  }
  if (axis.empty()) fail(Code::kArgument, "%s: axis is empty, wanted at least one axis", op);
  MovedAxes moved{rank, static_cast<int>(axis.size()), {}};
  int* next = moved.order;
  for (const bool last : {false, true})
    for (int a = 0; a < rank; ++a)
      if (named[a] == last) *next++ = a;
  return moved;
}

}  // namespace fastcnn
