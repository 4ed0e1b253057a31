// SPDX-License-Identifier: Apache-2.0
// Max, average and sum pooling, forward and backward: x, dx [N,H,W,C], y, dy [N,P,Q,C]. Splits the steps into
// rows for cpu/kernels/pool2d. Sum pooling is average pooling without the division.
#include "kernels/pool2d.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

// Every window holds a pixel of the image, and a position in a window fits the kernels' 32 bits.
bool windows_touch_image(const Pool2dShape& s) {
  return s.r > s.pad_top && s.s > s.pad_left && (s.p - 1) * s.stride_h - s.pad_top < s.h &&
         (s.q - 1) * s.stride_w - s.pad_left < s.w && s.r <= INT32_MAX / s.s;
}

bool windows_overlap(const Pool2dShape& s) { return s.stride_h < s.r || s.stride_w < s.s; }

// What the backward pass fixes when it is prepared: rows of dx, or of windows where they do not overlap, per
// task.
struct Bands {
  int64_t rows;
};

// Rows of windows that reach into a band of dx, at most.
int64_t windows_over(const Pool2dShape& s, int64_t band) {
  const int64_t rows = (band + s.r - 2) / s.stride_h + 1;
  return rows < s.p ? rows : s.p;
}

void prepare_fwd(Prepared* p, const Pool2dShape& s) {
  const double inputs = double(s.n) * s.h * s.w * s.c, outputs = double(s.n) * s.p * s.q * s.c;
  set_cost(p, outputs * s.r * s.s, 4 * (inputs + outputs));
}

// arrays: how many of the input's size are moved.
void prepare_bwd(Prepared* p, const Pool2dShape& s, int arrays) {
  const double inputs = double(s.n) * s.h * s.w * s.c, outputs = double(s.n) * s.p * s.q * s.c;
  set_cost(p, outputs * s.r * s.s, 4 * (arrays * inputs + outputs));
  int64_t rows = rows_per_chunk(s.w * s.c);
  if (windows_overlap(s)) {
    // Windows across the edge of a band are read by both sides: bands well above a window's height, and even.
    rows = rows < 4 * s.r ? 4 * s.r : rows;
    rows = rows < s.h ? ceil_div(s.h, ceil_div(s.h, rows)) : s.h;
  } else {
    rows = rows_per_chunk(s.stride_h * s.w * s.c);
  }
  state<Bands>(p).rows = rows;
}

using Forward = void (*)(const Pool2dFwd&, int64_t begin, int64_t end);

void run_fwd(const Pool2dShape& s, Forward f, const Pool2dFwd& pool, Context& context) {
  for_each_chunk(context, s.n * s.p, rows_per_chunk(s.stride_h * s.w * s.c),
                 [&](int64_t begin, int64_t end) { f(pool, begin, end); });
}

struct Backward {
  void (*apart)(const Pool2dBwd&, int64_t begin, int64_t end);
  void (*overlapping)(const Pool2dBwd&, const Pool2dBand&);
};

void run_bwd(const Prepared& p, const Backward& f, const Pool2dBwd& pool, Context& context) {
  const Pool2dShape& s = *pool.shape;
  const int64_t rows = state<Bands>(p).rows;
  if (!windows_overlap(s)) {
    for_each_chunk(context, s.n * s.p, rows, [&](int64_t begin, int64_t end) { f.apart(pool, begin, end); });
    return;
  }
  Pool2dBwd mine = pool;
  mine.means = pool.average ? static_cast<float*>(context.member->scratch(p.scratch_bytes)) : nullptr;
  const int64_t bands = ceil_div(s.h, rows);
  parallel_for(*context.member, s.n * bands, [&](int64_t task) {
    const int64_t n = task / bands, begin = task % bands * rows;
    f.overlapping(mine, {n, begin, begin + rows < s.h ? begin + rows : s.h});
  });
}

void run_sum_bwd(const Prepared& p, const Pool2dShape& s, bool average, const Operands& operands,
                 Context& context) {
  const Pool2dBwd pool = {&s,      input(operands, 0),     input(operands, 1), output(operands, 0), nullptr,
                          average, p.op.epilogue.relu_mask};
  run_bwd(p, {kernels().pool2d->sum_bwd_apart, kernels().pool2d->sum_bwd}, pool, context);
}

}  // namespace

bool supports_max_pool2d_fwd_direct(const OpDescriptor& op) { return windows_touch_image(op.max_pool2d_fwd); }
bool supports_max_pool2d_bwd_direct(const OpDescriptor& op) { return windows_touch_image(op.max_pool2d_bwd); }
bool supports_average_pool2d_fwd_direct(const OpDescriptor& op) {
  return windows_touch_image(op.average_pool2d_fwd);
}
bool supports_average_pool2d_bwd_direct(const OpDescriptor& op) {
  return windows_touch_image(op.average_pool2d_bwd);
}
bool supports_sum_pool2d_fwd_direct(const OpDescriptor& op) { return windows_touch_image(op.sum_pool2d_fwd); }
bool supports_sum_pool2d_bwd_direct(const OpDescriptor& op) { return windows_touch_image(op.sum_pool2d_bwd); }

void prepare_max_pool2d_fwd_direct(Prepared* p) { prepare_fwd(p, p->op.max_pool2d_fwd); }
void prepare_average_pool2d_fwd_direct(Prepared* p) { prepare_fwd(p, p->op.average_pool2d_fwd); }
void prepare_sum_pool2d_fwd_direct(Prepared* p) { prepare_fwd(p, p->op.sum_pool2d_fwd); }

void prepare_max_pool2d_bwd_direct(Prepared* p) { prepare_bwd(p, p->op.max_pool2d_bwd, 2); }

void prepare_average_pool2d_bwd_direct(Prepared* p) {
  const Pool2dShape& s = p->op.average_pool2d_bwd;
  prepare_bwd(p, s, 1 + p->op.epilogue.relu_mask);
  if (windows_overlap(s))
    p->scratch_bytes = sizeof(float) * windows_over(s, state<Bands>(p).rows) * s.q * s.c;
}

void prepare_sum_pool2d_bwd_direct(Prepared* p) {
  prepare_bwd(p, p->op.sum_pool2d_bwd, 1 + p->op.epilogue.relu_mask);
}

void run_max_pool2d_fwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.max_pool2d_fwd;
  run_fwd(s, kernels().pool2d->max_fwd, {&s, input(operands, 0), output(operands, 0), false}, context);
}

void run_average_pool2d_fwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.average_pool2d_fwd;
  run_fwd(s, kernels().pool2d->sum_fwd, {&s, input(operands, 0), output(operands, 0), true}, context);
}

void run_sum_pool2d_fwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.sum_pool2d_fwd;
  run_fwd(s, kernels().pool2d->sum_fwd, {&s, input(operands, 0), output(operands, 0), false}, context);
}

void run_max_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.max_pool2d_bwd;
  const Pool2dBwd pool = {&s,    input(operands, 0),     input(operands, 1), output(operands, 0), nullptr,
                          false, p.op.epilogue.relu_mask};
  run_bwd(p, {kernels().pool2d->max_bwd_apart, kernels().pool2d->max_bwd}, pool, context);
}

void run_average_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  run_sum_bwd(p, p.op.average_pool2d_bwd, true, operands, context);
}

void run_sum_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  run_sum_bwd(p, p.op.sum_pool2d_bwd, false, operands, context);
}

}  // namespace cpu
}  // namespace fastcnn
