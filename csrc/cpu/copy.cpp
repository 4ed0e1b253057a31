// SPDX-License-Identifier: Apache-2.0
// y[y_offset + i . y_stride] = x[x_offset + (i - before) . x_stride], 0 where x has no such element: what
// takes parts, pads, crops, permutes and repeats. A block that x does not fill is zeroed first, while it is
// in the cache. Below it what concatenates: y is written once, front to back.
#include "kernels/copy.h"

#include "kernels.h"
#include "nest.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int kY = 0, kX = 1;         // operands of the nest
constexpr int64_t kTransposed = 128;  // rows of a block that is transposed: whole lines of x and of y

// Of a concatenation: floats of y at a time, so that lines that two parts share are still near.
constexpr int64_t kTogether = 4096;

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

// An enlargement that a last cache of 32 MB holds took 1.2 times as long past it; 38 MB put together from
// four took 1.8 times as long through it.
bool past_caches(double written, double read) {
  return streams(written) && sizeof(float) * (written + read) > 2 * kStreamBytes;
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
  copy.stream = !padded && past_caches(written, read);  // padding is written twice
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

bool supports_concatenate_rows(const OpDescriptor& op) {
  return op.concatenate.parts >= 1 && op.concatenate.parts <= kMaxParts;
}

void prepare_concatenate_rows(Prepared* p) {
  const ConcatenateShape& s = p->op.concatenate;
  set_cost(p, 0, 2.0 * sizeof(float) * double(s.rows * s.width));
}

void run_concatenate_rows(const Prepared& p, const Operands& operands, Context& context) {
  const ConcatenateShape& s = p.op.concatenate;
  const CopyKernels& table = *kernels().copy;
  const double size = double(s.rows * s.width);
  const int64_t piece = s.width < kChunk ? s.width : kChunk, pieces = ceil_div(s.width, piece);
  const int64_t chunk = rows_per_chunk(piece), together = piece < kTogether ? kTogether / piece : 1;

  parallel_for(*context.member, ceil_div(s.rows, chunk) * pieces, [&](int64_t task) {
    const int64_t begin = task % pieces * piece, end = begin + piece < s.width ? begin + piece : s.width;
    const int64_t first = task / pieces * chunk, last = first + chunk < s.rows ? first + chunk : s.rows;
    for (int64_t r = first; r < last; r += together) {
      CopyBlock block{};
      block.size[0] = 1, block.size[1] = r + together < last ? together : last - r;
      block.y_stride[1] = s.cols, block.x_stride[2] = block.y_stride[2] = 1;
      block.stream = past_caches(size, size);
      int64_t start = 0;
      for (int64_t k = 0; k < s.parts; start += s.length[k++]) {
        const int64_t from = start > begin ? start : begin;
        const int64_t stop = start + s.length[k], to = stop < end ? stop : end;
        if (from >= to) continue;
        block.size[2] = to - from, block.x_stride[1] = s.length[k];
        block.x = input(operands, int(k)) + r * s.length[k] + from - start;
        block.y = output(operands, 0) + r * s.cols + s.begin + from;
        table.rows(block);
      }
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
