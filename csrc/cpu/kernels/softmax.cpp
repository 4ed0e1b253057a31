// SPDX-License-Identifier: Apache-2.0
// Softmax y = exp(x - max x) / sum, its gradient dx = y (dy - sum(dy y)), log-softmax y = x - max x -
// log(sum), its gradient dx = dy - exp(y) sum(dy), and the place of the greatest of a row. Called by
// cpu/softmax.cpp and cpu/loss.cpp.
#include "softmax.h"

#include "own.h"
#include "row_layouts.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// The most columns of rows that are taken abreast, and, across, of those whose numbers are computed together.
// A logarithm of each row is better shared for longer, and gradients need too little arithmetic for either.
// Rows of two vectors of 16 lanes leave more of them empty: across, 27 columns took 1.4 times as long, 32,
// which fill them, 0.85.
struct Limits {
  int abreast;
  int64_t together;
};
constexpr Limits kFwd = {kLanes > 8 ? 31 : 20, 512}, kLogFwd = {kAbreast, 512}, kBwd = {kLanes - 1, 0};

struct RowArrays {
  const float *a, *b;
  float* to;
  int64_t rows, cols;
};

// Rows that come later.
struct Next {
  const float *a, *to;
  Next(const RowArrays& of, int64_t row) : a(of.a), to(of.to) {
    if (row < of.rows) a += row * of.cols, to += row * of.cols;
  }
};

// For all rows, to[i] depending on a[i], b[i], which may be null, and a number n of the row, that number()
// makes of first(layout, a, b, to, count, highest(layout, a, count), next); then second(layout, a, b, to,
// count, n) follows. Some rows are at each stage at a time, so that one row does not wait for the other.
template <class Highest, class First, class Number, class Second>
FASTCNN_INLINE void for_rows(const Limits& limits, const RowArrays& of, Highest highest, First first,
                             Number number, Second second) {
  const int64_t cols = of.cols;
  if (cols > limits.abreast) {
    const int64_t some = cols <= limits.together ? kLanes : 1;
    for (int64_t begin = 0; begin < of.rows; begin += some) {
      const int64_t rows = of.rows - begin < some ? of.rows - begin : some;
      float numbers[kLanes] = {};
      const auto each = [&](auto f) FASTCNN_INLINED {
        for (int64_t r = 0, at = begin * cols; r < rows; ++r, at += cols)
          f(of.a + at, of.b ? of.b + at : nullptr, of.to + at, numbers[r]);
      };
      if (some == 1) {
        each([&](const float* a, const float* b, float* to, float&) FASTCNN_INLINED {
          const Vec n = number(
              broadcast(first(Across{}, a, b, to, cols, highest(Across{}, a, cols), Next(of, begin + 1))));
          second(Across{}, a, b, to, cols, n[0]);
        });
        continue;
      }
      each([&](const float* a, const float*, float*, float& n)
               FASTCNN_INLINED { n = highest(Across{}, a, cols); });
      each([&](const float* a, const float* b, float* to, float& n) FASTCNN_INLINED {
        n = first(Across{}, a, b, to, cols, n, Next(of, begin + some + (&n - numbers)));
      });
      store(numbers, number(load(numbers)));
      each([&](const float* a, const float* b, float* to, float& n)
               FASTCNN_INLINED { second(Across{}, a, b, to, cols, n); });
    }
    return;
  }
  constexpr int kTimes = 4;
  Vec a[kTimes][kAbreast], b[kTimes][kAbreast], numbers[kTimes] = {};
  for (int64_t begin = 0; begin < of.rows; begin += kTimes * kLanes) {
    const int64_t left = of.rows - begin, rows = left < kTimes * kLanes ? left : kTimes * kLanes;
    const auto each = [&](auto f) FASTCNN_INLINED {
      for_each_lanes(rows,
                     [&](int64_t r, int some) FASTCNN_INLINED { f(r / kLanes, (begin + r) * cols, some); });
    };
    each([&](int64_t i, int64_t at, int some) FASTCNN_INLINED {
      turn(of.a + at, some, (int)cols, a[i]);
      if (of.b) turn(of.b + at, some, (int)cols, b[i]);
      numbers[i] = highest(Abreast{}, (float*)a[i], cols * kLanes);
    });
    each([&](int64_t i, int64_t, int) FASTCNN_INLINED {
      numbers[i] = first(Abreast{}, (float*)a[i], (float*)b[i], (float*)a[i], cols * kLanes, numbers[i],
                         Next(of, begin + (kTimes + i) * kLanes));
    });
    for (Vec& n : numbers) n = number(n);
    each([&](int64_t i, int64_t at, int some) FASTCNN_INLINED {
      second(Abreast{}, (float*)a[i], (float*)b[i], (float*)a[i], cols * kLanes, numbers[i]);
      turn_back(a[i], some, (int)cols, of.to + at);
    });
  }
}

// highest() of for_rows().
constexpr auto kGreatest = [](auto layout, const float* x, int64_t count)
                               FASTCNN_INLINED { return greatest_of<decltype(layout)>(x, count); };
constexpr auto kNone = [](auto layout, const float*, int64_t)
                           FASTCNN_INLINED { return typename decltype(layout)::Number{}; };

// 2^24 times the exponentials of a row less its greatest, and their sum. y: these, or with kLogs what they
// are of. While they are computed, the next rows' numbers come from far.
template <bool kLogs, class L, class N>
FASTCNN_INLINE auto sum_of_powers(L layout, const float* x, float* y, int64_t count, N highest,
                                  const Next& next) {
  Vec sums = {};
  for_each_block<2>(count, [&](auto block, int64_t j) FASTCNN_INLINED {
    FASTCNN_UNROLL
    for (int v = 0; v < block.kVectors; ++v, j += kLanes) {
      if (v * kLanes % kOwnedFloats == 0) {
        __builtin_prefetch(next.a + j, 0, 2);
        own(next.to + j);
      }
      const Vec shifted = block.get(x + j) - highest, e = scaled_exp_of_negative(shifted);
      block.put(y + j, kLogs ? shifted : e);
      sums += block.only(e, Vec{});
    }
  });
  return layout.sum(sums);
}

void fwd(const float* x, float* y, int64_t rows, int64_t cols) {
  for_rows(
      kFwd, {x, nullptr, y, rows, cols}, kGreatest,
      [](auto layout, const float* x, const float*, float* y, int64_t count, auto highest, const Next& next)
          FASTCNN_INLINED { return sum_of_powers<false>(layout, x, y, count, highest, next); },
      [](Vec sum) FASTCNN_INLINED { return 1.0f / sum; },
      [](auto, const float*, const float*, float* y, int64_t count, auto share)
          FASTCNN_INLINED { map(y, y, count, [&](Vec e) FASTCNN_INLINED { return e * share; }); });
}

void bwd(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols) {
  for_rows(
      kBwd, {dy, y, dx, rows, cols}, kNone,
      [](auto layout, const float* dy, const float* y, float*, int64_t count, auto, auto) FASTCNN_INLINED {
        Vec sums = {};
        for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED {
          sums = fma(block.get(dy + j), block.get(y + j), sums);
        });
        return layout.sum(sums);
      },
      [](Vec sum) FASTCNN_INLINED { return sum; },
      [](auto, const float* dy, const float* y, float* dx, int64_t count, auto sum) FASTCNN_INLINED {
        map(dy, y, dx, count, [&](Vec dy, Vec y) FASTCNN_INLINED { return y * (dy - sum); });
      });
}

void log_fwd(const float* x, float* y, int64_t rows, int64_t cols) {
  for_rows(
      kLogFwd, {x, nullptr, y, rows, cols}, kGreatest,
      [](auto layout, const float* x, const float*, float* y, int64_t count, auto highest, const Next& next)
          FASTCNN_INLINED { return sum_of_powers<true>(layout, x, y, count, highest, next); },
      [](Vec sum) FASTCNN_INLINED { return log(sum * kNegativeScale); },
      [](auto, const float*, const float*, float* y, int64_t count, auto log_sum) FASTCNN_INLINED {
        map(y, y, count, [&](Vec shifted) FASTCNN_INLINED { return shifted - log_sum; });
      });
}

void log_bwd(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols) {
  for_rows(
      kBwd, {dy, y, dx, rows, cols}, kNone,
      [](auto layout, const float* dy, const float*, float*, int64_t count, auto, auto) FASTCNN_INLINED {
        Vec sums = {};
        for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED { sums += block.get(dy + j); });
        return layout.sum(sums);
      },
      [](Vec sum) FASTCNN_INLINED { return sum; },
      [](auto, const float* dy, const float* y, float* dx, int64_t count, auto sum) FASTCNN_INLINED {
        map(dy, y, dx, count,
            [&](Vec dy, Vec y) FASTCNN_INLINED { return fma(exp_of_negative(y), -sum - Vec{}, dy); });
      });
}

int64_t argmax(const float* x, int64_t count) {
  IVec nans = {};
  for_each_vector(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const Vec v = block.get(x + i);
    nans |= v != v;
  });
  bool any = false;
  for (int lane = 0; lane < kLanes; ++lane) any |= nans[lane] != 0;
  const float highest = greatest_of<Across>(x, count);
  int64_t i = 0;
  while (any ? x[i] == x[i] : x[i] != highest) ++i;
  return i;
}

}  // namespace

extern const SoftmaxKernels softmax_kernels;
const SoftmaxKernels softmax_kernels = {fwd, bwd, log_fwd, log_bwd, argmax};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
