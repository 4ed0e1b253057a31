// SPDX-License-Identifier: Apache-2.0
// Convolutions whose groups are narrow, depthwise ones above all, where a matrix product would be nearly
// empty: a thread to an output, neighbouring channels by neighbouring threads, and four of them where groups
// have one channel and arrays are aligned so.
#include "measure.h"
#include "places.h"
#include "reduce.h"
#include "tile.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kNarrow = 16;     // channels of a group
constexpr int kAcross = kWarp;  // channels of a block that measures

template <class Shape>
bool supports(const Shape& s, const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  if (op.step == Step::k_conv2d_fprop) e.statistics = 0;
  if (!walk_fits(s) || !known_epilogue(e)) return false;
  const ConvWalk w = walk_of(s);
  if (w.image > INT32_MAX || w.gradient > INT32_MAX) return false;
  if (op.epilogue.statistics && w.n * w.gradient / w.k * ceil_div(w.k, kAcross) > INT32_MAX) return false;
  return w.groups > 1 && w.group_c <= kNarrow && w.group_k <= kNarrow;
}

int64_t weights_of(const ConvWalk& w) { return int64_t(w.taps()) * w.group_c * w.k; }
int64_t outputs_of(const ConvWalk& w) { return w.n * w.gradient / w.k; }

template <class Shape>
void prepare(Prepared* p, const Shape& s) {
  const ConvWalk w = walk_of(s);
  const double y = double(w.n) * double(w.gradient), x = double(w.n) * double(w.image);
  const double taps = double(w.taps()) * w.group_c;
  const double statistics = p->op.epilogue.statistics ? bytes_of_statistics(outputs_of(w), w.k) : 0;
  set_cost(p, 2 * y * taps, bytes_of_number(p) * (x + y + taps * w.k) + statistics);
  state<ConvWalk>(p) = w;
}

// Groups of one channel, four of which may go together.
bool depthwise(const ConvWalk& w) { return w.group_c == 1 && w.group_k == 1 && w.c % 4 == 0; }

template <int kC, class T>
FASTCNN_INLINE void add_products(const Together<T, kC>& x, const Together<T, kC>& y, float (&sum)[kC]) {
  FASTCNN_UNROLL
  for (int k = 0; k < kC; ++k) sum[k] = fma(float(x.of[k]), float(y.of[k]), sum[k]);
}
template <int kC, class T>
FASTCNN_INLINE void add_products(const T* x, const T* y, float (&sum)[kC]) {
  add_products<kC>(Together<T, kC>::at(x), Together<T, kC>::at(y), sum);
}

// make(place) for every output: a block has some channels of a part, which it then measures.
template <int kC, class T, class F>
__global__ void __launch_bounds__(kThreads) each_measured(Measured<T> measured, Places places, F make) {
  constexpr int kUnits = kAcross / kC;
  const RowsOfTile& of = measured.of;
  const int across = (of.columns + kAcross - 1) / kAcross, part = int(blockIdx.x) / across;
  const int m0 = part * int(kStatisticsRows), n0 = (int(blockIdx.x) - part * across) * kAcross;
  for (int i = int(threadIdx.x); i < int(kStatisticsRows) * kUnits; i += kThreads) {
    const int row = m0 + i / kUnits, column = n0 + i % kUnits * kC;
    if (row < of.rows && column < of.columns) make(places.at(0, row, column / kC));
  }
  __syncthreads();
  measured.template tile<kStatisticsRows, kAcross>(m0, n0, int(threadIdx.x) / kWarp, kThreads / kWarp);
}

// The convolution of one channel with each group of three taps along rows, undilated: a thread makes
// neighbouring outputs of four channels, so that a column and a tap are read once for them, four with a
// stride of 1. kBack: the gradient of such a one, from dy, its taps in the same order.
template <class T>
struct RowsOfThree {
  const T *x, *weights;
  T* y;
  AfterSum<T> after;
};
bool has_rows_of_three(const ConvWalk& w) { return depthwise(w) && w.w.taps == 3 && w.w.dilation == 1; }

template <int kStride, bool kBack, class T>
void rows_of_three(Context& context, const ConvWalk& w, const RowsOfThree<T>& of) {
  constexpr int kC = 4, kOutputs = kStride == 1 ? 4 : 2, kColumns = (kOutputs - 1) * kStride + 3;
  const auto from = [](const ConvAxis& a) { return kBack ? a.out : a.in; };
  const auto to = [](const ConvAxis& a) { return kBack ? a.in : a.out; };
  const int32_t depth = from(w.d), height = from(w.h), width = from(w.w), rows = to(w.h), outputs = to(w.w);
  const int64_t image = kBack ? w.gradient : w.image, image_of_y = kBack ? w.image : w.gradient;
  const Places places = Places::of(w.n, to(w.d), to(w.h), (outputs + kOutputs - 1) / kOutputs, w.k / kC);
  for_each_place(context, places, [=] __device__(const UnitPlace& at) {
    const auto first = [](const ConvAxis& a, int32_t i) { return kBack ? i + a.pad : i * a.stride - a.pad; };
    const int32_t step_d = kBack ? -w.d.dilation : w.d.dilation,
                  step_h = kBack ? -w.h.dilation : w.h.dilation;
    const int32_t e = at.w * kOutputs, q = kBack ? e + w.w.pad - 2 : e * kStride - w.w.pad, k = at.c * kC;
    const T *const x = of.x + at.n * image + k, *by = of.weights + k;
    bool there[kColumns];
    FASTCNN_UNROLL
    for (int j = 0; j < kColumns; ++j) there[j] = uint32_t(q + j) < uint32_t(width);
    float sum[kOutputs][kC] = {};
    for (int32_t t = 0, d = first(w.d, at.d); t < w.d.taps; ++t, d += step_d)
      for (int32_t r = 0, h = first(w.h, at.h); r < w.h.taps; ++r, h += step_h, by += 3 * w.k) {
        if (uint32_t(d) >= uint32_t(depth) || uint32_t(h) >= uint32_t(height)) continue;
        const T* const row = x + ((d * height + h) * width + q) * w.k;
        Together<T, kC> tap[3], column[kColumns];
        FASTCNN_UNROLL
        for (int s = 0; s < 3; ++s) tap[s] = Together<T, kC>::at(by + s * w.k);
        FASTCNN_UNROLL
        for (int j = 0; j < kColumns; ++j)
          if (there[j]) column[j] = Together<T, kC>::at(row + j * w.k);
        FASTCNN_UNROLL
        for (int i = 0; i < kColumns; ++i) {
          const int j = kBack ? kColumns - 1 - i : i;
          FASTCNN_UNROLL
          for (int output = 0; output < kOutputs; ++output) {
            const int s = j - output * kStride;
            if (s < 0 || s > 2 || !there[j]) continue;
            add_products<kC>(column[j], tap[kBack ? 2 - s : s], sum[output]);
          }
        }
      }
    const int64_t y = at.n * image_of_y + ((at.d * rows + at.h) * outputs + e) * w.k + k;
    FASTCNN_UNROLL
    for (int output = 0; output < kOutputs; ++output)
      if (e + output < outputs) put_sums<kC>(of.after, sum[output], of.y, y + output * w.k, k);
  });
}

template <int kC, class T, class F>
void for_each_measured(Context& context, const Operands& o, const ConvWalk& w, F make) {
  const Measured<T> measured = measured_of<T>(o, true, {int32_t(outputs_of(w)), w.k, w.k});
  const int64_t blocks = statistics_parts(measured.of.rows) * ceil_div(measured.of.columns, kAcross);
  FASTCNN_LAUNCH((each_measured<kC, T, F>), unsigned(blocks), kThreads, stream_of(context))
  (measured, Places::of(w.n, w.d.out, w.h.out, w.w.out, w.k / kC), make);
}

template <int kC, class T>
void fprop(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk w = state<ConvWalk>(p);
  const T *const all_x = input<T>(o, 0), *const weights = input<T>(o, 1);
  T* const y = output<T>(o, 0);
  const auto after = after_of<T>(p, o.in[2], o.in[3], nullptr);
  const auto make = [=] __device__(const UnitPlace& at) {
    const int32_t k = at.c * kC, group_c = kC == 1 ? w.group_c : 1;
    const int32_t d0 = at.d * w.d.stride - w.d.pad, h0 = at.h * w.h.stride - w.h.pad,
                  w0 = at.w * w.w.stride - w.w.pad;
    const T* const x = all_x + at.n * w.image + (kC == 1 ? k / w.group_k * group_c : k);
    const int64_t next = int64_t(group_c) * w.k;
    const T* by = weights + k;
    float sum[kC] = {};
    for (int32_t t = 0, d = d0; t < w.d.taps; ++t, d += w.d.dilation)
      for (int32_t r = 0, h = h0; r < w.h.taps; ++r, h += w.h.dilation, by += w.w.taps * next) {
        if (uint32_t(d) >= uint32_t(w.d.in) || uint32_t(h) >= uint32_t(w.h.in)) continue;
        const int32_t row = (d * w.h.in + h) * w.w.in;
        for (int32_t s = 0, q = w0; s < w.w.taps; ++s, q += w.w.dilation) {
          if (uint32_t(q) >= uint32_t(w.w.in)) continue;
          for (int32_t c = 0; c < group_c; ++c)
            add_products<kC>(x + (row + q) * w.c + c, by + s * next + int64_t(c) * w.k, sum);
        }
      }
    put_sums<kC>(after, sum, y, at.unit * kC, k);
  };
  if (p.op.epilogue.statistics) return for_each_measured<kC, T>(context, o, w, make);
  for_each_place(context, Places::of(w.n, w.d.out, w.h.out, w.w.out, w.k / kC), make);
}
// Of what has been made.
template <class T>
void measure(Context& context, const Operands& o, const ConvWalk& w) {
  for_each_measured<4, T>(context, o, w, [] __device__(const UnitPlace&) {});
}
template <class T>
void run_fprop(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const T* const residual = p.op.epilogue.residual ? input<T>(o, 3) : nullptr;
  const bool fours = depthwise(w) && aligned_to_fours<T>({o.in[0], o.in[1], residual, o.out[0]});
  if (!fours || !has_rows_of_three(w) || w.w.stride > 2)
    return (fours ? fprop<4, T> : fprop<1, T>)(p, o, context);
  const auto rows = w.w.stride == 1 ? rows_of_three<1, false, T> : rows_of_three<2, false, T>;
  const auto after = after_of<T>(p, o.in[2], residual, nullptr);
  rows(context, w, {input<T>(o, 0), input<T>(o, 1), output<T>(o, 0), after});
  if (p.op.epilogue.statistics) measure<T>(context, o, w);
}

template <int kC, class T>
void dgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk w = state<ConvWalk>(p);
  const T *const all_dy = input<T>(o, 0), *const weights = input<T>(o, 1);
  T* const dx = output<T>(o, 0);
  const auto after = after_of<T>(p, o.in[3], o.in[4], o.in[2]);
  const Divisor by_d = Divisor::of(w.d.stride), by_h = Divisor::of(w.h.stride),
                by_w = Divisor::of(w.w.stride);
  for_each_place(context, Places::of(w.n, w.d.in, w.h.in, w.w.in, w.c / kC),
                 [=] __device__(const UnitPlace& at) {
                   // The window of which a pixel that lies so far behind its beginning is a tap, -1 if none.
                   const auto window = [](int32_t distance, const Divisor& stride, int32_t windows) {
                     const int32_t i = distance / stride;
                     return distance < 0 || i * stride.by != distance || i >= windows ? -1 : i;
                   };
                   const int32_t channel = at.c * kC, group_k = kC == 1 ? w.group_k : 1;
                   const int32_t group = kC == 1 ? channel / w.group_c : channel,
                                 c = kC == 1 ? channel - group * w.group_c : 0;
                   const T* const dy = all_dy + at.n * w.gradient + group * group_k;
                   const T* by = weights + int64_t(c) * w.k + group * group_k;
                   const int64_t next = int64_t(kC == 1 ? w.group_c : 1) * w.k;
                   float sum[kC] = {};
                   for (int32_t t = 0, d = at.d + w.d.pad; t < w.d.taps; ++t, d -= w.d.dilation) {
                     const int32_t z = window(d, by_d, w.d.out);
                     for (int32_t r = 0, h = at.h + w.h.pad; r < w.h.taps;
                          ++r, h -= w.h.dilation, by += w.w.taps * next) {
                       const int32_t y = window(h, by_h, w.h.out);
                       if (z < 0 || y < 0) continue;
                       const int32_t row = (z * w.h.out + y) * w.w.out;
                       for (int32_t s = 0, e = at.w + w.w.pad; s < w.w.taps; ++s, e -= w.w.dilation) {
                         const int32_t q = window(e, by_w, w.w.out);
                         if (q < 0) continue;
                         for (int32_t k = 0; k < group_k; ++k)
                           add_products<kC>(dy + (row + q) * w.k + k, by + s * next + k, sum);
                       }
                     }
                   }
                   put_sums<kC>(after, sum, dx, at.unit * kC, channel);
                 });
}
template <class T>
void run_dgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const T* const mask = p.op.epilogue.relu_mask ? input<T>(o, 2) : nullptr;
  const T* const residual = p.op.epilogue.residual ? input<T>(o, 4) : nullptr;
  const bool fours = depthwise(w) && aligned_to_fours<T>({o.in[0], o.in[1], mask, residual, o.out[0]});
  if (!fours || !has_rows_of_three(w) || w.d.stride != 1 || w.h.stride != 1 || w.w.stride != 1)
    return (fours ? dgrad<4, T> : dgrad<1, T>)(p, o, context);
  const auto after = after_of<T>(p, o.in[3], residual, mask);
  rows_of_three<1, true, T>(context, w, {input<T>(o, 0), input<T>(o, 1), output<T>(o, 0), after});
}

// A thread takes three neighbouring taps of some channels and a part of the pixels, of which it waits for two
// at a time: dy is read once for the taps.
constexpr int kTaps = 3, kPixels = 2;
constexpr int64_t kLeastPixels = 16, kMostParts = 1024;

Places wgrad_places(const ConvWalk& w, int32_t parts, int32_t channels) {
  const int32_t rows = w.d.taps * w.h.taps, columns = (w.w.taps + kTaps - 1) / kTaps;
  return Places::of(parts, rows, columns, w.group_c, w.k / channels);
}
Cut cut_wgrad(const ConvWalk& w) {
  const int64_t threads = wgrad_places(w, 1, depthwise(w) ? 4 : 1).image(), length = outputs_of(w);
  int64_t parts = ceil_div(kEnoughThreads, threads);
  const int64_t most = ceil_div(length, kLeastPixels);
  parts = parts < most ? parts : most;
  const int64_t each = ceil_div(length, parts < kMostParts ? parts : kMostParts);
  return {ceil_div(length, each), each};
}

void prepare_wgrad(Prepared* p) {
  const ConvWalk& w = state<ConvWalk>(*p);
  const size_t dw = sizeof(float) * size_t(weights_of(w) * cut_wgrad(w).parts);
  const size_t db = p->op.epilogue.bias ? sum_terms_bytes(w.k, outputs_of(w)) : 0;
  p->workspace_bytes = dw > db ? dw : db;
}

template <int kC, class T>
void wgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk w = state<ConvWalk>(p);
  const Cut cut = cut_wgrad(w);
  const int64_t count = weights_of(w);
  const int32_t length = int32_t(outputs_of(w));
  const T *const all_x = input<T>(o, 0), *const all_dy = input<T>(o, 1);
  float* const to = static_cast<float*>(context.workspace);
  const Places outputs = Places::of(w.n, w.d.out, w.h.out, w.w.out, 1);
  const Divisor by_height = Divisor::of(w.h.taps);
  for_each_place(context, wgrad_places(w, int32_t(cut.parts), kC), [=] __device__(const UnitPlace& at) {
    const int32_t t = at.d / by_height, r = at.d - t * w.h.taps, first_tap = at.h * kTaps, k = at.c * kC;
    const int32_t channel = kC == 1 ? k / w.group_k * w.group_c + at.w : k;
    const int32_t taps = w.w.taps - first_tap < kTaps ? w.w.taps - first_tap : kTaps;
    const int32_t begin = int32_t(at.n * cut.each);
    const int32_t end = length - begin < cut.each ? length : begin + int32_t(cut.each);
    UnitPlace out = outputs.at(0, begin, 0);
    float sum[kTaps][kC] = {};
    for (int32_t pixel = begin; pixel < end;) {
      const int32_t row = w.w.out - out.w < end - pixel ? w.w.out - out.w : end - pixel;
      const int32_t d = out.d * w.d.stride - w.d.pad + t * w.d.dilation,
                    h = out.h * w.h.stride - w.h.pad + r * w.h.dilation;
      if (uint32_t(d) < uint32_t(w.d.in) && uint32_t(h) < uint32_t(w.h.in)) {
        const T* const x = all_x + out.n * w.image + (d * w.h.in + h) * w.w.in * w.c + channel;
        const T* dy = all_dy + int64_t(pixel) * w.k + k;
        int32_t q = out.w * w.w.stride - w.w.pad + first_tap * w.w.dilation;
        for (int32_t i = 0; i < row; i += kPixels, q += kPixels * w.w.stride, dy += kPixels * w.k) {
          Together<T, kC> gradient[kPixels], from[kPixels][kTaps];
          bool there[kPixels][kTaps];
          FASTCNN_UNROLL
          for (int j = 0; j < kPixels; ++j) {
            if (i + j < row) gradient[j] = Together<T, kC>::at(dy + j * w.k);
            FASTCNN_UNROLL
            for (int s = 0; s < kTaps; ++s) {
              const int32_t e = q + j * w.w.stride + s * w.w.dilation;
              there[j][s] = i + j < row && s < taps && uint32_t(e) < uint32_t(w.w.in);
              if (there[j][s]) from[j][s] = Together<T, kC>::at(x + e * w.c);
            }
          }
          FASTCNN_UNROLL
          for (int j = 0; j < kPixels; ++j) FASTCNN_UNROLL
          for (int s = 0; s < kTaps; ++s)
            if (there[j][s]) add_products<kC>(from[j][s], gradient[j], sum[s]);
        }
      }
      pixel += row, out.w = 0;
      if (++out.h < w.h.out) continue;
      out.h = 0;
      if (++out.d == w.d.out) out.d = 0, ++out.n;
    }
    float* const part = to + at.n * count + k;
    const int64_t row_of_taps = int64_t(at.d) * w.w.taps + first_tap;
    FASTCNN_UNROLL
    for (int s = 0; s < kTaps; ++s) {
      Together<float, kC> sums;
      FASTCNN_UNROLL
      for (int c = 0; c < kC; ++c) sums.of[c] = sum[s][c];
      if (s < taps) sums.put(part + ((row_of_taps + s) * w.group_c + at.w) * w.k);
    }
  });
  add_parts<T>(context, p, {to, count, cut.parts}, o);
}

template <class T>
void run_wgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const bool fours = depthwise(w) && aligned_to_fours<T>({o.in[0], o.in[1]});
  (fours ? wgrad<4, T> : wgrad<1, T>)(p, o, context);
  if (p.op.epilogue.bias) column_sum(context, input<T>(o, 1), outputs_of(w), w.k, output(o, 1));
}

}  // namespace

#define FASTCNN_CONV(axes)                                                                       \
  bool supports_conv##axes##_fprop_grouped(const OpDescriptor& op) {                             \
    return supports(op.conv##axes##_fprop, op) && !op.epilogue.relu_mask;                        \
  }                                                                                              \
  void prepare_conv##axes##_fprop_grouped(Prepared* p) { prepare(p, p->op.conv##axes##_fprop); } \
  void run_conv##axes##_fprop_grouped(const Prepared& p, const Operands& o, Context& context) {  \
    FASTCNN_BY_STORAGE(p, run_fprop)(p, o, context);                                             \
  }                                                                                              \
  bool supports_conv##axes##_dgrad_grouped(const OpDescriptor& op) {                             \
    const bool adds = op.epilogue.residual && op.step != Step::k_conv2d_dgrad;                   \
    return supports(op.conv##axes##_dgrad, op) && !adds;                                         \
  }                                                                                              \
  void prepare_conv##axes##_dgrad_grouped(Prepared* p) { prepare(p, p->op.conv##axes##_dgrad); } \
  void run_conv##axes##_dgrad_grouped(const Prepared& p, const Operands& o, Context& context) {  \
    FASTCNN_BY_STORAGE(p, run_dgrad)(p, o, context);                                             \
  }                                                                                              \
  bool supports_conv##axes##_wgrad_grouped(const OpDescriptor& op) {                             \
    Epilogue e = op.epilogue;                                                                    \
    e.bias = 0;                                                                                  \
    return plain(e) && supports(op.conv##axes##_wgrad, op) &&                                    \
           outputs_of(walk_of(op.conv##axes##_wgrad)) < INT32_MAX;                               \
  }                                                                                              \
  void prepare_conv##axes##_wgrad_grouped(Prepared* p) {                                         \
    prepare(p, p->op.conv##axes##_wgrad);                                                        \
    prepare_wgrad(p);                                                                            \
  }                                                                                              \
  void run_conv##axes##_wgrad_grouped(const Prepared& p, const Operands& o, Context& context) {  \
    FASTCNN_BY_STORAGE(p, run_wgrad)(p, o, context);                                             \
  }
FASTCNN_CONV(2d)
FASTCNN_CONV(3d)
#undef FASTCNN_CONV

}  // namespace cuda
}  // namespace fastcnn
