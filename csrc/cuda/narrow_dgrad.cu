// SPDX-License-Identifier: Apache-2.0
// The data gradient of a convolution of few channels, which is a first layer's, or a transposed convolution
// that makes a picture: there a matrix product would have columns for a few channels alone.
//
//   dx[n, pixel, c] = sum over windows that hold it, and k, of dy[n, window, k] w[tap, c, k]
//
// A block takes a tile of the pixels of a class (walk.h) and kC channels, some filters of dy's windows and of
// the weights after the other in shared memory; a thread makes kSide neighbouring pixels of the class, which
// lie in the windows of neighbouring places: a window is read once for kSide taps of a row. Multiply-adds of
// float32, whatever the precision.
#include "narrow.h"
#include "tile.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kSide = 4;
constexpr int32_t kMostFours = 3072;  // of filters, in shared memory
constexpr int32_t kMostStride = 4, kLeastUnits = 48, kFewFilters = 64, kEnoughBlocks = 256;

// Taps of a row of a class go by kSide at a time.
FASTCNN_WALK int32_t rounds_of(int32_t taps) { return (taps + kSide - 1) / kSide; }

// Pixels of one axis, as AxisClass; `window`: of the first of them and the first tap.
struct ClassOfAxis {
  AxisClass of;
  int32_t window;
};

// How dx is cut: tiles of units of kSide pixels of a class, a thread to a unit.
struct DgradCut {
  Tiles tiles;             // none: not even what a unit reads fits
  int32_t fours;           // of filters that a tile reads at once
  int32_t quarter, plane;  // of a row of windows, every kSide-th; of all for the same filters
  int32_t parts;           // of the channels
};

int32_t channels_of_thread(const ConvWalk& w) { return w.c == 1 ? 1 : 3; }

DgradCut cut_of(const ConvWalk& w) {
  const int32_t high = ConvWalk::pixels_of(w.h), wide = rounds_of(ConvWalk::pixels_of(w.w));
  const int32_t taps_h = ConvWalk::most_taps(w.h), taps_w = ConvWalk::most_taps(w.w);
  const int32_t weights = taps_h * taps_w * channels_of_thread(w), fours = int32_t(quads(w.k));
  DgradCut cut = {};
  cut.parts = (w.c + channels_of_thread(w) - 1) / channels_of_thread(w);
  int32_t cols = even(wide, kWarp), rows = even(high, kThreads / cols);
  for (;;) {
    cut.quarter = cols + rounds_of(taps_w);
    // Windows lie apart by the dilation at most; planes by an odd number, which keeps banks apart.
    const double windows = (rows + double(taps_h - 1) * w.h.dilation) * cut.quarter * kSide;
    cut.plane = windows > kMostFours ? kMostFours : int32_t(windows) | 1;
    const int32_t room = kMostFours / (cut.plane + weights);
    if (room > 0) {
      cut.fours = even(fours, room);
      cut.tiles = Tiles::of(w.n, high, wide, rows, cols);
      if (rows < 8 || double(cut.tiles.count) * w.classes() * cut.parts >= kEnoughBlocks) return cut;
    }
    if (rows == 1 && cols == 1) return cut;
    int32_t& longer = rows > 1 ? rows : cols;
    longer = (longer + 1) / 2;
  }
}

template <class T>
struct Dgrad {
  ConvWalk walk;
  DgradCut cut;
  const T *dy, *weights;
  T* dx;
  AfterSum<T> after;
  bool by_fours;  // filters, in memory
  ClassOfAxis rows[kMostStride], cols[kMostStride];
  Divisor parts, stride_h, stride_w, fours, width, tile_cols;  // `width`: of a row of windows
};

// Filters k, k + 1, ... of a place in memory; 0 beyond the last.
template <class T>
FASTCNN_INLINE float4 four_filters(const Dgrad<T>& g, const T* from, int32_t k) {
  const int32_t left = g.walk.k - k;
  if (left <= 0) return make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (g.by_fours) {
    const auto four = Together<T, kFour>::at(from);
    return make_float4(float(four.of[0]), float(four.of[1]), float(four.of[2]), float(four.of[3]));
  }
  return make_float4(float(from[0]), left > 1 ? float(from[1]) : 0.0f, left > 2 ? float(from[2]) : 0.0f,
                     left > 3 ? float(from[3]) : 0.0f);
}

FASTCNN_INLINE float add_product(const float4& x, const float4& y, float to) {
  return fma(x.w, y.w, fma(x.z, y.z, fma(x.y, y.y, fma(x.x, y.x, to))));
}

// What a tile reads for some filters, and the weights of its class for them: [taps, fours, kC].
template <int kC, class T>
struct Strips {
  const Dgrad<T>& g;
  const AxisClass &high, &wide;
  float4* shared;

  FASTCNN_INLINED float4* weights() const { return shared + g.cut.fours * g.cut.plane; }
  // The whole block; windows from (p0, q0) on of a sample's dy, filters from 4 `first` on.
  FASTCNN_INLINED void put_windows(const T* dy, int32_t p0, int32_t q0, int32_t height, int32_t first) const {
    constexpr int kEach = 4;  // that a thread waits for at once
    const ConvWalk& w = g.walk;
    const int32_t count = height * g.width * g.fours;
    for (int32_t i = int32_t(threadIdx.x); i < count; i += kEach * kThreads) {
      float4 value[kEach];
      int32_t to[kEach];
      FASTCNN_UNROLL
      for (int e = 0; e < kEach; ++e) {
        const int32_t item = i + e * kThreads, window = item / g.fours, four = item - window * g.fours,
                      y = window / g.width, x = window - y * g.width, k = (first + four) * kFour;
        to[e] = four * g.cut.plane + y * g.width + x % kSide * g.cut.quarter + x / kSide;
        const bool there = item < count && w.is_window(0, p0 + y, q0 + x);
        value[e] = there ? four_filters(g, dy + ((p0 + y) * w.w.out + q0 + x) * w.k + k, k)
                         : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      }
      FASTCNN_UNROLL
      for (int e = 0; e < kEach; ++e)
        if (i + e * kThreads < count) shared[to[e]] = value[e];
    }
  }
  FASTCNN_INLINED void put_weights(int32_t first_c, int32_t first) const {
    const ConvWalk& w = g.walk;
    for (int32_t i = int32_t(threadIdx.x); i < high.count * wide.count * g.fours * kC; i += kThreads) {
      const int32_t place = i / kC, c = first_c + i - place * kC, tap = place / g.fours,
                    k = (first + place - tap * g.fours) * kFour, r = tap / wide.count,
                    s = tap - r * wide.count;
      const int32_t row = (high.tap(r) * w.w.taps + wide.tap(s)) * w.c + c;
      weights()[i] = c < w.c ? four_filters(g, g.weights + int64_t(row) * w.k + k, k)
                             : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
  }
  // For the unit of this row and column of the tile, by `fours` of the filters.
  FASTCNN_INLINED void add(int32_t row, int32_t col, int32_t fours, float (&sum)[kSide][kC]) const {
    const int32_t rounds = rounds_of(wide.count), next_tap = g.fours * kC;
    for (int32_t r = 0; r < high.count; ++r)
      for (int32_t round = 0; round < rounds; ++round) {
        const int32_t y = row + (high.count - 1 - r) * high.step_back, left = wide.count - round * kSide;
        const float4* from = shared + y * g.width + col + rounds - 1 - round;
        const float4* by = weights() + (r * wide.count + round * kSide) * next_tap;
        FASTCNN_ROLLED
        for (int32_t four = 0; four < fours; ++four, from += g.cut.plane, by += kC) {
          float4 x[2 * kSide - 1];
          FASTCNN_UNROLL
          for (int e = 0; e < 2 * kSide - 1; ++e) x[e] = from[e % kSide * g.cut.quarter + e / kSide];
          FASTCNN_UNROLL
          for (int s = 0; s < kSide; ++s) {
            if (s >= left) break;
            FASTCNN_UNROLL
            for (int c = 0; c < kC; ++c) {
              const float4 weight = by[s * next_tap + c];
              FASTCNN_UNROLL
              for (int i = 0; i < kSide; ++i)
                sum[i][c] = add_product(x[kSide - 1 + i - s], weight, sum[i][c]);
            }
          }
        }
      }
  }
};

template <int kC, class T>
__global__ void __launch_bounds__(kThreads, 3) few_channels_dgrad(Dgrad<T> g) {
  __shared__ float4 shared[kMostFours];
  const ConvWalk& w = g.walk;
  const Tiles& tiles = g.cut.tiles;
  // Classes and channels that read the same windows lie side by side.
  const int32_t of_part = int32_t(blockIdx.x) / g.parts, of_col = of_part / g.stride_w,
                tile = of_col / g.stride_h;
  const int32_t first_c = (int32_t(blockIdx.x) - of_part * g.parts) * kC;
  const ClassOfAxis &high = g.rows[of_col - tile * g.stride_h], &wide = g.cols[of_part - of_col * g.stride_w];
  const Place at = tiles.place(tile);
  const int32_t row = int32_t(threadIdx.x) / g.tile_cols, col = int32_t(threadIdx.x) - row * g.tile_cols;
  const bool active = row < tiles.rows && high.of.place + (at.h + row) * w.h.stride < w.h.in &&
                      wide.of.place + (at.w + col) * kSide * w.w.stride < w.w.in;
  const int32_t back = (high.of.count - 1) * high.of.step_back;
  const Strips<kC, T> strips = {g, high.of, wide.of, shared};
  float sum[kSide][kC] = {};
  for (int32_t first = 0; first * kFour < w.k; first += g.fours) {
    const int32_t left = (w.k - first * kFour + kFour - 1) / kFour;
    if (high.of.count * wide.of.count == 0) break;  // of the whole block: no window holds such pixels
    __syncthreads();                                // the last filters have been used
    strips.put_windows(g.dy + at.n * w.gradient, high.window + at.h - back,
                       wide.window + (at.w - rounds_of(wide.of.count)) * kSide + 1, tiles.rows + back, first);
    strips.put_weights(first_c, first);
    __syncthreads();
    if (active) strips.add(row, col, left < g.fours ? left : g.fours, sum);
  }
  // Through shared memory, so that neighbours in dx are written together.
  __syncthreads();
  auto* const sums = reinterpret_cast<float*>(shared);
  FASTCNN_UNROLL
  for (int i = 0; i < kSide; ++i) FASTCNN_UNROLL
  for (int c = 0; c < kC; ++c) sums[(int32_t(threadIdx.x) * kSide + i) * kC + c] = sum[i][c];
  __syncthreads();
  FASTCNN_ROLLED
  for (int32_t i = int32_t(threadIdx.x); i < tiles.rows * tiles.cols * kSide * kC; i += kThreads) {
    const int32_t pixel = i / kC, c = first_c + i - pixel * kC, unit = pixel / kSide, y = unit / g.tile_cols;
    const int32_t h = high.of.place + (at.h + y) * w.h.stride,
                  v = wide.of.place + (at.w * kSide + pixel - y * tiles.cols * kSide) * w.w.stride;
    if (h >= w.h.in || v >= w.w.in || c >= w.c) continue;
    const int64_t to = at.n * w.image + w.element(0, h, v) + c;
    g.dx[to] = g.after(sums[i], to, c);
  }
}

ClassOfAxis class_of(const ConvAxis& a, int32_t place) {
  const AxisClass of = AxisClass::of(a, place);
  return {of, of.window(place, a)};
}

template <class T>
void run_dgrad(const Prepared& p, const Operands& o, Context& context) {
  Dgrad<T> g = {};
  const ConvWalk& w = g.walk = state<ConvWalk>(p);
  g.cut = cut_of(w);
  g.dy = input<T>(o, 0), g.weights = input<T>(o, 1), g.dx = output<T>(o, 0);
  g.after = after_of<T>(p, o.in[3], o.in[4], o.in[2]);
  g.by_fours = w.k % kFour == 0 && aligned_to_fours<T>({g.dy, g.weights});
  for (int32_t i = 0; i < w.h.stride; ++i) g.rows[i] = class_of(w.h, i);
  for (int32_t i = 0; i < w.w.stride; ++i) g.cols[i] = class_of(w.w, i);
  g.parts = Divisor::of(g.cut.parts), g.stride_h = Divisor::of(w.h.stride);
  g.stride_w = Divisor::of(w.w.stride), g.fours = Divisor::of(g.cut.fours);
  g.width = Divisor::of(g.cut.quarter * kSide), g.tile_cols = Divisor::of(g.cut.tiles.cols);
  const auto blocks = unsigned(g.cut.tiles.count * w.classes() * g.cut.parts);
  const auto kernel = w.c == 1 ? few_channels_dgrad<1, T> : few_channels_dgrad<3, T>;
  FASTCNN_LAUNCH(kernel, blocks, kThreads, stream_of(context))(g);
}

}  // namespace

bool supports_conv2d_dgrad_narrow(const OpDescriptor& op) {
  const Conv2dShape& s = op.conv2d_dgrad;
  if (s.groups != 1 || s.c > kMostChannels || s.stride_h > kMostStride || s.stride_w > kMostStride ||
      s.dilation_w != 1 || !known_epilogue(op.epilogue) || !walk_fits(s) ||
      double(s.p) * double(s.q) * double(s.k) > INT32_MAX ||
      double(s.n) * double(s.h) * double(s.w) > INT32_MAX ||
      double(s.r) * double(s.s) * double(s.c) > kMostFours)
    return false;
  const ConvWalk w = walk_of(s);
  // Few threads would add many products one after the other.
  const bool many = ConvWalk::pixels_of(w.h) * rounds_of(ConvWalk::pixels_of(w.w)) >= kLeastUnits;
  const DgradCut cut = cut_of(w);
  return (many || w.k <= kFewFilters) && cut.tiles.count > 0 &&
         double(cut.tiles.count) * w.classes() * cut.parts < INT32_MAX;
}
void prepare_conv2d_dgrad_narrow(Prepared* p) {
  const Conv2dShape& s = p->op.conv2d_dgrad;
  const double dy = double(s.n) * double(s.p) * double(s.q) * double(s.k);
  const double x = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  const double taps = double(s.r) * double(s.s) * double(s.c);
  set_cost(p, 2 * dy * taps, bytes_of_number(p) * (x + dy + taps * double(s.k)));
  state<ConvWalk>(p) = walk_of(s);
}
void run_conv2d_dgrad_narrow(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run_dgrad)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
