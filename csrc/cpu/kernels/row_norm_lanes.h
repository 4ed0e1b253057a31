// SPDX-License-Identifier: Apache-2.0
// Row norms of kLanes rows at a time, one in each lane: all of a row of a vector or less, of longer rows the
// statistics. Rows of a few columns are turned as in transpose(). The formulas are row_norm.cpp's, the only
// file that includes this one.
#pragma once
#include "row_norm.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE bool centered(const RowStatistics& s) { return s.kind == RowNorm::kLayer; }

struct Lanes {
  Vec v[kLanes];
};

// One of log2(kMany kLanes) rounds that turn the bits of (vector, lane) full circle, as in transpose().
template <int kMany>
FASTCNN_INLINE void rotate(Lanes* of) {
  Vec u[kMany];
  FASTCNN_UNROLL for (int i = 0; i < kMany / 2; ++i) {
    u[2 * i] = interleave<false>(of->v[i], of->v[i + kMany / 2]);
    u[2 * i + 1] = interleave<true>(of->v[i], of->v[i + kMany / 2]);
  }
  FASTCNN_UNROLL for (int i = 0; i < kMany; ++i) of->v[i] = u[i];
}

// Lanes that have no row get that of the first, or zeros. kCols: a number of columns that divides kLanes, so
// that whole vectors are read and kCols of them turned; 0: another one, a vector for each row.
template <int kCols>
FASTCNN_INLINE void get_rows(const float* x, int rows, int cols, bool zeros, Lanes* to) {
  if constexpr (kCols > 1) {
    if (rows == kLanes) {
      FASTCNN_UNROLL for (int i = 0; i < kCols; ++i) to->v[i] = load(x + i * kLanes);
      FASTCNN_UNROLL for (int round = 1; round < kLanes; round *= 2) rotate<kCols>(to);
      return;
    }
  }
  for (int r = 0; r < kLanes; ++r)
    to->v[r] = r >= rows                          ? (zeros ? Vec{} : to->v[0])
               : r * cols + kLanes <= rows * cols ? load(x + r * cols)  // the rest belongs to rows after it
                                                  : load_n(x + r * cols, cols);
  transpose(to->v);
}
template <int kCols>
FASTCNN_INLINE void put_rows(float* y, int rows, int cols, Lanes* from) {
  if constexpr (kCols > 1) {
    if (rows == kLanes) {
      FASTCNN_UNROLL for (int round = 1; round < kCols; round *= 2) rotate<kCols>(from);
      FASTCNN_UNROLL for (int i = 0; i < kCols; ++i) store(y + i * kLanes, from->v[i]);
      return;
    }
  }
  transpose(from->v);
  for (int r = 0; r < rows; ++r) {
    if (r * cols + kLanes <= rows * cols)  // the rows after it come next
      store(y + r * cols, from->v[r]);
    else
      store_n(y + r * cols, from->v[r], cols);
  }
}

// f(Columns<n>) where there is a body for this number, or f(Columns<0>).
template <int kMany>
struct Columns {
  static constexpr int kCount = kMany;
};
template <class F>
FASTCNN_INLINE void with_columns(int64_t count, F f) {
  if (count == 2) return f(Columns<2>{});
  if (count == 4) return f(Columns<4>{});
  if constexpr (kLanes >= 8)
    if (count == 8) return f(Columns<8>{});
  f(Columns<0>{});
}

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
    s.root = 1.0f / sqrt(square / (float)of.cols + (float)of.epsilon);
  }
  return s;
}

// Takes the mean off x.
FASTCNN_INLINE LaneRoots lane_statistics(const RowStatistics& of, int cols, Lanes* x) {
  const float n = (float)cols;
  if (centered(of)) {
    Vec sum = {}, rest = {};
    for (int j = 0; j < cols; ++j) sum += x->v[j];
    for (int j = 0; j < cols; ++j) x->v[j] -= sum / n, rest += x->v[j];
    for (int j = 0; j < cols; ++j) x->v[j] -= rest / n;
  }
  Vec square = {};
  for (int j = 0; j < cols; ++j) square = fma(x->v[j], x->v[j], square);
  return lane_roots(of, square);
}

template <int kCols, bool kRelu>
FASTCNN_INLINE void narrow_fwd(const RowStatistics& of, const NormRows& a) {
  const int cols = kCols ? kCols : (int)a.count;
  for (int64_t r = 0; r < a.rows; r += kLanes) {
    const int rows = (int)(a.rows - r < kLanes ? a.rows - r : kLanes);
    Lanes x;
    get_rows<kCols>(a.x + r * cols, rows, cols, false, &x);
    const Vec root = lane_statistics(of, cols, &x).root;
    for (int j = 0; j < cols; ++j) {
      const Vec gamma = broadcast(a.gamma ? a.gamma[j] : 1.0f), beta = broadcast(a.beta ? a.beta[j] : 0.0f);
      const Vec y = fma(x.v[j] * root, gamma, beta);
      x.v[j] = kRelu ? relu(y) : y;
    }
    put_rows<kCols>(a.y + r * cols, rows, cols, &x);
  }
}

template <int kCols>
FASTCNN_INLINE void narrow_bwd(const RowStatistics& of, const NormRows& a) {
  const int cols = kCols ? kCols : (int)a.count;
  const float share = of.kind == RowNorm::kUnit ? 1.0f : 1.0f / (float)cols;
  Lanes dgamma = {}, dbeta = {};
  for (int64_t r = 0; r < a.rows; r += kLanes) {
    const int rows = (int)(a.rows - r < kLanes ? a.rows - r : kLanes);
    Lanes x, dy;
    get_rows<kCols>(a.x + r * cols, rows, cols, false, &x);
    get_rows<kCols>(a.dy + r * cols, rows, cols, true, &dy);
    const LaneRoots s = lane_statistics(of, cols, &x);
    Vec sum = {}, product = {};
    for (int j = 0; j < cols; ++j) {
      x.v[j] *= s.root;
      dbeta.v[j] += dy.v[j];
      dgamma.v[j] = fma(dy.v[j], x.v[j], dgamma.v[j]);
      dy.v[j] *= broadcast(a.gamma ? a.gamma[j] : 1.0f);
      sum += dy.v[j];
      product = fma(dy.v[j], x.v[j], product);
    }
    if (!a.y) continue;
    sum = centered(of) ? sum * share : Vec{};
    product = s.limited ? Vec{} : product * share;
    for (int j = 0; j < cols; ++j) dy.v[j] = s.root * (dy.v[j] - sum - x.v[j] * product);
    put_rows<kCols>(a.y + r * cols, rows, cols, &dy);
  }
  for (int j = 0; j < cols; ++j) {
    if (a.dgamma) a.dgamma[j] += lane_sum(dgamma.v[j]);
    if (a.dbeta) a.dbeta[j] += lane_sum(dbeta.v[j]);
  }
}

// Sum of the lanes of each of the vectors, one in each lane of the result, each in the order of lane_sum().
// Every round leaves half as many vectors, which hold the sums of twice as many: two thirds of the work of
// transpose() and sums of its vectors.
FASTCNN_INLINE Vec lane_sums(Lanes* of) {
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
