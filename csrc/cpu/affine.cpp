// SPDX-License-Identifier: Apache-2.0
// Flips, translations, rotations, zooms, crops and resizings: a map for each image, drawn natively, and rows
// of pixels seen through it. The gradient adds up an image at a time, in the order of its pixels.
//
// A map is computed in float64 by products and sums alone, the sine of a rotation included, and rounded to
// multiples of 2^-32: every device finds the same points, and quarter turns are exact.
#include "kernels/affine.h"

#include <cmath>
#include <cstring>

#include "chunks.h"
#include "draw.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

int64_t fixed(double pixels) { return int64_t(std::floor(pixels * 0x1p32 + 0.5)); }

// cos and sin of 2 pi t. Within an eighth of a turn from a quarter turn, which is taken off without a
// rounding, the series to the 17th power leave 1e-19.
void cos_sin(double t, double* cosine, double* sine) {
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

AffineMap moved(double rows, double cols) { return {kWhole, 0, fixed(rows), 0, kWhole, fixed(cols)}; }

// Enlarged by 1 / rows and 1 / cols about the middle.
AffineMap scaled(const AffineShape& s, double rows, double cols) {
  return {fixed(rows), 0,           fixed((double(s.h) - 1) / 2 * (1 - rows)),
          0,           fixed(cols), fixed((double(s.w) - 1) / 2 * (1 - cols))};
}

AffineMap rotated(const AffineShape& s, double turns) {
  const double y = (double(s.h) - 1) / 2, x = (double(s.w) - 1) / 2;
  double c, d;
  cos_sin(turns, &c, &d);
  return {fixed(c), fixed(d), fixed((y - x * d) - y * c), fixed(-d), fixed(c), fixed((x - x * c) + y * d)};
}

AffineMap flipped(const AffineShape& s, bool flips) {
  AffineMap map = moved(0, 0);
  if (flips && s.low[0] > 0) map.row_p = -kWhole, map.row_0 = (s.h - 1) * kWhole;
  if (flips && s.low[1] > 0) map.col_q = -kWhole, map.col_0 = (s.w - 1) * kWhole;
  return map;
}

// Centres of pixels are at halves. The nearest pixel is that of the exact point, floor((2 p + 1) in / (2
// out)), whose distance to the next whole number is a multiple of 1 / (2 out): half of that is added, against
// the rounding of the step.
AffineMap resized(const AffineShape& s) {
  const double rows = double(s.size_h) / double(s.p), cols = double(s.size_w) / double(s.q);
  const double row = s.bilinear ? 0 : 0.25 / double(s.p), col = s.bilinear ? 0 : 0.25 / double(s.q);
  return {fixed(rows), 0, fixed(rows * 0.5 - 0.5 + row), 0, fixed(cols), fixed(cols * 0.5 - 0.5 + col)};
}

AffineMap map_of(const AffineShape& s, int64_t image, const RunScalars& scalars) {
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
int64_t first_float(const AffineShape& s) {
  return s.kind == Warp::kResize ? (s.begin_h * s.w + s.begin_w) * s.c : 0;
}

AffineImage image_of(const AffineShape& s, int64_t image, const RunScalars& scalars) {
  AffineImage m;
  const bool part = s.kind == Warp::kResize;
  m.map = map_of(s, image, scalars);
  m.h = part ? s.size_h : s.h, m.w = part ? s.size_w : s.w, m.c = s.c;
  m.pitch = s.w * s.c;
  m.floats = s.h * s.w * s.c - first_float(s);
  m.q = s.q;
  m.fill = s.fill, m.bilinear = s.bilinear, m.fill_value = s.fill_value;
  return m;
}

void set_affine_cost(Prepared* p, const AffineShape& s) {
  const double x = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  const double y = double(s.n) * double(s.p) * double(s.q) * double(s.c);
  set_cost(p, s.bilinear ? 7 * y : 0, 4 * (x + y));
}

}  // namespace

bool supports_affine_fwd_rows(const OpDescriptor&) { return true; }
void prepare_affine_fwd_rows(Prepared* p) { set_affine_cost(p, p->op.affine_fwd); }

void run_affine_fwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  const AffineShape& s = p.op.affine_fwd;
  const int64_t band = rows_per_chunk(s.q * s.c), bands = ceil_div(s.p, band);
  parallel_for(*context.member, s.n * bands, [&](int64_t task) {
    const int64_t image = task / bands, begin = task % bands * band;
    kernels().affine->rows(
        image_of(s, image, *context.scalars), input(operands, 0) + image * s.h * s.w * s.c + first_float(s),
        output(operands, 0) + image * s.p * s.q * s.c, begin, begin + band < s.p ? begin + band : s.p);
  });
}

bool supports_affine_bwd_scatter(const OpDescriptor&) { return true; }
void prepare_affine_bwd_scatter(Prepared* p) { set_affine_cost(p, p->op.affine_bwd); }

void run_affine_bwd_scatter(const Prepared& p, const Operands& operands, Context& context) {
  const AffineShape& s = p.op.affine_bwd;
  parallel_for(*context.member, s.n, [&](int64_t image) {
    float* const dx = output(operands, 0) + image * s.h * s.w * s.c;
    std::memset(dx, 0, sizeof(float) * s.h * s.w * s.c);
    kernels().affine->scatter(image_of(s, image, *context.scalars),
                              input(operands, 0) + image * s.p * s.q * s.c, dx + first_float(s), 0, s.p);
  });
}

}  // namespace cpu
}  // namespace fastcnn
