// SPDX-License-Identifier: Apache-2.0
// The blocking of the direct weight gradient (conv2d_wgrad.cpp): its choice is in conv2d_wgrad_blocking.cpp.
#pragma once
#include "blocking.h"

namespace fastcnn {
namespace cpu {

// From the shape alone.
struct Wgrad {
  Conv2dShape shape;
  int64_t in_g, out_g, panel, panels;  // channels of a group; columns of a panel, panels of a group
  int64_t columns;                     // of x with its zeros
  int64_t strips;                      // of the channels of a group
  int64_t tile_rows;                   // rows of tiles: of one strip and tap, or of a filter row when merged
  int32_t taps;                        // a strip meets all taps of a filter row
  int32_t merged;                      // s and c are one run of contiguous floats
  int32_t copy_x;                      // with its zeros
  int32_t copy_dy;                     // else it is read in place
  int32_t filter_rows;                 // of one tile: 1, or all three of a 3 x 3 filter of one channel
  int64_t block_images, block_rows;    // output pixels of a block: whole images, or rows of one image
  int64_t chunks, panel_parts, strip_parts;  // tasks: chunks of blocks x parts of panels x parts of strips
  int64_t pass;                              // panels that a task takes through its blocks at a time
  int64_t bands, blocks;                     // blocks of an image, or 1; all blocks
  int64_t rows_in;                           // input rows of a block
  int32_t pairs;
};

Wgrad plan_wgrad(const Conv2dShape&, int32_t pairs);

inline int64_t panel_floats(const Wgrad& d) { return d.block_images * d.block_rows * d.shape.q * d.panel; }
inline int64_t dw_floats(const Wgrad& d) { return d.shape.r * d.shape.s * d.in_g * d.shape.k; }
inline int64_t most_panels(const Wgrad& d) {
  return std::min(d.pass, ceil_div(d.shape.groups * d.panels, d.panel_parts));
}
inline size_t panel_bytes(const Wgrad& d) { return float_bytes(most_panels(d) * panel_floats(d)); }
inline size_t copy_bytes(const Wgrad& d) {
  return d.copy_x ? float_bytes(d.block_images * d.rows_in * d.columns * d.in_g) : 0;
}

}  // namespace cpu
}  // namespace fastcnn
