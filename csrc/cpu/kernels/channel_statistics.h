// SPDX-License-Identifier: Apache-2.0
// From the sums of tiles to the factors of channels: groups of channels share a mean and a variance. Sums of
// many tiles are added in double precision, those of one tile in vectors. The formulas are
// channel_norm.cpp's, the only file that includes this one.
#pragma once
#include "blocks.h"
#include "channel_norm.h"
#include "moments.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

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

#define FASTCNN_ROLLED _Pragma("GCC unroll 1")  // -O3 would write a copy for each vector that a line may have

// The columns of a line, in vectors.
struct LineVectors {
  Vec v[kChannelLine / kLanes];
};

template <int kBit>
FASTCNN_INLINE Vec lanes_swapped(Vec v) {
#define FASTCNN_FOUR(i) (i) ^ kBit, ((i) + 1) ^ kBit, ((i) + 2) ^ kBit, ((i) + 3) ^ kBit
  if constexpr (kBit >= kLanes)
    return v;
  else if constexpr (kLanes == 16)
    return __builtin_shufflevector(v, v, FASTCNN_FOUR(0), FASTCNN_FOUR(4), FASTCNN_FOUR(8), FASTCNN_FOUR(12));
  else if constexpr (kLanes == 8)
    return __builtin_shufflevector(v, v, FASTCNN_FOUR(0), FASTCNN_FOUR(4));
  else
    return __builtin_shufflevector(v, v, FASTCNN_FOUR(0));
#undef FASTCNN_FOUR
}

// Each column becomes the sum of those whose numbers differ from its own in `bits` alone.
FASTCNN_ONCE void add_columns(LineVectors* of, int vectors, int bits) {
  for (int bit = 1; bit <= bits; bit *= 2) {
    if (!(bits & bit)) continue;
    const int far = bit / kLanes;
    for (int i = 0; i < vectors; ++i) {
      Vec& v = of->v[i];
      if (far)
        v = i & far ? of->v[i - far] : v + of->v[i + far];
      else
        v += bit == 1   ? lanes_swapped<1>(v)
             : bit == 2 ? lanes_swapped<2>(v)
             : bit == 4 ? lanes_swapped<4>(v)
                        : lanes_swapped<8>(v);
    }
  }
}

// What statistics() does of the sums of one tile, in vectors and in single precision: there are few summands,
// and `rest`, the mean less its float, is taken into account as there. Samples of 16 pixels spent two thirds
// of their time on loops over a few doubles each.
bool in_vectors(const ChannelStatistics& a) {
  const auto power_of_two = [](int64_t n) FASTCNN_INLINED { return (n & (n - 1)) == 0; };
  return a.blocks == 1 && !a.tail && !a.missing && !a.mean && !a.moving_mean && a.group <= kChannelLine &&
         power_of_two(a.group) && (a.width == a.c || power_of_two(a.c));
}

void statistics_in_vectors(const ChannelStatistics& a, const Line& line) {
  const int vectors = (line.columns + kLanes - 1) / kLanes, of_group = line.of_group - 1;
  const int folds = line.columns > line.channels ? line.columns - line.channels : 0;
  const float n = (float)a.rows, share = 1.0f / (float)(a.rows * (line.columns / line.channels) * a.group);
  const float* at = a.sums + line.begin;
  const Sums s = {at, at + a.width, at + 2 * a.width, at + 3 * a.width, at + 4 * a.width};
  const auto each = [&](auto f) FASTCNN_INLINED {
    FASTCNN_ROLLED
    for (int v = 0, i = 0; v < vectors; ++v, i += kLanes)
      f(Part{line.columns - i < kLanes ? line.columns - i : kLanes}, i, v);
  };
  LineVectors mean, rest, square, dy, product, root;
  each([&](Part block, int i, int v) FASTCNN_INLINED {
    mean.v[v] = fma(block.get(s.pivot + i), broadcast(n), block.get(s.first + i));
  });
  add_columns(&mean, vectors, of_group | folds);
  each([&](Part block, int i, int v) FASTCNN_INLINED {
    mean.v[v] *= share;
    const Vec e = block.get(s.pivot + i) - mean.v[v], first = block.get(s.first + i);
    rest.v[v] = fma(e, broadcast(n), first);
    square.v[v] = fma(e, rest.v[v] + first, block.get(s.second + i));
  });
  add_columns(&rest, vectors, of_group | folds);
  add_columns(&square, vectors, of_group | folds);
  alignas(sizeof(Vec)) float gamma[kChannelLine], beta[kChannelLine];
  for (int i = 0; i < line.channels; ++i) {
    gamma[i] = a.gamma ? a.gamma[line.begin + i] : 1.0f;
    beta[i] = a.beta ? a.beta[line.begin + i] : 0.0f;
  }
  repeat(gamma, line.channels, line.columns);
  repeat(beta, line.channels, line.columns);
  each([&](Part block, int i, int v) FASTCNN_INLINED {
    rest.v[v] *= share;
    const Vec variance = square.v[v] * share - rest.v[v] * rest.v[v];
    root.v[v] = 1.0f / sqrt((variance < Vec{} ? Vec{} : variance) + (float)a.epsilon);
    if (!a.backward) return;
    dy.v[v] = block.get(s.dy + i);
    product.v[v] = fma(block.get(s.pivot + i) - mean.v[v] - rest.v[v], dy.v[v], block.get(s.product + i));
  });
  if (a.backward) {
    add_columns(&dy, vectors, folds);
    add_columns(&product, vectors, folds);
    for_each_vector(line.channels, [&](auto block, int64_t i) FASTCNN_INLINED {
      const int64_t v = i / kLanes;
      if (a.dbeta) block.put(a.dbeta + line.begin + i, dy.v[v]);
      if (a.dgamma) block.put(a.dgamma + line.begin + i, root.v[v] * product.v[v]);
    });
    FASTCNN_ROLLED
    for (int v = 0; v < vectors; ++v)
      dy.v[v] *= load(gamma + v * kLanes), product.v[v] *= load(gamma + v * kLanes);
    add_columns(&dy, vectors, of_group);
    add_columns(&product, vectors, of_group);
  }
  const ChannelFactors& to = a.factors;
  each([&](Part block, int i, int v) FASTCNN_INLINED {
    const Vec r = root.v[v], scale = load(gamma + i) * r;
    Vec offset = load(beta + i) - rest.v[v] * scale;
    if (a.backward) {
      const Vec slope = -r * r * r * (product.v[v] * share);
      offset = -r * (dy.v[v] * share) - slope * rest.v[v];
      block.put(to.slope + line.begin + i, slope);
    }
    block.put(to.center + line.begin + i, mean.v[v]);
    block.put(to.scale + line.begin + i, scale);
    block.put(to.offset + line.begin + i, offset);
  });
}

// Loop by loop over channels or columns, which the compiler takes in vectors: channel by channel small
// samples spent two thirds of their time here.
void statistics(const ChannelStatistics& a) {
  if (in_vectors(a))
    return for_each_line(a, [&](const Line& line) FASTCNN_INLINED { statistics_in_vectors(a, line); });
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

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
