// SPDX-License-Identifier: Apache-2.0
// What training draws: y[i] = x[i] / keep where the mask of a dropout keeps it, else 0; y = x + scale z and y
// = x (1
// + scale z) with normal deviates z; alpha dropout. Word i of a draw depends on i alone. A pair of words
// gives two deviates (G. E. P. Box, M. E. Muller, 1958): sqrt(-2 log u) cos(2 pi v) and sqrt(-2 log u) sin(2
// pi v), u = (a + 1) / 2^24, v = b / 2^24, a and b the upper 24 bits of the words. Called by cpu/random.cpp.
#include "random.h"

#include "../../base/philox.h"
#include "blocks.h"
#include "vec_math.h"

#include "../../base/formulas/random.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

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

// f(block, i, words) vector by vector over [begin, end).
template <class F>
FASTCNN_INLINE void for_each_word(int64_t begin, int64_t end, const Draw& draw, F f) {
  const PhiloxKeys keys = philox_keys(draw.seed);
  // The first word of a counter is the number of the block, i / 4.
  const UVec origin = (fours(~0u, 0, 0, 0) & ((UVec)iota() >> 2)) |
                      fours(0, draw.op, (uint32_t)draw.step, (uint32_t)(draw.step >> 32));
  for (int64_t i = begin; i < end; i += kStreams * kLanes) {
    UVec c[kStreams];
    FASTCNN_UNROLL
    for (int v = 0; v < kStreams; ++v) c[v] = origin + fours((uint32_t)(i / 4 + v * (kLanes / 4)), 0, 0, 0);
    philox(c, keys);
    const int64_t left = end - i;
    int v = 0;
    for_each_vector(left < kStreams * kLanes ? left : kStreams * kLanes,
                    [&](auto block, int64_t j) FASTCNN_INLINED { f(block, i + j, c[v++]); });
  }
}

FASTCNN_INLINE IVec stays(UVec word, const Draw& draw) {
  return (IVec)(word >> 8) >= (int32_t)draw.threshold;
}

void dropout(const DrawnRange& r, const Draw& draw, float keep) {
  for_each_word(r.begin, r.end, draw, [&](auto block, int64_t i, UVec word) FASTCNN_INLINED {
    block.put(r.y + i, stays(word, draw) ? block.get(r.x + i) / keep : Vec{});
  });
}

void mask(float* y, int64_t begin, int64_t end, const Draw& draw) {
  for_each_word(begin, end, draw, [&](auto block, int64_t i, UVec word) FASTCNN_INLINED {
    block.put(y + (i - begin), stays(word, draw) ? broadcast(1.0f) : Vec{});
  });
}

// The words of a pair stand in neighbouring lanes; the second lane's sine is the cosine a quarter turn back.
FASTCNN_INLINE Vec normals(UVec words) {
  const Vec w = __builtin_convertvector((IVec)(words >> 8), Vec);
  const Vec u = (spread<2, 0>(w) + 1.0f) * 0x1p-24f, v = spread<2, 1>(w) * 0x1p-24f;
  const Vec turns = v - ((iota() & 1) != 0 ? broadcast(0.25f) : Vec{});
  return sqrt(-2.0f * log(u)) * cos_turns(turns);
}

void gaussian(const DrawnRange& r, const Draw& draw, Noise noise, float scale) {
  if (noise == Noise::kAdded)
    for_each_word(r.begin, r.end, draw, [&](auto block, int64_t i, UVec words) FASTCNN_INLINED {
      block.put(r.y + i, fma(normals(words), broadcast(scale), block.get(r.x + i)));
    });
  else
    for_each_word(r.begin, r.end, draw, [&](auto block, int64_t i, UVec words) FASTCNN_INLINED {
      block.put(r.y + i, block.get(r.x + i) * fma(normals(words), broadcast(scale), broadcast(1.0f)));
    });
}

void alpha_dropout(const DrawnRange& r, const Draw& draw, const AlphaDropoutShape& shape) {
  for_each_word(r.begin, r.end, draw, [&](auto block, int64_t i, UVec word) FASTCNN_INLINED {
    const Vec kept = fma(block.get(r.x + i), broadcast(shape.scale), broadcast(shape.offset));
    block.put(r.y + i, stays(word, draw) ? kept : broadcast(shape.dropped));
  });
}

void keep_where(const float* x, const float* mask, float* y, int64_t count, float keep) {
  map(x, mask, y, count, [=](Vec v, Vec m) FASTCNN_INLINED { return m == Vec{} ? Vec{} : v / keep; });
}

}  // namespace

extern const RandomKernels random_kernels;
const RandomKernels random_kernels = {dropout, mask, gaussian, alpha_dropout, keep_where};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
