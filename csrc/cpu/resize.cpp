// SPDX-License-Identifier: Apache-2.0
// Bilinear enlargement by whole factors with half-pixel centres, and its gradient, one axis after the other:
// an output row is mixed from two input rows in the thread's scratch and then spread; for the gradient of an
// input row the output rows are mixed first and then collected.
#include "kernels/resize.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int kWeights = 64;  // rows that one call mixes

double part_of_way(int64_t k, int64_t factor) {
  return double(2 * k + (factor % 2 == 0)) / double(2 * factor);
}

void set_resize_cost(Prepared* p, const ResizeShape& s, int64_t scratch_row) {
  const double in = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  const double out = in * double(s.factor_h) * double(s.factor_w);
  set_cost(p, 3 * (out + in * double(s.factor_h)), 4 * (in + out));
  p->scratch_bytes = sizeof(float) * scratch_row;
}

}  // namespace

bool supports_resize_fwd_bilinear(const OpDescriptor&) { return true; }

void prepare_resize_fwd_bilinear(Prepared* p) {
  const ResizeShape& s = p->op.resize_fwd;
  set_resize_cost(p, s, s.w * s.c);
}

void run_resize_fwd_bilinear(const Prepared& p, const Operands& operands, Context& context) {
  const ResizeShape& s = p.op.resize_fwd;
  const ResizeKernels& table = *kernels().resize;
  const int64_t pitch = s.w * s.c, out_pitch = pitch * s.factor_w, out_rows = s.h * s.factor_h;
  float* row = static_cast<float*>(context.member->scratch(p.scratch_bytes));
  const bool stream = streams(double(s.n) * double(out_rows) * double(out_pitch));
  for_each_chunk(context, s.n * out_rows, rows_per_chunk(out_pitch), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t image = r / out_rows, shifted = r % out_rows - s.factor_h / 2 + s.factor_h;
      const int64_t i = shifted / s.factor_h - 1;  // from -1
      const double t = part_of_way(shifted % s.factor_h, s.factor_h);
      const int64_t first = i < 0 ? 0 : i, second = i + 1 < s.h ? i + 1 : i;
      const float weights[2] = {float(1 - t), float(t)};
      table.mix(input(operands, 0) + (image * s.h + first) * pitch, (second - first) * pitch, weights, 2, row,
                pitch, false);
      table.spread(row, output(operands, 0) + r * out_pitch, {s.w, s.c, s.factor_w, stream});
    }
  });
}

bool supports_resize_bwd_bilinear(const OpDescriptor&) { return true; }

void prepare_resize_bwd_bilinear(Prepared* p) {
  const ResizeShape& s = p->op.resize_bwd;
  set_resize_cost(p, s, s.w * s.factor_w * s.c);
}

void run_resize_bwd_bilinear(const Prepared& p, const Operands& operands, Context& context) {
  const ResizeShape& s = p.op.resize_bwd;
  const ResizeKernels& table = *kernels().resize;
  const int64_t pitch = s.w * s.c, out_pitch = pitch * s.factor_w, out_rows = s.h * s.factor_h;
  float* mixed = static_cast<float*>(context.member->scratch(p.scratch_bytes));
  for_each_chunk(context, s.n * s.h, rows_per_chunk(out_pitch * s.factor_h), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t i = r % s.h, middle = i * s.factor_h + s.factor_h / 2;
      const float* dy = input(operands, 0) + r / s.h * out_rows * out_pitch;
      const int64_t first = middle - s.factor_h > 0 ? middle - s.factor_h : 0;
      const int64_t stop = middle + s.factor_h < out_rows ? middle + s.factor_h : out_rows;
      for (int64_t from = first; from < stop; from += kWeights) {
        float weights[kWeights];
        const int64_t rows = stop - from < kWeights ? stop - from : kWeights;
        for (int64_t k = 0; k < rows; ++k) {
          const int64_t at = from + k - middle;  // from -factor to factor - 1
          double w = part_of_way(at < 0 ? at + s.factor_h : at, s.factor_h);
          if (at < 0)
            w = i == 0 ? 1 : w;
          else
            w = i + 1 == s.h ? 1 : 1 - w;
          weights[k] = float(w);
        }
        table.mix(dy + from * out_pitch, out_pitch, weights, rows, mixed, out_pitch, from > first);
      }
      table.collect(mixed, output(operands, 0) + r * pitch, {s.w, s.c, s.factor_w, 0});
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
