// SPDX-License-Identifier: Apache-2.0
// Convolutions of images and volumes as matrix products that look their operands up (implicit GEMM), by
// groups, for whichever kernel multiplies:
//
//   fprop  y[pixel, k]   = sum over tap, c of x[pixel's tap, c] w[tap, c, k]
//   dgrad  dx[pixel, c]  = sum over tap, k of dy[window of pixel and tap, k] w[tap, c, k]
//   wgrad  dw[tap, c, k] = sum over pixels of x[pixel's tap, c] dy[pixel, k]
//
// With strides dgrad goes by classes of pixels, whose place modulo the stride says which taps reach them, so
// that no tap is tried in vain. Index arithmetic is host code too (walk.h), and tested there.
#pragma once
#include "split.h"

FASTCNN_FORMULAS_BEGIN

// Whether groups of these many channels of these many can be read by sixteen bytes.
template <class T>
bool channels_by_sixteen_bytes(const T* data, int64_t channels, int64_t of_group) {
  constexpr int kEach = kSixteenBytes<T>;
  return channels % kEach == 0 && of_group % kEach == 0 && aligned_to(data, 16);
}

// x at the taps of an output pixel. kPixelsInner: the sum runs over pixels (wgrad), else over taps.
template <bool kPixelsInner, class T>
struct Image {
  static constexpr bool kInnerFast = !kPixelsInner;
  using Number = T;
  ConvWalk walk;
  const T* x;
  int32_t pixels, taps;  // of one group
  Divisor channels, tap_d, tap_h, tap_w, out_d, out_h, out_w;

  static Image of(const ConvWalk& w, const T* x) {
    const auto by = [](int32_t number) { return Divisor::of(number); };
    return {w,
            x,
            w.outputs(),
            w.taps() * w.group_c,
            by(w.group_c),
            by(w.d.taps),
            by(w.h.taps),
            by(w.w.taps),
            by(w.d.out),
            by(w.h.out),
            by(w.w.out)};
  }
  bool by_sixteen_bytes() const { return channels_by_sixteen_bytes(x, walk.c, walk.group_c); }

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
    const Place at = ConvWalk::split(i, out_d, out_h, out_w);
    return {at.n * walk.image, at.d * walk.d.stride - walk.d.pad, at.h * walk.h.stride - walk.h.pad,
            at.w * walk.w.stride - walk.w.pad};
  }
  FASTCNN_INLINED Tap tap(int i) const {
    if (i >= taps) return {0, 0, 0, -1};
    const int32_t tap = i / channels;
    const Place at = ConvWalk::split(tap, tap_d, tap_h, tap_w);
    return {at.d * walk.d.dilation, at.h * walk.h.dilation, at.w * walk.w.dilation, i - tap * channels};
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
  FASTCNN_INLINED const T* at(const Tap& tap, const Pixel& pixel) const { return at(pixel, tap); }
  FASTCNN_INLINED const T* at(const Pixel& pixel, const Tap& tap) const {
    const int32_t d = pixel.d + tap.d, h = pixel.h + tap.h, w = pixel.w + tap.w;
    if (pixel.sample < 0 || tap.c < 0 || !walk.inside(d, h, w)) return nullptr;
    return x + pixel.sample + walk.element(d, h, w) + tap.c;
  }
};

// w [taps, c, k] of one group as [tap c, k], and dy [pixels, k].
template <class T>
struct Columns {
  static constexpr bool kInnerFast = false;
  using Number = T;
  const T* data;
  int64_t pitch;
  int32_t cols;  // of one group
  using Outer = int32_t;
  FASTCNN_INLINED Columns bind(int group) const { return {data + int64_t(group) * cols, pitch, cols}; }
  FASTCNN_INLINED Outer outer(int i) const { return i < cols ? i : -1; }
  FASTCNN_INLINED int64_t inner(int k) const { return k * pitch; }
  FASTCNN_INLINED const T* at(Outer o, int64_t inner) const { return o < 0 ? nullptr : data + inner + o; }
  bool by_sixteen_bytes() const { return channels_by_sixteen_bytes(data, pitch, cols); }
};

// dy at the windows that reach the pixels of a class.
template <class T>
struct Gradient {
  static constexpr bool kInnerFast = true;
  using Number = T;
  ConvWalk walk;
  const T* dy;
  Divisor channels;
  PixelClass of;  // of this batch
  int32_t group;
  Divisor class_w, class_h;

  struct Pixel {
    int64_t sample;   // -1: none
    int32_t d, h, w;  // the window of the class's first tap
  };
  using Outer = Pixel;

  FASTCNN_INLINED Gradient bind(int batch) const {
    Gradient to = *this;
    to.group = batch / walk.classes();
    to.of = walk.pixel_class(batch % walk.classes());
    to.class_w = Divisor::of(to.of.w.count), to.class_h = Divisor::of(to.of.h.count);
    return to;
  }
  bool by_sixteen_bytes() const { return channels_by_sixteen_bytes(dy, walk.k, walk.group_k); }
  FASTCNN_INLINED int depth(int) const { return of.taps() * walk.group_k; }
  FASTCNN_INLINED Pixel outer(int i) const {
    const Place at = walk.pixel_of_class(of, i);
    if (at.n < 0) return {-1, 0, 0, 0};
    return {at.n * walk.gradient, of.d.window(at.d, walk.d), of.h.window(at.h, walk.h),
            of.w.window(at.w, walk.w)};
  }
  FASTCNN_INLINED TapPlace inner(int i) const { return PixelClass::tap(i, channels, class_w, class_h); }
  FASTCNN_INLINED const T* at(const Pixel& pixel, const TapPlace& tap) const {
    const int32_t z = pixel.d - tap.t * of.d.step_back, p = pixel.h - tap.r * of.h.step_back,
                  q = pixel.w - tap.s * of.w.step_back;
    if (pixel.sample < 0 || !walk.is_window(z, p, q)) return nullptr;
    return dy + pixel.sample + walk.window(z, p, q) + group * walk.group_k + tap.channel;
  }
};

// w as the gradient reads it: [c, taps of the class and k].
template <class T>
struct Transposed {
  static constexpr bool kInnerFast = true;
  using Number = T;
  ConvWalk walk;
  const T* w;
  Divisor channels;
  PixelClass of;
  int32_t group;
  Divisor class_w, class_h;
  using Outer = int32_t;
  FASTCNN_INLINED Transposed bind(int batch) const {
    Transposed to = *this;
    to.group = batch / walk.classes();
    to.of = walk.pixel_class(batch % walk.classes());
    to.class_w = Divisor::of(to.of.w.count), to.class_h = Divisor::of(to.of.h.count);
    return to;
  }
  bool by_sixteen_bytes() const { return channels_by_sixteen_bytes(w, walk.k, walk.group_k); }
  FASTCNN_INLINED Outer outer(int c) const { return c < walk.group_c ? c : -1; }
  FASTCNN_INLINED int64_t inner(int i) const {
    const TapPlace tap = PixelClass::tap(i, channels, class_w, class_h);
    const int64_t row = walk.tap_number(of.d.tap(tap.t), of.h.tap(tap.r), of.w.tap(tap.s));
    return row * walk.group_c * walk.k + group * walk.group_k + tap.channel;
  }
  FASTCNN_INLINED const T* at(Outer c, int64_t inner) const {
    return c < 0 ? nullptr : w + inner + int64_t(c) * walk.k;
  }
};

template <class T>
struct StoreRows : Results<T> {  // y [pixels, k], dw [taps c, k]: of a group some columns
  int64_t pitch, count;
  int32_t cols;
  int64_t first;  // column of the group
  FASTCNN_INLINED StoreRows bind(int group) const {
    StoreRows to = *this;
    to.first = int64_t(group) * cols;
    return to;
  }
  FASTCNN_INLINED int64_t place(int split, int m, int n) const {
    return split * count + m * pitch + first + n;
  }
  FASTCNN_INLINED int64_t column(int n) const { return first + n; }
  bool in_fours() const { return pitch % 4 == 0 && cols % 4 == 0 && this->aligned_to_fours(); }
};

template <class T>
struct StoreOutputs : StoreRows<T> {  // y, and its statistics
  Measured<T> measured;
  FASTCNN_INLINED StoreOutputs bind(int group) const { return {StoreRows<T>::bind(group), measured}; }
  template <class Tile>
  FASTCNN_INLINED void measure(int m0, int n0) const {
    if (!measured.to) return;
    __syncthreads();
    const Measured<T> of_group = measured.from_channel(this->first);  // here: no registers before
    of_group.template tile<Tile::kM, Tile::kN>(m0, n0, int(threadIdx.x) / kWarp, kThreads / kWarp);
  }
};

template <class T>
struct StorePixels : Results<T> {  // dx
  ConvWalk walk;
  PixelClass of;
  int64_t first;  // channel of the group
  FASTCNN_INLINED StorePixels bind(int batch) const {
    StorePixels to = *this;
    to.of = walk.pixel_class(batch % walk.classes());
    to.first = int64_t(batch / walk.classes()) * walk.group_c;
    return to;
  }
  FASTCNN_INLINED int64_t place(int split, int m, int n) const {
    const Place at = walk.pixel_of_class(of, m);
    if (at.n < 0) return -1;
    return (int64_t(split) * walk.n + at.n) * walk.image + walk.element(at.d, at.h, at.w) + first + n;
  }
  FASTCNN_INLINED int64_t column(int n) const { return first + n; }
  bool in_fours() const { return walk.c % 4 == 0 && walk.group_c % 4 == 0 && this->aligned_to_fours(); }
};

inline Problem problem_of(int32_t m, int32_t n, int32_t k, int32_t batches, bool in_short_parts) {
  Problem p = {m, n, k, batches, 1, k};
  split_depth(&p, in_short_parts);
  return p;
}
inline Problem fprop_problem(const ConvWalk& w) {
  return problem_of(w.outputs(), w.group_k, w.taps() * w.group_c, w.groups, true);
}
// The sum of the class of pixels that most taps reach.
inline Problem dgrad_problem(const ConvWalk& w) {
  return problem_of(w.class_pixels(), w.group_c, w.most_taps_of_class() * w.group_k, w.groups * w.classes(),
                    true);
}
inline Problem wgrad_problem(const ConvWalk& w) {
  return problem_of(w.taps() * w.group_c, w.group_k, w.outputs(), w.groups, false);
}

inline bool fits(const ConvWalk& w) {
  constexpr double kMost = 1 << 30;
  const double pixels = double(w.n) * w.d.out * w.h.out * w.w.out,
               image = double(w.n) * w.d.in * w.h.in * w.w.in;
  const double taps = double(w.d.taps) * w.h.taps * w.w.taps;
  return pixels < kMost && image < kMost && taps * w.c < kMost && taps * w.k < kMost &&
         double(w.groups) * w.d.stride * w.h.stride * w.w.stride < 65536;
}

template <class Kernel, class Shape>
bool supports_fprop(const Shape& s, const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  if (op.step == Step::k_conv2d_fprop) e.statistics = 0;
  if (!walk_fits(s) || !known_epilogue(e) || e.relu_mask) return false;
  const ConvWalk w = walk_of(s);
  return fits(w) && Kernel::takes(op, fprop_problem(w).k);
}
template <class Kernel, class Shape>
bool supports_dgrad(const Shape& s, const OpDescriptor& op) {
  const bool adds = op.epilogue.residual && op.step != Step::k_conv2d_dgrad;
  if (!walk_fits(s) || !known_epilogue(op.epilogue) || adds) return false;
  const ConvWalk w = walk_of(s);
  return fits(w) && Kernel::takes(op, dgrad_problem(w).k);
}
template <class Kernel, class Shape>
bool supports_wgrad(const Shape& s, const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.bias = 0;
  if (!walk_fits(s) || !plain(e)) return false;
  const ConvWalk w = walk_of(s);
  return fits(w) && Kernel::takes(op, wgrad_problem(w).k);
}

template <class Shape>
void prepare(Prepared* p, const Shape& s) {
  const ConvWalk w = walk_of(s);
  const double y = double(w.outputs()) * w.k, x = double(w.n) * double(w.image);
  const double weights = double(w.taps()) * w.group_c * w.k;
  const double statistics = p->op.epilogue.statistics ? bytes_of_statistics(w.outputs(), w.k) : 0;
  set_cost(p, 2 * y * w.taps() * w.group_c, bytes_of_number(p) * (x + y + weights) + statistics);
  state<ConvWalk>(p) = w;
}

inline int64_t count_of_y(const ConvWalk& w) { return int64_t(w.outputs()) * w.k; }
inline int64_t count_of_x(const ConvWalk& w) { return w.n * w.image; }
inline int64_t count_of_w(const ConvWalk& w) { return int64_t(w.taps()) * w.group_c * w.k; }

template <class Shape>
void prepare_fprop(Prepared* p, const Shape& s) {
  prepare(p, s);
  const ConvWalk& w = state<ConvWalk>(*p);
  p->workspace_bytes = split_bytes(fprop_problem(w), count_of_y(w));
}
template <class Shape>
void prepare_dgrad(Prepared* p, const Shape& s) {
  prepare(p, s);
  const ConvWalk& w = state<ConvWalk>(*p);
  p->workspace_bytes = split_bytes(dgrad_problem(w), count_of_x(w));
}

template <class Kernel, class T>
void run_fprop(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const auto x = Image<false, T>::of(w, input<T>(o, 0));
  const Columns<T> weights = {input<T>(o, 1), w.k, w.group_k};
  Problem problem = fprop_problem(w);
  problem.precision = p.op.precision;
  const auto after = after_of<T>(p, o.in[2], o.in[3], nullptr);
  const bool split = problem.splits > 1, measures = p.op.epilogue.statistics != 0;
  float* const parts = parts_of(p, split, o, context);
  const StoreRows<T> rows = {{output<T>(o, 0), parts, after}, w.k, count_of_y(w), w.group_k, 0};
  const auto measured = [&](bool now, int32_t columns) {
    return measured_of<T>(o, measures && now, {w.outputs(), columns, w.k});
  };
  const StoreOutputs<T> store = {rows, measured(!split, w.group_k)};
  Kernel::multiply(context, problem, x, weights, store);
  if (!split) return;
  finish_parts(context, {parts, count_of_y(w), problem.splits}, output<T>(o, 0), after, w.k);
  if (measures) measure(context, measured(true, w.k));
}

template <class Kernel, class T>
void run_dgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const Divisor channels = Divisor::of(w.group_k);
  const Gradient<T> dy = {w, input<T>(o, 0), channels, {}, 0, {}, {}};
  const Transposed<T> weights = {w, input<T>(o, 1), channels, {}, 0, {}, {}};
  Problem problem = dgrad_problem(w);
  problem.precision = p.op.precision;
  const auto after = after_of<T>(p, o.in[3], o.in[4], o.in[2]);
  const bool split = problem.splits > 1;
  float* const parts = parts_of(p, split, o, context);
  const StorePixels<T> store = {{output<T>(o, 0), parts, after}, w, {}, 0};
  Kernel::multiply(context, problem, dy, weights, store);
  if (split) finish_parts(context, {parts, count_of_x(w), problem.splits}, output<T>(o, 0), after, w.c);
}

// The parts of dw, or of db after it.
template <class Shape>
void prepare_wgrad(Prepared* p, const Shape& s) {
  prepare(p, s);
  const ConvWalk& w = state<ConvWalk>(*p);
  const size_t parts = split_bytes(wgrad_problem(w), count_of_w(w));
  const size_t sums = p->op.epilogue.bias ? sum_terms_bytes(w.k, w.outputs()) : 0;
  p->workspace_bytes = parts > sums ? parts : sums;
}

template <class Kernel, class T>
void run_wgrad(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  Problem problem = wgrad_problem(w);
  problem.precision = p.op.precision;
  const bool split = problem.splits > 1;
  const int64_t count = count_of_w(w);
  const auto x = Image<true, T>::of(w, input<T>(o, 0));
  const Columns<T> dy = {input<T>(o, 1), w.k, w.group_k};
  float* const parts = parts_of(p, split, o, context);
  const StoreRows<T> store = {{output<T>(o, 0), parts, {}}, w.k, count, w.group_k, 0};
  Kernel::multiply(context, problem, x, dy, store);
  if (split) add_parts<T>(context, p, {parts, count, problem.splits}, o);
  if (p.op.epilogue.bias) column_sum(context, dy.data, w.outputs(), w.k, output(o, 1));
}

FASTCNN_FORMULAS_END

// The rows of one kernel.
#define FASTCNN_CONV_ROW(axes, pass, algorithm, Kernel)                                                \
  bool supports_conv##axes##_##pass##_##algorithm(const OpDescriptor& op) {                            \
    return supports_##pass<Kernel>(op.conv##axes##_##pass, op);                                        \
  }                                                                                                    \
  void prepare_conv##axes##_##pass##_##algorithm(Prepared* p) {                                        \
    prepare_##pass(p, p->op.conv##axes##_##pass);                                                      \
  }                                                                                                    \
  void run_conv##axes##_##pass##_##algorithm(const Prepared& p, const Operands& o, Context& context) { \
    by_storage(p, run_##pass<Kernel, float>, run_##pass<Kernel, Bfloat16>)(p, o, context);             \
  }
#define FASTCNN_CONV_ROWS(axes, algorithm, Kernel) \
  FASTCNN_CONV_ROW(axes, fprop, algorithm, Kernel) \
  FASTCNN_CONV_ROW(axes, dgrad, algorithm, Kernel) \
  FASTCNN_CONV_ROW(axes, wgrad, algorithm, Kernel)
