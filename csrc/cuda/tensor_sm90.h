// SPDX-License-Identifier: Apache-2.0
// Products in float32, tf32 or bfloat16 on compute capability 9.0, of what maps bring to shared memory: a
// group of four warps of each block, one thread of it, loads steps of the sum into a ring of kStages places;
// two groups multiply them, each half the rows of a tile, and write its sums while the next tile is loaded.
// Blocks take one tile after the other. What is multiplied is an object:
//
//   Shape                        a MapTile, with kHalves for products in float32 (3xTF32, tensor.h)
//   Operands                     the kernel's argument; `tiles` of it
//   tile(operands, t)            tile t; its `steps`
//   Loads(operands, tile)        called once for each step: brings it, whose bytes a barrier expects
//   operand_a(), operand_b()     of 64 rows, and of all columns, of a step at an address
//   next(), multiply()           from one product of a step to the next; the product
//   store(operands, tile, block, sum)     64 rows of the sums
//   measure(operands, tile, group)        when a group has stored all of its own
//
// With kHalves a is loaded as floats that groups split in registers, b as its big half and, behind that, its
// small one, both along the sum. In place of operand_a() to multiply() there is then
//
//   load_a(x, stage, block)      what this thread holds of 64 rows of a step, as multiply_tf32() says
#pragma once
#include "halves.h"
#include "ptx/sm80.h"
#include "ptx/sm90.h"
#include "tile.h"

FASTCNN_FORMULAS_BEGIN

constexpr int kGroup = 128, kConsumers = 2;  // threads of a group; groups that multiply
constexpr int kProducts = 4;                 // of a step

template <int kTileM, int kTileN, bool kOfHalves = false>
struct MapTile {
  static constexpr int kM = kTileM, kN = kTileN;
  static constexpr bool kHalves = kOfHalves;
  static constexpr int kBlocks = kM / (64 * kConsumers);   // of 64 rows, of each group
  static constexpr int kPanelBytes = 64 * ptx::kMapBytes;  // of 64 rows, or of what lies across the sum
  static constexpr int kBytesA = kM * ptx::kMapBytes, kBytesB = kN * ptx::kMapBytes;
  static constexpr int kStageBytes = kBytesA + (kHalves ? 2 : 1) * kBytesB;
  static constexpr int kStages = 196608 / kStageBytes;
  static constexpr int kRing = kStages * kStageBytes, kSharedBytes = kRing + kStages * 16;
  static_assert(kSharedBytes <= 232448, "what a block can have");
};

// A place of the ring, and the parity of the phase in which it is filled.
template <int kStages>
struct Turn {
  int stage = 0;
  uint32_t parity = 0;
  FASTCNN_INLINED void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

template <class Op>
FASTCNN_INLINE void load_tiles(const typename Op::Operands& p, uint32_t ring, uint32_t full, uint32_t empty) {
  using T = typename Op::Shape;
  Turn<T::kStages> turn;
  for (int t = int(blockIdx.x); t < p.tiles; t += int(gridDim.x)) {
    const auto tile = Op::tile(p, t);
    typename Op::Loads load(p, tile);
    for (int i = 0; i < tile.steps; ++i, turn.next()) {
      ptx::wait_for(empty + 8u * uint32_t(turn.stage), turn.parity ^ 1);
      load(ring + uint32_t(turn.stage * T::kStageBytes), full + 8u * uint32_t(turn.stage));
    }
  }
}

template <class Op>
FASTCNN_INLINE void multiply_tiles(const typename Op::Operands& p, uint32_t ring, uint32_t full,
                                   uint32_t empty) {
  using T = typename Op::Shape;
  // The same in all lanes, and known to be.
  const int group = __shfl_sync(kAllLanes, int(threadIdx.x) / kGroup, 0);
  const auto release = [&](int stage) {
    if (threadIdx.x % kWarp == 0) ptx::arrive(empty + 8u * uint32_t(stage));
  };
  Turn<T::kStages> turn;
  for (int t = int(blockIdx.x); t < p.tiles; t += int(gridDim.x)) {
    const auto tile = Op::tile(p, t);
    const int steps = tile.steps;
    float sum[T::kBlocks][T::kN / 2];
    const auto keep_in_place = [&] {
      FASTCNN_UNROLL
      for (int r = 0; r < T::kBlocks; ++r) ptx::keep_in_place(sum[r]);
    };
    if (steps == 0) {
      FASTCNN_UNROLL
      for (int r = 0; r < T::kBlocks; ++r) FASTCNN_UNROLL
      for (int i = 0; i < T::kN / 2; ++i) sum[r][i] = 0.0f;
    }
    int before = -1;
    for (int i = 0; i < steps; ++i, turn.next()) {
      ptx::wait_for(full + 8u * uint32_t(turn.stage), turn.parity);
      const uint32_t at = ring + uint32_t(turn.stage * T::kStageBytes);
      const uint64_t a = Op::operand_a(at + uint32_t(T::kPanelBytes * T::kBlocks * group)),
                     b = Op::operand_b(at + T::kBytesA);
      keep_in_place();
      ptx::begin_products();
      FASTCNN_UNROLL
      for (int k = 0; k < kProducts; ++k) FASTCNN_UNROLL
      for (int r = 0; r < T::kBlocks; ++r)
        Op::multiply(sum[r], a + uint64_t(r * (T::kPanelBytes >> 4) + k * Op::next()),
                     b + uint64_t(k * Op::next()), i > 0 || k > 0);
      ptx::commit_products();
      keep_in_place();
      ptx::wait_products<1>();  // those of the step before have been done
      if (before >= 0) release(before);
      before = turn.stage;
    }
    ptx::wait_products<0>();
    keep_in_place();
    if (before >= 0) release(before);
    FASTCNN_UNROLL
    for (int r = 0; r < T::kBlocks; ++r) Op::store(p, tile, T::kBlocks * group + r, sum[r]);
    Op::measure(p, tile, group);
  }
}

// What a thread holds of 64 rows of a step whose rows lie along the sum, as maps put them.
FASTCNN_INLINE void load_rows(float (&x)[kProducts][4], uint32_t panel) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x % kGroup / kWarp;
  const uint32_t at =
      panel + (16 * warp + lane % 16) * uint32_t(ptx::kMapBytes) + ((lane / 16 ^ lane % 8) << 4);
  FASTCNN_UNROLL
  for (uint32_t k = 0; k < kProducts; ++k) {
    uint32_t bits[4];
    ptx::load_matrices(bits, at ^ (k * uint32_t(ptx::kProductBytes)));
    FASTCNN_UNROLL
    for (int i = 0; i < 4; ++i) x[k][i] = __int_as_float(int32_t(bits[i]));
  }
}

struct Halves {
  uint32_t big[kProducts][4], small[kProducts][4];
  FASTCNN_INLINED void split(const float (&x)[kProducts][4]) {
    FASTCNN_UNROLL
    for (int k = 0; k < kProducts; ++k) FASTCNN_UNROLL
    for (int i = 0; i < 4; ++i) big[k][i] = big_half(x[k][i]), small[k][i] = small_half(x[k][i], big[k][i]);
  }
  FASTCNN_INLINED void keep_in_place() {
    FASTCNN_UNROLL
    for (int k = 0; k < kProducts; ++k) ptx::keep_in_place(big[k]), ptx::keep_in_place(small[k]);
  }
};

// Tensor cores cut sums off where float32 rounds them, which adds up in one direction: they take the sum of a
// step's products alone. A group has two of these under way where it makes more than 64 x 64 sums: while one
// is added, they multiply the other; and the next step's a is read while they multiply.
template <class Op>
FASTCNN_INLINE void multiply_halves(const typename Op::Operands& p, uint32_t ring, uint32_t full,
                                    uint32_t empty) {
  using T = typename Op::Shape;
  constexpr int kWidth = T::kN < 64 ? T::kN : 64, kSums = kWidth / 2;
  constexpr int kAcross = T::kN / kWidth, kParts = T::kBlocks * kAcross;
  static_assert(kParts <= 2, "what a thread's registers hold");
  const int group = __shfl_sync(kAllLanes, int(threadIdx.x) / kGroup, 0);
  Turn<T::kStages> turn;
  for (int t = int(blockIdx.x); t < p.tiles; t += int(gridDim.x)) {
    const auto tile = Op::tile(p, t);
    float sum[T::kBlocks][T::kN / 2] = {}, part[kParts][kSums] = {}, x[kProducts][4];
    Halves a[T::kBlocks];
    const auto stage = [&] { return ring + uint32_t(turn.stage * T::kStageBytes); };
    const auto load = [&] {
      ptx::wait_for(full + 8u * uint32_t(turn.stage), turn.parity);
      Op::load_a(x, stage(), T::kBlocks * group);
    };
    const auto multiply = [&](int u) {
      const Halves& rows = a[u / kAcross];
      const uint64_t big = ptx::operand(stage() + uint32_t(T::kBytesA + u % kAcross * T::kPanelBytes)),
                     small = big + (T::kBytesB >> 4);
      constexpr int kNext = ptx::kProductBytes >> 4;
      ptx::keep_in_place(part[u]);
      ptx::begin_products();
      FASTCNN_UNROLL
      for (int k = 0; k < kProducts; ++k) ptx::multiply_tf32(part[u], rows.small[k], big + k * kNext, k > 0);
      FASTCNN_UNROLL
      for (int k = 0; k < kProducts; ++k) ptx::multiply_tf32(part[u], rows.big[k], small + k * kNext, true);
      FASTCNN_UNROLL
      for (int k = 0; k < kProducts; ++k) ptx::multiply_tf32(part[u], rows.big[k], big + k * kNext, true);
      ptx::commit_products();
      ptx::keep_in_place(part[u]);
    };
    // A part, when no others than the last that were begun are under way.
    const auto add = [&](int u) {
      ptx::wait_products<kParts - 1>();
      a[u / kAcross].keep_in_place();
      ptx::keep_in_place(part[u]);
      FASTCNN_UNROLL
      for (int i = 0; i < kSums; ++i) sum[u / kAcross][u % kAcross * kSums + i] += part[u][i];
    };
    const auto wait_for_all = [&] {
      ptx::wait_products<0>();
      a[T::kBlocks - 1].keep_in_place();
    };
    // The stage before.
    const auto release = [&] {
      const int before = (turn.stage == 0 ? T::kStages : turn.stage) - 1;
      if (threadIdx.x % kWarp == 0) ptx::arrive(empty + 8u * uint32_t(before));
    };
    if (tile.steps) load();
    for (int i = 0; i < tile.steps; ++i) {
      if constexpr (kParts == 2) {
        wait_for_all();
        if (i > 0) release();
      }
      a[0].split(x);
      multiply(0);
      if constexpr (T::kBlocks == 2) Op::load_a(x, stage(), T::kBlocks * group + 1);
      if constexpr (kParts == 2) add(1);
      if constexpr (T::kBlocks == 2) a[1].split(x);
      if constexpr (kParts == 2) {
        multiply(1);
        add(0);
      }
      turn.next();
      if (i + 1 < tile.steps) load();
      if constexpr (kParts == 1) {
        add(0);
        release();
      }
    }
    if constexpr (kParts == 2) {
      wait_for_all();
      if (tile.steps) release();
      add(1);
    }
    FASTCNN_UNROLL
    for (int r = 0; r < T::kBlocks; ++r) Op::store(p, tile, T::kBlocks * group + r, sum[r]);
    Op::measure(p, tile, group);
  }
}

template <class Op>
__global__ void __launch_bounds__((kConsumers + 1) * kGroup, 1)
    product_sm90(const __grid_constant__ typename Op::Operands p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using T = typename Op::Shape;
  FASTCNN_DYNAMIC_SHARED(memory);
  const uint32_t ring = ptx::shared_address(memory);
  const uint32_t full = ring + T::kRing, empty = full + 8 * T::kStages;
  if (threadIdx.x == 0) {
    for (int s = 0; s < T::kStages; ++s) {
      ptx::init_barrier(full + 8u * uint32_t(s), 1);
      ptx::init_barrier(empty + 8u * uint32_t(s), kConsumers * kGroup / kWarp);
    }
    ptx::init_done();
  }
  __syncthreads();
  if (threadIdx.x >= kConsumers * kGroup) {
    ptx::give_registers<40>();
    if (threadIdx.x == kConsumers * kGroup) load_tiles<Op>(p, ring, full, empty);
  } else {
    ptx::take_registers<232>();
    if constexpr (T::kHalves)
      multiply_halves<Op>(p, ring, full, empty);
    else
      multiply_tiles<Op>(p, ring, full, empty);
  }
#endif
}

// As many blocks as the largest of these GPUs takes at a time: a tile has the same bits wherever it is made.
constexpr int kBlocks90 = 132;

template <class Op>
void start_maps(Context& context, const typename Op::Operands& p) {
  const unsigned blocks = unsigned(p.tiles < kBlocks90 ? p.tiles : kBlocks90);
  ptx::start(product_sm90<Op>, blocks, (kConsumers + 1) * kGroup, Op::Shape::kSharedBytes, stream_of(context),
             p);
}

FASTCNN_FORMULAS_END
