// SPDX-License-Identifier: Apache-2.0
// y[m,n] = epilogue(op(a) op(b)), row-major, of register tiles (kernels/tile.h): dense layers and their
// gradients.
//
// a is read where it lies, transposed or not; b is packed to panels [k][lanes] where that pays or where it
// must be (transposed, or a last panel that is not whole vectors). A task is a block of rows times a range of
// panels; its sum runs over k in slices, so that a panel's slice stays in L2 while all rows of the block meet
// it.
#include "blocking.h"

namespace fastcnn {
namespace cpu {
namespace {

struct Gemm {
  int64_t panel, panels, packed_from;  // panels from `packed_from` on are packed
  int64_t row_blocks, col_parts, slice;
  int32_t copy_a;
};

constexpr int64_t kBlockRows = 112;  // times a slice: 450 KB of a, in L2
constexpr int64_t kSlice = 1024;

Gemm plan(const GemmShape& v) {
  const TileKernels& kernel = *kernels().tile;
  Gemm d = {};
  const bool few_rows = v.m <= kernel.max_rows[4];
  const int64_t vectors = few_rows ? 4 : kernel.vectors;
  d.panel = kernel.lanes * std::min<int64_t>(vectors, ceil_div(v.n, kernel.lanes));
  d.panels = ceil_div(v.n, d.panel);
  const bool large = v.k * v.n > 256 << 10;  // 1 MB
  if (v.transpose_b || (large && v.m >= 64))
    d.packed_from = 0;
  else
    d.packed_from = v.n % kernel.lanes ? d.panels - 1 : d.panels;
  // A large b that is used once is read in its own order, a few whole rows at a time.
  d.slice = few_rows && large && !v.transpose_b ? 16 : kSlice;

  const int64_t wanted = tasks_for(2.0 * v.m * v.n * v.k);
  const int64_t tile = kernel.max_rows[vectors], tiles = ceil_div(v.m, tile);
  d.row_blocks = ceil_div(v.m, kBlockRows);
  // A transposed a is read a few floats of each row at a time: copied where that would miss cache, once for
  // many panels.
  d.copy_a = v.transpose_a && v.m * v.k > 64 << 10 && d.panels >= 4;
  if (d.copy_a) d.row_blocks = std::max(d.row_blocks, std::min(wanted, ceil_div(tiles, 2)));
  d.col_parts = std::min(d.panels, ceil_div(wanted, d.row_blocks));
  d.row_blocks = std::max(d.row_blocks, std::min(tiles, ceil_div(wanted, d.col_parts)));
  return d;
}

size_t packed_bytes(const GemmShape& v, const Gemm& d) {
  return float_bytes((d.panels - d.packed_from) * v.k * d.panel);
}

// Floats of a step of k in the copy of a block of a.
int64_t copy_width(const GemmShape& v, const Gemm& d) {
  return round_up(ceil_div(v.m, d.row_blocks), kernels().tile->lanes);
}

}  // namespace

bool supports_gemm_tiled(const OpDescriptor&) { return true; }

void prepare_gemm_tiled(Prepared* p) {
  const GemmShape& v = p->op.gemm;
  const Gemm d = state<Gemm>(p) = plan(v);
  p->flops = 2.0 * v.m * v.n * v.k;
  p->bytes = 4.0 * (1.0 * v.m * v.k + 1.0 * v.k * v.n + 1.0 * v.m * v.n);
  p->parallel = p->flops >= kParallelFlops || p->bytes >= 4 * kParallelBytes;
  p->workspace_bytes = packed_bytes(v, d);
  if (d.copy_a) p->scratch_bytes = float_bytes(std::min(v.k, d.slice) * copy_width(v, d));
}

void run_gemm_tiled(const Prepared& p, const Operands& x, Context& context) {
  const GemmShape& v = p.op.gemm;
  const Epilogue& e = p.op.epilogue;
  const Gemm& d = state<Gemm>(p);
  const TileKernels& kernel = *kernels().tile;
  Member& me = *context.member;
  const float *const a = input(x, 0), *const b = input(x, 1);
  const float *const bias = e.bias ? input(x, 2) : nullptr, *const mask = e.relu_mask ? input(x, 3) : nullptr;
  float* const y = output(x, 0);
  float* const packed = static_cast<float*>(context.workspace);
  const int64_t b_step = v.transpose_b ? 1 : v.n, b_col = v.transpose_b ? v.k : 1;
  const auto cols_of = [&](int64_t panel) {
    return static_cast<int32_t>(std::min(d.panel, v.n - panel * d.panel));
  };

  if (d.packed_from < d.panels) {
    const int64_t slices = ceil_div(v.k, kSlice);
    parallel_for(me, (d.panels - d.packed_from) * slices, [&](int64_t i) {
      const int64_t panel = d.packed_from + i / slices, k = i % slices * kSlice;
      kernel.pack({b + k * b_step + panel * d.panel * b_col, b_step, b_col, std::min(kSlice, v.k - k),
                   cols_of(panel), static_cast<int32_t>(d.panel)},
                  packed + (i / slices * v.k + k) * d.panel);
    });
  }
  parallel_for(me, d.row_blocks * d.col_parts, [&](int64_t task) {
    const Range rows = part_of(v.m, d.row_blocks, task / d.col_parts);
    const Range panels = part_of(d.panels, d.col_parts, task % d.col_parts);
    const int32_t count = static_cast<int32_t>(rows.end - rows.begin);
    const int64_t a_step = v.transpose_a ? v.m : 1, width = copy_width(v, d);
    float* const copy = static_cast<float*>(me.scratch(p.scratch_bytes));
    Tile t = {};
    t.taps_h = t.taps_w = 1;
    t.a_row = v.transpose_a ? 1 : v.k, t.a_group = 3 * t.a_row, t.a_step = d.copy_a ? width : a_step;
    t.y_row = v.n;
    for (int64_t k = 0; k < v.k; k += d.slice) {
      const bool last = k + d.slice >= v.k;
      t.depth = std::min(d.slice, v.k - k);
      t.a = a + rows.begin * t.a_row + k * a_step;
      if (d.copy_a) {
        kernel.pack({t.a, a_step, 1, t.depth, count, static_cast<int32_t>(width)}, copy);
        t.a = copy;
      }
      t.accumulate = k > 0;
      t.relu = last && e.activation == Activation::kRelu;
      for (int64_t i = panels.begin; i < panels.end; ++i) {
        const int64_t column = i * d.panel;
        const bool in_place = i < d.packed_from;
        t.b = in_place ? b + k * v.n + column : packed + ((i - d.packed_from) * v.k + k) * d.panel;
        t.b_step = in_place ? v.n : d.panel;
        t.bias = last && bias ? bias + column : nullptr;
        t.mask = last && mask ? mask + rows.begin * v.n + column : nullptr;
        t.y = y + rows.begin * v.n + column;
        kernel.strip(t, count, cols_of(i), kernel.max_rows[1]);
      }
    }
  });
  finish_activation(context, e.activation, y, v.m * v.n);
}

}  // namespace cpu
}  // namespace fastcnn
