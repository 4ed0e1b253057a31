// SPDX-License-Identifier: Apache-2.0
// y[i, ...] = scale x[index[i], ...] + offset: takes the samples of a batch from the user's array, and makes
// any view dense float32 (or int32, for labels), or puts it in lanes. x is walked as a matrix: the last
// dimension is a row, the others count rows.
#include "kernels/gather.h"

#include "lanes.h"

namespace fastcnn {
namespace cpu {

namespace {

static_assert(int(DType::kBool) == kDTypes - 1, "the kernels' tables follow DType");
constexpr int kItemSize[kDTypes] = {4, 8, 2, 1, 1, 2, 2, 4, 4, 8, 8, 1};

// Dimensions of x, the samples first, without those of size 1 and with neighbours that are evenly spaced made
// one.
struct Dims {
  int rank = 0;
  int64_t size[kMaxRank + 2], stride[kMaxRank + 2];

  void add(int64_t n, int64_t bytes) { size[rank] = n, stride[rank] = bytes, ++rank; }
  // Dimension `first` is the first that may be joined with the one before it.
  void join(int64_t n, int64_t bytes, int first) {
    if (n == 1) return;
    if (rank >= first && rank > 0 && stride[rank - 1] == n * bytes) {
      size[rank - 1] *= n, stride[rank - 1] = bytes;
    } else {
      add(n, bytes);
    }
  }
};

// Samples taken by index stay a dimension of their own.
Dims dims_of(const GatherShape& s, bool indexed) {
  Dims dims;
  if (indexed) {
    dims.add(s.n, s.sample_stride);
  } else {
    dims.join(s.n, s.sample_stride, 1);
  }
  for (int d = 0; d < s.rank; ++d) dims.join(s.shape[d], s.strides[d], indexed ? 2 : 1);
  if (dims.rank == int(indexed)) dims.add(1, 0);
  return dims;
}

int64_t elements(const GatherShape& s) {
  int64_t count = s.n;
  for (int d = 0; d < s.rank; ++d) count *= s.shape[d];
  return count;
}

struct Gather {
  Dims dims;
  const char* x;
  char* y;
  const int64_t* index;
  void (*kernel)(const GatherBlock&);
  float scale, offset;

  // Columns [begin, end) of row `row` and of as many rows after it, at most `rows`, as lie at one distance or
  // are samples taken by index; returns their number.
  int64_t copy(int64_t row, int64_t rows, int64_t begin, int64_t end) const {
    const int last = dims.rank - 1, second = last - 1;
    const int64_t cols = dims.size[last];
    GatherBlock block;
    block.x = x + begin * dims.stride[last];
    block.y = y + 4 * (row * cols + begin);
    block.index = nullptr;
    block.rows = 1;
    block.cols = end - begin;
    block.row_stride = second >= 0 ? dims.stride[second] : 0;
    block.col_stride = dims.stride[last];
    block.scale = scale;
    block.offset = offset;
    for (int d = second; d >= 0; --d) {
      const int64_t i = d > 0 ? row % dims.size[d] : row, left = dims.size[d] - i;
      const bool indexed = d == 0 && index;
      if (d == second) block.rows = rows < left ? rows : left;
      if (d == second && indexed)
        block.index = index + i;
      else
        block.x += dims.stride[d] * (indexed ? index[i] : i);
      row /= dims.size[d];
    }
    kernel(block);
    return block.rows;
  }
};

}  // namespace

bool supports_gather_strided(const OpDescriptor& op) {
  return op.gather.rank <= kMaxRank && (op.gather.to == DType::kF32 || op.gather.to == DType::kI32);
}

void prepare_gather_strided(Prepared* p) {
  const GatherShape& s = p->op.gather;
  const double count = double(elements(s));
  set_cost(p, 2 * count, (4 + kItemSize[int(s.from)]) * count);
}

namespace {

Gather gather_of(const GatherShape& s, const Operands& operands) {
  const GatherKernels& table = *kernels().gather;
  Gather gather;
  gather.index = static_cast<const int64_t*>(operands.in[1]);
  gather.dims = dims_of(s, gather.index != nullptr);
  gather.x = static_cast<const char*>(operands.in[0]);
  gather.y = static_cast<char*>(operands.out[0]);
  gather.kernel = s.to == DType::kF32 ? table.to_float[int(s.from)] : table.to_int[int(s.from)];
  gather.scale = s.scale;
  gather.offset = s.offset;
  return gather;
}

}  // namespace

void run_gather_strided(const Prepared& p, const Operands& operands, Context& context) {
  const GatherShape& s = p.op.gather;
  const Gather gather = gather_of(s, operands);
  // A task is some whole rows, or a piece of a long one.
  const int64_t cols = gather.dims.size[gather.dims.rank - 1], rows = cols > 0 ? elements(s) / cols : 0;
  const int64_t height = cols > 0 && cols < kChunk ? kChunk / cols : 1, pieces = ceil_div(cols, kChunk);
  parallel_for(*context.member, ceil_div(rows, height) * pieces, [&](int64_t task) {
    const int64_t begin = task % pieces * kChunk, end = begin + kChunk < cols ? begin + kChunk : cols;
    int64_t row = task / pieces * height;
    const int64_t stop = row + height < rows ? row + height : rows;
    while (row < stop) row += gather.copy(row, stop - row, begin, end);
  });
}

// A task is a block of samples, made dense in scratch. To ask for the next sample while one is copied gained
// nothing.
bool supports_gather_lanes(const OpDescriptor& op) {
  return supports_gather_strided(op) && op.gather.to == DType::kF32 && op.gather.rank > 0;
}
void prepare_gather_lanes(Prepared* p) {
  const GatherShape& s = p->op.gather;
  prepare_gather_strided(p);
  p->scratch_bytes = float_bytes(kBatchLanes * (elements(s) / s.n));
  p->blocks = lane_blocks(s.n);
}
void run_gather_lanes(const Prepared& p, const Operands& operands, Context& context) {
  const GatherShape& s = p.op.gather;
  Gather gather = gather_of(s, operands);
  const int64_t size = elements(s) / s.n, channels = s.shape[s.rank - 1];
  const int64_t cols = gather.dims.size[gather.dims.rank - 1];
  parallel_for(*context.member, lane_blocks(s.n), [&](int64_t block) {
    float* const dense = static_cast<float*>(context.member->scratch(p.scratch_bytes));
    const int64_t samples = std::min<int64_t>(kBatchLanes, s.n - block * kBatchLanes);
    const int64_t begin = block * kBatchLanes * size, end = begin + samples * size;
    Gather part = gather;
    part.y = reinterpret_cast<char*>(dense) - 4 * begin;
    if (cols > size)  // samples that follow each other make one row
      part.copy(0, 1, begin, end);
    else
      for (int64_t row = begin / cols; row < end / cols;) row += part.copy(row, end / cols - row, 0, cols);
    kernels().lanes->to_lanes({dense, output(operands, 0) + block * kBatchLanes * size, size / channels,
                               channels, static_cast<int32_t>(samples)});
  });
}

}  // namespace cpu
}  // namespace fastcnn
