// SPDX-License-Identifier: Apache-2.0
// Regularizers and constraints of one parameter: value and gradient of a penalty in chunks, and the norms of
// columns, each taken by one thread alone.
#include <cstring>

#include "update.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int64_t kColumns = 64;  // of one task: a cache line or more of each row
constexpr float kEpsilon = 1e-7f;

}  // namespace

bool supports_penalty_chunked(const OpDescriptor&) { return true; }

void prepare_penalty_chunked(Prepared* p) {
  const double count = double(p->op.penalty.count);
  set_cost(p, 6 * count, 12 * count);
  p->workspace_bytes = 2 * sizeof(double) * norm_chunks(p->op.penalty.count);
}

void run_penalty_chunked(const Prepared& p, const Operands& operands, Context& context) {
  const PenaltyShape& s = p.op.penalty;
  const OptimizerKernels& k = *kernels().optimizer;
  const float* w = input(operands, 0);
  float* gradient = output(operands, 0);
  double *const magnitudes = static_cast<double*>(context.workspace), *const squares =
                                                                          magnitudes + norm_chunks(s.count);
  for_each_chunk(context, s.count, kChunk, [&](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    magnitudes[begin / kChunk] = s.l1 != 0 ? k.sum_of_magnitudes(w + begin, count) : 0;
    squares[begin / kChunk] = s.l2 != 0 ? k.sum_of_squares(w + begin, count) : 0;
    if (!gradient) return;
    if (!s.adds) std::memset(gradient + begin, 0, size_t(count) * sizeof(float));
    k.penalize(w + begin, gradient + begin, count, float(s.l1), float(2 * s.l2));
  });
  parallel_for(*context.member, 1, [&](int64_t) {
    double magnitude = 0, square = 0;
    for (int64_t i = 0; i < norm_chunks(s.count); ++i) magnitude += magnitudes[i], square += squares[i];
    *static_cast<double*>(operands.out[1]) = s.l1 * magnitude + s.l2 * square;
  });
}

bool supports_constraint_columns(const OpDescriptor&) { return true; }

void prepare_constraint_columns(Prepared* p) {
  const ConstraintShape& s = p->op.constraint;
  const double count = double(s.outer) * double(s.mid) * double(s.inner);
  set_cost(p, 3 * count, 12 * count);
}

void run_constraint_columns(const Prepared& p, const Operands& operands, Context& context) {
  const ConstraintShape& s = p.op.constraint;
  const OptimizerKernels& k = *kernels().optimizer;
  float* const w = output(operands, 0);
  if (s.kind == ConstraintKind::kNonNegative) {
    for_each_chunk(context, s.outer * s.mid * s.inner, kChunk,
                   [&](int64_t begin, int64_t end) { k.not_negative(w + begin, end - begin); });
    return;
  }
  const int64_t blocks = ceil_div(s.inner, kColumns);
  parallel_for(*context.member, s.outer * blocks, [&](int64_t task) {
    const int64_t first = task % blocks * kColumns;
    const int64_t width = s.inner - first < kColumns ? s.inner - first : kColumns;
    float* const column = w + task / blocks * s.mid * s.inner + first;
    float factors[kColumns] = {};
    for (int64_t m = 0; m < s.mid; ++m) k.add_squares(column + m * s.inner, factors, width);
    for (int64_t c = 0; c < width; ++c) {
      const float norm = std::sqrt(factors[c]);
      const float clipped = norm < s.least ? s.least : norm > s.most ? s.most : norm;  // NaN stays
      factors[c] = (s.rate * clipped + (1 - s.rate) * norm) / (norm + kEpsilon);
    }
    for (int64_t m = 0; m < s.mid; ++m) k.multiply(column + m * s.inner, factors, width);
  });
}

}  // namespace cpu
}  // namespace fastcnn
