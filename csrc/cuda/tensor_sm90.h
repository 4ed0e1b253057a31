// SPDX-License-Identifier: Apache-2.0
// Products in tf32 or bfloat16 on compute capability 9.0, of what maps bring to shared memory (pixels.h): a
// group of four warps of each block, one thread of it, loads steps of 128 bytes along the sum into a ring of
// kStages places; two groups multiply them, each half the rows of a tile, and write its sums while the next
// tile is loaded. Blocks take one tile after the other.
#pragma once
#include "pixels.h"
#include "ptx/sm90.h"
#include "tile.h"

FASTCNN_FORMULAS_BEGIN

constexpr int kGroup = 128, kConsumers = 2;  // threads of a group; groups that multiply

template <int kTileM, int kTileN>
struct MapTile {
  static constexpr int kM = kTileM, kN = kTileN;
  static constexpr int kBlocks = kM / (64 * kConsumers);  // of 64 rows, of each group
  static constexpr int kRowBytes = ptx::kMapBytes;
  static constexpr int kBytesA = kM * kRowBytes, kStageBytes = (kM + kN) * kRowBytes;
  static constexpr int kStages = 196608 / kStageBytes;
  static constexpr int kRing = kStages * kStageBytes, kSharedBytes = kRing + kStages * 16;
  static_assert(kSharedBytes <= 232448, "what a block can have");
};

struct MapOperands {
  ptx::Map a[kMostClasses], b;
  PixelProduct of;
  AfterSum after;
  float* y;
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

template <class T>
FASTCNN_INLINE void load_tiles(const MapOperands& p, uint32_t ring, uint32_t full, uint32_t empty) {
  Turn<T::kStages> turn;
  for (int t = int(blockIdx.x); t < p.of.tiles; t += int(gridDim.x)) {
    const auto tile = p.of.tile(t, T::kM, T::kN);
    const PixelClassOfMap& c = p.of.of[tile.in_class];
    PixelSteps at(p.of, c, tile.m);
    for (int i = 0; i < c.steps; ++i, turn.next(), at.next(p.of, c)) {
      const uint32_t to = ring + uint32_t(turn.stage * T::kStageBytes),
                     barrier = full + 8u * uint32_t(turn.stage);
      ptx::wait_for(empty + 8u * uint32_t(turn.stage), turn.parity ^ 1);
      ptx::arrive_expecting(barrier, T::kStageBytes);
      ptx::load_pixels(to, &p.a[tile.in_class], barrier, at.a);
      ptx::load_box(to + T::kBytesA, &p.b, barrier, {at.a.channel, tile.n, at.slice});
    }
  }
}

template <class T>
FASTCNN_INLINE void store_tile(const MapOperands& p, PixelProduct::Tile tile, const float (&sum)[T::kN / 2]) {
  const PixelClassOfMap& c = p.of.of[tile.in_class];
  const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) % kGroup / kWarp;
  FASTCNN_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int64_t row = p.of.place(c, tile.m + 16 * warp + 8 * half + lane / 4);
    if (row < 0) continue;
    FASTCNN_UNROLL
    for (int j = 0; j < T::kN / 8; ++j) {
      const int n = tile.n + 8 * j + 2 * (lane % 4);
      if (n >= p.of.columns) continue;  // an even number
      const float left = p.after(sum[4 * j + 2 * half], row + n, n);
      const float right = p.after(sum[4 * j + 2 * half + 1], row + n + 1, n + 1);
      *reinterpret_cast<float2*>(p.y + row + n) = make_float2(left, right);
    }
  }
}

template <Precision kPrecision, int kCount>
FASTCNN_INLINE void multiply_rows(float (&sum)[kCount], uint64_t a, uint64_t b, bool add) {
  if constexpr (kPrecision == Precision::kBfloat16)
    ptx::multiply_bfloat16(sum, a, b, add);
  else
    ptx::multiply_tf32(sum, a, b, add);
}

template <class T, Precision kPrecision>
FASTCNN_INLINE void multiply_tiles(const MapOperands& p, uint32_t ring, uint32_t full, uint32_t empty) {
  // The same in all lanes, and known to be.
  const int group = __shfl_sync(kAllLanes, int(threadIdx.x) / kGroup, 0);
  const auto release = [&](int stage) {
    if (threadIdx.x % kWarp == 0) ptx::arrive(empty + 8u * uint32_t(stage));
  };
  constexpr int kBlockBytes = 64 * T::kRowBytes;
  Turn<T::kStages> turn;
  for (int t = int(blockIdx.x); t < p.of.tiles; t += int(gridDim.x)) {
    const auto tile = p.of.tile(t, T::kM, T::kN);
    const int steps = p.of.of[tile.in_class].steps;
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
      const uint64_t a = ptx::operand(at + uint32_t(kBlockBytes * T::kBlocks * group)),
                     b = ptx::operand(at + T::kBytesA);
      keep_in_place();
      ptx::begin_products();
      FASTCNN_UNROLL
      for (int k = 0; k < T::kRowBytes / ptx::kProductBytes; ++k) FASTCNN_UNROLL
      for (int r = 0; r < T::kBlocks; ++r)
        multiply_rows<kPrecision>(sum[r],
                                  a + uint64_t(r * (kBlockBytes >> 4) + k * (ptx::kProductBytes >> 4)),
                                  b + uint64_t(k * (ptx::kProductBytes >> 4)), i > 0 || k > 0);
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
    for (int r = 0; r < T::kBlocks; ++r)
      store_tile<T>(p, {tile.in_class, tile.m + 64 * (T::kBlocks * group + r), tile.n}, sum[r]);
  }
}

template <class T, Precision kPrecision>
__global__ void __launch_bounds__((kConsumers + 1) * kGroup, 1)
    product_sm90(const __grid_constant__ MapOperands p) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  FASTCNN_DYNAMIC_SHARED(memory);
  const uint32_t ring = ptx::window_address(memory);
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
    if (threadIdx.x == kConsumers * kGroup) load_tiles<T>(p, ring, full, empty);
  } else {
    ptx::take_registers<232>();
    multiply_tiles<T, kPrecision>(p, ring, full, empty);
  }
#endif
}

// As many blocks as the largest of these GPUs takes at a time: a tile has the same bits wherever it is made.
constexpr int kBlocks90 = 132;

template <class T, Precision kPrecision>
void start_maps(Context& context, const MapOperands& p) {
  const unsigned blocks = unsigned(p.of.tiles < kBlocks90 ? p.of.tiles : kBlocks90);
  ptx::start(product_sm90<T, kPrecision>, blocks, (kConsumers + 1) * kGroup, T::kSharedBytes,
             stream_of(context), p);
}

FASTCNN_FORMULAS_END
