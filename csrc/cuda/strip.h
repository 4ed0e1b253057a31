// SPDX-License-Identifier: Apache-2.0
// Where the elements of a strip of an operand, kOuter rows (or columns) of kStripK numbers along the sum, lie
// in shared memory. Sixteen bytes that come from global memory stay together, and are moved about so that
// neither those who write nor those who read meet in a bank. Host code and device code alike.
#pragma once
#include "walk.h"

namespace fastcnn {
namespace cuda {

constexpr int kStripK = 16;

// In floats. kInnerFast: rows of kStripK floats, else rows of kOuter.
template <bool kInnerFast, int kOuter>
FASTCNN_WALK int strip_place(int outer, int k) {
  return kInnerFast ? outer * kStripK + ((k / 4) ^ (outer / 2 % 4)) * 4 + k % 4
                    : k * kOuter + (outer ^ (k % 4 * 8));
}

// The four elements that are number `four` of a strip, in the order in which neighbours in global memory are
// neighbours: where they begin.
struct StripPlace {
  int outer, k;
};
template <bool kInnerFast, int kOuter>
FASTCNN_WALK StripPlace strip_four(int four) {
  return kInnerFast ? StripPlace{four / (kStripK / 4), four % (kStripK / 4) * 4}
                    : StripPlace{four % (kOuter / 4) * 4, four / (kOuter / 4)};
}

}  // namespace cuda
}  // namespace fastcnn
