// SPDX-License-Identifier: Apache-2.0
// Convolution with the batch in lanes: activations [C][H][W][16] of a block of 16 samples, so that every
// vector is full for any number of channels, size, stride, dilation and padding. Weights are scalars,
// [R,S,C,K]. Called by cpu/conv2d_lanes*.cpp, which choose the blocking.
#pragma once
#include <stdint.h>

#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// One dimension of a sum: how often, and the steps of x and of the weights. Steps count floats.
struct LanesTaps {
  int64_t count, x, w;
};

// Outputs i < pixels of a row, for channels j < channels:
//
//   y[j y_channel + i y_pixel] = epilogue(sum over h, s, c of
//       x[h rows.x + (first + i step + s spread) 16 + c channels_in.x] w[h rows.w + s cols.w + c
//       channels_in.w + j w_out])
//
// where only taps s count whose column is in [0, width).
struct LanesRow {
  const float *x, *w;
  const float* bias;  // [channels], or null
  const float* mask;  // as y: the result is 0 where mask <= 0; or null
  float* y;
  LanesTaps rows, cols, in;  // cols.x is spread * 16
  int64_t w_out, y_channel, y_pixel;
  int64_t first, step, spread, width;
  int64_t pixels, channels;
  int32_t relu;
};

// sums[s][k] += sum over rows p, pixels q and the lanes' parts of dy[k][p][q] x[p][q + s], a vector each.
struct LanesWgrad {
  const float *x, *dy;
  float* sums;  // [taps][k_step][lanes]
  int64_t x_row, x_pixel, x_tap, dy_row, dy_channel;
  int64_t k_step;
  int64_t rows, pixels;
  int32_t taps, channels;  // of the tile
};

// Where a max pooling of 2x2 follows, sums[r][s] of one output channel += sum over windows (p,q) of
//
//   dy[p][q] x[2 p + place / 2 + r][2 q + place % 2 + s]
//
// with place = index[p][q], in each lane its own, for all rows and columns of `taps` x `taps`.
struct LanesPlacesWgrad {
  const float *x, *dy;
  const uint8_t* index;
  float* sums;  // of a tap, k_step vectors apart
  int64_t x_row, k_step;
  int64_t windows_h, windows_w;
  int32_t taps;  // 3 or 5
};

// Samples of a block between [samples][pixels][channels] and [channels][pixels][16]; those that are missing
// are written as zero, and not read.
struct LanesMove {
  const float* x;
  float* y;
  int64_t pixels, channels;
  int32_t samples;
};

// y[i], unless accumulate is 0 plus what it was, = the sum of x[i plane + j], j < floats, for i < planes.
struct LanesPlanes {
  const float* x;
  float* y;
  int64_t planes, plane, floats;
  int32_t accumulate;
};

constexpr int kMostLanesTaps = 5;

struct LanesKernels {
  int lanes;
  void (*row)(const LanesRow&);
  int most_pixels;                        // of a row's tiles of many channels
  int most_channels[kMostLanesTaps + 1];  // of a tile of 1, 2, ... taps
  void (*wgrad)(const LanesWgrad&);
  void (*places_wgrad)(const LanesPlacesWgrad&);  // null where it does not pay
  // y[i] = the sum of the lanes of vector i.
  void (*lane_sums)(const float* x, int64_t vectors, float* y);
  void (*plane_sums)(const LanesPlanes&);
  void (*to_lanes)(const LanesMove&);
  void (*from_lanes)(const LanesMove&);
  // y = x / keep where mask is not 0, else 0; mask [16][pixels][channels], x and y [channels][pixels][16].
  void (*keep_where)(const LanesMove&, const float* mask, float keep);
  // See own.h.
  void (*own)(const float* x, int64_t count);
};

}  // namespace cpu
}  // namespace fastcnn
