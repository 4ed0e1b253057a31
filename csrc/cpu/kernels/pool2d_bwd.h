// SPDX-License-Identifier: Apache-2.0
// The gradients of max, average and sum pooling over channels-last tensors, some rows of windows or of pixels
// at a time.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

// Where the sum's scratch has what, in floats, after the lanes that pixels pick: a ring of rows of windows,
// each with zeros for the windows beside it, and the sums of those that hold the rows of pixels.
struct SumScratch {
  int64_t pitch, rows;  // from a row of windows to the next; how many are taken together
  int64_t ring, all, fewer, masked, end;
};

struct Pool2dBwd {
  const Pool2dShape* shape;
  const float* dy;  // [N,P,Q,C]
  const float* x;   // [N,H,W,C]: what max pooling read; of the others the ReLU mask, or null
  float* dx;        // [N,H,W,C]
  SumScratch sum;
  int64_t live;  // sum_adaptive: rows of windows that hold a row of pixels, at most
  int32_t average;
  int32_t relu_mask;  // dx = 0 where x <= 0
  int32_t stream;     // dx is larger than the caches
};

// Rows of dx of one image, and scratch. sum_adaptive: a [W,C] row and a rest for each live row of windows.
struct Pool2dBand {
  int64_t n, h_begin, h_end;
  float* scratch;
  int64_t images = 1;  // but for adaptive sums and gather: so many alike, one after the other
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
