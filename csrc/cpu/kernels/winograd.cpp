// SPDX-License-Identifier: Apache-2.0
// See winograd.h for the formula. A transform is two passes of the same short sums, over columns and over
// rows of the tile; between them the points are on the stack.
#include "winograd.h"

#include "ahead.h"
#include "winograd_forms.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Of x: pixels to points of V.
template <class F>
struct OfInput {
  static constexpr bool kLoop = false;
  static constexpr int kPixels = F::kPixels, kPoints = F::kPoints;
  FASTCNN_INLINE void transform(const Vec* x, Vec* v) { F::input(x, v); }
};
// Of the gradient of an output: its pixels to points of M.
template <class F>
struct OfGradient {
  static constexpr bool kLoop = F::kSums > 5;
  static constexpr int kPixels = F::kOutputs, kPoints = F::kSums;
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

// read(row, column) of the tile to v.
template <class F, class Read>
FASTCNN_INLINE void to_points(Read read, float* v, int64_t plane) {
  constexpr int N = F::kPixels, A = F::kPoints;
  Vec columns[A][N];
  each<N, F::kLoop>([&](int s) FASTCNN_INLINED {
    Vec x[N], out[A];
    FASTCNN_UNROLL for (int r = 0; r < N; ++r) x[r] = read(r, s);
    F::transform(x, out);
    FASTCNN_UNROLL for (int i = 0; i < A; ++i) columns[i][s] = out[i];
  });
  each<A, F::kLoop>([&](int i) FASTCNN_INLINED {
    Vec out[A];
    F::transform(columns[i], out);
    FASTCNN_UNROLL for (int j = 0; j < A; ++j) store(v + (i * A + j) * plane, out[j]);
  });
}

template <class F>
void tile_to_points(const InputTile& t) {
  constexpr int N = F::kPixels;
  const int64_t whole = t.channels / kLanes * kLanes;
  const int tail = static_cast<int>(t.channels - whole);
  const bool inside =
      !F::kLoop && t.rows.begin == 0 && t.cols.begin == 0 && t.rows.end == N && t.cols.end == N;
  if (inside) {
    for (int64_t c = 0; c < whole; c += kLanes) {
      const float* x = t.x + c;
      to_points<F>([&](int r, int s) { return load(x + r * t.x_row + s * t.x_col); }, t.v + c, t.v_plane);
    }
    if (!tail) return;
  }
  // A table of pixels costs a load more for each; only tiles at the border and the last channels need it (and
  // those of which a loop keeps the code small), which are copied to whole vectors: a transform of their own
  // was a third of the code.
  const float* pixel[N][N];
  float last[N][N][kLanes];
  for (int r = 0; r < N; ++r)
    for (int s = 0; s < N; ++s) {
      const bool in = r >= t.rows.begin && r < t.rows.end && s >= t.cols.begin && s < t.cols.end;
      pixel[r][s] = in ? t.x + r * t.x_row + s * t.x_col : t.zeros;
    }
  for (int64_t c = inside ? whole : 0; c < t.channels; c += kLanes) {
    for (int i = 0; c == whole && i < N * N; ++i) {
      store(last[i / N][i % N], load_n(pixel[i / N][i % N] + c, tail));
      pixel[i / N][i % N] = last[i / N][i % N] - c;
    }
    to_points<F>([&](int r, int s) { return load(pixel[r][s] + c); }, t.v + c, t.v_plane);
  }
}

// The lines of y, mask and residual that a tile some way on will meet, from channel k on: they lie far away,
// and stores wait for theirs one by one. Without, 32 channels at 16x16 and 64 at 8x8, batch 128, took 1.1
// times as long (AVX-512). Lines of x asked for before its transform brought nothing.
constexpr int64_t kTilesAhead = 8;

template <class F>
FASTCNN_INLINE void ask(const OutputTile& t, int i, int64_t k) {
  if (k % kLineFloats) return;
  FASTCNN_UNROLL for (int j = 0; j < F::kOutputs; ++j) {
    const int64_t at = i * t.y_row + j * t.y_col + kTilesAhead * t.y_tile + k;
    __builtin_prefetch(t.y + at, 1, 3);
    if (t.mask) __builtin_prefetch(t.mask + at, 0, 3);
    if (t.residual) __builtin_prefetch(t.residual + at, 0, 3);
  }
}

// `lanes`: how many lanes of the vector are written.
template <class F>
FASTCNN_INLINE void transform_output(const OutputTile& t, int64_t k, int lanes) {
  constexpr int A = F::kSums, M = F::kOutputs;
  const float* m = t.m + k;
  Vec columns[M][A];
  FASTCNN_UNROLL for (int s = 0; s < A; ++s) {
    Vec x[A], out[M];
    FASTCNN_UNROLL for (int r = 0; r < A; ++r) x[r] = load(m + (r * A + s) * t.m_plane);
    F::output(x, out);
    FASTCNN_UNROLL for (int i = 0; i < M; ++i) columns[i][s] = out[i];
  }
  const auto read = [lanes](const float* p) { return lanes == kLanes ? load(p) : load_n(p, lanes); };
  const Vec bias = t.bias ? read(t.bias + k) : Vec{};
  const Vec least = t.relu ? Vec{} : broadcast(-__builtin_inff());
  if constexpr (A == 4)
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
      if (lanes == kLanes)
        store(t.y + k, best);
      else
        store_n(t.y + k, best, lanes);
      if (t.index) {
        const LaneBytes bytes = lane_bytes(place);
        memcpy(t.index + k, &bytes, (size_t)lanes);
      }
      return;
    }
  const auto row = [&](int i) FASTCNN_INLINED {
    ask<F>(t, i, k);
    Vec y[M];
    F::output(columns[i], y);
    FASTCNN_UNROLL for (int j = 0; j < M; ++j) {
      if (j < t.cols.begin || j >= t.cols.end) continue;
      const int64_t at = i * t.y_row + j * t.y_col + k;
      Vec value = y[j] + bias;
      if (t.residual) value = value + read(t.residual + at);
      value = value < least ? least : value;
      if (t.mask) value = read(t.mask + at) <= Vec{} ? Vec{} : value;
      if (lanes == kLanes)
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
      if (i >= t.rows.begin && i < t.rows.end) row(i);
    }
  }
}

template <class F>
void output(const OutputTile& t) {
  for (int64_t k = 0; k < t.channels; k += kLanes)
    transform_output<F>(t, k, static_cast<int>(t.channels - k < kLanes ? t.channels - k : kLanes));
}

template <class F>
void filter(const FilterTiles& t) {
  constexpr int A = F::kFilters;
  for (int64_t i = 0; i < t.count; i += kLanes) {
    Vec columns[A][3];
    FASTCNN_UNROLL for (int s = 0; s < 3; ++s) {
      Vec w[3], out[A];
      FASTCNN_UNROLL for (int r = 0; r < 3; ++r) w[r] = load(t.w + (r * 3 + s) * t.count + i);
      F::filter(w, out);
      FASTCNN_UNROLL for (int r = 0; r < A; ++r) columns[r][s] = out[r];
    }
    each<A, (A > 5)>([&](int r) FASTCNN_INLINED {
      Vec out[A];
      F::filter(columns[r], out);
      FASTCNN_UNROLL for (int s = 0; s < A; ++s) store(t.u + (r * A + s) * t.u_plane + i, out[s]);
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
      Vec out[3];
      F::filter_gradient(columns[r], out);
      FASTCNN_UNROLL for (int s = 0; s < 3; ++s) {
        float* to = t.dw + (r * 3 + s) * t.dw_tap + i;
        if (lanes == kLanes)
          store(to, out[s]);
        else
          store_n(to, out[s], lanes);
      }
    }
  }
}

}  // namespace

extern const WinogradKernels winograd_kernels;
const WinogradKernels winograd_kernels = {
    {tile_to_points<OfInput<F2>>, tile_to_points<OfInput<F4>>, tile_to_points<OfInput<Strided>>,
     tile_to_points<OfInput<StridedBack>>},
    {tile_to_points<OfGradient<F2>>, tile_to_points<OfGradient<F4>>, tile_to_points<OfGradient<Strided>>},
    {filter_gradient<F2>, filter_gradient<F4>, filter_gradient<Strided>},
    {output<F2>, output<F4>, output<Strided>, output<StridedBack>},
    {filter<F2>, filter<F4>, filter<Strided>, filter<Strided>}};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
