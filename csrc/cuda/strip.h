// SPDX-License-Identifier: Apache-2.0
// Where the elements of a strip of an operand, kOuter rows (or columns) of kStripK floats or twice as many
// numbers of two bytes along the sum, lie in shared memory. Sixteen bytes that come from global memory stay
// together, and are moved about so that neither those who write nor those who read meet in a bank. Host code
// and device code alike.
#pragma once
#include "walk.h"

namespace fastcnn {
namespace cuda {

constexpr int kStripK = 16;

// In numbers of kSize bytes, kSixteen of which stay together. kInnerFast: rows along the sum, else across.
template <bool kInnerFast, int kOuter, int kSize = 4>
FASTCNN_WALK int strip_place(int outer, int k) {
  constexpr int kSixteen = 16 / kSize, kDepth = kStripK * 4 / kSize;
  return kInnerFast ? outer * kDepth + ((k / kSixteen) ^ (outer / 2 % 4)) * kSixteen + k % kSixteen
                    : k * kOuter + (outer ^ (k % kSixteen * 8));
}

// The elements of the sixteen bytes that are number `i` of a strip, in the order in which neighbours in
// global memory are neighbours: where they begin.
struct StripPlace {
  int outer, k;
};
template <bool kInnerFast, int kOuter, int kSize = 4>
FASTCNN_WALK StripPlace strip_sixteen(int i) {
  constexpr int kSixteen = 16 / kSize;
  return kInnerFast ? StripPlace{i / (kStripK / 4), i % (kStripK / 4) * kSixteen}
                    : StripPlace{i % (kOuter / kSixteen) * kSixteen, i / (kOuter / kSixteen)};
}

}  // namespace cuda
}  // namespace fastcnn
