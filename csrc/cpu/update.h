// SPDX-License-Identifier: Apache-2.0
// What the steps of an update share: norms that have the same bits for any number of threads.
#pragma once
#include <cmath>

#include "../base/update.h"
#include "chunks.h"
#include "kernels.h"
#include "kernels/optimizer.h"

namespace fastcnn {
namespace cpu {

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
