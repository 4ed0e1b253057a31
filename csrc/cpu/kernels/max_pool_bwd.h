// SPDX-License-Identifier: Apache-2.0
// The gradient of max pooling over channels-last tensors, whose maxima are found again in x or known: window
// by window dy is added where they stand. And max pooling that tells them.
#pragma once
#include "pool2d_bwd.h"

namespace fastcnn {
namespace cpu {

// Windows of images, and how their maxima are found.
struct MaxPlaces {
  const Pool2dShape* shape;
  int32_t gathers;  // windows are at each pixel, and pixels take from them
  int64_t line;     // floats of a row of pixels with what windows reach over, or of some, and a rest; if
                    // windows give, scratch holds one for the places in their row
  int64_t rows;     // of what is gathered: of pixels that a window reaches over, at most; elsewhere those of
                    // what is found once for all windows that hold it
  int64_t front;    // likewise: floats of a line before the first window
};

constexpr int64_t kLeastGiven = 8;     // channels of windows that give in vectors
constexpr int64_t kPlacesLine = 2048;  // floats of a part of a row, at most
constexpr int64_t kMostPairs = 8;      // of rows and of columns of windows that are found in registers

struct MaxPoolBwd {
  MaxPlaces places;
  const float* dy;    // [N,P,Q,C]
  const float* x;     // [N,H,W,C]
  float* dx;          // [N,H,W,C]
  int32_t relu_mask;  // dx = 0 where x <= 0
  int32_t stream;     // dx is larger than the caches
};

// Of volumes: windows of planes, and of the greatest of those over the depth.
struct MaxDepthBwd {
  MaxPlaces places;
  const Pool2dShape* shape;  // [N,D,1,P Q C] to [N,O,1,P Q C]
  int64_t planes;            // that a box reaches over, at most
  const float* dy;           // [N,O,P,Q,C]
  const float* x;            // [N,D,H,W,C]
  float* dx;                 // [N,D,H,W,C]
  int32_t relu_mask;
};

// Windows whose maxima are known by their pixels, row by row, and the part of each image or volume that dx
// has.
struct MaxPixels {
  const float* dy;       // [images,rows,row]
  const int32_t* index;  // likewise
  float* dx;             // [images,pixels,C]
  int64_t images, rows, row, c;
  int64_t reach, step;  // floats of dx that the first row of windows reaches, and how many more the next does
  int32_t first, pixels;  // of those of an image
  int32_t whole;          // these are all
};

// Windows whose maxima are told.
struct MaxPoolFind {
  MaxPlaces places;
  const float* x;  // [N,H,W,C]
  float* y;        // [N,P,Q,C]
  int32_t* index;  // likewise: pixels of the image
};

struct MaxPoolBwdKernels {
  // Any windows: one by one.
  void (*scatter)(const MaxPoolBwd&, const Pool2dBand&);
  // Of 3 x 3 at each second pixel, in vectors of channels; scratch holds five lines.
  void (*give)(const MaxPoolBwd&, const Pool2dBand&);
  // At each pixel: pixels take from the windows before them, in whole vectors.
  void (*gather)(const MaxPoolBwd&, const Pool2dBand&);
  // Planes of dx of a volume; scratch holds two [P,Q,C] with a rest for each of `planes` besides.
  void (*depth)(const MaxDepthBwd&, const Pool2dBand&);
  // What windows have for the pixels of dx.
  void (*add_pixels)(const MaxPixels&);
  // Rows [begin, end) of the N P rows of windows; scratch holds six lines.
  void (*find)(const MaxPoolFind&, float* scratch, int64_t begin, int64_t end);
};

}  // namespace cpu
}  // namespace fastcnn
