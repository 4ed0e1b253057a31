// SPDX-License-Identifier: Apache-2.0
// See depthwise.h for the formulas. Up to 8 outputs of a row share each vector of weights; the loop over
// channels is inside, so that memory is read in long runs. Two load ports carry the one load that a
// multiply-add of the general case needs; memory is the roof of all but the largest filters, so rows to come
// are fetched a few lines with each tile: the processor does not foresee a row that begins elsewhere.
#include "depthwise.h"

#include "ahead.h"
#include "blocks.h"
#include "groups.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kOutputs = 8;  // of a tile

// The compiler loads an operand of several multiply-adds again for each, which made 3x3 of 56x56 and 28x28
// pixels take 1.3 times as long with 16 lanes, and no longer with 8, where three loads begin in each clock.
FASTCNN_INLINE Vec loaded_once(Vec v) {
#if defined(__AVX512F__) && !defined(FASTCNN_EMULATED)
  asm("" : "+v"(v));
#endif
  return v;
}

// Taps of a filter row, neighbours, and the columns between two outputs, which share what they read. Gap and
// First: every so-manieth column exists, the first of a tile among them.
template <int Taps, int Step, int Gap = 1, int First = 0>
struct Sliding {
  static constexpr int kTaps = Taps, kStep = Step, kGap = Gap, kFirst = First;
};
typedef Sliding<0, 0> Any;

// Four taps or more than five, in runs of three and four, whose weights stay in registers: 7x7 took 0.5 to
// 0.8 times as long as tap by tap, 5x5 of stride 2, all at once, 0.6 to 0.8. (Runs of up to five, and 5x5 as
// a run, were twice the code, and that 5x5 took 1.1 times as long.)
typedef Sliding<-1, 1> Runs;
// 7 KB of code, which x86-64 without AVX does without.
constexpr bool kLargeFilters = kLanes > 4 || kRegisters == 32;

// A vector of outputs and what it reads of a pixel at p: input g of its group. Group: channels of groups of
// which several share a vector; 0: the vector belongs to one.
template <int Group, bool Whole>
struct Lanes {
  int n;
  IVec first;  // kSome: of its group, for each lane
  FASTCNN_INLINED Vec read(const float* p) const { return Whole ? load(p) : load_n(p, n); }
  FASTCNN_INLINED void write(float* p, Vec v) const { Whole ? store(p, v) : store_n(p, v, n); }

  // f(g, a function that reads input g) for all of a group.
  template <int Lane = 0, class F>
  FASTCNN_INLINED void for_inputs(int64_t inputs, F f) const {
    if constexpr (Group == 0) {
      for (int64_t g = 0; g < inputs; ++g)
        f(g, [g](const float* p) FASTCNN_INLINED { return broadcast(p[g]); });
    } else if constexpr (Group == kSome) {
      for (int64_t g = 0; g < inputs; ++g) {
        const IVec from = first + static_cast<int32_t>(g);
        f(g, [this, from](const float* p) FASTCNN_INLINED { return pick(read(p), read(p), from); });
      }
    } else if constexpr (Lane < Group) {
      f(Lane, [this](const float* p) FASTCNN_INLINED { return spread<Group, Lane>(read(p)); });
      for_inputs<Lane + 1>(inputs, f);
    }
  }
};

// acc[i] += the products of one filter row, of taps from `first` on. Inside: all columns exist.
template <class Slide, bool Inside, class Lanes>
FASTCNN_INLINE void add_sliding(Vec (&acc)[kOutputs], const DepthwiseRow& d, const float* x, const float* w,
                                const Lanes& lanes, int64_t first = 0) {
  constexpr int kTaps = Slide::kTaps, kStep = Slide::kStep;
  const DepthwiseColumns& c = d.columns;
  uint32_t columns = ~0u;  // bit j: column j exists; those of outputs beyond the last do not
  if (!Inside) {
    const int64_t most = (c.outputs - 1) * kStep + kTaps;
    const int64_t end = c.end - first < most ? c.end - first : most;
    const int64_t begin = c.begin < first ? 0 : c.begin - first;
    columns = end <= begin ? 0 : (1u << end) - (1u << begin);
  }
  const int64_t x_w = opaque(d.x_w), w_w = opaque(d.w_w), w_g = opaque(d.w_g);
  lanes.for_inputs(d.group.in, [&](int64_t g, auto input) FASTCNN_INLINED {
    Vec weights[kTaps];
    // Opaque: each input is read again from memory. Kept in registers for the next, sums were spilled
    // instead.
    const float *p = opaque(x), *q = w + g * w_g;
    FASTCNN_UNROLL for (int t = 0; t < kTaps; ++t, q += w_w) weights[t] = lanes.read(q);
    FASTCNN_UNROLL for (int j = Slide::kFirst; j < (kOutputs - 1) * kStep + kTaps;
                        j += Slide::kGap, p += x_w) if (Inside || (columns >> j & 1)) {
      const Vec v = loaded_once(input(p));
      FASTCNN_UNROLL for (int t = 0; t < kTaps;
                          ++t) if (j >= t && (j - t) % kStep == 0 && (j - t) / kStep < kOutputs)
          acc[(j - t) / kStep] = fma(v, weights[t], acc[(j - t) / kStep]);
    }
  });
}

template <bool Inside, class Lanes>
FASTCNN_INLINE void add_runs(Vec (&acc)[kOutputs], const DepthwiseRow& d, const float* x, const float* w,
                             const Lanes& lanes) {
  for (int64_t first = 0, taps = d.columns.taps; first < taps;) {
    if ((taps - first) % 4) {
      add_sliding<Sliding<3, 1>, Inside>(acc, d, x, w, lanes, first);
      x += 3 * d.x_w, w += 3 * d.w_w, first += 3;
    } else {
      add_sliding<Sliding<4, 1>, Inside>(acc, d, x, w, lanes, first);
      x += 4 * d.x_w, w += 4 * d.w_w, first += 4;
    }
  }
}

template <bool Inside, class Lanes>
FASTCNN_INLINE void add_any(Vec (&acc)[kOutputs], const DepthwiseRow& d, const float* x, const float* w,
                            const Lanes& lanes) {
  const DepthwiseColumns& c = d.columns;
  const uint64_t exist = c.end > c.begin ? c.end - c.begin : 0;
  const int outputs = static_cast<int>(c.outputs);
  int64_t column = -c.begin;  // of the first output, counted from the first that exists
  const int64_t x_q = opaque(d.x_q), w_g = opaque(d.w_g);
  for (int64_t t = 0; t < c.taps; ++t, x += d.x_w, w += d.w_w, column += c.spread) {
    if (Inside || (column >= 0 && static_cast<uint64_t>(column + (c.outputs - 1) * c.step) < exist)) {
      lanes.for_inputs(d.group.in, [&](int64_t g, auto input) FASTCNN_INLINED {
        const Vec weight = lanes.read(w + g * w_g);
        const float* p = opaque(x);
        FASTCNN_UNROLL for (int i = 0; i < kOutputs; ++i, p += x_q) if (Inside || i < outputs) acc[i] =
            fma(input(p), weight, acc[i]);
      });
      continue;
    }
    const float* p = x;
    int64_t at = column;
    FASTCNN_UNROLL for (int i = 0; i < kOutputs;
                        ++i, p += x_q, at += c.step) if (i < outputs && static_cast<uint64_t>(at) < exist)
        lanes.for_inputs(d.group.in, [&](int64_t g, auto input) FASTCNN_INLINED {
          acc[i] = fma(input(p), lanes.read(w + g * w_g), acc[i]);
        });
  }
}

// What ReLU and ReLU6 leave.
FASTCNN_INLINE float most_of(const DepthwiseRow& d) { return d.relu == 6 ? 6.0f : __builtin_inff(); }
FASTCNN_INLINE Vec bounded(Vec v, Vec most) {
  const Vec positive = relu(v);
  return positive > most ? most : positive;
}

// The tiles that do so themselves: those of most depthwise layers. Of all of them it was twice as much code.
template <int Group, class Slide>
constexpr bool kBounds = Group == 1 && Slide::kTaps == 3 && Slide::kGap == 1;

template <int Group, class Slide, bool Inside, bool Whole>
FASTCNN_INLINE void row_tile(const DepthwiseRow& d, int64_t c, int n) {
  const Lanes<Group, Whole> lanes = {n, Group == kSome ? first_of_group(d.group.out) : IVec{}};
  const int outputs = Inside ? kOutputs : static_cast<int>(d.columns.outputs);
  Vec acc[kOutputs];
  const Vec bias = d.bias ? lanes.read(d.bias + c) : Vec{};
  FASTCNN_UNROLL for (int i = 0; i < kOutputs; ++i) acc[i] = bias;
  const float *x = d.x + (Group ? c : c / d.group.out * d.group.in), *w = d.w + c;
  float* y = d.y + c;
  if (d.accumulate)
    FASTCNN_UNROLL for (int i = 0; i < kOutputs; ++i) if (i < outputs) acc[i] =
        acc[i] + lanes.read(y + i * d.y_q);
  for (int64_t h = d.taps_h; h > 0; --h, x += d.x_h, w += d.w_h) {
    if constexpr (Slide::kTaps == Runs::kTaps)
      add_runs<Inside>(acc, d, x, w, lanes);
    else if constexpr (Slide::kTaps > 0)
      add_sliding<Slide, Inside>(acc, d, x, w, lanes);
    else
      add_any<Inside>(acc, d, x, w, lanes);
  }
  if (kBounds<Group, Slide> && d.relu) {
    const Vec most = broadcast(most_of(d));
    FASTCNN_UNROLL for (int i = 0; i < kOutputs; ++i) acc[i] = bounded(acc[i], most);
  }
  FASTCNN_UNROLL for (int i = 0; i < kOutputs; ++i, y += d.y_q) if (i < outputs) lanes.write(y, acc[i]);
}

// The tiles of one place in the row. `lines` of what lies ahead come with each. Where the last channels fill
// no vector it is moved back and repeats some, unless they would be added to once more.
template <int Group, class Slide, bool Inside>
void row_outputs(const DepthwiseRow& d, int64_t lines) {
  const float* ahead = d.ahead;
  if constexpr (Group == kSome) {
    const int64_t lanes = lanes_of_groups(d.group.out);
    for (int64_t c = 0; c < d.channels; c += lanes) {
      ahead = fetch(ahead, lines);
      row_tile<Group, Slide, Inside, false>(
          d, c, static_cast<int>(lanes < d.channels - c ? lanes : d.channels - c));
    }
    return;
  }
  const int64_t last = d.channels - kLanes;
  for (int64_t c = 0; c <= last; c = c < last && last < c + kLanes && !d.accumulate ? last : c + kLanes) {
    ahead = fetch(ahead, lines);
    row_tile<Group, Slide, Inside, true>(d, c, kLanes);
  }
}

// Channels from c on, which fill no vector.
template <int Group>
void row_tail(DepthwiseRow d, int64_t c) {
  if constexpr (Group > 1 && kLanes > 4) {
    d.x += c, d.w += c, d.y += c, d.channels -= c;
    if (d.bias) d.bias += c;
    row_outputs<kSome, Any, false>(d, 0);
  } else {
    row_tile<Group, Any, false, false>(d, c, static_cast<int>(d.channels - c));
  }
}

// What is left to do for a tile's outputs, still in L1.
void finish(const DepthwiseRow& d, bool bounds) {
  for (int64_t i = 0; i < d.columns.outputs; ++i) {
    float* const y = d.y + i * d.y_q;
    const Vec most = broadcast(most_of(d));
    if (bounds) map(y, y, d.channels, [most](Vec v) FASTCNN_INLINED { return bounded(v, most); });
    if (d.mask)
      map(y, d.mask + i * d.y_q, y, d.channels,
          [](Vec v, Vec mask) FASTCNN_INLINED { return mask <= Vec{} ? Vec{} : v; });
  }
}

template <int Group, class Slide>
void row_of(DepthwiseRow d) {
  DepthwiseColumns& at = d.columns;
  const int64_t outputs = at.outputs, lanes = Group == kSome ? lanes_of_groups(d.group.out) : kLanes;
  const int64_t whole = Group == kSome ? (d.channels + lanes - 1) / lanes : d.channels / lanes;
  const int64_t tiles = (outputs + kOutputs - 1) / kOutputs * whole;
  const int64_t lines = d.ahead ? lines_each(d.ahead_floats, tiles) : 0;
  for (int64_t q = 0; q < outputs; q += kOutputs) {
    at.outputs = outputs - q < kOutputs ? outputs - q : kOutputs;
    const bool inside = at.outputs == kOutputs && at.begin <= 0 &&
                        at.end > (kOutputs - 1) * at.step + (at.taps - 1) * at.spread;
    (inside ? row_outputs<Group, Slide, true> : row_outputs<Group, Slide, false>)(d, lines);
    const bool tail = !whole || (d.accumulate && whole * lanes < d.channels);
    if constexpr (Group > 0)
      if (tail) row_tail<Group>(d, whole * kLanes);
    const bool bounds = d.relu && (tail || !kBounds<Group, Slide>);
    if (bounds || d.mask) finish(d, bounds);
    d.x += kOutputs / Slide::kGap * d.x_q;
    d.y += kOutputs * d.y_q;
    if (d.mask) d.mask += kOutputs * d.y_q;
    d.ahead += lines * whole * kLineFloats;
    at.begin -= kOutputs * at.step, at.end -= kOutputs * at.step;
  }
}

template <int Group>
void row_group(const DepthwiseRow& d) {
  const DepthwiseColumns& c = d.columns;
  if constexpr (Group == 1)
    if (c.gap == 2)
      return c.begin & 1 ? row_of<1, Sliding<3, 1, 2, 1>>(d) : row_of<1, Sliding<3, 1, 2, 0>>(d);
  if (c.spread == 1 && c.taps == 3 && c.step == 1) return row_of<Group, Sliding<3, 1>>(d);
  if constexpr (Group != 8 &&
                Group != kSome)  // AVX-512's permutations need a register each: sums would be spilled
    if (c.spread == 1 && c.taps == 3 && c.step == 2) return row_of<Group, Sliding<3, 2>>(d);
  if constexpr (Group == 1) {
    if (c.spread == 1 && c.taps == 5 && c.step == 1) return row_of<Group, Sliding<5, 1>>(d);
    if constexpr (kLargeFilters) {
      if (c.spread == 1 && c.taps == 5 && c.step == 2) return row_of<Group, Sliding<5, 2>>(d);
      if (c.spread == 1 && c.taps > 3 && c.step == 1) return row_of<Group, Runs>(d);
    }
  }
  row_of<Group, Any>(d);
}

void row(const DepthwiseRow& d) {
  if (d.group.out % kLanes == 0) return row_group<0>(d);
  if (d.group.out == 1) return row_group<1>(d);
  if constexpr (kLanes > 4)
    if (kLanes % d.group.out || d.channels < kLanes) return row_group<kSome>(d);
  if constexpr (kLanes > 8)
    if (d.group.out == 8) return row_group<8>(d);
  if constexpr (kLanes > 4)
    if (d.group.out == 4) return row_group<4>(d);
  row_group<2>(d);
}

// A fixed number of times lets the compiler load and shuffle vectors.
template <int Times>
void repeat_times(const float* x, int64_t count, int64_t times, float* y) {
  if (Times) times = Times;
  for (int64_t i = 0; i < count; ++i, y += times)
    for (int64_t j = 0; j < times; ++j) y[j] = x[i];
}

void repeat(const float* x, int64_t count, int64_t times, float* y) {
  (times == 2 ? repeat_times<2> : times == 4 ? repeat_times<4> : repeat_times<0>)(x, count, times, y);
}

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

void stream_copy(const float* x, int64_t count, float* y) {
  int64_t i = 0;
  for (; i < count && reinterpret_cast<uintptr_t>(y + i) % sizeof(Vec); ++i) y[i] = x[i];
  for (; i + kLanes <= count; i += kLanes) stream(y + i, load(x + i));
  for (; i < count; ++i) y[i] = x[i];
}

void finish_stream() { end_stream(); }

}  // namespace

extern const DepthwiseKernels depthwise_kernels;
const DepthwiseKernels depthwise_kernels = {kLanes, row, repeat, sum_runs, stream_copy, finish_stream};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
