// SPDX-License-Identifier: Apache-2.0
// Convolutions of images and volumes as matrix products that look their operands up (implicit GEMM), by
// groups:
//
//   fprop  y[pixel, k]   = sum over tap, c of x[pixel's tap, c] w[tap, c, k]
//   dgrad  dx[pixel, c]  = sum over tap, k of dy[window of pixel and tap, k] w[tap, c, k]
//   wgrad  dw[tap, c, k] = sum over pixels of x[pixel's tap, c] dy[pixel, k]
//
// With strides dgrad goes by classes of pixels, whose place modulo the stride says which taps reach them, so
// that no tap is tried in vain. Index arithmetic is host code too (walk.h), and tested there.
#include "reduce.h"
#include "tile.h"
#include "walk.h"

namespace fastcnn {
namespace cuda {

namespace {

// x at the taps of an output pixel. kPixelsInner: the sum runs over pixels (wgrad), else over taps.
template <bool kPixelsInner>
struct Image {
  static constexpr bool kInnerFast = !kPixelsInner;
  ConvWalk walk;
  const float* x;
  int32_t pixels, taps;  // of one group

  struct Pixel {
    int64_t sample;  // -1: none
    int32_t d, h, w;
  };
  struct Tap {
    int32_t d, h, w, c;  // c: -1: none
  };
  using Outer = typename std::conditional<kPixelsInner, Tap, Pixel>::type;

  FASTCNN_INLINED Image bind(int group) const {
    Image to = *this;
    to.x += group * walk.group_c;
    return to;
  }
  FASTCNN_INLINED int depth(int k) const { return k; }
  FASTCNN_INLINED Pixel pixel(int i) const {
    if (i >= pixels) return {-1, 0, 0, 0};
    const Place at = walk.output(i);
    return {at.n * walk.image, at.d * walk.d.stride - walk.d.pad, at.h * walk.h.stride - walk.h.pad,
            at.w * walk.w.stride - walk.w.pad};
  }
  FASTCNN_INLINED Tap tap(int i) const {
    if (i >= taps) return {0, 0, 0, -1};
    const TapPlace at = walk.tap(i, walk.group_c);
    return {at.t * walk.d.dilation, at.r * walk.h.dilation, at.s * walk.w.dilation, at.channel};
  }
  FASTCNN_INLINED Outer outer(int i) const {
    if constexpr (kPixelsInner)
      return tap(i);
    else
      return pixel(i);
  }
  FASTCNN_INLINED typename std::conditional<kPixelsInner, Pixel, Tap>::type inner(int i) const {
    if constexpr (kPixelsInner)
      return pixel(i);
    else
      return tap(i);
  }
  FASTCNN_INLINED float get(const Tap& tap, const Pixel& pixel) const { return get(pixel, tap); }
  FASTCNN_INLINED float get(const Pixel& pixel, const Tap& tap) const {
    const int32_t d = pixel.d + tap.d, h = pixel.h + tap.h, w = pixel.w + tap.w;
    if (pixel.sample < 0 || tap.c < 0 || !walk.inside(d, h, w)) return 0.0f;
    return x[pixel.sample + walk.element(d, h, w) + tap.c];
  }
};

// w [taps, c, k] of one group as [tap c, k], and dy [pixels, k].
struct Columns {
  static constexpr bool kInnerFast = false;
  const float* data;
  int64_t pitch;
  int32_t cols;  // of one group
  using Outer = int32_t;
  FASTCNN_INLINED Columns bind(int group) const { return {data + int64_t(group) * cols, pitch, cols}; }
  FASTCNN_INLINED Outer outer(int i) const { return i < cols ? i : -1; }
  FASTCNN_INLINED int64_t inner(int k) const { return k * pitch; }
  FASTCNN_INLINED float get(Outer o, int64_t inner) const { return o < 0 ? 0.0f : data[inner + o]; }
};

// dy at the windows that reach the pixels of a class.
struct Gradient {
  static constexpr bool kInnerFast = true;
  ConvWalk walk;
  const float* dy;
  PixelClass of;  // of this batch
  int32_t group;

  struct Pixel {
    int64_t sample;   // -1: none
    int32_t d, h, w;  // the window of the class's first tap
  };
  using Outer = Pixel;

  FASTCNN_INLINED Gradient bind(int batch) const {
    Gradient to = *this;
    to.group = batch / walk.classes();
    to.of = walk.pixel_class(batch % walk.classes());
    return to;
  }
  FASTCNN_INLINED int depth(int) const { return of.taps() * walk.group_k; }
  FASTCNN_INLINED Pixel outer(int i) const {
    const Place at = walk.pixel_of_class(of, i);
    if (at.n < 0) return {-1, 0, 0, 0};
    return {at.n * walk.gradient, of.d.window(at.d, walk.d), of.h.window(at.h, walk.h),
            of.w.window(at.w, walk.w)};
  }
  FASTCNN_INLINED TapPlace inner(int i) const { return of.tap(i, walk.group_k); }
  FASTCNN_INLINED float get(const Pixel& pixel, const TapPlace& tap) const {
    const int32_t z = pixel.d - tap.t * of.d.step_back, p = pixel.h - tap.r * of.h.step_back,
                  q = pixel.w - tap.s * of.w.step_back;
    if (pixel.sample < 0 || !walk.is_window(z, p, q)) return 0.0f;
    return dy[pixel.sample + walk.window(z, p, q) + group * walk.group_k + tap.channel];
  }
};

// w as the gradient reads it: [c, taps of the class and k].
struct Transposed {
  static constexpr bool kInnerFast = true;
  ConvWalk walk;
  const float* w;
  PixelClass of;
  int32_t group;
  using Outer = int32_t;
  FASTCNN_INLINED Transposed bind(int batch) const {
    Transposed to = *this;
    to.group = batch / walk.classes();
    to.of = walk.pixel_class(batch % walk.classes());
    return to;
  }
  FASTCNN_INLINED Outer outer(int c) const { return c < walk.group_c ? c : -1; }
  FASTCNN_INLINED int64_t inner(int i) const {
    const TapPlace tap = of.tap(i, walk.group_k);
    const int64_t row = walk.tap_number(of.d.tap(tap.t), of.h.tap(tap.r), of.w.tap(tap.s));
    return row * walk.group_c * walk.k + group * walk.group_k + tap.channel;
  }
  FASTCNN_INLINED float get(Outer c, int64_t inner) const { return c < 0 ? 0.0f : w[inner + c * walk.k]; }
};

struct StoreRows {  // y [pixels, k], dw [taps c, k]: of a group some columns
  float* y;
  int64_t pitch, count;
  int32_t cols, partial;
  AfterSum after;
  int64_t first;  // column of the group
  FASTCNN_INLINED StoreRows bind(int group) const {
    StoreRows to = *this;
    to.first = int64_t(group) * cols;
    return to;
  }
  FASTCNN_INLINED void operator()(int split, int m, int n, float sum) const {
    const int64_t col = first + n, at = m * pitch + col;
    if (partial)
      y[split * count + at] = sum;
    else
      y[at] = after(sum, at, col);
  }
};

struct StorePixels {
  ConvWalk walk;
  float* dx;
  AfterSum after;
  PixelClass of;
  int64_t first;  // channel of the group
  FASTCNN_INLINED StorePixels bind(int batch) const {
    StorePixels to = *this;
    to.of = walk.pixel_class(batch % walk.classes());
    to.first = int64_t(batch / walk.classes()) * walk.group_c;
    return to;
  }
  FASTCNN_INLINED void operator()(int, int m, int n, float sum) const {
    const Place at = walk.pixel_of_class(of, m);
    if (at.n < 0) return;
    const int64_t c = first + n;
    const int64_t element = at.n * walk.image + walk.element(at.d, at.h, at.w) + c;
    dx[element] = after(sum, element, c);
  }
};

Problem fprop_problem(const ConvWalk& w) {
  return {w.outputs(), w.group_k, w.taps() * w.group_c, w.groups, 1, w.taps() * w.group_c};
}
Problem dgrad_problem(const ConvWalk& w) {
  return {w.class_pixels(), w.group_c, w.taps() * w.group_k, w.groups * w.classes(), 1, w.taps() * w.group_k};
}
Problem wgrad_problem(const ConvWalk& w) {
  Problem p = {w.taps() * w.group_c, w.group_k, w.outputs(), w.groups, 1, w.outputs()};
  split_depth(&p);
  return p;
}

bool fits(const ConvWalk& w) {
  constexpr double kMost = 1 << 30;
  const double pixels = double(w.n) * w.d.out * w.h.out * w.w.out,
               image = double(w.n) * w.d.in * w.h.in * w.w.in;
  const double taps = double(w.d.taps) * w.h.taps * w.w.taps;
  return pixels < kMost && image < kMost && taps * w.c < kMost && taps * w.k < kMost &&
         double(w.groups) * w.d.stride * w.h.stride * w.w.stride < 65536;
}

template <class Shape>
bool supports(const Shape& s, const OpDescriptor& op) {
  return walk_fits(s) && known_epilogue(op.epilogue) && fits(walk_of(s));
}

template <class Shape>
void prepare(Prepared* p, const Shape& s) {
  const ConvWalk w = walk_of(s);
  const double y = double(w.outputs()) * w.k, x = double(w.n) * double(w.image);
  const double weights = double(w.taps()) * w.group_c * w.k;
  set_cost(p, 2 * y * w.taps() * w.group_c, 4 * (x + y + weights));
  state<ConvWalk>(p) = w;
}

AfterSum after_of(const Prepared& p, const float* bias, const float* residual, const float* mask) {
  const Epilogue& e = p.op.epilogue;
  return {e.bias ? bias : nullptr, e.residual ? residual : nullptr, e.relu_mask ? mask : nullptr,
          e.activation == Activation::kRelu};
}

void run_fprop(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const Image<false> x = {w, input(o, 0), w.outputs(), w.taps() * w.group_c};
  const Columns weights = {input(o, 1), w.k, w.group_k};
  const StoreRows store = {
      output(o, 0), w.k, 0, w.group_k, 0, after_of(p, input(o, 2), input(o, 3), nullptr), 0};
  multiply(context, fprop_problem(w), x, weights, store);
}

void run_dgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const Gradient dy = {w, input(o, 0), {}, 0};
  const Transposed weights = {w, input(o, 1), {}, 0};
  const StorePixels store = {w, output(o, 0), after_of(p, input(o, 3), nullptr, input(o, 2)), {}, 0};
  multiply(context, dgrad_problem(w), dy, weights, store);
}

// The parts of dw, or of db after it.
void prepare_wgrad(Prepared* p) {
  const ConvWalk& w = state<ConvWalk>(*p);
  const Problem problem = wgrad_problem(w);
  const size_t dw = size_t(w.taps()) * size_t(w.group_c) * size_t(w.k);
  const size_t parts = problem.splits > 1 ? sizeof(float) * size_t(problem.splits) * dw : 0;
  const size_t sums = p->op.epilogue.bias ? sum_terms_bytes(w.k, w.outputs()) : 0;
  p->workspace_bytes = parts > sums ? parts : sums;
}

void run_wgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const Problem problem = wgrad_problem(w);
  const bool split = problem.splits > 1;
  const int64_t count = int64_t(w.taps()) * w.group_c * w.k;
  const Image<true> x = {w, input(o, 0), w.outputs(), w.taps() * w.group_c};
  const Columns dy = {input(o, 1), w.k, w.group_k};
  const StoreRows store = {
      split ? static_cast<float*>(context.workspace) : output(o, 0), w.k, count, w.group_k, split, {}, 0};
  multiply(context, problem, x, dy, store);
  if (split) sum_parts(context, {store.y, count, problem.splits}, output(o, 0));
  if (p.op.epilogue.bias) column_sum(context, input(o, 1), w.outputs(), w.k, output(o, 1));
}

}  // namespace

#define FASTCNN_CONV(axes)                                                                        \
  bool supports_conv##axes##_fprop_implicit(const OpDescriptor& op) {                             \
    return supports(op.conv##axes##_fprop, op) && !op.epilogue.relu_mask;                         \
  }                                                                                               \
  void prepare_conv##axes##_fprop_implicit(Prepared* p) { prepare(p, p->op.conv##axes##_fprop); } \
  void run_conv##axes##_fprop_implicit(const Prepared& p, const Operands& o, Context& context) {  \
    run_fprop(p, o, context);                                                                     \
  }                                                                                               \
  bool supports_conv##axes##_dgrad_implicit(const OpDescriptor& op) {                             \
    return supports(op.conv##axes##_dgrad, op) && !op.epilogue.residual;                          \
  }                                                                                               \
  void prepare_conv##axes##_dgrad_implicit(Prepared* p) { prepare(p, p->op.conv##axes##_dgrad); } \
  void run_conv##axes##_dgrad_implicit(const Prepared& p, const Operands& o, Context& context) {  \
    run_dgrad(p, o, context);                                                                     \
  }                                                                                               \
  bool supports_conv##axes##_wgrad_implicit(const OpDescriptor& op) {                             \
    Epilogue e = op.epilogue;                                                                     \
    e.bias = 0;                                                                                   \
    return plain(e) && supports(op.conv##axes##_wgrad, op);                                       \
  }                                                                                               \
  void prepare_conv##axes##_wgrad_implicit(Prepared* p) {                                         \
    prepare(p, p->op.conv##axes##_wgrad);                                                         \
    prepare_wgrad(p);                                                                             \
  }                                                                                               \
  void run_conv##axes##_wgrad_implicit(const Prepared& p, const Operands& o, Context& context) {  \
    run_wgrad(p, o, context);                                                                     \
  }
FASTCNN_CONV(2d)
FASTCNN_CONV(3d)
#undef FASTCNN_CONV

}  // namespace cuda
}  // namespace fastcnn
