// SPDX-License-Identifier: Apache-2.0
// The map of each image of a flip, translation, rotation, zoom, crop or resizing.
//
// A map is computed in float64 by products and sums alone, the sine of a rotation included, and rounded to
// multiples of 2^-32: every device finds the same points, and quarter turns are exact.
#pragma once
#include <cmath>

#include "affine_map.h"
#include "draw.h"

namespace fastcnn {

FASTCNN_BOTH int64_t fixed(double pixels) { return int64_t(std::floor(pixels * 0x1p32 + 0.5)); }

// cos and sin of 2 pi t. Within an eighth of a turn from a quarter turn, which is taken off without a
// rounding, the series to the 17th power leave 1e-19.
FASTCNN_BOTH void cos_sin(double t, double* cosine, double* sine) {
  const double quarters = std::floor(4 * t + 0.5), a = (t - quarters * 0.25) * 6.283185307179586, z = a * a;
  double c = 0, s = 0;
  for (int k = 16; k > 0; k -= 2) {
    c = (1 - c) * z / (k * (k - 1));
    s = (1 - s) * z / (k * (k + 1));
  }
  c = 1 - c, s = a * (1 - s);
  const int quadrant = int(int64_t(quarters) & 3);
  *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
  *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
}

constexpr int64_t kWhole = int64_t{1} << kPointBits;

FASTCNN_BOTH AffineMap moved(double rows, double cols) {
  return {kWhole, 0, fixed(rows), 0, kWhole, fixed(cols)};
}

// Enlarged by 1 / rows and 1 / cols about the middle.
FASTCNN_BOTH AffineMap scaled(const AffineShape& s, double rows, double cols) {
  return {fixed(rows), 0,           fixed((double(s.h) - 1) / 2 * (1 - rows)),
          0,           fixed(cols), fixed((double(s.w) - 1) / 2 * (1 - cols))};
}

FASTCNN_BOTH AffineMap rotated(const AffineShape& s, double turns) {
  const double y = (double(s.h) - 1) / 2, x = (double(s.w) - 1) / 2;
  double c, d;
  cos_sin(turns, &c, &d);
  return {fixed(c), fixed(d), fixed((y - x * d) - y * c), fixed(-d), fixed(c), fixed((x - x * c) + y * d)};
}

FASTCNN_BOTH AffineMap flipped(const AffineShape& s, bool flips) {
  AffineMap map = moved(0, 0);
  if (flips && s.low[0] > 0) map.row_p = -kWhole, map.row_0 = (s.h - 1) * kWhole;
  if (flips && s.low[1] > 0) map.col_q = -kWhole, map.col_0 = (s.w - 1) * kWhole;
  return map;
}

// Centres of pixels are at halves. The nearest pixel is that of the exact point, floor((2 p + 1) in / (2
// out)), whose distance to the next whole number is a multiple of 1 / (2 out): half of that is added, against
// the rounding of the step.
FASTCNN_BOTH AffineMap resized(const AffineShape& s) {
  const double rows = double(s.size_h) / double(s.p), cols = double(s.size_w) / double(s.q);
  const double row = s.bilinear ? 0 : 0.25 / double(s.p), col = s.bilinear ? 0 : 0.25 / double(s.q);
  return {fixed(rows), 0, fixed(rows * 0.5 - 0.5 + row), 0, fixed(cols), fixed(cols * 0.5 - 0.5 + col)};
}

FASTCNN_BOTH AffineMap map_of(const AffineShape& s, int64_t image, const RunScalars& scalars) {
  if (s.kind == Warp::kResize) return resized(s);
  const Words drawn = draw_words(s.draw, scalars, s.kind == Warp::kCrop ? 0 : image);
  const double rows = between(s.low[0], s.high[0], drawn.word[0]);
  const double cols = between(s.low[1], s.high[1], drawn.word[1]);
  switch (s.kind) {
    case Warp::kFlip:
      return flipped(s, drawn.word[0] >> 31);
    case Warp::kTranslation:
      return moved(-rows * double(s.h), -cols * double(s.w));
    case Warp::kRotation:
      return rotated(s, rows);
    case Warp::kZoom:
      return scaled(s, 1 + rows, 1 + (s.joint ? rows : cols));
    default:  // a crop at whole pixels, of all images at one place
      return moved(std::floor(unit(drawn.word[0]) * double(s.h - s.p + 1)),
                   std::floor(unit(drawn.word[1]) * double(s.w - s.q + 1)));
  }
}

// Where the part of an image that is shown begins.
FASTCNN_BOTH int64_t first_float(const AffineShape& s) {
  return s.kind == Warp::kResize ? (s.begin_h * s.w + s.begin_w) * s.c : 0;
}

}  // namespace fastcnn
