// SPDX-License-Identifier: Apache-2.0
// The steps of base/formulas/optimizer.h in one pass over memory, and what prepares gradients.
// Called by cpu/optimizer.cpp, clip_norm.cpp, penalty.cpp and muon.cpp with pieces of the flat arrays of a
// model.
#include "optimizer.h"

#include "blocks.h"
#include "doubles.h"
#include "own.h"
#include "vec_math.h"

#include "../../base/formulas/optimizer.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int64_t kAhead = 32 * kOwnedFloats;

// Every core reads the parameters between two updates. What else is written no other core reads.
template <class Rule>
void update(const OptimizerRun& run, bool shared) {
  const OptimizerRun a = run;            // a copy of its own, which no store may alias
  const int64_t mask = shared ? -1 : 0;  // else the first line again: a branch would double each loop
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    own(a.parameters + ((i + kAhead) & mask));
    update<Rule>(a, block, i);
  });
}

template <bool kNesterov>
void muon_direction(const OptimizerRun& run) {
  const OptimizerRun a = run;
  for_each_vector(
      a.count, [&](auto block, int64_t i) FASTCNN_INLINED { MuonDirection<kNesterov>::step(a, block, i); });
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

// Of f(vector, as double): products of floats are exact, and none overflows.
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
const OptimizerKernels optimizer_kernels = {update<Sgd>,
                                            update<SgdWithMomentum<false>>,
                                            update<SgdWithMomentum<true>>,
                                            update<Adam<false>>,
                                            update<Adam<true>>,
                                            {{update<Rmsprop<false, false>>, update<Rmsprop<false, true>>},
                                             {update<Rmsprop<true, false>>, update<Rmsprop<true, true>>}},
                                            update<Adagrad>,
                                            update<Adadelta>,
                                            update<Adamax>,
                                            update<Nadam>,
                                            update<Lion>,
                                            {update<Ftrl<false>>, update<Ftrl<true>>},
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
