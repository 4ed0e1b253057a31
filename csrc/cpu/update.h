// SPDX-License-Identifier: Apache-2.0
// What the steps of an update share: whether it is due, the numbers of its rule, norms that have the same
// bits for any number of threads.
#pragma once
#include <cmath>
#include <limits>

#include "chunks.h"
#include "kernels.h"
#include "kernels/optimizer.h"

namespace fastcnn {
namespace cpu {

// The update that this training step completes, number = 1, 2, ...
struct Update {
  bool due;
  uint64_t number;
};

inline Update update_of(int32_t accumulation, const RunScalars& scalars) {
  const uint64_t steps = accumulation > 1 ? uint64_t(accumulation) : 1, done = scalars.step + 1;
  return {done % steps == 0, done / steps};
}

// Without pointers, and with the rate as it is.
inline OptimizerRun run_of(const UpdateRule& rule, const Update& update, float rate) {
  OptimizerRun run{};
  run.clip = rule.clip_value > 0 ? rule.clip_value : std::numeric_limits<float>::infinity();
  run.decay = float(double(rate) * rule.weight_decay);
  const double ema = update.number > 1 ? rule.ema_momentum : 0;  // the first average is w
  run.ema = float(ema);
  run.one_minus_ema = float(1 - ema);
  run.overwrite = rule.ema_overwrite > 0 && update.number % uint64_t(rule.ema_overwrite) == 0;
  run.rate = rate;
  return run;
}

inline int64_t norm_chunks(int64_t count) { return ceil_div(count, kChunk); }

// Euclidean norm of x, [0, count): sums of chunks in double, added in index order. `workspace` has room for
// norm_chunks(count) + 1; the norm is at its end, to be read inside tasks.
inline const double* norm_of(Context& context, const float* x, int64_t count, double* workspace) {
  for_each_chunk(context, count, kChunk, [&](int64_t begin, int64_t end) {
    workspace[begin / kChunk] = kernels().optimizer->sum_of_squares(x + begin, end - begin);
  });
  double* const norm = workspace + norm_chunks(count);
  parallel_for(*context.member, 1, [&](int64_t) {
    double sum = 0;
    for (int64_t i = 0; i < norm_chunks(count); ++i) sum += workspace[i];
    *norm = std::sqrt(sum);
  });
  return norm;
}

}  // namespace cpu
}  // namespace fastcnn
