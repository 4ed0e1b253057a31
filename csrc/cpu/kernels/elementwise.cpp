// SPDX-License-Identifier: Apache-2.0
// y[i] = scale x[i] + offset, and y[i] = x[i] / (1 - rate) where the mask of a dropout keeps it, else 0.
// Called with pieces of flat arrays by cpu/elementwise.cpp.
#include "elementwise.h"

#include "../../base/philox.h"
#include "blocks.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Two roundings, as in the gather: a rescaling fused into it has the same bits.
void rescale(const float* x, float* y, int64_t count, float scale, float offset) {
  map(x, y, count, [=](Vec v) { return v * scale + offset; });
}

void add(const float* a, const float* b, float* y, int64_t count) {
  map(a, b, y, count, [](Vec v, Vec w) { return v + w; });
}

// Philox on kLanes / 4 blocks at once, the four words of a block in neighbouring lanes: they come out in the
// order of the elements. A round takes (c0, c1, c2, c3) to (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^
// k1, lo(M0 c0)): the products of c0 and c2 in reverse, and c1 and c3 moved down one lane.
FASTCNN_INLINE UVec fours(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const IVec word = iota() & 3;
  const UVec zero = {};
  return word < 2 ? (word < 1 ? zero + a : zero + b) : (word < 3 ? zero + c : zero + d);
}
FASTCNN_INLINE UVec second_to_first(UVec v) {
  typedef uint64_t Pairs __attribute__((vector_size(sizeof(UVec))));
  return (UVec)((Pairs)v >> 32);
}

struct PhiloxKeys {
  UVec round[FASTCNN_PHILOX_ROUNDS];
};

FASTCNN_INLINE PhiloxKeys philox_keys(uint64_t seed) {
  PhiloxKeys keys;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int r = 0; r < FASTCNN_PHILOX_ROUNDS; ++r, k0 += FASTCNN_PHILOX_W0, k1 += FASTCNN_PHILOX_W1)
    keys.round[r] = fours(k0, 0, k1, 0);
  return keys;
}

constexpr int kStreams = 4;  // independent vectors, to hide the latency of the products

FASTCNN_INLINE void philox(UVec (&c)[kStreams], const PhiloxKeys& keys) {
  const UVec multiplier = fours(FASTCNN_PHILOX_M0, 0, FASTCNN_PHILOX_M1, 0);
  FASTCNN_UNROLL
  for (int r = 0; r < FASTCNN_PHILOX_ROUNDS; ++r) FASTCNN_UNROLL
  for (int v = 0; v < kStreams; ++v)
    c[v] = reverse_fours(products_of_pairs(c[v], multiplier)) ^ second_to_first(c[v]) ^ keys.round[r];
}

void dropout(const float* x, float* y, int64_t begin, int64_t end, const DropoutMask& mask) {
  const PhiloxKeys keys = philox_keys(mask.seed);
  // The first word of a counter is the number of the block, i / 4.
  const UVec origin = (fours(~0u, 0, 0, 0) & ((UVec)iota() >> 2)) |
                      fours(0, mask.op, (uint32_t)mask.step, (uint32_t)(mask.step >> 32));
  const auto drop = [&](UVec word, Vec v) {
    return (IVec)(word >> 8) >= (int32_t)mask.threshold ? v / mask.keep : Vec{};
  };
  for (int64_t i = begin; i < end; i += kStreams * kLanes) {
    UVec c[kStreams];
    FASTCNN_UNROLL
    for (int v = 0; v < kStreams; ++v) c[v] = origin + fours((uint32_t)(i / 4 + v * (kLanes / 4)), 0, 0, 0);
    philox(c, keys);
    const int64_t left = end - i;
    int v = 0;
    for_each_vector(left < kStreams * kLanes ? left : kStreams * kLanes,
                    [&](auto block, int64_t j)
                        FASTCNN_INLINED { block.put(y + i + j, drop(c[v++], block.get(x + i + j))); });
  }
}

}  // namespace

extern const ElementwiseKernels elementwise_kernels;
const ElementwiseKernels elementwise_kernels = {rescale, add, dropout};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
