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

// The most columns of rows that are taken in lines, forward, and abreast, backward, and, across, of those
// whose numbers are computed together. Gradients need too little arithmetic for that. In lines, 33 columns
// took 0.38 of the time that they took across, with AVX2 0.6; 50 columns 0.5 and 0.6; 65 columns 0.6 and 0.9;
// 127 columns 0.7 and 1.0; but 64, which leave no lane empty across, as long, and 128 longer.
constexpr int64_t kInLines = kLanes > 8 ? 127 : 95, kInLanes = kLanes - 1, kTogether = 512;
FASTCNN_INLINE bool in_lines(int64_t cols) { return cols < 64 || (cols <= kInLines && cols % kLanes != 0); }

// Of rows in lines that are computed together: most groups of kLanes, and their numbers, 8 KB of 16 lanes.
constexpr int64_t kGroups = 8, kLineFloats = 4 * kAbreast * kLanes;

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
// makes of first(a, b, to, count, highest(a, count), next); then second(a, b, to, count, n) follows. Some
// rows are at each stage at a time, so that one row does not wait for the other.
template <class Highest, class First, class Number, class Second>
FASTCNN_INLINE void for_rows_across(const RowArrays& of, int64_t together, Highest highest, First first,
                                    Number number, Second second) {
  const int64_t cols = of.cols, some = cols <= together ? kLanes : 1;
  for (int64_t begin = 0; begin < of.rows; begin += some) {
    const int64_t rows = of.rows - begin < some ? of.rows - begin : some;
    float numbers[kLanes] = {};
    const auto each = [&](auto f) FASTCNN_INLINED {
      for (int64_t r = 0, at = begin * cols; r < rows; ++r, at += cols)
        f(of.a + at, of.b ? of.b + at : nullptr, of.to + at, numbers[r]);
    };
    if (some == 1) {
      each([&](const float* a, const float* b, float* to, float&) FASTCNN_INLINED {
        const Vec n = number(broadcast(first(a, b, to, cols, highest(a, cols), Next(of, begin + 1))));
        second(a, b, to, cols, n[0]);
      });
      continue;
    }
    each([&](const float* a, const float*, float*, float& n) FASTCNN_INLINED { n = highest(a, cols); });
    each([&](const float* a, const float* b, float* to, float& n)
             FASTCNN_INLINED { n = first(a, b, to, cols, n, Next(of, begin + some + (&n - numbers))); });
    store(numbers, number(load(numbers)));
    each([&](const float* a, const float* b, float* to, float& n)
             FASTCNN_INLINED { second(a, b, to, cols, n); });
  }
}

// Of few columns: first(layout, a, b, count) makes n.
template <class First, class Second>
FASTCNN_INLINE void for_rows_abreast(const RowArrays& of, First first, Second second) {
  constexpr int kTimes = 4;
  const int64_t cols = of.cols;
  Vec a[kTimes][kAbreast], b[kTimes][kAbreast], numbers[kTimes] = {};
  for (int64_t begin = 0; begin < of.rows; begin += kTimes * kLanes) {
    const int64_t left = of.rows - begin, rows = left < kTimes * kLanes ? left : kTimes * kLanes;
    const auto each = [&](auto f) FASTCNN_INLINED {
      for_each_lanes(rows,
                     [&](int64_t r, int some) FASTCNN_INLINED { f(r / kLanes, (begin + r) * cols, some); });
    };
    each([&](int64_t i, int64_t at, int some) FASTCNN_INLINED {
      turn(of.a + at, some, (int)cols, a[i]);
      turn(of.b + at, some, (int)cols, b[i]);
    });
    each([&](int64_t i, int64_t, int)
             FASTCNN_INLINED { numbers[i] = first(Abreast{}, (float*)a[i], (float*)b[i], cols * kLanes); });
    each([&](int64_t i, int64_t at, int some) FASTCNN_INLINED {
      second((float*)a[i], (float*)b[i], (float*)a[i], cols * kLanes, numbers[i]);
      turn_back(a[i], some, (int)cols, of.to + at);
    });
  }
}

// 2^24 times the exponentials of a row less its greatest, and their sum. y: these, or with kLogs what they
// are of. While they are computed, the next rows' numbers come from far.
template <bool kLogs>
FASTCNN_INLINE float sum_of_powers(const float* x, float* y, int64_t count, float highest, const Next& next) {
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
  return lane_sum(sums);
}

// Rows of few columns stay in the order of memory: kLanes of them are a vector for each column, and only
// their sums are turned. exp(x) without the row's greatest taken off, times 2^75, keeps all digits as long as
// a row's sum lies between 2^24 and 2^126, that is, its greatest between some -35 and 32; it is taken off the
// other rows. (Turned, forth and back, rows of ten columns took 1.4 times as long, with AVX2 1.3.)
constexpr int kLineScale = 75;
FASTCNN_INLINE Vec scaled_exp(Vec x) {
  // Below, 0: the quotient is less than half of the least number. Above, infinity or NaN.
  const Vec clipped = max_or_second(broadcast(-140.0f), min_or_second(broadcast(36.7f), x));
  const Reduced e = reduced<127 + kLineScale>(clipped);
  return exp_reduced(e.r, power_of_two(e.biased));
}
FASTCNN_INLINE IVec in_bounds(Vec sum) { return (sum >= 0x1p24f) & (sum <= 0x1p126f); }

// f over the columns of kLanes rows, from `start`; up to 3 floats before them are read.
template <class F>
FASTCNN_INLINE Vec fold_rows(const float* x, int64_t cols, Vec start, F f) {
  const float* rows[kQuads];
  FASTCNN_UNROLL for (int k = 0; k < kQuads; ++k) rows[k] = opaque(x + 4 * k * cols);
  Vec folded[4] = {start, start, start, start};
  const auto take = [&](int64_t j, IVec counted) FASTCNN_INLINED {
    FASTCNN_UNROLL for (int i = 0; i < 4; ++i) {
      Quad quads[kQuads];
      FASTCNN_UNROLL for (int k = 0; k < kQuads; ++k) quads[k] = load_quad(rows[k] + j);
      folded[i] = f(counted ? join_quads(quads) : start, folded[i]);
      j = opaque(j + cols);  // else all 16 offsets are kept, in registers of vectors
    }
  };
  int64_t j = 0;
  for (; j + 4 <= cols; j += 4) take(j, ~IVec{});
  if (j < cols) take(cols - 4, iota() % 4 >= (int)(j + 4 - cols));
  const auto pairs = [&](Vec a, Vec b) FASTCNN_INLINED {
    return f(of_quads<0, 2, 0, 2>(a, b), of_quads<1, 3, 1, 3>(a, b));
  };
  return pairs(pairs(folded[0], folded[1]), pairs(folded[2], folded[3]));
}

// Some rows, at most kGroups * kLanes.
struct Lines {
  int64_t rows, cols;
  IVec row_of[kInLines];  // of the numbers in each vector of kLanes rows
  // f(block, j, kLanes rows' numbers in a vector -> those of the numbers at j)
  template <class F>
  FASTCNN_INLINED void for_each(F f) const {
    for_each_lanes(rows, [&](int64_t r, int some) FASTCNN_INLINED {
      for_each_vector(some * cols, [&](auto block, int64_t j) FASTCNN_INLINED {
        const IVec row = row_of[j / kLanes];
        f(block, r * cols + j, [&](const Vec* numbers) FASTCNN_INLINED {
          const Vec of_rows = numbers[r / kLanes];
          if constexpr (kLanes > 4) return pick(of_rows, of_rows, row);
          // Four numbers are of two rows at most. By pick(), lane by lane, all took 2.7 times as long.
          const float* of_row = (const float*)numbers + r;
          return row == row[0] ? broadcast(of_row[row[0]]) : broadcast(of_row[row[kLanes - 1]]);
        });
      });
    });
  }
};

// 2^75 exp(x), and the sums of the rows; whether all are in bounds. Up to 3 floats before `powers` are read.
__attribute__((noinline)) bool sum_lines(const Lines& lines, const float* x, const Next& next, float* powers,
                                         Vec* sums) {
  const int64_t count = lines.rows * lines.cols;
  for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED {
    __builtin_prefetch(next.a + j, 0, 2);
    own(next.to + j);
    store(powers + j, scaled_exp(block.get(x + j)));
  });
  int64_t end = (count + kLanes - 1) / kLanes * kLanes;
  IVec good = ~IVec{};
  for (int64_t r = 0; r < lines.rows; r += kLanes) {
    for (; end < (r + kLanes) * lines.cols; end += kLanes)
      store(powers + end, broadcast(0x1p75f));  // no rows
    sums[r / kLanes] = fold_rows(powers + r * lines.cols, lines.cols, Vec{},
                                 [](Vec v, Vec sum) FASTCNN_INLINED { return sum + v; });
    good &= in_bounds(sums[r / kLanes]);
  }
  return lane_sum(as_numbers(good)) == -kLanes;
}

// x, less the greatest of each row whose sum is out of bounds. Up to 3 floats before `to` are read.
__attribute__((noinline)) void shift(const Lines& lines, const float* x, const Vec* sums, float* to) {
  Vec shifts[kGroups];
  for_each_vector(lines.rows * lines.cols,
                  [&](auto block, int64_t j) FASTCNN_INLINED { store(to + j, block.get(x + j)); });
  for (int64_t r = 0; r < lines.rows; r += kLanes) {
    const Vec greatest = fold_rows(to + r * lines.cols, lines.cols, broadcast(-__builtin_inff()),
                                   [](Vec v, Vec best) FASTCNN_INLINED { return max_or_second(v, best); });
    shifts[r / kLanes] = in_bounds(sums[r / kLanes]) ? Vec{} : greatest;
  }
  lines.for_each([&](auto block, int64_t j, auto spread)
                     FASTCNN_INLINED { block.put(to + j, block.get(to + j) - spread(shifts)); });
}

template <bool kLogs>
FASTCNN_INLINE void rows_in_lines(const RowArrays& of) {
  const int64_t cols = of.cols;
  if (cols == 1)
    return map(of.a, of.to, of.rows, [](Vec x) FASTCNN_INLINED { return x - x + (kLogs ? 0.0f : 1.0f); });
  alignas(Vec) float memory[2 * (kLanes + kLineFloats)];
  float *powers = memory + kLanes, *shifted = powers + kLineFloats + kLanes;
  store(powers - kLanes, Vec{}), store(shifted - kLanes, Vec{});
  Lines lines;
  lines.cols = cols;
  const float share = 1.0f / (float)cols;
  for (int64_t v = 0; v < cols; ++v)
    lines.row_of[v] = __builtin_convertvector((as_numbers(iota() + (int)v * kLanes) + 0.5f) * share, IVec);
  const int64_t fit = kLineFloats / kLanes / cols, most = (fit < kGroups ? fit : kGroups) * kLanes;
  for (int64_t begin = 0; begin < of.rows; begin += most) {
    const int64_t left = of.rows - begin;
    lines.rows = left < most ? left : most;
    const float* x = of.a + begin * cols;
    float* y = of.to + begin * cols;
    const Next next(of, begin + most);
    Vec sums[kGroups], upper[kGroups], lower[kGroups];
    if (!sum_lines(lines, x, next, powers, sums)) {
      shift(lines, x, sums, shifted);
      x = shifted;
      sum_lines(lines, x, next, powers, sums);
    }
    for (int64_t i = 0; i * kLanes < lines.rows; ++i) {
      if constexpr (kLogs) {  // n log(2) in two parts, and the logarithm of what is left
        const IVec bits = vec_to_bits(sums[i]), exponent = (bits - 0x3f3504f3) >> 23;
        const Vec n = as_numbers(exponent - kLineScale), left = bits_to_vec(bits - (exponent << 23));
        const Vec zero = sums[i] - sums[i];  // or NaN
        upper[i] = n * kLog2Upper;
        lower[i] = fma(n, broadcast(kLog2Lower), log_reduced(zero, left - 1.0f));
      } else {
        lower[i] = 1.0f / sums[i];
      }
    }
    lines.for_each([&](auto block, int64_t j, auto spread) FASTCNN_INLINED {
      if constexpr (kLogs)
        block.put(y + j, min_or_second(Vec{}, block.get(x + j) - spread(upper) - spread(lower)));
      else
        block.put(y + j, load(powers + j) * spread(lower));
    });
  }
}

// Rows of more columns have their greatest taken off.
template <bool kLogs, class Number, class Second>
FASTCNN_INLINE void forward(const RowArrays& of, Number number, Second second) {
  if (in_lines(of.cols)) return rows_in_lines<kLogs>(of);
  for_rows_across(
      of, kTogether,
      [](const float* x, int64_t count) FASTCNN_INLINED { return greatest_of<Across>(x, count); },
      [](const float* x, const float*, float* y, int64_t count, float highest, const Next& next)
          FASTCNN_INLINED { return sum_of_powers<kLogs>(x, y, count, highest, next); },
      number,
      [&](const float*, const float*, float* y, int64_t count, float n)
          FASTCNN_INLINED { map(y, y, count, [&](Vec e) FASTCNN_INLINED { return second(e, n); }); });
}

void fwd(const float* x, float* y, int64_t rows, int64_t cols) {
  forward<false>(
      {x, nullptr, y, rows, cols}, [](Vec sum) FASTCNN_INLINED { return 1.0f / sum; },
      [](Vec e, float share) FASTCNN_INLINED { return e * share; });
}

void log_fwd(const float* x, float* y, int64_t rows, int64_t cols) {
  forward<true>(
      {x, nullptr, y, rows, cols}, [](Vec sum) FASTCNN_INLINED { return log(sum * kNegativeScale); },
      [](Vec shifted, float log_sum) FASTCNN_INLINED { return shifted - log_sum; });
}

template <class First, class Second>
FASTCNN_INLINE void backward(const RowArrays& of, First first, Second second) {
  if (of.cols <= kInLanes) return for_rows_abreast(of, first, second);
  for_rows_across(
      of, 0, [](const float*, int64_t) FASTCNN_INLINED { return 0.0f; },
      [&](const float* dy, const float* y, float*, int64_t count, float, const Next&)
          FASTCNN_INLINED { return first(Across{}, dy, y, count); },
      [](Vec sum) FASTCNN_INLINED { return sum; },
      [&](const float* dy, const float* y, float* dx, int64_t count, float sum)
          FASTCNN_INLINED { second(dy, y, dx, count, sum); });
}

void bwd(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols) {
  backward(
      {dy, y, dx, rows, cols},
      [](auto layout, const float* dy, const float* y, int64_t count) FASTCNN_INLINED {
        Vec sums = {};
        for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED {
          sums = fma(block.get(dy + j), block.get(y + j), sums);
        });
        return layout.sum(sums);
      },
      [](const float* dy, const float* y, float* dx, int64_t count, auto sum) FASTCNN_INLINED {
        map(dy, y, dx, count, [&](Vec dy, Vec y) FASTCNN_INLINED { return y * (dy - sum); });
      });
}

void log_bwd(const float* dy, const float* y, float* dx, int64_t rows, int64_t cols) {
  backward(
      {dy, y, dx, rows, cols},
      [](auto layout, const float* dy, const float*, int64_t count) FASTCNN_INLINED {
        Vec sums = {};
        for_each_vector(count, [&](auto block, int64_t j) FASTCNN_INLINED { sums += block.get(dy + j); });
        return layout.sum(sums);
      },
      [](const float* dy, const float* y, float* dx, int64_t count, auto sum) FASTCNN_INLINED {
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
