// SPDX-License-Identifier: Apache-2.0
#include "nest.h"

namespace fastcnn {
namespace cpu {

namespace {

void move_dim(Nest* nest, int from, int to, int64_t* before, int64_t* inner) {
  nest->size[to] = nest->size[from];
  for (int t = 0; t < nest->operands; ++t) nest->stride[t][to] = nest->stride[t][from];
  if (before) before[to] = before[from], inner[to] = inner[from];
}

}  // namespace

void shorten(Nest* nest, int64_t* before, int64_t* inner) {
  int rank = 0;  // of what is kept, in place
  for (int d = 0; d < nest->rank; ++d) {
    if (nest->size[d] == 1) continue;
    bool joins = rank > 0 && !nest->padded(d, before, inner);
    for (int t = 0; joins && t < nest->operands; ++t)
      joins = nest->stride[t][rank - 1] == nest->stride[t][d] * nest->size[d];
    if (!joins) {
      move_dim(nest, d, rank++, before, inner);
      continue;
    }
    const int last = rank - 1;
    nest->size[last] *= nest->size[d];
    if (before) before[last] *= nest->size[d], inner[last] *= nest->size[d];
    for (int t = 0; t < nest->operands; ++t) nest->stride[t][last] = nest->stride[t][d];
  }
  const int ones = rank < kInner ? kInner - rank : 0;
  for (int d = rank - 1; d >= 0; --d) move_dim(nest, d, d + ones, before, inner);
  for (int d = 0; d < ones; ++d) {
    nest->size[d] = 1;
    for (int t = 0; t < nest->operands; ++t) nest->stride[t][d] = 0;
    if (before) before[d] = 0, inner[d] = 1;
  }
  nest->rank = rank + ones;
}

void cut_rows(Nest* nest) {
  const int64_t* size = nest->size + nest->rank - kInner;
  int64_t room = kChunk;
  for (int d = kInner - 1; d >= 0; --d) {
    nest->piece[d] = size[d] < room ? size[d] : room;
    room = room / size[d] > 1 ? room / size[d] : 1;
  }
}

}  // namespace cpu
}  // namespace fastcnn
