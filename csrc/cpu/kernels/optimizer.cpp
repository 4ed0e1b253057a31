// SPDX-License-Identifier: Apache-2.0
// One step of an optimizer on parameters w with gradient g; Keras's formulas, each operation rounded as
// there. The gradient is clipped and w decayed before, the average of w taken after: one pass over memory.
//
//   SGD       w -= rate g
//   momentum  v = momentum v - rate g, w += v
//   Nesterov  v = momentum v - rate g, w += momentum v - rate g
//   Adam      m += (g - m) (1 - beta_1), v += (g g - v) (1 - beta_2), w -= m rate / (sqrt(v) + epsilon)
//   AMSGrad   the same with max(h, v) for v under the root
//   RMSprop   v = rho v + (1 - rho) g g, d = rate g / sqrt(v + epsilon), w -= d
//     centered  a = rho a + (1 - rho) g, v - a a for v under the root
//     momentum  s = momentum s + d, w -= s
//   Adagrad   a += g g, w -= rate g / sqrt(a + epsilon)
//   Adadelta  a = rho a + (1 - rho) g g, d = g sqrt(x + epsilon) / sqrt(a + epsilon),
//             x = rho x + (1 - rho) d d, w -= rate d
//   Adamax    m as Adam, u = max(beta_2 u, |g|), w -= m rate / (u + epsilon)
//   Nadam     m, v as Adam, w -= (m rate + g gradient_rate) / (sqrt(v correction) + epsilon)
//   Lion      w -= rate sign(beta_1 m + (1 - beta_1) g), m = beta_2 m + (1 - beta_2) g
//   Ftrl      b = a + g g, z += g + two_shrinkage w - (b^e - a^e) / rate w, a = b,
//             w = (min(max(z, -l1), l1) - z) / (b^e / rate + two_l2)
//
// Called by cpu/optimizer.cpp, clip_norm.cpp, penalty.cpp and muon.cpp with pieces of the flat arrays of a
// model.
#include "optimizer.h"

#include "blocks.h"
#include "vec_math.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// NaN stays.
FASTCNN_INLINE Vec clamp(Vec x, float limit) {
  const Vec most = broadcast(limit), least = broadcast(-limit);
  x = x < least ? least : x;
  return x > most ? most : x;
}

// f(a, block, i, g, w): the new parameters, the slots written.
template <class F>
FASTCNN_INLINE void update(const OptimizerRun& run, F f) {
  const OptimizerRun a = run;  // a copy of its own, which no store may alias
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    Vec w = block.get(a.parameters + i);
    if (a.decay != 0) w -= w * a.decay;
    w = f(a, block, i, clamp(block.get(a.gradient + i), a.clip), w);
    if (a.average) {
      const Vec mean = a.ema * block.get(a.average + i) + a.one_minus_ema * w;
      block.put(a.average + i, mean);
      if (a.overwrite) w = mean;
    }
    block.put(a.parameters + i, w);
  });
}

void sgd(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto, int64_t, Vec g, Vec w) { return w - a.rate * g; });
}

template <bool kNesterov>
void sgd_with_momentum(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec change = a.rate * g;
    const Vec v = a.momentum * block.get(a.slot[0] + i) - change;
    block.put(a.slot[0] + i, v);
    return w + (kNesterov ? a.momentum * v - change : v);
  });
}

// mean += (x - mean) (1 - beta)
template <class Block>
FASTCNN_INLINE Vec moment(Block block, float* slot, Vec x, float one_minus_beta) {
  const Vec before = block.get(slot), after = before + (x - before) * one_minus_beta;
  block.put(slot, after);
  return after;
}
// mean = rho mean + (1 - rho) x: Keras's other way to write it, which rounds differently.
template <class Block>
FASTCNN_INLINE Vec decayed(Block block, float* slot, Vec x, float rho, float one_minus_rho) {
  const Vec after = rho * block.get(slot) + one_minus_rho * x;
  block.put(slot, after);
  return after;
}
// The greater; NaN of x stays, and so does one of the slot.
FASTCNN_INLINE Vec greater(Vec slot, Vec x) { return x <= slot ? slot : (slot == slot ? x : slot); }

template <bool kAmsgrad>
void adam(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec m = moment(block, a.slot[0] + i, g, a.one_minus_beta_1);
    Vec v = moment(block, a.slot[1] + i, g * g, a.one_minus_beta_2);
    if constexpr (kAmsgrad) {
      v = greater(block.get(a.slot[2] + i), v);
      block.put(a.slot[2] + i, v);
    }
    return w - m * a.rate / (sqrt(v) + a.epsilon);
  });
}

// Slots: v, then s with momentum, then a when centered.
template <bool kCentered, bool kMomentum>
void rmsprop(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    Vec v = decayed(block, a.slot[0] + i, g * g, a.beta_2, a.one_minus_beta_2);
    if constexpr (kCentered) {
      const Vec mean = decayed(block, a.slot[1 + kMomentum] + i, g, a.beta_2, a.one_minus_beta_2);
      const Vec variance = v - mean * mean;
      v = variance < Vec{} ? Vec{} : variance;  // by rounding alone, which Keras leaves to epsilon
    }
    Vec change = a.rate * g / sqrt(v + a.epsilon);
    if constexpr (kMomentum) {
      change = a.momentum * block.get(a.slot[1] + i) + change;
      block.put(a.slot[1] + i, change);
    }
    return w - change;
  });
}

void adagrad(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec sum = block.get(a.slot[0] + i) + g * g;
    block.put(a.slot[0] + i, sum);
    return w - a.rate * g / sqrt(sum + a.epsilon);
  });
}

void adadelta(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec mean = decayed(block, a.slot[0] + i, g * g, a.beta_2, a.one_minus_beta_2);
    const Vec change = sqrt(block.get(a.slot[1] + i) + a.epsilon) * g / sqrt(mean + a.epsilon);
    decayed(block, a.slot[1] + i, change * change, a.beta_2, a.one_minus_beta_2);
    return w - a.rate * change;
  });
}

void adamax(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec m = moment(block, a.slot[0] + i, g, a.one_minus_beta_1);
    const Vec u = greater(a.beta_2 * block.get(a.slot[1] + i), abs(g));
    block.put(a.slot[1] + i, u);
    return w - m * a.rate / (u + a.epsilon);
  });
}

void nadam(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec m = moment(block, a.slot[0] + i, g, a.one_minus_beta_1);
    const Vec v = moment(block, a.slot[1] + i, g * g, a.one_minus_beta_2);
    return w - (m * a.rate + g * a.gradient_rate) / (sqrt(v * a.correction) + a.epsilon);
  });
}

void lion(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec c = a.beta_1 * block.get(a.slot[0] + i) + a.one_minus_beta_1 * g;
    decayed(block, a.slot[0] + i, g, a.beta_2, a.one_minus_beta_2);
    const Vec one = broadcast(1.0f);
    return w - a.rate * (c > Vec{} ? one : c < Vec{} ? -one : c);  // 0 and NaN as they are
  });
}

template <bool kGeneral>
FASTCNN_INLINE Vec power(Vec x, float exponent) {
  if constexpr (!kGeneral) return sqrt(x);
  return exponent == 0 ? broadcast(1.0f) : exp(exponent * log(x));
}

template <bool kGeneral>
void ftrl(const OptimizerRun& run) {
  update(run, [](const OptimizerRun& a, auto block, int64_t i, Vec g, Vec w) {
    const Vec before = block.get(a.slot[0] + i), after = before + g * g;
    const Vec grown = power<kGeneral>(after, a.exponent);
    const Vec sigma = (grown - power<kGeneral>(before, a.exponent)) * a.inverse_rate;
    const Vec z = block.get(a.slot[1] + i) + (g + a.two_shrinkage * w - sigma * w);
    block.put(a.slot[0] + i, after);
    block.put(a.slot[1] + i, z);
    // Without anything seen yet both may be 0, and w is.
    const Vec beyond = clamp(z, a.l1) - z;
    return beyond == Vec{} ? beyond : beyond / (grown * a.inverse_rate + a.two_l2);
  });
}

template <bool kNesterov>
void muon_direction(const OptimizerRun& run) {
  const OptimizerRun a = run;
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec g = clamp(block.get(a.gradient + i), a.clip);
    const Vec m = a.momentum * block.get(a.slot[0] + i) + g;
    block.put(a.slot[0] + i, m);
    block.put(a.slot[1] + i, kNesterov ? g + a.momentum * m : m);
  });
}

void polynomial(const float* x, const float* x2, float* y, int64_t count, const float (&bc)[2]) {
  const float b = bc[0], c = bc[1];
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    block.put(y + i, b * block.get(x + i) + c * block.get(x2 + i));
  });
}

void accumulate(const float* g, float* sum, int64_t count) {
  for_each_vector(count, [&](auto block, int64_t i)
                             FASTCNN_INLINED { block.put(sum + i, block.get(sum + i) + block.get(g + i)); });
}

void accumulated(float* g, float* sum, int64_t count, float steps) {
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    block.put(g + i, (block.get(g + i) + block.get(sum + i)) / steps);
    block.put(sum + i, Vec{});
  });
}

// Products of floats are exact in double, and none overflows.
typedef float Half __attribute__((vector_size(kLanes * 2)));
typedef double Doubles __attribute__((vector_size(kLanes * 4)));

template <bool kUpper>
FASTCNN_INLINE Doubles half_of(Vec v) {
  Half half;
  memcpy(&half, (const char*)&v + kUpper * sizeof half, sizeof half);
  return __builtin_convertvector(half, Doubles);
}

// Of f(vector, as double).
template <class F>
FASTCNN_INLINE double sum_of(const float* x, int64_t count, F f) {
  constexpr int kMany = 4;  // chains of additions, twice as many with the halves
  Doubles low[kMany] = {}, high[kMany] = {};
  for_each_block<kMany>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v) {
      const Vec value = block.get(x + i + v * kLanes);
      low[v] += f(half_of<false>(value));
      high[v] += f(half_of<true>(value));
    }
  });
  double sum = 0;
  for (int v = 0; v < kMany; ++v)
    for (int lane = 0; lane < kLanes / 2; ++lane) sum += low[v][lane] + high[v][lane];
  return sum;
}

double sum_of_squares(const float* x, int64_t count) {
  return sum_of(x, count, [](Doubles v) FASTCNN_INLINED { return v * v; });
}

double sum_of_magnitudes(const float* x, int64_t count) {
  return sum_of(x, count, [](Doubles v) FASTCNN_INLINED { return v < Doubles{} ? -v : v; });
}

void penalize(const float* w, float* g, int64_t count, float l1, float two_l2) {
  const Vec one = broadcast(1.0f);
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec value = block.get(w + i);
    const Vec sign = value > Vec{} ? one : value < Vec{} ? -one : value;  // 0 and NaN as they are
    block.put(g + i, block.get(g + i) + (l1 * sign + two_l2 * value));
  });
}

void add_squares(const float* x, float* sums, int64_t count) {
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec value = block.get(x + i);
    block.put(sums + i, block.get(sums + i) + value * value);
  });
}

void multiply(float* x, const float* factors, int64_t count) {
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    block.put(x + i, block.get(x + i) * block.get(factors + i));
  });
}

void not_negative(float* x, int64_t count) {
  map(x, x, count, [](Vec v) FASTCNN_INLINED { return v < Vec{} ? Vec{} : v; });
}

}  // namespace

extern const OptimizerKernels optimizer_kernels;
const OptimizerKernels optimizer_kernels = {
    sgd,
    sgd_with_momentum<false>,
    sgd_with_momentum<true>,
    adam<false>,
    adam<true>,
    {{rmsprop<false, false>, rmsprop<false, true>}, {rmsprop<true, false>, rmsprop<true, true>}},
    adagrad,
    adadelta,
    adamax,
    nadam,
    lion,
    {ftrl<false>, ftrl<true>},
    {muon_direction<false>, muon_direction<true>},
    polynomial,
    accumulate,
    accumulated,
    sum_of_squares,
    sum_of_magnitudes,
    penalize,
    add_squares,
    multiply,
    not_negative};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
