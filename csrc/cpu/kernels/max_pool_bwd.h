// SPDX-License-Identifier: Apache-2.0
// The gradient of max pooling over channels-last tensors, whose maxima are found again in x: window by window
// dy is added where they stand.
#pragma once
#include "pool2d_bwd.h"

namespace fastcnn {
namespace cpu {

// Windows of images, and how their maxima are found.
struct MaxPlaces {
  const Pool2dShape* shape;
  int32_t at_once;  // the taps of a window are compared with each other, and not row by row
  int32_t gathers;  // and the pixels of windows at each of them take from them
  int64_t rows;     // of pixels that a window reaches over, at most
  int64_t line;   // floats of a row of windows and, from place to place of the image, of what lies before it
  int64_t front;  // those before it
};

constexpr int64_t kPlacesLine = 2048;  // floats of a part of a row, at most

struct MaxPoolBwd {
  MaxPlaces places;
  const float* dy;    // [N,P,Q,C]
  const float* x;     // [N,H,W,C]
  float* dx;          // [N,H,W,C]
  int32_t relu_mask;  // dx = 0 where x <= 0
  int32_t stream;     // dx is larger than the caches
};

// Volumes, after their planes: the greatest of T planes.
struct MaxDepthBwd {
  const Pool2dShape* shape;      // [N,D,1,P Q C] to [N,O,1,P Q C]
  int64_t plane;                 // floats of a plane of x
  const float *values, *places;  // [N,D,P,Q,C]: the greatest of each plane, and where in it
  const float *dy, *x;           // [N,O,P,Q,C], [N,D,plane]
  float* dx;
  int32_t relu_mask;
};

struct MaxPoolBwdKernels {
  // Any windows: one by one.
  void (*scatter)(const MaxPoolBwd&, const Pool2dBand&);
  // At each pixel of a plane: pixels take from the windows before them, in whole vectors.
  void (*gather)(const MaxPoolBwd&, const Pool2dBand&);
  // values, places [N,P,Q,C] of rows [begin, end) of the N P rows of windows of images x.
  void (*find)(const MaxPlaces&, const float* x, float* values, float* places, float* scratch, int64_t begin,
               int64_t end);
  // Planes of dx of a volume.
  void (*depth)(const MaxDepthBwd&, const Pool2dBand&);
};

}  // namespace cpu
}  // namespace fastcnn
