// SPDX-License-Identifier: Apache-2.0
// y[y_offset + i . y_stride] = x[x_offset + (i - before) . x_stride], 0 where x has no such element: what
// concatenates, pads, crops, permutes and repeats. A block that x does not fill is zeroed first, while it is
// in the cache.
#include "kernels/copy.h"

#include "kernels.h"
#include "nest.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int kY = 0, kX = 1;         // operands of the nest
constexpr int64_t kTransposed = 128;  // rows of a block that is transposed: whole lines of x and of y

struct CopyState {
  Nest nest;
  int64_t before[kNestDims], inner[kNestDims];
  int32_t transposed, stream;
};

// Another dimension than the last is contiguous in x: it becomes the last but one, for blocks that are
// transposed.
bool find_transposed(CopyState* copy) {
  Nest* nest = &copy->nest;
  const int last = nest->rank - 1, second = last - 1;
  const int64_t* x_stride = nest->stride[kX];
  if (nest->stride[kY][last] != 1 || x_stride[last] == 1 || x_stride[last] == 0) return false;
  for (int d = second; d >= 0; --d) {
    if (x_stride[d] != 1 || nest->size[d] == 1) continue;
    const auto swap = [&](int64_t* v) {
      const int64_t kept = v[d];
      v[d] = v[second], v[second] = kept;
    };
    swap(nest->size), swap(nest->stride[kY]), swap(nest->stride[kX]), swap(copy->inner);
    return true;
  }
  return false;
}

void cut_tiles(Nest* nest) {
  const int64_t* size = nest->size + nest->rank - kInner;
  nest->piece[1] = size[1] < kTransposed ? size[1] : kTransposed;
  const int64_t room = kChunk / nest->piece[1];
  nest->piece[2] = size[2] < room ? size[2] : room;
  nest->piece[0] = size[1] * size[2] < kChunk ? kChunk / (size[1] * size[2]) : 1;
}

}  // namespace

bool supports_copy_strided(const OpDescriptor& op) { return op.copy.rank >= 1 && op.copy.rank <= kMaxRank; }

void prepare_copy_strided(Prepared* p) {
  const CopyShape& s = p->op.copy;
  CopyState& copy = state<CopyState>(p);
  Nest& nest = copy.nest;
  nest.rank = int(s.rank), nest.operands = 2;
  bool padded = false;
  double written = 1, read = 1;
  for (int d = 0; d < s.rank; ++d) {
    nest.size[d] = s.size[d], nest.stride[kY][d] = s.y_stride[d], nest.stride[kX][d] = s.x_stride[d];
    // The first dimension counts samples, and a plan changes its size alone.
    copy.before[d] = d ? s.before[d] : 0, copy.inner[d] = d ? s.inner[d] : s.size[0];
    padded |= copy.inner[d] != s.size[d];
    written *= double(s.size[d]);
    if (s.x_stride[d]) read *= double(copy.inner[d]);
  }
  set_cost(p, 0, 4 * (written + read));
  // Padding is written twice, and an enlargement that a last cache of 32 MB holds took 1.2 times as long past
  // it.
  copy.stream = !padded && streams(written) && sizeof(float) * (written + read) > 2.5 * kStreamBytes;
  shorten(&nest, copy.before, copy.inner);
  copy.transposed = !padded && find_transposed(&copy);
  copy.transposed ? cut_tiles(&nest) : cut_rows(&nest);
}

void run_copy_strided(const Prepared& p, const Operands& operands, Context& context) {
  const CopyShape& s = p.op.copy;
  const CopyState& copy = state<CopyState>(p);
  const Nest& nest = copy.nest;
  const CopyKernels& table = *kernels().copy;
  const float* x = input(operands, 0) + s.x_offset;
  float* y = output(operands, 0) + s.y_offset;
  const int outer = nest.rank - kInner;

  for_each_block(context, nest, [&](const Block& at) {
    CopyBlock block;
    int64_t x_offset = 0, skipped = 0;
    bool whole = true, none = false;
    for (int d = 0; d < outer; ++d) {
      const int64_t i = at.outer[d] - copy.before[d];
      none |= i < 0 || i >= copy.inner[d];
      x_offset += i * nest.stride[kX][d];
    }
    int64_t filled[kInner];
    for (int k = 0; k < kInner; ++k) {
      const int d = outer + k;
      const int64_t first = at.begin[k] - copy.before[d], begin = first > 0 ? first : 0;
      const int64_t left = copy.inner[d] - begin, wanted = at.size[k] - (begin - first);
      filled[k] = left < wanted ? left : wanted;
      none |= filled[k] <= 0, whole &= filled[k] == at.size[k];
      x_offset += begin * nest.stride[kX][d];
      skipped += (begin - first) * nest.stride[kY][d];
      block.size[k] = at.size[k];
      block.x_stride[k] = nest.stride[kX][d], block.y_stride[k] = nest.stride[kY][d];
    }
    block.stream = copy.stream;
    block.x = x;
    block.y = y + offset_of(nest, kY, at);
    if (none || !whole) table.zero(block);
    if (none) return;
    for (int k = 0; k < kInner; ++k) block.size[k] = filled[k];
    block.x += x_offset, block.y += skipped;
    copy.transposed ? table.transpose(block) : table.rows(block);
  });
}

}  // namespace cpu
}  // namespace fastcnn
