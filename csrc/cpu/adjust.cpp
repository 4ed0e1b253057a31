// SPDX-License-Identifier: Apache-2.0
// Brightness and contrast, one task an image: y = clip(gain (x - m) + o), m and o a row of channels that is
// repeated. The gradient of a contrast, with g = dy where nothing was clipped, is factor g + (1 - factor)
// times the mean of g.
#include "kernels/adjust.h"

#include <cstring>
#include <limits>

#include "../base/draw.h"
#include "kernels.h"
#include "kernels/reduce.h"
#include "repeat.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int kRows = 3;  // in the scratch of a thread: sums, m, o

int64_t run_floats(const AdjustShape& s) { return repeats_of(s.channels) * s.channels; }

void prepare_adjust(Prepared* p, const AdjustShape& s, int arrays) {
  const double count = double(s.n) * double(s.pixels) * double(s.channels);
  set_cost(p, 4 * count, 4 * arrays * count);
  p->scratch_bytes = sizeof(float) * kRows * run_floats(s);
}

// One image at work.
struct Image {
  const AdjustShape& s;
  float *sums, *m, *o;
  AdjustRun run;

  Image(const AdjustShape& shape, Context& context, size_t scratch_bytes, int64_t index) : s(shape) {
    sums = static_cast<float*>(context.member->scratch(scratch_bytes));
    m = sums + run_floats(s), o = m + run_floats(s);
    const Words drawn = draw_words(s.draw, *context.scalars, index);
    drawn_ = float(between(s.low, s.high, drawn.word[0]) *
                   (s.kind == Adjust::kBrightness ? double(s.maximum) - double(s.minimum) : 1));
    run = {s.kind == Adjust::kBrightness ? 1 : drawn_, s.minimum, s.maximum, m, o};
  }

  bool contrast() const { return s.kind == Adjust::kContrast; }
  float factor() const { return drawn_; }

  // Of the channels, times `scale`, repeated.
  void means(const float* x, float scale, float* to) {
    kernels().reduce->column_sum({x, s.pixels, s.channels, s.channels}, sums);
    for (int64_t c = 0; c < s.channels; ++c) sums[c] = sums[c] / float(s.pixels) * scale;
    repeat_row(sums, s.channels, to);
  }

  void aim(const float* x) {
    if (contrast()) {
      means(x, 1, m);
      std::memcpy(o, m, sizeof(float) * run_floats(s));
      return;
    }
    for (int64_t i = 0; i < run_floats(s); ++i) m[i] = 0, o[i] = drawn_;
  }

  // f(offset, count) for each run of pixels.
  template <class F>
  void for_each_run(F f) const {
    const int64_t count = s.pixels * s.channels, size = run_floats(s);
    for (int64_t i = 0; i < count; i += size) f(i, i + size < count ? size : count - i);
  }

 private:
  float drawn_;
};

}  // namespace

bool supports_adjust_fwd_images(const OpDescriptor&) { return true; }
void prepare_adjust_fwd_images(Prepared* p) { prepare_adjust(p, p->op.adjust_fwd, 2); }

void run_adjust_fwd_images(const Prepared& p, const Operands& operands, Context& context) {
  const AdjustShape& s = p.op.adjust_fwd;
  parallel_for(*context.member, s.n, [&](int64_t i) {
    Image image(s, context, p.scratch_bytes, i);
    const float* x = input(operands, 0) + i * s.pixels * s.channels;
    float* y = output(operands, 0) + i * s.pixels * s.channels;
    image.aim(x);
    image.for_each_run(
        [&](int64_t at, int64_t count) { kernels().adjust->adjust(image.run, x + at, y + at, count); });
  });
}

bool supports_adjust_bwd_images(const OpDescriptor&) { return true; }
void prepare_adjust_bwd_images(Prepared* p) { prepare_adjust(p, p->op.adjust_bwd, 3); }

void run_adjust_bwd_images(const Prepared& p, const Operands& operands, Context& context) {
  const AdjustShape& s = p.op.adjust_bwd;
  parallel_for(*context.member, s.n, [&](int64_t i) {
    Image image(s, context, p.scratch_bytes, i);
    const float* dy = input(operands, 0) + i * s.pixels * s.channels;
    const float* x = input(operands, 1) + i * s.pixels * s.channels;
    float* dx = output(operands, 0) + i * s.pixels * s.channels;
    image.aim(x);
    image.for_each_run([&](int64_t at, int64_t count) {
      kernels().adjust->unclipped(image.run, x + at, dy + at, dx + at, count);
    });
    if (!image.contrast()) return;
    image.means(dx, 1 - image.factor(), image.o);
    for (int64_t k = 0; k < run_floats(s); ++k) image.m[k] = 0;
    image.run.minimum = -std::numeric_limits<float>::infinity();
    image.run.maximum = std::numeric_limits<float>::infinity();
    image.for_each_run(
        [&](int64_t at, int64_t count) { kernels().adjust->adjust(image.run, dx + at, dx + at, count); });
  });
}

}  // namespace cpu
}  // namespace fastcnn
