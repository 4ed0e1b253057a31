// SPDX-License-Identifier: Apache-2.0
// One axis of a bilinear enlargement by s: y[i s + s / 2 + k] = (1 - t) x[i] + t x[i + 1], t = k / s for an
// odd s and (k + 1/2) / s for an even one, k below s; i runs from -1, and a pixel beyond an end is the end.
// The gradient of x[i] collects 2 s outputs in their order. Called by cpu/resize.cpp.
#include "resize.h"

#include "output.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

void mix(const float* x, int64_t pitch, const float* weights, int64_t rows, float* y, int64_t count,
         bool add) {
  for_each_block<4>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec sum[kVectors] = {};
    if (add)
      for (int v = 0; v < kVectors; ++v) sum[v] = block.get(y + i + v * kLanes);
    for (int64_t k = 0; k < rows; ++k) {
      const Vec w = broadcast(weights[k]);
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[v] = fma(w, block.get(x + k * pitch + i + v * kLanes), sum[v]);
    }
    for (int v = 0; v < kVectors; ++v) block.put(y + i + v * kLanes, sum[v]);
  });
}

constexpr int kTable = 64;

// How far output k stands on the way between two pixels, and how far from the second; from a table where the
// factor is small.
struct Weights {
  FASTCNN_INLINED explicit Weights(int64_t factor) : factor(factor) {
    for (int64_t k = 0; k < factor && k < kTable; ++k)
      first[k] = (float)(1 - way(k)), second[k] = (float)way(k);
  }
  FASTCNN_INLINED double way(int64_t k) const {
    return (double)(2 * k + (factor % 2 == 0)) / (double)(2 * factor);
  }
  FASTCNN_INLINED float w0(int64_t k) const { return k < kTable ? first[k] : (float)(1 - way(k)); }
  FASTCNN_INLINED float w1(int64_t k) const { return k < kTable ? second[k] : (float)way(k); }
  int64_t factor;
  float first[kTable], second[kTable];
};

// f(block, j) for the vectors of one pixel; a narrow one is one part of a vector, without a loop of its own.
template <bool kNarrow, class F>
FASTCNN_INLINE void for_each_channel(int64_t channels, F f) {
  if constexpr (kNarrow) {
    f(Part{(int)channels}, 0);
  } else {
    for_each_block<2>(channels, f);
  }
}

// One k at a time: its weights stay in registers.
template <bool kNarrow>
FASTCNN_INLINE void spread_row(const float* x, float* y, const ResizeRow& row) {
  const int64_t s = row.factor, c = row.channels;
  const Weights weights(s);
  const Output output(y, row.stream && c % 16 == 0, c);  // whole lines: each k writes some of the pixels
  for (int64_t k = 0; k < s; ++k) {
    const Vec w0 = broadcast(weights.w0(k)), w1 = broadcast(weights.w1(k));
    const auto pixel = [&](const float* a, const float* b, int64_t q) FASTCNN_INLINED {
      for_each_channel<kNarrow>(c, [&](auto block, int64_t j) FASTCNN_INLINED {
        FASTCNN_UNROLL
        for (int v = 0; v < block.kVectors; ++v, j += kLanes)
          output.put(block, y + q * c + j, fma(w1, block.get(b + j), w0 * block.get(a + j)));
      });
    };
    const int64_t first = k + s / 2;  // of pixels 0 and 1
    const float* last = x + (row.width - 1) * c;
    if (first >= s) pixel(x, x, first - s);
    for (int64_t i = 0; i + 1 < row.width; ++i) pixel(x + i * c, x + i * c + c, first + i * s);
    if (first < s) pixel(last, last, first + (row.width - 1) * s);
  }
  output.end();
}

void spread(const float* x, float* y, const ResizeRow& row) {
  if (row.channels < kLanes) return spread_row<true>(x, y, row);
  spread_row<false>(x, y, row);
}

template <bool kNarrow>
FASTCNN_INLINE void collect_row(const float* dy, float* dx, const ResizeRow& row) {
  const int64_t s = row.factor, c = row.channels, out = row.width * s;
  const Weights weights(s);
  for (int64_t i = 0; i < row.width; ++i) {
    const bool first = i == 0, last = i + 1 == row.width;
    const int64_t middle = i * s + s / 2;
    const int64_t begin = middle - s > 0 ? middle - s : 0, end = middle + s < out ? middle + s : out;
    for_each_channel<kNarrow>(c, [&](auto block, int64_t j) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec sum[kVectors] = {};
      const auto add = [&](int64_t q, float weight) FASTCNN_INLINED {
        FASTCNN_UNROLL
        for (int v = 0; v < kVectors; ++v)
          sum[v] = fma(broadcast(weight), block.get(dy + q * c + j + v * kLanes), sum[v]);
      };
      for (int64_t q = begin; q < middle; ++q) add(q, first ? 1.0f : weights.w1(q - middle + s));
      for (int64_t q = middle; q < end; ++q) add(q, last ? 1.0f : weights.w0(q - middle));
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) block.put(dx + i * c + j + v * kLanes, sum[v]);
    });
  }
}

void collect(const float* dy, float* dx, const ResizeRow& row) {
  if (row.channels < kLanes) return collect_row<true>(dy, dx, row);
  collect_row<false>(dy, dx, row);
}

}  // namespace

extern const ResizeKernels resize_kernels;
const ResizeKernels resize_kernels = {mix, spread, collect};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
