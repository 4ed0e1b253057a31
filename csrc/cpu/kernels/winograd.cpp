// SPDX-License-Identifier: Apache-2.0
// See winograd.h for the formula. A transform is two passes of the same short sums, over columns and over
// rows of the tile; between them the points are on the stack.
#include "winograd.h"

#include "ahead.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

struct F2 {
  static constexpr int kOutputs = 2, kPixels = 4, kPoints = 4, kFilters = 4, kSums = 4;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    v[0] = x[0] - x[2];
    v[1] = x[1] + x[2];
    v[2] = x[2] - x[1];
    v[3] = x[3] - x[1];
  }
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    const Vec half = broadcast(0.5f), even = half * (w[0] + w[2]), odd = half * w[1];
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = w[2];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] + m[3];
  }
  FASTCNN_INLINE void gradient(const Vec* y, Vec* w) {
    w[0] = y[0];
    w[1] = y[0] + y[1];
    w[2] = y[0] - y[1];
    w[3] = y[1];
  }
  FASTCNN_INLINE void filter_gradient(const Vec* d, Vec* w) {
    const Vec half = broadcast(0.5f), even = half * (d[1] + d[2]);
    w[0] = d[0] + even;
    w[1] = half * (d[1] - d[2]);
    w[2] = even + d[3];
  }
};

struct F4 {
  static constexpr int kOutputs = 4, kPixels = 6, kPoints = 6, kFilters = 6, kSums = 6;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    const Vec half = broadcast(0.5f), two = broadcast(2.0f), more = broadcast(1.5f), most = broadcast(2.5f);
    const Vec even = x[4] - x[2], odd = x[3] - x[1];
    v[0] = fma(more, odd, x[0] - x[2] + even);
    v[1] = fma(half, x[2], x[4]) + fma(most, x[3], -x[1]);
    v[2] = fma(-most, x[2], x[4]) + fma(half, x[3], x[1]);
    v[3] = fma(two, odd, even);
    v[4] = fma(-half, odd, even);
    v[5] = fma(more, even, x[5] - x[3] - odd);
  }
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    const Vec third = broadcast(1.0f / 3.0f), fifteenth = broadcast(1.0f / 15.0f);
    const Vec two = broadcast(2.0f), four = broadcast(4.0f);
    const Vec sum = w[0] + w[2];
    u[0] = w[0];
    u[1] = third * (sum + w[1]);
    u[2] = third * (w[1] - sum);
    u[3] = -four * fifteenth * (fma(four, w[0], w[2]) + two * w[1]);
    u[4] = fifteenth * (fma(four, w[2], w[0]) - two * w[1]);
    u[5] = w[2];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    const Vec sum = m[1] + m[2], difference = m[1] - m[2];
    y[0] = (m[0] + sum) + (m[3] + m[4]);
    y[1] = fma(broadcast(0.5f), m[3], fma(broadcast(-2.0f), m[4], difference));
    y[2] = fma(broadcast(0.25f), m[3], fma(broadcast(4.0f), m[4], sum));
    y[3] = fma(broadcast(0.125f), m[3], fma(broadcast(-8.0f), m[4], difference + m[5]));
  }
  FASTCNN_INLINE void gradient(const Vec* y, Vec* w) {
    const Vec even = y[0] + y[2], odd = y[1] + y[3];
    w[0] = y[0];
    w[1] = even + odd;
    w[2] = even - odd;
    w[3] = fma(broadcast(0.25f), y[2], y[0]) + broadcast(0.5f) * fma(broadcast(0.25f), y[3], y[1]);
    w[4] = fma(broadcast(4.0f), y[2], y[0]) - broadcast(2.0f) * fma(broadcast(4.0f), y[3], y[1]);
    w[5] = y[3];
  }
  FASTCNN_INLINE void filter_gradient(const Vec* d, Vec* w) {
    const Vec third = broadcast(1.0f / 3.0f), fifteenth = broadcast(1.0f / 15.0f);
    const Vec two = broadcast(2.0f), four = broadcast(4.0f);
    const Vec even = third * (d[1] - d[2]), odd = third * (d[1] + d[2]), both = four * fifteenth * d[3];
    w[0] = fma(fifteenth, d[4], fma(-four, both, d[0] + even));
    w[1] = fma(-two, fma(fifteenth, d[4], both), odd);
    w[2] = fma(four * fifteenth, d[4], even - both) + d[5];
  }
};

// Of stride 2: sums of 2, 1 and 2 products along an axis.
struct Strided {
  static constexpr int kOutputs = 2, kPixels = 5, kPoints = 5, kFilters = 4, kSums = 3;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    v[0] = x[0] - x[2];
    v[1] = x[1];
    v[2] = x[2];
    v[3] = x[3];
    v[4] = x[4] - x[2];
  }
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    u[0] = w[0];
    u[1] = w[1];
    u[2] = w[2];
    u[3] = w[0] + w[2];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1];
    y[1] = m[1] + m[2];
  }
  FASTCNN_INLINE void gradient(const Vec* y, Vec* w) {
    w[0] = y[0];
    w[1] = y[0] + y[1];
    w[2] = y[1];
  }
  FASTCNN_INLINE void filter_gradient(const Vec* d, Vec* w) {
    w[0] = d[0] + d[3];
    w[1] = d[1];
    w[2] = d[2] + d[3];
  }
};

// Of its dgrad, whose filters are Strided's.
struct StridedBack {
  static constexpr int kOutputs = 4, kPixels = 3, kPoints = 4, kFilters = 4, kSums = 5;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    v[0] = x[0] - x[1];
    v[1] = x[1];
    v[2] = x[2];
    v[3] = x[2] - x[1];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1];
    y[1] = m[3];
    y[2] = m[1] + m[2];
    y[3] = m[4];
  }
};

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
