// SPDX-License-Identifier: Apache-2.0
// The gradients of max, average and sum pooling over channels-last tensors, some rows of windows or of pixels
// at a time.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct Pool2dBwd {
  const Pool2dShape* shape;
  const float* dy;  // [N,P,Q,C]
  const float* x;   // [N,H,W,C]: what max pooling read; of the others the ReLU mask, or null
  float* dx;        // [N,H,W,C]
  int64_t line;  // floats of a row of pixels with all that windows reach over, and a rest of a vector or two
  int64_t live;  // rows of windows that hold a row of pixels, at most
  int32_t average;
  int32_t relu_mask;  // dx = 0 where x <= 0
  int32_t stream;     // dx is larger than the caches
};

// Rows of dx of one image, and scratch. sum: two lines, and of means a [Q,C] row and a rest for each live row
// of windows; sum_adaptive: a [W,C] row and a rest for each of them.
struct Pool2dBand {
  int64_t n, h_begin, h_end;
  float* scratch;
};

// Floats after a row, for whole vectors.
constexpr int64_t kRest = 32;

struct Pool2dBwdKernels {
  // Windows that do not overlap: rows [begin, end) of the N P rows of windows write their own pixels and the
  // gaps after them.
  void (*max_apart)(const Pool2dBwd&, int64_t begin, int64_t end);
  // Their maxima are known: index [N,P,Q,C], pixels of the image.
  void (*pixels_apart)(const Pool2dBwd&, const int32_t* index, int64_t begin, int64_t end);
  void (*sum_apart)(const Pool2dBwd&, int64_t begin, int64_t end);
  // Pixels of a band of dx take from the windows that hold them.
  void (*sum)(const Pool2dBwd&, const Pool2dBand&);
  void (*sum_adaptive)(const Pool2dBwd&, const Pool2dBand&);
};

}  // namespace cpu
}  // namespace fastcnn
