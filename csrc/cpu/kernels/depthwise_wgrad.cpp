// SPDX-License-Identifier: Apache-2.0
// See depthwise_wgrad.h for the formula. The loop over channels is outside: the sums of one vector of
// channels stay in registers for all pixels of the call. That leaps from pixel to pixel, which the processor
// does not foresee, so what the next call will read is fetched line after line meanwhile.
#include "depthwise_wgrad.h"

#include "ahead.h"
#include "blocks.h"
#include "groups.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Inputs of a group that are summed together.
constexpr int inputs_of(int group) { return group == kSome ? 1 : group == 0 || group > 4 ? 4 : group; }
// Taps that are summed together: 1, 3 or 5 of a filter row and of a column, for odd filters are the rule.
// Sums and a vector of dy fit the registers; where an input is not used as it lies in memory, it needs one
// more.
constexpr int most_taps_h(int group, int taps_w) {
  const int fit = (group == 1 ? kRegisters - 1 : kRegisters - 4) / (taps_w * inputs_of(group));
  return fit >= 5 && taps_w == 5 ? 5 : fit >= 3 ? 3 : 1;
}

// After so many pixels of a row, and before the first, some of what lies ahead is fetched: all of a row's at
// once fill the queue of the L2 cache, and the sums wait. (Other groups compute longer for what they read.)
constexpr int64_t kPixels = 8;

// Where registers hold what the sums of 3x3 taps share beside them. In fewer pixels the vectors that are read
// beforehand cost what they save.
template <int Group, int TH, int TW>
constexpr bool kSlides = inputs_of(Group) == 1 && TH == 3 && TW == 3 && kRegisters >= 32;

// The inputs of a tile's groups, from the First on.
template <int Group, int First, bool Whole>
struct Inputs {
  int n;
  IVec from;  // kSome: the lane of the one input, for each lane
  FASTCNN_INLINED Vec read(const float* p) const { return Whole ? load(p) : load_n(p, n); }
  template <int Lane>
  FASTCNN_INLINED Vec input(const float* x) const {
    if constexpr (Group == 0) return broadcast(x[Lane]);
    if constexpr (Group == kSome) return pick(read(x), read(x), from);
    if constexpr (Group > 0) return spread<Group, First + Lane>(read(x));
  }
  template <int Lane = 0, class F>
  FASTCNN_INLINED void for_each(const float* x, F f) const {
    if constexpr (Lane < inputs_of(Group)) {
      f(Lane, input<Lane>(x));
      for_each<Lane + 1>(x, f);
    }
  }
};

// Only taps of `rows`, if that is to be asked; only columns that exist, likewise.
template <bool AskRows, bool AskColumns, int TH, int TW, int N, class Inputs>
FASTCNN_INLINE void add_pixels(Vec (&acc)[TH][TW][N], const DepthwiseSums& d, const float* const (&row)[TH],
                               uint32_t rows, const float* dy, int64_t from, int64_t to,
                               const Inputs& inputs) {
  const DepthwiseColumns& c = d.columns;
  const int64_t x_w = opaque(d.x_w);
  const float* x[TH];
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) x[h] = row[h] + from * d.x_q;
  dy += from * d.dy_q;
  for (int64_t q = from; q < to; ++q, dy += d.dy_q) {
    const Vec g = inputs.read(dy);
    FASTCNN_UNROLL for (int h = 0; h < TH; ++h) {
      if (!AskRows || (rows >> h & 1)) {
        FASTCNN_UNROLL for (int w = 0; w < TW; ++w) {
          const int64_t column = q * c.step + w * c.spread;
          if (!AskColumns || (column >= c.begin && column < c.end))
            inputs.for_each(x[h] + w * x_w,
                            [&](int i, Vec v) FASTCNN_INLINED { acc[h][w][i] = fma(v, g, acc[h][w][i]); });
        }
      }
      x[h] += d.x_q;
    }
  }
}

// The same of neighbouring columns and one input: each vector of x is read once a row and kept for
// the two sums that meet it later.
template <int TH, class Inputs>
FASTCNN_INLINE void add_sliding(Vec (&acc)[TH][3][1], const DepthwiseSums& d, const float* const (&row)[TH],
                                const float* dy, int64_t from, int64_t to, const Inputs& inputs) {
  const auto read = [&](const float* p) FASTCNN_INLINED { return inputs.template input<0>(p); };
  const int64_t x_q = opaque(d.x_q);
  const float* x[TH];
  Vec left[TH], middle[TH];
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) {
    x[h] = row[h] + from * x_q;
    left[h] = read(x[h]), middle[h] = read(x[h] + x_q);
  }
  dy += from * d.dy_q;
  for (int64_t q = from; q < to; ++q, dy += d.dy_q) {
    const Vec g = inputs.read(dy);
    FASTCNN_UNROLL for (int h = 0; h < TH; ++h) {
      const Vec right = read(x[h] + 2 * x_q);
      acc[h][0][0] = fma(left[h], g, acc[h][0][0]);
      acc[h][1][0] = fma(middle[h], g, acc[h][1][0]);
      acc[h][2][0] = fma(right, g, acc[h][2][0]);
      left[h] = middle[h], middle[h] = right;
      x[h] += x_q;
    }
  }
}

// First: the first input of the group, of those in lanes; `x` begins at it where inputs are broadcast. n: the
// lanes that count; of a whole vector, the first lanes that do not: it was moved back to end with the
// channels.
template <int Group, int First, int TH, int TW, bool Whole>
FASTCNN_INLINE void sums_tile(const DepthwiseSums& d, const float* x, int64_t c,
                              const Inputs<Group, First, Whole>& inputs, float* dw, const float* (&ahead)[2],
                              const int64_t (&lines)[2]) {
  constexpr int kInputs = inputs_of(Group);
  const int n = inputs.n;
  const DepthwiseColumns& at = d.columns;
  // Columns all of whose taps exist.
  int64_t from = at.begin > 0 ? (at.begin + at.step - 1) / at.step : 0;
  int64_t to = at.end > (TW - 1) * at.spread ? (at.end - 1 - (TW - 1) * at.spread) / at.step + 1 : 0;
  if (to > at.outputs) to = at.outputs;
  if (to <= from) from = to = at.outputs;
  Vec acc[TH][TW][kInputs];
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w)
      FASTCNN_UNROLL for (int g = 0; g < kInputs; ++g) acc[h][w][g] =
          inputs.read(dw + h * d.dw_h + w * d.dw_w + g * d.dw_g);
  const int64_t first_end = Group == 1 && lines[0] + lines[1] && from + kPixels < to ? from + kPixels : to;
  const float* dy = d.dy + c;
  int64_t top = d.first_row;
  for (int64_t p = 0; p < d.rows; ++p, x += d.x_p, dy += d.dy_p, top += d.row_step) {
    ahead[0] = fetch(ahead[0], lines[0]);
    ahead[1] = fetch(ahead[1], lines[1]);
    const float* row[TH];
    uint32_t rows = 0;
    FASTCNN_UNROLL for (int h = 0; h < TH; ++h) {
      row[h] = x + h * d.x_h;
      const int64_t at_row = top + h * d.row_spread;
      rows |= static_cast<uint32_t>(at_row >= 0 && at_row < d.rows_in) << h;
    }
    if (rows == (1u << TH) - 1) {
      for (int64_t q = from, end = first_end;;) {
        bool slides = false;
        if constexpr (kSlides<Group, TH, TW> && (Whole || Group == kSome))
          if ((slides = at.step == 1 && at.spread == 1 && end - q >= kPixels))
            add_sliding(acc, d, row, dy, q, end, inputs);
        if (!slides) add_pixels<false, false>(acc, d, row, rows, dy, q, end, inputs);
        if (Group != 1 || end >= to) break;
        ahead[0] = fetch(ahead[0], lines[0]);
        ahead[1] = fetch(ahead[1], lines[1]);
        q = end, end = q + kPixels < to ? q + kPixels : to;
      }
    } else if (rows) {
      add_pixels<true, false>(acc, d, row, rows, dy, from, to, inputs);
    }
    // The columns on the left, then those on the right.
    for (int right = 0; right < 2; ++right)
      add_pixels<true, true>(acc, d, row, rows, dy, right ? to : 0, right ? at.outputs : from, inputs);
  }
  FASTCNN_UNROLL for (int h = 0; h < TH; ++h) FASTCNN_UNROLL for (int w = 0; w < TW; ++w)
      FASTCNN_UNROLL for (int g = 0; g < kInputs; ++g) {
    float* y = dw + h * d.dw_h + w * d.dw_w + g * d.dw_g;
    if (Whole)
      store(y, iota() < n ? load(y) : acc[h][w][g]);
    else
      store_n(y, acc[h][w][g], n);
  }
}

template <int Group, int TH, int TW, bool Whole>
FASTCNN_INLINE void sums_vector(const DepthwiseSums& d, int64_t c, int n, const float* (&ahead)[2],
                                const int64_t (&lines)[2]) {
  constexpr int kInputs = inputs_of(Group);
  float* const dw = d.dw + c;
  if constexpr (Group == 0) {
    const float* x = d.x + c / d.group.out * d.group.in;
    for (int64_t g = 0; g < d.group.in; g += kInputs)
      sums_tile<0, 0, TH, TW, Whole>(d, x + g, c, {n, IVec{}}, dw + g * d.dw_g, ahead, lines);
  } else if constexpr (Group == kSome) {
    IVec from = first_of_group(d.group.in);
    for (int64_t g = 0; g < d.group.in; ++g, from += 1)
      sums_tile<Group, 0, TH, TW, Whole>(d, d.x + c, c, {n, from}, dw + g * d.dw_g, ahead, lines);
  } else {
    sums_tile<Group, 0, TH, TW, Whole>(d, d.x + c, c, {n, IVec{}}, dw, ahead, lines);
    if constexpr (Group > kInputs)
      sums_tile<Group, kInputs, TH, TW, Whole>(d, d.x + c, c, {n, IVec{}}, dw + kInputs * d.dw_g, ahead,
                                               lines);
  }
}

// Channels that do not fill one vector, one filter row at a time.
template <int Group, int TW>
void sums_few(DepthwiseSums d) {
  const float* ahead[2] = {};
  const int64_t lines[2] = {};
  for (int64_t h = d.taps_h; h > 0; --h, d.x += d.x_h, d.dw += d.dw_h, d.first_row += d.row_spread)
    sums_vector<Group, 1, TW, false>(d, 0, static_cast<int>(d.channels), ahead, lines);
}

template <int Group, int TH, int TW>
void sums_of(const DepthwiseSums& d) {
  const int64_t inputs = Group > 0 ? Group : d.group.in;
  const int64_t lanes = Group == kSome ? lanes_of_groups(d.group.in) : kLanes;
  const int64_t segments = Group != 1 ? 1 : (d.columns.outputs + kPixels - 1) / kPixels;
  const int64_t times = (d.channels + lanes - 1) / lanes * d.rows * segments * (inputs / inputs_of(Group));
  const float* ahead[2] = {d.ahead[0], d.ahead[1]};
  const int64_t lines[2] = {lines_each(d.ahead_floats[0], times), lines_each(d.ahead_floats[1], times)};
  if constexpr (Group == kSome) {
    for (int64_t c = 0; c < d.channels; c += lanes)
      sums_vector<Group, TH, TW, false>(
          d, c, static_cast<int>(lanes < d.channels - c ? lanes : d.channels - c), ahead, lines);
    return;
  }
  const int64_t last = d.channels - kLanes;
  if constexpr (Group > 0 && 2 * Group < kLanes)  // there are two groups or more
    if (last < 0) return sums_few<Group, TW>(d);
  for (int64_t done = 0; done < d.channels; done += kLanes) {
    const int64_t c = done < last ? done : last;
    sums_vector<Group, TH, TW, true>(d, c, static_cast<int>(done - c), ahead, lines);
  }
}

template <int Group, int TW>
void sums_taps(const DepthwiseSums& d) {
  constexpr int kMost = most_taps_h(Group, TW);
  (d.taps_h == 1 ? sums_of<Group, 1, TW> : d.taps_h == 3 ? sums_of < Group, kMost < 3 ? kMost : 3,
   TW > : sums_of<Group, kMost, TW>)(d);
}

template <int Group>
void sums_group(const DepthwiseSums& d) {
  if (d.columns.taps == 1) return sums_taps<Group, 1>(d);
  if constexpr (Group == 1)
    if (d.columns.taps == 5) return sums_taps<Group, 5>(d);
  sums_taps<Group, 3>(d);
}

void sums(const DepthwiseSums& d) {
  if (d.group.out % kLanes == 0) return sums_group<0>(d);
  if (d.group.out == 1) return sums_group<1>(d);
  if constexpr (kLanes > 4)
    if (kLanes % d.group.out) return sums_group<kSome>(d);
  if constexpr (kLanes > 8)
    if (d.group.out == 8) return sums_group<8>(d);
  if constexpr (kLanes > 4)
    if (d.group.out == 4) return sums_group<4>(d);
  sums_group<2>(d);
}

DepthwiseTaps next_taps(const DepthwiseGroup& group, int64_t taps_h, int64_t taps_w) {
  const int kind = group.out % kLanes == 0 ? 0 : kLanes % group.out ? kSome : static_cast<int>(group.out);
  const bool five = kind == 1 && (taps_w == 5 || taps_w > 7);  // 6 and 7 are twice 3
  const int w = five ? 5 : taps_w >= 3 ? 3 : 1, most = most_taps_h(kind, w);
  return {taps_h >= most ? most : taps_h >= 3 && most >= 3 ? 3 : 1, w};
}

}  // namespace

extern const DepthwiseWgradKernels depthwise_wgrad_kernels;
const DepthwiseWgradKernels depthwise_wgrad_kernels = {next_taps, sums};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
