// SPDX-License-Identifier: Apache-2.0
// See depthwise.h for the formulas. Up to 8 outputs of a row share each vector of weights; the loop over
// channels is inside, so that memory is read in long runs. Loads are one per multiply-add, which two load
// ports just carry; memory is the roof of all but the largest filters.
#include "depthwise.h"

#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kOutputs = 8;

template <bool Whole>
FASTCNN_INLINE Vec read(const float* p, int n) {
  return Whole ? load(p) : load_n(p, n);
}

template <int NQ, bool Whole>
FASTCNN_INLINE void row_tile(const DepthwiseRow& d, int64_t c, int n) {
  Vec acc[NQ];
  FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] = Vec{};
  const int64_t x_q = d.x_q;
  for (int64_t h = 0; h < d.taps_h; ++h)
    for (int64_t w = 0; w < d.taps_w; ++w) {
      const Vec weight = read<Whole>(d.w + h * d.w_h + w * d.w_w + c, n);
      const float* x = d.x + h * d.x_h + w * d.x_w + c;
      FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] = fma(read<Whole>(x + i * x_q, n), weight, acc[i]);
    }
  if (d.bias) {
    const Vec bias = read<Whole>(d.bias + c, n);
    FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] = acc[i] + bias;
  }
  if (d.relu) FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] = relu(acc[i]);
  if (d.mask)
    FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] =
        read<Whole>(d.mask + i * d.y_q + c, n) <= Vec{} ? Vec{} : acc[i];
  FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) {
    float* y = d.y + i * d.y_q + c;
    if (Whole)
      store(y, acc[i]);
    else
      store_n(y, acc[i], n);
  }
}

template <int NQ>
void row_outputs(const DepthwiseRow& d) {
  int64_t c = 0;
  for (; c + kLanes <= d.channels; c += kLanes) row_tile<NQ, true>(d, c, kLanes);
  if (c < d.channels) row_tile<NQ, false>(d, c, static_cast<int>(d.channels - c));
}

void row(const DepthwiseRow& whole) {
  static constexpr void (*kTiles[])(const DepthwiseRow&) = {row_outputs<1>, row_outputs<2>, row_outputs<3>,
                                                            row_outputs<4>, row_outputs<5>, row_outputs<6>,
                                                            row_outputs<7>, row_outputs<8>};
  DepthwiseRow d = whole;
  for (int64_t left = (d.outputs + kOutputs - 1) / kOutputs, outputs = d.outputs; left > 0; --left) {
    const int64_t n = (outputs + left - 1) / left;
    kTiles[n - 1](d);
    d.x += n * d.x_q;
    d.y += n * d.y_q;
    if (d.mask) d.mask += n * d.y_q;
    outputs -= n;
  }
}

template <int TH, int TW, bool Whole>
FASTCNN_INLINE void sums_tile(const DepthwiseSums& d, int64_t c, int n) {
  Vec acc[TH][TW];
  float* const dw = d.dw + c;
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w) acc[h][w] =
      read<Whole>(dw + h * d.dw_h + w * d.dw_w, n);
  const int64_t x_w = opaque(d.x_w), x_q = opaque(d.x_q), dy_q = opaque(d.dy_q);
  for (int64_t p = 0; p < d.rows; ++p) {
    const float* dy = d.dy + p * d.dy_p + c;
    const float* x[TH];
    FASTCNN_UNROLL for (int h = 0; h < TH; ++h) x[h] = d.x + h * d.x_h + p * d.x_p + c;
    for (int64_t q = d.cols; q > 0; --q) {
      const Vec g = read<Whole>(dy, n);
      FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w) acc[h][w] =
          fma(read<Whole>(x[h] + w * x_w, n), g, acc[h][w]);
      dy += dy_q;
      FASTCNN_UNROLL for (int h = 0; h < TH; ++h) x[h] += x_q;
    }
  }
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w) {
    float* y = dw + h * d.dw_h + w * d.dw_w;
    if (Whole)
      store(y, acc[h][w]);
    else
      store_n(y, acc[h][w], n);
  }
}

template <int TH, int TW>
void sums_taps(const DepthwiseSums& d) {
  int64_t c = 0;
  for (; c + kLanes <= d.channels; c += kLanes) sums_tile<TH, TW, true>(d, c, kLanes);
  if (c < d.channels) sums_tile<TH, TW, false>(d, c, static_cast<int>(d.channels - c));
}

void sums(const DepthwiseSums& d) {
#define FASTCNN_SUMS(h)                                                                 \
  {                                                                                     \
    sums_taps<h, 1>, sums_taps<h, 2>, sums_taps<h, 3>, sums_taps<h, 4>, sums_taps<h, 5> \
  }
  static constexpr void (*kTiles[kDepthwiseTapsH][kDepthwiseTapsW])(const DepthwiseSums&) = {
      FASTCNN_SUMS(1), FASTCNN_SUMS(2), FASTCNN_SUMS(3)};
#undef FASTCNN_SUMS
  kTiles[d.taps_h - 1][d.taps_w - 1](d);
}

void repeat(const float* x, int64_t count, int64_t times, float* y) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < times; ++j) *y++ = x[i];
}

void sum_runs(const float* x, int64_t count, int64_t times, const float* mask, float* y) {
  for (int64_t i = 0; i < count; ++i, x += times) {
    float sum = x[0];
    for (int64_t j = 1; j < times; ++j) sum += x[j];
    y[i] = mask && mask[i] <= 0 ? 0 : sum;
  }
}

}  // namespace

extern const DepthwiseKernels depthwise_kernels;
const DepthwiseKernels depthwise_kernels = {row, sums, repeat, sum_runs};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
