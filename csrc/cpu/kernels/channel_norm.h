// SPDX-License-Identifier: Apache-2.0
// Normalization by statistics of channels: batch, group and instance norm. cpu/channel_norm.cpp folds several
// pixels into one row of `width` columns where there are few channels, so column v holds channel v % c.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// `rows` rows of `cols` floats, `pitch` floats apart, and the first `tail` columns of one more.
struct ChannelTile {
  const float *x, *dy;  // dy: backward passes alone
  int64_t rows, cols, pitch, tail;
  int64_t next;  // floats to the tile that follows, 0 where it is near anyway
};

// Of each column: a pivot near its mean, with d = x - pivot the sums of d and d^2, in a backward pass also of
// dy and dy d.
constexpr int kForwardSums = 3, kBackwardSums = 5;
struct ChannelSums {
  float *pivot, *first, *second, *dy, *product;
};

// y = (x - center) scale + offset + residual       forward
// dx = dy scale + ((x - center) slope + offset)    backward
struct ChannelFactors {
  float *center, *scale, *slope, *offset;  // [width]
};

// The channels [begin, end) of one sample, whole groups of them: at most kChannelLine channels, or one group;
// all, where pixels are folded, of at most kChannelLine columns.
constexpr int kChannelLine = 64;
struct ChannelStatistics {
  int32_t backward;
  const float* sums;             // [blocks, kForwardSums or kBackwardSums, width]
  int64_t blocks, height, rows;  // rows of a block, of all of them
  int64_t width, c, group;       // group: channels that share their statistics
  int64_t tail;                  // columns of one more row
  int64_t missing;               // last channels of the only group that the last block has not
  int64_t begin, end;
  const float *gamma, *beta;     // [c] or null
  const float *mean, *variance;  // [c]: given, or null
  double epsilon, momentum;
  float *moving_mean, *moving_variance;  // [c] or null: updated
  ChannelFactors factors;
  float *dgamma, *dbeta;  // [c] or null: of this sample
};

struct ChannelRows {
  const float *x, *dy;
  float* y;  // or dx
  int64_t rows, cols;
  int32_t stream;  // y is larger than the caches
  ChannelFactors factors;
  const float* residual = nullptr;  // forward: as y, or null
};

struct ChannelNormKernels {
  void (*sums_fwd)(const ChannelTile&, const ChannelSums&);
  void (*sums_bwd)(const ChannelTile&, const ChannelSums&);
  void (*statistics)(const ChannelStatistics&);
  void (*apply_fwd)(const ChannelRows&);
  void (*apply_relu)(const ChannelRows&);
  void (*apply_relu6)(const ChannelRows&);
  void (*apply_bwd)(const ChannelRows&);
};

}  // namespace cpu
}  // namespace fastcnn
