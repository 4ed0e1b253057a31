// SPDX-License-Identifier: Apache-2.0
// Of each row x[0..n) on its own, with g = gamma dy and means over the row:
//   layer   xhat = r (x - mean(x)), r = 1 / sqrt(variance + epsilon)
//           dx = r (g - mean(g) - xhat mean(g xhat))
//   rms     xhat = r x, r = 1 / sqrt(mean(x^2) + epsilon)
//           dx = r (g - xhat mean(g xhat))
//   unit    xhat = r x, r = min(1 / sqrt(sum(x^2)), 1 / epsilon)
//           dx = r (g - xhat sum(g xhat)), or r g at the limit
// y = gamma xhat + beta; dgamma = sum over rows of dy xhat, dbeta of dy. Called by cpu/row_norm.cpp.
#include "row_norm.h"

#include "moments.h"
#include "output.h"
#include "row_norm_lanes.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// gamma, beta: 1 and 0 where they are missing.
template <class Block>
FASTCNN_INLINE Vec get_or(Block block, const float* p, int64_t i, float otherwise) {
  return p ? block.get(p + i) : broadcast(otherwise);
}

template <int kMany>
FASTCNN_INLINE Vec total(const Vec (&sums)[kMany]) {
  Vec sum = sums[0];
  for (int v = 1; v < kMany; ++v) sum += sums[v];
  return sum;
}

// Sums of a row that are still spread over the lanes.
struct Partial {
  Vec first, second, dy, product;
};

// Of x - from.
template <int kMany>
FASTCNN_INLINE Vec partial_sum(const float* x, int64_t count, float from) {
  Vec sums[kMany] = {};
  for_each_block<kMany>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v)
      sums[v] += block.only(block.get(x + i + v * kLanes) - from, Vec{});
  });
  return total(sums);
}

template <bool kBackward, int kMany>
FASTCNN_INLINE Partial partial_sums(const NormRows& a, float pivot) {
  Vec first[kMany] = {}, second[kMany] = {}, dy[kMany] = {}, product[kMany] = {};
  for_each_block<kMany>(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, i += kLanes) {
      const Vec d = block.only(block.get(a.x + i) - pivot, Vec{});
      first[v] += d;
      second[v] = fma(d, d, second[v]);
      if constexpr (kBackward) {
        const Vec g = block.get(a.dy + i) * get_or(block, a.gamma, i, 1.0f);
        dy[v] += g;
        product[v] = fma(g, d, product[v]);
      }
    }
  });
  return {total(first), total(second), total(dy), total(product)};
}

// Sums side by side of a row that has enough vectors for them.
template <bool kBackward>
constexpr int kSums = kBackward && kRegisters < 32 ? 2 : 4;

template <bool kBackward>
FASTCNN_INLINE RowSums row_sums(bool center, const NormRows& a) {
  RowSums s = {};
  if (center) s.pivot = lane_sum(partial_sum<4>(a.x, a.count, 0.0f)) / (float)a.count;
  const Partial p = partial_sums<kBackward, kSums<kBackward>>(a, s.pivot);
  s.first = lane_sum(p.first), s.second = lane_sum(p.second);
  if constexpr (kBackward) s.dy = lane_sum(p.dy), s.product = lane_sum(p.product);
  return s;
}

void factors(const RowStatistics& of, const RowSums* sums, int64_t piece, RowFactors* to) {
  const bool unit = of.kind == RowNorm::kUnit;
  const double n = (double)of.cols;
  const auto for_each_piece = [&](auto f) FASTCNN_INLINED {
    for (int64_t i = 0, left = of.cols; left > 0; ++i, left -= piece)
      f(sums[i], (double)(left < piece ? left : piece));
  };
  double mean = 0;
  if (centered(of)) {
    for_each_piece([&](const RowSums& s, double count)
                       FASTCNN_INLINED { mean += count * (double)s.pivot + (double)s.first; });
    mean /= n;
  }
  double square = 0, dy = 0, product = 0;
  for_each_piece([&](const RowSums& s, double count) FASTCNN_INLINED {
    const double e = (double)s.pivot - mean;
    square += squares_about(e, count, (double)s.first, (double)s.second);
    dy += (double)s.dy;
    product += (double)s.product + e * (double)s.dy;
  });
  square = no_less_than_zero(square);
  double root = inverse_root(unit ? square : square / n + of.epsilon);
  if (unit && root > 1 / of.epsilon) root = 1 / of.epsilon, product = 0;
  const double share = unit ? 1 : 1 / n;
  const float center = (float)mean;
  const double rest = mean - (double)center, slope = -root * root * root * product * share;
  to->center = center;
  to->root = (float)root;
  to->nudge = (float)(-rest * root);
  to->slope = (float)slope;
  to->offset = centered(of) ? (float)(-root * dy * share - slope * rest) : 0.0f;
}

template <bool kRelu>
FASTCNN_INLINE void row_fwd(const NormRows& a, const RowFactors& k) {
  const Vec root = broadcast(k.root), nudge = broadcast(k.nudge);
  const Output output(a.y, a.stream, 0);
  for_each_block<2>(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, i += kLanes) {
      const Vec xhat = fma(block.get(a.x + i) - k.center, root, nudge);
      const Vec y = fma(xhat, get_or(block, a.gamma, i, 1.0f), get_or(block, a.beta, i, 0.0f));
      output.put(block, a.y + i, kRelu ? relu(y) : y);
    }
  });
}

struct OneRow {
  RowFactors k;
  FASTCNN_INLINED RowFactors of(int64_t) const { return k; }
};

// Down one block of columns after the other: gamma, dgamma and dbeta stay in registers for some rows. Row by
// row they went through memory, where the masked store at the end of a row kept the next one waiting: 17
// columns took 2.9 times as long, 333 columns 1.4 times (AVX-512). But not where blocks that go past the
// caches are no whole lines, too many of which would lie open.
template <class Factors>
FASTCNN_INLINE void rows_bwd(const NormRows& a, const Factors& factors) {
  const Output output(a.y, a.stream, a.rows > 1 ? a.pitch : 0);
  const bool parts = 2 * sizeof(Vec) < 64 || ((uintptr_t)a.y | a.pitch * sizeof *a.y) % 64 == sizeof(Vec);
  const int64_t some = output.streams && parts ? 1 : kLanes;
  for (int64_t begin = 0; begin < a.rows; begin += some) {
    const int64_t end = a.rows - begin < some ? a.rows : begin + some;
    for_each_block<2>(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
      Vec gamma[block.kVectors], dgamma[block.kVectors], dbeta[block.kVectors];
      for (int v = 0; v < block.kVectors; ++v) {
        gamma[v] = get_or(block, a.gamma, i + v * kLanes, 1.0f);
        dgamma[v] = get_or(block, a.dgamma, i + v * kLanes, 0.0f);
        dbeta[v] = get_or(block, a.dbeta, i + v * kLanes, 0.0f);
      }
      for (int64_t r = begin; r < end; ++r) {
        const RowFactors k = factors.of(r);
        const Vec root = broadcast(k.root), nudge = broadcast(k.nudge), slope = broadcast(k.slope);
        int64_t at = r * a.pitch + i;
        FASTCNN_UNROLL
        for (int v = 0; v < block.kVectors; ++v, at += kLanes) {
          const Vec dy = block.get(a.dy + at), d = block.get(a.x + at) - k.center;
          dgamma[v] = fma(dy, fma(d, root, nudge), dgamma[v]);
          dbeta[v] += dy;
          if (!a.y) continue;
          const Vec of_x = fma(d, slope, broadcast(k.offset));
          output.put(block, a.y + at, fma(dy * gamma[v], root, of_x));
        }
      }
      for (int v = 0; v < block.kVectors; ++v) {
        if (a.dgamma) block.put(a.dgamma + i + v * kLanes, dgamma[v]);
        if (a.dbeta) block.put(a.dbeta + i + v * kLanes, dbeta[v]);
      }
    });
  }
}

// f(row) for each of the rows on its own.
template <class F>
FASTCNN_INLINE void for_each_row(const NormRows& a, F f) {
  NormRows row = a;
  row.rows = 1;
  for (int64_t r = 0; r < a.rows; ++r) {
    f(row, r);
    row.x += a.pitch;
    if (a.dy) row.dy += a.pitch;
    if (a.y) row.y += a.pitch;
  }
}

// Lanes without a row. All of them cleared first cost as much as the sums of a row of 16.
FASTCNN_INLINE void clear_rest(const NormRows& a, Lanes* of) {
  for (int64_t r = a.rows; r < kLanes; ++r) of->v[r] = Vec{};
}

// The factors of at most kLanes short rows, whose arithmetic is done for all at once: row by row it took more
// time than the sums themselves. Single precision is enough, as `rest` = mean - center is small. The mean is
// summed about the row's first number, so that `rest` is known without the sum of x - center.
constexpr int64_t kShortRow = 1024, kFewVectors = 4;
struct LaneFactors {
  float center[kLanes], root[kLanes], nudge[kLanes], slope[kLanes], offset[kLanes];
  FASTCNN_INLINED RowFactors of(int64_t r) const {
    return {center[r], root[r], nudge[r], slope[r], offset[r]};
  }
};

template <bool kBackward, int kMany>
FASTCNN_INLINE void short_factors(const RowStatistics& of, const NormRows& a, LaneFactors* to) {
  const float n = (float)of.cols, share = of.kind == RowNorm::kUnit ? 1.0f : 1.0f / n;
  Vec center = {}, rest = {};
  if (centered(of)) {
    Lanes sums;
    alignas(sizeof(Vec)) float firsts[kLanes] = {};
    for_each_row(a, [&](const NormRows& row, int64_t r) FASTCNN_INLINED {
      firsts[r] = *row.x;
      sums.v[r] = partial_sum<kMany>(row.x, row.count, *row.x);
    });
    clear_rest(a, &sums);
    const Vec first = load(firsts), distance = lane_sums(&sums) / n;
    center = first + distance;
    const Vec moved = center - first;
    rest = (first - (center - moved)) + (distance - moved);
  }
  store(to->center, center);
  Lanes second, dy, product;
  for_each_row(a, [&](const NormRows& row, int64_t r) FASTCNN_INLINED {
    const Partial p = partial_sums<kBackward, kMany>(row, to->center[r]);
    second.v[r] = p.second;
    if constexpr (kBackward) dy.v[r] = p.dy, product.v[r] = p.product;
  });
  clear_rest(a, &second);
  if constexpr (kBackward) clear_rest(a, &dy), clear_rest(a, &product);
  Vec square = lane_sums(&second), slope = {}, offset = {};
  if (centered(of)) {
    square -= n * rest * rest;
    square = square < Vec{} ? Vec{} : square;
  }
  const LaneRoots s = lane_roots(of, square);
  if constexpr (kBackward) {
    const Vec sum = lane_sums(&dy);
    const Vec along = s.limited ? Vec{} : (lane_sums(&product) - rest * sum) * share;
    slope = -s.root * s.root * s.root * along;
    if (centered(of)) offset = -s.root * (sum * share) - slope * rest;
  }
  store(to->root, s.root);
  store(to->nudge, -rest * s.root);
  store(to->slope, slope);
  store(to->offset, offset);
}

// f(some rows, their factors) for all rows.
template <bool kBackward, class F>
FASTCNN_INLINE void for_each_factors(const RowStatistics& of, const NormRows& a, F f) {
  if (a.count > kShortRow)
    return for_each_row(a, [&](const NormRows& row, int64_t) FASTCNN_INLINED {
      const RowSums sums = row_sums<kBackward>(centered(of), row);
      RowFactors k;
      factors(of, &sums, of.cols, &k);
      f(row, OneRow{k});
    });
  NormRows some = a;
  for (int64_t left = a.rows; left > 0; left -= kLanes) {
    LaneFactors k;
    some.rows = left < kLanes ? left : kLanes;
    if (a.count <= kFewVectors * kLanes)
      short_factors<kBackward, kBackward ? 1 : 2>(of, some, &k);
    else
      short_factors<kBackward, kSums<kBackward>>(of, some, &k);
    f(some, k);
    some.x += kLanes * a.pitch;
    if (a.dy) some.dy += kLanes * a.pitch;
    if (a.y) some.y += kLanes * a.pitch;
  }
}

// Asked row by row, activation or not: of these loops one copy is enough.
__attribute__((noinline)) void wide_fwd(const RowStatistics& of, const NormRows& a, bool active) {
  for_each_factors<false>(of, a, [active](const NormRows& some, const auto& k) FASTCNN_INLINED {
    for_each_row(some, [&](const NormRows& row, int64_t r) FASTCNN_INLINED {
      active ? row_fwd<true>(row, k.of(r)) : row_fwd<false>(row, k.of(r));
    });
  });
  if (a.stream) end_stream();
}

template <bool kRelu>
FASTCNN_INLINE void rows_fwd(const RowStatistics& of, const NormRows& a) {
  if (a.count > kTurned) return wide_fwd(of, a, kRelu);
  with_columns(a.count, [&](auto cols) FASTCNN_INLINED { narrow_fwd<cols.kCount, kRelu>(of, a); });
}

void fwd(const RowStatistics& of, const NormRows& a) { rows_fwd<false>(of, a); }
void fwd_relu(const RowStatistics& of, const NormRows& a) { rows_fwd<true>(of, a); }

void bwd(const RowStatistics& of, const NormRows& a) {
  if (a.count <= kTurned)
    return with_columns(a.count, [&](auto cols) FASTCNN_INLINED { narrow_bwd<cols.kCount>(of, a); });
  for_each_factors<true>(of, a,
                         [](const NormRows& some, const auto& k) FASTCNN_INLINED { rows_bwd(some, k); });
  if (a.stream) end_stream();
}

void sums_fwd(const RowStatistics& of, const NormRows& a, RowSums* to) {
  *to = row_sums<false>(centered(of), a);
}
void sums_bwd(const RowStatistics& of, const NormRows& a, RowSums* to) {
  *to = row_sums<true>(centered(of), a);
}

void apply_fwd(const NormRows& a, const RowFactors* k) {
  for_each_row(a, [&](const NormRows& row, int64_t r) FASTCNN_INLINED { row_fwd<false>(row, k[r]); });
  if (a.stream) end_stream();
}
void apply_relu(const NormRows& a, const RowFactors* k) {
  for_each_row(a, [&](const NormRows& row, int64_t r) FASTCNN_INLINED { row_fwd<true>(row, k[r]); });
  if (a.stream) end_stream();
}
void apply_bwd(const NormRows& a, const RowFactors* k) {
  for_each_row(a, [&](const NormRows& row, int64_t r) FASTCNN_INLINED { rows_bwd(row, OneRow{k[r]}); });
  if (a.stream) end_stream();
}

}  // namespace

extern const RowNormKernels row_norm_kernels;
const RowNormKernels row_norm_kernels = {fwd,     fwd_relu,  bwd,        sums_fwd, sums_bwd,
                                         factors, apply_fwd, apply_relu, apply_bwd};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
