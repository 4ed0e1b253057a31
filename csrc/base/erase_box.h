// SPDX-License-Identifier: Apache-2.0
// The rectangle of each image that is painted over.
#pragma once
#include <cmath>

#include "draw.h"

namespace fastcnn {

struct EraseBox {
  int64_t top, bottom, left, right;
};

// The pixels in [start, start + length) of a side.
FASTCNN_BOTH void side(double share, double place, int64_t size, int64_t* first, int64_t* end) {
  const double length = std::sqrt(share) * double(size), start = place * (double(size) - length);
  *first = int64_t(std::ceil(start));
  *end = int64_t(std::ceil(start + length));
  if (*end > size) *end = size;
}

FASTCNN_BOTH EraseBox box_of(const EraseShape& s, const RunScalars& scalars, int64_t image) {
  const Words a = draw_words(s.draw, scalars, 2 * image), b = draw_words(s.draw, scalars, 2 * image + 1);
  if (!(unit(b.word[1]) < between(s.chance[0], s.chance[1], b.word[0]))) return {0, 0, 0, 0};
  EraseBox box;
  side(between(s.scale[0], s.scale[1], a.word[0]), unit(a.word[2]), s.w, &box.left, &box.right);
  side(between(s.scale[0], s.scale[1], a.word[1]), unit(a.word[3]), s.h, &box.top, &box.bottom);
  return box;
}

}  // namespace fastcnn
