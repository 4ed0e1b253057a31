// SPDX-License-Identifier: Apache-2.0
// The register tile of pairs of bfloat16 where the processor multiplies matrices (AMX): 16 rows by 16 columns
// of sums in each of four of its eight tiles, two of rows by two of columns, and 16 steps of pairs at once.
// Rows of a and steps of b are loaded from where they lie: pairs of b, [steps][columns], are what it reads.
//
//   Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter "Intel AMX".
//
// A product takes 16 clocks and a load 8. Loads right after the last product that reads their tile: loads of
// a whole step before its products took 1.3 to 3 times as long.
#pragma once
#include "strip.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kTileRows = 16, kTileWords = 16;

// The compiler does not know what these instructions read and write.
FASTCNN_INLINE void in_memory(const void* p) { __asm__ volatile("" : : "r"(p) : "memory"); }

// Shapes of the tiles: sums 0 to 3, a 4 and 5, b 6 and 7. To set them takes 115 ns, to look whether they are
// set 12, and whoever else uses them in this thread sets them as well.
struct alignas(64) Config {
  uint8_t palette, start, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

void configure(int first_rows, int second_rows, int words) {
  Config wanted = {}, now;
  wanted.palette = 1;
  const auto set = [&](int i, int rows, int floats) {
    wanted.rows[i] = (uint8_t)rows, wanted.row_bytes[i] = (uint16_t)(rows ? floats * sizeof(float) : 0);
  };
  for (int i = 0; i < 2; ++i)
    set(i, first_rows, kLanes), set(2 + i, second_rows, kLanes), set(6 + i, words, kLanes);
  set(4, first_rows, words), set(5, second_rows, words);
  _tile_storeconfig(&now);
  in_memory(&now);
  if (!memcmp(&wanted, &now, sizeof now)) return;
  in_memory(&wanted);
  _tile_loadconfig(&wanted);
}

// Steps of the sums of some rows, `words` of them at a time: where they lie, or else as a copy.
struct Steps {
  const Tile& t;
  const float* first;  // row of a
  int64_t rows, words;
  int vectors;
  int64_t h = 0, w = 0, k = 0;
  const float *a = nullptr, *b = nullptr;
  int64_t a_row = 0, b_row = 0;  // bytes
  alignas(64) float a_copy[2 * kTileRows * kTileWords];
  alignas(64) float b_copy[kTileWords * 2 * kLanes];

  Steps(const Tile& tile, const float* row, int64_t row_count, int64_t word_count, int vector_count)
      : t(tile), first(row), rows(row_count), words(word_count), vectors(vector_count) {}

  bool in_place() const { return t.a_step == 1 && t.a_group == 3 * t.a_row; }

  // The next ones.
  void find() {
    const int64_t count = t.depth - k < words ? t.depth - k : words;
    a = first + h * t.a_h + w * t.a_w + k * t.a_step, b = t.b + h * t.b_h + w * t.b_w + k * t.b_step;
    a_row = t.a_row * 4, b_row = t.b_step * 4;
    if (count < words || !in_place()) copy_a(count);
    if (count < words) copy_b(count);
    k += count;
    if (k < t.depth) return;
    k = 0;
    if (++w < t.taps_w) return;
    w = 0, ++h;
  }

  void copy_a(int64_t count) {
    const float* const from = a;
    a = a_copy, a_row = kTileWords * 4;
    if (t.a_step == 1) {
      for (int64_t i = 0; i < rows; ++i)
        store(a_copy + i * kTileWords, load_n(from + i / 3 * t.a_group + i % 3 * t.a_row, (int)count));
    } else if (t.a_row == 1 && t.a_group == 3) {
      for (int64_t i = 0; i < rows; i += kTileRows) {
        const int n = (int)(rows - i < kTileRows ? rows - i : kTileRows);
        Vec v[kTileWords];
        FASTCNN_UNROLL for (int j = 0; j < kTileWords; ++j) v[j] =
            j < count ? load_n(from + i + j * t.a_step, n) : Vec{};
        transpose(v);
        FASTCNN_UNROLL for (int j = 0; j < kTileRows; ++j) store(a_copy + (i + j) * kTileWords, v[j]);
      }
    } else {
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < kTileWords; ++j)
          a_copy[i * kTileWords + j] =
              j < count ? from[i / 3 * t.a_group + i % 3 * t.a_row + j * t.a_step] : 0.0f;
    }
    in_memory(a_copy);
  }

  void copy_b(int64_t count) {
    for (int64_t i = 0; i < words; ++i)
      for (int j = 0; j < vectors; ++j)
        store(b_copy + (i * 2 + j) * kLanes, i < count ? load(b + i * t.b_step + j * kLanes) : Vec{});
    b = b_copy, b_row = 2 * kLanes * 4;
    in_memory(b_copy);
  }
};

// M tiles of rows, N of columns: sums[rows][2 kLanes].
template <int M, int N>
void products(Steps* next, int64_t count, float* sums) {
  const auto load_a = [&](int i) FASTCNN_INLINED {
    const float* const p = next->a + i * kTileRows * (next->a_row / 4);
    if (i == 0)
      _tile_loadd(4, p, next->a_row);
    else
      _tile_loadd(5, p, next->a_row);
  };
  const auto load_b = [&](int j) FASTCNN_INLINED {
    if (j == 0)
      _tile_loadd(6, next->b, next->b_row);
    else
      _tile_loadd(7, next->b + kLanes, next->b_row);
  };
  _tile_zero(0);
  if (N > 1) _tile_zero(1);
  if (M > 1) _tile_zero(2);
  if (M > 1 && N > 1) _tile_zero(3);
  for (int64_t n = 0; n <= count; ++n) {
    if (n < count) next->find();
    const bool multiplies = n > 0, loads = n < count;
    if (multiplies) {
      _tile_dpbf16ps(0, 4, 6);
      if (N > 1) _tile_dpbf16ps(1, 4, 7);
    }
    if (loads) load_a(0);
    if (M > 1 && multiplies) _tile_dpbf16ps(2, 5, 6);
    if (loads) load_b(0);
    if (M > 1 && N > 1 && multiplies) _tile_dpbf16ps(3, 5, 7);
    if (M > 1 && loads) load_a(1);
    if (N > 1 && loads) load_b(1);
  }
  constexpr int kRow = 2 * kLanes;
  _tile_stored(0, sums, kRow * 4);
  if (N > 1) _tile_stored(1, sums + kLanes, kRow * 4);
  if (M > 1) _tile_stored(2, sums + kTileRows * kRow, kRow * 4);
  if (M > 1 && N > 1) _tile_stored(3, sums + kTileRows * kRow + kLanes, kRow * 4);
}

// Some rows of one or two vectors of columns.
template <int N>
void block(const Tile& t, int64_t row, int rows, int tail) {
  // One time more where that leaves no rest, which would be copied: 27 words are 9, 9 and 9.
  int64_t times = (t.depth + kTileWords - 1) / kTileWords;
  if (times > 1 && t.depth % times && t.depth % (times + 1) == 0) ++times;
  const int words = times ? (int)((t.depth + times - 1) / times) : 1;
  Steps steps(t, t.a + row * t.a_row, rows, words, N);
  const int second = rows > kTileRows ? rows - kTileRows : 0;
  alignas(64) float sums[2 * kTileRows * 2 * kLanes];
  configure(rows - second, second, words);
  if (second)
    products<2, N>(&steps, t.taps_h * t.taps_w * times, sums);
  else
    products<1, N>(&steps, t.taps_h * t.taps_w * times, sums);
  finish_rows<N, 2>(sums, rows, t, row * t.y_row, tail);
}

// As strip() of strip.h; blocks of nearly as many rows each, whatever `most` says of other tiles.
void strip_of_matrices(const Tile& t, int64_t rows, int cols, int) {
  const int64_t most = 2 * kTileRows, blocks = (rows + most - 1) / most;
  const int64_t lines = t.ahead ? lines_each(t.ahead_floats, blocks) : 0;
  const int64_t lines_y = t.next_y ? lines_each(t.next_y_floats, blocks) : 0;
  const float *far = t.ahead, *far_y = t.next_y;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t row = rows * i / blocks, end = rows * (i + 1) / blocks;
    far = fetch(far, lines), far_y = fetch(far_y, lines_y);
    if (t.fetch_y)
      for (int64_t n = row; n < end; ++n)
        for (int j = 0; j < cols; j += kLineFloats) __builtin_prefetch(t.y + n * t.y_row + j, 0, 3);
    by_two_vectors(t, cols, [&](const Tile& part, int width) {
      if (width > kLanes)
        block<2>(part, row, (int)(end - row), width - kLanes);
      else
        block<1>(part, row, (int)(end - row), width);
    });
  }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
