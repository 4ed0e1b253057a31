// SPDX-License-Identifier: Apache-2.0
// See winograd.h for the formula. A transform is two passes of the same short sums, over columns and over
// rows of the tile; between them the points are on the stack.
#include "winograd.h"

#include "strip.h"
#include "winograd_forms.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Of x: pixels to points of V.
template <class F>
struct OfInput {
  static constexpr bool kLoop = false, kShort = F::kShared == 2;
  static constexpr int kPixels = F::kPixels, kPoints = F::kPoints, kShared = F::kShared;
  FASTCNN_INLINE void transform(const Vec* x, Vec* v) { F::input(x, v); }
};
// Of the gradient of an output: its pixels to points of M.
template <class F>
struct OfGradient {
  static constexpr bool kLoop = F::kSums > 5, kShort = F::kSums == 4;
  static constexpr int kPixels = F::kOutputs, kPoints = F::kSums, kShared = 0;
  FASTCNN_INLINE void transform(const Vec* x, Vec* v) { F::gradient(x, v); }
};

// f(i), i < N. In a loop, which no compiler unrolls, the code of F(4)'s gradients and filters is a third, and
// as fast; that of its input took 1.03 times as long.
template <int N, bool kLoop, class F>
FASTCNN_INLINE void each(F f) {
  if constexpr (kLoop) {
    for (int64_t i = 0, end = opaque(N); i < end; ++i) f(static_cast<int>(i));
  } else {
    FASTCNN_UNROLL for (int i = 0; i < N; ++i) f(i);
  }
}

// Masked loads and stores cost nothing where masks are registers of their own.
constexpr bool kMasks = kLanes == 16;

// `lanes` channels from x on to v, a vector. Neighbours share kShared columns of pixels. A vector of each
// pixel is no run of memory that the processor foresees, so that pixels are asked for a row of tiles ahead
// (without, 64 channels at 56x56 took 1.06 times as long and their weight gradient 1.13 times, stride 2 of
// 128 channels 1.09 times; two threads of Zen 4, AVX-512, batch 16). Where x does not begin with a line, a
// part of the channels has one more, which its last vector asks for: a vector that is a line for both of its
// ends, smaller ones for the start of the first of a line and the ends of others (without, the transforms of
// the weight gradient of 128 channels at 28x28, parts of 64, took twice as long and all of it 1.1 to 1.3
// times; to ask for both ends of 8 lanes cost fprop of 16 and 32 channels 1 %).
template <class F>
void vector_to_points(const InputTiles& t, const float* x, float* v, int lanes) {
  constexpr int N = F::kPixels, A = F::kPoints, kNew = N - F::kShared;
  const float* row[N];
  int64_t step[N], next[N];
  FASTCNN_UNROLL for (int r = 0; r < N; ++r) {
    const bool in = r >= t.rows.begin && r < t.rows.end;
    row[r] = in ? x + r * t.x_row + t.col * t.pixel : t.zeros;
    step[r] = in ? t.step * t.pixel : 0;
    next[r] = in ? (t.tile_step - kNew * t.step) * t.pixel : 0;
  }
  const int64_t plane = opaque(t.v_plane), width = t.width, col_step = t.step;
  const int64_t tile_row = opaque(t.tile_row);
  int64_t col = t.col;
  Vec columns[A][N];
  const auto read = [&](int s) FASTCNN_INLINED {
    Vec in[N], out[A];
    if ((uint64_t)col < (uint64_t)width) {
      FASTCNN_UNROLL for (int r = 0; r < N; ++r) in[r] = kMasks ? load_n(row[r], lanes) : load(row[r]);
      FASTCNN_UNROLL for (int r = F::kShared; r < N; ++r) {
        __builtin_prefetch(row[r] + tile_row, 0, 2);
        if (kLanes == kLineFloats) __builtin_prefetch(row[r] + tile_row + kLanes - 1, 0, 2);
      }
    } else {
      FASTCNN_UNROLL for (int r = 0; r < N; ++r) in[r] = Vec{};
    }
    F::transform(in, out);
    FASTCNN_UNROLL for (int i = 0; i < A; ++i) columns[i][s] = out[i];
    FASTCNN_UNROLL for (int r = 0; r < N; ++r) row[r] += step[r];
    col += col_step;
  };
  FASTCNN_UNROLL for (int s = 0; s < F::kShared; ++s) read(s);
  for (int64_t n = 0; n < t.count; ++n, v += t.v_tile) {
    each<kNew, F::kLoop>([&](int s) FASTCNN_INLINED { read(s + F::kShared); });
    each<A, F::kLoop>([&](int i) FASTCNN_INLINED {
      if (F::kShort && i == A - 1 && t.short_h) return;
      Vec out[A];
      F::transform(columns[i], out);
      FASTCNN_UNROLL for (int j = 0; j < A; ++j) {
        if (!F::kShort || j < A - 1 || !t.short_w) store(v + (i * A + j) * plane, out[j]);
      }
      FASTCNN_UNROLL for (int s = 0; s < F::kShared; ++s) columns[i][s] = columns[i][s + kNew];
    });
    if constexpr (!F::kShared) {
      FASTCNN_UNROLL for (int r = 0; r < N; ++r) row[r] += next[r];
      col += t.tile_step - kNew * col_step;
    }
  }
}

// So many tiles at a time that their pixels and points stay in L1 while one vector after the other is taken.
constexpr int64_t kRunFloats = 256;
constexpr int kMostPixels = F4::kPixels;

// One body for all forms, whose tiles have `pixels` of an axis; opaque ones, or the compiler makes copies.
typedef void (*ToPoints)(const InputTiles&, const float* x, float* v, int lanes);
__attribute__((noinline)) void all_to_points(const InputTiles& t, int pixels, ToPoints to_points) {
  const int64_t whole = kMasks ? t.channels : t.channels / kLanes * kLanes;
  const int tail = static_cast<int>(t.channels - whole);
  const int64_t most = kRunFloats / t.channels > 1 ? kRunFloats / t.channels : 1;
  InputTiles run = t;
  for (int64_t n = 0; n < t.count; n += most, run.col += most * t.tile_step, run.v += most * t.v_tile) {
    run.count = t.count - n < most ? t.count - n : most;
    for (int64_t c = 0; c < whole; c += kLanes) {
      run.tile_row = t.tile_row + (c % kLineFloats ? kLanes - 1 : 0);
      to_points(run, t.x + c, run.v + c, whole - c < kLanes ? (int)(whole - c) : kLanes);
    }
  }
  if (!tail) return;
  // The last channels are copied to whole vectors: a transform of their own was a third of the code.
  float last[kMostPixels * kMostPixels * kLanes];
  run.x_row = pixels * kLanes, run.pixel = kLanes, run.width = pixels, run.step = 1, run.col = 0;
  run.count = 1, run.tile_row = 0;
  for (int64_t n = 0; n < t.count; ++n) {
    float* to = last;
    for (int r = 0; r < pixels; ++r)
      for (int s = 0; s < pixels; ++s, to += kLanes) {
        const int64_t col = t.col + n * t.tile_step + s * t.step;
        const bool in = r >= t.rows.begin && r < t.rows.end && (uint64_t)col < (uint64_t)t.width;
        store(to, in ? load_n(t.x + r * t.x_row + col * t.pixel + whole, tail) : Vec{});
      }
    to_points(run, last, t.v + n * t.v_tile + whole, kLanes);
  }
}

template <class F>
void tiles_to_points(const InputTiles& t) {
  static_assert(F::kPixels <= kMostPixels, "tiles have room");
  all_to_points(t, opaque(F::kPixels), opaque<ToPoints>(vector_to_points<F>));
}

// The lines of y, mask and residual that a tile some way on will meet, from channel k on: they lie far away,
// and stores wait for theirs one by one. Without, 32 channels at 16x16 and 64 at 8x8, batch 128, took 1.1
// times as long (AVX-512).
constexpr int64_t kTilesAhead = 8;

template <class F, bool kPlain>
FASTCNN_INLINE void ask(const OutputTiles& t, int i, int64_t y, int64_t k) {
  if (k % kLineFloats) return;
  FASTCNN_UNROLL for (int j = 0; j < F::kOutputs; ++j) {
    const int64_t at = y + i * t.y_row + j * t.y_col + kTilesAhead * t.y_tile + k;
    __builtin_prefetch(t.y + at, 1, 3);
    if (!kPlain && t.mask) __builtin_prefetch(t.mask + at, 0, 3);
    if (!kPlain && t.residual) __builtin_prefetch(t.residual + at, 0, 3);
  }
}

// `lanes`: how many lanes of the vector are written. kPlain: the tile is whole, and there is nothing but a
// bias and ReLU.
template <class F, bool kPlain>
FASTCNN_INLINE void transform_output(const OutputTiles& t, int64_t tile, int64_t k, int lanes) {
  constexpr int A = F::kSums, M = F::kOutputs;
  const float* const m = t.m + tile * t.m_tile + k;
  const int64_t y_at = tile * t.y_tile;
  Vec columns[M][A];
  FASTCNN_UNROLL for (int s = 0; s < A; ++s) {
    Vec x[A], out[M];
    FASTCNN_UNROLL for (int r = 0; r < A; ++r) x[r] = load(m + (r * A + s) * t.m_plane);
    F::output(x, out);
    FASTCNN_UNROLL for (int i = 0; i < M; ++i) columns[i][s] = out[i];
  }
  const bool whole = kPlain ? !kMasks : lanes == kLanes;
  const auto read = [whole, lanes](const float* p) { return whole ? load(p) : load_n(p, lanes); };
  const Vec bias = t.bias ? read(t.bias + k) : Vec{};
  const Vec least = t.relu ? Vec{} : broadcast(-__builtin_inff());
  if constexpr (A == 4 && !kPlain)
    if (t.pool) {
      Vec best;
      IVec place = {};
      FASTCNN_UNROLL for (int i = 0; i < M; ++i) {
        Vec y[M];
        F::output(columns[i], y);
        FASTCNN_UNROLL for (int j = 0; j < M; ++j) {
          const Vec sum = y[j] + bias, value = sum < least ? least : sum;
          if (i + j == 0) {
            best = value;
          } else {
            const IVec keep = (value <= best) | (best != best);
            best = keep ? best : value;
            place = keep ? place : IVec{} + (i * M + j);
          }
        }
      }
      if (whole)
        store(t.y + y_at + k, best);
      else
        store_n(t.y + y_at + k, best, lanes);
      if (t.index) {
        const LaneBytes bytes = lane_bytes(place);
        memcpy(t.index + y_at + k, &bytes, (size_t)lanes);
      }
      return;
    }
  const auto row = [&](int i) FASTCNN_INLINED {
    ask<F, kPlain>(t, i, y_at, k);
    Vec y[M];
    F::output(columns[i], y);
    FASTCNN_UNROLL for (int j = 0; j < M; ++j) {
      if (!kPlain && (j < t.cols.begin || j >= t.cols.end)) continue;
      const int64_t at = y_at + i * t.y_row + j * t.y_col + k;
      Vec value = y[j] + bias;
      if (!kPlain && t.residual) value = value + read(t.residual + at);
      value = value < least ? least : value;
      if (!kPlain && t.mask) value = read(t.mask + at) <= Vec{} ? Vec{} : value;
      if (whole)
        store(t.y + at, value);
      else
        store_n(t.y + at, value, lanes);
    }
  };
  // Four rows are more than registers hold, and their code larger than all else.
  if constexpr (M == 4) {
    for (int i = t.rows.begin; i < t.rows.end; ++i) row(i);
  } else {
    FASTCNN_UNROLL for (int i = 0; i < M; ++i) {
      if (kPlain || (i >= t.rows.begin && i < t.rows.end)) row(i);
    }
  }
}

template <class F>
void output(const OutputTiles& t) {
  const auto all = [&](auto plain) FASTCNN_INLINED {
    for (int64_t i = 0; i < t.count; ++i)
      for (int64_t k = 0; k < t.channels; k += kLanes)
        transform_output<F, plain.kValue>(t, i, k, t.channels - k < kLanes ? (int)(t.channels - k) : kLanes);
  };
  if constexpr (F::kSums == 4) {
    const bool whole = t.rows.begin == 0 && t.rows.end == 2 && t.cols.begin == 0 && t.cols.end == 2;
    if (whole && !t.pool && !t.mask && !t.residual && (kMasks || t.channels % kLanes == 0)) {
      return all(Flag<true>());
    }
  }
  all(Flag<false>());
}

template <class F>
void filter(const FilterTiles& t) {
  constexpr int A = F::kFilters;
  float* u = t.u;
  for (int64_t row = 0; row < t.rows; ++row)
    for (int64_t i = 0; i < t.cols; i += kLanes, u += kLanes) {
      Vec columns[A][3];
      FASTCNN_UNROLL for (int s = 0; s < 3; ++s) {
        Vec w[3], out[A];
        FASTCNN_UNROLL for (int r = 0; r < 3; ++r) {
          if ((r == 2 && t.short_h) || (s == 2 && t.short_w)) {
            w[r] = Vec{};
            continue;
          }
          w[r] = load(t.w + r * t.w_h + s * t.w_w + row * t.w_row + i);
          __builtin_prefetch(t.ahead + r * t.ahead_h + s * t.ahead_w + row * t.ahead_row + i, 0, 2);
        }
        F::filter(w, out);
        FASTCNN_UNROLL for (int r = 0; r < A; ++r) columns[r][s] = out[r];
      }
      each<A, (A > 5)>([&](int r) FASTCNN_INLINED {
        if (r == A - 1 && t.short_h) return;
        Vec out[A];
        F::filter(columns[r], out);
        FASTCNN_UNROLL for (int s = 0; s < A; ++s) {
          if (s < A - 1 || !t.short_w) store(u + (r * A + s) * t.u_plane, out[s]);
        }
      });
    }
}

template <class F>
void filter_gradient(const FilterGradient& t) {
  constexpr int A = F::kFilters;
  for (int64_t i = 0; i < t.count; i += kLanes) {
    Vec columns[3][A];
    each<A, (A > 5)>([&](int s) FASTCNN_INLINED {
      Vec d[A], out[3];
      FASTCNN_UNROLL for (int r = 0; r < A; ++r) {
        const float* from = t.d + (r * A + s) * t.d_plane + i;
        d[r] = load(from);
        for (int64_t p = 1; p < t.parts; ++p) d[r] = d[r] + load(from + p * t.d_part);
      }
      F::filter_gradient(d, out);
      FASTCNN_UNROLL for (int r = 0; r < 3; ++r) columns[r][s] = out[r];
    });
    const int lanes = t.count - i < kLanes ? static_cast<int>(t.count - i) : kLanes;
    FASTCNN_UNROLL for (int r = 0; r < 3; ++r) {
      if (r == 2 && t.short_h) break;
      Vec out[3];
      F::filter_gradient(columns[r], out);
      FASTCNN_UNROLL for (int s = 0; s < 3; ++s) {
        if (s == 2 && t.short_w) break;
        float* to = t.dw + r * t.dw_h + s * t.dw_w + i;
        if (lanes == kLanes)
          store(to, out[s]);
        else
          store_n(to, out[s], lanes);
      }
    }
  }
}

// With one vector, the loop of taps that slide, of which there is one: it has addresses for 16 rows.
constexpr bool by_slide(int vectors) { return kSliding && vectors == 1; }
constexpr int tiles_of(int vectors) { return by_slide(vectors) ? kMostSliding : most_rows(vectors); }

// With 16 registers a tile has no time for it.
constexpr bool kAsksInPlace = kRegisters == 32;

template <int NV>
void multiply_points(const Products& p) {
  constexpr int MR = tiles_of(NV);
  Tile t = {};
  t.taps_h = t.taps_w = 1;
  t.depth = p.depth;
  t.a_row = p.v_tile, t.a_group = 3 * p.v_tile, t.a_step = 1;
  t.b = p.u, t.b_step = NV * kLanes;
  Walk walk(t);
  const int64_t each = p.runs ? p.points / p.runs : p.points;  // points that ask for a run
  const int64_t wanted = p.far_floats / (each * p.depth) + 1,
                step = wanted < kLineFloats ? wanted : kLineFloats;
  Far far = {p.u, 0, 0};
  float* v = p.v;
  for (int64_t point = 0; point < p.points; ++point, v += p.v_plane, walk.b += p.u_plane) {
    if (kAsksInPlace && point % each == 0) {
      const int64_t run = point / each;
      far = run < p.runs ? Far{p.far[run], step, 0} : Far{p.u, 0, 0};
    }
    Vec sum[MR][NV];
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) sum[i][j] = Vec{};
    }
    if constexpr (by_slide(NV))
      slide<Floats, kAsksInPlace, 1>(sum, t, v, walk.b, &far);
    else
      multiply<Floats, kAsksInPlace, false>(sum, t, walk, v, &far);
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) store(v + i * p.v_tile + j * kLanes, sum[i][j]);
    }
  }
}

void multiply_in_place(const Products& p) { (p.vectors == 1 ? multiply_points<1> : multiply_points<2>)(p); }

}  // namespace

extern const WinogradKernels winograd_kernels;
const WinogradKernels winograd_kernels = {
    {tiles_to_points<OfInput<F2>>, tiles_to_points<OfInput<F4>>, tiles_to_points<OfInput<Strided>>,
     tiles_to_points<OfInput<StridedBack>>},
    {tiles_to_points<OfGradient<F2>>, tiles_to_points<OfGradient<F4>>, tiles_to_points<OfGradient<Strided>>},
    {filter_gradient<F2>, filter_gradient<F4>, filter_gradient<Strided>},
    {output<F2>, output<F4>, output<Strided>, output<StridedBack>},
    {filter<F2>, filter<F4>, filter<Strided>, filter<Strided>},
    {0, tiles_of(1), tiles_of(2)},
    multiply_in_place,
    kAsksInPlace};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
