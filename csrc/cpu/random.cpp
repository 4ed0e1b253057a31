// SPDX-License-Identifier: Apache-2.0
// Steps that draw random numbers: dropout of elements and of channels, Gaussian noise, alpha dropout. What an
// element draws depends on its place in the batch alone, so chunks may be cut anywhere.
#include "kernels/random.h"

#include <cmath>

#include "chunks.h"
#include "kernels.h"
#include "repeat.h"

namespace fastcnn {
namespace cpu {

namespace {

// To draw a number takes as long as to copy some.
constexpr int64_t kDrawnChunk = kChunk / 4;
static_assert(kDrawnChunk % 16 == 0, "a chunk begins with a whole block of words");

Draw draw_of(const Context& context, uint32_t op, float rate) {
  Draw draw;
  draw.seed = context.scalars->seed;
  draw.step = context.scalars->step;
  draw.op = op;
  draw.threshold = uint32_t(std::ceil(double(rate) * (1 << 24)));
  return draw;
}

bool is_rate(float rate) { return rate >= 0 && rate < 1; }

// f(range) for each chunk.
template <class F>
void for_each_range(const Operands& operands, Context& context, int64_t count, F f) {
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  for_each_chunk(context, count, kDrawnChunk,
                 [&](int64_t begin, int64_t end) { f(DrawnRange{x, y, begin, end}); });
}

}  // namespace

bool supports_dropout_philox(const OpDescriptor& op) { return is_rate(op.dropout.rate); }

void prepare_dropout_philox(Prepared* p) {
  const double count = double(p->op.dropout.count);
  set_cost(p, count, 8 * count);
}

void run_dropout_philox(const Prepared& p, const Operands& operands, Context& context) {
  const DropoutShape& s = p.op.dropout;
  const Draw draw = draw_of(context, s.op, s.rate);
  for_each_range(operands, context, s.count,
                 [&](const DrawnRange& range) { kernels().random->dropout(range, draw, 1.0f - s.rate); });
}

bool supports_gaussian_philox(const OpDescriptor&) { return true; }

void prepare_gaussian_philox(Prepared* p) {
  const double count = double(p->op.gaussian.count);
  set_cost(p, 2 * count, 8 * count);
}

void run_gaussian_philox(const Prepared& p, const Operands& operands, Context& context) {
  const GaussianShape& s = p.op.gaussian;
  const Draw draw = draw_of(context, s.op, 0);
  for_each_range(operands, context, s.count,
                 [&](const DrawnRange& range) { kernels().random->gaussian(range, draw, s.noise, s.scale); });
}

bool supports_alpha_dropout_philox(const OpDescriptor& op) { return is_rate(op.alpha_dropout.rate); }

void prepare_alpha_dropout_philox(Prepared* p) {
  const double count = double(p->op.alpha_dropout.count);
  set_cost(p, 2 * count, 8 * count);
}

void run_alpha_dropout_philox(const Prepared& p, const Operands& operands, Context& context) {
  const AlphaDropoutShape& s = p.op.alpha_dropout;
  const Draw draw = draw_of(context, s.op, s.rate);
  for_each_range(operands, context, s.count,
                 [&](const DrawnRange& range) { kernels().random->alpha_dropout(range, draw, s); });
}

bool supports_spatial_dropout_philox(const OpDescriptor& op) { return is_rate(op.spatial_dropout.rate); }

// Of each thread: the mask of a sample, which may begin inside a block of 16, and its repetitions.
static int64_t scratch_floats(const SpatialDropoutShape& s) {
  return s.channels + 16 + repeats_of(s.channels) * s.channels;
}

void prepare_spatial_dropout_philox(Prepared* p) {
  const SpatialDropoutShape& s = p->op.spatial_dropout;
  const double count = double(s.n) * s.pixels * s.channels;
  set_cost(p, count, 8 * count);
  p->scratch_bytes = sizeof(float) * scratch_floats(s);
}

void run_spatial_dropout_philox(const Prepared& p, const Operands& operands, Context& context) {
  const SpatialDropoutShape& s = p.op.spatial_dropout;
  const RandomKernels& k = *kernels().random;
  const Draw draw = draw_of(context, s.op, s.rate);
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  // Pixels of a task: whole repetitions, and so many that drawing the mask again does not count.
  const int64_t repeats = repeats_of(s.channels);
  const int64_t band =
      ceil_div(rows_per_chunk(s.channels) > 64 ? rows_per_chunk(s.channels) : 64, repeats) * repeats;
  const int64_t bands = ceil_div(s.pixels, band);
  parallel_for(*context.member, s.n * bands, [&](int64_t task) {
    float* const drawn = static_cast<float*>(context.member->scratch(p.scratch_bytes));
    float* const mask = drawn + s.channels + 16;
    const int64_t sample = task / bands, first = sample * s.channels, aligned = first / 16 * 16;
    k.mask(drawn, aligned, first + s.channels, draw);
    repeat_row(drawn + (first - aligned), s.channels, mask);
    const int64_t begin = task % bands * band, end = begin + band < s.pixels ? begin + band : s.pixels;
    const int64_t base = sample * s.pixels * s.channels, stop = base + end * s.channels;
    const int64_t run = repeats * s.channels;
    for (int64_t i = base + begin * s.channels; i < stop; i += run)
      k.keep_where(x + i, mask, y + i, i + run < stop ? run : stop - i, 1.0f - s.rate);
  });
}

}  // namespace cpu
}  // namespace fastcnn
