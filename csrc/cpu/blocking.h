// SPDX-License-Identifier: Apache-2.0
// What the matrix kernels share: arithmetic of their blocking, costs, and the activations outside of a tile.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "chunks.h"
#include "correlation.h"
#include "kernels.h"
#include "kernels/activation.h"
#include "kernels/bfloat16.h"
#include "kernels/tile.h"

namespace fastcnn {
namespace cpu {

inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
inline size_t float_bytes(int64_t count) { return static_cast<size_t>(round_up(count, 16)) * sizeof(float); }

// The register tile of a product of floats, or of pairs of bfloat16 in their place.
inline decltype(TileKernels::strip) strip_of(int32_t pairs) {
  return pairs ? kernels().bfloat16->products.strip : kernels().tile->strip;
}

// So far apart floats share a set of L1, of a page a way. Of rows that are, a tile takes as many as such a
// set holds beside a line of b: by tiles of 16 rows, or 14, products of 64x16x1024 took 2.1 times as long,
// 64x32x2048 1.15 times and with AVX2 33x17x4096 1.4 times, and 3x3 weight gradients in lanes of 16 channels
// to 16 at 16x16 twice as long.
constexpr int64_t kSetFloats = 1024;
constexpr int kAliasedRows = 7;

// Whether a weight gradient takes all taps of a filter row at once.
inline bool takes_taps(const Conv2dShape& v) {
  const TileKernels& kernel = *kernels().tile;
  return kernel.taps && v.k / v.groups <= kernel.lanes && v.c / v.groups >= Taps::kRows &&
         v.s == Taps::kTaps && v.stride_w == 1 && v.dilation_w == 1;
}

// Channels of each such tile: those that leave fewer sums without use.
inline int64_t rows_of_taps(const Conv2dShape& v) {
  const int64_t c = v.c / v.groups;
  return round_up(c, Taps::kFewRows) < round_up(c, Taps::kRows) ? Taps::kFewRows : Taps::kRows;
}

// Time of a step's products in pairs, where it supports them, beside that of floats.
double bfloat16_cost(const OpDescriptor& op);

// Rows of its tile of so many vectors.
inline int64_t rows_of_tile(int32_t pairs, int64_t vectors) {
  const int32_t rows = pairs ? kernels().bfloat16->products.rows : 0;
  return rows ? rows : kernels().tile->max_rows[vectors];
}

// Whether it takes many words of a row at once, so that they are laid side by side before.
inline bool turns(int32_t pairs) { return pairs && kernels().bfloat16->products.steps > 1; }
// Of a weight gradient's x, then [n][h][c][w].
inline bool turns(int32_t pairs, const Conv2dShape& v) {
  return turns(pairs) && v.stride_w == 1 && v.r * v.s > 1 && v.c / v.groups >= kernels().tile->lanes;
}

// Vectors of a panel of long products. Where registers allow six rows of four vectors, these load less for a
// multiply-add than more rows of two (1.58 instructions for each in place of 1.82 with 14 rows), and their
// rows of a fill no set of L1.
inline int64_t wide_vectors(const TileKernels& kernel = *kernels().tile) {
  return kernel.max_rows[kMaxVectors] >= 6 ? kMaxVectors : kernel.vectors;
}

// The tiles of so many output channels. Where half a vector of 16 lanes would be idle and a processor takes
// two halves one after the other anyway, those of 8: 96 -> 24 and 144 -> 24 channels pointwise at 56x56 took
// 0.8 of the time, 32 -> 8 at 112x112 half, 240 -> 40 at 28x28 0.9, 200 -> 72 at 14x14 0.95, 480 -> 120 1.1
// times as long. Products of as many columns: 100x8x300 0.54, 512x17x500 0.78, 512x33x256 0.91 of the time.
inline const TileKernels& tiles_of(int64_t channels) {
  const TileKernels &whole = *kernels().tile, *half = half_tiles();
  const int64_t rest = channels % whole.lanes;
  const bool idle = half && rest && rest <= half->lanes && channels < 5 * whole.lanes;
  return idle ? *half : whole;
}

// Where vectors are worked on by halves, a tile has twice the time for each line that it reads: what does not
// stay in L1 comes from L2 meanwhile.
inline bool by_halves() { return lanes_at_once() < kernels().tile->lanes; }

// Part `i` of `total` things split into `parts` nearly equal ranges.
inline Range part_of(int64_t total, int64_t parts, int64_t i) {
  return {total * i / parts, total * (i + 1) / parts};
}

// Tasks worth creating for a machine of any size, and the work below which more of them or a second thread do
// not pay: about 5 microseconds of one core. A build with as many as it has threads shows what the same bits
// for any number of threads cost (benchmarks/threads.py --beside).
#ifndef FASTCNN_TASKS
#define FASTCNN_TASKS 32
#endif
constexpr int64_t kTasks = FASTCNN_TASKS;
constexpr double kTaskFlops = 1e6;
constexpr double kParallelFlops = 2 * kTaskFlops;
// The same where a region is open anyway, as between the steps of a plan: on two threads LeNet-5's
// convolutions of 2 images, of half and one million operations, take 0.7 of the time with what meeting costs.
constexpr double kOpenFlops = 6e5;

// Short sums are worth a second thread by what they move, too, from more than other steps on: of 130 to 260
// KB, which one core's L2 holds, 16 -> 32 and 4 -> 16 channels pointwise took 1.2 to 1.6 times as long so, of
// 4 MB 1 -> 37 channels 0.4 to 0.75 times (AVX2).
constexpr double kParallelConvBytes = 512 << 10;
inline bool pays_for_threads(const Prepared& p) {
  return p.flops >= kParallelFlops || p.bytes >= kParallelConvBytes;
}

inline int64_t tasks_for(double flops) {
  return std::max<int64_t>(1, std::min<int64_t>(kTasks, static_cast<int64_t>(flops / kTaskFlops)));
}

// So many bands of each image, or one more, where all are an odd number: two threads that have 4 and 3 of 7
// gain 1.75.
inline int64_t halved_alike(int64_t bands, int64_t most, int64_t images) {
  return bands > 1 && bands * images % 2 ? std::min(most, bands + 1) : bands;
}

// Memory that will be read soon: `count` runs of `width` floats, `pitch` apart, asked for a few lines at a
// time between tiles. Tasks read each float from memory once, a tile's worth of rows here and there, which
// the processor does not foresee.
struct Ahead {
  const float* data;
  int64_t pitch, width, count;
  int64_t at = 0;  // of the run

  int64_t lines() const { return width == pitch ? ceil_div(count * width, 16) : count * ceil_div(width, 16); }
  void ask(int64_t lines) {
    for (; lines > 0 && count > 0; --lines) {
      __builtin_prefetch(data + at, 0, 2);
      at += 16;
      while (at >= width && count > 0) at = width == pitch ? at - width : 0, data += pitch, --count;
    }
  }
};

// y[0, count) = sum of `parts` arrays, in order.
inline void sum_parts(Context& context, const float* x, int64_t parts, int64_t count, float* y) {
  for_each_chunk(context, count, std::max<int64_t>(1024, ceil_div(count, kTasks)),
                 [&](int64_t begin, int64_t end) {
                   kernels().tile->sum_parts(x + begin, parts, count, end - begin, y + begin);
                 });
}

// As tiles and rows of depthwise kernels name it: 1 for ReLU, 6 for ReLU6, 0 for anything else.
inline int32_t relu_of(Activation activation) {
  return activation == Activation::kRelu ? 1 : activation == Activation::k_relu6 ? 6 : 0;
}

// What a tile's epilogue has not; null if it has it.
inline ActivationForward other_activation(Activation activation) {
  if (activation == Activation::kNone || activation == Activation::kRelu) return nullptr;
  return kernels().activation->fwd[static_cast<int>(activation)];
}

// Such activations in one more pass over y, [0, count).
inline void finish_activation(Context& context, Activation activation, float* y, int64_t count) {
  const ActivationForward f = other_activation(activation);
  if (!f) return;
  for_each_chunk(context, count, kChunk,
                 [&](int64_t begin, int64_t end) { f(y + begin, y + begin, end - begin, {}); });
}

// Of a fused max pooling, if there is one: y is what it reads.
inline bool pools_whole_windows(const Epilogue& e, const Conv2dShape& v) {
  const bool known = e.activation == Activation::kNone || e.activation == Activation::kRelu;
  return !e.pool || (known && v.p % e.pool == 0 && v.q % e.pool == 0);
}

inline double conv_flops(const Conv2dShape& v) {
  return 2.0 * v.n * v.k * v.p * v.q * (v.c / v.groups) * v.r * v.s;
}
inline double conv_bytes(const Conv2dShape& v) {
  return 4.0 * (1.0 * v.n * v.h * v.w * v.c + 1.0 * v.n * v.p * v.q * v.k +
                1.0 * v.r * v.s * (v.c / v.groups) * v.k);
}

inline double conv_flops(const Conv3dShape& v) { return conv_flops(v.frame) * v.z * v.t; }
inline double conv_bytes(const Conv3dShape& v) {
  const Conv2dShape& f = v.frame;
  return 4.0 * (1.0 * f.n * v.d * f.h * f.w * f.c + 1.0 * f.n * v.z * f.p * f.q * f.k +
                1.0 * v.t * f.r * f.s * (f.c / f.groups) * f.k);
}

}  // namespace cpu
}  // namespace fastcnn
