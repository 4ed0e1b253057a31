// SPDX-License-Identifier: Apache-2.0
// Pairs of samples: weighted means, or a box of one in the other; the pairs, weights and boxes of a batch,
// drawn (base/mix_draw.h); and labels as rows that can be mixed. All have the bits of the CPU's.
#include "../base/mix_draw.h"
#include "launch.h"

namespace fastcnn {
namespace cuda {

namespace {

struct Pairs {
  MixShape s;
  int64_t size;          // of a sample
  const int64_t* index;  // [n], the other sample of each
  const int64_t* boxes;  // [n, 4]
  const float* weight;   // [n]

  Pairs(const MixShape& shape, const Operands& o)
      : s(shape),
        size(s.h * s.w * s.c),
        index(static_cast<const int64_t*>(o.in[1])),
        boxes(static_cast<const int64_t*>(o.in[3])),
        weight(input(o, 2)) {}

  // Whether number `at` of a sample lies in its box.
  FASTCNN_INLINED bool boxed(int64_t sample, int64_t at) const {
    const int64_t* box = boxes + 4 * sample;
    const int64_t row = at / (s.w * s.c), col = at / s.c - row * s.w;
    return row >= box[0] && row < box[1] && col >= box[2] && col < box[3];
  }
};

void set_mix_cost(Prepared* p) {
  const MixShape& s = p->op.mix;
  const double count = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  set_cost(p, s.boxed ? 0 : 2 * count, (s.boxed ? 8 : 12) * count);
}

}  // namespace

bool supports_mix_elements(const OpDescriptor&) { return true; }
void prepare_mix_elements(Prepared* p) { set_mix_cost(p); }
void run_mix_elements(const Prepared& p, const Operands& o, Context& context) {
  const Pairs of(p.op.mix, o);
  const float* x = input(o, 0);
  float* y = output(o, 0);
  for_each(context, of.s.n * of.size, [=] __device__(int64_t i) {
    const int64_t sample = i / of.size, at = i - sample * of.size;
    const float a = x[i], b = x[of.index[sample] * of.size + at];
    if (of.s.boxed)
      y[i] = of.boxed(sample, at) ? b : a;
    else
      y[i] = fma(of.weight[sample], a, b * (1.0f - of.weight[sample]));
  });
}

bool supports_mix_bwd_elements(const OpDescriptor&) { return true; }
void prepare_mix_bwd_elements(Prepared* p) { set_mix_cost(p); }
// Sample j hands its part back to i = index[j], which no other does.
void run_mix_bwd_elements(const Prepared& p, const Operands& o, Context& context) {
  const Pairs of(p.op.mix_bwd, o);
  const float* dy = input(o, 0);
  float* dx = output(o, 0);
  for_each(context, of.s.n * of.size, [=] __device__(int64_t e) {
    const int64_t j = e / of.size, at = e - j * of.size, i = of.index[j];
    const float own = dy[i * of.size + at], other = dy[e];
    if (of.s.boxed) {
      const float kept = of.boxed(i, at) ? 0.0f : own;
      dx[i * of.size + at] = of.boxed(j, at) ? other + kept : kept;
    } else {
      dx[i * of.size + at] = fma(of.weight[i], own, other * (1.0f - of.weight[j]));
    }
  });
}

// The places that samples take, one after the other on the CPU, are drawn first: then each sample follows
// itself. From place j at time i it comes to place t when t, the first after that time, takes j.
bool supports_mix_draw_philox(const OpDescriptor&) { return true; }
void prepare_mix_draw_philox(Prepared* p) {
  set_cost(p, 0, 44 * double(p->op.mix_draw.n));
  p->workspace_bytes = sizeof(int64_t) * size_t(p->op.mix_draw.n);
}
void run_mix_draw_philox(const Prepared& p, const Operands& o, Context& context) {
  const MixShape s = p.op.mix_draw;
  const RunScalars* scalars = context.scalars;
  auto* const taken = static_cast<int64_t*>(context.workspace);
  auto* const index = static_cast<int64_t*>(o.out[0]);
  auto* const boxes = static_cast<int64_t*>(o.out[2]);
  float* const weight = output(o, 1);
  for_each(context, s.n, [=] __device__(int64_t i) {
    const MixedSample sample = mixed_sample(s, *scalars, parameter_of(s, *scalars), i);
    taken[i] = place_taken(s, *scalars, i);
    weight[i] = sample.weight;
    for (int side = 0; s.boxed && side < 4; ++side) boxes[4 * i + side] = sample.box[side];
  });
  for_each(context, s.n, [=] __device__(int64_t i) {
    int64_t place = taken[i];
    for (int64_t t = i + 1; t < s.n; ++t)
      if (taken[t] == place) place = t;
    index[place] = i;
  });
}

bool supports_one_hot_elements(const OpDescriptor&) { return true; }
void prepare_one_hot_elements(Prepared* p) {
  const RowsShape& s = p->op.one_hot;
  set_cost(p, 0, 4 * double(s.rows) * double(s.cols + 1));
}
void run_one_hot_elements(const Prepared& p, const Operands& o, Context& context) {
  const int64_t cols = p.op.one_hot.cols;
  const auto* labels = static_cast<const int32_t*>(o.in[0]);  // [rows]
  float* y = output(o, 0);
  for_each(context, p.op.one_hot.rows * cols, [=] __device__(int64_t i) {
    const int64_t row = i / cols;
    y[i] = i - row * cols == labels[row] ? 1.0f : 0.0f;
  });
}

}  // namespace cuda
}  // namespace fastcnn
