// SPDX-License-Identifier: Apache-2.0
// Pairs of samples: weighted means, or a box of one in the other; the pairs, weights and boxes of a batch,
// drawn (base/mix_draw.h); and labels as rows that can be mixed.
#include <algorithm>
#include <cstring>

#include "../base/mix_draw.h"
#include "chunks.h"
#include "kernels.h"
#include "kernels/adjust.h"

namespace fastcnn {
namespace cpu {

namespace {

// Sample i takes the place of one up to it.
void draw_pairs(const MixShape& s, const RunScalars& scalars, int64_t* index) {
  for (int64_t i = 0; i < s.n; ++i) {
    const int64_t j = place_taken(s, scalars, i);
    index[i] = index[j];
    index[j] = i;
  }
}

struct Pairs {
  const int64_t *index, *boxes;
  const float* weights;
  int64_t size;  // of a sample

  Pairs(const MixShape& s, const Operands& operands)
      : index(static_cast<const int64_t*>(operands.in[1])),
        boxes(static_cast<const int64_t*>(operands.in[3])),
        weights(input(operands, 2)),
        size(s.h * s.w * s.c) {}
};

// f(first float of a row of the box, floats) for each of its rows.
template <class F>
void for_each_row(const MixShape& s, const int64_t* box, F f) {
  for (int64_t row = box[0]; row < box[1] && box[2] < box[3]; ++row)
    f((row * s.w + box[2]) * s.c, (box[3] - box[2]) * s.c);
}

void set_mix_cost(Prepared* p) {
  const MixShape& s = p->op.mix;
  const double count = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  set_cost(p, s.boxed ? 0 : 2 * count, (s.boxed ? 8 : 12) * count);
}

}  // namespace

bool supports_mix_pairs(const OpDescriptor&) { return true; }
void prepare_mix_pairs(Prepared* p) { set_mix_cost(p); }

void run_mix_pairs(const Prepared& p, const Operands& operands, Context& context) {
  const MixShape& s = p.op.mix;
  const Pairs of(s, operands);
  parallel_for(*context.member, s.n, [&](int64_t i) {
    const float *a = input(operands, 0) + i * of.size, *b = input(operands, 0) + of.index[i] * of.size;
    float* y = output(operands, 0) + i * of.size;
    if (!s.boxed) return kernels().adjust->blend(a, b, y, of.size, of.weights[i], 1 - of.weights[i]);
    std::memcpy(y, a, sizeof(float) * of.size);
    for_each_row(s, of.boxes + 4 * i,
                 [&](int64_t at, int64_t count) { std::memcpy(y + at, b + at, sizeof(float) * count); });
  });
}

bool supports_mix_bwd_pairs(const OpDescriptor&) { return true; }
void prepare_mix_bwd_pairs(Prepared* p) { set_mix_cost(p); }

// Sample j hands its part back to i = index[j], which no other does.
void run_mix_bwd_pairs(const Prepared& p, const Operands& operands, Context& context) {
  const MixShape& s = p.op.mix_bwd;
  const Pairs of(s, operands);
  parallel_for(*context.member, s.n, [&](int64_t j) {
    const int64_t i = of.index[j];
    const float *own = input(operands, 0) + i * of.size, *other = input(operands, 0) + j * of.size;
    float* dx = output(operands, 0) + i * of.size;
    if (!s.boxed) return kernels().adjust->blend(own, other, dx, of.size, of.weights[i], 1 - of.weights[j]);
    std::memcpy(dx, own, sizeof(float) * of.size);
    for_each_row(s, of.boxes + 4 * i,
                 [&](int64_t at, int64_t count) { std::memset(dx + at, 0, sizeof(float) * count); });
    for_each_row(s, of.boxes + 4 * j, [&](int64_t at, int64_t count) {
      kernels().adjust->blend(other + at, dx + at, dx + at, count, 1, 1);
    });
  });
}

bool supports_mix_draw_philox(const OpDescriptor&) { return true; }
void prepare_mix_draw_philox(Prepared* p) { set_cost(p, 0, 44 * double(p->op.mix_draw.n)); }

void run_mix_draw_philox(const Prepared& p, const Operands& operands, Context& context) {
  const MixShape& s = p.op.mix_draw;
  const RunScalars& scalars = *context.scalars;
  auto* const index = static_cast<int64_t*>(operands.out[0]);  // [n]
  auto* const boxes = static_cast<int64_t*>(operands.out[2]);  // [n, 4]
  const double a = parameter_of(s, scalars);
  constexpr int64_t kSamples = 256;  // of a task
  const int64_t chunks = ceil_div(s.n, kSamples);
  parallel_for(*context.member, chunks + 1, [&](int64_t task) {
    if (task == chunks) return draw_pairs(s, scalars, index);
    const int64_t end = std::min(s.n, (task + 1) * kSamples);
    for (int64_t i = task * kSamples; i < end; ++i) {
      const MixedSample sample = mixed_sample(s, scalars, a, i);
      output(operands, 1)[i] = sample.weight;
      if (s.boxed) std::copy(sample.box, sample.box + 4, boxes + 4 * i);
    }
  });
}

bool supports_one_hot_rows(const OpDescriptor&) { return true; }

void prepare_one_hot_rows(Prepared* p) {
  const RowsShape& s = p->op.one_hot;
  set_cost(p, 0, 4 * double(s.rows) * double(s.cols + 1));
}

void run_one_hot_rows(const Prepared& p, const Operands& operands, Context& context) {
  const RowsShape& s = p.op.one_hot;
  const auto labels = static_cast<const int32_t*>(operands.in[0]);  // [rows]
  for_each_chunk(context, s.rows, rows_per_chunk(s.cols), [&](int64_t begin, int64_t end) {
    std::fill(output(operands, 0) + begin * s.cols, output(operands, 0) + end * s.cols, 0.0f);
    for (int64_t row = begin; row < end; ++row) output(operands, 0)[row * s.cols + labels[row]] = 1;
  });
}

}  // namespace cpu
}  // namespace fastcnn
