// SPDX-License-Identifier: Apache-2.0
// The matrix product on the tensor cores of compute capability 8.0 and later, of the operands of tile.h. They
// round their operands to 10 bits (tf32) or to 7 (bfloat16) and multiply these exactly. With
// Precision::kFloat32 an operand is the sum of two such numbers, x = big + small, and a product is big big +
// big small + small big: what is left out, and what of x the two do not hold, is 2^-21 of it at most
// (3xTF32). Infinities, NaN and numbers that round to infinity have no such halves: where a sum is not finite
// it is taken again, one term after the other.
//
// Numbers that lie in memory as bfloat16 go to the tensor cores as they are, two in a word, twice as many in
// a strip.
//
// A block of 8 warps makes a tile of y from strips of kStripK along k, which come to shared memory by copies
// that go on while kStages - 1 others are multiplied.
#pragma once
#include "halves.h"
#include "ptx/sm80.h"
#include "strip.h"
#include "tile.h"

FASTCNN_FORMULAS_BEGIN

template <int kTileM, int kTileN, int kWarpsAlongM, int kBlocksAtATime>
struct TensorTile {
  static constexpr int kM = kTileM, kN = kTileN;
  static constexpr int kWarpsM = kWarpsAlongM, kWarpsN = kThreads / kWarp / kWarpsM;
  static constexpr int kBlocks = kBlocksAtATime;  // on a multiprocessor, by their registers
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN;
  static constexpr int kRows = kWarpM / 16, kCols = kWarpN / 8;  // tiles of one instruction
  static constexpr int kStages = 3;
  static constexpr int kFloats = kStages * (kM + kN) * kStripK;  // 48 KB at most, which every GPU has
  static constexpr int kPitch = kN + 8;  // of rows of the tile: the 8 bytes of 16 lanes lie in other banks
  static_assert(kFloats <= 12288 && kWarpM * kPitch <= kFloats, "the rows of a warp fit");
};

// Brings the strips of one operand.
template <class Operand, int kOuter>
struct Feed {
  using Number = typename Operand::Number;
  static constexpr bool kInnerFast = Operand::kInnerFast;
  static constexpr int kSize = sizeof(Number);
  static constexpr int kCount = kOuter * kStripK / 4 / kThreads;  // of sixteen bytes
  static constexpr int kOuters = kInnerFast ? kCount : 1;
  typename Operand::Outer outer[kOuters];
  int first;

  FASTCNN_INLINED static StripPlace sixteen(int e) {
    return strip_sixteen<kInnerFast, kOuter, kSize>(int(threadIdx.x) + e * kThreads);
  }
  FASTCNN_INLINED static uint32_t place(uint32_t strip, const StripPlace& at) {
    return strip + uint32_t(kSize * strip_place<kInnerFast, kOuter, kSize>(at.outer, at.k));
  }
  FASTCNN_INLINED void begin(const Operand& from, int first_outer) {
    first = first_outer;
    FASTCNN_UNROLL
    for (int e = 0; e < kOuters; ++e) outer[e] = from.outer(first + sixteen(e).outer);
  }
  // k from k0 on, up to end.
  FASTCNN_INLINED void fetch(const Operand& from, uint32_t strip, int k0, int end, bool by_sixteen) const {
    if (by_sixteen) {
      if constexpr (kInnerFast) {
        const int k = k0 + sixteen(0).k;
        const auto inner = from.inner(k < end ? k : 0);
        FASTCNN_UNROLL
        for (int e = 0; e < kCount; ++e) {
          const Number* const at = k < end ? from.at(outer[e], inner) : nullptr;
          ptx::copy_16(place(strip, sixteen(e)), at, at);
        }
      } else {
        FASTCNN_UNROLL
        for (int e = 0; e < kCount; ++e) {
          const int k = k0 + sixteen(e).k;
          const Number* const at = k < end ? from.at(outer[0], from.inner(k)) : nullptr;
          ptx::copy_16(place(strip, sixteen(e)), at, at);
        }
      }
      return;
    }
    FASTCNN_UNROLL
    for (int e = 0; e < kCount; ++e) {
      // What they have in common would fill 80 registers.
      FASTCNN_ROLLED
      for (int j = 0; j < kSixteenBytes<Number>; ++j) {
        StripPlace to = sixteen(e);
        (kInnerFast ? to.k : to.outer) += j;
        const int k = k0 + to.k;
        const Number* const at = k < end ? from.at(from.outer(first + to.outer), from.inner(k)) : nullptr;
        if constexpr (kSize == 4)
          ptx::copy_4(place(strip, to), at, at);
        else
          ptx::copy_2(place(strip, to), at);
      }
    }
  }
};

// Which element of an instruction's operand a register of a lane holds, and which row the lane names to
// load_matrices(), which brings four registers.
struct OfA {
  static constexpr int kRegisters = 4, kOuter = 16;
  FASTCNN_INLINED static int row(int lane) { return lane % 16; }
  FASTCNN_INLINED static int column(int lane) { return lane / 16 * 4; }  // in words
  FASTCNN_INLINED static int outer_of(int r) { return r % 2 * 8; }
  FASTCNN_INLINED static int k_of(int r) { return r / 2 * 4; }
};
struct OfB {
  static constexpr int kRegisters = 2, kOuter = 8;
  FASTCNN_INLINED static int row(int lane) { return lane / 16 * 8 + lane % 8; }
  FASTCNN_INLINED static int column(int lane) { return lane / 8 % 2 * 4; }
  FASTCNN_INLINED static int outer_of(int) { return 0; }
  FASTCNN_INLINED static int k_of(int r) { return r * 4; }
};

// Whether numbers are rounded to tf32 by two instructions: before 9.0 one of the data gradient's kernels,
// which has 128 registers, then kept 40 bytes in local memory.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr bool kRoundsInTwo = false;
#else
constexpr bool kRoundsInTwo = true;
#endif

// The operands of kCount of a warp's instructions, side by side, for kDepth numbers along k.
template <class Of, int kCount, Precision kPrecision, class Number>
struct Fragments {
  static constexpr bool kExact = kPrecision == Precision::kFloat32,
                        kPacked = kPrecision == Precision::kBfloat16;
  static constexpr int kDepth = kPacked ? 16 : 8;
  uint32_t big[kCount][Of::kRegisters], small[kExact ? kCount : 1][Of::kRegisters];

  template <bool kInnerFast, int kOuter>
  FASTCNN_INLINED void load(const float* strip, int outer, int k) {
    if constexpr (sizeof(Number) == 2)
      load_pairs<kInnerFast, kOuter>(ptx::shared_address(strip), outer, k);
    else
      load_floats<kInnerFast, kOuter>(strip, outer, k);
  }

 private:
  // Across the sum the rows that a lane names are of the matrices' transposes.
  template <bool kInnerFast, int kOuter>
  FASTCNN_INLINED void load_pairs(uint32_t strip, int outer, int k) {
    const int lane = int(threadIdx.x) % kWarp;
    constexpr int kEach = 4 / Of::kRegisters;  // of those that one load brings
    FASTCNN_UNROLL
    for (int i = 0; i < kCount; i += kEach) {
      uint32_t value[4];
      const int row = outer + i * Of::kOuter + Of::row(lane), column = k + 2 * Of::column(lane);
      if constexpr (kInnerFast)
        ptx::load_matrices(value, strip + 2u * uint32_t(strip_place<true, kOuter, 2>(row, column)));
      else
        ptx::load_matrices_across(
            value, strip + 2u * uint32_t(strip_place<false, kOuter, 2>(row / 8 * 8, column + lane % 8)));
      FASTCNN_UNROLL
      for (int r = 0; r < 4; ++r) big[i + r / Of::kRegisters][r % Of::kRegisters] = value[r];
    }
  }
  template <bool kInnerFast, int kOuter>
  FASTCNN_INLINED void load_floats(const float* strip, int outer, int k) {
    float x[kCount][Of::kRegisters], next[kPacked ? kCount : 1][Of::kRegisters];
    read<kInnerFast, kOuter>(x, strip, outer, k);
    if constexpr (kPacked) read<kInnerFast, kOuter>(next, strip, outer, k + 8);
    FASTCNN_UNROLL
    for (int i = 0; i < kCount; ++i) FASTCNN_UNROLL
    for (int r = 0; r < Of::kRegisters; ++r) {
      if constexpr (kPacked) {
        // Pairs of numbers that lie four apart: the sum does not ask for the order of k, which is that of the
        // other operand.
        constexpr int kHalf = Of::kRegisters / 2;
        const float (&of)[Of::kRegisters] = r < kHalf ? x[i] : next[i];
        big[i][r] = ptx::to_bfloat16(of[r % kHalf], of[r % kHalf + kHalf]);
      } else if constexpr (kExact && kRoundsInTwo) {
        big[i][r] = big_half(x[i][r]);
      } else {
        big[i][r] = ptx::to_tf32(x[i][r]);
      }
      if constexpr (kExact) small[i][r] = small_half(x[i][r], big[i][r]);
    }
  }
  // 8 numbers along k.
  template <bool kInnerFast, int kOuter>
  FASTCNN_INLINED static void read(float (&x)[kCount][Of::kRegisters], const float* strip, int outer, int k) {
    const int lane = int(threadIdx.x) % kWarp;
    if constexpr (kInnerFast) {
      constexpr int kEach = 4 / Of::kRegisters;  // of those that one load brings
      FASTCNN_UNROLL
      for (int i = 0; i < kCount; i += kEach) {
        uint32_t value[4];
        const int row = outer + i * Of::kOuter + Of::row(lane);
        ptx::load_matrices(value,
                           ptx::shared_address(strip + strip_place<true, kOuter>(row, k + Of::column(lane))));
        FASTCNN_UNROLL
        for (int r = 0; r < 4; ++r)
          x[i + r / Of::kRegisters][r % Of::kRegisters] = __int_as_float(int32_t(value[r]));
      }
    } else {
      FASTCNN_UNROLL
      for (int i = 0; i < kCount; ++i) FASTCNN_UNROLL
      for (int r = 0; r < Of::kRegisters; ++r)
        x[i][r] = strip[strip_place<false, kOuter>(outer + i * Of::kOuter + lane / 4 + Of::outer_of(r),
                                                   k + lane % 4 + Of::k_of(r))];
    }
  }
};

struct Term {
  int m, n, begin, end;
};
// The same sum by fused multiply-adds, one after the other.
template <class A, class B>
FASTCNN_INLINE float sum_in_order(const A& a, const B& b, Term of) {
  const auto row = a.outer(of.m);
  const auto column = b.outer(of.n);
  float sum = 0.0f;
  for (int k = of.begin; k < of.end; ++k)
    sum = fma(element(a, row, a.inner(k)), element(b, column, b.inner(k)), sum);
  return sum;
}

template <Precision kPrecision>
FASTCNN_INLINE void multiply_fragments(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (kPrecision == Precision::kBfloat16)
    ptx::multiply_bfloat16(sum, a, b);
  else
    ptx::multiply_tf32(sum, a, b);
}

struct TensorOptions {
  int32_t a_by_sixteen, b_by_sixteen, y_in_fours;
};

template <class T, Precision kPrecision, class A, class B, class Store>
__global__ void __launch_bounds__(kThreads, T::kBlocks)
    product_sm80(Problem p, TensorOptions options, A every_a, B every_b, Store store) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  using Number = typename A::Number;
  constexpr int kDepth = kStripK * 4 / int(sizeof(Number));  // of a strip
  using X = Fragments<OfA, 1, kPrecision, Number>;
  constexpr bool kExact = X::kExact;
  __shared__ __align__(128) float memory[T::kFloats];  // strips of a, strips of b; then part of the tile
  float* const a_strips = memory;
  float* const b_strips = memory + T::kStages * T::kM * kStripK;
  const int batch = int(blockIdx.z) / p.splits, split = int(blockIdx.z) % p.splits;
  const auto a = every_a.bind(batch);
  const auto b = every_b.bind(batch);
  const auto result = store.bind(batch);
  const int tiles_n = (p.n + T::kN - 1) / T::kN;
  const int m0 = int(blockIdx.x) / tiles_n * T::kM, n0 = int(blockIdx.x) % tiles_n * T::kN;
  const int depth = a.depth(p.k), begin = split * p.k_per_split;
  const int end = depth < begin + p.k_per_split ? depth : begin + p.k_per_split;

  Feed<A, T::kM> feed_a;
  Feed<B, T::kN> feed_b;
  feed_a.begin(a, m0);
  feed_b.begin(b, n0);
  const auto fetch = [&](int slot, int k) {
    if (k < end) {
      feed_a.fetch(a, ptx::shared_address(a_strips + slot * T::kM * kStripK), k, end, options.a_by_sixteen);
      feed_b.fetch(b, ptx::shared_address(b_strips + slot * T::kN * kStripK), k, end, options.b_by_sixteen);
    }
    ptx::commit_copies();
  };
  for (int s = 0; s < T::kStages - 1; ++s) fetch(s, begin + s * kDepth);

  const int warp = int(threadIdx.x) / kWarp, lane = int(threadIdx.x) % kWarp;
  const int m_warp = warp / T::kWarpsN * T::kWarpM, n_warp = warp % T::kWarpsN * T::kWarpN;
  float sum[T::kRows][T::kCols][4] = {};
  int slot = 0;
  for (int k = begin; k < end; k += kDepth) {
    ptx::wait_copies<T::kStages - 2>();
    __syncthreads();  // the strip is there, and all have done with the one before it
    const int free = slot == 0 ? T::kStages - 1 : slot - 1;
    fetch(free, k + (T::kStages - 1) * kDepth);
    const float* const a_strip = a_strips + slot * T::kM * kStripK;
    const float* const b_strip = b_strips + slot * T::kN * kStripK;
    FASTCNN_UNROLL
    for (int step = 0; step < kDepth; step += X::kDepth) {
      Fragments<OfB, T::kCols, kPrecision, Number> y;
      y.template load<B::kInnerFast, T::kN>(b_strip, n_warp, step);
      FASTCNN_UNROLL
      for (int r = 0; r < T::kRows; ++r) {
        X x;
        x.template load<A::kInnerFast, T::kM>(a_strip, m_warp + r * OfA::kOuter, step);
        // Tensor cores cut sums off where float32 rounds them, which adds up in one direction: they take the
        // sum of these products alone, a small part of the whole.
        float part[T::kCols][4] = {};
        auto& to = kExact ? part : sum[r];
        if constexpr (kExact) {
          FASTCNN_UNROLL
          for (int c = 0; c < T::kCols; ++c) multiply_fragments<kPrecision>(to[c], x.small[0], y.big[c]);
          FASTCNN_UNROLL
          for (int c = 0; c < T::kCols; ++c) multiply_fragments<kPrecision>(to[c], x.big[0], y.small[c]);
        }
        FASTCNN_UNROLL
        for (int c = 0; c < T::kCols; ++c) multiply_fragments<kPrecision>(to[c], x.big[0], y.big[c]);
        if constexpr (kExact) {
          FASTCNN_UNROLL
          for (int c = 0; c < T::kCols; ++c) FASTCNN_UNROLL
          for (int i = 0; i < 4; ++i) sum[r][c][i] += part[c][i];
        }
      }
    }
    slot = slot == T::kStages - 1 ? 0 : slot + 1;
  }
  ptx::wait_copies<0>();

  // The sums of warps side by side go through shared memory, so that neighbouring threads write neighbouring
  // fours of y.
  FASTCNN_UNROLL
  for (int part = 0; part < T::kWarpsM; ++part) {
    __syncthreads();
    if (warp / T::kWarpsN == part) {
      FASTCNN_UNROLL
      for (int r = 0; r < T::kRows; ++r) FASTCNN_UNROLL
      for (int c = 0; c < T::kCols; ++c) {
        float* const at = memory + (r * 16 + lane / 4) * T::kPitch + n_warp + c * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(at) = make_float2(sum[r][c][0], sum[r][c][1]);
        *reinterpret_cast<float2*>(at + 8 * T::kPitch) = make_float2(sum[r][c][2], sum[r][c][3]);
      }
    }
    __syncthreads();
    for (int i = int(threadIdx.x); i < T::kWarpM * T::kN / 4; i += kThreads) {
      const int row = i / (T::kN / 4), col = i % (T::kN / 4) * 4;
      const int m = m0 + part * T::kWarpM + row, n = n0 + col;
      const int64_t at = m < p.m && n < p.n ? result.place(split, m, n) : -1;
      if (at < 0) continue;
      float* const of = memory + row * T::kPitch + col;
      const int count = p.n - n < 4 ? p.n - n : 4;
      if (kExact && !(fabsf(of[0]) + fabsf(of[1]) + fabsf(of[2]) + fabsf(of[3]) <= kLargest))
        for (int j = 0; j < count; ++j) of[j] = sum_in_order(a, b, {m, n + j, begin, end});
      const float4 four = *reinterpret_cast<const float4*>(of);
      if (options.y_in_fours) {
        result.put_four(four, at, result.column(n));
      } else {
        const float y[4] = {four.x, four.y, four.z, four.w};
        FASTCNN_UNROLL
        for (int j = 0; j < 4; ++j)
          if (j < count) result.put(y[j], at + j, result.column(n + j));
      }
    }
  }
  result.template measure<T>(m0, n0);
#endif
}

// Three products of an operand take more registers, but fewer bytes for each: a tile of half the size is
// enough. Operands are split as they come to registers: for 8 numbers along k a warp issues 24 products, 48
// instructions that split, 32 additions and 4 to 16 loads, about 120 against the 96 clocks that the products
// alone take at the full rate of 9.0. To split a strip once, in shared memory, would cost each thread a load,
// two instructions and two stores for 6 numbers, and every fragment twice the loads: no fewer.
using LargeExactTile = TensorTile<128, 64, 4, 1>;  // two blocks would spill
using LargeTensorTile = TensorTile<128, 128, 2, 1>;
using SmallTensorTile = TensorTile<64, 64, 2, 2>;

// A product on tensor cores.
struct Tensor {
  // Short sums are left to the generic kernel: part of a strip of them would be empty, and few roundings do
  // not hide those of 3xTF32.
  static bool takes(const OpDescriptor& op, int64_t depth) {
    return op.math != Math::kStrict && depth >= kStripK;
  }

  template <class T, Precision kPrecision, class A, class B, class Store>
  static void start(Context& context, const Problem& p, const A& a, const B& b, const Store& store) {
    const TensorOptions options = {a.by_sixteen_bytes(), b.by_sixteen_bytes(), store.in_fours()};
    FASTCNN_LAUNCH((product_sm80<T, kPrecision, A, B, Store>), grid_of<T>(p), kThreads, stream_of(context))
    (p, options, a, b, store);
  }
  template <class Large, Precision kPrecision, class A, class B, class Store>
  static void multiply(Context& context, const Problem& p, const A& a, const B& b, const Store& store) {
    if (takes_large_tiles(p))
      start<Large, kPrecision>(context, p, a, b, store);
    else
      start<SmallTensorTile, kPrecision>(context, p, a, b, store);
  }
  template <class A, class B, class Store>
  static void multiply(Context& context, const Problem& p, const A& a, const B& b, const Store& store) {
    if constexpr (sizeof(typename A::Number) == 2)
      multiply<LargeTensorTile, Precision::kBfloat16>(context, p, a, b, store);
    else if (p.precision == Precision::kTf32)
      multiply<LargeTensorTile, Precision::kTf32>(context, p, a, b, store);
    else if (p.precision == Precision::kBfloat16)
      multiply<LargeTensorTile, Precision::kBfloat16>(context, p, a, b, store);
    else
      multiply<LargeExactTile, Precision::kFloat32>(context, p, a, b, store);
  }
};

FASTCNN_FORMULAS_END
