// SPDX-License-Identifier: Apache-2.0
// Gradients of a convolution y whose output goes into a max pooling alone, from that of the pooled values and
// the places of the maxima:
//
//   dw[r,s,c,k] = sum over n and windows of dy[n,window,k] x[n, place + (r,s), c]
//   dx[n, place + (r,s), c] = sum over windows and k of dy[n,window,k] w[r,s,c,k]
//
// A pooling of 2x2 leaves a quarter of the products that the gradient of y itself would take, and that
// gradient is never written. A task takes one image, or a few, after the other: gradients are listed with
// what they meet, most lists without those that are zero, and summed with vectors along (s, c)
// (kernels/pooled.h).
#pragma once
#include <cstring>

#include "kernels/pooled.h"
#include "lanes.h"

namespace fastcnn {
namespace cpu {

// What a gradient of a window reaches wherever in it the maximum lies: pixels of dx, and the filter among
// zeros, above it and one copy for each column of the window beside it.
struct Footprint {
  int64_t rows, vectors, width;    // of dx; a row's in vectors and in floats
  int64_t above, filter, variant;  // rows of zeros; floats of an output channel, of a copy of the filters
};

struct Pooled {
  int64_t row, image;                   // floats of a row of a padded image, and of all of it
  int64_t vectors, filter_row, filter;  // of the taps (s, c) of a row; floats of these, of all of an output
  int64_t windows, places;              // of an image; pixels of a window
  int64_t together;                     // windows whose gradients are listed by place
  int64_t samples, units, chunks;       // of a unit; of the batch; tasks of the weight gradient
  int64_t dy_window, dy_channel;        // steps of dy and index
  int64_t group;                        // output channels that are listed together for the weight gradient
  int64_t near;                         // samples of a unit whose images it takes together where it packs
  int64_t listed, packed, runs;         // entries and runs that a task keeps
  bool packs;                           // leaves zeros out of the weight gradient's sums
  bool by_window;                       // sums of a window in one for dx, not of each place
  Footprint print;
};

constexpr int64_t kMostImage = 256 << 10, kMostFilter = 128 << 10, kMostEntries = 128 << 10;  // L2
constexpr int64_t kListEntries = 4 << 10, kNearImages = 6 << 10;                              // L1
// Floats that a tile reads of all filters, about what L1 holds: for the data gradient of 32 to 64 channels
// one row of taps at a time took 0.95 of the time of two, and three 1.1.
constexpr int64_t kNearFilters = 10 << 10;
constexpr int64_t kMostPlaces = 64, kSlack = 16, kTurned = 32;
// Of a place, with those that are written beyond the last one.
inline int64_t bin_entries(int64_t channels) { return channels + kBatchLanes; }
// Their partial sums wander between the cores.
constexpr int64_t kPooledTasks = std::min<int64_t>(kTasks, 8);
// Vectors of an entry from which on leaving out a zero gains more than it takes to find it.
constexpr int64_t kPackedVectors = 8;

Pooled plan_pooled(const PooledConv2dShape& shape, Layout layout);
bool supports_pooled(const PooledConv2dShape& shape, Layout layout);
void set_pooled_costs(Prepared* p, const PooledConv2dShape& s);

// How far apart the places of a window lie, as kernels().pooled->list takes them, and in a table.
struct Places {
  int32_t width, down, right;
  int32_t at[kMostPlaces];

  Places(int64_t columns, int64_t a_row, int64_t a_column)
      : width(static_cast<int32_t>(columns)),
        down(static_cast<int32_t>(a_row)),
        right(static_cast<int32_t>(a_column)) {
    for (int32_t i = 0; i < kMostPlaces; ++i) at[i] = i / width * down + i % width * right;
  }
};
Places places_in_image(const PooledConv2dShape& shape, const Pooled& d);

// What a task keeps for one image after the other.
struct Scratch {
  float* images;
  PooledEntry* entries;  // as they are listed
  PooledEntry* packed;   // those that are not zero, and room for what is written beyond them
  PooledRun* runs;
  int32_t* first;    // [windows]: where each begins in a padded image
  int32_t* filters;  // [K]: where each begins

  static size_t bytes(const Pooled& d, int64_t k) {
    return sizeof(float) * d.samples * d.image + sizeof(PooledEntry) * (d.listed + d.packed) +
           sizeof(PooledRun) * d.runs + sizeof(int32_t) * (d.windows + k);
  }
  Scratch(const PooledConv2dShape& shape, const Pooled& d, void* memory) {
    const Pool2dShape& s = shape.pool;
    images = static_cast<float*>(memory);
    entries = reinterpret_cast<PooledEntry*>(images + d.samples * d.image);
    packed = entries + d.listed;
    runs = reinterpret_cast<PooledRun*>(packed + d.packed);
    first = reinterpret_cast<int32_t*>(runs + d.runs);
    filters = first + d.windows;
    const int64_t down = shape.conv.stride_h * d.row, right = shape.conv.stride_w * shape.conv.c;
    for (int64_t p = 0; p < s.p; ++p)
      for (int64_t q = 0; q < s.q; ++q)
        first[p * s.q + q] =
            static_cast<int32_t>((p * s.stride_h - s.pad_top) * down + (q * s.stride_w - s.pad_left) * right);
  }
};

struct Gradient {
  const float* dy;
  const uint8_t* index;  // as dy
};

// Of the unit's samples.
Gradient gradient_of(const Pooled& d, int64_t k, const Operands& operands, int at, int64_t unit);

// Copies entries that are `step` apart and whose gradient is not zero; returns the end of the copies. Its
// bits are compared: a comparison of floats, which may be NaN, takes twice the instructions.
inline PooledEntry* pack(const PooledEntry* from, int64_t step, int64_t count, PooledEntry* to) {
  for (int64_t i = 0; i < count; ++i) {
    const PooledEntry each = from[i * step];
    uint32_t bits;
    std::memcpy(&bits, &each.g, sizeof bits);
    *to = each;
    to += bits << 1 != 0;
  }
  return to;
}

// What is summed for an entry: rows of `width` floats.
struct Extent {
  int64_t rows, vectors, width, a_row, y_row;
  int64_t filters;  // among which the entries choose
};

// All sums of the lists in tiles; `a` and `y` as PooledSum has them, for the first row.
void sum_up(const Extent& all, PooledSum sum);

// A unit of x or dx in lanes, and its images.
PooledImages images_of(const Conv2dShape& v, const Pooled& d, const float* lanes, float* images,
                       int64_t unit);
void take_images(const Conv2dShape& v, const Pooled& d, const float* x, float* images, int64_t unit);

}  // namespace cpu
}  // namespace fastcnn
