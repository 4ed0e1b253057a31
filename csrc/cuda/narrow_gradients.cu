// SPDX-License-Identifier: Apache-2.0
// The gradients of a convolution of few channels (narrow.cu): of its weights, and of both where a max pooling
// follows at once, from the pooled gradients and the places of the greatest (backend.h):
//
//   dw[r,s,c,k] = sum over n and windows of dy[n,window,k] x[n, place + (r,s), c]
//   dx[n, place + (r,s), c] = sum over windows and k of dy[n,window,k] w[r,s,c,k]
//
// A block takes a tile of an image after the other: what its sums read lies in shared memory, with zeros
// beyond the borders: indices are divided and compared once. Without a pool each pixel is a window.
#include "narrow.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int32_t kRun = 5;  // weights of a thread, side by side in a row of taps
constexpr int32_t kMostTerms = 2048, kMostGradients = 7168;  // of a tile, in shared memory
constexpr int32_t kMostParts = 512, kEnoughBlocks = 256;

FASTCNN_WALK int32_t chunks_of(int32_t run) { return (run + kRun - 1) / kRun; }

// A convolution and its pool, if any.
struct Pair {
  ConvWalk walk;
  int32_t rows, cols, stride_h, stride_w, dilation_h, dilation_w;  // of the pool's windows
  int32_t p, q;
};

Pair pair_of(const PooledConv2dShape& s) {
  const auto i = [](int64_t v) { return static_cast<int32_t>(v); };
  const Pool2dShape& pool = s.pool;
  return {walk_of(s.conv),    i(pool.r),          i(pool.s), i(pool.stride_h), i(pool.stride_w),
          i(pool.dilation_h), i(pool.dilation_w), i(pool.p), i(pool.q)};
}

Pair pair_of(const Conv2dShape& s) {
  const ConvWalk walk = walk_of(s);
  return {walk, 1, 1, 1, 1, 1, 1, walk.h.out, walk.w.out};
}

// Windows that lie in the image, so that a place counts whole rows of a window.
bool supports_pair(const PooledConv2dShape& s) {
  const Pool2dShape& pool = s.pool;
  return is_narrow(s.conv) && !pool.adaptive && !pool.pad_top && !pool.pad_left && pool.r * pool.s <= 256 &&
         (pool.p - 1) * pool.stride_h + (pool.r - 1) * pool.dilation_h < pool.h &&
         (pool.q - 1) * pool.stride_w + (pool.s - 1) * pool.dilation_w < pool.w;
}

// Of so many dy, and bytes that stand beside each.
void set_gradient_cost(Prepared* p, const Conv2dShape& s, double dy, double beside) {
  const double taps = double(s.r) * double(s.s) * double(s.c), number = bytes_of_number(p);
  const double x = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  set_cost(p, 2 * dy * taps, (number + beside) * dy + number * (x + taps * double(s.k)));
}
void set_pair(Prepared* p, const PooledConv2dShape& s) {
  set_gradient_cost(p, s.conv, double(s.pool.n) * double(s.pool.p) * double(s.pool.q) * double(s.conv.k), 1);
  state<Pair>(p) = pair_of(s);
}

// Of dw, and of db after it.
int32_t sums_of(const Pair& pair, bool bias) { return (pair.walk.taps() * pair.walk.c + bias) * pair.walk.k; }

// How dw is cut: tiles of windows; units of kRun weights of a filter, as many as fit going to a block. The
// weights of a row of taps lie side by side in the image too, if taps do: then the row is a run, else a tap.
struct WgradCut {
  Tiles tiles;  // none: not even a window fits
  TileImage image;
  int32_t run, runs, units, of_block, unit_blocks, parts;
  bool beside;
};

WgradCut wgrad_cut(const Pair& pair, bool bias) {
  const ConvWalk& w = pair.walk;
  WgradCut cut = {};
  cut.beside = w.w.dilation == 1;
  cut.run = cut.beside ? w.w.taps * w.c : w.c, cut.runs = cut.beside ? w.h.taps : w.taps();
  cut.units = (cut.runs * chunks_of(cut.run) + bias) * w.k;
  cut.unit_blocks = (cut.units + kThreads - 1) / kThreads;
  cut.of_block = (cut.units + cut.unit_blocks - 1) / cut.unit_blocks;
  int32_t rows = pair.p, cols = pair.q;
  const auto reach = [](int32_t windows, const ConvAxis& a, int32_t taps, int32_t stride, int32_t dilation) {
    return (double(windows - 1) * stride + double(taps - 1) * dilation) * a.stride +
           double(a.taps - 1) * a.dilation + 1;
  };
  for (;;) {
    cut.image = TileImage::of(reach(rows, w.h, pair.rows, pair.stride_h, pair.dilation_h),
                              reach(cols, w.w, pair.cols, pair.stride_w, pair.dilation_w), w.c, kRun);
    if (cut.image.fits() && int64_t(rows) * cols * w.k <= kMostTerms) {
      cut.tiles = Tiles::of(w.n, pair.p, pair.q, rows, cols);
      if (rows < 8 || cut.tiles.count * cut.unit_blocks >= kEnoughBlocks) break;
    }
    if (rows == 1 && cols == 1) break;
    int32_t& longer = rows > 1 ? rows : cols;
    longer = (longer + 1) / 2;
  }
  // Of few terms in all, one launch saves more than further blocks.
  const bool small = is_small_sum(sums_of(pair, bias), int64_t(w.n) * pair.p * pair.q);
  cut.parts = small ? 1 : cut.tiles.count < kMostParts ? cut.tiles.count : kMostParts;
  return cut;
}

template <class T>
struct PairWgrad {
  Pair pair;
  WgradCut cut;
  const T *x, *dy;
  const uint8_t* index;
  float* sums;  // [parts, dw and db]; of one part dw and db themselves
  float *dw, *db;
  Divisor filters, cols, tile_cols, unit_blocks;
  int32_t outputs;
};

// A term of dw: a gradient, and where the pixel under its first tap begins in the tile's image; -1: no term.
struct alignas(8) Term {
  float dy;
  int32_t at;
};

template <class T>
FASTCNN_INLINE void put_terms(const PairWgrad<T>& g, const Place& windows, Term* to) {
  const Pair& pair = g.pair;
  const ConvWalk& w = pair.walk;
  const int32_t count = g.cut.tiles.rows * g.cut.tiles.cols * w.k;
  for (int32_t i = int32_t(threadIdx.x); i < count; i += kThreads) {
    const int32_t window = i / g.filters, k = i - window * g.filters, y = window / g.tile_cols,
                  x = window - y * g.tile_cols;
    Term term = {0.0f, -1};
    if (windows.h + y < pair.p && windows.w + x < pair.q) {
      const int32_t from = ((windows.n * pair.p + windows.h + y) * pair.q + windows.w + x) * w.k + k;
      const int32_t place = g.index ? g.index[from] : 0, down = place / g.cols, right = place - down * g.cols;
      term.dy = float(g.dy[from]);
      term.at = ((y * pair.stride_h + down * pair.dilation_h) * w.h.stride * g.cut.image.width +
                 (x * pair.stride_w + right * pair.dilation_w) * w.w.stride) *
                w.c;
    }
    to[i] = term;
  }
}

// A thread to a unit and some windows of each tile; the first of a unit adds what the others have.
template <class T>
__global__ void __launch_bounds__(kThreads) narrow_wgrad(PairWgrad<T> g) {
  __shared__ float image[kMostImage];
  __shared__ Term terms[kMostTerms];
  __shared__ float others[kRun][kThreads];
  const ConvWalk& w = g.pair.walk;
  const WgradCut& cut = g.cut;
  const int32_t part = int32_t(blockIdx.x) / g.unit_blocks,
                block = int32_t(blockIdx.x) - part * g.unit_blocks;
  const int32_t groups = kThreads / cut.of_block, group = int32_t(threadIdx.x) / cut.of_block;
  const int32_t unit = block * cut.of_block + int32_t(threadIdx.x) - group * cut.of_block;
  const bool active = group < groups && unit < cut.units;
  const int32_t chunk = unit / g.filters, k = unit - chunk * g.filters;
  const int32_t across = chunks_of(cut.run), run = chunk / across, first = (chunk - run * across) * kRun;
  const bool is_bias = run >= cut.runs;  // its terms meet the one behind the image
  const int32_t r = cut.beside ? run : run / w.w.taps, s = cut.beside ? 0 : run - r * w.w.taps;
  const int32_t from =
      is_bias ? cut.image.numbers : (r * w.h.dilation * cut.image.width + s * w.w.dilation) * w.c + first;
  const int32_t moves = is_bias ? 0 : 1, windows = cut.tiles.rows * cut.tiles.cols;
  if (threadIdx.x < kRun) image[cut.image.numbers + threadIdx.x] = threadIdx.x == 0 ? 1.0f : 0.0f;
  float sum[kRun] = {};
  for (int32_t tile = part; tile < cut.tiles.count; tile += cut.parts) {
    const Place at = cut.tiles.place(tile);
    __syncthreads();  // the last tile has been read
    cut.image.put(w, g.x, at.n, at.h * g.pair.stride_h * w.h.stride - w.h.pad,
                  at.w * g.pair.stride_w * w.w.stride - w.w.pad, image);
    put_terms(g, at, terms);
    __syncthreads();
    if (!active) continue;
    for (int32_t window = group; window < windows; window += groups) {
      const Term term = terms[window * w.k + k];
      if (term.at < 0) continue;
      const float* const x = image + from + moves * term.at;
      FASTCNN_UNROLL
      for (int i = 0; i < kRun; ++i) sum[i] = fma(x[i], term.dy, sum[i]);
    }
  }
  FASTCNN_UNROLL
  for (int i = 0; i < kRun; ++i) others[i][threadIdx.x] = sum[i];
  __syncthreads();
  if (!active || group > 0) return;
  const int32_t row = is_bias ? w.taps() * w.c : run * cut.run + first;
  const int32_t left = is_bias ? 1 : cut.run - first;
  for (int i = 0; i < kRun && i < left; ++i) {
    float all = others[i][threadIdx.x];
    for (int32_t other = 1; other < groups; ++other) all += others[i][threadIdx.x + other * cut.of_block];
    const int32_t place = (row + i) * w.k + k;
    float* const whole = is_bias ? g.db + k : g.dw + place;
    *(cut.parts == 1 ? whole : g.sums + int64_t(part) * g.outputs + place) = all;
  }
}

template <class T>
void run_wgrad(const Prepared& p, const Operands& o, Context& context) {
  PairWgrad<T> g = {};
  float *dw = output(o, 0), *db = p.op.epilogue.bias ? output(o, 1) : nullptr;
  g.pair = state<Pair>(p), g.cut = wgrad_cut(g.pair, db);
  const ConvWalk& w = g.pair.walk;
  g.x = input<T>(o, 0), g.dy = input<T>(o, 1);
  if (p.op.step == Step::k_conv2d_wgrad_pooled) g.index = static_cast<const uint8_t*>(o.in[2]);
  g.sums = static_cast<float*>(context.workspace), g.dw = dw, g.db = db;
  g.filters = Divisor::of(w.k), g.cols = Divisor::of(g.pair.cols);
  g.tile_cols = Divisor::of(g.cut.tiles.cols), g.outputs = sums_of(g.pair, db);
  g.unit_blocks = Divisor::of(g.cut.unit_blocks);
  FASTCNN_LAUNCH(narrow_wgrad<T>, unsigned(g.cut.parts * g.cut.unit_blocks), kThreads, stream_of(context))(g);
  if (g.cut.parts == 1) return;
  const int64_t weights = sums_of(g.pair, false);
  store_sums(context, {g.sums, g.outputs, g.cut.parts},
             [=] __device__(float sum, int64_t i) { (i < weights ? dw[i] : db[i - weights]) = sum; });
}

// How dx is cut: tiles of its pixels, a thread to four channels of a pixel.
struct DgradCut {
  Tiles tiles;            // none: not even what a pixel reads fits
  int32_t height, width;  // windows of the convolution that a tile reads
  int32_t pitch;          // from one to the next: odd, which keeps banks apart
};

DgradCut dgrad_cut(const Pair& pair) {
  const ConvWalk& w = pair.walk;
  const int32_t across = int32_t(quads(w.c));
  const auto reach = [](int32_t pixels, const ConvAxis& a) {
    return (pixels - 1 + (a.taps - 1) * a.dilation) / a.stride + 1;
  };
  DgradCut cut = {};
  cut.pitch = w.k | 1;
  int32_t cols = even(w.w.in, kThreads / across), rows = even(w.h.in, kThreads / (cols * across));
  for (;; --(rows > 1 ? rows : cols)) {
    cut.height = reach(rows, w.h), cut.width = reach(cols, w.w);
    if (double(cut.height) * double(cut.width) * cut.pitch <= kMostGradients) {
      cut.tiles = Tiles::of(w.n, w.h.in, w.w.in, rows, cols);
      return cut;
    }
    if (rows == 1 && cols == 1) return cut;
  }
}

template <class T>
struct PairDgrad {
  Pair pair;
  DgradCut cut;
  const T* dy;
  const uint8_t* index;
  Weights<T> weights;
  const T* mask;  // may be null
  T* dx;
  Divisor filters, width, across, tile_cols, stride_h, stride_w;
  Divisor pool_h, pool_w, apart_h, apart_w;  // strides and dilations of the pool
};

// The window that holds place `at` as its tap, -1 if none.
FASTCNN_INLINE int32_t window_of(int32_t at, int32_t tap, const Divisor& stride, int32_t dilation,
                                 int32_t windows) {
  const int32_t distance = at - tap * dilation;
  if (distance < 0) return -1;
  const int32_t window = distance / stride;
  return window * stride != distance || window >= windows ? -1 : window;
}

// The gradient of output (p, q, k) of the convolution: of the windows whose greatest it is.
template <class T>
FASTCNN_INLINE float gradient_of(const PairDgrad<T>& g, int32_t n, int32_t p, int32_t q, int32_t k) {
  const Pair& pair = g.pair;
  float sum = 0.0f;
  const int32_t last_y = p / g.pool_h, last_x = q / g.pool_w;
  for (int32_t y = last_y < pair.p ? last_y : pair.p - 1; y >= 0; --y) {
    const int32_t below = p - y * g.pool_h, i = below / g.apart_h;
    if (i >= pair.rows) break;
    if (i * g.apart_h != below) continue;
    for (int32_t x = last_x < pair.q ? last_x : pair.q - 1; x >= 0; --x) {
      const int32_t beside = q - x * g.pool_w, j = beside / g.apart_w;
      if (j >= pair.cols) break;
      if (j * g.apart_w != beside) continue;
      const int32_t from = ((n * pair.p + y) * pair.q + x) * pair.walk.k + k;
      const float dy = g.dy[from];
      sum += g.index[from] == i * pair.cols + j ? dy : 0.0f;
    }
  }
  return sum;
}

FASTCNN_INLINE int32_t first_window(int32_t pixel, const ConvAxis& a) {
  const int32_t x = pixel + a.pad - (a.taps - 1) * a.dilation;
  return x > 0 ? (x + a.stride - 1) / a.stride : -(-x / a.stride);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 4) narrow_dgrad(PairDgrad<T> g) {
  __shared__ float4 channels[kMostQuads];
  __shared__ float gradients[kMostGradients];
  const ConvWalk& w = g.pair.walk;
  const DgradCut& cut = g.cut;
  g.weights.put_channels(channels);
  for (int32_t tile = int32_t(blockIdx.x); tile < cut.tiles.count; tile += int32_t(gridDim.x)) {
    const Place at = cut.tiles.place(tile);
    const int32_t p0 = first_window(at.h, w.h), q0 = first_window(at.w, w.w);
    __syncthreads();  // the last tile has been read
    for (int32_t i = int32_t(threadIdx.x); i < cut.height * cut.width * w.k; i += kThreads) {
      const int32_t window = i / g.filters, k = i - window * g.filters, y = window / g.width,
                    x = window - y * g.width;
      gradients[window * cut.pitch + k] =
          w.is_window(0, p0 + y, q0 + x) ? gradient_of(g, at.n, p0 + y, q0 + x, k) : 0.0f;
    }
    __syncthreads();
    for (int32_t i = int32_t(threadIdx.x); i < cut.tiles.rows * cut.tiles.cols * g.across; i += kThreads) {
      const int32_t pixel = i / g.across, quad = i - pixel * g.across, row = pixel / g.tile_cols,
                    h = at.h + row, v = at.w + pixel - row * g.tile_cols;
      if (h >= w.h.in || v >= w.w.in) continue;
      float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      for (int32_t r = 0; r < w.h.taps; ++r) {
        const int32_t y = window_of(h + w.h.pad - p0 * w.h.stride, r, g.stride_h, w.h.dilation, cut.height);
        if (y < 0) continue;
        for (int32_t s = 0; s < w.w.taps; ++s) {
          const int32_t x = window_of(v + w.w.pad - q0 * w.w.stride, s, g.stride_w, w.w.dilation, cut.width);
          if (x < 0) continue;
          const float* const dy = gradients + (y * cut.width + x) * cut.pitch;
          const float4* by = channels + (r * w.w.taps + s) * w.k * g.across + quad;
          for (int32_t k = 0; k < w.k; ++k, by += g.across) sum = add_scaled(dy[k], *by, sum);
        }
      }
      const float all[kFour] = {sum.x, sum.y, sum.z, sum.w};
      const int32_t to = ((at.n * w.h.in + h) * w.w.in + v) * w.c + quad * kFour;
      FASTCNN_UNROLL
      for (int e = 0; e < kFour; ++e)
        if (quad * kFour + e < w.c) g.dx[to + e] = g.mask && float(g.mask[to + e]) <= 0.0f ? 0.0f : all[e];
    }
  }
}

template <class T>
void run_dgrad(const Prepared& p, const Operands& o, Context& context) {
  PairDgrad<T> g = {};
  g.pair = state<Pair>(p), g.cut = dgrad_cut(g.pair);
  const ConvWalk& w = g.pair.walk;
  g.dy = input<T>(o, 0), g.index = static_cast<const uint8_t*>(o.in[1]);
  g.weights = {input<T>(o, 2), w.taps(), w.c, w.k, w.k};
  g.mask = p.op.epilogue.relu_mask ? input<T>(o, 3) : nullptr, g.dx = output<T>(o, 0);
  g.filters = Divisor::of(w.k), g.width = Divisor::of(g.cut.width),
  g.across = Divisor::of(int32_t(quads(w.c)));
  g.tile_cols = Divisor::of(g.cut.tiles.cols), g.stride_h = Divisor::of(w.h.stride);
  g.stride_w = Divisor::of(w.w.stride), g.pool_h = Divisor::of(g.pair.stride_h);
  g.pool_w = Divisor::of(g.pair.stride_w), g.apart_h = Divisor::of(g.pair.dilation_h);
  g.apart_w = Divisor::of(g.pair.dilation_w);
  FASTCNN_LAUNCH(narrow_dgrad<T>, blocks_for(g.cut.tiles.count, 1), kThreads, stream_of(context))(g);
}

// The parts of dw, and of db as one more row of it.
bool supports_wgrad(const OpDescriptor& op, const Pair& pair) {
  Epilogue e = op.epilogue;
  e.bias = 0;
  return plain(e) && wgrad_cut(pair, true).tiles.count > 0;
}
void prepare_wgrad(Prepared* p) {
  const Pair& pair = state<Pair>(*p);
  const bool bias = p->op.epilogue.bias != 0;
  const int32_t parts = wgrad_cut(pair, bias).parts;
  p->workspace_bytes = parts > 1 ? sizeof(float) * size_t(sums_of(pair, bias)) * size_t(parts) : 0;
}

}  // namespace

bool supports_conv2d_dgrad_pooled_narrow(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.relu_mask = 0;
  return plain(e) && supports_pair(op.conv2d_dgrad_pooled) &&
         dgrad_cut(pair_of(op.conv2d_dgrad_pooled)).tiles.count > 0;
}
void prepare_conv2d_dgrad_pooled_narrow(Prepared* p) { set_pair(p, p->op.conv2d_dgrad_pooled); }
void run_conv2d_dgrad_pooled_narrow(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_dgrad)(p, o, context);
}

bool supports_conv2d_wgrad_pooled_narrow(const OpDescriptor& op) {
  return supports_pair(op.conv2d_wgrad_pooled) && supports_wgrad(op, pair_of(op.conv2d_wgrad_pooled));
}
void prepare_conv2d_wgrad_pooled_narrow(Prepared* p) {
  set_pair(p, p->op.conv2d_wgrad_pooled);
  prepare_wgrad(p);
}
void run_conv2d_wgrad_pooled_narrow(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_wgrad)(p, o, context);
}

bool supports_conv2d_wgrad_narrow(const OpDescriptor& op) {
  return is_narrow(op.conv2d_wgrad) && supports_wgrad(op, pair_of(op.conv2d_wgrad));
}
void prepare_conv2d_wgrad_narrow(Prepared* p) {
  const Conv2dShape& s = p->op.conv2d_wgrad;
  set_gradient_cost(p, s, double(s.n) * double(s.p) * double(s.q) * double(s.k), 0);
  state<Pair>(p) = pair_of(s);
  prepare_wgrad(p);
}
void run_conv2d_wgrad_narrow(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_wgrad)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
