// SPDX-License-Identifier: Apache-2.0
// Batch norm by given statistics behind a linear step, made part of its weights w [rows, c] and its bias:
//
//   w'[i,k] = w[i,k] s[k]   bias'[k] = (bias[k] - mean[k]) s[k] + beta[k]   s = gamma / sqrt(variance +
//   epsilon)
//
// Without w, s itself for a step that scales its weights as it packs them.
#include <cmath>

#include "chunks.h"
#include "kernels.h"
#include "kernels/channel_norm.h"

namespace fastcnn {
namespace cpu {

bool supports_batch_norm_fold_columns(const OpDescriptor&) { return true; }

void prepare_batch_norm_fold_columns(Prepared* p) {
  const BatchNormShape& s = p->op.batch_norm_fold;
  const double count = double(s.rows) * double(s.c);
  set_cost(p, count, 2 * sizeof(float) * count);
  p->workspace_bytes = sizeof(float) * size_t(2 * s.c);  // s, zeros
}

void run_batch_norm_fold_columns(const Prepared& p, const Operands& o, Context& context) {
  const BatchNormShape& s = p.op.batch_norm_fold;
  const float *w = input(o, 0), *mean = input(o, 1), *variance = input(o, 2), *gamma = input(o, 3),
              *beta = input(o, 4), *bias = input(o, 5);
  float *const scale = static_cast<float*>(context.workspace), *const zeros = scale + s.c;
  parallel_for(*context.member, 1, [&](int64_t) {
    for (int64_t k = 0; k < s.c; ++k) {
      const double factor = (gamma ? double(gamma[k]) : 1.0) / std::sqrt(double(variance[k]) + s.epsilon);
      const double offset = (bias ? double(bias[k]) : 0.0) - double(mean[k]);
      scale[k] = float(factor), zeros[k] = 0;
      if (!w) output(o, 0)[k] = scale[k];
      output(o, 1)[k] = float(offset * factor + (beta ? double(beta[k]) : 0.0));
    }
  });
  if (!w) return;
  const int64_t rows = rows_per_chunk(s.c);
  for_each_chunk(context, s.rows, rows, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * s.c;
    kernels().channel_norm->apply_fwd(
        {w + at, nullptr, output(o, 0) + at, end - begin, s.c, 0, {zeros, scale, nullptr, zeros}});
  });
}

}  // namespace cpu
}  // namespace fastcnn
