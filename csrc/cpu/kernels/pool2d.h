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
  float* means;  // scratch of sum_bwd when average: dy / window size, a [Q,C] row for each p that reaches the
                 // band
  int32_t average;
  int32_t relu_mask;  // dx = 0 where x <= 0
};

// Rows of dx of one image.
struct Pool2dBand {
  int64_t n, h_begin, h_end;
};

struct Pool2dKernels {
  // Rows [begin, end) of the N P rows of y.
  void (*max_fwd)(const Pool2dFwd&, int64_t begin, int64_t end);
  void (*sum_fwd)(const Pool2dFwd&, int64_t begin, int64_t end);
  // Windows that do not overlap: rows [begin, end) of the N P rows of windows write their own pixels and the
  // gaps after them.
  void (*max_bwd_apart)(const Pool2dBwd&, int64_t begin, int64_t end);
  void (*sum_bwd_apart)(const Pool2dBwd&, int64_t begin, int64_t end);
  // Any windows: a band of dx takes from all windows that reach into it, in their order.
  void (*max_bwd)(const Pool2dBwd&, const Pool2dBand&);
  void (*sum_bwd)(const Pool2dBwd&, const Pool2dBand&);
};

}  // namespace cpu
}  // namespace fastcnn
