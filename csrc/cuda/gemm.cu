// SPDX-License-Identifier: Apache-2.0
// y[m,n] = op(a) op(b) + bias: the matrix product of every GPU. A long sum over few outputs is cut by shape
// alone; its parts are added in their order.
#include "reduce.h"
#include "tile.h"

namespace fastcnn {
namespace cuda {

namespace {

// An element of a matrix: outer * outer_step + inner * inner_step.
template <bool kFast>
struct Matrix {
  static constexpr bool kInnerFast = kFast;
  const float* data;
  int64_t step;  // of the index that is not contiguous
  int32_t outers;
  using Outer = int64_t;
  FASTCNN_INLINED Matrix bind(int) const { return *this; }
  FASTCNN_INLINED int depth(int k) const { return k; }
  FASTCNN_INLINED Outer outer(int i) const { return i < outers ? (kFast ? i * step : i) : -1; }
  FASTCNN_INLINED int64_t inner(int k) const { return kFast ? k : k * step; }
  FASTCNN_INLINED float get(Outer o, int64_t inner) const { return o < 0 ? 0.0f : data[o + inner]; }
};

struct Store {
  float* y;
  int64_t n, count;  // columns; elements of a part
  int32_t partial;
  AfterSum after;
  FASTCNN_INLINED Store bind(int) const { return *this; }
  FASTCNN_INLINED void operator()(int split, int m, int col, float sum) const {
    const int64_t at = m * n + col;
    if (partial)
      y[split * count + at] = sum;
    else
      y[at] = after(sum, at, col);
  }
};

Problem problem_of(const GemmShape& s) {
  Problem p = {int32_t(s.m), int32_t(s.n), int32_t(s.k), 1, 1, int32_t(s.k)};
  split_depth(&p);
  return p;
}

template <bool kFastA, bool kFastB>
void run(Context& context, const Problem& p, const GemmShape& s, const Operands& o, const Store& store) {
  const Matrix<kFastA> a = {input(o, 0), kFastA ? s.k : s.m, p.m};
  const Matrix<kFastB> b = {input(o, 1), kFastB ? s.k : s.n, p.n};
  multiply(context, p, a, b, store);
}

}  // namespace

bool supports_gemm_tiled(const OpDescriptor& op) {
  const GemmShape& s = op.gemm;
  constexpr int64_t kMost = INT32_MAX / 2;
  return known_epilogue(op.epilogue) && !op.epilogue.residual && s.m < kMost && s.n < kMost && s.k < kMost;
}
void prepare_gemm_tiled(Prepared* p) {
  const GemmShape& s = p->op.gemm;
  const double m = double(s.m), n = double(s.n), k = double(s.k);
  set_cost(p, 2 * m * n * k, 4 * (m * k + k * n + m * n));
  const Problem problem = problem_of(s);
  if (problem.splits > 1) p->workspace_bytes = sizeof(float) * size_t(problem.splits) * size_t(s.m * s.n);
}
void run_gemm_tiled(const Prepared& p, const Operands& o, Context& context) {
  const GemmShape& s = p.op.gemm;
  const Epilogue& e = p.op.epilogue;
  const Problem problem = problem_of(s);
  const bool split = problem.splits > 1;
  const AfterSum after = {e.bias ? input(o, 2) : nullptr, nullptr, e.relu_mask ? input(o, 3) : nullptr,
                          e.activation == Activation::kRelu};
  const Store store = {split ? static_cast<float*>(context.workspace) : output(o, 0), s.n, s.m * s.n, split,
                       after};
  if (s.transpose_a)
    s.transpose_b ? run<false, true>(context, problem, s, o, store)
                  : run<false, false>(context, problem, s, o, store);
  else
    s.transpose_b ? run<true, true>(context, problem, s, o, store)
                  : run<true, false>(context, problem, s, o, store);
  if (!split) return;
  const int64_t n = s.n;
  sum_parts(context, {store.y, s.m * s.n, problem.splits}, output(o, 0),
            [=] __device__(float sum, int64_t at) { return after(sum, at, at % n); });
}

}  // namespace cuda
}  // namespace fastcnn
