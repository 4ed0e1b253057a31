// SPDX-License-Identifier: Apache-2.0
// Max pooling in training that keeps where each maximum stands: x, dx [N,H,W,C], y, dy, index [N,P,Q,C]. The
// backward pass reads an index of a quarter of y's bytes instead of x. Splits the steps into rows for
// cpu/kernels/max_pool2d_index.
#include "kernels/max_pool2d_index.h"

#include "kernels.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {

namespace {

bool has_an_index(const Pool2dShape& s) { return windows_touch_image(s) && !s.adaptive && s.r * s.s <= 256; }

// Against finding the maxima again: windows that overlap, or vectors that would be mostly empty. Elsewhere
// that costs less than what is stored for it.
bool worth_an_index(const Pool2dShape& s) {
  const bool overlap = s.stride_h < s.r || s.stride_w < s.s || s.dilation_h > 1 || s.dilation_w > 1;
  return has_an_index(s) && (overlap || s.c < kFewChannels);
}

}  // namespace

bool supports_max_pool2d_fwd_index_direct(const OpDescriptor& op) {
  return has_an_index(op.max_pool2d_fwd_index);
}
void prepare_max_pool2d_fwd_index_direct(Prepared* p) {
  const Pool2dShape& s = p->op.max_pool2d_fwd_index;
  set_cost(p, pool2d_outputs(s) * s.r * s.s, 4 * pool2d_inputs(s) + 5 * pool2d_outputs(s));
}
void run_max_pool2d_fwd_index_direct(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.max_pool2d_fwd_index;
  const MaxPool2dIndexFwd pool = {&s, input(operands, 0), output(operands, 0),
                                  static_cast<uint8_t*>(operands.out[1])};
  for_each_chunk(context, s.n * s.p, rows_per_chunk(s.stride_h * s.w * s.c),
                 [&](int64_t begin, int64_t end) { kernels().max_pool2d_index->fwd(pool, begin, end); });
}

bool supports_max_pool2d_bwd_index_direct(const OpDescriptor& op) {
  return worth_an_index(op.max_pool2d_bwd_index);
}
void prepare_max_pool2d_bwd_index_direct(Prepared* p) {
  const Pool2dShape& s = p->op.max_pool2d_bwd_index;
  const int bytes = 5 + 4 * p->op.epilogue.relu_mask;
  set_cost(p, pool2d_outputs(s), 4 * pool2d_inputs(s) + bytes * pool2d_outputs(s));
}
void run_max_pool2d_bwd_index_direct(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.max_pool2d_bwd_index;
  const MaxPool2dIndexBwd pool = {&s,
                                  input(operands, 0),
                                  static_cast<const uint8_t*>(operands.in[1]),
                                  p.op.epilogue.relu_mask ? input(operands, 2) : nullptr,
                                  output(operands, 0),
                                  streams(pool2d_inputs(s))};
  // Windows that reach over two bands are taken in both: not fewer than four rows of windows.
  const int64_t least = 4 * s.stride_h, chunk = rows_per_chunk(s.w * s.c);
  const int64_t rows = chunk > least ? chunk : least, bands = ceil_div(s.h, rows);
  parallel_for(*context.member, s.n * bands, [&](int64_t task) {
    const int64_t n = task / bands, begin = task % bands * rows, end = begin + rows;
    kernels().max_pool2d_index->bwd(pool, n, begin, end < s.h ? end : s.h);
  });
}

}  // namespace cpu
}  // namespace fastcnn
