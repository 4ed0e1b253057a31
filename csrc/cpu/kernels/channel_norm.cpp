// SPDX-License-Identifier: Apache-2.0
// With x [rows, width], statistics over all columns of a group of channels and the K elements x in it:
//   y  = gamma r (x - mean) + beta                                      r = 1 / sqrt(variance + epsilon)
//   dx = r (g - sum(g) / K - (x - mean) r^2 sum(g (x - mean)) / K)      g = gamma dy
//   dgamma = r sum(dy (x - mean)), dbeta = sum(dy)
// Sums of a tile are taken in float32, in order of its rows; those of tiles are added in double precision.
// The mean is kept as center + rest, two floats: x - center has no rounding error where x is near it.
// Called by cpu/channel_norm.cpp.
#include "channel_norm.h"

#include "channel_statistics.h"
#include "output.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Down one block of columns after the other, its sums in registers; rows side by side with the sums in memory
// took up to twice as long. The pivot is the mean of the first quarter of the rows: that of any quarter is
// within sqrt(3) deviations of the mean of all, so the mean of d^2 is at most four times the variance, and
// what was read is read again at once. The mean of all rows took 1.1 to 1.6 times as long. A processor does
// not foresee such steps through memory: the same lines of the next tile are asked for meanwhile.
template <bool kBackward>
FASTCNN_INLINE void tile_sums(const ChannelTile& t, const ChannelSums& s) {
  constexpr int kMany = kBackward && kRegisters < 32 ? 2 : 4;
  const int64_t quarter = (t.rows + 3) / 4;
  for_each_block<kMany>(t.cols, [&](auto block, int64_t c) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec pivot[kVectors] = {}, first[kVectors] = {}, second[kVectors] = {}, sum[kVectors] = {},
        product[kVectors] = {};
    const float *x = t.x + c, *dy = kBackward ? t.dy + c : nullptr;
    for (int64_t row = 0; row < quarter; ++row)
      for (int v = 0; v < kVectors; ++v) pivot[v] += block.get(x + row * t.pitch + v * kLanes);
    for (int v = 0; v < kVectors; ++v) pivot[v] *= 1.0f / (float)quarter;
    for (int64_t row = 0; row < t.rows; ++row, x += t.pitch) {
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        if (t.next) __builtin_prefetch(x + t.next + v * kLanes, 0, 2);
        const Vec d = block.get(x + v * kLanes) - pivot[v];
        first[v] += d;
        second[v] = fma(d, d, second[v]);
        if constexpr (kBackward) {
          if (t.next) __builtin_prefetch(dy + t.next + v * kLanes, 0, 2);
          const Vec g = block.get(dy + v * kLanes);
          sum[v] += g;
          product[v] = fma(g, d, product[v]);
        }
      }
      if constexpr (kBackward) dy += t.pitch;
    }
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = c + v * kLanes;
      block.put(s.pivot + at, pivot[v]);
      block.put(s.first + at, first[v]);
      block.put(s.second + at, second[v]);
      if constexpr (kBackward) {
        block.put(s.dy + at, sum[v]);
        block.put(s.product + at, product[v]);
      }
    }
  });
  for_each_vector(t.tail, [&](auto block, int64_t c) FASTCNN_INLINED {
    const auto add = [&](float* sum, Vec a, Vec b)
                         FASTCNN_INLINED { block.put(sum + c, fma(a, b, block.get(sum + c))); };
    const Vec one = broadcast(1.0f), d = block.get(t.x + t.rows * t.pitch + c) - block.get(s.pivot + c);
    add(s.first, d, one);
    add(s.second, d, d);
    if constexpr (kBackward) {
      const Vec g = block.get(t.dy + t.rows * t.pitch + c);
      add(s.dy, g, one);
      add(s.product, g, d);
    }
  });
}

void sums_fwd(const ChannelTile& t, const ChannelSums& s) { tile_sums<false>(t, s); }
void sums_bwd(const ChannelTile& t, const ChannelSums& s) { tile_sums<true>(t, s); }

// f(block, at, factors) for the vectors of a few rows at a time: what is written follows what is read, and
// the factors of a block stay in registers meanwhile, four at most. Row by row, with the factors in memory,
// it took three times as long in a cache.
constexpr int64_t kRowsTogether = 4;

// A y of its own lies far away where nothing has met it for long, and stores wait for their lines one by one:
// they are asked for so many floats ahead. 8 MB took 1.2 times as long without (AVX-512), 1.1 times (AVX2).
constexpr int64_t kAhead = 1024;

template <class Factors, class F>
FASTCNN_INLINE void map_rows(const ChannelRows& a, Factors factors, F f) {
  const Output output(a.y, a.stream, a.cols);
  const bool asks = !output.streams && a.y != a.x && a.y != a.dy;
  for (int64_t begin = 0; begin < a.rows; begin += kRowsTogether) {
    const int64_t end = begin + kRowsTogether < a.rows ? begin + kRowsTogether : a.rows;
    for_each_block<2>(a.cols, [&](auto block, int64_t c) FASTCNN_INLINED {
      const auto first = factors(block, c), last = factors(block, c + (block.kVectors - 1) * kLanes);
      for (int64_t row = begin; row < end; ++row)
        for (int v = 0; v < block.kVectors; ++v) {
          const int64_t at = row * a.cols + c + v * kLanes;
          if (asks) __builtin_prefetch(a.y + at + kAhead, 1, 3);
          output.put(block, a.y + at, f(block, at, v ? last : first));
        }
    });
  }
  output.end();
}

// The entry points copy their arguments: a store may alias the caller's struct.
struct Affine {
  Vec center, scale, offset;
};

FASTCNN_INLINE Vec relu6(Vec v) {
  v = relu(v);
  return v > 6.0f ? broadcast(6.0f) : v;
}

// f: the activation.
template <class F>
FASTCNN_INLINE void apply(const ChannelRows& args, F f) {
  const ChannelRows a = args;
  const ChannelFactors& k = a.factors;
  map_rows(
      a,
      [&](auto block, int64_t c) FASTCNN_INLINED {
        return Affine{block.get(k.center + c), block.get(k.scale + c), block.get(k.offset + c)};
      },
      [&](auto block, int64_t at, const Affine& of) FASTCNN_INLINED {
        const Vec y = fma(block.get(a.x + at) - of.center, of.scale, of.offset);
        return f(a.residual ? y + block.get(a.residual + at) : y);
      });
}

void apply_fwd(const ChannelRows& a) {
  apply(a, [](Vec y) FASTCNN_INLINED { return y; });
}
void apply_relu(const ChannelRows& a) {
  apply(a, [](Vec y) FASTCNN_INLINED { return relu(y); });
}
void apply_relu6(const ChannelRows& a) {
  apply(a, [](Vec y) FASTCNN_INLINED { return relu6(y); });
}

struct Slopes {
  Vec center, slope, offset, scale;
};

// dx may be dy.
void apply_bwd(const ChannelRows& args) {
  const ChannelRows a = args;
  const ChannelFactors& k = a.factors;
  map_rows(
      a,
      [&](auto block, int64_t c) FASTCNN_INLINED {
        return Slopes{block.get(k.center + c), block.get(k.slope + c), block.get(k.offset + c),
                      block.get(k.scale + c)};
      },
      [&](auto block, int64_t at, const Slopes& of) FASTCNN_INLINED {
        const Vec of_x = fma(block.get(a.x + at) - of.center, of.slope, of.offset);
        return fma(block.get(a.dy + at), of.scale, of_x);
      });
}

}  // namespace

extern const ChannelNormKernels channel_norm_kernels;
const ChannelNormKernels channel_norm_kernels = {sums_fwd,   sums_bwd,    statistics, apply_fwd,
                                                 apply_relu, apply_relu6, apply_bwd};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
