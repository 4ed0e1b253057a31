// SPDX-License-Identifier: Apache-2.0
// Flips, translations, rotations, zooms, crops and resizings: the map of each image is drawn first, then each
// element of y is a thread's. The gradient adds up a channel of an image at a time, in the order of its
// pixels.
#include "../base/warp.h"
#include "launch.h"

#include "../base/formulas/affine.h"

namespace fastcnn {
namespace cuda {

namespace {

AffineMap* draw_maps(const AffineShape& s, Context& context) {
  auto* const maps = static_cast<AffineMap*>(context.workspace);
  const RunScalars* scalars = context.scalars;
  for_each(context, s.n, [=] __device__(int64_t image) {
    maps[image] = map_of(s, image, scalars ? *scalars : RunScalars{});
  });
  return maps;
}

// Where pixel (p, q) of an image looks: up to four pixels, as offsets or -1, and their weights.
struct View {
  int64_t at[4];
  float weight[4];
  int taps;

  FASTCNN_INLINED View(const AffineShape& s, const AffineMap& m, int64_t p, int64_t q) {
    const bool part = s.kind == Warp::kResize;
    const int64_t h = part ? s.size_h : s.h, w = part ? s.size_w : s.w, pitch = s.w * s.c;
    const int64_t row = m.row_p * p + m.row_q * q + m.row_0, col = m.col_p * p + m.col_q * q + m.col_0;
    taps = s.bilinear ? 4 : 1;
    if (s.bilinear) weigh(row, col, weight);
    if (!s.bilinear) weight[0] = 1.0f;
    const int64_t i = s.bilinear ? below(row) : nearest(row), j = s.bilinear ? below(col) : nearest(col);
    FASTCNN_UNROLL
    for (int t = 0; t < 4; ++t) {
      if (t >= taps) break;
      const int64_t r = shown(i + t / 2, h, s.fill), c = shown(j + t % 2, w, s.fill);
      at[t] = r < 0 || c < 0 ? -1 : r * pitch + c * s.c;
    }
  }
};

void set_affine_cost(Prepared* p, const AffineShape& s) {
  const double x = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  const double y = double(s.n) * double(s.p) * double(s.q) * double(s.c);
  set_cost(p, s.bilinear ? 7 * y : 0, 4 * (x + y));
  p->workspace_bytes = sizeof(AffineMap) * size_t(s.n);
}

}  // namespace

bool supports_affine_fwd_pixels(const OpDescriptor&) { return true; }
void prepare_affine_fwd_pixels(Prepared* p) { set_affine_cost(p, p->op.affine_fwd); }
void run_affine_fwd_pixels(const Prepared& p, const Operands& o, Context& context) {
  const AffineShape s = p.op.affine_fwd;
  const AffineMap* maps = draw_maps(s, context);
  const float* x = input(o, 0) + first_float(s);
  float* y = output(o, 0);
  for_each(context, s.n * s.p * s.q * s.c, [=] __device__(int64_t e) {
    const int64_t pixel = e / s.c, c = e - pixel * s.c, row = pixel / s.q, q = pixel - row * s.q;
    const int64_t image = row / s.p;
    const View view(s, maps[image], row - image * s.p, q);
    const float* of = x + image * s.h * s.w * s.c + c;
    float sum = 0.0f;
    FASTCNN_UNROLL
    for (int t = 0; t < 4; ++t) {
      if (t >= view.taps) break;
      const float v = view.at[t] < 0 ? s.fill_value : of[view.at[t]];
      sum = !s.bilinear ? v : t ? fma(view.weight[t], v, sum) : view.weight[t] * v;
    }
    y[e] = sum;
  });
}

bool supports_affine_bwd_channels(const OpDescriptor&) { return true; }
void prepare_affine_bwd_channels(Prepared* p) { set_affine_cost(p, p->op.affine_bwd); }
void run_affine_bwd_channels(const Prepared& p, const Operands& o, Context& context) {
  const AffineShape s = p.op.affine_bwd;
  const AffineMap* maps = draw_maps(s, context);
  const float* dy = input(o, 0);
  float* dx = output(o, 0);
  const int64_t begin = first_float(s);
  for_each(context, s.n * s.h * s.w * s.c, [=] __device__(int64_t i) { dx[i] = 0.0f; });
  for_each(context, s.n * s.c, [=] __device__(int64_t e) {
    const int64_t image = e / s.c, c = e - image * s.c;
    const float* from = dy + image * s.p * s.q * s.c + c;
    float* to = dx + image * s.h * s.w * s.c + begin + c;
    for (int64_t row = 0; row < s.p; ++row)
      for (int64_t q = 0; q < s.q; ++q, from += s.c) {
        const View view(s, maps[image], row, q);
        for (int t = 0; t < view.taps; ++t)
          if (view.at[t] >= 0) to[view.at[t]] = fma(view.weight[t], *from, to[view.at[t]]);
      }
  });
}

}  // namespace cuda
}  // namespace fastcnn
