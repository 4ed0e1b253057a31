// SPDX-License-Identifier: Apache-2.0
// Row norms of kLanes rows at a time, one in each lane: all of a row of a vector or less, of longer rows the
// statistics. The formulas are row_norm.cpp's, the only file that includes this one.
#pragma once
#include "row_norm.h"
#include "turn.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE bool centered(const RowStatistics& s) { return s.kind == RowNorm::kLayer; }

struct LaneRoots {
  Vec root;
  IVec limited;  // unit norm: root is 1 / epsilon
};

FASTCNN_INLINE LaneRoots lane_roots(const RowStatistics& of, Vec square) {
  LaneRoots s = {};
  if (of.kind == RowNorm::kUnit) {
    const Vec limit = broadcast((float)(1 / of.epsilon)), root = 1.0f / sqrt(square);
    s.limited = root > limit;
    s.root = s.limited ? limit : root;
  } else {
    s.root = 1.0f / sqrt(fma(square, broadcast(1.0f / (float)of.cols), broadcast((float)of.epsilon)));
  }
  return s;
}

// Takes the mean off x, the first column first, so that nothing cancels however far from zero x lies.
FASTCNN_INLINE LaneRoots lane_statistics(const RowStatistics& of, int cols, Vec* x) {
  const float share = 1.0f / (float)cols;
  if (centered(of)) {
    const Vec first = x[0];
    Vec sum = {};
    for (int j = 0; j < cols; ++j) x[j] -= first, sum += x[j];
    sum *= share;
    for (int j = 0; j < cols; ++j) x[j] -= sum;
  }
  Vec square = {};
  for (int j = 0; j < cols; ++j) square = fma(x[j], x[j], square);
  return lane_roots(of, square);
}

// Rows of at most kTurned columns are turned. Those of kCols, if it is not 0, stay in registers, which takes
// half of the time for 4 columns.
constexpr int kTurned = 16;
template <class F>
FASTCNN_INLINE void with_columns(int64_t count, F f) {
  if (count == 1) return f(Columns<1>{});
  if (count == 2) return f(Columns<2>{});
  if (count == 3) return f(Columns<3>{});
  if (count == 4) return f(Columns<4>{});
  f(Columns<0>{});
}

// What turns rows of fewer columns would be compiled for Columns<0> too: 4 KB of AVX-512.
template <int kCols>
FASTCNN_INLINE int columns_of(const NormRows& a) {
  const int cols = kCols ? kCols : (int)a.count;
  if (!kCols && cols <= 4) __builtin_unreachable();
  return cols;
}

// Two groups of kLanes rows are at each stage at a time, as the sums, the root and the divisions of one wait
// for each other; but one where it stays in registers.
template <int kCols>
constexpr int kGroups = kCols ? 1 : 2;
template <int kCols, class F>
FASTCNN_INLINE void for_each_group(int64_t rows, F f) {
  for (int i = 0; i < kGroups<kCols> && rows > 0; ++i, rows -= kLanes)
    f(i, rows < kLanes ? (int)rows : kLanes);
}

// By value: behind references both were loaded again for each group, as stores to y might change them.
template <int kCols, bool kRelu>
FASTCNN_INLINE void narrow_fwd(const RowStatistics of, const NormRows a) {
  const int cols = columns_of<kCols>(a);
  constexpr int kMany = kGroups<kCols>;
  for (int64_t begin = 0; begin < a.rows; begin += kMany * kLanes) {
    Vec x[kMany][kCols ? kCols : kTurned], root[kMany];
    const auto each = [&](auto f) FASTCNN_INLINED { for_each_group<kCols>(a.rows - begin, f); };
    each([&](int i, int rows)
             FASTCNN_INLINED { get_rows<true>(a.x + (begin + i * kLanes) * cols, rows, cols, x[i]); });
    each([&](int i, int) FASTCNN_INLINED { root[i] = lane_statistics(of, cols, x[i]).root; });
    each([&](int i, int rows) FASTCNN_INLINED {
      for (int j = 0; j < cols; ++j) {
        const Vec gamma = broadcast(a.gamma ? a.gamma[j] : 1.0f), beta = broadcast(a.beta ? a.beta[j] : 0.0f);
        const Vec y = fma(x[i][j] * root[i], gamma, beta);
        x[i][j] = kRelu ? relu(y) : y;
      }
      put_rows<true>(x[i], rows, cols, a.y + (begin + i * kLanes) * cols);
    });
  }
}

template <int kCols>
FASTCNN_INLINE void narrow_bwd(const RowStatistics of, const NormRows a) {
  const int cols = columns_of<kCols>(a);
  const float share = of.kind == RowNorm::kUnit ? 1.0f : 1.0f / (float)cols;
  constexpr int kMany = kGroups<kCols>;
  Vec dgamma[kCols ? kCols : kTurned] = {}, dbeta[kCols ? kCols : kTurned] = {};
  for (int64_t begin = 0; begin < a.rows; begin += kMany * kLanes) {
    Vec x[kMany][kCols ? kCols : kTurned], dy[kMany][kCols ? kCols : kTurned];
    LaneRoots roots[kMany];
    const auto each = [&](auto f) FASTCNN_INLINED { for_each_group<kCols>(a.rows - begin, f); };
    each([&](int i, int rows) FASTCNN_INLINED {
      const int64_t at = (begin + i * kLanes) * cols;
      get_rows<true>(a.x + at, rows, cols, x[i]);
      get_rows<true>(a.dy + at, rows, cols, dy[i]);
    });
    each([&](int i, int rows) FASTCNN_INLINED {
      LaneRoots s = lane_statistics(of, cols, x[i]);
      if (rows < kLanes)  // of no row: infinite where epsilon is 0
        s.root = row_of_lane(cols) < rows ? s.root : Vec{};
      roots[i] = s;
    });
    each([&](int i, int rows) FASTCNN_INLINED {
      const LaneRoots s = roots[i];
      Vec sum = {}, product = {};
      for (int j = 0; j < cols; ++j) {
        const Vec xhat = x[i][j] * s.root;
        dbeta[j] += dy[i][j];
        dgamma[j] = fma(dy[i][j], xhat, dgamma[j]);
        dy[i][j] *= broadcast(a.gamma ? a.gamma[j] : 1.0f);
        sum += dy[i][j];
        product = fma(dy[i][j], xhat, product);
        x[i][j] = xhat;
      }
      if (!a.y) return;
      sum = centered(of) ? sum * share : Vec{};
      product = s.limited ? Vec{} : product * -share;
      for (int j = 0; j < cols; ++j) dy[i][j] = s.root * fma(x[i][j], product, dy[i][j] - sum);
      put_rows<true>(dy[i], rows, cols, a.y + (begin + i * kLanes) * cols);
    });
  }
  for (int j = 0; j < cols; ++j) {
    if (a.dgamma) a.dgamma[j] += lane_sum(dgamma[j]);
    if (a.dbeta) a.dbeta[j] += lane_sum(dbeta[j]);
  }
}

struct Lanes {
  Vec v[kLanes];
};

// Sum of the lanes of each of the vectors, one in each lane of the result, each in the order of lane_sum().
// Every round leaves half as many vectors, which hold the sums of twice as many: two thirds of the work of
// transpose() and sums of its vectors.
__attribute__((noinline)) Vec lane_sums(Lanes* of) {
  FASTCNN_UNROLL
  for (int half = kLanes / 2; half; half /= 2) FASTCNN_UNROLL
  for (int i = 0; i < half; ++i)
    of->v[i] = interleave<false>(of->v[i], of->v[i + half]) + interleave<true>(of->v[i], of->v[i + half]);
  return of->v[0];
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
