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
// In the device's vocabulary; Block says how a vector is loaded and stored.
#pragma once
#include "../optimizer_run.h"
#include "functions.h"

FASTCNN_FORMULAS_BEGIN

// NaN stays.
FASTCNN_INLINE Vec clamp(Vec x, float limit) {
  const Vec most = broadcast(limit), least = broadcast(-limit);
  x = x < least ? least : x;
  return x > most ? most : x;
}

struct Sgd {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block, int64_t, Vec g, Vec w) {
    return w - a.rate * g;
  }
};

// 0 in place of a denormal number. Without gradients, as those of units that ReLU has put out, a velocity
// would stay among these for ever, and a vector with one of them takes longer than dozens without.
FASTCNN_INLINE Vec faded(Vec v) { return abs(v) < 1.17549435e-38f ? Vec{} : v; }

template <bool kNesterov>
struct SgdWithMomentum {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec change = a.rate * g;
    const Vec v = faded(a.momentum * block.get(a.slot[0] + i) - change);
    block.put(a.slot[0] + i, v);
    return w + (kNesterov ? a.momentum * v - change : v);
  }
};

// mean += (x - mean) (1 - beta). Of two both come before either is stored: arrays of some pages lie alike in
// theirs, and a load then waits for the store.
template <class Block>
FASTCNN_INLINE Vec moment(Block block, float* slot, Vec before, Vec x, float one_minus_beta) {
  const Vec after = before + (x - before) * one_minus_beta;
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
struct Adam {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec mean = block.get(a.slot[0] + i), square = block.get(a.slot[1] + i);
    const Vec m = moment(block, a.slot[0] + i, mean, g, a.one_minus_beta_1);
    Vec v = moment(block, a.slot[1] + i, square, g * g, a.one_minus_beta_2);
    if constexpr (kAmsgrad) {
      v = greater(block.get(a.slot[2] + i), v);
      block.put(a.slot[2] + i, v);
    }
    return w - m * a.rate / (sqrt(v) + a.epsilon);
  }
};

// Slots: v, then s with momentum, then a when centered.
template <bool kCentered, bool kMomentum>
struct Rmsprop {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
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
  }
};

struct Adagrad {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec sum = block.get(a.slot[0] + i) + g * g;
    block.put(a.slot[0] + i, sum);
    return w - a.rate * g / sqrt(sum + a.epsilon);
  }
};

struct Adadelta {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec mean = decayed(block, a.slot[0] + i, g * g, a.beta_2, a.one_minus_beta_2);
    const Vec change = sqrt(block.get(a.slot[1] + i) + a.epsilon) * g / sqrt(mean + a.epsilon);
    decayed(block, a.slot[1] + i, change * change, a.beta_2, a.one_minus_beta_2);
    return w - a.rate * change;
  }
};

struct Adamax {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec m = moment(block, a.slot[0] + i, block.get(a.slot[0] + i), g, a.one_minus_beta_1);
    const Vec u = greater(a.beta_2 * block.get(a.slot[1] + i), abs(g));
    block.put(a.slot[1] + i, u);
    return w - m * a.rate / (u + a.epsilon);
  }
};

struct Nadam {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec mean = block.get(a.slot[0] + i), square = block.get(a.slot[1] + i);
    const Vec m = moment(block, a.slot[0] + i, mean, g, a.one_minus_beta_1);
    const Vec v = moment(block, a.slot[1] + i, square, g * g, a.one_minus_beta_2);
    return w - (m * a.rate + g * a.gradient_rate) / (sqrt(v * a.correction) + a.epsilon);
  }
};

struct Lion {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec c = a.beta_1 * block.get(a.slot[0] + i) + a.one_minus_beta_1 * g;
    decayed(block, a.slot[0] + i, g, a.beta_2, a.one_minus_beta_2);
    const Vec one = broadcast(1.0f);
    return w - a.rate * (c > Vec{} ? one : c < Vec{} ? -one : c);  // 0 and NaN as they are
  }
};

template <bool kGeneral>
FASTCNN_INLINE Vec root(Vec x, float exponent) {
  if constexpr (!kGeneral) return sqrt(x);
  return exponent == 0 ? broadcast(1.0f) : exp(exponent * log(x));
}

template <bool kGeneral>
struct Ftrl {
  template <class Block>
  FASTCNN_INLINED static Vec step(const OptimizerRun& a, Block block, int64_t i, Vec g, Vec w) {
    const Vec before = block.get(a.slot[0] + i), after = before + g * g;
    const Vec grown = root<kGeneral>(after, a.exponent);
    const Vec sigma = (grown - root<kGeneral>(before, a.exponent)) * a.inverse_rate;
    const Vec z = block.get(a.slot[1] + i) + (g + a.two_shrinkage * w - sigma * w);
    block.put(a.slot[0] + i, after);
    block.put(a.slot[1] + i, z);
    // Without anything seen yet both may be 0, and w is.
    const Vec beyond = clamp(z, a.l1) - z;
    return beyond == Vec{} ? beyond : beyond / (grown * a.inverse_rate + a.two_l2);
  }
};

template <bool kNesterov>
struct MuonDirection {
  template <class Block>
  FASTCNN_INLINED static void step(const OptimizerRun& a, Block block, int64_t i) {
    const Vec g = clamp(block.get(a.gradient + i), a.clip);
    const Vec m = a.momentum * block.get(a.slot[0] + i) + g;
    block.put(a.slot[0] + i, m);
    block.put(a.slot[1] + i, kNesterov ? g + a.momentum * m : m);
  }
};

// One block of any of them: the new parameters by Rule, the slots written.
template <class Rule, class Block>
FASTCNN_INLINE void update(const OptimizerRun& a, Block block, int64_t i) {
  Vec w = block.get(a.parameters + i);
  if (a.decay != 0) w -= w * a.decay;
  w = Rule::step(a, block, i, clamp(block.get(a.gradient + i), a.clip), w);
  if (a.average) {
    const Vec mean = a.ema * block.get(a.average + i) + a.one_minus_ema * w;
    block.put(a.average + i, mean);
    if (a.overwrite) w = mean;
  }
  block.put(a.parameters + i, w);
}

FASTCNN_FORMULAS_END
