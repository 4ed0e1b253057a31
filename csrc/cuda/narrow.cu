// SPDX-License-Identifier: Apache-2.0
// Convolutions of images with few channels, as small networks and first layers have them, where a matrix
// product would be half empty: the weights stand in shared memory, and a thread makes four channels of some
// neighbouring pixels. Of pixels that a max pooling takes the greatest of, it writes that one alone and its
// place in the window; narrow_gradients.cu has the gradients of such a pair.
#include "narrow.h"
#include "tile.h"

namespace fastcnn {
namespace cuda {

namespace {

// More filters go in parts, unless products may be rounded: then tensor cores are faster.
constexpr int64_t kMostInParts = 64;
int64_t filters_of_part(int64_t filters) {
  const int64_t parts = ceil_div(filters, kMostFilters);
  return parts == 1 ? filters : kFour * ceil_div(quads(filters), parts);
}

// Units of kRows x kCols pixels of y: how many an image has, and a tile, of which a thread takes one.
struct Units {
  int32_t high, wide, filters;
  Tiles tiles;  // none: not even what a unit reads fits
  TileImage image;
};

Units units_of(const ConvWalk& w, int32_t unit_rows, int32_t unit_cols) {
  constexpr int32_t kMostCols = 16;
  Units u = {};
  u.high = (w.h.out + unit_rows - 1) / unit_rows, u.wide = (w.w.out + unit_cols - 1) / unit_cols;
  u.filters = int32_t(filters_of_part(w.k));
  const int32_t of_block = kThreads / int32_t(quads(u.filters));
  int32_t cols = even(u.wide, kMostCols < of_block ? kMostCols : of_block),
          rows = even(u.high, of_block / cols);
  const auto reach = [](int32_t pixels, const ConvAxis& a) {
    return double(pixels - 1) * a.stride + double(a.taps - 1) * a.dilation + 1;
  };
  for (;;) {
    u.image = TileImage::of(reach(rows * unit_rows, w.h), reach(cols * unit_cols, w.w), w.c, 0);
    if (u.image.fits()) u.tiles = Tiles::of(w.n, u.high, u.wide, rows, cols);
    if (u.image.fits() || (rows == 1 && cols == 1)) return u;
    int32_t& longer = rows > 1 ? rows : cols;
    longer = (longer + 1) / 2;
  }
}
Units units_of(const OpDescriptor& op) {
  const int32_t pool = op.epilogue.pool;
  return units_of(walk_of(op.conv2d_fprop), pool ? pool : 1, pool ? pool : kFour);
}

template <class T>
struct Fprop {
  ConvWalk walk;
  Units units;
  const T* x;
  Weights<T> weights;
  T* y;
  uint8_t* index;  // may be null
  AfterSum<T> after;
  Divisor quads, cols;  // of filters, of a tile
  int32_t beside;       // taps whose pixels lie side by side: those of a row, or each by itself
  bool in_fours;        // filters of y
};

// Pooled, a unit is a window.
template <int kRows, int kCols, bool kPooled, class T>
__global__ void __launch_bounds__(kThreads) narrow_fprop(Fprop<T> f) {
  __shared__ float4 filters[kMostQuads];
  __shared__ float image[kMostImage];
  constexpr int kPixels = kRows * kCols;
  const ConvWalk& w = f.walk;
  const Tiles& tiles = f.units.tiles;
  const TileImage& of_tile = f.units.image;
  const int32_t next_row = w.h.dilation * of_tile.width * w.c, next = w.w.dilation * w.c;
  const int32_t first_k = int32_t(blockIdx.y) * f.units.filters;
  Weights<T> weights = f.weights;
  weights.w += first_k, weights.k = w.k - first_k < weights.k ? w.k - first_k : weights.k;
  weights.put_filters(filters, f.quads);
  const int32_t i = int32_t(threadIdx.x) / f.quads, quad = int32_t(threadIdx.x) - i * f.quads,
                row = i / f.cols, column = i - row * f.cols;
  int32_t first[kPixels];
  FASTCNN_UNROLL
  for (int e = 0; e < kPixels; ++e)
    first[e] =
        ((row * kRows + e / kCols) * w.h.stride * of_tile.width + (column * kCols + e % kCols) * w.w.stride) *
        w.c;
  for (int32_t tile = int32_t(blockIdx.x); tile < tiles.count; tile += int32_t(gridDim.x)) {
    const Place at = tiles.place(tile);
    const int32_t n = at.n, high = at.h + row, wide = at.w + column, p0 = high * kRows, q0 = wide * kCols;
    __syncthreads();  // the last tile has been read
    of_tile.put(w, f.x, n, at.h * kRows * w.h.stride - w.h.pad, at.w * kCols * w.w.stride - w.w.pad, image);
    __syncthreads();
    if (row >= tiles.rows || high >= f.units.high || wide >= f.units.wide) continue;
    float4 sum[kPixels];
    FASTCNN_UNROLL
    for (int e = 0; e < kPixels; ++e) sum[e] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const float4* filter = filters + quad;
    for (int32_t r = 0; r < w.h.taps; ++r)
      for (int32_t s = 0; s < w.w.taps; s += f.beside) {
        const float* from = image + r * next_row + s * next;
        FASTCNN_ROLLED
        for (int32_t c = 0; c < f.beside * w.c; ++c, ++from, filter += f.quads) {
          const float4 by = *filter;
          FASTCNN_UNROLL
          for (int e = 0; e < kPixels; ++e) sum[e] = add_scaled(from[first[e]], by, sum[e]);
        }
      }
    if (!kPooled && f.in_fours) {
      FASTCNN_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        const int32_t p = p0 + i / kCols, q = q0 + i % kCols, k = first_k + quad * kFour;
        if (k < w.k && w.is_window(0, p, q))
          Results<T>{f.y, nullptr, f.after}.put_four(sum[i], n * w.gradient + w.window(0, p, q) + k, k);
      }
      continue;
    }
    FASTCNN_UNROLL
    for (int e = 0; e < kFour; ++e) {
      const int32_t k = first_k + quad * kFour + e;
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
      const int64_t to = (int64_t(n * f.units.high + high) * f.units.wide + wide) * w.k + k;
      f.y[to] = best;
      if (f.index) f.index[to] = uint8_t(place);
    }
  }
}

template <int kRows, int kCols, bool kPooled, class T>
void start(Context& context, const Fprop<T>& f) {
  const int32_t parts = (f.walk.k + f.units.filters - 1) / f.units.filters;
  const dim3 blocks(blocks_for(f.units.tiles.count, 1), unsigned(parts));
  FASTCNN_LAUNCH((narrow_fprop<kRows, kCols, kPooled, T>), blocks, kThreads, stream_of(context))
  (f);
}

template <class T>
void run_fprop(const Prepared& p, const Operands& o, Context& context) {
  Fprop<T> f = {};
  f.walk = state<ConvWalk>(p), f.units = units_of(p.op);
  f.x = input<T>(o, 0), f.y = output<T>(o, 0), f.index = static_cast<uint8_t*>(o.out[1]);
  f.weights = {input<T>(o, 1), f.walk.taps(), f.walk.c, f.units.filters, f.walk.k};
  f.after = after_of<T>(p, o.in[2], o.in[3], nullptr);
  f.quads = Divisor::of(int32_t(quads(f.units.filters))), f.cols = Divisor::of(f.units.tiles.cols);
  f.in_fours = f.walk.k % kFour == 0 && aligned_to_fours<T>({f.y});
  f.beside = f.walk.w.dilation == 1 ? f.walk.w.taps : 1;
  const int32_t pool = p.op.epilogue.pool;
  if (pool == 2) return start<2, 2, true>(context, f);
  if (pool == 3) return start<3, 3, true>(context, f);
  start<1, 4, false>(context, f);
}

}  // namespace

bool supports_conv2d_fprop_narrow(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.pool = 0;
  const int32_t pool = op.epilogue.pool;
  const Conv2dShape& s = op.conv2d_fprop;
  const int64_t most = op.precision == Precision::kFloat32 ? kMostInParts : kMostFilters;
  return s.k <= most && is_narrow(s, filters_of_part(s.k)) && known_epilogue(e) && !e.relu_mask &&
         (pool == 0 || pool == 2 || pool == 3) && units_of(op).tiles.count > 0;
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

}  // namespace cuda
}  // namespace fastcnn
