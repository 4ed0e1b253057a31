// SPDX-License-Identifier: Apache-2.0
// y[m,n] = op(a) op(b) + bias as a product of two matrices, for whichever kernel multiplies. A long sum over
// few outputs is cut by shape alone; its parts are added in their order.
#pragma once
#include "split.h"

FASTCNN_FORMULAS_BEGIN

// An element of a matrix: outer * outer_step + inner * inner_step.
template <bool kFast, class T>
struct Matrix {
  static constexpr bool kInnerFast = kFast;
  using Number = T;
  const T* data;
  int64_t step;  // of the index that is not contiguous
  int32_t outers;
  using Outer = int64_t;
  FASTCNN_INLINED Matrix bind(int) const { return *this; }
  FASTCNN_INLINED int depth(int k) const { return k; }
  FASTCNN_INLINED Outer outer(int i) const { return i < outers ? (kFast ? i * step : i) : -1; }
  FASTCNN_INLINED int64_t inner(int k) const { return kFast ? k : k * step; }
  FASTCNN_INLINED const T* at(Outer o, int64_t inner) const { return o < 0 ? nullptr : data + o + inner; }
  bool by_sixteen_bytes() const { return step % kSixteenBytes<T> == 0 && aligned_to(data, 16); }
};

template <class T>
struct MatrixStore : Results<T> {
  int64_t n, count;  // columns; elements of a part
  FASTCNN_INLINED MatrixStore bind(int) const { return *this; }
  FASTCNN_INLINED int64_t place(int split, int m, int col) const { return split * count + m * n + col; }
  FASTCNN_INLINED int64_t column(int col) const { return col; }
  bool in_fours() const { return n % 4 == 0 && this->aligned_to_fours(); }
};

inline Problem problem_of(const OpDescriptor& op) {
  const GemmShape& s = op.gemm;
  Problem p = {int32_t(s.m), int32_t(s.n), int32_t(s.k), 1, 1, int32_t(s.k), op.precision};
  split_depth(&p, false);
  return p;
}

inline bool supports_gemm(const OpDescriptor& op) {
  const GemmShape& s = op.gemm;
  constexpr int64_t kMost = INT32_MAX / 2;
  if (op.storage == Storage::kWidening && !plain(op.epilogue)) return false;
  return known_epilogue(op.epilogue) && !op.epilogue.residual && s.m < kMost && s.n < kMost && s.k < kMost;
}
inline void prepare_gemm(Prepared* p) {
  const GemmShape& s = p->op.gemm;
  const double m = double(s.m), n = double(s.n), k = double(s.k);
  set_cost(p, 2 * m * n * k, bytes_of_number(p) * (m * k + k * n + m * n));
  p->workspace_bytes = split_bytes(problem_of(p->op), s.m * s.n);
}

template <class Kernel, bool kFastA, bool kFastB, class T>
void multiply_matrices(Context& context, const GemmShape& s, const Problem& p, const Operands& o,
                       const MatrixStore<T>& store) {
  const Matrix<kFastA, T> a = {input<T>(o, 0), kFastA ? s.k : s.m, p.m};
  const Matrix<kFastB, T> b = {input<T>(o, 1), kFastB ? s.k : s.n, p.n};
  Kernel::multiply(context, p, a, b, store);
}

template <class Kernel, class T>
void run_gemm(const Prepared& p, const Operands& o, Context& context) {
  const GemmShape& s = p.op.gemm;
  const Problem problem = problem_of(p.op);
  const bool split = problem.splits > 1;
  const auto after = after_of<T>(p, o.in[2], nullptr, o.in[3]);
  float* const parts = parts_of(p, split, o, context);
  const MatrixStore<T> store = {{output<T>(o, 0), parts, after}, s.n, s.m * s.n};
  if (s.transpose_a)
    s.transpose_b ? multiply_matrices<Kernel, false, true>(context, s, problem, o, store)
                  : multiply_matrices<Kernel, false, false>(context, s, problem, o, store);
  else
    s.transpose_b ? multiply_matrices<Kernel, true, true>(context, s, problem, o, store)
                  : multiply_matrices<Kernel, true, false>(context, s, problem, o, store);
  if (!split) return;
  const PartialSums sums = {parts, s.m * s.n, problem.splits};
  if (p.op.storage == Storage::kWidening) return sum_parts(context, sums, output(o, 0));
  finish_parts(context, sums, output<T>(o, 0), after, s.n);
}
template <class Kernel>
void run_gemm(const Prepared& p, const Operands& o, Context& context) {
  by_storage(p, run_gemm<Kernel, float>, run_gemm<Kernel, Bfloat16>)(p, o, context);
}

FASTCNN_FORMULAS_END
