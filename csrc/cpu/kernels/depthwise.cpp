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

// Outputs of a tile; with 12 weights of a filter row in registers, an eighth would spill.
constexpr int most_outputs(int group) { return group == 4 ? 7 : 8; }
constexpr int kMostGroup = kLanes < 8 ? kLanes : 8;

template <bool Whole>
FASTCNN_INLINE Vec read(const float* p, int n) {
  return Whole ? load(p) : load_n(p, n);
}

// acc[i] += the products of all channels of the groups, from channel Lane on.
template <int Group, int Lane, int NQ, bool Whole>
FASTCNN_INLINE void multiply(Vec (&acc)[NQ], const Vec (&x)[NQ], const float* w, int64_t w_g, int n) {
  if constexpr (Lane < Group) {
    const Vec weight = read<Whole>(w, n);
    FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] = fma(spread<Group, Lane>(x[i]), weight, acc[i]);
    multiply<Group, Lane + 1, NQ, Whole>(acc, x, w + w_g, w_g, n);
  }
}

// Outputs one input apart share their inputs: each vector of x, and its permutations, serves all TW taps of a
// filter row.
template <int Group, int Lane, int TW, int NQ>
FASTCNN_INLINE void slide(Vec (&acc)[NQ], const Vec (&w)[TW][Group], Vec x, int j) {
  if constexpr (Lane < Group) {
    const Vec one = spread<Group, Lane>(x);
    FASTCNN_UNROLL for (int t = 0; t < TW; ++t) if (j >= t && j - t < NQ) acc[j - t] =
        fma(one, w[t][Lane], acc[j - t]);
    slide<Group, Lane + 1, TW, NQ>(acc, w, x, j);
  }
}

// TW > 0: exactly so many taps, and x_w = x_q.
template <int Group, int TW, int NQ, bool Whole>
FASTCNN_INLINE void sum_taps(Vec (&acc)[NQ], const DepthwiseRow& d, int64_t c, int n) {
  const int64_t x_q = opaque(d.x_q), w_w = opaque(d.w_w), w_g = opaque(d.w_g);
  const float *x_row = d.x + c, *w_row = d.w + c;
  for (int64_t h = d.taps_h; h > 0; --h, x_row += d.x_h, w_row += d.w_h) {
    const float *x = x_row, *w = w_row;
    if constexpr (TW > 0) {
      Vec weights[TW][Group];
      FASTCNN_UNROLL for (int t = 0; t < TW; ++t, w = opaque(w + w_w)) {
        const float* p = w;
        FASTCNN_UNROLL for (int g = 0; g < Group; ++g, p += w_g) weights[t][g] = read<Whole>(p, n);
      }
      FASTCNN_UNROLL for (int j = 0; j < NQ + TW - 1; ++j, x += x_q)
          slide<Group, 0, TW, NQ>(acc, weights, read<Whole>(x, n), j);
    } else {
      for (int64_t t = 0; t < d.taps_w; ++t, x += d.x_w, w += w_w) {
        Vec v[NQ];
        const float* p = x;
        FASTCNN_UNROLL for (int i = 0; i < NQ; ++i, p += x_q) v[i] = read<Whole>(p, n);
        multiply<Group, 0, NQ, Whole>(acc, v, w, w_g, n);
      }
    }
  }
}

template <int Group, int TW, int NQ, bool Whole>
FASTCNN_INLINE void row_tile(const DepthwiseRow& d, int64_t c, int n) {
  Vec acc[NQ];
  FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] = Vec{};
  sum_taps<Group, TW, NQ, Whole>(acc, d, c, n);
  if (d.accumulate)
    FASTCNN_UNROLL for (int i = 0; i < NQ; ++i) acc[i] = acc[i] + read<Whole>(d.y + i * d.y_q + c, n);
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

template <int Group, int TW, int NQ>
void row_outputs(const DepthwiseRow& d) {
  int64_t c = 0;
  for (; c + kLanes <= d.channels; c += kLanes) row_tile<Group, TW, NQ, true>(d, c, kLanes);
  if (c < d.channels) row_tile<Group, TW, NQ, false>(d, c, static_cast<int>(d.channels - c));
}

template <int Group, int TW>
void row_of(DepthwiseRow d) {
  static constexpr void (*kTiles[])(const DepthwiseRow&) = {
      row_outputs<Group, TW, 1>, row_outputs<Group, TW, 2>,
      row_outputs<Group, TW, 3>, row_outputs<Group, TW, 4>,
      row_outputs<Group, TW, 5>, row_outputs<Group, TW, 6>,
      row_outputs<Group, TW, 7>, row_outputs<Group, TW, most_outputs(Group)>};
  for (int64_t left = (d.outputs + most_outputs(Group) - 1) / most_outputs(Group), outputs = d.outputs;
       left > 0; --left) {
    const int64_t n = (outputs + left - 1) / left;
    kTiles[n - 1](d);
    d.x += n * d.x_q;
    d.y += n * d.y_q;
    if (d.mask) d.mask += n * d.y_q;
    outputs -= n;
  }
}

void row(const DepthwiseRow& d) {
  const int64_t sliding = d.x_w == d.x_q ? d.taps_w : 0;
  if (d.group == 1) return sliding == 3 ? row_of<1, 3>(d) : sliding == 5 ? row_of<1, 5>(d) : row_of<1, 0>(d);
  if (d.group == 2) return row_of<2, 0>(d);
  if constexpr (kMostGroup >= 8)
    if (d.group == 8) return row_of<8, 0>(d);
  return sliding == 3 ? row_of<4, 3>(d) : row_of<4, 0>(d);
}

// Group * TH * TW sums, a vector of dy and one of x fit the registers.
constexpr DepthwiseTaps taps_of(int group) {
  if (group == 1) return {3, 5};
  return {1, group == 2 ? 5 : group == 4 ? 3 : kRegisters / 16};
}

template <int Group, int Lane, int TW>
FASTCNN_INLINE void add_products(Vec (&acc)[TW][Group], int w, Vec x, Vec dy) {
  if constexpr (Lane < Group) {
    acc[w][Lane] = fma(spread<Group, Lane>(x), dy, acc[w][Lane]);
    add_products<Group, Lane + 1, TW>(acc, w, x, dy);
  }
}

template <int Group, int TH, int TW, bool Whole>
FASTCNN_INLINE void sums_tile(const DepthwiseSums& d, int64_t c, int n) {
  Vec acc[TH][TW][Group];
  float* const dw = d.dw + c;
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w)
      FASTCNN_UNROLL for (int g = 0; g < Group; ++g) acc[h][w][g] =
          read<Whole>(dw + h * d.dw_h + w * d.dw_w + g * d.dw_g, n);
  const int64_t x_w = opaque(d.x_w), x_q = opaque(d.x_q), dy_q = opaque(d.dy_q);
  for (int64_t p = 0; p < d.rows; ++p) {
    const float* dy = d.dy + p * d.dy_p + c;
    const float* x[TH];
    FASTCNN_UNROLL for (int h = 0; h < TH; ++h) x[h] = d.x + h * d.x_h + p * d.x_p + c;
    for (int64_t q = d.cols; q > 0; --q) {
      const Vec g = read<Whole>(dy, n);
      FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w)
          add_products<Group, 0, TW>(acc[h], w, read<Whole>(x[h] + w * x_w, n), g);
      dy += dy_q;
      FASTCNN_UNROLL for (int h = 0; h < TH; ++h) x[h] += x_q;
    }
  }
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w)
      FASTCNN_UNROLL for (int g = 0; g < Group; ++g) {
    float* y = dw + h * d.dw_h + w * d.dw_w + g * d.dw_g;
    if (Whole)
      store(y, acc[h][w][g]);
    else
      store_n(y, acc[h][w][g], n);
  }
}

template <int Group, int TH, int TW>
void sums_taps(const DepthwiseSums& d) {
  constexpr int kTh = TH < taps_of(Group).h ? TH : taps_of(Group).h,
                kTw = TW < taps_of(Group).w ? TW : taps_of(Group).w;
  int64_t c = 0;
  for (; c + kLanes <= d.channels; c += kLanes) sums_tile<Group, kTh, kTw, true>(d, c, kLanes);
  if (c < d.channels) sums_tile<Group, kTh, kTw, false>(d, c, static_cast<int>(d.channels - c));
}

template <int Group, int TH>
void sums_rows(const DepthwiseSums& d) {
  static constexpr void (*kTiles[])(const DepthwiseSums&) = {sums_taps<Group, TH, 1>, sums_taps<Group, TH, 2>,
                                                             sums_taps<Group, TH, 3>, sums_taps<Group, TH, 4>,
                                                             sums_taps<Group, TH, 5>};
  kTiles[d.taps_w - 1](d);
}

void sums(const DepthwiseSums& d) {
  if (d.group == 1)
    return d.taps_h == 1 ? sums_rows<1, 1>(d) : d.taps_h == 2 ? sums_rows<1, 2>(d) : sums_rows<1, 3>(d);
  if (d.group == 2) return sums_rows<2, 1>(d);
  if constexpr (kMostGroup >= 8)
    if (d.group == 8) return sums_rows<8, 1>(d);
  sums_rows<4, 1>(d);
}

DepthwiseTaps most_taps(int group) { return taps_of(group); }

void repeat(const float* x, int64_t count, int64_t times, float* y) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < times; ++j) *y++ = x[i];
}

// A fixed number of times lets the compiler load and shuffle vectors.
template <int Times>
void sum_times(const float* x, int64_t count, int64_t times, float* y) {
  if (Times) times = Times;
  for (int64_t i = 0; i < count; ++i, x += times) {
    float sum = x[0];
    for (int64_t j = 1; j < times; ++j) sum += x[j];
    y[i] = sum;
  }
}

void sum_runs(const DepthwiseRuns& d) {
  const auto sum = d.times == 2   ? sum_times<2>
                   : d.times == 3 ? sum_times<3>
                   : d.times == 4 ? sum_times<4>
                   : d.times == 8 ? sum_times<8>
                                  : sum_times<0>;
  sum(d.x, d.pixels * d.channels, d.times, d.y);
  float* y = d.y;
  if (d.bias || d.relu)
    for (int64_t i = 0; i < d.pixels; ++i)
      for (int64_t c = 0; c < d.channels; ++c, ++y) {
        if (d.bias) *y += d.bias[c];
        if (d.relu && *y < 0) *y = 0;
      }
  if (d.mask)
    for (int64_t i = 0; i < d.pixels * d.channels; ++i) d.y[i] = d.mask[i] <= 0 ? 0 : d.y[i];
}

}  // namespace

extern const DepthwiseKernels depthwise_kernels;
const DepthwiseKernels depthwise_kernels = {kMostGroup, most_taps, row, sums, repeat, sum_runs};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
