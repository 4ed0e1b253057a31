// SPDX-License-Identifier: Apache-2.0
// How kernels are started, and the sums that they share. Grids follow from the shape alone, partial sums are
// added in a fixed order: the same bits on every run and every GPU.
#pragma once
#include "rows.h"
#include "vec.h"

#ifndef FASTCNN_LAUNCH
#define FASTCNN_LAUNCH(kernel, blocks, threads, stream) kernel<<<blocks, threads, 0, stream>>>
#endif

FASTCNN_FORMULAS_BEGIN

constexpr int kThreads = 256, kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int64_t kMostBlocks = 4096;  // of a loop over a grid: several for each place of the largest GPU

inline cudaStream_t stream_of(const Context& c) { return static_cast<cudaStream_t>(c.stream); }
inline unsigned blocks_for(int64_t units, int64_t per_block) {
  const int64_t blocks = ceil_div(units, per_block);
  return unsigned(blocks < 1 ? 1 : blocks < kMostBlocks ? blocks : kMostBlocks);
}

template <class F>
__global__ void __launch_bounds__(kThreads) each(int64_t count, F f) {
  const int64_t step = int64_t(kThreads) * gridDim.x;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) f(i);
}

// f(i) for every i below count, neighbours by neighbouring threads.
template <class F>
void for_each(Context& context, int64_t count, F f) {
  if (count > 0) FASTCNN_LAUNCH(each<F>, blocks_for(count, kThreads), kThreads, stream_of(context))(count, f);
}

template <class F>
__global__ void single(F f) {
  f();
}
// f() by one thread.
template <class F>
void once(Context& context, F f) {
  FASTCNN_LAUNCH(single<F>, 1, 1, stream_of(context))(f);
}

struct Add {
  template <class T>
  FASTCNN_INLINED T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN wins.
struct Greater {
  FASTCNN_INLINED float operator()(float a, float b) const { return a >= b || a != a ? a : b; }
};
struct Lesser {
  template <class T>
  FASTCNN_INLINED T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

// Neighbouring threads that work together: a warp, or the whole block.
template <int kSize>
struct Team {
  static_assert(kSize == kWarp || kSize == kThreads, "a warp or a block");
  static constexpr int kWidth = kSize, kPerBlock = kThreads / kSize;
  FASTCNN_INLINED static int rank() { return int(threadIdx.x) % kWidth; }
  FASTCNN_INLINED static int number() { return int(threadIdx.x) / kWidth; }

  // Combines one value of each thread; all get the result.
  template <class T, class Combine>
  FASTCNN_INLINED static T all(T value, Combine combine) {
    for (int bits = kWarp / 2; bits; bits /= 2)
      value = combine(value, __shfl_xor_sync(kAllLanes, value, bits));
    if constexpr (kWidth == kThreads) {
      __shared__ T of_warp[kThreads / kWarp];
      __syncthreads();  // the previous result has been read
      if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
      __syncthreads();
      value = of_warp[0];
      for (int w = 1; w < kThreads / kWarp; ++w) value = combine(value, of_warp[w]);
    }
    return value;
  }
  template <class T>
  FASTCNN_INLINED static T sum(T value) {
    return all(value, Add{});
  }
  FASTCNN_INLINED static void barrier() {
    if constexpr (kWidth == kThreads) {
      __syncthreads();
    } else {
      __syncwarp(kAllLanes);
    }
  }
};

template <class T, class N>
FASTCNN_INLINE float greatest_of(T, const N* x, int64_t cols) {
  float highest = -HUGE_VALF;
  for (int64_t j = T::rank(); j < cols; j += T::kWidth) highest = Greater{}(x[j], highest);
  return T::all(highest, Greater{});
}

template <int kWidth, class F>
__global__ void __launch_bounds__(kThreads) each_team(int64_t count, F f) {
  using T = Team<kWidth>;
  for (int64_t i = int64_t(blockIdx.x) * T::kPerBlock + T::number(); i < count;
       i += int64_t(T::kPerBlock) * gridDim.x)
    f(T{}, i);
}

// f(team, i) for every i below count, each by a block.
template <class F>
void for_each_block(Context& context, int64_t count, F f) {
  if (count > 0)
    FASTCNN_LAUNCH((each_team<kThreads, F>), blocks_for(count, 1), kThreads, stream_of(context))(count, f);
}

constexpr int64_t kShortRow = 1024;  // up to here a row is a warp's

// f(team, i) for every i below count, each by a team that suits rows of `length` elements: by a warp if these
// are few enough.
template <class F>
void for_each_row(Context& context, int64_t count, int64_t length, F f, int64_t few = kShortRow) {
  if (count <= 0) return;
  if (length > few) return for_each_block(context, count, f);
  FASTCNN_LAUNCH((each_team<kWarp, F>), blocks_for(count, Team<kWarp>::kPerBlock), kThreads,
                 stream_of(context))
  (count, f);
}

FASTCNN_FORMULAS_END
