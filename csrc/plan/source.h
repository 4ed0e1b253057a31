// SPDX-License-Identifier: Apache-2.0
// A user's array as a plan sees it: any real dtype and strides, one sample for each index of the first axis.
#pragma once
#include "../base/shape.h"

namespace fastcnn {

struct Source {
  const char* data = nullptr;
  DType dtype = DType::kF32;
  int rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};  // bytes
};

int64_t item_size(DType dtype);

// The gather of n samples into dense memory of dtype `to`.
GatherShape gather_of(const Source& source, int64_t n, DType to);

// Throws ArgumentError that names the first value which is neither a whole number in [0, classes) nor
// *ignored, and its index. `op` opens the message.
void check_labels(const char* op, const Source& labels, int64_t classes, const int64_t* ignored = nullptr);

}  // namespace fastcnn
