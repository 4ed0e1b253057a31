// SPDX-License-Identifier: Apache-2.0
// Lp pooling, forward and backward: x, dx [N,H,W,C], y, dy [N,P,Q,C]. Splits the steps into rows for
// cpu/kernels/lp_pool2d.
#include "kernels/lp_pool2d.h"

#include "kernels.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {

namespace {

bool supports(const LpPool2dShape& s) {
  return windows_touch_image(s.pool) && s.power >= 1.0f && s.power <= 3e38f;
}

// A power costs about forty operations.
double flops(const LpPool2dShape& s) {
  return pool2d_outputs(s.pool) * s.pool.r * s.pool.s * (s.power == 1 || s.power == 2 ? 2 : 40);
}

}  // namespace

bool supports_lp_pool2d_fwd_direct(const OpDescriptor& op) { return supports(op.lp_pool2d_fwd); }
void prepare_lp_pool2d_fwd_direct(Prepared* p) {
  const LpPool2dShape& s = p->op.lp_pool2d_fwd;
  set_cost(p, flops(s), 4 * (pool2d_inputs(s.pool) + pool2d_outputs(s.pool)));
}
void run_lp_pool2d_fwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_fwd;
  const LpPool2dFwd pool = {&s, input(operands, 0), output(operands, 0)};
  for_each_chunk(context, s.pool.n * s.pool.p, rows_per_chunk(s.pool.stride_h * s.pool.w * s.pool.c),
                 [&](int64_t begin, int64_t end) { kernels().lp_pool2d->fwd(pool, begin, end); });
}

bool supports_lp_pool2d_bwd_direct(const OpDescriptor& op) { return supports(op.lp_pool2d_bwd); }
void prepare_lp_pool2d_bwd_direct(Prepared* p) {
  const LpPool2dShape& s = p->op.lp_pool2d_bwd;
  set_cost(p, flops(s), 4 * (2 * pool2d_inputs(s.pool) + 2 * pool2d_outputs(s.pool)));
}
void run_lp_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_bwd;
  const LpPool2dBwd pool = {&s, input(operands, 0), input(operands, 1), input(operands, 2),
                            output(operands, 0)};
  const int64_t rows = rows_per_chunk(s.pool.w * s.pool.c), bands = ceil_div(s.pool.h, rows);
  parallel_for(*context.member, s.pool.n * bands, [&](int64_t task) {
    const int64_t n = task / bands, begin = task % bands * rows, end = begin + rows;
    kernels().lp_pool2d->bwd(pool, n, begin, end < s.pool.h ? end : s.pool.h);
  });
}

}  // namespace cpu
}  // namespace fastcnn
