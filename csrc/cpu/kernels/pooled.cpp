// SPDX-License-Identifier: Apache-2.0
// See pooled.h for the formulas. The sums of a tile stay in registers over a run.
#include "pooled.h"

#include "blocks.h"
#include "pairs.h"
#include "quads.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <bool whole>
FASTCNN_INLINE void list_lanes(const PooledList& arguments) {
  const PooledList l = arguments;
  const int32_t inverse = 65536 / l.width + 1;  // exact below 64
  const IVec lane = iota() * l.apart;
  const auto one = [&](int64_t i, Vec total) FASTCNN_INLINED {
    const float* const dy = l.dy + i * l.step;
    LaneBytes bytes = {};
    if (whole)
      memcpy(&bytes, l.index + i * l.step, kLanes);
    else
      for (int j = 0; j < l.count; ++j)
        bytes.word[j / 8] |= (uint64_t)l.index[i * l.step + j] << (8 * (j % 8));
    const Vec g = whole ? load(dy) : load_n(dy, l.count);
    const IVec place = byte_lanes(bytes), row = (place * inverse) >> 16;
    const IVec at = row * l.down + (place - row * l.width) * l.right + lane + l.first[i];
    float* const to = (float*)(l.entries + i * kLanes);
    store(to, interleave<false>(g, bits_to_vec(at)));
    store(to + kLanes, interleave<true>(g, bits_to_vec(at)));
    return total + g;
  };
  Vec total[2] = {};  // one would wait for each addition
  int64_t i = 0;
  for (; i + 2 <= l.rows; i += 2) total[0] = one(i, total[0]), total[1] = one(i + 1, total[1]);
  if (i < l.rows) total[0] = one(i, total[0]);
  if (l.sums) store_n(l.sums, load_n(l.sums, l.count) + (total[0] + total[1]), l.count);
}

void list(const PooledList& l) {
  if (l.count == kLanes)
    list_lanes<true>(l);
  else
    list_lanes<false>(l);
}

PooledEntry* pack(const PooledPack& arguments, PooledEntry* to) {
  const PooledPack p = arguments;
  for (int64_t i = 0; i < p.rows; ++i) {
    const PooledEntry* from = p.from + i * p.row;
    int64_t left = p.count;
    for (; left >= kPairs; left -= kPairs, from += kPairs) to += pack_pairs<kPairs>(from, to);
    for (; left > 0; --left, ++from) to += pack_pairs<1>(from, to);
  }
  return to;
}

void bins(const PooledBins& arguments) {
  const PooledBins b = arguments;
  for (int32_t j = 0; j < b.places; ++j) b.end[j] = b.entries + j * b.room;
  int64_t k = 0;
  if (b.step == 1 && b.places <= kMostPacked)
    for (; k + kLanes <= b.channels; k += kLanes) {
      LaneBytes bytes = {};
      memcpy(&bytes, b.index + k, kLanes);
      const Vec g = load(b.dy + k);
      const IVec place = vec_to_bits(g) << 1 == 0 ? IVec{} - 1 : byte_lanes(bytes);
      const IVec at = (iota() + (int32_t)k) * b.apart;
      for (int32_t j = 0; j < b.places; ++j) b.end[j] += pack_lanes(g, at, place, j, b.end[j]);
    }
  for (; k < b.channels; ++k) {
    const float g = b.dy[k * b.step];
    PooledEntry*& e = b.end[b.index[k * b.step]];
    *e = {g, (int32_t)k * b.apart};
    e += g != 0;
  }
}

// acc += e.g a[e.at ...].
template <int R, int V>
FASTCNN_INLINE void add(Vec (&acc)[R * V], const PooledEntry& e, const float* a, int64_t a_row) {
  const Vec g = broadcast(e.g);
  a += e.at;
  FASTCNN_UNROLL for (int r = 0; r < R; ++r) FASTCNN_UNROLL for (int v = 0; v < V; ++v) acc[r * V + v] =
      fma(g, load(a + r * a_row + v * kLanes), acc[r * V + v]);
}

// With registers for them three rows of six vectors are one tile, and a pass over the entries: gradients of
// 32 channels with 3x3 taps took 0.8 (weights) and 0.87 (data) of the time of tiles of two rows and of one.
// All other tiles of up to 18 sums, six rows of three vectors among them, gained LeNet-5's data gradient 3 %
// and took 7 kB. AVX2's vectors, which cross half as many lines of the cache, were even for 6 channels (Zen
// 4).
constexpr int kMostVectors = kRegisters == 32 ? 6 : kPooledSums;
constexpr bool fits(int rows, int vectors) {
  return rows * vectors <= kPooledSums || (rows == 3 && kMostVectors == 6);
}

template <int R, int V>
void sum_tile(const PooledSum& tile) {
  constexpr int kApart = R * V <= 3 ? 4 : R * V <= 6 ? 2 : 1;  // chains of additions: four hide their latency
  const PooledSum s = tile;
  const int64_t a_row = opaque(s.a_row), y_row = opaque(s.y_row), step = s.step;
  const IVec written = iota() < s.tail;
  for (int64_t i = 0; i < s.run_count; ++i) {
    const PooledRun run = s.runs[i];
    const PooledEntry* e = s.entries + run.begin;
    int64_t left = run.count;
    Vec acc[kApart][R * V] = {};
    if constexpr (kApart > 1)
      for (; left >= kApart; left -= kApart)
        FASTCNN_UNROLL for (int u = 0; u < kApart; ++u, e += step) add<R, V>(acc[u], *e, s.a, a_row);
    for (; left > 0; --left, e += step) add<R, V>(acc[0], *e, s.a, a_row);
    FASTCNN_UNROLL for (int u = 1; u < kApart; ++u) FASTCNN_UNROLL for (int j = 0; j < R * V; ++j) acc[0][j] =
        acc[0][j] + acc[u][j];
    // y last: what it is added to may have been stored, a few floats aside, just before.
    float* const y = s.y + run.at;
    FASTCNN_UNROLL for (int r = 0; r < R; ++r) FASTCNN_UNROLL for (int v = 0; v < V; ++v) {
      float* const p = y + r * y_row + v * kLanes;
      const Vec old = load(p), sum = old + acc[0][r * V + v];
      store(p, v < V - 1 ? sum : written ? sum : old);
    }
  }
}

void sum(const PooledSum& s) {
#define FASTCNN_TILE(r, v) sum_tile<fits(r, v) ? r : 1, v <= kMostVectors ? v : 1>
#define FASTCNN_TILES(r)                                                                                     \
  {                                                                                                          \
    FASTCNN_TILE(r, 1), FASTCNN_TILE(r, 2), FASTCNN_TILE(r, 3), FASTCNN_TILE(r, 4), FASTCNN_TILE(r, 5),      \
        FASTCNN_TILE(r, 6), FASTCNN_TILE(r, 7), FASTCNN_TILE(r, 8), FASTCNN_TILE(r, 9), FASTCNN_TILE(r, 10), \
        FASTCNN_TILE(r, 11), FASTCNN_TILE(r, 12)                                                             \
  }
  static constexpr void (*kTiles[kPooledRows][kPooledSums])(const PooledSum&) = {
      FASTCNN_TILES(1), FASTCNN_TILES(2), FASTCNN_TILES(3), FASTCNN_TILES(4), FASTCNN_TILES(5)};
#undef FASTCNN_TILES
#undef FASTCNN_TILE
  kTiles[s.rows - 1][s.vectors - 1](s);
}

void quads(const PooledQuads& arguments) {
  const PooledQuads a = arguments;
  for (int64_t i = 0; i < a.floats; i += kLanes) {
    Vec v[4];
    FASTCNN_UNROLL for (int j = 0; j < 4; ++j) v[j] = load(a.x + i + a.at[j]);
    const Vec even[2] = {interleave<false>(v[0], v[2]), interleave<true>(v[0], v[2])};
    const Vec odd[2] = {interleave<false>(v[1], v[3]), interleave<true>(v[1], v[3])};
    float* const to = a.quads + 4 * i;
    FASTCNN_UNROLL for (int half = 0; half < 2; ++half) {
      store(to + 2 * half * kLanes, interleave<false>(even[half], odd[half]));
      store(to + (2 * half + 1) * kLanes, interleave<true>(even[half], odd[half]));
    }
  }
}

// Where lanes can be shuffled each takes its number out of four places: half the instructions of a
// multiply-add for each place, of a gradient that counts as zero in the lanes of others.
template <int R, int S>
void narrow_tile(const PooledNarrow& tile) {
  const PooledNarrow t = tile;
  const int64_t x_row = opaque(4 * t.x_row);
  Vec acc[R][S], total = Vec{};
  FASTCNN_UNROLL for (int r = 0; r < R; ++r) FASTCNN_UNROLL for (int s = 0; s < S; ++s) acc[r][s] =
      load(t.sums + r * t.sums_row + s * t.sums_tap);
  const float* dy = t.dy;
  const uint8_t* index = t.index;
  for (int64_t p = 0; p < t.windows_h; ++p) {
    const float* window = t.quads + 4 * p * t.x_h;
    for (int64_t q = t.windows_w; q > 0; --q, window += 4 * t.x_w, dy += t.channels, index += t.channels) {
      LaneBytes bytes = {};
      memcpy(&bytes, index, kLanes);
      const IVec place = byte_lanes(bytes);
      const Vec g = load(dy);
      total = total + g;
      const float* x = window;
      for (int32_t i = 0; i < t.fours; ++i, x += t.quarters)
        for (int turn = 0; turn < kTurns; ++turn) {
          Vec own = g;
          if (kTurns > 1) own = place == 4 * i + turn ? g : Vec{};
          if (kTurns == 1 && t.fours > 1) own = place >> 2 == i ? g : Vec{};
          FASTCNN_UNROLL for (int r = 0; r < R; ++r) FASTCNN_UNROLL for (int s = 0; s < S; ++s) acc[r][s] =
              fma(one_of_four(x + r * x_row + 4 * s, place, turn), own, acc[r][s]);
        }
    }
  }
  FASTCNN_UNROLL for (int r = 0; r < R; ++r) FASTCNN_UNROLL for (int s = 0; s < S; ++s)
      store(t.sums + r * t.sums_row + s * t.sums_tap, acc[r][s]);
  if (t.total) store(t.total, load(t.total) + total);
}

void narrow(const PooledNarrow& t) {
#define FASTCNN_TILE(r, s) narrow_tile<r <= narrow_rows(s) ? r : 1, s>
#define FASTCNN_TILES(r)                                                                               \
  {                                                                                                    \
    FASTCNN_TILE(r, 1), FASTCNN_TILE(r, 2), FASTCNN_TILE(r, 3), FASTCNN_TILE(r, 4), FASTCNN_TILE(r, 5) \
  }
  static constexpr void (*kTiles[3][kNarrowTaps])(const PooledNarrow&) = {FASTCNN_TILES(1), FASTCNN_TILES(2),
                                                                          FASTCNN_TILES(3)};
#undef FASTCNN_TILES
#undef FASTCNN_TILE
  kTiles[t.rows - 1][t.taps - 1](t);
}

// f(elements in lanes, those of the first image, count): each square of kLanes samples and as many elements.
template <class F>
FASTCNN_INLINE void for_each_square(const PooledImages& m, F f) {
  for (int64_t h = 0; h < m.height; ++h) {
    int64_t column = 0, channel = 0;
    for (int64_t e = 0; e < m.width * m.channels; e += kLanes) {
      const int64_t left = m.width * m.channels - e;
      const int count = left < kLanes ? (int)left : kLanes;
      int64_t at[kLanes];
      for (int j = 0; j < count; ++j) {
        at[j] = ((channel * m.height + h) * m.width + column) * kBatchLanes;
        if (++channel == m.channels) channel = 0, ++column;
      }
      f(at, m.images + h * m.row + e, count);
    }
  }
}

void take(const PooledImages& m) {
  for_each_square(m, [&](const int64_t* at, float* to, int count) FASTCNN_INLINED {
    Vec v[kLanes];
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) v[j] = j < count ? load(m.lanes + at[j]) : Vec{};
    transpose(v);
    FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) store_n(to + i * m.image, v[i], count);
  });
}

void put(const PooledImages& m) {
  for_each_square(m, [&](const int64_t* at, float* from, int count) FASTCNN_INLINED {
    Vec v[kLanes];
    FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) v[i] = load_n(from + i * m.image, count);
    transpose(v);
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) if (j < count)
        store(m.lanes + at[j], m.mask ? (load(m.mask + at[j]) <= Vec{} ? Vec{} : v[j]) : v[j]);
  });
}

}  // namespace

extern const PooledKernels pooled_kernels;
const PooledKernels pooled_kernels = {kLanes, kMostVectors, list, pack, bins, sum, quads, narrow, take, put};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
