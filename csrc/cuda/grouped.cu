// SPDX-License-Identifier: Apache-2.0
// Convolutions whose groups are narrow, depthwise ones above all, where a matrix product would be nearly
// empty: a thread to an output, neighbouring channels by neighbouring threads.
#include "measure.h"
#include "reduce.h"
#include "tile.h"
#include "walk.h"

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

// Element i of [n, a, b, e, channels].
struct Element {
  Place at;
  int32_t channel;
};
FASTCNN_INLINE Element element_of(int64_t i, int32_t channels, const ConvWalk& w, bool of_output) {
  const int32_t b = of_output ? w.h.out : w.h.in, e = of_output ? w.w.out : w.w.in;
  const int64_t depth = of_output ? w.d.out : w.d.in;
  Element to;
  int64_t rest = i / channels;
  to.channel = int32_t(i - rest * channels);
  i = rest, rest = i / e, to.at.w = int32_t(i - rest * e);
  i = rest, rest = i / b, to.at.h = int32_t(i - rest * b);
  to.at.n = int32_t(rest / depth), to.at.d = int32_t(rest - to.at.n * depth);
  return to;
}

// make(i) for every element of y: a block has some channels of a part, which it then measures.
template <class T, class F>
__global__ void __launch_bounds__(kThreads) each_measured(Measured<T> measured, F make) {
  const RowsOfTile& of = measured.of;
  const int across = (of.columns + kAcross - 1) / kAcross, part = int(blockIdx.x) / across;
  const int m0 = part * int(kStatisticsRows), n0 = (int(blockIdx.x) - part * across) * kAcross;
  for (int i = int(threadIdx.x); i < int(kStatisticsRows) * kAcross; i += kThreads) {
    const int row = m0 + i / kAcross, column = n0 + i % kAcross;
    if (row < of.rows && column < of.columns) make(row * of.pitch + column);
  }
  __syncthreads();
  measured.template tile<kStatisticsRows, kAcross>(m0, n0, int(threadIdx.x) / kWarp, kThreads / kWarp);
}

template <class T, class F>
void for_each_measured(Context& context, const Measured<T>& measured, F make) {
  const int64_t blocks = statistics_parts(measured.of.rows) * ceil_div(measured.of.columns, kAcross);
  FASTCNN_LAUNCH((each_measured<T, F>), unsigned(blocks), kThreads, stream_of(context))(measured, make);
}

template <class T>
void run_fprop(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk w = state<ConvWalk>(p);
  const T *const x = input<T>(o, 0), *const weights = input<T>(o, 1);
  T* const y = output<T>(o, 0);
  const auto after = after_of<T>(p, o.in[2], o.in[3], nullptr);
  const auto make = [=] __device__(int64_t i) {
    const Element out = element_of(i, w.k, w, true);
    const int32_t first = out.channel / w.group_k * w.group_c;
    float sum = 0.0f;
    for (int32_t tap = 0; tap < w.taps(); ++tap) {
      const Place t = ConvWalk::split(tap, w.d.taps, w.h.taps, w.w.taps);
      const int32_t d = out.at.d * w.d.stride - w.d.pad + t.d * w.d.dilation,
                    h = out.at.h * w.h.stride - w.h.pad + t.h * w.h.dilation,
                    q = out.at.w * w.w.stride - w.w.pad + t.w * w.w.dilation;
      if (!w.inside(d, h, q)) continue;
      const T* const from = x + out.at.n * w.image + w.element(d, h, q) + first;
      for (int32_t c = 0; c < w.group_c; ++c)
        sum = fma(float(from[c]), float(weights[(int64_t(tap) * w.group_c + c) * w.k + out.channel]), sum);
    }
    y[i] = after(sum, i, out.channel);
  };
  if (p.op.epilogue.statistics)
    for_each_measured(context, measured_of<T>(o, true, {int32_t(outputs_of(w)), w.k, w.k}), make);
  else
    for_each(context, w.n * w.gradient, make);
}

// The window of which a pixel is this tap, -1 if none.
FASTCNN_INLINE int32_t window_at(const ConvAxis& a, int32_t pixel, int32_t tap) {
  const int32_t distance = pixel + a.pad - tap * a.dilation;
  return distance < 0 || distance % a.stride ? -1 : distance / a.stride;
}

template <class T>
void run_dgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk w = state<ConvWalk>(p);
  const T *const dy = input<T>(o, 0), *const weights = input<T>(o, 1);
  T* const dx = output<T>(o, 0);
  const auto after = after_of<T>(p, o.in[3], o.in[4], o.in[2]);
  for_each(context, w.n * w.image, [=] __device__(int64_t i) {
    const Element in = element_of(i, w.c, w, false);
    const int32_t group = in.channel / w.group_c, c = in.channel - group * w.group_c;
    float sum = 0.0f;
    for (int32_t tap = 0; tap < w.taps(); ++tap) {
      const Place t = ConvWalk::split(tap, w.d.taps, w.h.taps, w.w.taps);
      const int32_t z = window_at(w.d, in.at.d, t.d), h = window_at(w.h, in.at.h, t.h),
                    q = window_at(w.w, in.at.w, t.w);
      if (!w.is_window(z, h, q)) continue;
      const T* const from = dy + in.at.n * w.gradient + w.window(z, h, q) + group * w.group_k;
      const T* const by = weights + (int64_t(tap) * w.group_c + c) * w.k + group * w.group_k;
      for (int32_t k = 0; k < w.group_k; ++k) sum = fma(float(from[k]), float(by[k]), sum);
    }
    dx[i] = after(sum, i, in.channel);
  });
}

void prepare_wgrad(Prepared* p) {
  const ConvWalk& w = state<ConvWalk>(*p);
  const size_t dw = sum_terms_bytes(weights_of(w), outputs_of(w));
  const size_t db = p->op.epilogue.bias ? sum_terms_bytes(w.k, outputs_of(w)) : 0;
  p->workspace_bytes = dw > db ? dw : db;
}

template <class T>
void run_wgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk w = state<ConvWalk>(p);
  const T *const x = input<T>(o, 0), *const dy = input<T>(o, 1);
  const auto term = [=] __device__(int64_t i, int64_t pixel) {
    const int64_t row = i / w.k;
    const int32_t k = int32_t(i - row * w.k), c = int32_t(row % w.group_c);
    const Place t = ConvWalk::split(int32_t(row / w.group_c), w.d.taps, w.h.taps, w.w.taps);
    const Place out = ConvWalk::split(int32_t(pixel), w.d.out, w.h.out, w.w.out);
    const int32_t d = out.d * w.d.stride - w.d.pad + t.d * w.d.dilation,
                  h = out.h * w.h.stride - w.h.pad + t.h * w.h.dilation,
                  q = out.w * w.w.stride - w.w.pad + t.w * w.w.dilation;
    if (!w.inside(d, h, q)) return 0.0f;
    return float(x[out.n * w.image + w.element(d, h, q) + k / w.group_k * w.group_c + c]) *
           float(dy[pixel * w.k + k]);
  };
  if (p.op.storage == Storage::kWidening)
    sum_terms(context, weights_of(w), outputs_of(w), output(o, 0), term, AsItIs{});
  else
    sum_terms(context, weights_of(w), outputs_of(w), output<T>(o, 0), term, AsItIs{});
  if (p.op.epilogue.bias) column_sum(context, dy, outputs_of(w), w.k, output(o, 1));
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
