// SPDX-License-Identifier: Apache-2.0
// What training draws: dropout of elements and of channels, Gaussian noise, alpha dropout. An element's word
// depends on its place in the batch alone, as on the CPU: the same masks (base/philox.h). A thread draws one
// block of four words.
#include "../base/philox.h"
#include "random.h"
#include "stored.h"

namespace fastcnn {
namespace cuda {

namespace {

struct Words {
  uint32_t of[4];
};

struct Draw {
  const RunScalars* scalars;
  uint32_t op, threshold;  // a word keeps its element when (word >> 8) >= threshold

  FASTCNN_INLINED Words block(int64_t number) const {
    uint32_t c0 = uint32_t(number), c1 = op, c2 = uint32_t(scalars->step), c3 = uint32_t(scalars->step >> 32);
    uint32_t k0 = uint32_t(scalars->seed), k1 = uint32_t(scalars->seed >> 32);
    FASTCNN_UNROLL
    for (int round = 0; round < FASTCNN_PHILOX_ROUNDS; ++round) {
      const uint32_t high0 = __umulhi(FASTCNN_PHILOX_M0, c0), low0 = FASTCNN_PHILOX_M0 * c0;
      const uint32_t high1 = __umulhi(FASTCNN_PHILOX_M1, c2), low1 = FASTCNN_PHILOX_M1 * c2;
      c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
      k0 += FASTCNN_PHILOX_W0, k1 += FASTCNN_PHILOX_W1;
    }
    return {{c0, c1, c2, c3}};
  }
  FASTCNN_INLINED bool stays(uint32_t word) const { return (word >> 8) >= threshold; }
};

Draw draw_of(const Context& context, uint32_t op, float rate) {
  return {context.scalars, op, uint32_t(::ceil(double(rate) * (1 << 24)))};
}

bool is_rate(float rate) { return rate >= 0 && rate < 1; }

// f(words, i, w): word w of the block belongs to element i.
template <class F>
void for_each_word(Context& context, int64_t count, const Draw& draw, F f) {
  for_each(context, ceil_div(count, 4), [=] __device__(int64_t block) {
    const Words words = draw.block(block);
    FASTCNN_UNROLL
    for (int w = 0; w < 4; ++w)
      if (4 * block + w < count) f(words, 4 * block + w, w);
  });
}

template <class T>
void drop(const Prepared& p, const Operands& o, Context& context) {
  const DropoutShape& s = p.op.dropout;
  const Draw draw = draw_of(context, s.op, s.rate);
  const float keep = 1.0f - s.rate;
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  for_each_word(context, s.count, draw, [=] __device__(const Words& words, int64_t i, int w) {
    y[i] = draw.stays(words.of[w]) ? float(x[i]) / keep : 0.0f;
  });
}
template <class T>
void drop_channels(const Prepared& p, const Operands& o, Context& context) {
  const SpatialDropoutShape s = p.op.spatial_dropout;
  const Draw draw = draw_of(context, s.op, s.rate);
  const float keep = 1.0f - s.rate;
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  for_each(context, s.n * s.pixels * s.channels, [=] __device__(int64_t i) {
    const int64_t pixel = i / s.channels, drawn = pixel / s.pixels * s.channels + (i - pixel * s.channels);
    y[i] = draw.stays(draw.block(drawn / 4).of[drawn % 4]) ? float(x[i]) / keep : 0.0f;
  });
}
template <class T>
void add_noise(const Prepared& p, const Operands& o, Context& context) {
  const GaussianShape s = p.op.gaussian;
  const Draw draw = draw_of(context, s.op, 0);
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  for_each_word(context, s.count, draw, [=] __device__(const Words& words, int64_t i, int w) {
    const float z = normal_deviate(words.of, w), v = x[i];
    y[i] = s.noise == Noise::kAdded ? fma(z, s.scale, v) : v * fma(z, s.scale, 1.0f);
  });
}
template <class T>
void drop_alpha(const Prepared& p, const Operands& o, Context& context) {
  const AlphaDropoutShape s = p.op.alpha_dropout;
  const Draw draw = draw_of(context, s.op, s.rate);
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  for_each_word(context, s.count, draw, [=] __device__(const Words& words, int64_t i, int w) {
    y[i] = draw.stays(words.of[w]) ? fma(float(x[i]), s.scale, s.offset) : s.dropped;
  });
}

}  // namespace

bool supports_dropout_philox(const OpDescriptor& op) {
  return plain(op.epilogue) && is_rate(op.dropout.rate);
}
void prepare_dropout_philox(Prepared* p) {
  const double count = double(p->op.dropout.count);
  set_cost(p, count, 2 * bytes_of_number(p) * count);
}
void run_dropout_philox(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, drop)(p, o, context);
}

bool supports_spatial_dropout_philox(const OpDescriptor& op) {
  return plain(op.epilogue) && is_rate(op.spatial_dropout.rate);
}
void prepare_spatial_dropout_philox(Prepared* p) {
  const SpatialDropoutShape& s = p->op.spatial_dropout;
  const double count = double(s.n) * double(s.pixels) * double(s.channels);
  set_cost(p, count, 2 * bytes_of_number(p) * count);
}
void run_spatial_dropout_philox(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, drop_channels)(p, o, context);
}

bool supports_gaussian_philox(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_gaussian_philox(Prepared* p) {
  const double count = double(p->op.gaussian.count);
  set_cost(p, 2 * count, 2 * bytes_of_number(p) * count);
}
void run_gaussian_philox(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, add_noise)(p, o, context);
}

bool supports_alpha_dropout_philox(const OpDescriptor& op) {
  return plain(op.epilogue) && is_rate(op.alpha_dropout.rate);
}
void prepare_alpha_dropout_philox(Prepared* p) {
  const double count = double(p->op.alpha_dropout.count);
  set_cost(p, 2 * count, 2 * bytes_of_number(p) * count);
}
void run_alpha_dropout_philox(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, drop_alpha)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
