// SPDX-License-Identifier: Apache-2.0
// Loops over up to eight dimensions of strided arrays, as copies, merges and their gradients have them. A
// nest is brought into its shortest form once, then handed out to the team in blocks of its three innermost
// dimensions, cut by shape alone. Strides count floats; 0 repeats the same element along a dimension.
#pragma once
#include "chunks.h"

namespace fastcnn {
namespace cpu {

constexpr int kInner = 3;         // dimensions of a block: what one call of a kernel loops over
constexpr int kNestOperands = 4;  // arrays that are walked together
constexpr int kNestDims = kMaxRank;

struct Nest {
  int32_t rank, operands;
  int64_t size[kNestDims];
  int64_t stride[kNestOperands][kNestDims];
  int64_t piece[kInner];  // how much of the inner dimensions a block takes at most

  // Element (i - before) of operand 1 belongs to index i; there is none outside [0, inner).
  bool padded(int d, const int64_t* before, const int64_t* inner) const {
    return before && (before[d] != 0 || inner[d] != size[d]);
  }
};

// A part of a nest: `size` indices from `begin` of each inner dimension, at one place of the outer ones.
struct Block {
  int64_t begin[kInner], size[kInner];
  const int64_t* outer;  // the place, one index for each outer dimension
};

// Dimensions of one index go, neighbours that are evenly spaced in every operand become one, and ones are put
// in front until there are kInner. `before` and `inner`, where given, say which part of the index range
// operand 1 fills.
void shorten(Nest* nest, int64_t* before = nullptr, int64_t* inner = nullptr);

// Blocks of whole rows, about kChunk elements each.
void cut_rows(Nest* nest);

// f(block) for blocks that cover the nest.
template <class F>
void for_each_block(Context& context, const Nest& nest, F f) {
  const int outer = nest.rank - kInner;
  const int64_t* size = nest.size + outer;
  int64_t pieces[kInner], cuts = 1, places = 1, volume = 1;
  for (int d = 0; d < kInner; ++d) {
    pieces[d] = ceil_div(size[d], nest.piece[d]);
    cuts *= pieces[d], volume *= nest.piece[d] < size[d] ? nest.piece[d] : size[d];
  }
  for (int d = 0; d < outer; ++d) places *= nest.size[d];
  const int64_t together = cuts == 1 ? rows_per_chunk(volume) : 1;  // places of a task

  parallel_for(*context.member, ceil_div(places, together) * cuts, [&](int64_t task) {
    Block block;
    int64_t cut = task % cuts, place = task / cuts * together;
    const int64_t stop = place + together < places ? place + together : places;
    for (int d = kInner - 1; d >= 0; --d) {
      block.begin[d] = cut % pieces[d] * nest.piece[d];
      cut /= pieces[d];
      const int64_t left = size[d] - block.begin[d];
      block.size[d] = left < nest.piece[d] ? left : nest.piece[d];
    }
    int64_t index[kNestDims] = {};
    int64_t rest = place;
    for (int d = outer - 1; d >= 0; --d) index[d] = rest % nest.size[d], rest /= nest.size[d];
    block.outer = index;
    for (; place < stop; ++place) {
      f(block);
      for (int d = outer - 1; d >= 0 && ++index[d] == nest.size[d]; --d) index[d] = 0;
    }
  });
}

// Where the block begins in an operand.
inline int64_t offset_of(const Nest& nest, int operand, const Block& block) {
  const int outer = nest.rank - kInner;
  const int64_t* stride = nest.stride[operand];
  int64_t offset = 0;
  for (int d = 0; d < outer; ++d) offset += block.outer[d] * stride[d];
  for (int d = 0; d < kInner; ++d) offset += block.begin[d] * stride[outer + d];
  return offset;
}

}  // namespace cpu
}  // namespace fastcnn
