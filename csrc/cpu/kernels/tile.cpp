// SPDX-License-Identifier: Apache-2.0
// See tile.h for the formula. acc[rows][vectors] stays in registers over the whole sum; each step loads
// `vectors` vectors of b and broadcasts one scalar of a per row.
//
// AVX-512: 14 rows of 2 vectors (31 registers) beat 7 of 4 (33: spills) by 5 to 25 %; 6 of 4 win where rows
// of a lie a multiple of 4 KB apart, since 14 of them would share one set of a 12-way L1.
#include "tile.h"

#include "ahead.h"
#include "blocks.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Accumulators, the vectors of b and one broadcast fit the registers; more than 14 rows gain nothing.
constexpr int most_rows(int vectors) {
  return (kRegisters - 1 - vectors) / vectors < 14 ? (kRegisters - 1 - vectors) / vectors : 14;
}

// Accumulators of each sum: a multiply-add waits four clocks for the one before it, and two begin in each.
constexpr int ways(int sums, int vectors) {
  const int n = sums < 3 ? 4 : sums < 8 ? 2 : 1;
  return n * sums + vectors < kRegisters ? n : 1;
}

template <int MR, int NV>
FASTCNN_INLINE void multiply(Vec (&acc)[MR][NV], const Tile& t, const float* first) {
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
  for (int64_t h = 0; h < t.taps_h; ++h)
    for (int64_t w = 0; w < t.taps_w; ++w) {
      const float* a[kBases];
      FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] = first + h * t.a_h + w * t.a_w + g * t.a_group;
      const float* b = t.b + h * t.b_h + w * t.b_w;
      const auto step = [&](Vec(&sum)[MR][NV]) FASTCNN_INLINED {
        Vec bv[NV];
        FASTCNN_UNROLL for (int j = 0; j < NV; ++j) bv[j] = load(b + j * kLanes);
        FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
          const Vec av = broadcast(a[i / 3][i % 3 * row]);
          FASTCNN_UNROLL for (int j = 0; j < NV; ++j) sum[i][j] = fma(av, bv[j], sum[i][j]);
        }
        FASTCNN_UNROLL for (int g = 0; g < kBases; ++g) a[g] += a_step;
        b += b_step;
      };
      int64_t k = t.depth;
      if constexpr (kWays > 1)
        for (; k >= kWays; k -= kWays) {
          step(acc);
          FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) step(others[n]);
        }
      for (; k > 0; --k) step(acc);
    }
  FASTCNN_UNROLL for (int n = 1; n < kWays; ++n) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] + others[n][i][j];
    }
  }
}

// Rows from `row` on of what t describes, which is the caller's (a copy to move on in took 10 to 20 cycles of
// each strip). `tail`: how many lanes of the last vector count.
template <int MR, int NV>
void tile(const Tile& t, int64_t row, int tail) {
  Vec acc[MR][NV];
  const int64_t at = row * t.y_row;
  FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
    FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = Vec{};
  }
  multiply<MR, NV>(acc, t, t.a + row * t.a_row);
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

typedef void (*TileFunction)(const Tile&, int64_t row, int tail);

template <int NV>
FASTCNN_INLINE TileFunction tile_of(int rows) {
#define FASTCNN_TILE(n) tile<(n < most_rows(NV) ? n : most_rows(NV)), NV>
  static constexpr TileFunction kTiles[] = {
      FASTCNN_TILE(1),  FASTCNN_TILE(2),  FASTCNN_TILE(3),  FASTCNN_TILE(4), FASTCNN_TILE(5),
      FASTCNN_TILE(6),  FASTCNN_TILE(7),  FASTCNN_TILE(8),  FASTCNN_TILE(9), FASTCNN_TILE(10),
      FASTCNN_TILE(11), FASTCNN_TILE(12), FASTCNN_TILE(13), FASTCNN_TILE(14)};
#undef FASTCNN_TILE
  return kTiles[rows - 1];
}

template <int NV>
void strip_of(const Tile& t, int64_t rows, int tail, int most) {
  if (most > most_rows(NV)) most = most_rows(NV);
  const int64_t tiles = (rows + most - 1) / most, least = rows / (tiles ? tiles : 1);
  int64_t more = rows - tiles * least;  // tiles that have one row more, the first
  const float* ahead = t.ahead;
  // Where there are more the processor follows them by itself: 170 with each tile, all of 512 channels of
  // Winograd's weights, took 15 % longer than none.
  int64_t lines = ahead ? lines_each(t.ahead_floats, tiles) : 0;
  if (lines > 16) lines = 16;
  for (int64_t row = 0; row < rows; --more) {
    ahead = fetch(ahead, lines);
    const int64_t n = least + (more > 0);
    tile_of<NV>(static_cast<int>(n))(t, row, tail);
    row += n;
  }
}

void strip(const Tile& t, int64_t rows, int cols, int most) {
  const int vectors = (cols + kLanes - 1) / kLanes, tail = cols - (vectors - 1) * kLanes;
  if (vectors == 1)
    strip_of<1>(t, rows, tail, most);
  else if (vectors == 2)
    strip_of<2>(t, rows, tail, most);
  else if (vectors == 3)
    strip_of<3>(t, rows, tail, most);
  else
    strip_of<4>(t, rows, tail, most);
}

void pack_rows(const Panel& p, float* out) {
  const int whole = p.cols / kLanes * kLanes, tail = p.cols - whole;
  for (int64_t k = 0; k < p.depth; ++k, out += p.width) {
    const float* b = p.b + k * p.b_step;
    int j = 0;
    for (; j < whole; j += kLanes) store(out + j, p.scale ? load(b + j) * load(p.scale + j) : load(b + j));
    if (tail) {
      Vec last = load_n(b + j, tail);
      if (p.scale) last = last * load_n(p.scale + j, tail);
      if (j + kLanes <= p.width)
        store(out + j, last);
      else
        store_n(out + j, last, tail);
      j += kLanes;
    }
    for (; j < p.width; j += kLanes) store(out + j, Vec{});
  }
}

// Squares of kLanes columns, each contiguous in b, by as many steps.
void pack_columns(const Panel& p, float* out) {
  for (int j = 0; j < p.width; j += kLanes) {
    const int cols = p.cols - j < kLanes ? p.cols - j : kLanes;
    for (int64_t k = 0; k < p.depth; k += kLanes) {
      const float* b = p.b + j * p.b_col + k;
      const int steps = p.depth - k < kLanes ? static_cast<int>(p.depth - k) : kLanes;
      Vec v[kLanes];
      if (cols == kLanes && steps == kLanes) {
        FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) v[i] = load(b + i * p.b_col);
      } else {
        FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) v[i] =
            i < cols ? load_n(b + i * p.b_col, steps) : Vec{};
      }
      transpose(v);
      FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) if (i < steps) store(out + (k + i) * p.width + j, v[i]);
    }
  }
}

void pack(const Panel& p, float* out) {
  if (p.b_col == 1)
    pack_rows(p, out);
  else
    pack_columns(p, out);
}

void interleave_channels(const Interleave& p) {
  for (int64_t i = 0; i < p.count; i += kLanes) {
    Vec v[kLanes];
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) {
      v[j] = j < p.channels ? load(p.x + j * p.x_row + i) : Vec{};
      if (p.bias && j < p.channels) v[j] = v[j] + broadcast(p.bias[j]);
      if (p.relu) v[j] = relu(v[j]);
    }
    transpose(v);
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) if (i + j < p.count) {
      const int64_t at = (i + j) * p.y_step;
      if (p.mask) v[j] = load_n(p.mask + at, p.channels) <= Vec{} ? Vec{} : v[j];
      store_n(p.y + at, v[j], p.channels);
    }
  }
}

// kRows rows of w at a time, so that y is read and written once for as many.
template <int kRows>
void add_rows(const VectorsTimes& p, int64_t k) {
  const float* w = p.w + k * p.w_row;
  Vec v[kRows];
  FASTCNN_UNROLL for (int i = 0; i < kRows; ++i) v[i] = broadcast(p.v[k + i]);
  const auto step = [&](int64_t j, auto read, auto write) FASTCNN_INLINED {
    Vec sum = k ? read(p.y + j) : Vec{};
    FASTCNN_UNROLL for (int i = 0; i < kRows; ++i) sum = fma(v[i], read(w + i * p.w_row + j), sum);
    write(p.y + j, sum);
  };
  int64_t j = 0;
  for (; j + kLanes <= p.outputs; j += kLanes) step(j, load, store);
  if (const int tail = (int)(p.outputs - j))
    step(
        j, [tail](const float* x) FASTCNN_INLINED { return load_n(x, tail); },
        [tail](float* x, Vec sum) FASTCNN_INLINED { store_n(x, sum, tail); });
}

// Few outputs stay in registers, as kWays sums that no multiply-add waits for.
template <int NV>
void add_narrow_rows(const VectorsTimes& p) {
  constexpr int kWays = NV <= 2 ? 4 : 2;
  const int tail = (int)p.outputs - (NV - 1) * kLanes;
  Vec acc[kWays][NV];
  FASTCNN_UNROLL for (int i = 0; i < kWays; ++i) {
    FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = Vec{};
  }
  const auto add = [&](Vec(&sum)[NV], int64_t k) FASTCNN_INLINED {
    const float* w = p.w + k * p.w_row;
    const Vec v = broadcast(p.v[k]);
    FASTCNN_UNROLL for (int j = 0; j < NV - 1; ++j) sum[j] = fma(v, load(w + j * kLanes), sum[j]);
    sum[NV - 1] = fma(v, load_n(w + (NV - 1) * kLanes, tail), sum[NV - 1]);
  };
  int64_t k = 0;
  for (; k + kWays <= p.depth; k += kWays) {
    FASTCNN_UNROLL for (int i = 0; i < kWays; ++i) add(acc[i], k + i);
  }
  for (; k < p.depth; ++k) add(acc[0], k);
  FASTCNN_UNROLL for (int j = 0; j < NV; ++j) {
    FASTCNN_UNROLL for (int i = 1; i < kWays; ++i) acc[0][j] = acc[0][j] + acc[i][j];
    if (j < NV - 1)
      store(p.y + j * kLanes, acc[0][j]);
    else
      store_n(p.y + j * kLanes, acc[0][j], tail);
  }
}

// Dot products of NV vectors with MR rows of w.
template <int NV, int MR>
void dots(const VectorsTimes& p, int64_t first, int64_t j) {
  Vec acc[NV][MR];
  FASTCNN_UNROLL for (int i = 0; i < NV; ++i) {
    FASTCNN_UNROLL for (int r = 0; r < MR; ++r) acc[i][r] = Vec{};
  }
  const float *const v = p.v + first * p.v_row, *const w = p.w + j * p.w_row;
  const auto step = [&](int64_t k, auto read) FASTCNN_INLINED {
    Vec vv[NV];
    FASTCNN_UNROLL for (int i = 0; i < NV; ++i) vv[i] = read(v + i * p.v_row + k);
    FASTCNN_UNROLL for (int r = 0; r < MR; ++r) {
      const Vec wv = read(w + r * p.w_row + k);
      FASTCNN_UNROLL for (int i = 0; i < NV; ++i) acc[i][r] = fma(vv[i], wv, acc[i][r]);
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= p.depth; k += kLanes) step(k, load);
  if (const int tail = (int)(p.depth - k))
    step(k, [tail](const float* x) FASTCNN_INLINED { return load_n(x, tail); });
  FASTCNN_UNROLL for (int i = 0; i < NV; ++i) {
    FASTCNN_UNROLL for (int r = 0; r < MR; ++r) p.y[(first + i) * p.y_row + j + r] = lane_sum(acc[i][r]);
  }
}

template <int MR>
void dots_of_rows(const VectorsTimes& p, int64_t j) {
  int64_t i = 0;
  for (; i + 3 <= p.vectors; i += 3) dots<3, MR>(p, i, j);
  if (p.vectors - i == 2) dots<2, MR>(p, i, j);
  if (p.vectors - i == 1) dots<1, MR>(p, i, j);
}

void vectors_times(const VectorsTimes& p) {
  int64_t i = 0;
  if (p.dots) {
    for (; p.vectors == 1 && i + 8 <= p.outputs; i += 8) dots<1, 8>(p, 0, i);
    for (; i + 4 <= p.outputs; i += 4) dots_of_rows<4>(p, i);
    for (; i < p.outputs; ++i) dots_of_rows<1>(p, i);
    return;
  }
  if (p.outputs <= kLanes) return add_narrow_rows<1>(p);
  if (p.outputs <= 2 * kLanes) return add_narrow_rows<2>(p);
  if (p.outputs <= 4 * kLanes) return p.outputs <= 3 * kLanes ? add_narrow_rows<3>(p) : add_narrow_rows<4>(p);
  for (; i + 8 <= p.depth; i += 8) add_rows<8>(p, i);
  for (; i < p.depth; ++i) add_rows<1>(p, i);
}

void sum_parts(const float* x, int64_t parts, int64_t stride, int64_t count, float* y) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Vec sum = load(x + i);
    for (int64_t p = 1; p < parts; ++p) sum = sum + load(x + p * stride + i);
    store(y + i, sum);
  }
  for (; i < count; ++i) {
    float sum = x[i];
    for (int64_t p = 1; p < parts; ++p) sum += x[p * stride + i];
    y[i] = sum;
  }
}

int64_t multiply_add(int64_t turns) {
  constexpr int kChains = kRegisters == 32 ? 24 : 12;
  Vec acc[kChains], factor = broadcast(0.999f), term = broadcast(0.001f);
  FASTCNN_UNROLL for (int i = 0; i < kChains; ++i) acc[i] = broadcast(0.1f * i);
  for (int64_t t = 0; t < turns; ++t) {
    FASTCNN_UNROLL for (int i = 0; i < kChains; ++i) acc[i] = fma(acc[i], factor, term);
#if defined(__x86_64__) && !defined(FASTCNN_EMULATED)
    FASTCNN_UNROLL for (int i = 0; i < kChains; ++i) asm volatile("" : "+x"(acc[i]));
#endif
  }
  return turns * kChains * kLanes * 2;
}

}  // namespace

extern const TileKernels tile_kernels;
const TileKernels tile_kernels = {kLanes,
                                  kRegisters == 32 && kLanes == 4 ? 4 : 2,
                                  {0, most_rows(1), most_rows(2), most_rows(3), most_rows(4)},
                                  strip,
                                  pack,
                                  interleave_channels,
                                  vectors_times,
                                  sum_parts,
                                  multiply_add};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
