// SPDX-License-Identifier: Apache-2.0
// The max pooling that follows a channels-last convolution, of rows that a task made in scratch.
#pragma once
#include "blocking.h"
#include "kernels/max_pool2d_index.h"
#include "kernels/pool2d.h"

namespace fastcnn {
namespace cpu {

// made: those rows of some images, whole windows; y, and index or null: of all images, the maxima and their
// places in their windows.
inline void pool_rows(const Correlation& d, int64_t window, const float* made, Range images, Range rows,
                      float* y, uint8_t* index) {
  Pool2dShape s = {};
  s.n = images.end - images.begin, s.h = rows.end - rows.begin, s.w = d.out_w, s.c = d.out_c;
  s.r = s.s = s.stride_h = s.stride_w = window;
  s.dilation_h = s.dilation_w = 1;
  s.p = s.h / window, s.q = s.w / window;
  const int64_t out = (images.begin * (d.out_h / window) + rows.begin / window) * s.q * s.c;
  if (index)
    kernels().max_pool2d_index->fwd({&s, made, y + out, index + out}, 0, s.n * s.p);
  else
    kernels().pool2d->max_fwd({&s, made, y + out, 0}, 0, s.n * s.p);
}

}  // namespace cpu
}  // namespace fastcnn
