// SPDX-License-Identifier: Apache-2.0
// The body of the register tile, see tile.h for the formula: of floats in tile.cpp, of pairs of bfloat16 in
// bfloat16.cpp. acc[rows][vectors] stays in registers over the whole sum; each step loads `vectors` vectors
// of b and broadcasts one scalar of a per row.
//
// AVX-512: 14 rows of 2 vectors (31 registers) beat 7 of 4 (33: spills) by 5 to 25 %; 6 of 4 win where rows
// of a lie a multiple of 4 KB apart, since 14 of them would share one set of a 12-way L1.
#pragma once
#include "ahead.h"
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
};

// kAsks: whether there is such memory. To ask is a tenth of a step of the small tiles that 16 registers hold,
// so that few lines are asked for before a tile.
template <class Number, bool kAsks, int MR, int NV>
FASTCNN_INLINE void multiply(Vec (&acc)[MR][NV], const Tile& t, const float* first, const Far& far) {
  // One pointer for three rows: base, base + row and base + 2 row are addressing modes, 14 pointers would be
  // spilled.
  constexpr int kBases = (MR + 2) / 3, kWays = ways(MR * NV, NV);
  Vec others[kWays][MR][NV];  // [0] is acc
  FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) others[n][i][j] = Vec{};
    }
  }
  const int64_t row = opaque(t.a_row), a_step = opaque(t.a_step), b_step = opaque(t.b_step);
  const float* line = far.at;
  const int64_t line_step = opaque(far.step);
  // Pointers are moved on from tap to tap, rows of taps in the same loop: addresses worked out for each tap,
  // in two loops, took 1.2 times as long where its steps are few (3x3 and 5x5 of one channel).
  const float* a[kBases];
  FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] = first + g * t.a_group;
  const float* b = t.b;
  const int64_t next_a = t.a_w - t.depth * a_step, next_b = t.b_w - t.depth * b_step;
  const int64_t down_a = t.a_h - t.taps_w * t.a_w, down_b = t.b_h - t.taps_w * t.b_w;
  const auto move = [&](int64_t by_a, int64_t by_b) FASTCNN_INLINED {
    FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] += by_a;
    b += by_b;
  };
  for (int64_t n = t.taps_h * t.taps_w, w = t.taps_w; n > 0; --n) {
    const auto step = [&](Vec(&sum)[MR][NV]) FASTCNN_INLINED {
      typename Number::Lanes bv[NV];
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) bv[j] = Number::get(b + j * kLanes);
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
    int64_t k = t.depth;
    if constexpr (kWays > 1)
      for (; k >= kWays; k -= kWays) {
        step(acc);
        FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) step(others[n]);
      }
    for (; k > 0; --k) step(acc);
    const bool down = --w == 0;
    w = down ? t.taps_w : w;
    move(next_a + (down ? down_a : 0), next_b + (down ? down_b : 0));
  }
  FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] + others[n][i][j];
    }
  }
}

// Rows from `row` on of what t describes, which is the caller's (a copy to move on in took 10 to 20 cycles of
// each strip). `tail`: how many lanes of the last vector count.
template <class Number, int MR, int NV>
void tile(const Tile& t, int64_t row, int tail, const Far& far) {
  Vec acc[MR][NV];
  const int64_t at = row * t.y_row;
  FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
    FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = Vec{};
  }
  if (kRegisters == 32 || far.step)
    multiply<Number, true>(acc, t, t.a + row * t.a_row, far);
  else
    multiply<Number, false>(acc, t, t.a + row * t.a_row, far);
  const auto read = [tail](const float* p, int j) {
    return j < NV - 1 || tail == kLanes ? load(p + j * kLanes) : load_n(p + j * kLanes, tail);
  };
  if (t.bias) {
    FASTCNN_UNROLL for (int j = 0; j < NV; ++j) {
      const Vec bias = read(t.bias, j);
      FASTCNN_UNROLL for (int i = 0; i < MR; ++i) acc[i][j] = acc[i][j] + bias;
    }
  }
  if (const float* added = t.accumulate ? t.y : t.residual) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] + read(added + at + i * t.y_row, j);
    }
  }
  if (t.relu) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = relu(acc[i][j]);
    }
  }
  if (t.relu == 6) {
    const Vec six = broadcast(6.0f);
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] > six ? six : acc[i][j];
    }
  }
  if (t.mask) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) {
        acc[i][j] = read(t.mask + at + i * t.y_row, j) <= Vec{} ? Vec{} : acc[i][j];
      }
    }
  }
  FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
    FASTCNN_UNROLL for (int j = 0; j < NV; ++j) {
      float* p = t.y + at + i * t.y_row + j * kLanes;
      if (j < NV - 1 || tail == kLanes)
        store(p, acc[i][j]);
      else
        store_n(p, acc[i][j], tail);
    }
  }
}

typedef void (*TileFunction)(const Tile&, int64_t row, int tail, const Far&);

template <class Number, int NV>
FASTCNN_INLINE TileFunction tile_of(int rows) {
#define FASTCNN_TILE(n) tile<Number, (n < most_rows(NV) ? n : most_rows(NV)), NV>
  static constexpr TileFunction kTiles[] = {
      FASTCNN_TILE(1),  FASTCNN_TILE(2),  FASTCNN_TILE(3),  FASTCNN_TILE(4), FASTCNN_TILE(5),
      FASTCNN_TILE(6),  FASTCNN_TILE(7),  FASTCNN_TILE(8),  FASTCNN_TILE(9), FASTCNN_TILE(10),
      FASTCNN_TILE(11), FASTCNN_TILE(12), FASTCNN_TILE(13), FASTCNN_TILE(14)};
#undef FASTCNN_TILE
  return kTiles[rows - 1];
}

template <class Number, int NV>
void strip_of(const Tile& t, int64_t rows, int tail, int most) {
  if (most > most_rows(NV)) most = most_rows(NV);
  const int64_t tiles = (rows + most - 1) / most, least = rows / (tiles ? tiles : 1);
  int64_t more = rows - tiles * least;  // tiles that have one row more, the first
  const int64_t steps = t.taps_h * t.taps_w * t.depth;
  const int64_t lines = t.ahead ? lines_each(t.ahead_floats, tiles) : 0;
  const bool before = kRegisters < 32 && lines <= 16;
  Far far = {t.ahead ? t.ahead : t.b, 0};  // asks for nothing new
  if (!before && lines && steps) far.step = (t.ahead_floats + tiles * steps - 1) / (tiles * steps);
  for (int64_t row = 0; row < rows; --more) {
    const int64_t n = least + (more > 0);
    if (before) far.at = fetch(far.at, lines);
    // What the epilogue meets is far, too: 16 channels at 32x32, batch 128, with a mask took 1.2 times as
    // long without, and with a residual besides (AVX-512).
    const auto ask = [&](const float* from) FASTCNN_INLINED {
      for (int64_t i = row; i < row + n; ++i)
        for (int j = 0; j < NV * kLanes; j += kLineFloats) __builtin_prefetch(from + i * t.y_row + j, 0, 3);
    };
    if (t.fetch_y) ask(t.y);
    if (t.mask) ask(t.mask);
    if (t.residual) ask(t.residual);
    tile_of<Number, NV>(static_cast<int>(n))(t, row, tail, far);
    far.at += steps * far.step;
    row += n;
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
