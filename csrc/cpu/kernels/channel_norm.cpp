// SPDX-License-Identifier: Apache-2.0
// With x [rows, width], statistics over all columns of a group of channels and the K elements x in it:
//   y  = gamma r (x - mean) + beta                                      r = 1 / sqrt(variance + epsilon)
//   dx = r (g - sum(g) / K - (x - mean) r^2 sum(g (x - mean)) / K)      g = gamma dy
//   dgamma = r sum(dy (x - mean)), dbeta = sum(dy)
// Sums of a tile are taken in float32, in order of its rows; those of tiles are added in double precision.
// The mean is kept as center + rest, two floats: x - center has no rounding error where x is near it.
// Called by cpu/channel_norm.cpp.
#include "channel_norm.h"

#include "moments.h"
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

// Columns whose sums are added side by side: all of a row of folded pixels, or of one pixel some channels,
// which are whole groups or a part of the only one.
struct Line {
  int64_t begin;
  int columns, channels, groups, of_group;
};

template <class F>
FASTCNN_INLINE void for_each_line(const ChannelStatistics& a, F f) {
  const bool folded = a.width > a.c;
  const int group = (int)a.group;
  for (int64_t c = a.begin; c < a.end; c += kChannelLine) {
    const int n = (int)(a.end - c < kChannelLine ? a.end - c : kChannelLine),
              of_group = group < n ? group : n;
    f(Line{c, folded ? (int)a.width : n, n, n / of_group, of_group});
  }
}

struct Sums {
  const float *pivot, *first, *second, *dy, *product;
};

// f(n, sums of n elements each, columns that have them, the first of these that have one element more) for
// all that is added.
template <class F>
FASTCNN_INLINE void for_each_sum(const ChannelStatistics& a, const Line& line, F f) {
  const int64_t pitch = a.width * (a.backward ? kBackwardSums : kForwardSums);
  const float* at = a.sums + line.begin;
  for (int64_t b = 0; b < a.blocks; ++b, at += pitch) {
    const bool last = b + 1 == a.blocks;
    const Sums sums = {at, at + a.width, at + 2 * a.width, at + 3 * a.width, at + 4 * a.width};
    const int64_t rows = last ? a.rows - b * a.height : a.height;
    f((double)rows, sums, line.columns - (last ? (int)a.missing : 0), last ? (int)a.tail : 0);
  }
}

// What follows is not inlined: with it a dozen times this file would be twice as large.
#define FASTCNN_ONCE __attribute__((noinline))

// Sums of columns become those of channels.
FASTCNN_ONCE void fold(const Line& line, double* of) {
  for (int half = line.columns / 2; half >= line.channels; half /= 2)
    for (int i = 0; i < half; ++i) of[i] += of[i + half];
}

// By halves as long as there are any: one after the other they would wait for each other.
FASTCNN_ONCE void add_to_groups(const Line& line, double* channels, double* groups) {
  if (line.of_group == 1) {
    for (int i = 0; i < line.channels; ++i) groups[i] += channels[i];
    return;
  }
  for (int g = 0; g < line.groups; ++g, channels += line.of_group) {
    int n = line.of_group;
    for (; n % 2 == 0; n /= 2)
      for (int i = 0; i < n / 2; ++i) channels[i] += channels[i + n / 2];
    for (int i = 0; i < n; ++i) groups[g] += channels[i];
  }
}

FASTCNN_ONCE void spread_groups(const Line& line, const double* groups, double* channels) {
  if (line.of_group == 1) {
    for (int i = 0; i < line.channels; ++i) channels[i] = groups[i];
    return;
  }
  for (int g = 0; g < line.groups; ++g)
    for (int i = 0; i < line.of_group; ++i) *channels++ = groups[g];
}

// p[i] = p[i - period], up to `count`: one by one until there is a vector of them.
template <class T>
FASTCNN_ONCE void repeat(T* p, int period, int count) {
  constexpr int kSome = sizeof(Vec) / sizeof(T);
  int far = period, i = period;
  while (far < kSome) far *= 2;
  for (; i < far && i < count; ++i) p[i] = p[i - period];
  for (; i + kSome <= count; i += kSome) memcpy(p + i, p + i - far, sizeof(Vec));
  for (; i < count; ++i) p[i] = p[i - far];
}

// Of channels or of groups.
struct Totals {
  double mean[kChannelLine], square[kChannelLine], dy[kChannelLine], product[kChannelLine];
};

FASTCNN_INLINE void sum_means(const ChannelStatistics& a, double* means) {
  for_each_line(a, [&](const Line& line) FASTCNN_INLINED {
    double sum[kChannelLine] = {};
    for_each_sum(a, line, [&](double rows, const Sums& s, int n, int longer) FASTCNN_INLINED {
      for (int i = 0; i < n; ++i) sum[i] += rows * (double)s.pivot[i] + (double)s.first[i];
      for (int i = 0; i < longer; ++i) sum[i] += (double)s.pivot[i];
    });
    fold(line, sum);
    add_to_groups(line, sum, means);
  });
}

// About the mean; dgamma without its root.
FASTCNN_INLINE void sum_about_means(const ChannelStatistics& a, Totals* groups) {
  for_each_line(a, [&](const Line& line) FASTCNN_INLINED {
    Totals t = {};
    spread_groups(line, groups->mean, t.mean);
    repeat(t.mean, line.channels, line.columns);
    for_each_sum(a, line, [&](double rows, const Sums& s, int n, int longer) FASTCNN_INLINED {
      const auto e = [&](int i) FASTCNN_INLINED { return (double)s.pivot[i] - t.mean[i]; };
      for (int i = 0; i < n; ++i)
        t.square[i] += squares_about(e(i), rows, (double)s.first[i], (double)s.second[i]);
      for (int i = 0; i < longer; ++i) t.square[i] += e(i) * e(i);
      for (int i = 0; a.backward && i < n; ++i) {
        t.dy[i] += (double)s.dy[i];
        t.product[i] += (double)s.product[i] + e(i) * (double)s.dy[i];
      }
    });
    fold(line, t.square);
    add_to_groups(line, t.square, groups->square);
    if (!a.backward) return;
    fold(line, t.dy);
    fold(line, t.product);
    for (int i = 0; i < line.channels; ++i) {
      if (a.dbeta) a.dbeta[line.begin + i] = (float)t.dy[i];
      if (a.dgamma) a.dgamma[line.begin + i] = (float)t.product[i];
    }
    for (int i = 0; a.gamma && i < line.channels; ++i)
      t.dy[i] *= (double)a.gamma[line.begin + i], t.product[i] *= (double)a.gamma[line.begin + i];
    add_to_groups(line, t.dy, groups->dy);
    add_to_groups(line, t.product, groups->product);
  });
}

FASTCNN_INLINE double moved(float moving, double batch, double momentum) {
  return (double)moving * momentum + batch * (1 - momentum);
}

FASTCNN_ONCE void put(const Line& line, const double* channels, float* to) {
  to += line.begin;
  for (int i = 0; i < line.channels; ++i) to[i] = (float)channels[i];
  repeat(to, line.channels, line.columns);
}

// The factors of the channels of a line, in each of their columns.
FASTCNN_INLINE void put_factors(const ChannelStatistics& a, const Line& line, const Totals& groups,
                                const double* roots) {
  const auto or_else = [&](const float* p, int i, double otherwise)
                           FASTCNN_INLINED { return p ? (double)p[line.begin + i] : otherwise; };
  double mean[kChannelLine], root[kChannelLine], rest[kChannelLine], scale[kChannelLine],
      offset[kChannelLine];
  spread_groups(line, groups.mean, mean);
  spread_groups(line, roots, root);
  for (int i = 0; i < line.channels; ++i) {
    rest[i] = mean[i] - (double)(float)mean[i];
    scale[i] = or_else(a.gamma, i, 1.0) * root[i];
  }
  if (a.backward) {
    double slope[kChannelLine], dy[kChannelLine], product[kChannelLine];
    spread_groups(line, groups.dy, dy);
    spread_groups(line, groups.product, product);
    const bool fixed = a.mean;  // then dx is dy scale, whatever x
    for (int i = 0; i < line.channels; ++i) {
      slope[i] = -root[i] * root[i] * root[i] * product[i];
      offset[i] = fixed ? 0.0 : -root[i] * dy[i] - slope[i] * rest[i];
      mean[i] = fixed ? 0.0 : mean[i];
    }
    put(line, slope, a.factors.slope);
    for (int i = 0; a.dgamma && i < line.channels; ++i)
      a.dgamma[line.begin + i] = (float)(root[i] * (double)a.dgamma[line.begin + i]);
  } else {
    for (int i = 0; i < line.channels; ++i) offset[i] = or_else(a.beta, i, 0.0) - rest[i] * scale[i];
  }
  put(line, mean, a.factors.center);
  put(line, scale, a.factors.scale);
  put(line, offset, a.factors.offset);
}

// Loop by loop over channels or columns, which the compiler takes in vectors: channel by channel small
// samples spent two thirds of their time here.
void statistics(const ChannelStatistics& a) {
  Totals groups = {};
  double root[kChannelLine];
  const int64_t rows = a.rows * (a.width / a.c) + a.tail / a.c;
  const double share = 1 / (double)(rows * a.group - a.missing * a.height);
  const int count = (int)((a.end - a.begin) / a.group);
  if (!a.mean) sum_means(a, groups.mean);
  for (int g = 0; g < count; ++g)
    groups.mean[g] = a.mean ? (double)a.mean[a.begin + g] : groups.mean[g] * share;
  if (!a.mean || a.dgamma || a.dbeta) sum_about_means(a, &groups);
  for (int g = 0; g < count; ++g) {  // a variance that is given is batch norm's, whose groups are channels
    const double variance =
        a.variance ? (double)a.variance[a.begin + g] : no_less_than_zero(groups.square[g]) * share;
    groups.square[g] = variance;
    root[g] = inverse_root(variance + a.epsilon);
    groups.dy[g] *= share, groups.product[g] *= share;
  }
  for (int g = 0; a.moving_mean && g < count; ++g) {
    const int64_t c = a.begin + g;
    a.moving_mean[c] = (float)moved(a.moving_mean[c], groups.mean[g], a.momentum);
    a.moving_variance[c] = (float)moved(a.moving_variance[c], groups.square[g], a.momentum);
  }
  for_each_line(a, [&](const Line& line) FASTCNN_INLINED { put_factors(a, line, groups, root); });
}

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
