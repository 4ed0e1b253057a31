// SPDX-License-Identifier: Apache-2.0
// y = (sum |x|^p)^(1/p) over the taps of each window that lie in the image (windows.h), and
// dx = sum over windows of dy sign(x) (|x| / y)^(p-1), 0 where y is. With p = 1 and p = 2 as they stand; for
// any other p the taps are first divided by the greatest of them, so that no power overflows or vanishes:
// y = m (sum (|x|/m)^p)^(1/p); of p = 3 and p = 4 by the power of two below. The sums of p = 1 and p = 2 are
// pool2d's. Called by cpu/lp_pool2d.cpp, which splits the work.
#include "lp_pool2d.h"

#include "output.h"
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

// The taps of a window, or of some whose vectors stand in x at `spread` times their distance in y.
struct Taps {
  const float* x;
  int64_t row_step, col_step, channels;
  float* y;
  int64_t spread;
};

// By the power of two below the greatest tap: a product instead of a division.
struct Scale {
  IVec exponent;
  FASTCNN_INLINED explicit Scale(Vec greatest) {
    const Vec normal = min_or_second(broadcast(0x1p126f), max_or_second(broadcast(0x1p-126f), greatest));
    exponent = vec_to_bits(normal) & 0x7f800000;
  }
  FASTCNN_INLINED Vec down() const { return bits_to_vec(0x7f000000 - exponent); }
  FASTCNN_INLINED Vec up() const { return bits_to_vec(exponent); }
};

// By r near x^(-1/3), whose bits are about a third of those of x, and h = 1 - x r^3: three terms of
// (1 - h)^(-1/3) for r, and then of (1 - h)^(-2/3) for x r^2. Exact of 0 and infinity. By exp() and log()
// windows of 2 x 2 took twice as long.
FASTCNN_INLINE Vec cube_root(Vec x) {
  // A whole number in the last digits of a float: the shift leaves it alone.
  const Vec third = fma(as_numbers(vec_to_bits(x)), broadcast(-1.0f / 1536), broadcast(0x1p23f + 2773373.0f));
  Vec r = bits_to_vec(vec_to_bits(third) << 9);
  Vec y = x * r * r, h = fma(-y, r, broadcast(1.0f));
  r = fma(r * h, fma(h, broadcast(2.0f / 9), broadcast(1.0f / 3)), r);
  y = x * r * r, h = fma(-y, r, broadcast(1.0f));
  return fma(y * h, fma(h, broadcast(5.0f / 9), broadcast(2.0f / 3)), y);
}

// kWhole: the power, where it is 3 or 4, or 0: then functions are called, and nothing stays in registers.
template <int kWhole, class Size>
__attribute__((noinline)) void reduce(float power, Size size, const Taps& taps) {
  const LpPower op{power};
  const Taps t = taps;
  for_each_block<2>(t.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec greatest[kVectors] = {}, sum[kVectors] = {}, scale[kVectors];
    const auto each = [&](auto f) FASTCNN_INLINED {
      size.for_each_tap([&](int64_t r, int64_t s, int) FASTCNN_INLINED {
        const float* const x = t.x + r * t.row_step + s * t.col_step + c * t.spread;
        for (int v = 0; v < kVectors; ++v) f(v, block.get(x + v * kLanes * t.spread));
      });
    };
    each([&](int v, Vec x) FASTCNN_INLINED {
      const Vec a = abs(x);
      if constexpr (kWhole)
        greatest[v] = max_or_second(a, greatest[v]);  // the sum takes NaN
      else
        greatest[v] = ((a > greatest[v]) | (a != a)) ? a : greatest[v];
    });
    if constexpr (kWhole)
      for (int v = 0; v < kVectors; ++v) scale[v] = Scale(greatest[v]).down();
    each([&](int v, Vec x) FASTCNN_INLINED {
      if constexpr (kWhole)
        sum[v] += product_of(abs(x * scale[v]), kWhole);
      else
        sum[v] += exp_of_log(op.ratio(x, greatest[v]), power);
    });
    for (int v = 0; v < kVectors; ++v) {
      Vec y;
      if constexpr (kWhole)
        y = (kWhole == 3 ? cube_root(sum[v]) : sqrt(sqrt(sum[v]))) * Scale(greatest[v]).up();
      else
        y = op.finish(sum[v], greatest[v]);
      block.put(t.y + c + v * kLanes, y);
    }
  });
}

constexpr int64_t kTogether = 4096;  // floats: half of a first-level cache

// Windows of few channels are taken together, each tap copied side by side unless it fills a vector.
void fwd(const LpPool2dFwd& args, int64_t begin, int64_t end) {
  const LpPool2dFwd a = args;
  const Geometry g(a.shape->pool);
  const int64_t c = g.s.c, step = g.s.stride_w * c, taps = g.s.r * g.s.s;
  const bool side_by_side = g.s.stride_w == 1, spread = !side_by_side && c == kLanes;
  const bool together =
      !side_by_side && c % kLanes && c <= 2 * kLanes && taps * (4 * c + kLanes) <= kTogether;
  alignas(sizeof(Vec)) float memory[kTogether];
  const float power = a.shape->power;
  // As loops 2 x 2 windows took up to 1.1 times as long of 16 lanes, 1.2 times of 8.
  const auto take = [&](Size<0, 0> size, const Taps& t) FASTCNN_INLINED {
    if (power == 4.0f)
      reduce<4>(power, size, t);
    else if (power != 3.0f)
      reduce<0>(power, size, t);
    else if (size.rows == 2 && size.cols == 2)
      reduce<3>(power, Size<2, 2>{2, 2}, t);
    else
      reduce<3>(power, size, t);
  };
  for (int64_t row = begin; row < end; ++row)
    for_each_window_of_row<kNone>(
        g, row, side_by_side || spread || together, nullptr,
        [&](auto size, const Window& window) FASTCNN_INLINED {
          Taps t = {a.x + window.pixel, g.row_step, g.col_step, window.channels, a.y + window.output, 1};
          if (window.channels > c && spread)
            t.channels = (t.channels / step + 1) * c, t.spread = g.s.stride_w;
          if (!together || window.channels == c) return take(size, t);
          const int64_t line = kTogether / taps, most = (line - kLanes) / c;
          t.row_step = size.cols * line, t.col_step = line;
          for (int64_t left = window.channels / step + 1; left > 0; left -= most) {
            const int64_t count = smaller(left, most);
            const float* const x = t.x;
            size.for_each_tap([&](int64_t r, int64_t s, int position) FASTCNN_INLINED {
              copy_windows({x + r * g.row_step + s * g.col_step, step, memory + position * line, c, c}, count,
                           count * c);
            });
            t.x = memory, t.channels = count * c;
            take(size, t);
            t.x = x + count * step, t.y += count * c;
          }
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

void factors(float power, const float* dy, const float* y, float* to, int64_t count) {
  const auto all = [&](auto op) FASTCNN_INLINED {
    map(dy, y, to, count, [&](Vec of_dy, Vec of_y) FASTCNN_INLINED { return op.factor(Vec{}, of_dy, of_y); });
  };
  if (power == 1.0f)
    all(LpAbs{});
  else
    all(LpSquare{});
}

void take(const LpPool2dTaken& args, int64_t count) {
  const LpPool2dTaken a = args;
  const Output output(a.dx, a.stream, a.pitch);
  const auto all = [&](auto op) FASTCNN_INLINED {
    map(output, a.x, a.taken, a.dx, count,
        [&](Vec x, Vec sum) FASTCNN_INLINED { return op.gradient(sum, x); });
  };
  if (a.power == 1.0f) return all(LpAbs{});
  if (a.power == 2.0f) return all(LpSquare{});
  const LpPower op{a.power};
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec x = block.get(a.x + i);
    output.put(block, a.dx + i, op.gradient(op.factor(x, block.get(a.taken + i), block.get(a.y + i)), x));
  });
  output.end();
}

}  // namespace

extern const LpPool2dKernels lp_pool2d_kernels;
const LpPool2dKernels lp_pool2d_kernels = {fwd, bwd, factors, take};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
