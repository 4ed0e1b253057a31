// SPDX-License-Identifier: Apache-2.0
// What happens to parameters and their gradients: optimizers in one launch, the mean of several gradients,
// limits of a norm, penalties, constraints. The numbers of a step follow from RunScalars in the GPU's memory,
// so that a captured graph serves every step: each block works them out for itself.
#include "../base/update.h"
#include "reduce.h"

#include "../base/formulas/optimizer.h"

namespace fastcnn {
namespace cuda {

namespace {

template <class Rule>
__global__ void __launch_bounds__(kThreads)
    update_all(OptimizerShape s, OptimizerRun arrays, const RunScalars* scalars) {
  __shared__ OptimizerRun numbers;
  __shared__ bool due;
  if (threadIdx.x == 0) {
    const Update update = update_of(s.rule.accumulation, *scalars);
    due = update.due;
    numbers = numbers_of(s, update, scalars->learning_rate);
  }
  __syncthreads();
  if (!due) return;
  OptimizerRun a = numbers;
  a.gradient = arrays.gradient, a.parameters = arrays.parameters, a.average = arrays.average;
  for (int i = 0; i < 3; ++i) a.slot[i] = arrays.slot[i];
  const int64_t step = int64_t(kThreads) * gridDim.x;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < s.count; i += step) {
    if (a.idle)
      update<Sgd>(a, One{}, i);
    else
      update<Rule>(a, One{}, i);
  }
}

template <class Rule>
void start(const OptimizerShape& s, const OptimizerRun& arrays, Context& context) {
  FASTCNN_LAUNCH(update_all<Rule>, blocks_for(s.count, kThreads), kThreads, stream_of(context))
  (s, arrays, context.scalars);
}

using Start = void (*)(const OptimizerShape&, const OptimizerRun&, Context&);

Start start_of(const OptimizerShape& s) {
  switch (s.optimizer) {
    case Optimizer::kSgd:
      return s.momentum == 0 ? start<Sgd>
             : s.nesterov    ? start<SgdWithMomentum<true>>
                             : start<SgdWithMomentum<false>>;
    case Optimizer::kAdam:
      return s.amsgrad ? start<Adam<true>> : start<Adam<false>>;
    case Optimizer::kRmsprop:
      if (s.centered) return s.momentum > 0 ? start<Rmsprop<true, true>> : start<Rmsprop<true, false>>;
      return s.momentum > 0 ? start<Rmsprop<false, true>> : start<Rmsprop<false, false>>;
    case Optimizer::kAdagrad:
      return start<Adagrad>;
    case Optimizer::kAdadelta:
      return start<Adadelta>;
    case Optimizer::kAdamax:
      return start<Adamax>;
    case Optimizer::kNadam:
      return start<Nadam>;
    case Optimizer::kLion:
      return start<Lion>;
    case Optimizer::kFtrl:
      return s.power != -0.5 ? start<Ftrl<true>> : start<Ftrl<false>>;
  }
  return nullptr;
}

// Sums of chunks in double, then of the chunks by one block, in their order.
constexpr int64_t kChunk = 8192;
int64_t chunks(int64_t count) { return ceil_div(count, kChunk); }

struct NormSums {
  double squares, magnitudes;
};

template <class T>
FASTCNN_INLINE NormSums sums_of_chunk(T, const float* x, int64_t count, int64_t chunk) {
  const int64_t begin = chunk * kChunk, end = begin + kChunk < count ? begin + kChunk : count;
  NormSums sums = {0.0, 0.0};
  for (int64_t i = begin + T::rank(); i < end; i += T::kWidth) {
    const double v = double(x[i]);
    sums.squares += v * v, sums.magnitudes += v < 0.0 ? -v : v;
  }
  return {T::sum(sums.squares), T::sum(sums.magnitudes)};
}

// finish(sums) by one thread.
template <class F>
void sum_norms(Context& context, const float* x, int64_t count, NormSums* parts, F finish) {
  const int64_t number = chunks(count);
  for_each_row(context, number, kChunk, [=] __device__(auto team, int64_t chunk) {
    const NormSums sums = sums_of_chunk(team, x, count, chunk);
    if (team.rank() == 0) parts[chunk] = sums;
  });
  once(context, [=] __device__() {
    NormSums total = {0.0, 0.0};
    for (int64_t i = 0; i < number; ++i)
      total.squares += parts[i].squares, total.magnitudes += parts[i].magnitudes;
    finish(total);
  });
}

// Muon, workspace: partial norms | norm | two matrices X | A | A A | a I + b A + c A A | the products' own.
struct MuonSizes {
  int64_t count, side;
  bool tall;
};
MuonSizes sizes_of(const MuonShape& s) {
  return {s.rows * s.cols, s.rows < s.cols ? s.rows : s.cols, s.rows > s.cols};
}
struct MuonSpace {
  NormSums* partial;
  double* norm;
  float *x[2], *a, *a2, *polynomial;
  void* gemm;
  size_t bytes;
};
MuonSpace space_of(const MuonShape& s, void* memory) {
  const MuonSizes z = sizes_of(s);
  MuonSpace w = {};
  const auto take = [&](size_t bytes) {
    char* at = static_cast<char*>(memory) + w.bytes;
    w.bytes += (bytes + 255) / 256 * 256;
    return at;
  };
  w.partial = reinterpret_cast<NormSums*>(take(sizeof(NormSums) * size_t(chunks(z.count))));
  w.norm = reinterpret_cast<double*>(take(sizeof(double)));
  for (float*& x : w.x) x = reinterpret_cast<float*>(take(sizeof(float) * size_t(z.count)));
  for (float** m : {&w.a, &w.a2, &w.polynomial})
    *m = reinterpret_cast<float*>(take(sizeof(float) * size_t(z.side * z.side)));
  w.gemm = take(0);
  return w;
}

struct MuonProducts {
  Prepared square, square_of_square, apply;
};
Prepared gemm_of(int64_t m, int64_t n, int64_t k, int32_t transpose_a, int32_t transpose_b) {
  Prepared p = {};
  p.op.step = Step::k_gemm;
  p.op.gemm = {m, n, k, transpose_a, transpose_b};
  prepare_gemm_tiled(&p);
  return p;
}
MuonProducts products_of(const MuonShape& s) {
  const MuonSizes z = sizes_of(s);
  const int64_t k = z.side;
  return {gemm_of(k, k, z.tall ? s.rows : s.cols, z.tall, !z.tall), gemm_of(k, k, k, 0, 0),
          gemm_of(s.rows, s.cols, k, 0, 0)};
}
void product(const Prepared& p, const float* a, const float* b, float* y, Context& context) {
  Operands o = {};
  o.in[0] = a, o.in[1] = b, o.out[0] = y;
  run_gemm_tiled(p, o, context);
}

}  // namespace

bool supports_optimizer_flat(const OpDescriptor& op) { return start_of(op.optimizer) != nullptr; }
void prepare_optimizer_flat(Prepared* p) {
  const OptimizerShape& s = p->op.optimizer;
  const double arrays = 3 + 2 * (s.slots + s.rule.use_ema);  // gradient read, the others read and written
  set_cost(p, 2 * arrays * double(s.count), 4 * arrays * double(s.count));
}
void run_optimizer_flat(const Prepared& p, const Operands& o, Context& context) {
  const OptimizerShape& s = p.op.optimizer;
  OptimizerRun arrays = {};
  arrays.gradient = input(o, 0), arrays.parameters = output(o, 0);
  for (int i = 0; i < 3; ++i) arrays.slot[i] = output(o, 1 + i);
  arrays.average = s.rule.use_ema ? output(o, 1 + s.slots) : nullptr;
  start_of(s)(s, arrays, context);
}

bool supports_accumulate_flat(const OpDescriptor&) { return true; }
void prepare_accumulate_flat(Prepared* p) {
  const double count = double(p->op.accumulate.count);
  set_cost(p, count, 12 * count);
}
void run_accumulate_flat(const Prepared& p, const Operands& o, Context& context) {
  const AccumulateShape s = p.op.accumulate;
  float *gradient = output(o, 0), *sum = output(o, 1);
  const RunScalars* scalars = context.scalars;
  for_each(context, s.count, [=] __device__(int64_t i) {
    if (update_of(s.accumulation, *scalars).due) {
      gradient[i] = (gradient[i] + sum[i]) / float(s.accumulation);
      sum[i] = 0.0f;
    } else {
      sum[i] += gradient[i];
    }
  });
}

bool supports_clip_norm_chunked(const OpDescriptor&) { return true; }
void prepare_clip_norm_chunked(Prepared* p) {
  const double count = double(p->op.clip_norm.count);
  set_cost(p, 3 * count, 12 * count);
  p->workspace_bytes = sizeof(NormSums) * size_t(chunks(p->op.clip_norm.count) + 1);
}
void run_clip_norm_chunked(const Prepared& p, const Operands& o, Context& context) {
  const ClipNormShape s = p.op.clip_norm;
  float* gradient = output(o, 0);
  auto* const parts = static_cast<NormSums*>(context.workspace);
  auto* const norm = reinterpret_cast<double*>(parts + chunks(s.count));
  const RunScalars* scalars = context.scalars;
  sum_norms(context, gradient, s.count, parts,
            [=] __device__(const NormSums& total) { *norm = ::sqrt(total.squares); });
  for_each(context, s.count, [=] __device__(int64_t i) {
    // Not so for NaN, which spreads, and infinity, whose share of itself is NaN.
    if (!update_of(s.accumulation, *scalars).due || *norm <= s.limit) return;
    gradient[i] *= *norm > 1.7976931348623157e308 ? __builtin_nanf("") : float(s.limit / *norm);
  });
}

bool supports_penalty_chunked(const OpDescriptor&) { return true; }
void prepare_penalty_chunked(Prepared* p) {
  const double count = double(p->op.penalty.count);
  set_cost(p, 6 * count, 12 * count);
  p->workspace_bytes = sizeof(NormSums) * size_t(chunks(p->op.penalty.count));
}
void run_penalty_chunked(const Prepared& p, const Operands& o, Context& context) {
  const PenaltyShape s = p.op.penalty;
  const float* w = input(o, 0);
  float* gradient = output(o, 0);
  auto* value = static_cast<double*>(o.out[1]);
  sum_norms(context, w, s.count, static_cast<NormSums*>(context.workspace),
            [=] __device__(const NormSums& total) {
              *value = (s.l1 != 0 ? s.l1 * total.magnitudes : 0.0) + (s.l2 != 0 ? s.l2 * total.squares : 0.0);
            });
  if (!gradient) return;
  const float l1 = float(s.l1), two_l2 = float(2 * s.l2);
  for_each(context, s.count, [=] __device__(int64_t i) {
    const float v = w[i], sign = v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : v;  // 0 and NaN as they are
    gradient[i] = (s.adds ? gradient[i] : 0.0f) + (l1 * sign + two_l2 * v);
  });
}

bool supports_constraint_columns(const OpDescriptor&) { return true; }
void prepare_constraint_columns(Prepared* p) {
  const ConstraintShape& s = p->op.constraint;
  const double count = double(s.outer) * double(s.mid) * double(s.inner);
  set_cost(p, 3 * count, 12 * count);
}
void run_constraint_columns(const Prepared& p, const Operands& o, Context& context) {
  const ConstraintShape s = p.op.constraint;
  float* const w = output(o, 0);
  if (s.kind == ConstraintKind::kNonNegative) {
    for_each(context, s.outer * s.mid * s.inner, [=] __device__(int64_t i) { w[i] = relu(w[i]); });
    return;
  }
  for_each(context, s.outer * s.inner, [=] __device__(int64_t i) {
    float* const column = w + i / s.inner * s.mid * s.inner + i % s.inner;
    float squares = 0.0f;
    for (int64_t m = 0; m < s.mid; ++m) squares += column[m * s.inner] * column[m * s.inner];
    const float norm = sqrt(squares);
    const float clipped = norm < s.least ? s.least : norm > s.most ? s.most : norm;  // NaN stays
    const float factor = (s.rate * clipped + (1.0f - s.rate) * norm) / (norm + 1e-7f);
    for (int64_t m = 0; m < s.mid; ++m) column[m * s.inner] *= factor;
  });
}

bool supports_muon_newton_schulz(const OpDescriptor&) { return true; }
void prepare_muon_newton_schulz(Prepared* p) {
  const MuonShape& s = p->op.muon;
  const MuonProducts products = products_of(s);
  size_t own = 0;
  p->flops = 8.0 * double(s.rows) * double(s.cols), p->bytes = 48.0 * double(s.rows) * double(s.cols);
  for (const Prepared* each : {&products.square, &products.square_of_square, &products.apply}) {
    own = own > each->workspace_bytes ? own : each->workspace_bytes;
    p->flops += s.iterations * each->flops, p->bytes += s.iterations * each->bytes;
  }
  p->workspace_bytes = space_of(s, nullptr).bytes + own;
}
// On a step that makes no update the products are made for nothing: what is due is known on the GPU alone.
void run_muon_newton_schulz(const Prepared& p, const Operands& o, Context& context) {
  const MuonShape s = p.op.muon;
  const MuonSizes z = sizes_of(s);
  const MuonProducts products = products_of(s);
  const MuonSpace w = space_of(s, context.workspace);
  Context inner = context;
  inner.workspace = w.gemm;
  const float* gradient = input(o, 0);
  float *parameters = output(o, 0), *momentum = output(o, 1),
        *average = s.rule.use_ema ? output(o, 2) : nullptr;
  const RunScalars* scalars = context.scalars;
  float *first = w.x[0], *polynomial_of_a = w.polynomial;
  double* const norm = w.norm;

  for_each(context, z.count, [=] __device__(int64_t i) {
    const Update update = update_of(s.rule.accumulation, *scalars);
    if (!update.due) {
      first[i] = 0.0f;
      return;
    }
    OptimizerRun run = run_of(s.rule, update, scalars->learning_rate);
    run.momentum = s.momentum, run.gradient = gradient, run.slot[0] = momentum, run.slot[1] = first;
    if (s.nesterov)
      MuonDirection<true>::step(run, One{}, i);
    else
      MuonDirection<false>::step(run, One{}, i);
  });
  sum_norms(context, first, z.count, w.partial,
            [=] __device__(const NormSums& total) { *norm = ::sqrt(total.squares); });
  for_each(context, z.count, [=] __device__(int64_t i) { first[i] *= float(1 / (*norm + 1e-7)); });
  for (int i = 0; i < s.iterations; ++i) {
    const float *x = w.x[i % 2], *a = w.a, *a2 = w.a2;
    product(products.square, x, x, w.a, inner);
    product(products.square_of_square, w.a, w.a, w.a2, inner);
    for_each(context, z.side * z.side, [=] __device__(int64_t at) {
      const float v = s.b * a[at] + s.c * a2[at];
      polynomial_of_a[at] = at % (z.side + 1) == 0 ? v + s.a : v;
    });
    float* y = w.x[(i + 1) % 2];
    if (z.tall)
      product(products.apply, x, w.polynomial, y, inner);
    else
      product(products.apply, w.polynomial, x, y, inner);
  }
  const float* x = w.x[s.iterations % 2];
  for_each(context, z.count, [=] __device__(int64_t i) {
    const Update due = update_of(s.rule.accumulation, *scalars);
    if (!due.due) return;
    OptimizerRun run = run_of(s.rule, due, scalars->learning_rate);
    run.clip = HUGE_VALF;
    run.rate = float(double(run.rate) * s.adjustment);
    run.gradient = x, run.parameters = parameters, run.average = average;
    update<Sgd>(run, One{}, i);
  });
}

}  // namespace cuda
}  // namespace fastcnn
