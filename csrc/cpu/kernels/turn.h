// SPDX-License-Identifier: Apache-2.0
// Short rows, one in each lane: kLanes rows x[r, 0..cols) become columns, a vector each, and go back. As rows
// they would leave most of a vector empty, and every sum of one would end in a sum of lanes. Included by the
// kernels that work row by row.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// The lanes in fours.
typedef float Quad __attribute__((vector_size(16)));
constexpr int kQuads = kLanes / 4;

// Of 16 lanes by intrinsics: GCC 12 joins what was loaded before by shuffles, and shuffles what it stores,
// all of which take turns at one port.
#if defined(__AVX512F__)
FASTCNN_INLINE Vec join_quads(const Quad (&q)[kQuads]) {
  __m512 v = _mm512_castps128_ps512((__m128)q[0]);
  v = _mm512_insertf32x4(v, (__m128)q[1], 1);
  v = _mm512_insertf32x4(v, (__m128)q[2], 2);
  return (Vec)_mm512_insertf32x4(v, (__m128)q[3], 3);
}
FASTCNN_INLINE void split_quads(Vec v, Quad (&q)[kQuads]) {
  q[0] = __builtin_shufflevector(v, v, 0, 1, 2, 3);
  q[1] = (Quad)_mm512_extractf32x4_ps((__m512)v, 1);
  q[2] = (Quad)_mm512_extractf32x4_ps((__m512)v, 2);
  q[3] = (Quad)_mm512_extractf32x4_ps((__m512)v, 3);
}
#else
template <class Q>
FASTCNN_INLINE Vec join_quads(const Q (&q)[kQuads]) {
  if constexpr (kQuads == 2) {
    return __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7);
  } else {
    return q[0];
  }
}
template <class V>
FASTCNN_INLINE void split_quads(V v, Quad (&q)[kQuads]) {
  q[0] = __builtin_shufflevector(v, v, 0, 1, 2, 3);
  if constexpr (kQuads > 1) q[1] = __builtin_shufflevector(v, v, 4, 5, 6, 7);
}
#endif

// Lanes I and J of each four of a, then K and L of b.
template <int I, int J, int K, int L, class V>
FASTCNN_INLINE Vec of_quads(V a, V b) {
#define FASTCNN_QUAD(i) I + (i), J + (i), K + kLanes + (i), L + kLanes + (i)
  if constexpr (kQuads == 4)
    return __builtin_shufflevector(a, b, FASTCNN_QUAD(0), FASTCNN_QUAD(4), FASTCNN_QUAD(8), FASTCNN_QUAD(12));
  else if constexpr (kQuads == 2)
    return __builtin_shufflevector(a, b, FASTCNN_QUAD(0), FASTCNN_QUAD(4));
  else
    return __builtin_shufflevector(a, b, FASTCNN_QUAD(0));
#undef FASTCNN_QUAD
}

// In each four of lanes, lane i of v[j] and lane j of v[i] change places: half of the instructions of
// transpose() where that crosses the halves of registers.
FASTCNN_INLINE void transpose_quads(Vec (&v)[4]) {
  const Vec a = of_quads<0, 1, 0, 1>(v[0], v[1]), b = of_quads<0, 1, 0, 1>(v[2], v[3]);
  const Vec c = of_quads<2, 3, 2, 3>(v[0], v[1]), d = of_quads<2, 3, 2, 3>(v[2], v[3]);
  v[0] = of_quads<0, 2, 0, 2>(a, b);
  v[1] = of_quads<1, 3, 1, 3>(a, b);
  v[2] = of_quads<0, 2, 0, 2>(c, d);
  v[3] = of_quads<1, 3, 1, 3>(c, d);
}

// The first four columns of kLanes rows, or kCols of them where a row has no more: then what stands after
// them belongs to the rows that come next, and beyond the last row nothing is read or written.
template <int kCols>
constexpr bool reaches(int r) {
  return kCols < 4 && (r * kCols + 4 > kLanes * kCols);
}

FASTCNN_INLINE Quad load_quad(const float* p) {
  Quad q;
  memcpy(&q, p, sizeof q);
  return q;
}
template <int kCols>
FASTCNN_INLINE Quad last_of(Quad q) {
  return __builtin_shufflevector(q, q, (4 - kCols) & 3, (5 - kCols) & 3, (6 - kCols) & 3, (7 - kCols) & 3);
}

// Lanes kFirst, kFirst + 2, ... of a, then those of b.
template <int kFirst>
FASTCNN_INLINE Vec every_second(Vec a, Vec b) {
#define FASTCNN_FOUR(i) 2 * (i) + kFirst, 2 * (i) + kFirst + 2, 2 * (i) + kFirst + 4, 2 * (i) + kFirst + 6
  if constexpr (kQuads == 4)
    return __builtin_shufflevector(a, b, FASTCNN_FOUR(0), FASTCNN_FOUR(4), FASTCNN_FOUR(8), FASTCNN_FOUR(12));
  else if constexpr (kQuads == 2)
    return __builtin_shufflevector(a, b, FASTCNN_FOUR(0), FASTCNN_FOUR(4));
  else
    return __builtin_shufflevector(a, b, FASTCNN_FOUR(0));
#undef FASTCNN_FOUR
}

template <int kCols>
FASTCNN_INLINE void turn_four(const float* x, int64_t cols, Vec* to) {
  if constexpr (kCols == 1) {
    *to = load(x);
    return;
  }
  if constexpr (kCols == 2) {
    const Vec first = load(x), second = load(x + kLanes);
    to[0] = every_second<0>(first, second), to[1] = every_second<1>(first, second);
    return;
  }
  Vec v[4];
  FASTCNN_UNROLL for (int i = 0; i < 4; ++i) {
    Quad quads[kQuads];
    FASTCNN_UNROLL for (int k = 0; k < kQuads; ++k) {
      const float* row = x + (4 * k + i) * cols;
      quads[k] = reaches<kCols>(4 * k + i) ? last_of<kCols>(load_quad(row + kCols - 4)) : load_quad(row);
    }
    v[i] = join_quads(quads);
  }
  transpose_quads(v);
  FASTCNN_UNROLL for (int i = 0; i < kCols; ++i) to[i] = v[i];
}

template <int kCols>
FASTCNN_INLINE void turn_four_back(const Vec* from, int64_t cols, float* y) {
  if constexpr (kCols == 1) {
    store(y, *from);
    return;
  }
  if constexpr (kCols == 2) {
    store(y, interleave<false>(from[0], from[1])), store(y + kLanes, interleave<true>(from[0], from[1]));
    return;
  }
  Vec v[4] = {};
  FASTCNN_UNROLL for (int i = 0; i < kCols; ++i) v[i] = from[i];
  transpose_quads(v);
  Quad quads[4][kQuads];
  FASTCNN_UNROLL for (int i = 0; i < 4; ++i) split_quads(v[i], quads[i]);
  FASTCNN_UNROLL for (int r = 0; r < kLanes; ++r)
      memcpy(y + r * cols, &quads[r % 4][r / 4], (reaches<kCols>(r) ? kCols : 4) * sizeof *y);
}

// f(Columns<kCols>, first column) for each four of them; the last ones of more than four may overlap.
template <int kMany>
struct Columns {
  static constexpr int kCount = kMany;
};
template <class F>
FASTCNN_INLINE void for_each_four(int cols, F f) {
  if (cols == 1) return f(Columns<1>{}, 0);
  if (cols == 2) return f(Columns<2>{}, 0);
  if (cols == 3) return f(Columns<3>{}, 0);
  for (int j = 0; j < cols; j += 4) f(Columns<4>{}, j + 4 <= cols ? j : cols - 4);
}

// Rows of more columns are not turned.
constexpr int kAbreast = 32;

// kLanes rows of four columns, kQuads of them in each vector of memory, for kernels that do not ask which
// lane has which row (kAnyOrder): nothing is joined or split then. Lane i has row
// row_of_lane(4)[i].
FASTCNN_INLINE void turn_vectors(const float* x, Vec* to) {
  Vec v[4];
  FASTCNN_UNROLL for (int i = 0; i < 4; ++i) v[i] = load(x + i * kLanes);
  transpose_quads(v);
  FASTCNN_UNROLL for (int i = 0; i < 4; ++i) to[i] = v[i];
}
FASTCNN_INLINE void turn_vectors_back(const Vec* from, float* y) {
  Vec v[4];
  FASTCNN_UNROLL for (int i = 0; i < 4; ++i) v[i] = from[i];
  transpose_quads(v);
  FASTCNN_UNROLL for (int i = 0; i < 4; ++i) store(y + i * kLanes, v[i]);
}
FASTCNN_INLINE IVec row_of_lane(int cols) { return cols == 4 ? iota() % 4 * kQuads + iota() / 4 : iota(); }

// At most kLanes rows; fewer go through memory where those that lack are 0.
template <bool kAnyOrder = false>
FASTCNN_INLINE void get_rows(const float* x, int rows, int cols, Vec* to) {
  float padded[kLanes * kAbreast];
  if (rows < kLanes) {
    memset(padded, 0, sizeof(float) * kLanes * cols);
    memcpy(padded, x, sizeof(float) * rows * cols);
    x = padded;
  }
  if (kAnyOrder && cols == 4) return turn_vectors(x, to);
  for_each_four(cols,
                [&](auto columns, int j) FASTCNN_INLINED { turn_four<columns.kCount>(x + j, cols, to + j); });
}
template <bool kAnyOrder = false>
FASTCNN_INLINE void put_rows(const Vec* from, int rows, int cols, float* y) {
  float padded[kLanes * kAbreast];
  float* to = rows < kLanes ? padded : y;
  if (kAnyOrder && cols == 4)
    turn_vectors_back(from, to);
  else
    for_each_four(cols, [&](auto columns, int j)
                            FASTCNN_INLINED { turn_four_back<columns.kCount>(from + j, cols, to + j); });
  if (rows < kLanes) memcpy(y, padded, sizeof(float) * rows * cols);
}

// f(first row, rows) for all rows, kLanes at a time.
template <class F>
FASTCNN_INLINE void for_each_lanes(int64_t rows, F f) {
  for (int64_t r = 0; r < rows; r += kLanes) f(r, (int)(rows - r < kLanes ? rows - r : kLanes));
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
