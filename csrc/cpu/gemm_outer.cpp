// SPDX-License-Identifier: Apache-2.0
// y[m,n] = epilogue(op(a) op(b)) of a short sum: sums of a few rows of b, which stay in L1, are written row
// after row. Memory bounds it, and tiles would write y in pieces of a line or two (3850x1278x3 took them 1.8
// times as long, 2841x2654x2 2.5 times). Few rows and a long sum are not for it: 8x3000x1000 took 1.4 times
// as long as by tiles, 16x3000x1000 1.6 times. A task is a part of the rows.
#include "gemm.h"

namespace fastcnn {
namespace cpu {
namespace {

// Columns of which eight rows of b are half of L1; few columns are left to tiles.
constexpr int64_t kBlockCols = 512, kFewCols = 64, kShortSum = 8;

struct Outer {
  int64_t parts;
};

// Of a block of a transposed b, copied [k][width].
int64_t width_of(int64_t cols) { return round_up(cols, kernels().tile->lanes); }

}  // namespace

bool supports_gemm_outer(const OpDescriptor& op) {
  const GemmShape& v = op.gemm;
  return v.k <= kShortSum && v.n >= kFewCols;
}

void prepare_gemm_outer(Prepared* p) {
  const GemmShape& v = p->op.gemm;
  const Outer d = state<Outer>(p) = {std::min(gemm_tasks(v), v.m)};
  p->flops = gemm_flops(v), p->bytes = gemm_bytes(v);
  p->parallel = d.parts > 1;
  p->workspace_bytes = 0;
  p->scratch_bytes = v.transpose_b ? float_bytes(v.k * width_of(std::min(v.n, kBlockCols))) : 0;
}

void run_gemm_outer(const Prepared& p, const Operands& x, Context& context) {
  const GemmShape& v = p.op.gemm;
  const Outer& d = state<Outer>(p);
  const float *const a = input(x, 0), *const b = input(x, 1);
  const Epilogue& e = p.op.epilogue;
  const Finish after = {output(x, 0), e.bias ? input(x, 2) : nullptr, e.relu_mask ? input(x, 3) : nullptr,
                        v.n, e.activation == Activation::kRelu};
  const int64_t a_row = v.transpose_a ? 1 : v.k, a_step = v.transpose_a ? v.m : 1;

  parallel_for(*context.member, d.parts, [&](int64_t task) {
    const Range rows = part_of(v.m, d.parts, task);
    float* const copy = static_cast<float*>(context.member->scratch(p.scratch_bytes));
    for (int64_t col = 0; col < v.n; col += kBlockCols) {
      const int64_t cols = std::min(kBlockCols, v.n - col), width = width_of(cols);
      if (v.transpose_b)
        kernels().tile->pack(
            {b + col * v.k, 1, v.k, v.k, static_cast<int32_t>(cols), static_cast<int32_t>(width)}, copy);
      kernels().tile->vectors_times({a + rows.begin * a_row, v.transpose_b ? copy : b + col,
                                     after.y + rows.begin * v.n + col, a_row, a_step,
                                     v.transpose_b ? width : v.n, v.n, v.k, cols,
                                     static_cast<int32_t>(rows.end - rows.begin), 0});
      finish_block(after, rows, {col, col + cols});
    }
  });
  finish_activation(context, e.activation, after.y, v.m * v.n);
}

}  // namespace cpu
}  // namespace fastcnn
