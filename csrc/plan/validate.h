// SPDX-License-Identifier: Apache-2.0
// The one validator: eager ops, backward ops and networks all turn what a user wrote into a shape struct
// here, before anything is allocated or written. `op` opens every message: an operator ("conv2d") or a layer
// ("layer 2 'conv2d_1' (Conv2D)"). Each function throws Error or returns a shape that every kernel can trust:
// sizes are positive, strides and dilations at least 1, and no product of sizes overflows.
#pragma once
#include "../base/shape.h"
#include "../base/status.h"

namespace fastcnn {

// Elements of an array of this shape; throws when one is not positive or the product of bytes does not fit.
int64_t element_count(const char* op, const char* argument, const int64_t* shape, int rank);

// "[2, 3]"
struct ShapeText {
  ShapeText(const int64_t* shape, int rank);
  char text[160];
};

}  // namespace fastcnn
