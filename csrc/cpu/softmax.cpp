// SPDX-License-Identifier: Apache-2.0
// Softmax and its logarithm over the rows of a matrix, forward and backward. Some rows at a time go to
// cpu/kernels/softmax.
#include "kernels/softmax.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

void prepare_rows(Prepared* p, const RowsShape& s, double flops, double bytes) {
  const double count = double(s.rows) * s.cols;
  set_cost(p, flops * count, bytes * count);
}

// The kernels take some 64 rows at a time, and whole lines of the caches are written fastest.
int64_t rows_at_once(int64_t cols) {
  const int64_t rows = rows_per_chunk(cols);
  return rows < 64 ? rows : rows / 64 * 64;
}

template <class F>
void run_fwd(const RowsShape& s, const Operands& operands, Context& context, F kernel) {
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  for_each_chunk(context, s.rows, rows_at_once(s.cols), [&](int64_t begin, int64_t end) {
    kernel(x + begin * s.cols, y + begin * s.cols, end - begin, s.cols);
  });
}

template <class F>
void run_bwd(const RowsShape& s, const Operands& operands, Context& context, F kernel) {
  const float *dy = input(operands, 0), *y = input(operands, 1);
  float* dx = output(operands, 0);
  for_each_chunk(context, s.rows, rows_at_once(s.cols), [&](int64_t begin, int64_t end) {
    const int64_t at = begin * s.cols;
    kernel(dy + at, y + at, dx + at, end - begin, s.cols);
  });
}

}  // namespace

bool supports_softmax_fwd_rows(const OpDescriptor&) { return true; }
void prepare_softmax_fwd_rows(Prepared* p) { prepare_rows(p, p->op.softmax_fwd, 5, 8); }
void run_softmax_fwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  run_fwd(p.op.softmax_fwd, operands, context, kernels().softmax->fwd);
}

bool supports_softmax_bwd_rows(const OpDescriptor&) { return true; }
void prepare_softmax_bwd_rows(Prepared* p) { prepare_rows(p, p->op.softmax_bwd, 4, 12); }
void run_softmax_bwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  run_bwd(p.op.softmax_bwd, operands, context, kernels().softmax->bwd);
}

bool supports_log_softmax_fwd_rows(const OpDescriptor&) { return true; }
void prepare_log_softmax_fwd_rows(Prepared* p) { prepare_rows(p, p->op.log_softmax_fwd, 5, 8); }
void run_log_softmax_fwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  run_fwd(p.op.log_softmax_fwd, operands, context, kernels().softmax->log_fwd);
}

bool supports_log_softmax_bwd_rows(const OpDescriptor&) { return true; }
void prepare_log_softmax_bwd_rows(Prepared* p) { prepare_rows(p, p->op.log_softmax_bwd, 4, 12); }
void run_log_softmax_bwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  run_bwd(p.op.log_softmax_bwd, operands, context, kernels().softmax->log_bwd);
}

}  // namespace cpu
}  // namespace fastcnn
