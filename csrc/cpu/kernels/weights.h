// SPDX-License-Identifier: Apache-2.0
// The weights of consecutive rows of a loss, one after the other, without a division for each.
#pragma once
#include "blocks.h"
#include "loss.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

class Weights {
 public:
  FASTCNN_INLINED explicit Weights(const LossRows& a) {
    if (!a.weights) return;
    each_ = a.shape->rows_per_weight;
    at_ = a.weights + a.first_row / each_;
    left_ = each_ - a.first_row % each_;
  }
  FASTCNN_INLINED float next() {
    if (!at_) return 1.0f;
    const float weight = *at_;
    if (--left_ == 0) ++at_, left_ = each_;
    return weight;
  }

 private:
  const float* at_ = nullptr;
  int64_t each_ = 0, left_ = 0;
};

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
