// SPDX-License-Identifier: Apache-2.0
// Max, average and sum pooling over channels-last tensors, some rows of windows or of pixels at a time.
#pragma once
#include "../../base/shape.h"

namespace fastcnn {
namespace cpu {

struct Pool2dFwd {
  const Pool2dShape* shape;
  const float* x;  // [N,H,W,C]
  float* y;        // [N,P,Q,C]
  int32_t average;
};

struct Pool2dBwd {
  const Pool2dShape* shape;
  const float* dy;  // [N,P,Q,C]
  const float* x;   // [N,H,W,C]: what max pooling read; of the others the ReLU mask, or null
  float* dx;        // [N,H,W,C]
  int32_t average;
  int32_t relu_mask;  // dx = 0 where x <= 0
  int32_t stream;     // dx is larger than the caches
};

// Rows of dx of one image, and scratch. Of maxima and means: a [Q,C] row for each row of windows that reaches
// into them. Of means and sums, before that: kPoolColumn floats for each of W, and a [Q,C] row with kPoolEnd
// more.
constexpr int64_t kPoolColumn = 4, kPoolEnd = 16;
struct Pool2dBand {
  int64_t n, h_begin, h_end;
  float* scratch;
};

struct Pool2dKernels {
  // Rows [begin, end) of the N P rows of y.
  void (*max_fwd)(const Pool2dFwd&, int64_t begin, int64_t end);
  void (*sum_fwd)(const Pool2dFwd&, int64_t begin, int64_t end);
  // max_fwd, and of each maximum its place in the image: [N,P,Q,C] of h W + w.
  void (*max_with_index)(const Pool2dFwd&, int32_t* index, int64_t begin, int64_t end);
  // Windows that do not overlap: rows [begin, end) of the N P rows of windows write their own pixels and the
  // gaps after them.
  void (*max_bwd_apart)(const Pool2dBwd&, int64_t begin, int64_t end);
  void (*sum_bwd_apart)(const Pool2dBwd&, int64_t begin, int64_t end);
  // Any windows: each pixel of a band of dx takes from the windows that hold it, in their order.
  void (*max_bwd)(const Pool2dBwd&, const Pool2dBand&);
  // Those without dilation, and window by window: for adaptive windows, which have most pixels to themselves.
  void (*sum_bwd)(const Pool2dBwd&, const Pool2dBand&);
  void (*sum_scatter)(const Pool2dBwd&, const Pool2dBand&);
};

}  // namespace cpu
}  // namespace fastcnn
