// SPDX-License-Identifier: Apache-2.0
// Lp pooling, forward and backward: x, dx [N,H,W,C], y, dy [N,P,Q,C]. Splits the steps into rows for
// cpu/kernels/lp_pool2d.
#include "kernels/lp_pool2d.h"

#include "kernels.h"
#include "kernels/pool2d.h"
#include "kernels/pool2d_bwd.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {

namespace {

bool supports(const LpPool2dShape& s) {
  return windows_touch_image(s.pool) && s.power >= 1.0f && s.power <= 3e38f;
}

// Powers that are products.
bool is_plain(const LpPool2dShape& s) { return s.power == 1 || s.power == 2; }

// A power costs about forty operations.
double flops(const LpPool2dShape& s) {
  return pool2d_outputs(s.pool) * s.pool.r * s.pool.s * (is_plain(s) ? 2 : 40);
}

// Whether pixels look up their windows one by one: of other powers where windows overlap, and where channels
// fill vectors and are in few windows, which took 0.7 to 0.85 times as long as by sums.
bool gathers(const LpPool2dShape& shape) {
  const Pool2dShape& s = shape.pool;
  if (!is_plain(shape) && windows_overlap(s)) return true;
  return (s.c % 16 == 0 || s.c > 64) && s.r * s.s <= 3 * s.stride_h * s.stride_w;
}

// dx in bands of `rows` rows: the windows' own numbers first, of p = 1 and p = 2 alone, and then what pixels
// take from them: sums, of other powers dy and y, each in scratch. Those of windows that overlap need both of
// each window: 0 floats.
struct Scratch {
  int64_t rows, windows, pixels, floats;
  Bands sums;
};
Scratch scratch_of(const LpPool2dShape& shape) {
  const Pool2dShape& s = shape.pool;
  const int64_t extent = (s.r - 1) * s.dilation_h + 1;
  Scratch scratch = {rows_per_chunk(s.w * s.c), 0, 0, 0, {}};
  if (gathers(shape)) return scratch;
  const int64_t least = windows_overlap(s) ? 2 * extent : extent;
  const int64_t rows = std::min(std::max(rows_per_chunk(4 * s.w * s.c), least), s.h);
  scratch.rows = ceil_div(rows, s.stride_h) * s.stride_h;
  scratch.windows = ceil_div(((scratch.rows + extent - 2) / s.stride_h + 1) * s.q * s.c, kRest) * kRest;
  scratch.pixels = ceil_div(scratch.rows * s.w * s.c, kRest) * kRest;
  Pool2dShape largest = s;  // band as an image
  largest.h = scratch.rows, largest.pad_top = extent - 1;
  scratch.sums = pool2d_bands(largest, Pooling::kSum);
  scratch.floats =
      scratch.windows + 2 * scratch.pixels + static_cast<int64_t>(scratch.sums.scratch_bytes / sizeof(float));
  return scratch;
}

// The rows of a band as an image of their own. Bands begin where windows do, but for padding, so that none is
// less than 0.
void take_band(const LpPool2dBwd& a, const Scratch& sizes, const Pool2dBand& band) {
  const LpPool2dShape& shape = *a.shape;
  Pool2dShape s = shape.pool;
  const int64_t extent = (s.r - 1) * s.dilation_h + 1;
  const int64_t above = band.h_begin + s.pad_top - extent, first = above < 0 ? 0 : above / s.stride_h + 1;
  const int64_t last = std::min((band.h_end - 1 + s.pad_top) / s.stride_h + 1, s.p);
  const int64_t pixels = (band.n * s.h + band.h_begin) * s.w * s.c, row = s.q * s.c;
  const float *const dy = a.dy + (band.n * s.p + first) * row, *const y = a.y + (band.n * s.p + first) * row;
  s.pad_top = band.h_begin + s.pad_top - first * s.stride_h;
  s.n = 1, s.h = band.h_end - band.h_begin, s.p = last - first;
  float *const windows = band.scratch, *const taken = windows + sizes.windows;
  float *const of_y = taken + sizes.pixels, *const rest = of_y + sizes.pixels;
  const LpPool2dKernels& k = *kernels().lp_pool2d;
  if (is_plain(shape)) {
    k.factors(shape.power, dy, y, windows, s.p * row);
    sum_pool2d_bwd(s, sizes.sums, windows, taken, rest);
  } else {
    sum_pool2d_bwd(s, sizes.sums, dy, taken, rest);
    sum_pool2d_bwd(s, sizes.sums, y, of_y, rest);
  }
  k.take(
      {a.x + pixels, taken, of_y, a.dx + pixels, shape.power, streams(pool2d_inputs(shape.pool)), s.w * s.c},
      s.h * s.w * s.c);
}

}  // namespace

bool supports_lp_pool2d_fwd_direct(const OpDescriptor& op) { return supports(op.lp_pool2d_fwd); }
void prepare_lp_pool2d_fwd_direct(Prepared* p) {
  const LpPool2dShape& s = p->op.lp_pool2d_fwd;
  set_cost(p, flops(s), 4 * (pool2d_inputs(s.pool) + pool2d_outputs(s.pool)));
}
void run_lp_pool2d_fwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_fwd;
  const float* const x = input(operands, 0);
  float* const y = output(operands, 0);
  for_each_chunk(context, s.pool.n * s.pool.p, rows_per_chunk(s.pool.stride_h * s.pool.w * s.pool.c),
                 [&](int64_t begin, int64_t end) {
                   if (is_plain(s))
                     kernels().pool2d->norm_fwd({&s.pool, x, y, 0}, s.power == 2, begin, end);
                   else
                     kernels().lp_pool2d->fwd({&s, x, y}, begin, end);
                 });
}

bool supports_lp_pool2d_bwd_direct(const OpDescriptor& op) { return supports(op.lp_pool2d_bwd); }
void prepare_lp_pool2d_bwd_direct(Prepared* p) {
  const LpPool2dShape& s = p->op.lp_pool2d_bwd;
  set_cost(p, flops(s), 4 * (2 * pool2d_inputs(s.pool) + 2 * pool2d_outputs(s.pool)));
  const Scratch& scratch = state<Scratch>(p) = scratch_of(s);
  p->scratch_bytes = sizeof(float) * static_cast<size_t>(scratch.floats);
}
void run_lp_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_bwd;
  const LpPool2dBwd pool = {&s, input(operands, 0), input(operands, 1), input(operands, 2),
                            output(operands, 0)};
  const Scratch& sizes = state<Scratch>(p);
  float* const scratch =
      sizes.floats ? static_cast<float*>(context.member->scratch(p.scratch_bytes)) : nullptr;
  const int64_t bands = ceil_div(s.pool.h, sizes.rows);
  const LpPool2dKernels& k = *kernels().lp_pool2d;
  parallel_for(*context.member, s.pool.n * bands, [&](int64_t task) {
    const int64_t n = task / bands, begin = task % bands * sizes.rows;
    const int64_t end = std::min(begin + sizes.rows, s.pool.h);
    if (sizes.floats)
      take_band(pool, sizes, {n, begin, end, scratch});
    else
      k.bwd(pool, n, begin, end);
  });
}

}  // namespace cpu
}  // namespace fastcnn
