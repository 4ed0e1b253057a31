// SPDX-License-Identifier: Apache-2.0
// Steps that are sums over some dimensions: the gradient of a bias, of what was repeated, of PReLU's alphas;
// and bilinear enlargement, whose gradient is one.
#include "reduce.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kDims = kMaxRank + 2;

// Dimensions with the strides of up to three arrays.
struct Dims {
  int32_t rank;
  int64_t size[kDims], stride[3][kDims];
  FASTCNN_INLINED void add(int64_t i, int64_t (&at)[3]) const {
    for (int d = rank - 1; d >= 0; --d) {
      const int64_t rest = i / size[d], index = i - rest * size[d];
      for (int t = 0; t < 3; ++t) at[t] += index * stride[t][d];
      i = rest;
    }
  }
};

// The dimensions that a sum keeps, in the order of its outputs, and those that it is over.
struct SumState {
  Dims kept, summed;
  int64_t outputs, length;

  void add(int64_t size, bool keeps, int64_t a, int64_t b, int64_t c) {
    if (size == 1) return;
    Dims& dims = keeps ? kept : summed;
    (keeps ? outputs : length) *= size;
    dims.size[dims.rank] = size;
    dims.stride[0][dims.rank] = a, dims.stride[1][dims.rank] = b, dims.stride[2][dims.rank] = c;
    ++dims.rank;
  }
};

SumState sum_of(const BinaryShape& s) {
  SumState sum = {};
  sum.outputs = sum.length = 1;
  int64_t dense[kMaxRank], step = 1;
  for (int d = s.rank - 1; d >= 0; --d) dense[d] = step, step *= s.size[d];
  const int64_t* mine = s.which ? s.b_stride : s.a_stride;
  for (int d = 0; d < s.rank; ++d) sum.add(s.size[d], mine[d] != 0, dense[d], s.a_stride[d], s.b_stride[d]);
  return sum;
}

// Over the samples and the axes along which one alpha serves all.
SumState sum_of(const PreluShape& s) {
  SumState sum = {};
  sum.outputs = sum.length = 1;
  sum.add(s.n, false, s.rows * s.cols, 0, 0);
  int64_t step = s.rows * s.cols;
  if (s.rank == 0) sum.add(s.rows, false, s.cols, 0, 0);
  for (int d = 0; d < s.rank; ++d) {
    step /= s.size[d];
    sum.add(s.size[d], s.stride[d] != 0, step, 0, 0);
  }
  sum.add(s.cols, !s.shared, 1, 0, 0);
  return sum;
}

// Outputs of resize along one axis: between which pixels, and how far on the way.
struct Between {
  int64_t first, second;
  float of_first, of_second;
};
FASTCNN_INLINE double part_of_way(int64_t k, int64_t factor) {
  return double(2 * k + (factor % 2 == 0)) / double(2 * factor);
}
FASTCNN_INLINE Between between(int64_t output, int64_t factor, int64_t size) {
  const int64_t shifted = output - factor / 2 + factor, i = shifted / factor - 1;  // from -1
  const double t = part_of_way(shifted % factor, factor);
  return {i < 0 ? 0 : i, i + 1 < size ? i + 1 : i, float(1 - t), float(t)};
}
// The outputs that pixel i reaches, and the weight of one.
struct Reach {
  int64_t begin, middle, end;
  bool first, last;
};
FASTCNN_INLINE Reach reach(int64_t i, int64_t factor, int64_t size) {
  const int64_t middle = i * factor + factor / 2, out = size * factor;
  return {middle - factor > 0 ? middle - factor : 0, middle, middle + factor < out ? middle + factor : out,
          i == 0, i + 1 == size};
}
FASTCNN_INLINE float weight(const Reach& r, int64_t output, int64_t factor) {
  const int64_t at = output - r.middle;
  if (at < 0) return r.first ? 1.0f : float(part_of_way(at + factor, factor));
  return r.last ? 1.0f : float(1 - part_of_way(at, factor));
}

void prepare_sum(Prepared* p, const SumState& sum, int operations) {
  const double count = double(sum.outputs) * double(sum.length);
  set_cost(p, operations * count, 2 * bytes_of_number(p) * count);
  p->workspace_bytes = sum_terms_bytes(sum.outputs, sum.length);
}

void set_resize_cost(Prepared* p, const ResizeShape& s) {
  const double in = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  const double out = in * double(s.factor_h) * double(s.factor_w);
  set_cost(p, 6 * out, bytes_of_number(p) * (in + out));
}

template <class T>
void combine_backward(const Prepared& p, const Operands& o, Context& context) {
  const BinaryShape& s = p.op.binary_bwd;
  const SumState sum = sum_of(s);
  const T *const dy = input<T>(o, 0), *const a = input<T>(o, 1), *const b = input<T>(o, 2);
  const float scale = s.which && s.kind == Binary::kSubtract ? -s.scale : s.scale;
  const bool product = s.kind == Binary::kMultiply, of_b = s.which != 0;
  const bool selected = s.kind == Binary::kMaximum || s.kind == Binary::kMinimum;
  const float sign = s.kind == Binary::kMinimum ? -1.0f : 1.0f;
  sum_terms(
      context, sum.outputs, sum.length, output<T>(o, 0),
      [=] __device__(int64_t i, int64_t t) {
        int64_t at[3] = {0, 0, 0};
        sum.kept.add(i, at), sum.summed.add(t, at);
        const float g = dy[at[0]];
        if (product) return g * float(of_b ? a[at[1]] : b[at[2]]);
        if (!selected) return g;
        const float x = a[at[1]], y = b[at[2]];
        const bool a_wins = x * sign >= y * sign || x != x;
        return a_wins != of_b ? g : 0.0f;
      },
      [=] __device__(float total, int64_t) { return total * scale; });
}

template <class T>
void prelu_alphas(const Prepared& p, const Operands& o, Context& context) {
  const SumState sum = sum_of(p.op.prelu_alpha_bwd);
  const T *const dy = input<T>(o, 0), *const x = input<T>(o, 1);
  sum_terms(
      context, sum.outputs, sum.length, output(o, 0),
      [=] __device__(int64_t i, int64_t t) {
        int64_t at[3] = {0, 0, 0};
        sum.kept.add(i, at), sum.summed.add(t, at);
        const float v = x[at[0]];
        return v > 0.0f ? 0.0f : float(dy[at[0]]) * v;
      },
      AsItIs{});
}

template <class T>
void enlarge(const Prepared& p, const Operands& o, Context& context) {
  const ResizeShape s = p.op.resize_fwd;
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  const int64_t height = s.h * s.factor_h, width = s.w * s.factor_w;
  for_each(context, s.n * height * width * s.c, [=] __device__(int64_t i) {
    const int64_t pixel = i / s.c, c = i - pixel * s.c, line = pixel / width, n = line / height;
    const Between v = between(line - n * height, s.factor_h, s.h),
                  u = between(pixel - line * width, s.factor_w, s.w);
    const auto column = [&](int64_t w) {
      const T* const at = x + (n * s.h * s.w + w) * s.c + c;
      return fma(v.of_second, float(at[v.second * s.w * s.c]), v.of_first * float(at[v.first * s.w * s.c]));
    };
    y[i] = fma(u.of_second, column(u.second), u.of_first * column(u.first));
  });
}

template <class T>
void enlarge_backward(const Prepared& p, const Operands& o, Context& context) {
  const ResizeShape s = p.op.resize_bwd;
  const T* const dy = input<T>(o, 0);
  T* const dx = output<T>(o, 0);
  const int64_t height = s.h * s.factor_h, width = s.w * s.factor_w;
  for_each(context, s.n * s.h * s.w * s.c, [=] __device__(int64_t i) {
    const int64_t pixel = i / s.c, c = i - pixel * s.c, line = pixel / s.w, n = line / s.h;
    const Reach v = reach(line - n * s.h, s.factor_h, s.h), u = reach(pixel - line * s.w, s.factor_w, s.w);
    float sum = 0.0f;
    for (int64_t q = u.begin; q < u.end; ++q) {
      float mixed = 0.0f;
      for (int64_t p = v.begin; p < v.end; ++p)
        mixed = fma(weight(v, p, s.factor_h), float(dy[((n * height + p) * width + q) * s.c + c]), mixed);
      sum = fma(weight(u, q, s.factor_w), mixed, sum);
    }
    dx[i] = sum;
  });
}

}  // namespace

bool supports_column_sum_parts(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_column_sum_parts(Prepared* p) {
  const RowsShape& s = p->op.column_sum;
  set_cost(p, double(s.rows) * double(s.cols), bytes_of_number(p) * double(s.rows) * double(s.cols));
  p->workspace_bytes = sum_terms_bytes(s.cols, s.rows);
}
void run_column_sum_parts(const Prepared& p, const Operands& o, Context& context) {
  const RowsShape& s = p.op.column_sum;
  p.op.storage == Storage::kBfloat16
      ? column_sum(context, input<Bfloat16>(o, 0), s.rows, s.cols, output(o, 0))
      : column_sum(context, input(o, 0), s.rows, s.cols, output(o, 0));
}

bool supports_binary_bwd_nest(const OpDescriptor& op) {
  return plain(op.epilogue) && op.binary_bwd.rank >= 1 && op.binary_bwd.rank <= kMaxRank;
}
void prepare_binary_bwd_nest(Prepared* p) { prepare_sum(p, sum_of(p->op.binary_bwd), 2); }
void run_binary_bwd_nest(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, combine_backward)(p, o, context);
}

bool supports_prelu_alpha_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_prelu_alpha_bwd_rows(Prepared* p) { prepare_sum(p, sum_of(p->op.prelu_alpha_bwd), 3); }
void run_prelu_alpha_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, prelu_alphas)(p, o, context);
}

bool supports_resize_fwd_bilinear(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_resize_fwd_bilinear(Prepared* p) { set_resize_cost(p, p->op.resize_fwd); }
void run_resize_fwd_bilinear(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, enlarge)(p, o, context);
}

bool supports_resize_bwd_bilinear(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_resize_bwd_bilinear(Prepared* p) { set_resize_cost(p, p->op.resize_bwd); }
void run_resize_bwd_bilinear(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, enlarge_backward)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
