// SPDX-License-Identifier: Apache-2.0
// y[c] = sum or max of x[i,c] over the pixels i of an image, and dx[i,c] = dy[c] / divisor. Pixels are read
// in rows of `group` whole pixels, so that vectors are full where channels are few, eight rows at a time:
// each row is a stream of its own for the processor to fetch ahead. A row is folded to its channels at the
// end. Called by cpu/global_pool.cpp, which cuts large images into parts.
#include "global_pool.h"

#include "windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// How many pixels make a row.
FASTCNN_INLINE int64_t group_of(int64_t pixels, int64_t channels) {
  const int64_t most = channels < kGlobalRow ? kGlobalRow / channels : 1;
  return smaller(most, pixels);
}

struct Max {
  FASTCNN_INLINED Vec pair(Vec a, Vec b, int) { return join(a, b); }
  FASTCNN_INLINED Vec join(Vec best, Vec v) { return ((v > best) | (v != v)) ? v : best; }
};
// Of numbers alone: the processor's own maximum, and a sum, which a NaN spoils (so do infinities of both
// signs, and Max starts over for nothing). With Max, whose joins take four instructions, maxima were twice as
// slow as sums in L1; with two comparisons of each pair in place of the sum a sixth slower.
struct MaxOfNumbers {
  Vec sums[4] = {};
  FASTCNN_INLINED Vec pair(Vec a, Vec b, int i) {
    sums[i] += a + b;
    return join(a, b);
  }
  FASTCNN_INLINED Vec join(Vec best, Vec v) { return best > v ? best : v; }
  FASTCNN_INLINED bool all_numbers() const {
    const Vec sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    return lane_sum(sum) == lane_sum(sum);
  }
};
struct Sum {
  FASTCNN_INLINED Vec pair(Vec a, Vec b, int) { return a + b; }
  FASTCNN_INLINED Vec join(Vec sum, Vec v) { return sum + v; }
};

// y = kRows rows of x, joined in pairs, and y before them if there is one. Of large images the rows after the
// next are asked for, which takes a quarter off sums and almost half off maxima; in L1 it costs a third.
constexpr int64_t kLarge = 32768;  // floats
struct Progress {
  bool first, large;
};

template <int kRows, class Op>
FASTCNN_INLINE void add_rows(Op& op, const float* x, int64_t cols, Progress at, float* y) {
  for_each_block<2>(cols, [&](auto block, int64_t c) FASTCNN_INLINED {
    if (kRows > 1 && at.large)
      for (int r = 0; r < kRows; ++r) __builtin_prefetch(x + (2 * kRows + r) * cols + c);
    for (int v = 0; v < block.kVectors; ++v, c += kLanes) {
      Vec row[kRows];
      FASTCNN_UNROLL
      for (int r = 0; r < kRows; ++r) row[r] = block.get(x + r * cols + c);
      FASTCNN_UNROLL
      for (int r = 0; r < kRows / 2; ++r) row[r] = op.pair(row[r], row[r + kRows / 2], r);
      FASTCNN_UNROLL
      for (int half = kRows / 4; half > 0; half /= 2) FASTCNN_UNROLL
      for (int r = 0; r < half; ++r) row[r] = op.join(row[r], row[r + half]);
      if (!at.first) row[0] = op.pair(block.get(y + c), row[0], 0);
      block.put(y + c, row[0]);
    }
  });
}

// y [cols] of x [rows, cols], rows >= 1.
template <class Op>
FASTCNN_INLINE void reduce_rows(Op& op, const float* x, int64_t rows, int64_t cols, float* y) {
  const bool large = rows * cols >= kLarge;
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8) add_rows<8>(op, x + r * cols, cols, {r == 0, large}, y);
  for (; r < rows; ++r) add_rows<1>(op, x + r * cols, cols, {r == 0, large}, y);
}

template <class Op>
FASTCNN_INLINE void reduce(Op& op, const Pixels& a, float* y) {
  const int64_t group = group_of(a.count, a.channels), cols = group * a.channels;
  const int64_t rows = a.count / group, left = a.count % group * a.channels;
  if (group == 1) return reduce_rows(op, a.x, rows, cols, y);
  float wide[kGlobalRow];
  reduce_rows(op, a.x, rows, cols, wide);
  const auto add = [&](const float* x, int64_t count)
                       FASTCNN_INLINED { add_rows<1>(op, x, count, {false, false}, wide); };
  add(a.x + rows * cols, left);
  for (int64_t pixels = group, half; pixels > 1; pixels = half) {
    half = (pixels + 1) / 2;
    add(wide + half * a.channels, (pixels - half) * a.channels);
  }
  for_each_vector(a.channels,
                  [&](auto block, int64_t c) FASTCNN_INLINED { block.put(y + c, block.get(wide + c)); });
}

void sum(const Pixels& pixels, int64_t divisor, float* y) {
  const Pixels a = pixels;
  Sum op;
  reduce(op, a, y);
  if (divisor == 1) return;
  const Mean mean(divisor);
  for_each_vector(a.channels,
                  [&](auto block, int64_t c) FASTCNN_INLINED { block.put(y + c, mean(block.get(y + c))); });
}

void max(const Pixels& pixels, float* y) {
  const Pixels a = pixels;
  MaxOfNumbers numbers;
  reduce(numbers, a, y);
  if (numbers.all_numbers()) return;
  Max op;
  reduce(op, a, y);
}

// best and index [cols] of x [rows, cols], whose rows are numbered from 0.
FASTCNN_INLINE void best_rows(const float* x, int64_t rows, int64_t cols, float* best, int32_t* index) {
  for (int64_t r = 0; r < rows; r += 4) {
    const int64_t end = smaller(r + 4, rows);
    for_each_vector(cols, [&](auto block, int64_t c) FASTCNN_INLINED {
      const bool first = r == 0;
      Vec value = block.get(first ? x + c : best + c);
      IVec at = first ? IVec{} : vec_to_bits(block.get((const float*)index + c));
      for (int64_t i = r + first; i < end; ++i) {
        const Vec v = block.get(x + i * cols + c);
        const IVec keep = (v <= value) | (value != value);
        at = keep ? at : IVec{} + (int32_t)i;
        value = keep ? value : v;
      }
      block.put(best + c, value);
      block.put((float*)index + c, bits_to_vec(at));
    });
  }
}

// The earlier pixel of equal ones, and of two NaNs.
FASTCNN_INLINE void join_best(float v, int32_t at, float* best, int32_t* index) {
  const bool equal = v == *best || (v != v && *best != *best);
  const bool better = equal ? at < *index : *best == *best && !(v < *best);
  if (better) *best = v, *index = at;
}

void max_index(const Pixels& pixels, float* y, int32_t* index) {
  const Pixels a = pixels;
  const int64_t group = group_of(a.count, a.channels), cols = group * a.channels;
  const int64_t rows = a.count / group, left = a.count % group * a.channels;
  float wide[kGlobalRow];
  int32_t wide_index[kGlobalRow];
  float* best = group == 1 ? y : wide;
  int32_t* at = group == 1 ? index : wide_index;
  best_rows(a.x, rows, cols, best, at);
  const int32_t first = (int32_t)a.first, step = (int32_t)group;
  if (group == 1) {
    for (int64_t c = 0; c < cols; ++c) index[c] += first;
    return;
  }
  for (int64_t pixel = 0, i = 0; pixel < group; ++pixel)
    for (int64_t c = 0; c < a.channels; ++c, ++i) wide_index[i] = wide_index[i] * step + (int32_t)pixel;
  const float* rest = a.x + rows * cols;
  for (int64_t i = 0; i < left; ++i)
    join_best(rest[i], (int32_t)(rows * group + i / a.channels), wide + i, wide_index + i);
  for (int64_t c = 0; c < a.channels; ++c) {
    float value = wide[c];
    int32_t place = wide_index[c];
    for (int64_t i = c + a.channels; i < cols; i += a.channels)
      join_best(wide[i], wide_index[i], &value, &place);
    y[c] = value, index[c] = place + first;
  }
}

void spread(const GlobalSpread& args) {
  const GlobalSpread a = args;
  const Mean mean(a.divisor);
  const int64_t group = group_of(a.count, a.channels), cols = group * a.channels;
  for_each_vector(a.channels, [&](auto block, int64_t c)
                                  FASTCNN_INLINED { block.put(a.row + c, mean(block.get(a.dy + c))); });
  // Pixel after pixel each waits for the one before: gradients of one channel took twice as long.
  for (int64_t i = a.channels; i < cols; i *= 2)
    memcpy(a.row + i, a.row, (size_t)smaller(i, cols - i) * sizeof(float));
  const int64_t total = a.count * a.channels;
  for (int64_t row = 0; row < total; row += cols) {
    const float* mask = a.mask ? a.mask + row : nullptr;
    for_each_block<2>(smaller(cols, total - row), [&](auto block, int64_t c) FASTCNN_INLINED {
      for (int v = 0; v < block.kVectors; ++v, c += kLanes) {
        const Vec dy = block.get(a.row + c);
        block.put(a.dx + row + c, mask ? (block.get(mask + c) <= Vec{} ? Vec{} : dy) : dy);
      }
    });
  }
}

}  // namespace

extern const GlobalPoolKernels global_pool_kernels;
const GlobalPoolKernels global_pool_kernels = {sum, max, max_index, spread};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
