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

// What the backward pass fixes when it is prepared.
struct Bands {
  int64_t rows;  // of dx, or of windows where they do not overlap, per task
  int32_t stream;
};

// From here on dx is written past the caches: the next step would find little of it there.
constexpr double kStreamBytes = 16 << 20;

// Rows of windows that reach into a band of dx, at most.
int64_t windows_over(const Pool2dShape& s, int64_t band) {
  const int64_t rows = (band + s.r - 2) / s.stride_h + 1;
  return rows < s.p ? rows : s.p;
}

void prepare_fwd(Prepared* p, const Pool2dShape& s) {
  const double inputs = double(s.n) * s.h * s.w * s.c, outputs = double(s.n) * s.p * s.q * s.c;
  set_cost(p, outputs * s.r * s.s, 4 * (inputs + outputs));
}

// arrays: how many of the input's size are moved. scratch: overlapping windows need some.
void prepare_bwd(Prepared* p, const Pool2dShape& s, int arrays, bool scratch) {
  const double inputs = double(s.n) * s.h * s.w * s.c, outputs = double(s.n) * s.p * s.q * s.c;
  set_cost(p, outputs * s.r * s.s, 4 * (arrays * inputs + outputs));
  Bands& bands = state<Bands>(p);
  bands.stream = 4 * inputs >= kStreamBytes;
  if (!windows_overlap(s)) {
    bands.rows = rows_per_chunk(s.stride_h * s.w * s.c);
    return;
  }
  // Windows across the edge of a band are worked out on both sides: bands well above a window's height, and
  // even.
  int64_t rows = rows_per_chunk(s.w * s.c);
  rows = rows < 4 * s.r ? 4 * s.r : rows;
  bands.rows = rows < s.h ? ceil_div(s.h, ceil_div(s.h, rows)) : s.h;
  if (scratch) p->scratch_bytes = sizeof(float) * windows_over(s, bands.rows) * s.q * s.c;
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

void run_bwd(const Prepared& p, const Pool2dShape& s, const Backward& f, bool average,
             const Operands& operands, Context& context) {
  const Bands& bands = state<Bands>(p);
  const Pool2dBwd pool = {&s,      input(operands, 0),      input(operands, 1), output(operands, 0),
                          average, p.op.epilogue.relu_mask, bands.stream};
  if (!windows_overlap(s)) {
    for_each_chunk(context, s.n * s.p, bands.rows,
                   [&](int64_t begin, int64_t end) { f.apart(pool, begin, end); });
    return;
  }
  float* scratch = p.scratch_bytes ? static_cast<float*>(context.member->scratch(p.scratch_bytes)) : nullptr;
  const int64_t count = ceil_div(s.h, bands.rows);
  parallel_for(*context.member, s.n * count, [&](int64_t task) {
    const int64_t n = task / count, begin = task % count * bands.rows, end = begin + bands.rows;
    f.overlapping(pool, {n, begin, end < s.h ? end : s.h, scratch});
  });
}

Backward max_bwd() { return {kernels().pool2d->max_bwd_apart, kernels().pool2d->max_bwd}; }
Backward sum_bwd() { return {kernels().pool2d->sum_bwd_apart, kernels().pool2d->sum_bwd}; }

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

void prepare_max_pool2d_bwd_direct(Prepared* p) { prepare_bwd(p, p->op.max_pool2d_bwd, 2, true); }
void prepare_average_pool2d_bwd_direct(Prepared* p) {
  prepare_bwd(p, p->op.average_pool2d_bwd, 1 + p->op.epilogue.relu_mask, true);
}
void prepare_sum_pool2d_bwd_direct(Prepared* p) {
  prepare_bwd(p, p->op.sum_pool2d_bwd, 1 + p->op.epilogue.relu_mask, false);
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
  run_bwd(p, p.op.max_pool2d_bwd, max_bwd(), false, operands, context);
}

void run_average_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  run_bwd(p, p.op.average_pool2d_bwd, sum_bwd(), true, operands, context);
}

void run_sum_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  run_bwd(p, p.op.sum_pool2d_bwd, sum_bwd(), false, operands, context);
}

}  // namespace cpu
}  // namespace fastcnn
