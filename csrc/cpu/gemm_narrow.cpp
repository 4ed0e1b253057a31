// SPDX-License-Identifier: Apache-2.0
// y[m,n] = epilogue(op(a) op(b)) of a transposed a and fewer columns than lanes, as a classifier's weight
// gradient is: the lanes of tiles are rows of y, a vector of them with each column for a multiply-add, and
// what they sum is turned. By tiles whose lanes are the columns, part of them empty, each multiply-add waits
// for a broadcast (784x10x32 took 1.3 times as long, 784x10x128 1.8 times with AVX-512). As many columns as
// lanes do not pay for the turn (784x8x32 took 1.6 times as long this way with AVX2, 784x7x32 1.3 times). A
// task is a part of the rows.
#include "gemm.h"

namespace fastcnn {
namespace cpu {
namespace {

// Longer sums are worth parts.
constexpr int64_t kLongSum = 1024;

struct Narrow {
  int64_t block, parts;  // rows of y that a strip has as its columns; parts of all blocks
};

// Sums of a strip, read by whole vectors.
int64_t sum_floats(const GemmShape& v, const Narrow& d) { return v.n * d.block + kernels().tile->lanes; }

}  // namespace

bool supports_gemm_narrow(const OpDescriptor& op) {
  const GemmShape& v = op.gemm;
  const int64_t lanes = kernels().tile->lanes;
  return v.transpose_a && v.n + 2 <= lanes && v.m >= 2 * lanes && v.k <= kLongSum;
}

void prepare_gemm_narrow(Prepared* p) {
  const GemmShape& v = p->op.gemm;
  const TileKernels& kernel = *kernels().tile;
  int64_t vectors = kernel.vectors;
  for (int64_t i = vectors; i <= kMaxVectors; ++i)
    if (v.n <= kernel.max_rows[i]) vectors = i;
  Narrow& d = state<Narrow>(p);
  d.block = vectors * kernel.lanes;
  d.parts = std::min(gemm_tasks(v), ceil_div(v.m, d.block));
  p->flops = gemm_flops(v), p->bytes = gemm_bytes(v);
  p->parallel = d.parts > 1;
  p->workspace_bytes = 0;
  p->scratch_bytes = float_bytes(sum_floats(v, d)) + float_bytes(v.k * d.block);
}

void run_gemm_narrow(const Prepared& p, const Operands& x, Context& context) {
  const GemmShape& v = p.op.gemm;
  const Narrow& d = state<Narrow>(p);
  const TileKernels& kernel = *kernels().tile;
  const float *const a = input(x, 0), *const b = input(x, 1);
  float* const y = output(x, 0);
  const Epilogue& e = p.op.epilogue;
  Interleave turned = {};
  turned.bias = e.bias ? input(x, 2) : nullptr;
  turned.x_row = d.block, turned.y_step = v.n, turned.channels = static_cast<int32_t>(v.n);
  turned.relu = e.activation == Activation::kRelu;
  const float* const mask = e.relu_mask ? input(x, 3) : nullptr;
  Tile t = {};
  t.taps_h = t.taps_w = 1, t.depth = v.k;
  t.a = b, t.a_row = v.transpose_b ? v.k : 1, t.a_group = 3 * t.a_row, t.a_step = v.transpose_b ? 1 : v.n;
  t.y_row = d.block;

  parallel_for(*context.member, d.parts, [&](int64_t task) {
    float* const sums = static_cast<float*>(context.member->scratch(p.scratch_bytes));
    float* const copy = sums + float_bytes(sum_floats(v, d)) / sizeof(float);
    const Range blocks = part_of(ceil_div(v.m, d.block), d.parts, task);
    Tile own = t;
    Interleave out = turned;
    own.y = sums, out.x = sums;
    for (int64_t row = blocks.begin * d.block; row < std::min(v.m, blocks.end * d.block); row += d.block) {
      const int32_t rows = static_cast<int32_t>(std::min(d.block, v.m - row));
      own.b = a + row, own.b_step = v.m;
      if (rows % kernel.lanes) {
        kernel.pack({own.b, v.m, 1, v.k, rows, static_cast<int32_t>(d.block)}, copy);
        own.b = copy, own.b_step = d.block;
      }
      kernel.strip(own, v.n, rows, kernel.max_rows[1]);
      out.y = y + row * v.n, out.mask = mask ? mask + row * v.n : nullptr, out.count = rows;
      kernel.interleave_channels(out);
    }
  });
  finish_activation(context, e.activation, y, v.m * v.n);
}

}  // namespace cpu
}  // namespace fastcnn
