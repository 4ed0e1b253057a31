// SPDX-License-Identifier: Apache-2.0
// Weight gradients of few channels and filters with three taps to a row, on the GPU's multiply-add units:
//
//   dw[r,s,c,k] = sum over n, p, q of x[n, p + r, q + s, c] dy[n,p,q,k]
//
// A block takes a tile of pixels after the other, whose x and dy lie in shared memory. A thread has four
// channels, four filters and the three taps of a row: of pixels side by side, which it takes four of, it
// reads each x once for all taps. Threads that have the same weights take other pixels; the first of them
// adds their sums.
#include "direct.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int32_t kTaps = 3, kMostChannelsOfX = 32;
constexpr int32_t kLeastTiles = 64, kMostBlocksAtOnce = 256;  // of which all are at work on a large GPU

struct DirectWgradCut {
  Divisor cols, high, wide;  // of a tile in fours of pixels; tiles of an image
  Staged x, dy;
  Divisor of_group, deep, across;  // threads that share pixels; fours of channels, of filters
  int32_t tiles, parts;            // no tiles: the layer is not one for this kernel
};

DirectWgradCut cut_of(const ConvWalk& w) {
  const auto deep = int32_t(quads(w.c)), across = int32_t(quads(w.k));
  DirectWgradCut cut = {};
  if (int64_t(w.h.taps) * deep * across > kThreads) return cut;
  constexpr int32_t kWidest = 8, kHighest = 16;
  const int32_t units = (w.w.out + kFour - 1) / kFour;
  int32_t cols = even(units, kWidest), rows = even(w.h.out, kHighest);
  for (;;) {
    const double height = double(rows - 1) * w.h.stride + double(w.h.taps - 1) * w.h.dilation + 1;
    const int32_t width = cols * kFour + kTaps - 1;
    const bool fits =
        Staged::room(1, height, width, deep) + Staged::room(1, rows, cols * kFour, across) <= kRoom;
    const int64_t high = ceil_div(w.h.out, rows), wide = ceil_div(units, cols), tiles = w.n * high * wide;
    if (fits && (tiles >= kMostBlocksAtOnce || rows < 8)) {
      if (tiles < kLeastTiles) return cut;
      const auto of = [](int64_t i) { return Divisor::of(int32_t(i)); };
      cut.cols = of(cols), cut.high = of(high), cut.wide = of(wide);
      cut.x = Staged::of(1, int32_t(height), width, deep), cut.dy = Staged::of(1, rows, cols * kFour, across);
      cut.of_group = of(w.h.taps * deep * across), cut.deep = of(deep), cut.across = of(across);
      cut.tiles = int32_t(tiles);
      cut.parts = int32_t(ceil_div(tiles, ceil_div(tiles, kMostBlocksAtOnce)));
      return cut;
    }
    if (rows == 1 && cols == 1) return cut;
    int32_t& longer = fits || rows >= cols * kFour ? rows : cols;
    longer = (longer + 1) / 2;
  }
}

struct DirectWgrad {
  ConvWalk walk;
  DirectWgradCut cut;
  Images x, dy;
  float* sums;  // [parts, dw]
};

__global__ void __launch_bounds__(kThreads, 2) direct_wgrad(DirectWgrad g) {
  __shared__ float4 room[kRoom];
  const ConvWalk& w = g.walk;
  const DirectWgradCut& cut = g.cut;
  float4* const gradients = room + cut.x.fours * cut.x.plane;
  const int32_t group = int32_t(threadIdx.x) / cut.of_group,
                unit = int32_t(threadIdx.x) - group * cut.of_group;
  const int32_t rest = unit / cut.across, quad = unit - rest * cut.across, r = rest / cut.deep,
                four = rest - r * cut.deep;
  const int32_t groups = kThreads / cut.of_group, pixels = cut.dy.height * cut.cols;
  const float4 *const of_channels = room + four * cut.x.plane + r * w.h.dilation * cut.x.pitch,
                      *const of_filters = gradients + quad * cut.dy.plane;
  float sum[kTaps][kFour][kFour] = {};
  FASTCNN_ROLLED
  for (int32_t tile = int32_t(blockIdx.x); tile < cut.tiles; tile += cut.parts) {
    const int32_t line = tile / cut.wide, n = line / cut.high, p0 = (line - n * cut.high) * cut.dy.height,
                  q0 = (tile - line * cut.wide) * cut.cols * kFour;
    __syncthreads();  // the last tile has been read
    cut.x.put(g.x, n, p0 * w.h.stride - w.h.pad, q0 - w.w.pad, 0, room);
    cut.dy.put(g.dy, n, p0, q0, 0, gradients);
    __syncthreads();
    if (group >= groups) continue;
    FASTCNN_ROLLED
    for (int32_t i = group; i < pixels; i += groups) {
      const int32_t row = i / cut.cols, column = (i - row * cut.cols) * kFour;
      const int32_t left = p0 + row < w.h.out ? w.w.out - q0 - column : 0;
      const float4 *const from = of_channels + row * w.h.stride * cut.x.pitch + column, *const by =
                                                                                            of_filters +
                                                                                            row *
                                                                                                cut.dy.pitch +
                                                                                            column;
      float4 x[kFour + kTaps - 1], dy[kFour];
      FASTCNN_UNROLL
      for (int j = 0; j < kFour + kTaps - 1; ++j) x[j] = from[j];
      FASTCNN_UNROLL
      for (int j = 0; j < kFour; ++j) dy[j] = by[j];
      FASTCNN_UNROLL
      for (int j = 0; j < kFour; ++j) {
        if (j >= left) continue;
        FASTCNN_UNROLL
        for (int s = 0; s < kTaps; ++s) FASTCNN_UNROLL
        for (int c = 0; c < kFour; ++c) {
          const float a = component(x[j + s], c);
          FASTCNN_UNROLL
          for (int k = 0; k < kFour; ++k) sum[s][c][k] = fma(a, component(dy[j], k), sum[s][c][k]);
        }
      }
    }
  }
  static_assert(kFour * kThreads <= kRoom, "the sums of a tap fit");
  float* const to = g.sums + int64_t(blockIdx.x) * w.taps() * w.c * w.k;
  FASTCNN_UNROLL
  for (int s = 0; s < kTaps; ++s) {
    __syncthreads();
    FASTCNN_UNROLL
    for (int c = 0; c < kFour; ++c)
      room[c * kThreads + threadIdx.x] = make_float4(sum[s][c][0], sum[s][c][1], sum[s][c][2], sum[s][c][3]);
    __syncthreads();
    // A thread to a channel and four filters.
    FASTCNN_ROLLED
    for (int32_t i = int32_t(threadIdx.x); i < kFour * cut.of_group; i += kThreads) {
      const int32_t c = i / cut.of_group, of = i - c * cut.of_group;
      float4 all = room[c * kThreads + of];
      FASTCNN_ROLLED
      for (int32_t other = 1; other < groups; ++other) {
        const float4 more = room[c * kThreads + other * cut.of_group + of];
        all = make_float4(all.x + more.x, all.y + more.y, all.z + more.z, all.w + more.w);
      }
      const int32_t row = of / cut.across, k = (of - row * cut.across) * kFour, of_r = row / cut.deep;
      const int32_t channel = (row - of_r * cut.deep) * kFour + c;
      if (channel >= w.c) continue;
      float* const first = to + ((of_r * kTaps + s) * w.c + channel) * w.k + k;
      FASTCNN_UNROLL
      for (int e = 0; e < kFour; ++e)
        if (k + e < w.k) first[e] = component(all, e);
    }
  }
}

}  // namespace

bool supports_conv2d_wgrad_direct(const OpDescriptor& op) {
  const Conv2dShape& s = op.conv2d_wgrad;
  Epilogue e = op.epilogue;
  e.bias = 0;
  return plain(e) && op.precision == Precision::kFloat32 && s.groups == 1 && s.c >= kLeastSum &&
         s.c <= kMostChannelsOfX && s.k <= kMostFilters && s.s == kTaps && s.stride_w == 1 &&
         s.dilation_w == 1 && walk_fits(s) && numbers_fit(walk_of(s)) && cut_of(walk_of(s)).tiles > 0;
}
// The parts of dw, or of db after it.
void prepare_conv2d_wgrad_direct(Prepared* p) {
  prepare(p, p->op.conv2d_wgrad);
  const ConvWalk& w = state<ConvWalk>(*p);
  const size_t parts = sizeof(float) * size_t(cut_of(w).parts) * size_t(count_of_w(w));
  const size_t sums = p->op.epilogue.bias ? sum_terms_bytes(w.k, w.outputs()) : 0;
  p->workspace_bytes = parts > sums ? parts : sums;
}
void run_conv2d_wgrad_direct(const Prepared& p, const Operands& o, Context& context) {
  DirectWgrad g = {};
  g.walk = state<ConvWalk>(p), g.cut = cut_of(g.walk);
  const ConvWalk& w = g.walk;
  g.x = Images::of(input(o, 0), w.n, w.h.in, w.w.in, w.c);
  g.dy = Images::of(input(o, 1), w.n, w.h.out, w.w.out, w.k);
  g.sums = static_cast<float*>(context.workspace);
  FASTCNN_LAUNCH(direct_wgrad, unsigned(g.cut.parts), kThreads, stream_of(context))(g);
  add_parts<float>(context, p, {g.sums, count_of_w(w), g.cut.parts}, o);
  if (p.op.epilogue.bias) column_sum(context, g.dy.x, w.outputs(), w.k, output(o, 1));
}

}  // namespace cuda
}  // namespace fastcnn
