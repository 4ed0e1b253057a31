// SPDX-License-Identifier: Apache-2.0
// Register tiles of floats (strip.h), the copies that they read, and products with few vectors; tile.h says
// what each computes.
#include "tile.h"

#include "blocks.h"
#include "strip.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Columns of a from left to right. Those that only some taps meet, at a border, and what is left of whole
// turns of the vectors of b read these for each tap.
template <int MR>
void taps_of(const Taps& p) {
  constexpr int S = Taps::kTaps;
  const Tile& t = p.tile;
  Vec sum[S][MR];
  FASTCNN_UNROLL for (int s = 0; s < S; ++s) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) sum[s][i] = Vec{};
  }
  const int64_t a_step = opaque(t.a_step), b_step = opaque(t.b_step), depth = t.depth;
  const auto least = [](int64_t a, int64_t b) { return a < b ? a : b; };
  const int64_t end = least(p.columns, depth + S - 1 - p.left);
  const int64_t first = least(end, p.left < S - 1 ? S - 1 - p.left : 0);
  const int64_t all = least(p.columns, depth - p.left) - first, turns = all > 0 ? all / S : 0;
  const int64_t steps = t.taps_h * t.taps_w * turns * S;
  const float* line = t.ahead ? t.ahead : t.b;
  const int64_t line_step = t.ahead && steps ? (t.ahead_floats + steps - 1) / steps : 0;
  for (int64_t h = 0; h < t.taps_h; ++h)
    for (int64_t w = 0; w < t.taps_w; ++w) {
      const float* a = t.a + h * t.a_h + w * t.a_w;
      const float* const row = t.b + h * t.b_h + w * t.b_w;
      const auto one_by_one = [&](int64_t column, int64_t last) FASTCNN_INLINED {
        for (; column < last; ++column, a += a_step) {
          FASTCNN_UNROLL for (int s = 0; s < S; ++s) {
            const int64_t k = column + p.left - s;
            if ((uint64_t)k >= (uint64_t)depth) continue;
            const Vec bv = load(row + k * b_step);
            FASTCNN_UNROLL for (int i = 0; i < MR; ++i) sum[s][i] = fma(broadcast(a[i]), bv, sum[s][i]);
          }
        }
      };
      one_by_one(0, first);
      if (turns) {
        const float* b = row + (first + p.left) * b_step;
        Vec b0, b1 = load(b - b_step), b2 = load(b - 2 * b_step);
        const auto step = [&](Vec& now, const Vec& before, const Vec& last) FASTCNN_INLINED {
          now = load(b);
          FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
            const Vec av = broadcast(a[i]);
            sum[2][i] = fma(av, last, sum[2][i]);
            sum[1][i] = fma(av, before, sum[1][i]);
            sum[0][i] = fma(av, now, sum[0][i]);
          }
          a += a_step, b += b_step;
          __builtin_prefetch(line, 0, 2);
          line += line_step;
        };
        for (int64_t n = turns; n > 0; --n) {
          step(b0, b1, b2);
          step(b2, b0, b1);
          step(b1, b2, b0);
        }
      }
      one_by_one(first + turns * S, end);
    }
  FASTCNN_UNROLL for (int s = 0; s < S; ++s) {
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      if (i < p.first_row) continue;
      float* const y = t.y + s * p.y_tap + i * t.y_row;
      store_n(y, t.accumulate ? load_n(y, p.cols) + sum[s][i] : sum[s][i], p.cols);
    }
  }
}

void taps(const Taps& p) { p.rows == Taps::kRows ? taps_of<Taps::kRows>(p) : taps_of<Taps::kFewRows>(p); }

// Rows some pages apart are not foreseen by the processor, which is asked for the next: the copy of a
// transposed a of 512^3 and 512x512x1024 took 0.7 and 0.5 times as long.
void pack_rows(const Panel& p, float* out) {
  constexpr int64_t kRowsAhead = 12;
  const int whole = p.cols / kLanes * kLanes, tail = p.cols - whole;
  for (int64_t k = 0; k < p.depth; ++k, out += p.width) {
    const float* b = p.b + k * p.b_step;
    for (int i = 0; i < p.cols; i += kLineFloats) __builtin_prefetch(b + kRowsAhead * p.b_step + i);
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

// kRows rows of w at a time, so that y is read and written once for as many. Some vectors of y side by side:
// the sum of one is a chain of kRows multiply-adds (one after the other 256x784x3 took 1.2 times as long with
// AVX-512 and 1.3 times with AVX2).
template <int kRows>
void add_rows(const VectorsTimes& p, const float* vector, float* y, int64_t k) {
  constexpr int kWide = 4;
  const float* w = p.w + k * p.w_row;
  Vec v[kRows];
  FASTCNN_UNROLL for (int i = 0; i < kRows; ++i) v[i] = broadcast(vector[(k + i) * p.v_step]);
  int64_t j = 0;
  for (; j + kWide * kLanes <= p.outputs; j += kWide * kLanes) {
    Vec sum[kWide];
    FASTCNN_UNROLL for (int n = 0; n < kWide; ++n) sum[n] = k ? load(y + j + n * kLanes) : Vec{};
    FASTCNN_UNROLL for (int i = 0; i < kRows; ++i) {
      FASTCNN_UNROLL for (int n = 0; n < kWide; ++n) sum[n] =
          fma(v[i], load(w + i * p.w_row + j + n * kLanes), sum[n]);
    }
    FASTCNN_UNROLL for (int n = 0; n < kWide; ++n) store(y + j + n * kLanes, sum[n]);
  }
  const auto step = [&](auto read, auto write) FASTCNN_INLINED {
    Vec sum = k ? read(y + j) : Vec{};
    FASTCNN_UNROLL for (int i = 0; i < kRows; ++i) sum = fma(v[i], read(w + i * p.w_row + j), sum);
    write(y + j, sum);
  };
  for (; j + kLanes <= p.outputs; j += kLanes) step(load, store);
  if (const int tail = (int)(p.outputs - j))
    step([tail](const float* x) FASTCNN_INLINED { return load_n(x, tail); },
         [tail](float* x, Vec sum) FASTCNN_INLINED { store_n(x, sum, tail); });
}

// All vectors meet some rows of w before the next.
void add_all_rows(const VectorsTimes& p) {
  static constexpr decltype(&add_rows<1>) kRows[] = {nullptr,     add_rows<1>, add_rows<2>,
                                                     add_rows<3>, add_rows<4>, add_rows<5>,
                                                     add_rows<6>, add_rows<7>, add_rows<8>};
  for (int64_t k = 0; k < p.depth; k += 8) {
    const auto add = kRows[p.depth - k < 8 ? p.depth - k : 8];
    for (int64_t i = 0; i < p.vectors; ++i) add(p, p.v + i * p.v_row, p.y + i * p.y_row, k);
  }
}

// Few outputs stay in registers, as kWays sums that no multiply-add waits for.
template <int NV>
void add_narrow_rows(const VectorsTimes& p, const float* vector, float* y) {
  constexpr int kWays = NV <= 2 ? 4 : 2;
  const int tail = (int)p.outputs - (NV - 1) * kLanes;
  Vec acc[kWays][NV];
  FASTCNN_UNROLL for (int i = 0; i < kWays; ++i) {
    FASTCNN_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = Vec{};
  }
  const auto add = [&](Vec(&sum)[NV], int64_t k) FASTCNN_INLINED {
    const float* w = p.w + k * p.w_row;
    const Vec v = broadcast(vector[k * p.v_step]);
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
      store(y + j * kLanes, acc[0][j]);
    else
      store_n(y + j * kLanes, acc[0][j], tail);
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
    float* const y = p.y + (first + i) * p.y_row + j * p.y_col;
    if constexpr (MR % 4 == 0) {
      FASTCNN_UNROLL for (int r = 0; r < MR; r += 4) {
        Vec four[] = {acc[i][r], acc[i][r + 1], acc[i][r + 2], acc[i][r + 3]};
        const Vec sums = lane_sums(four);
        if (p.y_col == 1) {
          store_n(y + r, sums, 4);
        } else {
          FASTCNN_UNROLL for (int n = 0; n < 4; ++n) y[(r + n) * p.y_col] = sums[n];
        }
      }
    } else {
      FASTCNN_UNROLL for (int r = 0; r < MR; ++r) y[r * p.y_col] = lane_sum(acc[i][r]);
    }
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
  if (p.outputs > 4 * kLanes) return add_all_rows(p);
  const auto add = p.outputs <= kLanes       ? add_narrow_rows<1>
                   : p.outputs <= 2 * kLanes ? add_narrow_rows<2>
                   : p.outputs <= 3 * kLanes ? add_narrow_rows<3>
                                             : add_narrow_rows<4>;
  for (; i < p.vectors; ++i) add(p, p.v + i * p.v_row, p.y + i * p.y_row);
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
                                  {0, tile_rows<Floats>(1), most_rows(2), most_rows(3), most_rows(4)},
                                  {kSlidingRows, kSliding ? kMostSliding : 0},
                                  {kClosedRows, kSliding ? kMostSliding : 0},
                                  may_copy<Floats>(kMaxVectors),
                                  strip<Floats>,
                                  kRegisters == 32 ? taps : nullptr,
                                  pack,
                                  interleave_channels,
                                  vectors_times,
                                  sum_parts,
                                  multiply_add};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
