// SPDX-License-Identifier: Apache-2.0
// One step of Muon on a matrix of parameters W [rows, cols] (K. Jordan et al., 2024): the momentum U of its
// gradient is brought near the nearest orthogonal matrix by the Newton-Schulz iteration
//
//   X = U / (norm(U) + 1e-7);  X <- (a I + b A + c A A) X, A = X X^T (several times);  W -= rate X
//
// or A = X^T X and X on its left where that is smaller, so A is [k, k] with k = min(rows, cols). The products
// are gemm steps. Workspace: partial norms | two matrices X | A | A A | a I + b A + c A A | the gemms' own.
#include "blocking.h"
#include "cpu.h"
#include "kernels/elementwise.h"
#include "update.h"

namespace fastcnn {
namespace cpu {
namespace {

struct Sizes {
  int64_t count, side;  // elements of W, of a row of A
  bool tall;            // more rows than columns
};

Sizes sizes_of(const MuonShape& s) { return {s.rows * s.cols, std::min(s.rows, s.cols), s.rows > s.cols}; }

struct Products {
  Prepared square, square_of_square, apply;
};

Prepared product(const Backend& backend, const GemmShape& shape) {
  OpDescriptor op{};
  op.step = Step::k_gemm;
  op.gemm = shape;
  Prepared prepared;
  Status status{};
  backend.prepare(&op, &prepared, &status);  // every gemm without an epilogue has a row
  return prepared;
}

Products products_of(const MuonShape& s) {
  const Sizes z = sizes_of(s);
  const int64_t k = z.side;
  return {product(backend(), {k, k, z.tall ? s.rows : s.cols, z.tall, !z.tall}),
          product(backend(), {k, k, k, 0, 0}), product(backend(), {s.rows, s.cols, k, 0, 0})};
}

struct Workspace {
  double* partial;
  float *x[2], *a, *a2, *polynomial;
  void* gemm;
  size_t bytes;  // up to the gemms' own
};

Workspace workspace_of(const MuonShape& s, void* memory) {
  const Sizes z = sizes_of(s);
  Workspace w{};
  const auto take = [&](size_t bytes) {
    char* at = static_cast<char*>(memory) + w.bytes;
    w.bytes += (bytes + 63) / 64 * 64;
    return at;
  };
  w.partial = reinterpret_cast<double*>(take(sizeof(double) * (norm_chunks(z.count) + 1)));
  for (float*& x : w.x) x = reinterpret_cast<float*>(take(float_bytes(z.count)));
  for (float** m : {&w.a, &w.a2, &w.polynomial})
    *m = reinterpret_cast<float*>(take(float_bytes(z.side * z.side)));
  w.gemm = take(0);
  return w;
}

void multiply(const Prepared& gemm, const float* a, const float* b, float* y, Context& context) {
  const Operands operands = {{a, b}, {y}};
  backend().run(&gemm, &operands, &context);
}

}  // namespace

bool supports_muon_newton_schulz(const OpDescriptor&) { return true; }

void prepare_muon_newton_schulz(Prepared* p) {
  const MuonShape& s = p->op.muon;
  const Products products = products_of(s);
  char nothing;
  const Workspace w = workspace_of(s, &nothing);
  p->flops = 8.0 * s.rows * s.cols, p->bytes = 48.0 * s.rows * s.cols;
  size_t own = 0;
  for (const Prepared* each : {&products.square, &products.square_of_square, &products.apply}) {
    own = std::max(own, each->workspace_bytes);
    p->scratch_bytes = std::max(p->scratch_bytes, each->scratch_bytes);
    p->parallel = p->parallel || each->parallel;
    p->flops += s.iterations * each->flops, p->bytes += s.iterations * each->bytes;
  }
  p->workspace_bytes = w.bytes + own;
  p->parallel = p->parallel || p->bytes >= kParallelBytes;
}

void run_muon_newton_schulz(const Prepared& p, const Operands& operands, Context& context) {
  const MuonShape& s = p.op.muon;
  const Update update = update_of(s.rule.accumulation, *context.scalars);
  if (!update.due) return;
  const Sizes z = sizes_of(s);
  const OptimizerKernels& k = *kernels().optimizer;
  const Products products = products_of(s);
  const Workspace w = workspace_of(s, context.workspace);
  Context inner = context;
  inner.workspace = w.gemm;

  OptimizerRun numbers = run_of(s.rule, update, context.scalars->learning_rate);
  numbers.momentum = s.momentum;
  for_each_chunk(context, z.count, kChunk, [&](int64_t begin, int64_t end) {
    OptimizerRun run = numbers;
    run.gradient = input(operands, 0) + begin;
    run.slot[0] = output(operands, 1) + begin, run.slot[1] = w.x[0] + begin;
    run.count = end - begin;
    k.muon_direction[s.nesterov != 0](run);
  });
  const double* norm = norm_of(context, w.x[0], z.count, w.partial);
  for_each_chunk(context, z.count, kChunk, [&](int64_t begin, int64_t end) {
    const float scale = float(1 / (*norm + 1e-7));
    kernels().elementwise->rescale(w.x[0] + begin, w.x[0] + begin, end - begin, scale, 0);
  });

  const int64_t rows_at_once = rows_per_chunk(z.side);
  for (int i = 0; i < s.iterations; ++i) {
    const float* x = w.x[i % 2];
    float* y = w.x[(i + 1) % 2];
    multiply(products.square, x, x, w.a, inner);
    multiply(products.square_of_square, w.a, w.a, w.a2, inner);
    for_each_chunk(context, z.side, rows_at_once, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * z.side;
      k.polynomial(w.a + at, w.a2 + at, w.polynomial + at, (end - begin) * z.side, {s.b, s.c});
      for (int64_t row = begin; row < end; ++row) w.polynomial[row * (z.side + 1)] += s.a;
    });
    if (z.tall)
      multiply(products.apply, x, w.polynomial, y, inner);
    else
      multiply(products.apply, w.polynomial, x, y, inner);
  }

  numbers.clip = std::numeric_limits<float>::infinity();
  numbers.rate = float(double(numbers.rate) * s.adjustment);
  const float* x = w.x[s.iterations % 2];
  for_each_chunk(context, z.count, kChunk, [&](int64_t begin, int64_t end) {
    OptimizerRun run = numbers;
    run.gradient = x + begin;
    run.parameters = output(operands, 0) + begin;
    run.average = s.rule.use_ema ? output(operands, 2) + begin : nullptr;
    run.count = end - begin;
    k.sgd(run, true);
  });
}

}  // namespace cpu
}  // namespace fastcnn
