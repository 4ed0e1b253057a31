// SPDX-License-Identifier: Apache-2.0
// Softmax over the rows of a matrix, forward and backward. Some rows at a time go to cpu/kernels/softmax.
#include "kernels/softmax.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

bool supports_softmax_fwd_rows(const OpDescriptor&) { return true; }

void prepare_softmax_fwd_rows(Prepared* p) {
  const double count = double(p->op.softmax_fwd.rows) * p->op.softmax_fwd.cols;
  set_cost(p, 5 * count, 8 * count);
}

void run_softmax_fwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  const RowsShape& s = p.op.softmax_fwd;
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  for_each_chunk(context, s.rows, rows_per_chunk(s.cols), [&](int64_t begin, int64_t end) {
    kernels().softmax->fwd(x + begin * s.cols, y + begin * s.cols, end - begin, s.cols);
  });
}

bool supports_softmax_bwd_rows(const OpDescriptor&) { return true; }

void prepare_softmax_bwd_rows(Prepared* p) {
  const double count = double(p->op.softmax_bwd.rows) * p->op.softmax_bwd.cols;
  set_cost(p, 4 * count, 12 * count);
}

void run_softmax_bwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  const RowsShape& s = p.op.softmax_bwd;
  const float *dy = input(operands, 0), *y = input(operands, 1);
  float* dx = output(operands, 0);
  for_each_chunk(context, s.rows, rows_per_chunk(s.cols), [&](int64_t begin, int64_t end) {
    const int64_t at = begin * s.cols;
    kernels().softmax->bwd(dy + at, y + at, dx + at, end - begin, s.cols);
  });
}

}  // namespace cpu
}  // namespace fastcnn
