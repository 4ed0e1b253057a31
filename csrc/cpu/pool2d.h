// SPDX-License-Identifier: Apache-2.0
// Pooling of images on a team: what the rows of pool2d.cpp are made of, and the passes of pool3d.cpp.
#pragma once
#include "chunks.h"
#include "kernels/max_pool_bwd.h"
#include "kernels/pool2d_bwd.h"

namespace fastcnn {
namespace cpu {

// Below this most of a vector is empty.
constexpr int64_t kFewChannels = 8;

enum class Pooling { kMax, kAverage, kSum };

// Every window holds a pixel of the image, and a position in a window fits the kernels' 32 bits.
bool windows_touch_image(const Pool2dShape&);

inline double pool2d_inputs(const Pool2dShape& s) { return double(s.n) * s.h * s.w * s.c; }
inline double pool2d_outputs(const Pool2dShape& s) { return double(s.n) * s.p * s.q * s.c; }

void run_pool2d_fwd(const Pool2dShape&, Pooling, const float* x, float* y, Context&);
// index: the pixel of the image that each maximum is.
size_t max_pool2d_with_index_scratch(const Pool2dShape&);  // bytes of each thread
void run_max_pool2d_with_index(const Pool2dShape&, const float* x, float* y, int32_t* index, Context&);

// The windows of a volume's planes, all of them as images.
Pool2dShape planes_of(const Pool3dShape&);

// How the backward pass is cut; fixed when it is prepared.
struct Bands {
  int64_t rows;    // of dx, or of windows where they do not overlap, per task
  int64_t images;  // of a task, if they are that small
  int32_t stream;
  size_t scratch_bytes;  // of each thread, for windows that overlap
  SumScratch sum;
};
// Whether the windows do not overlap and write their own pixels.
bool writes_windows(const Pool2dShape&, Pooling);
Bands pool2d_bands(const Pool2dShape&, Pooling);

struct PoolGradient {
  const float *dy, *x;  // x: what max pooling read; of the others the ReLU mask, or null
  float* dx;
  int32_t relu_mask;
};

// How maxima are found again, which keeps the shape's address, and the scratch for that.
MaxPlaces max_places(const Pool2dShape&, bool gathers);
int64_t max_places_floats(const MaxPlaces&);
// Whether places in so many rows or planes fit the kernels' 32 bits.
inline bool places_fit(int64_t h, int64_t w, int64_t c) {
  return double(h) * double(w) * double(c) <= INT32_MAX;
}

// dx of sums over one image, on one thread. The bands, and their scratch, may be those of an image that has
// more rows and more padding above.
void sum_pool2d_bwd(const Pool2dShape&, const Bands&, const float* dy, float* dx, float* scratch);
bool windows_overlap(const Pool2dShape&);

void run_pool2d_bwd(const Pool2dShape&, Pooling, const Bands&, const PoolGradient&, Context&);

}  // namespace cpu
}  // namespace fastcnn
