// SPDX-License-Identifier: Apache-2.0
// y = (sum |x|^p)^(1/p) over the taps of each window that lie in the image (windows.h), and
// dx = sum over windows of dy sign(x) (|x| / y)^(p-1), 0 where y is. With p = 1 and p = 2 as they stand; for
// any other p the taps are first divided by the greatest of them, so that no power overflows or vanishes:
// y = m (sum (|x|/m)^p)^(1/p). Called by cpu/lp_pool2d.cpp, which splits the work.
#include "lp_pool2d.h"

#include "windows.h"

// Logarithm and exponential stand once: with those of each tap the code was twice as long, and no faster.
#define FASTCNN_ALONE __attribute__((noinline))
#include "../../base/formulas/lp_pool.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <class F>
FASTCNN_INLINE void with_power(float power, F f) {
  if (power == 1.0f) {
    f(LpAbs{});
  } else if (power == 2.0f) {
    f(LpSquare{});
  } else {
    f(LpPower{power});
  }
}

void fwd(const LpPool2dFwd& args, int64_t begin, int64_t end) {
  const LpPool2dFwd a = args;
  const Geometry g(a.shape->pool);
  with_power(a.shape->power, [&](auto op) FASTCNN_INLINED {
    const auto reduce = [&](auto size, const Window& window) FASTCNN_INLINED {
      for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
        constexpr int kVectors = block.kVectors;
        const float* x = a.x + window.pixel + c;
        Vec greatest[kVectors] = {}, sum[kVectors] = {};
        const auto get = [&](int64_t r, int64_t col, int v) FASTCNN_INLINED {
          return block.get(x + r * g.row_step + col * g.col_step + v * kLanes);
        };
        if constexpr (decltype(op)::kScaled) {
          size.for_each_tap([&](int64_t r, int64_t col, int) FASTCNN_INLINED {
            for (int v = 0; v < kVectors; ++v) {
              const Vec t = abs(get(r, col, v));
              greatest[v] = ((t > greatest[v]) | (t != t)) ? t : greatest[v];
            }
          });
        }
        size.for_each_tap([&](int64_t r, int64_t col, int) FASTCNN_INLINED {
          for (int v = 0; v < kVectors; ++v) sum[v] += op.term(get(r, col, v), greatest[v]);
        });
        float* y = a.y + window.output + c;
        for (int v = 0; v < kVectors; ++v) block.put(y + v * kLanes, op.finish(sum[v], greatest[v]));
      });
    };
    for (int64_t row = begin; row < end; ++row) for_each_window_of_row(g, row, g.s.stride_w == 1, reduce);
  });
}

// put(block, at, sum) for every vector of the rows `band` of image n, `at` its offset in dx: the sum of
// f(block, i, at) over the windows that hold the pixel, in their order. i is the offset of the window's
// channels from the first row of windows of `over`.
template <class F, class Put>
FASTCNN_INLINE void gather_windows(const Geometry& g, int64_t n, Span band, Span over, F f, Put put) {
  const Pool2dShape& s = g.s;
  Span ps = {over.begin, over.begin};
  for (int64_t h = band.begin; h < band.end; ++h) {
    while (ps.begin < s.p && g.rows.reach(ps.begin).end <= h) ++ps.begin;
    while (ps.end < s.p && g.rows.reach(ps.end).begin <= h) ++ps.end;
    Span qs = {0, 0};
    for (int64_t w = 0; w < s.w; ++w) {
      while (qs.begin < s.q && g.cols.reach(qs.begin).end <= w) ++qs.begin;
      while (qs.end < s.q && g.cols.reach(qs.end).begin <= w) ++qs.end;
      const int64_t pixel = ((n * s.h + h) * s.w + w) * s.c;
      for_each_block<2>(s.c, [&](auto block, int64_t c) FASTCNN_INLINED {
        constexpr int kVectors = block.kVectors;
        Vec sum[kVectors] = {};
        for (int64_t p = ps.begin; p < ps.end; ++p)
          for (int64_t q = qs.begin; q < qs.end; ++q) {
            const int64_t i = ((p - over.begin) * s.q + q) * s.c + c;
            for (int v = 0; v < kVectors; ++v) sum[v] += f(block, i + v * kLanes, pixel + c + v * kLanes);
          }
        for (int v = 0; v < kVectors; ++v) put(block, pixel + c + v * kLanes, sum[v]);
      });
    }
  }
}

void bwd(const LpPool2dBwd& args, int64_t n, int64_t begin, int64_t end) {
  const LpPool2dBwd a = args;
  const Geometry g(a.shape->pool);
  const Span over = g.rows.over(begin, end);
  const int64_t first = (n * g.s.p + over.begin) * g.s.q * g.s.c;
  const float *dy = a.dy + first, *y = a.y + first;
  with_power(a.shape->power, [&](auto op) FASTCNN_INLINED {
    gather_windows(
        g, n, {begin, end}, over,
        [&](auto block, int64_t i, int64_t at)
            FASTCNN_INLINED { return op.factor(block.get(a.x + at), block.get(dy + i), block.get(y + i)); },
        [&](auto block, int64_t at, Vec sum)
            FASTCNN_INLINED { block.put(a.dx + at, op.gradient(sum, block.get(a.x + at))); });
  });
}

}  // namespace

extern const LpPool2dKernels lp_pool2d_kernels;
const LpPool2dKernels lp_pool2d_kernels = {fwd, bwd};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
