// SPDX-License-Identifier: Apache-2.0
// The generic matrix product of every GPU: y[m,n] = sum over k of a(m,k) b(k,n) in float32, k in increasing
// order. A block makes a tile of y, its operands pass through shared memory in strips of kK, the next strip
// being read while one is multiplied. Operands are objects, so that convolutions are products whose a and b
// are looked up:
//
//   bind(batch)       what blockIdx.z / splits stands for: a group, a class of pixels
//   depth(k)          how many k there are for this batch
//   outer(m), inner(k), at(outer, inner)      where the element lies, null outside, where it is 0
//   kInnerFast        neighbouring k are neighbours in memory, else neighbouring m (or n) are
//   in_fours()        whether every four of them, from a multiple of four on, are aligned 16 bytes
//
// The result goes to store.y[place(split, m, n)], unless that is below 0, as finish(sum, place, n);
// in_fours() says whether every four n of y are aligned 16 bytes. measure() is called by the whole block when
// its tile has been put.
#pragma once
#include "stored.h"

FASTCNN_FORMULAS_BEGIN

struct Problem {
  int32_t m, n, k;
  int32_t batches, splits, k_per_split;
  Precision precision = Precision::kFloat32;
};

template <class Operand, class Outer, class Inner>
FASTCNN_INLINE float element(const Operand& from, const Outer& outer, const Inner& inner) {
  const auto* const at = from.at(outer, inner);
  return at ? float(*at) : 0.0f;
}

template <int kTileM, int kTileN>
struct Tile {
  static constexpr int kM = kTileM, kN = kTileN, kK = 8;
  static constexpr int kSide = 16;                              // threads along m, and along n
  static constexpr int kRows = kM / kSide, kCols = kN / kSide;  // outputs of a thread, in fours
};

// Of one operand in one thread: which elements of a strip it brings, and the part of their addresses that
// stays.
template <class Operand, int kOuter, int kK>
struct Strip {
  static constexpr int kCount = kOuter * kK / kThreads;
  static constexpr bool kInnerFast = Operand::kInnerFast;
  static constexpr int kStep = kThreads / (kInnerFast ? kK : kOuter);
  static constexpr int kOuters = kInnerFast ? kCount : 1;
  typename Operand::Outer outer[kOuters];
  float value[kCount];

  FASTCNN_INLINED static int outer_of(int e) {
    return kInnerFast ? int(threadIdx.x) / kK + e * kStep : int(threadIdx.x) % kOuter;
  }
  FASTCNN_INLINED static int inner_of(int e) {
    return kInnerFast ? int(threadIdx.x) % kK : int(threadIdx.x) / kOuter + e * kStep;
  }
  FASTCNN_INLINED void begin(const Operand& from, int first) {
    FASTCNN_UNROLL
    for (int e = 0; e < kOuters; ++e) outer[e] = from.outer(first + outer_of(e));
  }
  FASTCNN_INLINED void fetch(const Operand& from, int k, int end) {
    if constexpr (kInnerFast) {
      const int at = k + inner_of(0);
      const auto inner = from.inner(at < end ? at : 0);
      FASTCNN_UNROLL
      for (int e = 0; e < kCount; ++e) value[e] = at < end ? element(from, outer[e], inner) : 0.0f;
    } else {
      FASTCNN_UNROLL
      for (int e = 0; e < kCount; ++e) {
        const int at = k + inner_of(e);
        value[e] = at < end ? element(from, outer[0], from.inner(at)) : 0.0f;
      }
    }
  }
  template <int kPitch>
  FASTCNN_INLINED void put(float (&to)[kK][kPitch]) const {
    FASTCNN_UNROLL
    for (int e = 0; e < kCount; ++e) to[inner_of(e)][outer_of(e)] = value[e];
  }
};

template <class T, class A, class B, class Store>
__global__ void __launch_bounds__(kThreads) product(Problem p, A every_a, B every_b, Store store) {
  constexpr int kPad = 4;  // neighbouring rows of a strip lie in other banks, and stay aligned
  __shared__ float a_strip[2][T::kK][T::kM + kPad], b_strip[2][T::kK][T::kN + kPad];
  const int batch = int(blockIdx.z) / p.splits, split = int(blockIdx.z) % p.splits;
  const auto a = every_a.bind(batch);
  const auto b = every_b.bind(batch);
  const auto to = store.bind(batch);
  const int tiles_n = (p.n + T::kN - 1) / T::kN;
  const int m0 = int(blockIdx.x) / tiles_n * T::kM, n0 = int(blockIdx.x) % tiles_n * T::kN;
  const int depth = a.depth(p.k), begin = split * p.k_per_split;
  const int end = depth < begin + p.k_per_split ? depth : begin + p.k_per_split;

  Strip<A, T::kM, T::kK> from_a;
  Strip<B, T::kN, T::kK> from_b;
  from_a.begin(a, m0);
  from_b.begin(b, n0);
  const int row = int(threadIdx.x) / T::kSide * 4, col = int(threadIdx.x) % T::kSide * 4;
  float sum[T::kRows][T::kCols] = {};
  if (begin < end) {
    from_a.fetch(a, begin, end), from_b.fetch(b, begin, end);
    from_a.put(a_strip[0]), from_b.put(b_strip[0]);
  }
  __syncthreads();
  for (int k = begin, now = 0; k < end; k += T::kK, now ^= 1) {
    const bool more = k + T::kK < end;
    if (more) from_a.fetch(a, k + T::kK, end), from_b.fetch(b, k + T::kK, end);
    FASTCNN_UNROLL
    for (int i = 0; i < T::kK; ++i) {
      float x[T::kRows], y[T::kCols];
      FASTCNN_UNROLL
      for (int r = 0; r < T::kRows; ++r) x[r] = a_strip[now][i][r / 4 * 4 * T::kSide + row + r % 4];
      FASTCNN_UNROLL
      for (int c = 0; c < T::kCols; ++c) y[c] = b_strip[now][i][c / 4 * 4 * T::kSide + col + c % 4];
      FASTCNN_UNROLL
      for (int r = 0; r < T::kRows; ++r) FASTCNN_UNROLL
      for (int c = 0; c < T::kCols; ++c) sum[r][c] = fma(x[r], y[c], sum[r][c]);
    }
    if (more) from_a.put(a_strip[now ^ 1]), from_b.put(b_strip[now ^ 1]);
    __syncthreads();
  }
  FASTCNN_UNROLL
  for (int r = 0; r < T::kRows; ++r) FASTCNN_UNROLL
  for (int c = 0; c < T::kCols; ++c) {
    const int m = m0 + r / 4 * 4 * T::kSide + row + r % 4, n = n0 + c / 4 * 4 * T::kSide + col + c % 4;
    const int64_t at = m < p.m && n < p.n ? to.place(split, m, n) : -1;
    if (at >= 0) to.put(sum[r][c], at, to.column(n));
  }
  to.template measure<T>(m0, n0);
}

using LargeTile = Tile<128, 128>;
using SmallTile = Tile<64, 64>;

inline int64_t tiles_of(const Problem& p, int side) {
  return ceil_div(p.m, side) * ceil_div(p.n, side) * p.batches;
}

// From here on large tiles fill a GPU, whose number of multiprocessors may not matter.
constexpr int64_t kEnoughTiles = 128;

inline bool takes_large_tiles(const Problem& p) {
  return tiles_of(p, LargeTile::kM) * p.splits >= kEnoughTiles;
}

// Cuts long sums where there would be few tiles. A block that has a multiprocessor to itself waits for most
// of its time, one strip after the other, so that short parts gain more than adding them up takes; but more
// than kWarp of them are a team's to add (store_sums), by scattered reads, and each takes room for all
// results, which weight gradients beside each other do not share.
constexpr int64_t kLeastDepth = 512, kShortDepth = 128;
inline void split_depth(Problem* p, bool in_short_parts) {
  const int64_t tiles = tiles_of(*p, SmallTile::kM);
  int64_t splits = tiles < kEnoughTiles ? ceil_div(2 * kEnoughTiles, tiles) : 1, most = p->k / kLeastDepth;
  const int64_t parts = p->k / kShortDepth, few = parts < kWarp ? parts : kWarp;
  if (in_short_parts && most < few) most = few;
  splits = splits < most ? splits : most;
  p->splits = int32_t(splits < 1 ? 1 : splits);
  p->k_per_split = int32_t(ceil_div(ceil_div(p->k, p->splits), 8) * 8);
  p->splits = int32_t(ceil_div(p->k, p->k_per_split));
}

template <class T>
dim3 grid_of(const Problem& p) {
  return dim3(unsigned(ceil_div(p.m, T::kM) * ceil_div(p.n, T::kN)), 1,
              unsigned(p.batches) * unsigned(p.splits));
}

// A product on any GPU.
struct Generic {
  static bool takes(const OpDescriptor&, int64_t) { return true; }
  template <class A, class B, class Store>
  static void multiply(Context& context, const Problem& p, const A& a, const B& b, const Store& store) {
    const cudaStream_t stream = stream_of(context);
    if (takes_large_tiles(p))
      FASTCNN_LAUNCH((product<LargeTile, A, B, Store>), grid_of<LargeTile>(p), kThreads, stream)
    (p, a, b, store);
    else FASTCNN_LAUNCH((product<SmallTile, A, B, Store>), grid_of<SmallTile>(p), kThreads, stream)(p, a, b,
                                                                                                    store);
  }
};

// What follows the sum: y = activation(v + bias[n] + residual), 0 where mask is not above 0.
template <class T>
struct AfterSum {
  const float* bias;
  const T *residual, *mask;
  int32_t clamped;
  FASTCNN_INLINED float operator()(float v, int64_t at, int64_t n) const {
    return of(v, n, residual ? float(residual[at]) : 0.0f, mask ? float(mask[at]) : 1.0f);
  }
  FASTCNN_INLINED float of(float v, int64_t n, float of_residual, float of_mask) const {
    if (bias) v += bias[n];
    if (residual) v += of_residual;
    if (clamped) v = relu(v);
    return of_mask <= 0.0f ? 0.0f : v;
  }
};

// What follows the sums of channels channel, channel + 1, ..., which are y[at], y[at + 1], ...
template <int kC, class T>
FASTCNN_INLINE void put_sums(const AfterSum<T>& after, const float (&sum)[kC], T* y, int64_t at,
                             int32_t channel) {
  Together<T, kC> to, residual = {}, mask = {};
  if (after.residual) residual = Together<T, kC>::at(after.residual + at);
  if (after.mask) mask = Together<T, kC>::at(after.mask + at);
  FASTCNN_UNROLL
  for (int k = 0; k < kC; ++k)
    to.of[k] = after.of(sum[k], channel + k, residual.of[k], after.mask ? float(mask.of[k]) : 1.0f);
  to.put(y + at);
}

// Where sums go: to `parts`, if these are not null, as they are, else to y after what follows.
template <class T>
struct Results {
  using Number = T;
  T* y;
  float* parts;
  AfterSum<T> after;

  FASTCNN_INLINED void put(float sum, int64_t at, int64_t column) const {
    if (parts)
      parts[at] = sum;
    else
      y[at] = after(sum, at, column);
  }
  FASTCNN_INLINED void put_two(float left, float right, int64_t at, int64_t column) const {
    if (parts) {
      *reinterpret_cast<float2*>(parts + at) = make_float2(left, right);
      return;
    }
    Together<T, 2> two;
    two.of[0] = after(left, at, column), two.of[1] = after(right, at + 1, column + 1);
    two.put(y + at);
  }
  FASTCNN_INLINED void put_four(const float4& sum, int64_t at, int64_t column) const {
    if (parts) {
      *reinterpret_cast<float4*>(parts + at) = sum;
      return;
    }
    Together<T, 4> four;
    four.of[0] = after(sum.x, at, column), four.of[1] = after(sum.y, at + 1, column + 1);
    four.of[2] = after(sum.z, at + 2, column + 2), four.of[3] = after(sum.w, at + 3, column + 3);
    four.put(y + at);
  }
  template <class Tile>
  FASTCNN_INLINED void measure(int, int) const {}
  bool aligned_to_twos() const { return aligned_to(parts, 8) && aligned_to(y, 2 * sizeof(T)); }
  bool aligned_to_fours() const { return aligned_to(parts, 16) && aligned_to(y, 4 * sizeof(T)); }
};
template <class T>
AfterSum<T> after_of(const Prepared& p, const void* bias, const void* residual, const void* mask) {
  const Epilogue& e = p.op.epilogue;
  const auto of = [](const void* from) { return static_cast<const T*>(from); };
  return {e.bias ? static_cast<const float*>(bias) : nullptr, e.residual ? of(residual) : nullptr,
          e.relu_mask ? of(mask) : nullptr, e.activation == Activation::kRelu};
}

// How many numbers make sixteen bytes.
template <class T>
constexpr int kSixteenBytes = 16 / sizeof(T);

inline bool known_epilogue(const Epilogue& e) {
  return !e.scale && !e.pool && !e.statistics &&
         (e.activation == Activation::kNone || e.activation == Activation::kRelu);
}

FASTCNN_FORMULAS_END
