// SPDX-License-Identifier: Apache-2.0
// Max pooling with the batch in lanes, plane by plane: x, dx [H][W][16], y, dy, index [P][Q][16]. The index
// of a maximum is r S + s of its tap, a byte. Called by cpu/max_pool2d_lanes.cpp.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct LanesPoolFwd {
  const Pool2dShape* shape;
  const float* x;
  float* y;
  uint8_t* index;  // or null
};

struct LanesPoolBwd {
  const Pool2dShape* shape;
  const float* dy;
  const uint8_t* index;
  const float* y;  // dx = 0 where it is at most 0; may be null
  float* dx;
};

// One window over a plane of so many pixels: y [16] = sum of x / divisor; dx = dy / divisor, 0 where mask,
// which may be null, is at most 0.
struct LanesWholePool {
  const float *in, *mask;
  float* out;
  int64_t pixels;
  float divisor;
};

struct LanesPoolKernels {
  // Rows [begin, end) of windows of a plane.
  void (*max_fwd)(const LanesPoolFwd&, int64_t begin, int64_t end);
  // A whole plane.
  void (*max_bwd)(const LanesPoolBwd&);
  void (*whole_fwd)(const LanesWholePool&);
  void (*whole_bwd)(const LanesWholePool&);
};

}  // namespace cpu
}  // namespace fastcnn
