// SPDX-License-Identifier: Apache-2.0
// PReLU. The arrays are cut into runs under one row of alphas, or one alpha; where one short row of alphas
// serves all rows, a thread repeats it first, so that three channels make long runs too. The gradient of the
// alphas is summed in parts that are cut by shape alone and added in their order.
#include "kernels/prelu.h"

#include "blocking.h"
#include "repeat.h"

namespace fastcnn {
namespace cpu {

namespace {

// What the kernels see: rows of `cols` elements, `repeats` of the shape's own in each.
struct Runs {
  int64_t total, cols, repeats;
  const PreluShape& shape;

  explicit Runs(const PreluShape& s)
      : total(s.n * s.rows * s.cols), cols(s.cols), repeats(one_row(s) ? repeats_of(s.cols) : 1), shape(s) {
    cols *= repeats;
  }
  // All rows have the same alphas, one for each column.
  static bool one_row(const PreluShape& s) { return !s.shared && s.rank == 0; }

  int64_t alpha_of(int64_t row) const {
    int64_t at = 0;
    row %= shape.rows;
    for (int axis = shape.rank - 1; axis >= 0; --axis) {
      at += row % shape.size[axis] * shape.stride[axis];
      row /= shape.size[axis];
    }
    return at;
  }

  // Past the caches. Each run waits for its stores: runs of 256 elements took more than twice as long so.
  bool stream() const { return streams(double(total)) && cols >= kChunk; }

  // f(first element, its alpha, count) for the runs of [begin, end).
  template <class F>
  void for_each(int64_t begin, int64_t end, F f) const {
    while (begin < end) {
      const int64_t row = begin / cols, within = begin - row * cols;
      const int64_t count = std::min(cols - within, end - begin);
      f(begin, alpha_of(row) + (shape.shared ? 0 : within), count);
      begin += count;
    }
  }
};

size_t scratch_floats(const PreluShape& s) {
  const Runs runs(s);
  return runs.repeats > 1 ? runs.cols : 0;
}

// The alphas as the runs want them.
const float* repeated(const PreluShape& s, const float* alpha, Context& context) {
  if (scratch_floats(s) == 0) return alpha;
  float* to = static_cast<float*>(context.member->scratch(sizeof(float) * scratch_floats(s)));
  repeat_row(alpha, s.cols, to);
  return to;
}

void prepare(Prepared* p, const PreluShape& s, double flops, double arrays) {
  const double total = double(s.n) * s.rows * s.cols;
  set_cost(p, flops * total, 4 * (arrays * total + double(s.alphas)));
  p->scratch_bytes = sizeof(float) * scratch_floats(s);
}

// Parts of the sum over the batch: the partial sums shall take a fraction of the traffic.
struct Parts {
  int64_t count, sums, each;  // sums of a part; elements of one but the last

  explicit Parts(const PreluShape& s) {
    const Runs runs(s);
    sums = Runs::one_row(s) ? runs.cols : s.alphas;
    count =
        std::max<int64_t>(1, std::min({kTasks, ceil_div(runs.total, 2 * kChunk), runs.total / (4 * sums)}));
    each = ceil_div(ceil_div(runs.total, count), runs.cols) * runs.cols;
    count = ceil_div(runs.total, each);
  }
};

}  // namespace

bool supports_prelu_fwd_rows(const OpDescriptor&) { return true; }
void prepare_prelu_fwd_rows(Prepared* p) { prepare(p, p->op.prelu_fwd, 2, 2); }
void run_prelu_fwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  const PreluShape& s = p.op.prelu_fwd;
  const PreluKernels& k = *kernels().prelu;
  const Runs runs(s);
  const float *x = input(operands, 0), *alpha = repeated(s, input(operands, 1), context);
  float* y = output(operands, 0);
  const bool stream = runs.stream();
  for_each_chunk(context, runs.total, kChunk, [&](int64_t begin, int64_t end) {
    runs.for_each(begin, end, [&](int64_t i, int64_t a, int64_t count) {
      if (s.shared)
        k.fwd_shared(x + i, alpha[a], y + i, count, stream);
      else
        k.fwd(x + i, alpha + a, y + i, count, stream);
    });
  });
}

bool supports_prelu_bwd_rows(const OpDescriptor&) { return true; }
void prepare_prelu_bwd_rows(Prepared* p) { prepare(p, p->op.prelu_bwd, 2, 3); }
void run_prelu_bwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  const PreluShape& s = p.op.prelu_bwd;
  const PreluKernels& k = *kernels().prelu;
  const Runs runs(s);
  const float *dy = input(operands, 0), *x = input(operands, 1),
              *alpha = repeated(s, input(operands, 2), context);
  float* dx = output(operands, 0);
  const bool stream = runs.stream();
  for_each_chunk(context, runs.total, kChunk, [&](int64_t begin, int64_t end) {
    runs.for_each(begin, end, [&](int64_t i, int64_t a, int64_t count) {
      if (s.shared)
        k.bwd_shared({dy + i, x + i, dx + i, count, stream}, alpha[a]);
      else
        k.bwd({dy + i, x + i, dx + i, count, stream}, alpha + a);
    });
  });
}

bool supports_prelu_alpha_bwd_rows(const OpDescriptor&) { return true; }

void prepare_prelu_alpha_bwd_rows(Prepared* p) {
  const Parts parts(p->op.prelu_alpha_bwd);
  prepare(p, p->op.prelu_alpha_bwd, 3, 2);
  p->scratch_bytes = 0;
  p->workspace_bytes = float_bytes((parts.count + 1) * parts.sums);
}

void run_prelu_alpha_bwd_rows(const Prepared& p, const Operands& operands, Context& context) {
  const PreluShape& s = p.op.prelu_alpha_bwd;
  const PreluKernels& k = *kernels().prelu;
  const Runs runs(s);
  const Parts parts(s);
  const float *dy = input(operands, 0), *x = input(operands, 1);
  float* dalpha = output(operands, 0);
  float* const total = static_cast<float*>(context.workspace);
  float* const partial = total + parts.sums;
  parallel_for(*context.member, parts.count, [&](int64_t part) {
    float* const sums = partial + part * parts.sums;
    std::fill(sums, sums + parts.sums, 0.0f);
    const int64_t begin = part * parts.each, end = std::min(begin + parts.each, runs.total);
    runs.for_each(begin, end, [&](int64_t i, int64_t a, int64_t count) {
      if (s.shared)
        sums[a] += k.sum(dy + i, x + i, count);
      else
        k.accumulate(dy + i, x + i, sums + a, count);
    });
  });
  float* const to = runs.repeats > 1 ? total : dalpha;
  sum_parts(context, partial, parts.count, parts.sums, to);
  if (runs.repeats == 1) return;
  parallel_for(*context.member, 1, [&](int64_t) {
    for (int64_t c = 0; c < s.cols; ++c) {
      float sum = total[c];
      for (int64_t r = 1; r < runs.repeats; ++r) sum += total[r * s.cols + c];
      dalpha[c] = sum;
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
