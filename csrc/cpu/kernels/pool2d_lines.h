// SPDX-License-Identifier: Apache-2.0
// Gradients of pools on lines: a float for each channel of each pixel of a row with what windows reach over,
// at the pixel where a window begins what it has for that row, and what stands between them does not count.
// Included by pool2d_bwd.cpp.
#pragma once
#include "pool2d_bwd.h"
#include "windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE void set_zero(float* p, int64_t count) {
  if (count > 0) memset(p, 0, (size_t)count * sizeof *p);
}

// The latest of the lines that are numbered on and on. Without a division, which takes as long as ten
// vectors.
struct Ring {
  float* first;
  int64_t line, count, base;
  FASTCNN_INLINED float* operator[](int64_t i) {
    while (i - base >= count) base += count;
    return first + (i < base ? i - base + count : i - base) * line;
  }
};

// enter(p) for each row of windows before put(h, ps) for the rows of pixels that it reaches; ps are the rows
// of windows that reach h. Stops where enter() is false, and is it then.
template <class Enter, class Put>
FASTCNN_INLINE bool walk_rows(const Geometry& g, const Pool2dBand& band, Enter enter, Put put) {
  const Span over = g.rows.over(band.h_begin, band.h_end);
  Span ps = {over.begin, over.begin};
  for (int64_t h = band.h_begin; h < band.h_end; ++h) {
    while (ps.begin < ps.end && g.rows.reach(ps.begin).end <= h) ++ps.begin;
    for (; ps.end < over.end && g.rows.reach(ps.end).begin <= h; ++ps.end)
      if (!enter(ps.end)) return false;
    put(h, ps);
  }
  return true;
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
