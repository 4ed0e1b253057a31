// SPDX-License-Identifier: Apache-2.0
// What is drawn of a batch whose samples are mixed in pairs: the weight, the box and the partner of each. A
// beta variate of both parameters a, from uniform u and v (L. Devroye, 1996): (1 + t / sqrt(1 + t^2)) / 2
// with t = sqrt(u^(-1 / a) - 1) cos(2 pi v).
#pragma once
#include "erase_box.h"
#include "warp.h"

namespace fastcnn {

// log(m / 2^24), m from 1 to 2^24; a series of products and sums alone, as in warp.h, to 1e-17.
FASTCNN_BOTH double log_of(uint32_t m) {
  constexpr double kLog2 = 0.6931471805599453;
  int exponent;
  double f = std::frexp(double(m) * 0x1p-24, &exponent), sum = 0;
  if (f < 0.7071067811865476) f *= 2, --exponent;
  const double z = (f - 1) / (f + 1), square = z * z;
  for (int k = 21; k > 0; k -= 2) sum = sum * square + 1.0 / k;
  return exponent * kLog2 + 2 * z * sum;
}

// exp(x), x >= 0, to 1e-13; beyond 700 no more than exp(700), whose root is as good as infinity here.
FASTCNN_BOTH double exp_of(double x) {
  constexpr double kLog2 = 0.6931471805599453;
  if (x > 700) x = 700;
  const double whole = std::floor(x / kLog2 + 0.5), r = x - whole * kLog2;
  double sum = 1;
  for (int k = 16; k > 0; --k) sum = 1 + sum * r / k;
  return std::ldexp(sum, int(whole));
}

FASTCNN_BOTH double beta_variate(double a, uint32_t u, uint32_t v) {
  double cosine, sine;
  cos_sin(unit(v), &cosine, &sine);
  const double square = exp_of(-log_of((u >> 8) + 1) / a) - 1;
  const double t = std::sqrt(square > 0 ? square : 0) * cosine;
  return 0.5 + 0.5 * t / std::sqrt(1 + t * t);
}

// The partners have a draw of their own, which needs no number for sample 0: that is the batch's parameter.
FASTCNN_BOTH DrawSource source_of_pairs(const MixShape& s) {
  return {s.draw.seed, s.draw.op + 1, s.draw.seeded};
}
FASTCNN_BOTH double parameter_of(const MixShape& s, const RunScalars& scalars) {
  constexpr double kLeast = 1e-6;
  const double a = between(s.low, s.high, draw_words(source_of_pairs(s), scalars, 0).word[0]);
  return a > kLeast ? a : kLeast;
}

struct MixedSample {
  float weight;
  int64_t box[4];  // if boxed: top, bottom, left, right
};
FASTCNN_BOTH MixedSample mixed_sample(const MixShape& s, const RunScalars& scalars, double a, int64_t i) {
  const Words words = draw_words(s.draw, scalars, i);
  const double weight = beta_variate(a, words.word[0], words.word[1]);
  MixedSample to = {float(weight), {0, 0, 0, 0}};
  if (!s.boxed) return to;
  side(1 - weight, unit(words.word[2]), s.h, &to.box[0], &to.box[1]);
  side(1 - weight, unit(words.word[3]), s.w, &to.box[2], &to.box[3]);
  const double area = double(to.box[1] - to.box[0]) * double(to.box[3] - to.box[2]);
  to.weight = float(1 - area / (double(s.h) * double(s.w)));
  return to;
}

// Inside out (R. Durstenfeld, 1964): sample i takes the place of one up to it, which comes to place i.
FASTCNN_BOTH int64_t place_taken(const MixShape& s, const RunScalars& scalars, int64_t i) {
  const uint64_t word = draw_words(source_of_pairs(s), scalars, i / 4).word[i % 4];
  return int64_t(word * uint64_t(i + 1) >> 32);
}

}  // namespace fastcnn
