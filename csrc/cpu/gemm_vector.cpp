// SPDX-License-Identifier: Apache-2.0
// Matrix products that read their larger operand once: a row or some columns times a matrix, and few rows
// times a transposed or a wide one. Memory bounds them, so the matrix is read in its own order:
//
//   rows of outputs   y[j] = sum over k of v[k] w[k][j]: whole rows of w, some at a time, are added to y
//   dot products      y[i][j] = sum over k of v[i][k] w[j][k]: lanes are steps of k
//
// A task is a part of the outputs and of k; the partial sums of the parts of k are added in order.
#include "gemm.h"

namespace fastcnn {
namespace cpu {
namespace {

struct Vector {
  int64_t vectors, outputs;  // rows of v; columns of y
  int64_t block, parts, k_parts;
  int32_t swapped;  // w is a, v is b
  int32_t dots;
};

// Blocks of outputs that make the parts: whole rows of w while y stays in L1 (parts of 1 KB took up to 1.4
// times as long: memory is asked for ahead along a row), or eight rows. Sums of many dot products are cut
// where the rows of w that meet the next vectors would leave L1.
constexpr int64_t kBlockCols = 4096, kBlockRows = 8, kDepth = 1024;

// With 16 registers two tiles of rows would each read a b whose rows begin in the same sets of the caches, a
// line of each at a time. Wide rows of it are added to y instead: on AVX2 8x4096x1024 and 7x2048x2048 took
// 0.64 times as long, 12x4096x1024 0.75 times (12x1024x1024 1.7 times; with 32 registers 8x4096x1024 1.3
// times). Eight rows of a block are half of L1.
constexpr int64_t kFewCols = 512, kLeastCols = 2048;
bool few_rows(const GemmShape& v) {
  const int64_t tile = kernels().tile->max_rows[2];
  return wide_vectors() < kMaxVectors && !v.transpose_a && !v.transpose_b && v.n % kFewCols == 0 &&
         v.n >= kLeastCols && v.m > tile && v.m <= 2 * tile;
}

// Few columns of b are vectors, of a copy where they do not lie as its rows: a tile would use as few of its
// lanes (on one thread 300x2x384 took 0.45 times as long, 1000x3x4096 0.24, 100x5x784 0.7 and of a transposed
// b 0.6 times; 300x8x384 1.3 to 1.7 times, 4096x4x64 1.8 to 2.4 times: each sum ends in one over the lanes).
constexpr int64_t kNarrow = 5, kNarrowDepth = 96, kNarrowRows = 16, kMostDepth = 1 << 16;
bool narrow(const GemmShape& v) {
  return !v.transpose_a && v.n > 1 && v.n <= kNarrow && kNarrow < kernels().tile->lanes &&
         v.k >= kNarrowDepth * v.n && v.k <= kMostDepth && v.m >= kNarrowRows;
}
int64_t width_of(const GemmShape& v) { return round_up(v.k, kernels().tile->lanes); }
size_t copy_bytes(const GemmShape& v) {
  return narrow(v) && !v.transpose_b ? float_bytes(v.n * width_of(v)) : 0;
}

Vector plan(const GemmShape& v) {
  Vector d = {};
  d.swapped = (v.n == 1 && v.m > 1) || narrow(v);
  d.vectors = d.swapped ? v.n : v.m, d.outputs = d.swapped ? v.m : v.n;
  d.dots = d.swapped ? !v.transpose_a : v.transpose_b || v.n == 1;
  d.block = d.dots ? kBlockRows : d.vectors > 1 ? kFewCols : kBlockCols;
  const int64_t wanted = gemm_tasks(v), blocks = ceil_div(d.outputs, d.block);
  d.parts = std::min(wanted, blocks);
  d.k_parts = std::max<int64_t>(1, std::min(wanted / d.parts, v.k / 64));
  if (d.vectors > 3) d.k_parts = std::max(d.k_parts, ceil_div(v.k, kDepth));
  d.k_parts = std::min(d.k_parts, most_partial_sums(v));
  return d;
}

Range outputs_of(const Vector& d, int64_t part) {
  const Range blocks = part_of(ceil_div(d.outputs, d.block), d.parts, part);
  return {blocks.begin * d.block, std::min(d.outputs, blocks.end * d.block)};
}

}  // namespace

bool supports_gemm_vector(const OpDescriptor& op) {
  const GemmShape& v = op.gemm;
  return v.m == 1 || v.n == 1 || few_rows(v) || narrow(v) ||
         (v.transpose_b && !v.transpose_a && v.m <= 16 && v.k >= 16 * v.m);
}

void prepare_gemm_vector(Prepared* p) {
  const GemmShape& v = p->op.gemm;
  const Vector d = state<Vector>(p) = plan(v);
  p->flops = gemm_flops(v), p->bytes = gemm_bytes(v);
  p->parallel = d.parts * d.k_parts > 1;
  p->workspace_bytes = copy_bytes(v) + (d.k_parts > 1 ? float_bytes(d.k_parts * v.m * v.n) : 0);
  p->scratch_bytes = 0;
}

void run_gemm_vector(const Prepared& p, const Operands& x, Context& context) {
  const GemmShape& v = p.op.gemm;
  const Vector& d = state<Vector>(p);
  const float *vectors = input(x, d.swapped), *const w = input(x, !d.swapped);
  float *const copy = static_cast<float*>(context.workspace), *const y = output(x, 0);
  float* const sums = d.k_parts > 1 ? copy + copy_bytes(v) / sizeof(float) : y;
  const int64_t width = d.swapped ? v.n : 1;  // of y at each output
  int64_t vector_row = v.k;
  const Epilogue& e = p.op.epilogue;
  const Finish after = {y, e.bias ? input(x, 2) : nullptr, e.relu_mask ? input(x, 3) : nullptr, v.n,
                        e.activation == Activation::kRelu};
  const auto finish = [&](Range outputs) {
    if (d.swapped)
      finish_block(after, outputs, {0, v.n});
    else
      finish_block(after, {0, v.m}, outputs);
  };

  if (copy_bytes(v)) {
    vector_row = width_of(v);
    parallel_for(*context.member, 1, [&](int64_t) {
      kernels().tile->pack(
          {vectors, 1, v.n, v.n, static_cast<int32_t>(v.k), static_cast<int32_t>(vector_row)}, copy);
    });
    vectors = copy;
  }
  parallel_for(*context.member, d.parts * d.k_parts, [&](int64_t task) {
    const Range outputs = outputs_of(d, task % d.parts);
    const Range k = part_of(v.k, d.k_parts, task / d.parts);
    const int64_t w_row = d.dots ? v.k : d.outputs, first = d.dots ? outputs.begin : k.begin;
    kernels().tile->vectors_times({vectors + k.begin, w + first * w_row + (d.dots ? k.begin : outputs.begin),
                                   sums + task / d.parts * v.m * v.n + outputs.begin * width, vector_row, 1,
                                   w_row, d.swapped ? 1 : d.outputs, k.end - k.begin,
                                   outputs.end - outputs.begin, static_cast<int32_t>(d.vectors), d.dots,
                                   width});
    if (d.k_parts == 1) finish(outputs);
  });
  if (d.k_parts > 1)
    parallel_for(*context.member, d.parts, [&](int64_t part) {
      const Range outputs = outputs_of(d, part);
      for (int64_t i = 0; i < (d.swapped ? 1 : d.vectors); ++i) {
        const int64_t at = i * d.outputs + outputs.begin * width;
        kernels().tile->sum_parts(sums + at, d.k_parts, v.m * v.n, (outputs.end - outputs.begin) * width,
                                  y + at);
      }
      finish(outputs);
    });
  finish_activation(context, e.activation, y, v.m * v.n);
}

}  // namespace cpu
}  // namespace fastcnn
