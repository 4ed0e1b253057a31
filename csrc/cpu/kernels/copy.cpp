// SPDX-License-Identifier: Apache-2.0
// y[p, r, c] = x[p, r, c], each array with its own strides: row by row, or, where x is contiguous along r and
// y along c, in tiles of kLanes by kLanes that are transposed in registers. Called by cpu/copy.cpp with
// blocks that stay in the caches.
#include "copy.h"

#include "output.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// f(x, y) for each row of the block, which is copied: what is stored may alias the caller's, and then it is
// read again for each row.
template <class F>
FASTCNN_INLINE void for_each_row(const CopyBlock& block, F f) {
  const CopyBlock b = block;
  for (int64_t p = 0; p < b.size[0]; ++p) {
    const float* x = b.x + p * b.x_stride[0];
    float* y = b.y + p * b.y_stride[0];
    for (int64_t r = 0; r < b.size[1]; ++r, x += b.x_stride[1], y += b.y_stride[1]) f(x, y);
  }
}

// Past the caches where rows are whole lines: others may share a line with what another block writes.
FASTCNN_INLINE Output output_of(const CopyBlock& b) {
  const int64_t pitch = b.size[2] | (b.size[1] > 1 ? b.y_stride[1] : 0) | (b.size[0] > 1 ? b.y_stride[0] : 0);
  return Output(b.y, b.stream && (uintptr_t)b.y % 64 == 0 && pitch % 16 == 0, pitch);
}

// Rows of a few pieces of kWidth floats, the last of which ends with the row, over the one before.
template <int kWidth, int kPieces>
FASTCNN_INLINE void rows_of(const CopyBlock& b) {
  typedef float Piece __attribute__((vector_size(4 * kWidth)));
  const int64_t last = b.size[2] - kWidth;
  for_each_row(b, [=](const float* x, float* y) FASTCNN_INLINED {
    Piece v[kPieces];
    FASTCNN_UNROLL
    for (int i = 0; i < kPieces; ++i) memcpy(&v[i], x + (i + 1 < kPieces ? i * kWidth : last), sizeof v[i]);
    FASTCNN_UNROLL
    for (int i = 0; i < kPieces; ++i) memcpy(y + (i + 1 < kPieces ? i * kWidth : last), &v[i], sizeof v[i]);
  });
}

// Rows below a vector, as one piece or two: as parts of vectors, which cross lines more often, 3 and 5
// columns took 1.6 times as long.
template <int kWidth = kLanes / 2>
void short_rows(const CopyBlock& b) {
  if constexpr (kWidth > 1)
    if (b.size[2] < kWidth) return short_rows<kWidth / 2>(b);
  b.size[2] == kWidth ? rows_of<kWidth, 1>(b) : rows_of<kWidth, 2>(b);
}

// A short row has no loop of its own: with one, rows of a vector took twice as long.
void rows(const CopyBlock& b) {
  const int64_t cols = b.size[2], x_step = b.x_stride[2], y_step = b.y_stride[2];
  const Part part{(int)cols};
  const Output output = output_of(b);
  if (y_step != 1 || (x_step != 1 && x_step != 0)) {
    for_each_row(b, [=](const float* x, float* y) FASTCNN_INLINED {
      for (int64_t c = 0; c < cols; ++c) y[c * y_step] = x[c * x_step];
    });
  } else if (x_step == 0 && cols < kLanes) {
    for_each_row(b, [=](const float* x, float* y) FASTCNN_INLINED { part.put(y, broadcast(*x)); });
  } else if (x_step == 0) {
    for_each_row(b, [=](const float* x, float* y) FASTCNN_INLINED {
      const Vec v = broadcast(*x);
      for_each_block<2>(cols, [&](auto block, int64_t c) FASTCNN_INLINED {
        FASTCNN_UNROLL
        for (int i = 0; i < block.kVectors; ++i) block.put(y + c + i * kLanes, v);
      });
    });
  } else if (cols < kLanes) {
    short_rows(b);
  } else if (cols <= kLanes && !output.streams) {
    rows_of<kLanes, 1>(b);
  } else if (cols <= 2 * kLanes && !output.streams) {
    rows_of<kLanes, 2>(b);
  } else if (cols <= 3 * kLanes && !output.streams) {
    rows_of<kLanes, 3>(b);
  } else if (cols <= 4 * kLanes && !output.streams) {
    rows_of<kLanes, 4>(b);
  } else {
    for_each_row(b, [=](const float* x, float* y) FASTCNN_INLINED {
      for_each_block<4>(cols, [&](auto block, int64_t c) FASTCNN_INLINED {
        Vec v[block.kVectors];
        FASTCNN_UNROLL
        for (int i = 0; i < block.kVectors; ++i) v[i] = block.get(x + c + i * kLanes);
        FASTCNN_UNROLL
        for (int i = 0; i < block.kVectors; ++i) output.put(block, y + c + i * kLanes, v[i]);
      });
    });
  }
  output.end();
}

void zero(const CopyBlock& b) {
  const int64_t cols = b.size[2], y_step = b.y_stride[2];
  for_each_row(b, [=](const float*, float* y) FASTCNN_INLINED {
    if (y_step != 1) {
      for (int64_t c = 0; c < cols; ++c) y[c * y_step] = 0;
      return;
    }
    for_each_block<2>(cols, [&](auto block, int64_t c) FASTCNN_INLINED {
      FASTCNN_UNROLL
      for (int i = 0; i < block.kVectors; ++i) block.put(y + c + i * kLanes, Vec{});
    });
  });
}

// Rows [0, rows) and columns [0, cols) of one tile, at most kLanes each.
template <class Rows, class Cols>
FASTCNN_INLINE void transpose_tile(const float* x, float* y, const CopyBlock& b, Rows rows, Cols cols,
                                   int n_rows, int n_cols) {
  Vec v[kLanes];
  for (int c = 0; c < kLanes; ++c) v[c] = c < n_cols ? rows.get(x + c * b.x_stride[2]) : Vec{};
  transpose(v);
  for (int r = 0; r < kLanes; ++r)
    if (r < n_rows) cols.put(y + r * b.y_stride[1], v[r]);
}

// Fewer rows or columns than this are moved one by one: most of a tile would be empty.
constexpr int kFew = kLanes / 4;

void transpose_few(const CopyBlock& b) {
  const int64_t rows = b.size[1], cols = b.size[2], x_step = b.x_stride[2], y_step = b.y_stride[1];
  for (int64_t p = 0; p < b.size[0]; ++p) {
    const float* __restrict x = b.x + p * b.x_stride[0];
    float* __restrict y = b.y + p * b.y_stride[0];
    if (rows <= kFew) {
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < cols; ++c) y[r * y_step + c] = x[c * x_step + r];
    } else {
      for (int64_t c = 0; c < cols; ++c)
        for (int64_t r = 0; r < rows; ++r) y[r * y_step + c] = x[c * x_step + r];
    }
  }
}

// Down a strip of kLanes columns: of x whole lines are read, of y as many lines are open as there are rows.
void transpose_block(const CopyBlock& b) {
  const int64_t rows = b.size[1], cols = b.size[2];
  if (rows <= kFew || cols <= kFew) return transpose_few(b);
  for (int64_t p = 0; p < b.size[0]; ++p) {
    const float* xp = b.x + p * b.x_stride[0];
    float* yp = b.y + p * b.y_stride[0];
    for (int64_t c = 0; c < cols; c += kLanes) {
      const float* x = xp + c * b.x_stride[2];
      const int n_cols = cols - c < kLanes ? (int)(cols - c) : kLanes;
      int64_t r = 0;
      if (n_cols == kLanes)
        for (; r + kLanes <= rows; r += kLanes)
          transpose_tile(x + r, yp + r * b.y_stride[1] + c, b, Whole<1>{}, Whole<1>{}, kLanes, kLanes);
      for (; r < rows; r += kLanes) {
        const int n_rows = rows - r < kLanes ? (int)(rows - r) : kLanes;
        transpose_tile(x + r, yp + r * b.y_stride[1] + c, b, Part{n_rows}, Part{n_cols}, n_rows, n_cols);
      }
    }
  }
}

}  // namespace

extern const CopyKernels copy_kernels;
const CopyKernels copy_kernels = {rows, transpose_block, zero};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
