// SPDX-License-Identifier: Apache-2.0
// Flips, translations, rotations, zooms, crops and resizings: a map for each image, drawn natively, and rows
// of pixels seen through it. The gradient adds up an image at a time, in the order of its pixels.
#include "kernels/affine.h"

#include <cstring>

#include "../base/warp.h"
#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

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
