// SPDX-License-Identifier: Apache-2.0
// y = the greatest of each window, index its tap: the first of equal ones, and a NaN is greater than every
// number; dx = the sum over the windows that hold a pixel of dy where their index names it.
#include "lanes_pool.h"

#include "lanes_greatest.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kVectors = kBatchLanes / kLanes;

// Taps of window i along an axis that are inside: [begin, end), the first at pixel `first` + begin dilation.
struct Reach {
  int64_t first, begin, end;
};
FASTCNN_INLINE Reach reach(int64_t i, int64_t stride, int64_t pad, int64_t dilation, int64_t taps,
                           int64_t size) {
  Reach w = {i * stride - pad, 0, taps};
  while (w.first + w.begin * dilation < 0) ++w.begin;
  while (w.first + (w.end - 1) * dilation >= size) --w.end;
  return w;
}

FASTCNN_INLINE Reach rows_of(const Pool2dShape& s, int64_t p) {
  return reach(p, s.stride_h, s.pad_top, s.dilation_h, s.r, s.h);
}
FASTCNN_INLINE Reach cols_of(const Pool2dShape& s, int64_t q) {
  return reach(q, s.stride_w, s.pad_left, s.dilation_w, s.s, s.w);
}

// f(row, pixel, tap) for each tap of a window, of which `size` is known where it is not 0.
template <int size, class F>
FASTCNN_INLINE void for_each_tap(const Pool2dShape& s, const Reach& h, const Reach& w, F f) {
  if constexpr (size) {
    FASTCNN_UNROLL for (int r = 0; r < size; ++r) FASTCNN_UNROLL for (int c = 0; c < size; ++c)
        f(h.first + r, w.first + c, r * size + c);
  } else {
    for (int64_t r = h.begin; r < h.end; ++r)
      for (int64_t c = w.begin; c < w.end; ++c)
        f(h.first + r * s.dilation_h, w.first + c * s.dilation_w, (int)(r * s.s + c));
  }
}

template <int size>
FASTCNN_INLINE void fwd_rows(const LanesPoolFwd& a, int64_t begin, int64_t end) {
  const Pool2dShape s = *a.shape;
  for (int64_t p = begin; p < end; ++p) {
    const Reach h = size ? Reach{p * s.stride_h, 0, size} : rows_of(s, p);
    for (int64_t q = 0; q < s.q; ++q) {
      const Reach w = size ? Reach{q * s.stride_w, 0, size} : cols_of(s, q);
      Greatest greatest[kVectors];
      bool first = true;
      for_each_tap<size>(s, h, w, [&](int64_t row, int64_t col, int tap) __attribute__((always_inline)) {
        const float* x = a.x + (row * s.w + col) * kBatchLanes;
        FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) {
          const Vec value = load(x + v * kLanes);
          if (first)
            greatest[v].begin(value, tap);
          else
            greatest[v].take(value, tap);
        }
        first = false;
      });
      const int64_t at = (p * s.q + q) * kBatchLanes;
      FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) {
        store(a.y + at + v * kLanes, greatest[v].value);
        if (a.index) store_bytes(a.index + at + v * kLanes, greatest[v].tap);
      }
    }
  }
}

FASTCNN_INLINE bool is_two_by_two(const Pool2dShape& s) {
  return s.r == 2 && s.s == 2 && s.dilation_h == 1 && s.dilation_w == 1 && s.pad_top == 0 &&
         s.pad_left == 0 && (s.p - 1) * s.stride_h + 2 <= s.h && (s.q - 1) * s.stride_w + 2 <= s.w;
}

void max_fwd(const LanesPoolFwd& a, int64_t begin, int64_t end) {
  if (is_two_by_two(*a.shape))
    fwd_rows<2>(a, begin, end);
  else
    fwd_rows<0>(a, begin, end);
}

// `apart`: no two windows share a pixel.
template <int size, bool apart>
FASTCNN_INLINE void bwd_plane(const LanesPoolBwd& a) {
  const Pool2dShape s = *a.shape;
  for (int64_t p = 0; p < s.p; ++p) {
    const Reach h = size ? Reach{p * s.stride_h, 0, size} : rows_of(s, p);
    for (int64_t q = 0; q < s.q; ++q) {
      const Reach w = size ? Reach{q * s.stride_w, 0, size} : cols_of(s, q);
      const int64_t at = (p * s.q + q) * kBatchLanes;
      FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) {
        Vec g = load(a.dy + at + v * kLanes);
        if (a.y) g = load(a.y + at + v * kLanes) <= Vec{} ? Vec{} : g;
        const IVec index = load_bytes(a.index + at + v * kLanes);
        for_each_tap<size>(s, h, w, [&](int64_t row, int64_t col, int tap) __attribute__((always_inline)) {
          float* dx = a.dx + (row * s.w + col) * kBatchLanes + v * kLanes;
          const Vec share = index == tap ? g : Vec{};
          store(dx, apart ? share : load(dx) + share);
        });
      }
    }
  }
}

void max_bwd(const LanesPoolBwd& a) {
  const Pool2dShape& s = *a.shape;
  const bool apart = s.stride_h >= s.r && s.stride_w >= s.s && s.dilation_h == 1 && s.dilation_w == 1;
  const bool cover = apart && s.r * s.p == s.h && s.s * s.q == s.w;
  if (!cover) memset(a.dx, 0, (size_t)(s.h * s.w * kBatchLanes) * sizeof *a.dx);
  if (!apart)
    bwd_plane<0, false>(a);
  else if (is_two_by_two(s))
    bwd_plane<2, true>(a);
  else
    bwd_plane<0, true>(a);
}

void whole_fwd(const LanesWholePool& a) {
  constexpr int kApart = 4;  // one sum would wait for each addition
  Vec sum[kApart][kVectors] = {};
  const auto add = [&](int u, const float* x) FASTCNN_INLINED {
    FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) sum[u][v] += load(x + v * kLanes);
  };
  const float* x = a.in;
  int64_t left = a.pixels;
  for (; left >= kApart; left -= kApart, x += kApart * kBatchLanes)
    FASTCNN_UNROLL for (int u = 0; u < kApart; ++u) add(u, x + u * kBatchLanes);
  for (; left > 0; --left, x += kBatchLanes) add(0, x);
  FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v)
      store(a.out + v * kLanes, (sum[0][v] + sum[1][v] + (sum[2][v] + sum[3][v])) / a.divisor);
}

template <bool masked>
FASTCNN_INLINE void spread_plane(const LanesWholePool& a) {
  Vec dy[kVectors];
  FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) dy[v] = load(a.in + v * kLanes) / a.divisor;
  for (int64_t i = 0; i < a.pixels; ++i) FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) {
      const int64_t at = i * kBatchLanes + v * kLanes;
      store(a.out + at, masked ? (load(a.mask + at) <= Vec{} ? Vec{} : dy[v]) : dy[v]);
    }
}
void whole_bwd(const LanesWholePool& args) {
  const LanesWholePool a = args;
  if (a.mask)
    spread_plane<true>(a);
  else
    spread_plane<false>(a);
}

}  // namespace

extern const LanesPoolKernels lanes_pool_kernels;
const LanesPoolKernels lanes_pool_kernels = {max_fwd, max_bwd, whole_fwd, whole_bwd};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
