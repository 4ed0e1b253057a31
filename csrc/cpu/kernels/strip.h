// SPDX-License-Identifier: Apache-2.0
// The body of the register tile, see tile.h for the formula: of floats in tile.cpp, of pairs of bfloat16 in
// bfloat16.cpp. acc[rows][vectors] stays in registers over the whole sum; each step loads `vectors` vectors
// of b and broadcasts one scalar of a per row.
//
// AVX-512: 14 rows of 2 vectors (31 registers) beat 7 of 4 (33: spills) by 5 to 25 %; 6 of 4 win where rows
// of a lie a multiple of 4 KB apart, since 14 of them would share one set of a 12-way L1.
#pragma once
#include "ahead.h"
#include "finish_rows.h"
#include "tile.h"
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// A step of a sum of floats. Of another kind of numbers: their vector, how to read one and a scalar in all
// lanes, and what is added for them to a sum of floats.
struct Floats {
  typedef Vec Lanes;
  static constexpr bool kSlides = true, kCopied = true;  // tiles that slide, a b that a tile copies
  static FASTCNN_INLINED Vec get(const float* p) { return load(p); }
  static FASTCNN_INLINED Vec spread(const float* p) { return broadcast(*p); }
  static FASTCNN_INLINED Vec add(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
};

// Accumulators, the vectors of b and one broadcast fit the registers; more than 14 rows gain nothing.
constexpr int most_rows(int vectors) {
  return (kRegisters - 1 - vectors) / vectors < 14 ? (kRegisters - 1 - vectors) / vectors : 14;
}

// Accumulators of each sum: a multiply-add waits four clocks for the one before it, and two begin in each.
constexpr int ways(int sums, int vectors) {
  const int n = sums < 3 ? 4 : sums < 8 ? 2 : 1;
  return n * sums + vectors < kRegisters ? n : 1;
}

// A line that is asked for with each step, `step` floats on from the last: of memory so far away that it
// comes as fast as sums are taken. Lines asked for all at once between tiles come no sooner than those that a
// tile waits for: Winograd's products with 9 MB of filters, 16 rows by 256 channels, took 1.5 times as long,
// a batch of one through ResNet-18 1.4 and through ResNet-50 1.2 times (AVX-512). The next steps of b in
// place of what follows it wait while its rows meet another tile: 1.2 times.
struct Far {
  const float* at;
  int64_t step;
  int64_t lines;  // asked for before each tile
};
template <bool kIs>
struct Flag {
  static constexpr bool kValue = kIs;
};

// What all tiles of a strip have in common, worked out once.
struct Walk {
  explicit FASTCNN_INLINED Walk(const Tile& t)
      : b(t.b),
        row(t.a_row),
        group(t.a_group),
        a_step(t.a_step),
        b_step(t.b_step),
        depth(t.depth),
        taps(t.taps_h * t.taps_w),
        taps_w(t.taps_w),
        next_a(t.a_w - depth * a_step),
        next_b(t.b_w - depth * b_step),
        down_a(t.a_h - taps_w * t.a_w),
        down_b(t.b_h - taps_w * t.b_w) {}
  const float* b;
  int64_t row, group, a_step, b_step, depth, taps, taps_w, next_a, next_b, down_a, down_b;
};

// kAsks: whether there is such memory. To ask is a tenth of a step of the small tiles that 16 registers hold,
// so that few lines are asked for before a tile.
template <class Number, bool kAsks, bool kCopies, int MR, int NV>
FASTCNN_INLINE void multiply(Vec (&acc)[MR][NV], const Tile& t, const Walk& s, const float* first, Far* far) {
  // One pointer for three rows: base, base + row and base + 2 row are addressing modes, 14 pointers would be
  // spilled.
  constexpr int kBases = (MR + 2) / 3, kWays = ways(MR * NV, NV);
  Vec others[kWays][MR][NV];  // [0] is acc
  FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) others[n][i][j] = Vec{};
    }
  }
  const int64_t row = opaque(s.row), a_step = opaque(s.a_step), b_step = opaque(s.b_step);
  const float* line = far->at;
  const int64_t line_step = opaque(far->step);
  float* copy = t.copy;
  // Pointers are moved on from tap to tap, rows of taps in the same loop: addresses worked out for each tap,
  // in two loops, took 1.2 times as long where its steps are few (3x3 and 5x5 of one channel).
  const float* a[kBases];
  FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] = first + g * s.group;
  const float* b = s.b;
  const auto move = [&](int64_t by_a, int64_t by_b) FASTCNN_INLINED {
    FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] += by_a;
    b += by_b;
  };
  int64_t n = s.taps, w = s.taps_w;
  while (n > 0) {
    const auto step = [&](Vec(&sum)[MR][NV]) FASTCNN_INLINED {
      typename Number::Lanes bv[NV];
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) bv[j] = Number::get(b + j * kLanes);
      if constexpr (kCopies) {
        FASTCNN_UNROLL for (int j = 0; j < NV; ++j) store(copy + j * kLanes, bv[j]);
        copy += NV * kLanes;
      }
      FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
        const typename Number::Lanes av = Number::spread(a[i / 3] + i % 3 * row);
        FASTCNN_UNROLL for (int j = 0; j < NV; ++j) sum[i][j] = Number::add(av, bv[j], sum[i][j]);
      }
      move(a_step, b_step);
      if constexpr (kAsks) {
        __builtin_prefetch(line, 0, 2);
        line += line_step;
      }
    };
    int64_t k = s.depth;
    if constexpr (kWays > 1)
      for (; k >= kWays; k -= kWays) {
        step(acc);
        FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) step(others[n]);
      }
    for (; k > 0; --k) step(acc);
    if (--n == 0) break;
    const bool down = --w == 0;
    w = down ? s.taps_w : w;
    move(s.next_a + (down ? s.down_a : 0), s.next_b + (down ? s.down_b : 0));
  }
  if constexpr (kAsks) far->at = line;
  FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] + others[n][i][j];
    }
  }
}

// Tiles of one vector load as much as they multiply. Where the next tap of a filter row meets the row of `a`
// after the tile's own (a_w = a_row), one broadcast serves up to kMostTaps taps, whose vectors of b stay in
// registers meanwhile. (Of two vectors, 12 rows and three taps, 5x5 and 7x7 took 0.9 to 1.08 times as long;
// of 8 lanes, with 12 rows of one vector, 3x3 took 1.06 and 5x5 0.85 times as long. The sums of fewer rows
// than eight wait for one another.)
constexpr bool kSliding = kRegisters == 32;
constexpr int kMostTaps = 5, kSlidingRows = 8, kMostSliding = 16;
// Of a closed tile's three taps the first row and the last meet two: 19 multiply-adds of 21 for 7 rows.
constexpr int kClosedTaps = 3, kClosedRows = 7;

// Of 16 and 32 pixels 16 rows make whole tiles, and of 16 channels, whose weight gradient with strides took
// 0.66 to 0.95 of the time that two tiles of 8 did.
template <class Number>
constexpr int tile_rows(int vectors) {
  return kSliding && Number::kSlides && vectors == 1 ? kMostSliding : most_rows(vectors);
}

FASTCNN_INLINE bool slides(const Tile& t) {
  return t.taps_w > 1 && t.a_w == t.a_row && t.a_group == 3 * t.a_row;
}
FASTCNN_INLINE int64_t runs_of_taps(const Tile& t) { return (t.taps_w + kMostTaps - 1) / kMostTaps; }

// kTaps taps from `first` and b on. Nine rows have a pointer: with these steps, in bytes, its distance to
// each is an addressing mode. kOutside: rows of `a` at either end that are zeros and in no memory.
template <class Number, bool kAsks, int kTaps, int MR, int kOutside = 0>
FASTCNN_INLINE void slide(Vec (&acc)[MR][1], const Tile& t, const float* first, const float* b, Far* far) {
  constexpr int kRows = MR + kTaps - 1 - 2 * kOutside, kBases = (kRows + 8) / 9;
  const int64_t row = opaque(4 * t.a_row), row_3 = opaque(3 * row), row_5 = opaque(5 * row);
  const int64_t row_7 = opaque(7 * row), a_step = opaque(4 * t.a_step);
  const int64_t b_step = opaque(t.b_step), b_w = opaque(t.b_w);
  const char* a[kBases];
  FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] = (const char*)first + 9 * g * row;
  for (int64_t k = t.depth; k > 0; --k) {
    typename Number::Lanes bv[kTaps];
    FASTCNN_UNROLL for (int s = 0; s < kTaps; ++s) bv[s] = Number::get(b + s * b_w);
    FASTCNN_UNROLL for (int r = 0; r < kRows; ++r) {
      const int i = r % 9;
      const int64_t at = i == 3 ? row_3 : i == 5 ? row_5 : i == 6 ? 2 * row_3 : i == 7 ? row_7 : i * row;
      const typename Number::Lanes av = Number::spread((const float*)(a[r / 9] + at));
      FASTCNN_UNROLL for (int s = kTaps - 1; s >= 0; --s) {
        const int to = r + kOutside - s;
        if (to >= 0 && to < MR) acc[to][0] = Number::add(av, bv[s], acc[to][0]);
      }
    }
    FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] += a_step;
    b += b_step;
    if constexpr (kAsks) {
      __builtin_prefetch(far->at, 0, 2);
      far->at += far->step;
    }
  }
}

// The sum of multiply(), each row of taps in nearly equal runs.
template <class Number, bool kAsks, int MR>
FASTCNN_INLINE void multiply_sliding(Vec (&acc)[MR][1], const Tile& t, const float* first, Far* far) {
  for (int64_t h = 0; h < t.taps_h; ++h)
    for (int64_t w = 0, runs = runs_of_taps(t); runs > 0; --runs) {
      const int64_t taps = (t.taps_w - w + runs - 1) / runs;
      const float *const a = first + h * t.a_h + w * t.a_w, *const b = t.b + h * t.b_h + w * t.b_w;
      if (taps == 2) slide<Number, kAsks, 2>(acc, t, a, b, far);
      if (taps == 3) slide<Number, kAsks, 3>(acc, t, a, b, far);
      if (taps == 4) slide<Number, kAsks, 4>(acc, t, a, b, far);
      if (taps == 5) slide<Number, kAsks, 5>(acc, t, a, b, far);
      w += taps;
    }
}

template <class Number, bool kAsks, int MR>
FASTCNN_INLINE void multiply_closed(Vec (&acc)[MR][1], const Tile& t, const float* first, Far* far) {
  for (int64_t h = 0; h < t.taps_h; ++h)
    slide<Number, kAsks, kClosedTaps, MR, 1>(acc, t, first + h * t.a_h, t.b + h * t.b_h, far);
}

// Large tiles of long products add to what y holds in registers.
template <int MR, int NV>
constexpr bool kAdds = NV == (kRegisters == 32 ? kMaxVectors : 2) && MR >= most_rows(NV) - 1;

// Equal tiles of a strip: where the first begins, and how far apart they are.
struct Equal {
  const float* a;
  float* y;
  int64_t a_tile, y_tile, tiles;
};

// Tiles of MR rows of what t describes, which is the caller's (a copy to move on in took 10 to 20 cycles of
// each strip). What they have in common is worked out once: a call for each tile took 40 cycles more, a third
// of a tile with a sum of ten. Sums that meet more than a bias and ReLU, or end in part of a vector, are
// finished in memory.
template <class Number, int MR, int NV, bool kCopies = false>
void tile(const Tile& t, const Equal& all, int tail, const Far& far) {
  const Walk walk(t);
  Far own = far;
  // Of ReLU6 in the larger half of the tiles of 32 registers, 5 KB of code: 24 -> 144 channels pointwise took
  // 5 % less, longer sums hardly anything.
  constexpr bool kBounds = kRegisters == 32 && 2 * MR * NV > kRegisters && Number::kCopied;
  const bool whole = tail == kLanes && !t.residual && !t.mask && (kBounds || t.relu < 6);
  const bool adds = kAdds<MR, NV> && whole && t.accumulate && !t.bias && !t.relu;
  const bool plain = whole && (!t.accumulate || adds);
  const float* const bias = plain ? t.bias : nullptr;
  const bool cuts = plain && t.relu, asks_rows = t.fetch_y || t.mask || t.residual;
  alignas(64) float sums[MR * NV * kLanes];
  const int64_t to_row = plain ? t.y_row : NV * kLanes;
  const float* a = all.a;
  float* y = all.y;
  for (int64_t left = all.tiles; left > 0; --left, a += all.a_tile, y += all.y_tile) {
    if (asks_rows) ask_for_rows(t, y - t.y, MR, NV * kLanes);
    if constexpr (kRegisters < 32) own.at = fetch(own.at, own.lines);
    Vec acc[MR][NV];
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = Vec{};
    }
    const auto sum = [&](auto asks) FASTCNN_INLINED {
      if constexpr (NV == 1 && MR >= kClosedRows && kSliding && Number::kSlides)
        if (t.closed) return multiply_closed<Number, asks.kValue>(acc, t, a, &own);
      if constexpr (NV == 1 && MR >= kSlidingRows && kSliding && Number::kSlides)
        if (slides(t)) return multiply_sliding<Number, asks.kValue>(acc, t, a, &own);
      multiply<Number, asks.kValue, kCopies>(acc, t, walk, a, &own);
    };
    if (kRegisters == 32 || far.step)
      sum(Flag<true>());
    else
      sum(Flag<false>());
    if (adds) {
      const float* from = y;
      FASTCNN_UNROLL for (int i = 0; i < MR; ++i, from = opaque(from + to_row)) {
        FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] + load(from + j * kLanes);
      }
    }
    if (bias) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) {
        const Vec added = load(bias + j * kLanes);
        FASTCNN_UNROLL for (int i = 0; i < MR; ++i) acc[i][j] = acc[i][j] + added;
      }
    }
    if (cuts) {
      FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
        FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = relu(acc[i][j]);
      }
    }
    if (kBounds && plain && t.relu == 6) {
      const Vec six = broadcast(6.0f);
      FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
        FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] > six ? six : acc[i][j];
      }
    }
    float* to = plain ? y : sums;
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i, to = opaque(to + to_row)) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) store(to + j * kLanes, acc[i][j]);
    }
    if (!plain) finish_rows<NV, NV>(sums, MR, t, y - t.y, tail);
  }
}

typedef void (*TileFunction)(const Tile&, const Equal&, int tail, const Far&);

template <class Number, int NV>
FASTCNN_INLINE TileFunction tile_of(int rows) {
#define FASTCNN_TILE(n) tile<Number, (n < tile_rows<Number>(NV) ? n : tile_rows<Number>(NV)), NV>
  static constexpr TileFunction kTiles[] = {
      FASTCNN_TILE(1),  FASTCNN_TILE(2),  FASTCNN_TILE(3),  FASTCNN_TILE(4),
      FASTCNN_TILE(5),  FASTCNN_TILE(6),  FASTCNN_TILE(7),  FASTCNN_TILE(8),
      FASTCNN_TILE(9),  FASTCNN_TILE(10), FASTCNN_TILE(11), FASTCNN_TILE(12),
      FASTCNN_TILE(13), FASTCNN_TILE(14), FASTCNN_TILE(15), FASTCNN_TILE(16)};
#undef FASTCNN_TILE
  return kTiles[rows - 1];
}

// Where a vector is a line, each one of a b at any address lies in two, and rows of b may share sets of L1.
template <class Number>
constexpr bool may_copy(int vectors) {
  return kRegisters == 32 && kLanes == kLineFloats && Number::kCopied && vectors == kMaxVectors;
}

template <class Number, int NV>
void strip_of(const Tile& t, int64_t rows, int tail, int most) {
  if constexpr (may_copy<Number>(NV)) {
    if (t.copy) {
      constexpr int kFirst = most_rows(NV);
      tile<Number, kFirst, NV, true>(t, {t.a, t.y, 0, 0, 1}, tail, {t.b, 0, 0});
      Tile others = t;
      others.copy = nullptr;
      others.b = t.copy, others.b_step = NV * kLanes;
      others.a += kFirst * t.a_row, others.y += kFirst * t.y_row;
      if (t.mask) others.mask += kFirst * t.y_row;
      if (t.residual) others.residual += kFirst * t.y_row;
      return strip_of<Number, NV>(others, rows - kFirst, tail, most);
    }
  }
  const bool could_slide = kSliding && Number::kSlides && NV == 1 && slides(t);
  if (most > tile_rows<Number>(NV)) most = tile_rows<Number>(NV);
  const int64_t tiles = (rows + most - 1) / most, least = rows / (tiles ? tiles : 1);
  int64_t more = rows - tiles * least;  // tiles that have one row more, the first
  const bool sliding = could_slide && (t.closed || least >= kSlidingRows);
  const int64_t steps = t.taps_h * (sliding ? runs_of_taps(t) : t.taps_w) * t.depth;
  // The first tiles ask for what will be written, the others for what will be read.
  const int64_t read = t.ahead ? t.ahead_floats : 0, written = t.next_y ? t.next_y_floats : 0;
  int64_t turn = 0;
  if (written) turn = read ? (tiles - 1) * written / (read + written) + (tiles > 1) : tiles;
  Far far = {t.b, 0, 0};  // asks for nothing new
  const auto ask = [&](const float* at, int64_t floats, int64_t times) {
    const int64_t lines = lines_each(floats, times);
    const bool before = kRegisters < 32 && lines > 0 && lines <= 16;
    far = {at, before || !steps ? 0 : (floats + times * steps - 1) / (times * steps), before ? lines : 0};
  };
  if (turn) ask(t.next_y, written, turn);
  Equal all = {t.a, t.y, 0, 0, 0};
  for (int64_t i = 0, together; i < tiles; i += together) {
    if (i == turn && read) ask(t.ahead, read, tiles - turn);
    const int64_t n = least + (more > 0);
    together = more > 0 ? more : tiles - i;
    if (i < turn && together > turn - i) together = turn - i;
    all.a_tile = t.a_tile ? t.a_tile : n * t.a_row, all.y_tile = t.y_tile ? t.y_tile : n * t.y_row;
    all.tiles = together;
    tile_of<Number, NV>(static_cast<int>(n))(t, all, tail, far);
    all.a += together * all.a_tile, all.y += together * all.y_tile;
    far.at += together * (steps * far.step + far.lines * kLineFloats);
    more -= together;
  }
}

// f(what t describes of two vectors of its columns, how many columns these are) for all of them.
template <class F>
FASTCNN_INLINE void by_two_vectors(const Tile& t, int cols, F f) {
  constexpr int kCols = 2 * kLanes;
  Tile part = t;
  for (int j = 0; j < cols; j += kCols) {
    f(part, cols - j < kCols ? cols - j : kCols);
    part.b += kCols, part.y += kCols;
    if (t.bias) part.bias += kCols;
    if (t.mask) part.mask += kCols;
    if (t.residual) part.residual += kCols;
    part.ahead = part.next_y = nullptr;
  }
}

template <class Number>
void strip(const Tile& t, int64_t rows, int cols, int most) {
  const int vectors = (cols + kLanes - 1) / kLanes, tail = cols - (vectors - 1) * kLanes;
  if (vectors == 1)
    strip_of<Number, 1>(t, rows, tail, most);
  else if (vectors == 2)
    strip_of<Number, 2>(t, rows, tail, most);
  else if (vectors == 3)
    strip_of<Number, 3>(t, rows, tail, most);
  else
    strip_of<Number, 4>(t, rows, tail, most);
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
