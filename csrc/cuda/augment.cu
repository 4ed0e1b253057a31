// SPDX-License-Identifier: Apache-2.0
// Brightness and contrast, y = clip(gain (x - m) + o) by a gain or a shift drawn for each image and the means
// of its channels; a rectangle of each image painted over.
#include "../base/draw.h"
#include "../base/erase_box.h"
#include "random.h"

namespace fastcnn {
namespace cuda {

namespace {

// means [n, channels] of x [n, pixels, channels]
void channel_means(Context& context, const AdjustShape& s, const float* x, float* means) {
  for_each_row(context, s.n * s.channels, s.pixels, [=] __device__(auto team, int64_t e) {
    const int64_t image = e / s.channels;
    const float* of = x + image * s.pixels * s.channels + (e - image * s.channels);
    float sum = 0.0f;
    for (int64_t i = team.rank(); i < s.pixels; i += team.kWidth) sum += of[i * s.channels];
    sum = team.sum(sum);
    if (team.rank() == 0) means[e] = sum / float(s.pixels);
  });
}

struct Gain {
  float gain, m, o;
  FASTCNN_INLINED float operator()(float x) const { return fma(gain, x - m, o); }
};

FASTCNN_INLINE Gain gain_of(const AdjustShape& s, const RunScalars& scalars, const float* means, int64_t i) {
  const int64_t image = i / (s.pixels * s.channels);
  const double drawn = between(s.low, s.high, draw_words(s.draw, scalars, image).word[0]);
  if (s.kind == Adjust::kBrightness)
    return {1.0f, 0.0f, float(drawn * (double(s.maximum) - double(s.minimum)))};
  const float mean = means[image * s.channels + i % s.channels];
  return {float(drawn), mean, mean};
}

int64_t elements(const AdjustShape& s) { return s.n * s.pixels * s.channels; }

void prepare_adjust(Prepared* p, const AdjustShape& s, int arrays) {
  const double count = double(elements(s));
  set_cost(p, 4 * count, 4 * arrays * count);
  p->workspace_bytes = sizeof(float) * size_t(s.n * s.channels);
}

}  // namespace

bool supports_adjust_fwd_elements(const OpDescriptor&) { return true; }
void prepare_adjust_fwd_elements(Prepared* p) { prepare_adjust(p, p->op.adjust_fwd, 2); }
void run_adjust_fwd_elements(const Prepared& p, const Operands& o, Context& context) {
  const AdjustShape s = p.op.adjust_fwd;
  auto* const means = static_cast<float*>(context.workspace);
  const RunScalars* scalars = context.scalars;
  const float* x = input(o, 0);
  float* y = output(o, 0);
  if (s.kind == Adjust::kContrast) channel_means(context, s, x, means);
  for_each(context, elements(s), [=] __device__(int64_t i) {
    const float v = gain_of(s, *scalars, means, i)(x[i]), low = v < s.minimum ? s.minimum : v;
    y[i] = low > s.maximum ? s.maximum : low;
  });
}

// With g = dy where nothing was clipped, the gradient of a contrast is factor g + (1 - factor) mean(g).
bool supports_adjust_bwd_elements(const OpDescriptor&) { return true; }
void prepare_adjust_bwd_elements(Prepared* p) { prepare_adjust(p, p->op.adjust_bwd, 3); }
void run_adjust_bwd_elements(const Prepared& p, const Operands& o, Context& context) {
  const AdjustShape s = p.op.adjust_bwd;
  const bool contrast = s.kind == Adjust::kContrast;
  auto* const means = static_cast<float*>(context.workspace);
  const RunScalars* scalars = context.scalars;
  const float *dy = input(o, 0), *x = input(o, 1);
  float* dx = output(o, 0);
  if (contrast) channel_means(context, s, x, means);
  for_each(context, elements(s), [=] __device__(int64_t i) {
    const float v = gain_of(s, *scalars, means, i)(x[i]);
    dx[i] = v < s.minimum || v > s.maximum ? 0.0f : dy[i];
  });
  if (!contrast) return;
  channel_means(context, s, dx, means);
  for_each(context, elements(s), [=] __device__(int64_t i) {
    const Gain of = gain_of(s, *scalars, means, i);
    dx[i] = fma(of.gain, dx[i], of.m * (1.0f - of.gain));
  });
}

// The rectangle of each image is drawn first.
bool supports_erase_elements(const OpDescriptor&) { return true; }
void prepare_erase_elements(Prepared* p) {
  const EraseShape& s = p->op.erase;
  set_cost(p, 0, 8 * double(s.n) * double(s.h) * double(s.w) * double(s.c));
  p->workspace_bytes = sizeof(EraseBox) * size_t(s.n);
}
void run_erase_elements(const Prepared& p, const Operands& o, Context& context) {
  const EraseShape s = p.op.erase;
  auto* const boxes = static_cast<EraseBox*>(context.workspace);
  const RunScalars* scalars = context.scalars;
  const float* x = input(o, 0);
  float* y = output(o, 0);
  for_each(context, s.n, [=] __device__(int64_t image) { boxes[image] = box_of(s, *scalars, image); });
  const DrawSource noise = {s.draw.seed, s.draw.op + 1, s.draw.seeded};
  for_each(context, s.n * s.h * s.w * s.c, [=] __device__(int64_t i) {
    const int64_t pixel = i / s.c, row = pixel / s.w, col = pixel - row * s.w, image = row / s.h;
    const EraseBox box = boxes[image];
    const int64_t line = row - image * s.h;
    if (line < box.top || line >= box.bottom || col < box.left || col >= box.right) {
      y[i] = x[i];
    } else if (s.noise) {
      const float z = normal_deviate(draw_words(noise, *scalars, i / 4).word, int(i % 4)) * s.maximum;
      const float low = z < s.minimum ? s.minimum : z;
      y[i] = low > s.maximum ? s.maximum : low;
    } else {
      y[i] = s.fill[s.fills > 1 ? i - pixel * s.c : 0];
    }
  });
}

}  // namespace cuda
}  // namespace fastcnn
