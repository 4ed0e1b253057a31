// SPDX-License-Identifier: Apache-2.0
// The forms of Winograd's algorithm along an axis, see winograd.h: how many outputs, pixels, points of V, U
// and M a tile has, how many pixels it shares with the next, and the short sums that make one of the other.
#pragma once
#include "vec.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

struct F2 {
  static constexpr int kOutputs = 2, kPixels = 4, kPoints = 4, kFilters = 4, kSums = 4, kShared = 2;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    v[0] = x[0] - x[2];
    v[1] = x[1] + x[2];
    v[2] = x[2] - x[1];
    v[3] = x[3] - x[1];
  }
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    const Vec half = broadcast(0.5f), even = half * (w[0] + w[2]), odd = half * w[1];
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = w[2];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] + m[3];
  }
  FASTCNN_INLINE void gradient(const Vec* y, Vec* w) {
    w[0] = y[0];
    w[1] = y[0] + y[1];
    w[2] = y[0] - y[1];
    w[3] = y[1];
  }
  FASTCNN_INLINE void filter_gradient(const Vec* d, Vec* w) {
    const Vec half = broadcast(0.5f), even = half * (d[1] + d[2]);
    w[0] = d[0] + even;
    w[1] = half * (d[1] - d[2]);
    w[2] = even + d[3];
  }
};

struct F4 {
  static constexpr int kOutputs = 4, kPixels = 6, kPoints = 6, kFilters = 6, kSums = 6, kShared = 2;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    const Vec half = broadcast(0.5f), two = broadcast(2.0f), more = broadcast(1.5f), most = broadcast(2.5f);
    const Vec even = x[4] - x[2], odd = x[3] - x[1];
    v[0] = fma(more, odd, x[0] - x[2] + even);
    v[1] = fma(half, x[2], x[4]) + fma(most, x[3], -x[1]);
    v[2] = fma(-most, x[2], x[4]) + fma(half, x[3], x[1]);
    v[3] = fma(two, odd, even);
    v[4] = fma(-half, odd, even);
    v[5] = fma(more, even, x[5] - x[3] - odd);
  }
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    const Vec third = broadcast(1.0f / 3.0f), fifteenth = broadcast(1.0f / 15.0f);
    const Vec two = broadcast(2.0f), four = broadcast(4.0f);
    const Vec sum = w[0] + w[2];
    u[0] = w[0];
    u[1] = third * (sum + w[1]);
    u[2] = third * (w[1] - sum);
    u[3] = -four * fifteenth * (fma(four, w[0], w[2]) + two * w[1]);
    u[4] = fifteenth * (fma(four, w[2], w[0]) - two * w[1]);
    u[5] = w[2];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    const Vec sum = m[1] + m[2], difference = m[1] - m[2];
    y[0] = (m[0] + sum) + (m[3] + m[4]);
    y[1] = fma(broadcast(0.5f), m[3], fma(broadcast(-2.0f), m[4], difference));
    y[2] = fma(broadcast(0.25f), m[3], fma(broadcast(4.0f), m[4], sum));
    y[3] = fma(broadcast(0.125f), m[3], fma(broadcast(-8.0f), m[4], difference + m[5]));
  }
  FASTCNN_INLINE void gradient(const Vec* y, Vec* w) {
    const Vec even = y[0] + y[2], odd = y[1] + y[3];
    w[0] = y[0];
    w[1] = even + odd;
    w[2] = even - odd;
    w[3] = fma(broadcast(0.25f), y[2], y[0]) + broadcast(0.5f) * fma(broadcast(0.25f), y[3], y[1]);
    w[4] = fma(broadcast(4.0f), y[2], y[0]) - broadcast(2.0f) * fma(broadcast(4.0f), y[3], y[1]);
    w[5] = y[3];
  }
  FASTCNN_INLINE void filter_gradient(const Vec* d, Vec* w) {
    const Vec third = broadcast(1.0f / 3.0f), fifteenth = broadcast(1.0f / 15.0f);
    const Vec two = broadcast(2.0f), four = broadcast(4.0f);
    const Vec even = third * (d[1] - d[2]), odd = third * (d[1] + d[2]), both = four * fifteenth * d[3];
    w[0] = fma(fifteenth, d[4], fma(-four, both, d[0] + even));
    w[1] = fma(-two, fma(fifteenth, d[4], both), odd);
    w[2] = fma(four * fifteenth, d[4], even - both) + d[5];
  }
};

// Of stride 2: sums of 2, 1 and 2 products along an axis.
struct Strided {
  static constexpr int kOutputs = 2, kPixels = 5, kPoints = 5, kFilters = 4, kSums = 3, kShared = 1;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    v[0] = x[0] - x[2];
    v[1] = x[1];
    v[2] = x[2];
    v[3] = x[3];
    v[4] = x[4] - x[2];
  }
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    u[0] = w[0];
    u[1] = w[1];
    u[2] = w[2];
    u[3] = w[0] + w[2];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1];
    y[1] = m[1] + m[2];
  }
  FASTCNN_INLINE void gradient(const Vec* y, Vec* w) {
    w[0] = y[0];
    w[1] = y[0] + y[1];
    w[2] = y[1];
  }
  FASTCNN_INLINE void filter_gradient(const Vec* d, Vec* w) {
    w[0] = d[0] + d[3];
    w[1] = d[1];
    w[2] = d[2] + d[3];
  }
};

// Of its dgrad, whose filters are Strided's.
struct StridedBack {
  static constexpr int kOutputs = 4, kPixels = 3, kPoints = 4, kFilters = 4, kSums = 5, kShared = 0;
  FASTCNN_INLINE void input(const Vec* x, Vec* v) {
    v[0] = x[0] - x[1];
    v[1] = x[1];
    v[2] = x[2];
    v[3] = x[2] - x[1];
  }
  FASTCNN_INLINE void output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1];
    y[1] = m[3];
    y[2] = m[1] + m[2];
    y[3] = m[4];
  }
};

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
