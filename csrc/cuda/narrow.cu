// SPDX-License-Identifier: Apache-2.0
// Convolutions of images with few channels, as small networks and first layers have them, where a matrix
// product would be half empty: the weights stand in shared memory, and a thread makes four channels of some
// neighbouring pixels. Of pixels that a max pooling takes the greatest of, it writes that one alone and its
// place in the window; the gradients of such a pair follow from the pooled ones (backend.h):
//
//   dw[r,s,c,k] = sum over n and windows of dy[n,window,k] x[n, place + (r,s), c]
//   dx[n, place + (r,s), c] = sum over windows and k of dy[n,window,k] w[r,s,c,k]
#include "reduce.h"
#include "tile.h"
#include "walk.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int64_t kMostFilters = 32, kMostQuads = 1024;
constexpr int kFour = 4, kMostChannels = 7;  // eight fill the strips of a matrix product

int64_t quads(int64_t channels) { return ceil_div(channels, kFour); }

bool is_narrow(const Conv2dShape& s) {
  return s.groups == 1 && s.c <= kMostChannels && s.k <= kMostFilters && walk_fits(s) &&
         s.r * s.s * s.c * quads(s.k) <= kMostQuads && s.r * s.s * s.k * quads(s.c) <= kMostQuads &&
         double(s.n) * double(s.p) * double(s.q) * double(s.k) < INT32_MAX &&
         double(s.n) * double(s.h) * double(s.w) * double(s.c) < INT32_MAX;
}

FASTCNN_INLINE float4 add_scaled(float by, const float4& w, const float4& to) {
  return make_float4(fma(by, w.x, to.x), fma(by, w.y, to.y), fma(by, w.z, to.z), fma(by, w.w, to.w));
}

template <class T>
struct Weights {
  const T* w;  // [taps, c, k]
  int32_t taps, c, k;

  FASTCNN_INLINED float at(int32_t tap, int32_t ch, int32_t filter) const {
    return ch < c && filter < k ? float(w[(tap * c + ch) * k + filter]) : 0.0f;
  }
  // [taps, c, quads of k], and [taps, k, quads of c]; the whole block.
  FASTCNN_INLINED void put_filters(float4* to) const {
    const int32_t across = (k + kFour - 1) / kFour;
    for (int32_t i = int32_t(threadIdx.x); i < taps * c * across; i += kThreads) {
      const int32_t row = i / across, first = (i - row * across) * kFour, tap = row / c, ch = row - tap * c;
      to[i] = make_float4(at(tap, ch, first), at(tap, ch, first + 1), at(tap, ch, first + 2),
                          at(tap, ch, first + 3));
    }
    __syncthreads();
  }
  FASTCNN_INLINED void put_channels(float4* to) const {
    const int32_t across = (c + kFour - 1) / kFour;
    for (int32_t i = int32_t(threadIdx.x); i < taps * k * across; i += kThreads) {
      const int32_t row = i / across, first = (i - row * across) * kFour, tap = row / k, f = row - tap * k;
      to[i] =
          make_float4(at(tap, first, f), at(tap, first + 1, f), at(tap, first + 2, f), at(tap, first + 3, f));
    }
    __syncthreads();
  }
};

template <class T>
struct Fprop {
  ConvWalk walk;
  const T* x;
  Weights<T> weights;
  T* y;
  uint8_t* index;  // may be null
  AfterSum<T> after;
  Divisor quads, high, wide;  // of y's channels, and units of an image
  int32_t units;
};

// A unit is kRows x kCols pixels of y by four channels; pooled, they are a window.
template <int kRows, int kCols, bool kPooled, class T>
__global__ void __launch_bounds__(kThreads) narrow_fprop(Fprop<T> f) {
  __shared__ float4 filters[kMostQuads];
  constexpr int kPixels = kRows * kCols;
  const ConvWalk& w = f.walk;
  f.weights.put_filters(filters);
  for (int32_t unit = int32_t(blockIdx.x) * kThreads + int32_t(threadIdx.x); unit < f.units;
       unit += kThreads * int32_t(gridDim.x)) {
    const int32_t tile = unit / f.quads, quad = unit - tile * f.quads, line = tile / f.wide;
    const int32_t n = line / f.high, p0 = (line - n * f.high) * kRows, q0 = (tile - line * f.wide) * kCols;
    const T* const image = f.x + n * w.image;
    float4 sum[kPixels];
    FASTCNN_UNROLL
    for (int i = 0; i < kPixels; ++i) sum[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const float4* filter = filters + quad;
    for (int32_t r = 0; r < w.h.taps; ++r)
      for (int32_t s = 0; s < w.w.taps; ++s) {
        int32_t from[kPixels];
        FASTCNN_UNROLL
        for (int i = 0; i < kPixels; ++i) {
          const int32_t h = (p0 + i / kCols) * w.h.stride - w.h.pad + r * w.h.dilation,
                        v = (q0 + i % kCols) * w.w.stride - w.w.pad + s * w.w.dilation;
          from[i] = w.inside(0, h, v) ? (h * w.w.in + v) * w.c : -1;
        }
        FASTCNN_ROLLED
        for (int32_t c = 0; c < w.c; ++c, filter += f.quads) {
          const float4 by = *filter;
          FASTCNN_UNROLL
          for (int i = 0; i < kPixels; ++i)
            sum[i] = add_scaled(from[i] < 0 ? 0.0f : float(image[from[i] + c]), by, sum[i]);
        }
      }
    FASTCNN_UNROLL
    for (int e = 0; e < kFour; ++e) {
      const int32_t k = quad * kFour + e;
      if (k >= w.k) continue;
      float best = 0.0f;
      int place = 0;
      FASTCNN_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        const int32_t p = p0 + i / kCols, q = q0 + i % kCols;
        if (!w.is_window(0, p, q)) continue;
        const int64_t to = n * w.gradient + w.window(0, p, q) + k;
        const float all = e == 0 ? sum[i].x : e == 1 ? sum[i].y : e == 2 ? sum[i].z : sum[i].w;
        const float v = f.after(all, to, k);
        if (!kPooled) f.y[to] = v;
        if (i > 0 && (v <= best || best != best)) continue;
        best = v, place = i;
      }
      if (!kPooled) continue;
      const int64_t to = int64_t(tile) * w.k + k;
      f.y[to] = best;
      if (f.index) f.index[to] = uint8_t(place);
    }
  }
}

template <int kRows, int kCols, bool kPooled, class T>
void start(Context& context, Fprop<T> f) {
  const ConvWalk& w = f.walk;
  const int32_t high = (w.h.out + kRows - 1) / kRows, wide = (w.w.out + kCols - 1) / kCols;
  f.high = Divisor::of(high), f.wide = Divisor::of(wide);
  f.units = w.n * high * wide * f.quads;
  FASTCNN_LAUNCH((narrow_fprop<kRows, kCols, kPooled, T>), blocks_for(f.units, kThreads), kThreads,
                 stream_of(context))
  (f);
}

// A convolution and its pool.
struct Pair {
  ConvWalk walk;
  int32_t rows, cols, stride_h, stride_w, dilation_h, dilation_w;  // of the pool's windows
  int32_t p, q;

  int32_t windows() const { return walk.n * p * q; }
};

Pair pair_of(const PooledConv2dShape& s) {
  const auto i = [](int64_t v) { return static_cast<int32_t>(v); };
  const Pool2dShape& pool = s.pool;
  return {walk_of(s.conv),    i(pool.r),          i(pool.s), i(pool.stride_h), i(pool.stride_w),
          i(pool.dilation_h), i(pool.dilation_w), i(pool.p), i(pool.q)};
}

// Windows that lie in the image, so that a place counts whole rows of a window.
bool supports_pair(const PooledConv2dShape& s) {
  const Pool2dShape& pool = s.pool;
  return is_narrow(s.conv) && !pool.adaptive && !pool.pad_top && !pool.pad_left && pool.r * pool.s <= 256 &&
         (pool.p - 1) * pool.stride_h + (pool.r - 1) * pool.dilation_h < pool.h &&
         (pool.q - 1) * pool.stride_w + (pool.s - 1) * pool.dilation_w < pool.w;
}

void set_pair_cost(Prepared* p, const PooledConv2dShape& s) {
  const Conv2dShape& v = s.conv;
  const double dy = double(s.pool.n) * double(s.pool.p) * double(s.pool.q) * double(v.k);
  const double taps = double(v.r) * double(v.s) * double(v.c);
  const double x = double(v.n) * double(v.h) * double(v.w) * double(v.c);
  const double number = bytes_of_number(p);
  set_cost(p, 2 * dy * taps, (number + 1) * dy + number * (x + taps * double(v.k)));
  state<Pair>(p) = pair_of(s);
}

template <class T>
struct PairGradient {
  Pair pair;
  const T* dy;
  const uint8_t* index;
  Weights<T> weights;
  const T* mask;  // may be null
  T* dx;
};

// The window that holds pixel `at` as its tap, -1 if none.
FASTCNN_INLINE int32_t window_of(int32_t at, int32_t tap, int32_t stride, int32_t dilation, int32_t windows) {
  const int32_t distance = at - tap * dilation, window = distance / stride;
  return distance < 0 || window * stride != distance || window >= windows ? -1 : window;
}

// A thread to a pixel of dx. Left to itself the compiler of CUDA 13.0 aims at 40 registers for 9.0, and keeps
// one in memory.
template <class T>
__global__ void __launch_bounds__(kThreads, 4) narrow_dgrad(PairGradient<T> g) {
  __shared__ float4 channels[kMostQuads];
  const Pair& pair = g.pair;
  const ConvWalk& w = pair.walk;
  const int32_t across = (w.c + kFour - 1) / kFour;
  g.weights.put_channels(channels);
  const int32_t pixels = w.n * w.h.in * w.w.in;
  for (int32_t pixel = int32_t(blockIdx.x) * kThreads + int32_t(threadIdx.x); pixel < pixels;
       pixel += kThreads * int32_t(gridDim.x)) {
    const Place at = ConvWalk::split(pixel, 1, w.h.in, w.w.in);
    float4 sum[2] = {make_float4(0.0f, 0.0f, 0.0f, 0.0f), make_float4(0.0f, 0.0f, 0.0f, 0.0f)};
    for (int32_t r = 0; r < w.h.taps; ++r) {
      const int32_t p = window_of(at.h + w.h.pad, r, w.h.stride, w.h.dilation, w.h.out);
      if (p < 0) continue;
      for (int32_t i = 0; i < pair.rows; ++i) {
        const int32_t high = window_of(p, i, pair.stride_h, pair.dilation_h, pair.p);
        if (high < 0) continue;
        for (int32_t s = 0; s < w.w.taps; ++s) {
          const int32_t q = window_of(at.w + w.w.pad, s, w.w.stride, w.w.dilation, w.w.out);
          if (q < 0) continue;
          for (int32_t j = 0; j < pair.cols; ++j) {
            const int32_t wide = window_of(q, j, pair.stride_w, pair.dilation_w, pair.q);
            if (wide < 0) continue;
            const int32_t window = (at.n * pair.p + high) * pair.q + wide, place = i * pair.cols + j;
            const float4* by = channels + (r * w.w.taps + s) * w.k * across;
            for (int32_t k = 0; k < w.k; ++k, by += across) {
              if (g.index[window * w.k + k] != place) continue;
              const float dy = g.dy[window * w.k + k];
              sum[0] = add_scaled(dy, by[0], sum[0]);
              if (across > 1) sum[1] = add_scaled(dy, by[1], sum[1]);
            }
          }
        }
      }
    }
    const float all[2 * kFour] = {sum[0].x, sum[0].y, sum[0].z, sum[0].w,
                                  sum[1].x, sum[1].y, sum[1].z, sum[1].w};
    FASTCNN_UNROLL
    for (int c = 0; c < kMostChannels; ++c) {
      const int32_t to = pixel * w.c + c;
      if (c < w.c) g.dx[to] = g.mask && float(g.mask[to]) <= 0.0f ? 0.0f : all[c];
    }
  }
}

template <class T>
void run_fprop(const Prepared& p, const Operands& o, Context& context) {
  Fprop<T> f = {};
  f.walk = state<ConvWalk>(p);
  f.x = input<T>(o, 0), f.y = output<T>(o, 0), f.index = static_cast<uint8_t*>(o.out[1]);
  f.weights = {input<T>(o, 1), f.walk.taps(), f.walk.c, f.walk.k};
  f.after = after_of<T>(p, o.in[2], o.in[3], nullptr);
  f.quads = Divisor::of(int32_t(quads(f.walk.k)));
  const int32_t pool = p.op.epilogue.pool;
  if (pool == 2) return start<2, 2, true>(context, f);
  if (pool == 3) return start<3, 3, true>(context, f);
  start<1, 4, false>(context, f);
}

template <class T>
void run_dgrad(const Prepared& p, const Operands& o, Context& context) {
  PairGradient<T> g = {};
  g.pair = state<Pair>(p);
  const ConvWalk& w = g.pair.walk;
  g.dy = input<T>(o, 0), g.index = static_cast<const uint8_t*>(o.in[1]);
  g.weights = {input<T>(o, 2), w.taps(), w.c, w.k};
  g.mask = p.op.epilogue.relu_mask ? input<T>(o, 3) : nullptr, g.dx = output<T>(o, 0);
  FASTCNN_LAUNCH(narrow_dgrad<T>, blocks_for(int64_t(w.n) * w.h.in * w.w.in, kThreads), kThreads,
                 stream_of(context))
  (g);
}

// Of dw, and of db after it.
int64_t sums_of(const Pair& pair, bool bias) {
  return (int64_t(pair.walk.taps()) * pair.walk.c + bias) * pair.walk.k;
}

template <class T>
void run_wgrad(const Prepared& p, const Operands& o, Context& context) {
  const Pair pair = state<Pair>(p);
  const ConvWalk& w = pair.walk;
  const T *const x = input<T>(o, 0), *const dy = input<T>(o, 1);
  const auto* index = static_cast<const uint8_t*>(o.in[2]);
  float *dw = output(o, 0), *db = p.op.epilogue.bias ? output(o, 1) : nullptr;
  const int64_t weights = sums_of(pair, false);
  const Divisor channels = Divisor::of(w.c), filters = Divisor::of(w.k), taps_w = Divisor::of(w.w.taps),
                high = Divisor::of(pair.p), wide = Divisor::of(pair.q), cols = Divisor::of(pair.cols);
  const auto term = [=] __device__(int64_t i, int64_t of_window) {
    const int32_t row = int32_t(i) / filters, k = int32_t(i) - row * filters, window = int32_t(of_window);
    const float g = dy[window * w.k + k];
    if (i >= weights) return g;
    const int32_t tap = row / channels, c = row - tap * channels, r = tap / taps_w, s = tap - r * taps_w;
    const int32_t line = window / wide, n = line / high, place = index[window * w.k + k], down = place / cols;
    const int32_t p = (line - n * high) * pair.stride_h + down * pair.dilation_h,
                  q = (window - line * wide) * pair.stride_w + (place - down * cols) * pair.dilation_w;
    const int32_t h = p * w.h.stride - w.h.pad + r * w.h.dilation,
                  v = q * w.w.stride - w.w.pad + s * w.w.dilation;
    return w.inside(0, h, v) ? float(x[n * w.image + w.element(0, h, v) + c]) * g : 0.0f;
  };
  store_sums_of(context, sums_of(pair, db), pair.windows(), term,
                [=] __device__(float sum, int64_t i) { (i < weights ? dw[i] : db[i - weights]) = sum; });
}

}  // namespace

bool supports_conv2d_fprop_narrow(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.pool = 0;
  const int32_t pool = op.epilogue.pool;
  return is_narrow(op.conv2d_fprop) && known_epilogue(e) && !e.relu_mask &&
         (pool == 0 || pool == 2 || pool == 3);
}
void prepare_conv2d_fprop_narrow(Prepared* p) {
  const Conv2dShape& s = p->op.conv2d_fprop;
  const double y = double(s.n) * double(s.p) * double(s.q) * double(s.k), pool = p->op.epilogue.pool;
  const double taps = double(s.r) * double(s.s) * double(s.c);
  const double x = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  set_cost(p, 2 * y * taps,
           bytes_of_number(p) * (x + (pool > 0 ? y / (pool * pool) : y) + taps * double(s.k)));
  state<ConvWalk>(p) = walk_of(s);
}
void run_conv2d_fprop_narrow(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_fprop)(p, o, context);
}

bool supports_conv2d_dgrad_pooled_narrow(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.relu_mask = 0;
  return plain(e) && supports_pair(op.conv2d_dgrad_pooled);
}
void prepare_conv2d_dgrad_pooled_narrow(Prepared* p) { set_pair_cost(p, p->op.conv2d_dgrad_pooled); }
void run_conv2d_dgrad_pooled_narrow(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_dgrad)(p, o, context);
}

// The parts of dw, and of db as one more row of it.
bool supports_conv2d_wgrad_pooled_narrow(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.bias = 0;
  return plain(e) && supports_pair(op.conv2d_wgrad_pooled);
}
void prepare_conv2d_wgrad_pooled_narrow(Prepared* p) {
  set_pair_cost(p, p->op.conv2d_wgrad_pooled);
  const Pair& pair = state<Pair>(*p);
  p->workspace_bytes = sum_terms_bytes(sums_of(pair, p->op.epilogue.bias), pair.windows());
}
void run_conv2d_wgrad_pooled_narrow(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_wgrad)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
