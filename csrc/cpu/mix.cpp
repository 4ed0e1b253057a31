// SPDX-License-Identifier: Apache-2.0
// Pairs of samples: weighted means, or a box of one in the other; the pairs, weights and boxes of a batch,
// drawn; and labels as rows that can be mixed. A beta variate of both parameters a, from uniform u and v (L.
// Devroye, 1996): (1 + t / sqrt(1 + t^2)) / 2 with t = sqrt(u^(-1 / a) - 1) cos(2 pi v).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../base/erase_box.h"
#include "../base/warp.h"
#include "chunks.h"
#include "kernels.h"
#include "kernels/adjust.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr double kLog2 = 0.6931471805599453;

// log(m / 2^24), m from 1 to 2^24; a series of products and sums alone, as in warp.h, to 1e-17.
double log_of(uint32_t m) {
  int exponent;
  double f = std::frexp(double(m) * 0x1p-24, &exponent), sum = 0;
  if (f < 0.7071067811865476) f *= 2, --exponent;
  const double z = (f - 1) / (f + 1), square = z * z;
  for (int k = 21; k > 0; k -= 2) sum = sum * square + 1.0 / k;
  return exponent * kLog2 + 2 * z * sum;
}

// exp(x), x >= 0, to 1e-13; beyond 700 no more than exp(700), whose root is as good as infinity here.
double exp_of(double x) {
  x = std::min(x, 700.0);
  const double whole = std::floor(x / kLog2 + 0.5), r = x - whole * kLog2;
  double sum = 1;
  for (int k = 16; k > 0; --k) sum = 1 + sum * r / k;
  return std::ldexp(sum, int(whole));
}

double beta_variate(double a, uint32_t u, uint32_t v) {
  double cosine, sine;
  cos_sin(unit(v), &cosine, &sine);
  const double t = std::sqrt(std::max(0.0, exp_of(-log_of((u >> 8) + 1) / a) - 1)) * cosine;
  return 0.5 + 0.5 * t / std::sqrt(1 + t * t);
}

constexpr double kLeastParameter = 1e-6;

struct Drawn {
  int64_t *index, *boxes;  // [n], [n, 4]
  float* weights;          // [n]
};

DrawSource source_of_pairs(const MixShape& s) { return {s.draw.seed, s.draw.op + 1, s.draw.seeded}; }

void draw_sample(const MixShape& s, const RunScalars& scalars, double a, int64_t i, const Drawn& to) {
  const Words words = draw_words(s.draw, scalars, i);
  const double weight = beta_variate(a, words.word[0], words.word[1]);
  to.weights[i] = float(weight);
  if (!s.boxed) return;
  int64_t* const box = to.boxes + 4 * i;
  side(1 - weight, unit(words.word[2]), s.h, &box[0], &box[1]);
  side(1 - weight, unit(words.word[3]), s.w, &box[2], &box[3]);
  const double area = double(box[1] - box[0]) * double(box[3] - box[2]);
  to.weights[i] = float(1 - area / (double(s.h) * double(s.w)));
}

// Inside out (R. Durstenfeld, 1964): sample i takes the place of one up to it.
void draw_pairs(const MixShape& s, const RunScalars& scalars, int64_t* index) {
  for (int64_t i = 0; i < s.n; ++i) {
    const uint64_t word = draw_words(source_of_pairs(s), scalars, i / 4).word[i % 4];
    const int64_t j = int64_t(word * uint64_t(i + 1) >> 32);
    index[i] = index[j];
    index[j] = i;
  }
}

struct Pairs {
  const int64_t *index, *boxes;
  const float* weights;
  int64_t size;  // of a sample

  Pairs(const MixShape& s, const Operands& operands)
      : index(static_cast<const int64_t*>(operands.in[1])),
        boxes(static_cast<const int64_t*>(operands.in[3])),
        weights(input(operands, 2)),
        size(s.h * s.w * s.c) {}
};

// f(first float of a row of the box, floats) for each of its rows.
template <class F>
void for_each_row(const MixShape& s, const int64_t* box, F f) {
  for (int64_t row = box[0]; row < box[1] && box[2] < box[3]; ++row)
    f((row * s.w + box[2]) * s.c, (box[3] - box[2]) * s.c);
}

void set_mix_cost(Prepared* p) {
  const MixShape& s = p->op.mix;
  const double count = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  set_cost(p, s.boxed ? 0 : 2 * count, (s.boxed ? 8 : 12) * count);
}

}  // namespace

bool supports_mix_pairs(const OpDescriptor&) { return true; }
void prepare_mix_pairs(Prepared* p) { set_mix_cost(p); }

void run_mix_pairs(const Prepared& p, const Operands& operands, Context& context) {
  const MixShape& s = p.op.mix;
  const Pairs of(s, operands);
  parallel_for(*context.member, s.n, [&](int64_t i) {
    const float *a = input(operands, 0) + i * of.size, *b = input(operands, 0) + of.index[i] * of.size;
    float* y = output(operands, 0) + i * of.size;
    if (!s.boxed) return kernels().adjust->blend(a, b, y, of.size, of.weights[i], 1 - of.weights[i]);
    std::memcpy(y, a, sizeof(float) * of.size);
    for_each_row(s, of.boxes + 4 * i,
                 [&](int64_t at, int64_t count) { std::memcpy(y + at, b + at, sizeof(float) * count); });
  });
}

bool supports_mix_bwd_pairs(const OpDescriptor&) { return true; }
void prepare_mix_bwd_pairs(Prepared* p) { set_mix_cost(p); }

// Sample j hands its part back to i = index[j], which no other does.
void run_mix_bwd_pairs(const Prepared& p, const Operands& operands, Context& context) {
  const MixShape& s = p.op.mix_bwd;
  const Pairs of(s, operands);
  parallel_for(*context.member, s.n, [&](int64_t j) {
    const int64_t i = of.index[j];
    const float *own = input(operands, 0) + i * of.size, *other = input(operands, 0) + j * of.size;
    float* dx = output(operands, 0) + i * of.size;
    if (!s.boxed) return kernels().adjust->blend(own, other, dx, of.size, of.weights[i], 1 - of.weights[j]);
    std::memcpy(dx, own, sizeof(float) * of.size);
    for_each_row(s, of.boxes + 4 * i,
                 [&](int64_t at, int64_t count) { std::memset(dx + at, 0, sizeof(float) * count); });
    for_each_row(s, of.boxes + 4 * j, [&](int64_t at, int64_t count) {
      kernels().adjust->blend(other + at, dx + at, dx + at, count, 1, 1);
    });
  });
}

bool supports_mix_draw_philox(const OpDescriptor&) { return true; }
void prepare_mix_draw_philox(Prepared* p) { set_cost(p, 0, 44 * double(p->op.mix_draw.n)); }

void run_mix_draw_philox(const Prepared& p, const Operands& operands, Context& context) {
  const MixShape& s = p.op.mix_draw;
  const RunScalars& scalars = *context.scalars;
  const Drawn to = {static_cast<int64_t*>(operands.out[0]), static_cast<int64_t*>(operands.out[2]),
                    output(operands, 1)};
  const uint32_t word = draw_words(source_of_pairs(s), scalars, 0).word[0];  // the pairs need no number for 0
  const double a = std::max(kLeastParameter, between(s.low, s.high, word));
  constexpr int64_t kSamples = 256;  // of a task
  const int64_t chunks = ceil_div(s.n, kSamples);
  parallel_for(*context.member, chunks + 1, [&](int64_t task) {
    if (task == chunks) return draw_pairs(s, scalars, to.index);
    const int64_t end = std::min(s.n, (task + 1) * kSamples);
    for (int64_t i = task * kSamples; i < end; ++i) draw_sample(s, scalars, a, i, to);
  });
}

bool supports_one_hot_rows(const OpDescriptor&) { return true; }

void prepare_one_hot_rows(Prepared* p) {
  const RowsShape& s = p->op.one_hot;
  set_cost(p, 0, 4 * double(s.rows) * double(s.cols + 1));
}

void run_one_hot_rows(const Prepared& p, const Operands& operands, Context& context) {
  const RowsShape& s = p.op.one_hot;
  const auto labels = static_cast<const int32_t*>(operands.in[0]);  // [rows]
  for_each_chunk(context, s.rows, rows_per_chunk(s.cols), [&](int64_t begin, int64_t end) {
    std::fill(output(operands, 0) + begin * s.cols, output(operands, 0) + end * s.cols, 0.0f);
    for (int64_t row = begin; row < end; ++row) output(operands, 0)[row * s.cols + labels[row]] = 1;
  });
}

}  // namespace cpu
}  // namespace fastcnn
