// SPDX-License-Identifier: Apache-2.0
// Gradients of a convolution whose output goes into a max pooling: only one pixel of a window has a gradient,
// so that a sum over all pixels is one over windows, each at the place of its maximum. Sums of vectors along
// (s, c) of a row of taps, which lie side by side in [H,W,C]. Called by cpu/conv2d_pooled.cpp.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// A gradient that is not zero, and where the vectors begin that it is multiplied with.
struct PooledEntry {
  float g;
  int32_t at;
};

// `count` entries from `begin` on are summed at y + at.
struct PooledRun {
  int32_t begin, count, at;
};

// What `list` makes of some gradients that lie side by side, those of samples or of channels:
//
//   entries[i][lane] = {dy[i step + lane], first[i] + lane apart + place / width down + place % width right}
//
// with place = index[i step + lane] below 64, for i < rows; lanes from `count` on get a gradient of 0. Adds
// the sum over i of dy to sums[lane].
struct PooledList {
  const float* dy;
  const uint8_t* index;
  const int32_t* first;
  PooledEntry* entries;
  float* sums;  // or null
  int64_t step, rows;
  int32_t width, down, right, apart, count;
};

// Entries from + i row + j, i < rows and j < count, of which those are packed, in this order, whose gradient
// is not zero.
struct PooledPack {
  const PooledEntry* from;
  int64_t rows, row, count;
};
constexpr int kWrittenBeyond = 4;  // entries after the last one

// Gradients of a window by their place, those that are not zero: of channel k < channels
//
//   {dy[k step], k apart} becomes the next of entries + index[k step] room.
//
// end[place] is where it ends for place < places. Of room 16 more than channels are needed.
struct PooledBins {
  const float* dy;
  const uint8_t* index;
  PooledEntry* entries;
  PooledEntry** end;
  int64_t step, room, channels;
  int32_t places, apart;
};

// y[run.at + r y_row + i] += sum over the entries e of each run of e.g a[e.at + r a_row + i], for r < rows
// and i < vectors lanes; of the last vector of a row `tail` lanes are written. The entries of a run are
// `step` apart.
struct PooledSum {
  const PooledEntry* entries;
  int64_t step;
  const PooledRun* runs;
  int64_t run_count;
  const float* a;
  float* y;
  int64_t a_row, y_row;
  int32_t rows, vectors, tail;
};

// A vector of samples of a block in lanes, [channels][height][width][16], and each of them as [height][width,
// channels], rows `row` and images `image` floats apart.
struct PooledImages {
  float *lanes, *images;
  int64_t image, row, height, width, channels;
  const float* mask;  // as lanes: 0 is written there where mask <= 0; or null
};

// quads[i] = {x[i + at[0]], ..., x[i + at[3]]}, i < floats, which is a multiple of 16.
struct PooledQuads {
  const float* x;
  float* quads;
  int64_t floats;
  int32_t at[4];
};

// For a vector of output channels and some rows of windows of an image, rows i < rows and floats j < taps of
// a row:
//
//   sums[i sums_row + j sums_tap + lane] += sum over windows (p,q) of
//       dy[(p windows_w + q) channels + lane] quads[place / 4][p x_h + q x_w + i x_row + j][place % 4]
//
// with place = index[...] as dy; total[lane] += the sum of dy, unless it is null.
struct PooledNarrow {
  const float *quads, *dy;
  const uint8_t* index;
  float *sums, *total;
  int64_t windows_h, windows_w, channels;
  int64_t x_h, x_w, x_row;
  int64_t sums_row, sums_tap;
  int64_t quarters;    // floats from the quads of four places to those of the next four
  int32_t fours;       // of them
  int32_t rows, taps;  // of the tile
};

constexpr int kNarrowTaps = 5;
// Most rows of a tile of so many taps.
constexpr int narrow_rows(int64_t taps) { return taps <= 3 ? 3 : 2; }

constexpr int kPooledRows = 5, kPooledSums = 12;  // of a tile: most rows, most rows times vectors

struct PooledKernels {
  int lanes;
  int most_vectors;  // of a row of a tile, which may have three of six whatever kPooledSums says
  void (*list)(const PooledList&);
  PooledEntry* (*pack)(const PooledPack&, PooledEntry* to);  // the end of what is packed
  void (*bins)(const PooledBins&);
  void (*sum)(const PooledSum&);
  void (*quads)(const PooledQuads&);
  void (*narrow)(const PooledNarrow&);
  void (*take)(const PooledImages&);  // images from lanes
  void (*put)(const PooledImages&);   // lanes from images
};

}  // namespace cpu
}  // namespace fastcnn
