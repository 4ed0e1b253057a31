// SPDX-License-Identifier: Apache-2.0
// The greatest value of each channel of a window and where it stands. Of equal ones it is the first in
// row-major order, and a NaN is greater than every number. Included by the kernels of max pooling.
#pragma once
#include "windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <int kVectors>
struct Best {
  Vec value[kVectors];
  IVec label[kVectors];
};

// The greatest of each channel of a window and the label of its tap; that of the first is 0.
template <class Size, class Block, class Label>
FASTCNN_INLINE auto find_best(const Geometry& g, Size size, Block block, const float* x, Label label) {
  Best<Block::kVectors> best;
  for (int v = 0; v < Block::kVectors; ++v) best.value[v] = block.get(x + v * kLanes), best.label[v] = IVec{};
  size.for_each_tap([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
    if (position == 0) return;
    const float* pixel = x + r * g.row_step + col * g.col_step;
    for (int v = 0; v < Block::kVectors; ++v) {
      const Vec value = block.get(pixel + v * kLanes), old = best.value[v];
      const IVec keep = (value <= old) | (old != old);
      best.value[v] = keep ? old : value;
      best.label[v] = keep ? best.label[v] : IVec{} + label(r, col, position);
    }
  });
  return best;
}

FASTCNN_INLINE int position_label(int64_t, int64_t, int position) { return position; }

// Where the taps of a window lie from its first, for windows of one size.
struct Offsets {
  static constexpr int kTaps = 256;
  int64_t rows = 0, cols = 0;
  int64_t pixel[kTaps];  // floats
  int32_t row[kTaps];    // rows of the image

  FASTCNN_INLINED void set(const Geometry& g, int64_t r_count, int64_t s_count) {
    if (r_count == rows && s_count == cols) return;
    rows = r_count, cols = s_count;
    if (rows * cols > kTaps) return;
    int position = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t s = 0; s < cols; ++s, ++position) {
        pixel[position] = r * g.row_step + s * g.col_step;
        row[position] = (int32_t)(r * g.rows.dilation);
      }
  }
};

// Clears rows [begin, end) of the image dx and calls add(at, i) for every window and channel whose tap lies
// in them, in the order of the windows: `at` is its offset in dx, label(i) the number of the tap, i the
// offset of the window's channel from the first row of windows of `over`. One by one: gathering whole vectors
// of the windows that hold a pixel, most of which have not chosen it, took two to ten times as long.
template <class Label, class Add>
FASTCNN_INLINE void scatter_windows(const Geometry& g, float* dx, Span band, Span over, Label label,
                                    Add add) {
  const Pool2dShape& s = g.s;
  memset(dx + band.begin * s.w * s.c, 0, (size_t)((band.end - band.begin) * s.w * s.c) * sizeof *dx);
  const uint64_t height = (uint64_t)(band.end - band.begin);
  Offsets offsets;
  int64_t i = 0;
  for (int64_t p = over.begin; p < over.end; ++p) {
    const Span rows = g.rows.taps(p);
    const int64_t count = g.rows.count(rows);
    const uint64_t first = (uint64_t)(rows.begin - band.begin);
    for (int64_t q = 0; q < s.q; ++q) {
      const Span cols = g.cols.taps(q);
      offsets.set(g, count, g.cols.count(cols));
      const int64_t window = (rows.begin * s.w + cols.begin) * s.c;
      if (offsets.rows * offsets.cols <= Offsets::kTaps) {
        for (int64_t c = 0; c < s.c; ++c, ++i) {
          const int position = label(i);
          if (first + (uint64_t)offsets.row[position] < height) add(window + offsets.pixel[position] + c, i);
        }
      } else {
        for (int64_t c = 0; c < s.c; ++c, ++i) {
          const int64_t position = label(i), r = position / offsets.cols, col = position - r * offsets.cols;
          if (first + (uint64_t)(r * g.rows.dilation) < height)
            add(window + r * g.row_step + col * g.col_step + c, i);
        }
      }
    }
  }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
