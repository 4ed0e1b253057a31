// SPDX-License-Identifier: Apache-2.0
// One window over a whole image: reductions of pixels [count, C] to [C], and back.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// Pixels of one image, from pixel `first` on.
struct Pixels {
  const float* x;  // [count, channels]
  int64_t first, count, channels;
};

constexpr int64_t kGlobalRow = 128;  // floats of a row of pixels, at most, where the channels are fewer

// dx of the same pixels.
struct GlobalSpread {
  const float* dy;  // [channels]
  int64_t count, channels, divisor;
  const float* mask;  // [count, channels]: dx is 0 where it is at most 0; may be null
  float* dx;          // [count, channels]
  float* row;         // scratch of max(channels, kGlobalRow)
};

struct GlobalPoolKernels {
  // y[c] = sum over the pixels / divisor
  void (*sum)(const Pixels&, int64_t divisor, float* y);
  void (*max)(const Pixels&, float* y);
  // Also the number of the first greatest pixel of each channel.
  void (*max_index)(const Pixels&, float* y, int32_t* index);
  void (*spread)(const GlobalSpread&);
};

}  // namespace cpu
}  // namespace fastcnn
