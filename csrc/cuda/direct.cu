// SPDX-License-Identifier: Apache-2.0
// Convolutions of few channels and filters on the GPU's multiply-add units, where the tiles of a matrix
// product would be mostly empty. A block makes a tile of pixels from some channels of x after the others,
// which lie in shared memory with zeros beyond the borders, beside their weights; a thread makes four
// channels of neighbouring pixels, so that what it reads there serves many multiplications. A data gradient
// is a forward pass of dy whose taps come in reverse; with strides each class of pixels (walk.h) is one.
#include "direct.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int32_t kMostSum = 32, kMostClasses = 2;  // of an axis
// Wide units from here on: fewer threads would not fill a GPU. Below the least, cut sums are faster.
constexpr int64_t kManyThreads = 1 << 14, kFewThreads = 1 << 11;

// One axis of a class of results.
struct DirectAxis {
  int32_t count, first,
      apart;               // of the results: their number, where the first lies, and from one to the next
  int32_t begin, stride;   // where the first tap of the first reads, and from one to the next
  int32_t taps, dilation;  // from tap to tap
  int32_t tap, step;       // which of w the first tap is, and the next
  Divisor by_taps;

  static DirectAxis forward(const ConvAxis& a) {
    return {a.out, 0, 1, -a.pad, a.stride, a.taps, a.dilation, 0, 1, Divisor::of(a.taps)};
  }
  static DirectAxis backward(const ConvAxis& a, int32_t place) {
    const AxisClass c = AxisClass::of(a, place);
    const int32_t count = place < a.in ? (a.in - place + a.stride - 1) / a.stride : 0;
    const int32_t last = c.count > 0 ? c.count - 1 : 0, begin = c.window(place, a) - last * c.step_back;
    return {count,   place,       a.stride,    begin,   1,
            c.count, c.step_back, c.tap(last), -c.step, Divisor::of(last + 1)};
  }
  // How many pixels so many results side by side read.
  double reach(int32_t results) const {
    return double(results - 1) * stride + double(taps > 0 ? taps - 1 : 0) * dilation + 1;
  }
};

struct DirectAxes {
  DirectAxis of[kMostClasses];  // the class with the most results first
  int32_t classes;

  const DirectAxis& most_taps() const { return classes > 1 && of[1].taps > of[0].taps ? of[1] : of[0]; }
};

// y [n, h, w, across] from x [n, h, w, depth] of other heights and widths.
struct DirectPass {
  DirectAxes h, w;
  int32_t n, in_h, in_w, depth, out_h, out_w, across;
  int32_t row_of_taps, tap_pitch, depth_pitch, across_pitch;  // of the weights
};

DirectPass pass_of(const Conv2dShape& shape, bool back) {
  const ConvWalk w = walk_of(shape);
  const auto axes = [&](const ConvAxis& a) {
    DirectAxes to = {{DirectAxis::forward(a)}, 1};
    if (!back) return to;
    to.classes = a.stride;
    for (int32_t i = 0; i < to.classes; ++i) to.of[i] = DirectAxis::backward(a, i);
    return to;
  };
  const int32_t pitch = w.c * w.k;
  if (back)
    return {axes(w.h), axes(w.w), w.n, w.h.out, w.w.out, w.k, w.h.in, w.w.in, w.c, w.w.taps, pitch, 1, w.k};
  return {axes(w.h), axes(w.w), w.n, w.h.in, w.w.in, w.c, w.h.out, w.w.out, w.k, w.w.taps, pitch, w.k, 1};
}

// How a pass is cut: tiles of `samples` x `rows` x `cols` units of `pixels` results side by side, from
// some channels at a time.
struct DirectCut {
  int32_t pixels, taps;  // of a thread at a time
  int32_t samples;
  Divisor rows, cols, high, wide;  // of a tile in units; of an image in tiles
  Divisor quads, channels;         // fours of channels of y; channels of x at a time
  Staged image;
  int32_t row, tiles;  // of weights, in float4s; no tiles: not even a unit fits
};

DirectCut cut_of(const DirectPass& p) {
  const DirectAxis &h = p.h.of[0], &w = p.w.of[0];
  const auto across = int32_t(quads(p.across)), deep = int32_t(quads(p.depth));
  const int32_t classes = p.h.classes * p.w.classes, of_block = kThreads / across;
  const auto units = [&](int32_t pixels) { return (w.count + pixels - 1) / pixels; };
  const auto threads = [&](int32_t pixels) {
    return int64_t(p.n) * h.count * units(pixels) * across * classes;
  };
  DirectCut cut = {};
  if (threads(4) < kFewThreads) return cut;
  cut.pixels = w.count > 4 && threads(8) >= kManyThreads ? 8 : 4;
  const bool row_of_three = p.w.classes == 1 && w.taps == 3 && w.stride == 1 && w.dilation == 1;
  cut.taps = cut.pixels == 8 && row_of_three ? 3 : 1;
  const int32_t widest = 32 / cut.pixels, unit_pitch = 4 * cut.taps + 1, wide = units(cut.pixels);
  const int32_t rows_of_taps = p.h.most_taps().taps * p.w.most_taps().taps / cut.taps;

  int32_t cols = even(wide, widest < of_block ? widest : of_block), rows = even(h.count, of_block / cols);
  int32_t samples = rows == h.count && cols == wide ? of_block / (rows * cols) : 1;
  const int64_t spread = ceil_div(int64_t(p.n) * classes, kEnoughTiles);
  if (samples > spread) samples = int32_t(spread);
  for (;;) {
    const double height = p.h.most_taps().reach(rows), width = p.w.most_taps().reach(cols * cut.pixels);
    const double of_four =
        Staged::room(samples, height, width, 1) + double(rows_of_taps) * across * unit_pitch;
    if (of_four <= kRoom) {
      const int32_t chunk = even(deep, int32_t(kRoom / of_four));
      const auto of = [](int32_t i) { return Divisor::of(i); };
      cut.samples = samples, cut.rows = of(rows), cut.cols = of(cols);
      cut.high = of((h.count + rows - 1) / rows), cut.wide = of((wide + cols - 1) / cols);
      cut.quads = of(across), cut.channels = of(chunk * kFour);
      cut.image = Staged::of(samples, int32_t(height), int32_t(width), chunk);
      cut.row = chunk * across * unit_pitch;
      cut.tiles = int32_t(ceil_div(p.n, samples)) * cut.high * cut.wide;
      return cut;
    }
    if (samples * rows * cols == 1) return cut;
    int32_t& longer = samples > 1 ? samples : rows > 1 ? rows : cols;
    longer = (longer + 1) / 2;
  }
}

// Whether the block that made a tile measures it: its rows are whole parts of the statistics.
template <int kTaps>
constexpr bool kMeasures = kTaps == 3;
bool measures_tiles(const DirectPass& p, const DirectCut& cut) {
  return cut.taps == 3 && cut.wide == 1 && p.out_h % cut.rows == 0 &&
         cut.samples * cut.rows * p.out_w % kStatisticsRows == 0;
}

struct Direct {
  DirectPass pass;
  DirectCut cut;
  Images x;
  const float* weights;
  float* y;
  AfterSum<float> after;
  Measured<float> measured;
  bool writes_fours;
};

// The weights of channels c0 and on as [rows of taps, fours of channels, fours across, taps and channels], of
// which the last are what a thread reads at a time, and one more, which keeps banks apart.
template <int kTaps>
FASTCNN_INLINE void put_weights(const Direct& d, const DirectAxis& h, const DirectAxis& w, int32_t c0,
                                float4* to) {
  const DirectPass& pass = d.pass;
  const DirectCut& cut = d.cut;
  struct Weight {
    int32_t r, s, channel, quad;
  };
  const auto weight = [&](int32_t i) {
    const int32_t row = i / cut.quads, tap = row / cut.channels, r = tap / w.by_taps;
    return Weight{r, tap - r * w.taps, row - tap * cut.channels, i - row * cut.quads};
  };
  move<2>(
      h.taps * w.taps * cut.channels * cut.quads,
      [&](int32_t i) {
        const Weight at = weight(i);
        const int32_t tap = (h.tap + at.r * h.step) * pass.row_of_taps + w.tap + at.s * w.step;
        const int32_t c = c0 + at.channel, k = at.quad * kFour, left = c < pass.depth ? pass.across - k : 0;
        const float* const from =
            d.weights + (tap * pass.tap_pitch + c * pass.depth_pitch + k * pass.across_pitch);
        float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (left > 0) four.x = from[0];
        if (left > 1) four.y = from[pass.across_pitch];
        if (left > 2) four.z = from[2 * pass.across_pitch];
        if (left > 3) four.w = from[3 * pass.across_pitch];
        return four;
      },
      [&](int32_t i, const float4& four) {
        const Weight at = weight(i);
        const int32_t group = at.s / kTaps, tap = at.s % kTaps;
        to[(at.r * (w.taps / kTaps) + group) * cut.row +
           (at.channel / kFour * cut.quads + at.quad) * (kTaps * kFour + 1) + tap * kFour +
           at.channel % kFour] = four;
      });
}

template <int kPixels, int kTaps>
__global__ void __launch_bounds__(kThreads, 2) direct(Direct d) {
  constexpr int kUnit = kTaps * kFour + 1;
  __shared__ float4 room[kRoom];
  const DirectPass& pass = d.pass;
  const DirectCut& cut = d.cut;
  const DirectAxis &h = pass.h.of[blockIdx.z], &w = pass.w.of[blockIdx.y];
  float4* const weights = room + cut.image.fours * cut.image.plane;

  const int32_t line = int32_t(blockIdx.x) / cut.wide, group = line / cut.high;
  const int32_t n0 = group * cut.samples, p0 = (line - group * cut.high) * cut.rows,
                q0 = (int32_t(blockIdx.x) - line * cut.wide) * cut.cols * kPixels;
  // Rows by neighbouring threads: these are what the pitch keeps in banks apart.
  const int32_t unit = int32_t(threadIdx.x) / cut.quads, quad = int32_t(threadIdx.x) - unit * cut.quads;
  const int32_t column_of_all = unit / cut.rows, row = unit - column_of_all * cut.rows;
  const int32_t sample = column_of_all / cut.cols, column = (column_of_all - sample * cut.cols) * kPixels;
  const int32_t n = n0 + sample, p = p0 + row, q = q0 + column;
  const bool there = sample < cut.samples && n < pass.n && p < h.count && q < w.count;
  const int32_t place = (sample * cut.image.height + row * h.stride) * cut.image.pitch + column * w.stride;

  float sum[kPixels][kFour] = {};
  FASTCNN_ROLLED
  for (int32_t c0 = 0; c0 < pass.depth; c0 += cut.channels) {
    if (c0 > 0) __syncthreads();  // the last channels have been read
    cut.image.put(d.x, n0, p0 * h.stride + h.begin, q0 * w.stride + w.begin, c0, room);
    put_weights<kTaps>(d, h, w, c0, weights);
    __syncthreads();
    if (!there) continue;
    const int32_t left = (pass.depth - c0 + kFour - 1) / kFour,
                  some = left < cut.image.fours ? left : cut.image.fours;
    const float4* row_of_weights = weights + quad * kUnit;
    FASTCNN_ROLLED
    for (int32_t r = 0; r < h.taps; ++r) FASTCNN_ROLLED
    for (int32_t s = 0; s < w.taps; s += kTaps, row_of_weights += cut.row) {
      const float4 *from = room + place + r * h.dilation * cut.image.pitch + s * w.dilation,
                   *by = row_of_weights;
      const int32_t apart = kTaps == 1 ? w.stride : 1;
      FASTCNN_ROLLED
      for (int32_t c = 0; c < some; ++c, from += cut.image.plane, by += cut.quads * kUnit) {
        float4 x[kPixels + kTaps - 1];
        FASTCNN_UNROLL
        for (int j = 0; j < kPixels + kTaps - 1; ++j) x[j] = from[j * apart];
        FASTCNN_UNROLL
        for (int tap = 0; tap < kTaps; ++tap) FASTCNN_UNROLL
        for (int e = 0; e < kFour; ++e) {
          const float4 b = by[tap * kFour + e];
          FASTCNN_UNROLL
          for (int j = 0; j < kPixels; ++j) {
            const float a = component(x[j + tap], e);
            sum[j][0] = fma(a, b.x, sum[j][0]), sum[j][1] = fma(a, b.y, sum[j][1]);
            sum[j][2] = fma(a, b.z, sum[j][2]), sum[j][3] = fma(a, b.w, sum[j][3]);
          }
        }
      }
    }
  }
  // Through shared memory, where they can be counted: written out for each pixel, what follows the sums was
  // half of the code.
  static_assert(kPixels * kThreads <= kRoom, "the sums fit");
  __syncthreads();
  FASTCNN_UNROLL
  for (int j = 0; j < kPixels; ++j)
    room[j * kThreads + threadIdx.x] = make_float4(sum[j][0], sum[j][1], sum[j][2], sum[j][3]);
  FASTCNN_ROLLED
  for (int j = 0; there && j < kPixels && q + j < w.count; ++j) {
    const float4 all = room[j * kThreads + threadIdx.x];
    const float of[kFour] = {all.x, all.y, all.z, all.w};
    const int32_t pixel = (n * pass.out_h + h.first + p * h.apart) * pass.out_w + w.first + (q + j) * w.apart;
    const int32_t k = quad * kFour, at = pixel * pass.across + k;
    if (d.writes_fours) {
      put_sums<kFour>(d.after, of, d.y, at, k);
      continue;
    }
    FASTCNN_UNROLL
    for (int e = 0; e < kFour; ++e)
      if (k + e < pass.across) d.y[at + e] = d.after(of[e], at + e, k + e);
  }
  if constexpr (kMeasures<kTaps>) {
    if (!d.measured.to) return;
    __syncthreads();
    const int32_t parts = cut.samples * cut.rows * pass.out_w / int32_t(kStatisticsRows);
    const int32_t first = (n0 * pass.out_h + p0) * pass.out_w, eights = (pass.across + 7) / 8;
    for (int32_t i = int32_t(threadIdx.x) / kWarp; i < parts * eights; i += kThreads / kWarp)
      d.measured.tile<kStatisticsRows, 8>(first + i / eights * int32_t(kStatisticsRows), i % eights * 8, 0,
                                          1);
  }
}

// Operands as the shape of fprop has them.
void run(const Conv2dShape& shape, bool back, const Prepared& p, const Operands& o, Context& context) {
  Direct d = {};
  d.pass = pass_of(shape, back), d.cut = cut_of(d.pass);
  d.x = Images::of(input(o, 0), d.pass.n, d.pass.in_h, d.pass.in_w, d.pass.depth);
  d.weights = input(o, 1), d.y = output(o, 0);
  d.after =
      back ? after_of<float>(p, o.in[3], o.in[4], o.in[2]) : after_of<float>(p, o.in[2], o.in[3], nullptr);
  d.writes_fours =
      d.pass.across % kFour == 0 && aligned_to_fours<float>({d.y, d.after.residual, d.after.mask});
  const bool measures = p.op.epilogue.statistics != 0, at_once = measures && measures_tiles(d.pass, d.cut);
  const RowsOfTile rows = {d.pass.n * d.pass.out_h * d.pass.out_w, d.pass.across, d.pass.across};
  d.measured = measured_of<float>(o, at_once, rows);
  const dim3 grid(unsigned(d.cut.tiles), unsigned(d.pass.w.classes), unsigned(d.pass.h.classes));
  const cudaStream_t stream = stream_of(context);
  if (d.cut.taps == 3)
    FASTCNN_LAUNCH((direct<8, 3>), grid, kThreads, stream)(d);
  else if (d.cut.pixels == 8)
    FASTCNN_LAUNCH((direct<8, 1>), grid, kThreads, stream)(d);
  else
    FASTCNN_LAUNCH((direct<4, 1>), grid, kThreads, stream)(d);
  if (measures && !at_once) measure(context, measured_of<float>(o, true, rows));
}

// Without three taps to read at a time the kernel for fewer channels, which fills up no fours of these, has
// as little to read.
bool takes(const OpDescriptor& op, const Conv2dShape& s, bool back) {
  const int64_t depth = back ? s.k : s.c, across = back ? s.c : s.k;
  if (op.precision != Precision::kFloat32 || s.groups != 1 || depth < kLeastSum || depth > kMostSum ||
      across > kMostFilters || (back && (s.stride_h > kMostClasses || s.stride_w > kMostClasses)) ||
      !walk_fits(s) || !numbers_fit(walk_of(s)))
    return false;
  const DirectCut cut = cut_of(pass_of(s, back));
  return cut.tiles > 0 && (back || cut.taps == 3 || !is_narrow(s));
}

}  // namespace

bool supports_conv2d_fprop_direct(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.statistics = 0;
  return known_epilogue(e) && !e.relu_mask && takes(op, op.conv2d_fprop, false);
}
void prepare_conv2d_fprop_direct(Prepared* p) { prepare(p, p->op.conv2d_fprop); }
void run_conv2d_fprop_direct(const Prepared& p, const Operands& o, Context& context) {
  run(p.op.conv2d_fprop, false, p, o, context);
}

bool supports_conv2d_dgrad_direct(const OpDescriptor& op) {
  return known_epilogue(op.epilogue) && takes(op, op.conv2d_dgrad, true);
}
void prepare_conv2d_dgrad_direct(Prepared* p) { prepare(p, p->op.conv2d_dgrad); }
void run_conv2d_dgrad_direct(const Prepared& p, const Operands& o, Context& context) {
  run(p.op.conv2d_dgrad, true, p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
