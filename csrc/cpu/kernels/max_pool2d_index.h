// SPDX-License-Identifier: Apache-2.0
// Max pooling that keeps the place of each maximum in its window as a byte, for a backward pass that does not
// read x again.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct MaxPool2dIndexFwd {
  const Pool2dShape* shape;
  const float* x;  // [N,H,W,C]
  float* y;        // [N,P,Q,C]
  uint8_t* index;  // [N,P,Q,C]: the number of the tap, in row-major order of those in the image
};

struct MaxPool2dIndexBwd {
  const Pool2dShape* shape;
  const float* dy;       // [N,P,Q,C]
  const uint8_t* index;  // [N,P,Q,C]
  const float* y;        // [N,P,Q,C]: dx = 0 where it is at most 0; may be null
  float* dx;             // [N,H,W,C]
  int32_t stream;        // dx is larger than the caches
};

// Of one image or one plane of a volume, whose maxima are known by their pixels.
struct MaxPool2dPixels {
  const Pool2dShape* shape;
  const float* dy;       // [P,Q,C] of each of the `planes` of windows that hold it, `pitch` floats apart
  const int32_t* index;  // likewise
  int64_t planes, pitch;
  float* dx;       // [H,W,C]
  int32_t first;   // the number of its first pixel
  int32_t stream;  // dx is larger than the caches
};

struct MaxPool2dIndexKernels {
  // Rows [begin, end) of the N P rows of y.
  void (*fwd)(const MaxPool2dIndexFwd&, int64_t begin, int64_t end);
  // Rows [begin, end) of dx of image n.
  void (*bwd)(const MaxPool2dIndexBwd&, int64_t n, int64_t begin, int64_t end);
  // Rows [begin, end) of dx.
  void (*take_pixels)(const MaxPool2dPixels&, int64_t begin, int64_t end);
  int64_t lanes;
};

}  // namespace cpu
}  // namespace fastcnn
