// SPDX-License-Identifier: Apache-2.0
// y[n,p,q,c] = max or sum or mean of x[n,h,w,c] over the taps of window (p,q) that lie in the image
// (windows.h says where they are). Of equal maxima the first in row-major order counts, and a NaN is greater
// than every number; the backward pass finds the place again, which costs less than storing it. Called by
// cpu/pool2d.cpp, which splits the work.
#include "pool2d.h"

#include "best.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// What windows join: the floats of x themselves.
struct Floats {
  static constexpr bool kAdaptive = true;
  static constexpr bool kEndsLast = false;  // what finish() does costs more than another pass over y
  FASTCNN_INLINED Vec term(Vec x) const { return x; }
  // Channels that are taken on lines at any rate, where they fill no vectors.
  static FASTCNN_INLINED int64_t few(const Pool2dShape& s) { return s.r * s.s > 4 ? 8 * kLanes : 2 * kLanes; }
};
struct Max : Floats {
  FASTCNN_INLINED Vec join(Vec best, Vec v) const { return ((v > best) | (v != v)) ? v : best; }
  FASTCNN_INLINED Vec finish(Vec best, const Mean&) const { return best; }
};
// One instruction, and right unless a NaN comes by. Where channels fill vectors, looking for NaNs took more
// registers than there are and a third longer than Max.
struct MaxOfNumbers : Floats {
  static constexpr float kNothing = -__builtin_inff();
  static constexpr int kTap = 5, kLineTap = 4, kPass = 0;  // instructions: those of Max for a tap, its own
  FASTCNN_INLINED Vec join(Vec best, Vec v) const { return best > v ? best : v; }
  FASTCNN_INLINED Vec finish(Vec best, const Mean&) const { return best; }
  FASTCNN_INLINED void see(IVec* numbers, Vec v) const { *numbers &= v == v; }
};
struct Sum : Floats {
  static constexpr float kNothing = 0;
  static constexpr int kTap = 2, kLineTap = 2, kPass = 3;
  FASTCNN_INLINED Vec join(Vec sum, Vec v) const { return sum + v; }
  FASTCNN_INLINED Vec finish(Vec sum, const Mean& mean) const { return mean(sum); }
  FASTCNN_INLINED void see(IVec*, Vec) const {}
};
struct SumOfAbs : Sum {
  static constexpr int kTap = 3, kPass = 0;
  FASTCNN_INLINED Vec term(Vec x) const { return abs(x); }
  FASTCNN_INLINED Vec finish(Vec sum, const Mean&) const { return sum; }
};
struct RootOfSquares : SumOfAbs {
  FASTCNN_INLINED Vec term(Vec x) const { return x * x; }
  FASTCNN_INLINED Vec finish(Vec sum, const Mean&) const { return sqrt(sum); }
};
// Either of them, in one piece of code: x times what `kept` bits of it and `set` ones make, the sign or x.
struct Norm : SumOfAbs {
  static constexpr bool kAdaptive = false;
  static constexpr bool kEndsLast = true;
  static constexpr int kLineTap = 5;
  bool squares;
  int32_t kept, set;
  explicit Norm(bool two) : squares(two), kept(two ? -1 : INT32_MIN), set(two ? 0 : 0x3f800000) {}
  FASTCNN_INLINED Vec term(Vec x) const { return x * bits_to_vec((vec_to_bits(x) & kept) | set); }
  FASTCNN_INLINED Vec finish(Vec sum, const Mean&) const { return squares ? sqrt(sum) : sum; }
  // Of 6 to 14 channels 2 x 2 windows at every second pixel took 0.6 to 0.85 times as long by themselves, at
  // each pixel 4 channels 0.75 times; 3 x 3 windows of 12 channels 0.85 times.
  static FASTCNN_INLINED int64_t few(const Pool2dShape& s) {
    return s.r * s.s > 4 ? kLanes / 2 : s.stride_w > 1 ? 4 : 0;
  }
};

constexpr int64_t kFetchedFloats = 4 << 20;  // of an input larger than the caches

FASTCNN_INLINE bool all_of(IVec lanes) {
  int32_t all = -1;
  for (int i = 0; i < kLanes; ++i) all &= lanes[i];
  return all;
}

// Windows of 3 x 3 at each second row fetch from memory meanwhile what those below them read anew: 16 to 32
// images of 35 x 35 to 112 x 112 pixels took 0.53 to 0.88 of the time. Rows that are all new a processor
// foresees: of 2 x 2 windows nothing was won. (Of windows of all sizes it is 22 KB of code.) Where a row of
// taps begins is opaque to GCC 12, which kept the distance of each tap from the first on the stack and read
// it again for every vector: averages of 3 x 3 took 1.15 times as long.
template <class Op>
FASTCNN_INLINE void reduce_row(Op op, const Pool2dFwd& a, const Geometry& g, int64_t row) {
  const int64_t fetches = g.s.stride_h == 2 && g.s.n * g.s.h * g.s.w * g.s.c >= kFetchedFloats;
  const auto reduce = [&](auto size, const Window& window) FASTCNN_INLINED {
    const Mean mean(a.average ? window.divisor : 1);
    constexpr bool kKnown = size.kKnown, kThree = size.kRows == 3;
    for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      const float* x = a.x + window.pixel + c;
      Vec result[kVectors];
      for (int v = 0; v < kVectors; ++v) result[v] = op.term(block.get(x + v * kLanes));
      if constexpr (kThree && kVectors == 2)
        if (opaque(fetches))
          for (int r = 3; r < 5; ++r)
            for (int64_t i = 0; i < g.s.stride_w * g.s.c; i += g.s.c)
              for (int v = 0; v < 2; ++v) __builtin_prefetch(x + r * g.row_step + i + v * kLanes, 0, 2);
      size.for_each_tap([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
        if (position == 0) return;
        const float* row = x + r * g.row_step;
        if constexpr (kKnown) row = opaque(row);
        const float* pixel = row + col * g.col_step;
        for (int v = 0; v < kVectors; ++v)
          result[v] = op.join(result[v], op.term(block.get(pixel + v * kLanes)));
      });
      float* y = a.y + window.output + c;
      for (int v = 0; v < kVectors; ++v) block.put(y + v * kLanes, op.finish(result[v], mean));
    });
  };
  for_each_window_of_row(g, row, g.s.stride_w == 1, a.x, reduce);
}

// Channels that fill no vectors: the rows of a row of windows are joined into a line of pixels, in whole
// vectors and with padding, then with itself at the distances of the columns, and each window taken from
// where it begins. Window by window one channel took 2.5 to 6 times as long, 3 x 3 windows of 9 to 33 1.5 to
// 3 times; 2 x 2 ones of 33 0.6 times. Written past the caches, averages of 32x56x56x64 at each pixel were no
// faster.
constexpr int64_t kLine = 4096;     // floats: half of a first-level cache
constexpr int64_t kGroup = 1024;    // floats of rows that are taken together
constexpr int64_t kFewWindows = 4;  // fewer on a line share too few of its columns

// Whether channels that fill vectors go by lines: by the instructions for a vector of y. Of 16 to 256
// channels maxima of 3 x 3 at each pixel took 0.4 to 0.9 times as long as by themselves, of 5 x 5 0.15 to
// 0.6 times.
template <class Op>
FASTCNN_INLINE bool wide_on_lines(const Pool2dShape& s) {
  const int64_t taps = s.r * s.s, walk = s.stride_w == 1 ? 0 : 24 * kLanes / s.c;
  const int64_t windows = taps * Op::kTap + walk, copy = s.stride_w == 1 ? 0 : 2;
  const int64_t lines = s.stride_w * (s.r * Op::kLineTap + 2 * s.s + 2) + copy + Op::kPass;
  return taps > 4 && 4 * windows > 5 * lines;
}

// How many windows a line holds; 0: take them one by one.
template <class Op>
FASTCNN_INLINE int64_t windows_on_line(const Geometry& g) {
  const Pool2dShape& s = g.s;
  if (Op::kAdaptive && s.adaptive) return s.c < kLanes && s.w * s.c <= kLine ? s.q : 0;
  if ((s.c % kLanes == 0 || s.c > Op::few(s)) && !wide_on_lines<Op>(s)) return 0;
  const int64_t room = kLine / s.c - g.cols.extent(), count = room < 0 ? 0 : room / s.stride_w + 1;
  return count < kFewWindows && count < s.q ? 0 : smaller(count, s.q);
}

FASTCNN_INLINE void fill(float* p, int64_t count, float value) {
  for (int64_t i = 0; i < count; i += kLanes) store(p + i, broadcast(value));
}

// The greatest or the sum of `rows` rows of a line; clears lanes of `numbers` where there is a NaN that a
// maximum would lose.
template <class Op>
FASTCNN_INLINE void join_rows(Op op, const float* x, int64_t rows, int64_t step, float* line, int64_t count,
                              IVec* numbers) {
  for_each_block<2>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec result[kVectors];
    IVec seen = *numbers;
    for (int v = 0; v < kVectors; ++v) {
      result[v] = op.term(block.get(x + i + v * kLanes));
      op.see(&seen, result[v]);
    }
    for (int64_t r = 1; r < rows; ++r)
      for (int v = 0; v < kVectors; ++v) {
        const Vec tap = op.term(block.get(x + r * step + i + v * kLanes));
        op.see(&seen, tap);
        result[v] = op.join(result[v], tap);
      }
    for (int v = 0; v < kVectors; ++v) store(line + i + v * kLanes, result[v]);
    *numbers = seen;
  });
}

// line[i] joined with what stands `step` floats after it, and so on, `count` times in all, for the first
// `length` floats; put(block, i, joined).
template <class Op, class Put>
FASTCNN_INLINE void join_columns(Op op, const float* line, int64_t count, int64_t step, int64_t length,
                                 Put put) {
  for_each_block<2>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec result[kVectors];
    for (int v = 0; v < kVectors; ++v) result[v] = load(line + i + v * kLanes);
    const float* from = line + i;
    for (int64_t t = 1; t < count; ++t) {
      from += step;
      for (int v = 0; v < kVectors; ++v) result[v] = op.join(result[v], load(from + v * kLanes));
    }
    for (int v = 0; v < kVectors; ++v) put(block, i + v * kLanes, result[v]);
  });
}

// Of each two groups of kCount lanes of a and then b the first.
template <int kCount>
FASTCNN_INLINE Vec first_groups(Vec a, Vec b) {
#define FASTCNN_FROM(i) (i) / kCount * 2 * kCount + (i) % kCount
#define FASTCNN_FOUR(i) FASTCNN_FROM(i), FASTCNN_FROM(i + 1), FASTCNN_FROM(i + 2), FASTCNN_FROM(i + 3)
  if constexpr (kLanes == 16)
    return __builtin_shufflevector(a, b, FASTCNN_FOUR(0), FASTCNN_FOUR(4), FASTCNN_FOUR(8), FASTCNN_FOUR(12));
  else if constexpr (kLanes == 8)
    return __builtin_shufflevector(a, b, FASTCNN_FOUR(0), FASTCNN_FOUR(4));
  else
    return __builtin_shufflevector(a, b, FASTCNN_FOUR(0));
#undef FASTCNN_FOUR
#undef FASTCNN_FROM
}

// join_columns() of windows at every second pixel, side by side in y.
template <class Op, class Put>
FASTCNN_INLINE void join_halved(Op op, int64_t c, const float* line, int64_t count, int64_t step,
                                int64_t length, Put put) {
  const auto join = [&](auto first) FASTCNN_INLINED {
    for_each_vector(length, [&](auto block, int64_t i) FASTCNN_INLINED {
      const float* from = line + 2 * i;
      Vec result = first(load(from), load(from + kLanes));
      for (int64_t t = 1; t < count; ++t) {
        from += step;
        result = op.join(result, first(load(from), load(from + kLanes)));
      }
      put(block, i, result);
    });
  };
  if (c == 1) return join([](Vec a, Vec b) FASTCNN_INLINED { return first_groups<1>(a, b); });
  if (c == 2) return join([](Vec a, Vec b) FASTCNN_INLINED { return first_groups<2>(a, b); });
  return join([](Vec a, Vec b) FASTCNN_INLINED { return first_groups<4>(a, b); });
}

// How rows of windows are taken on lines: `windows` of a row at a time, or `rows` rows of all of them, each
// stage for all of those, as what was just stored cannot be read again at another place before it has reached
// the cache. windows = 0: not on lines.
struct Lines {
  int64_t windows, rows, pitch;
  bool halved, direct;  // how windows come side by side: at every second pixel of few channels, or at each
};
template <class Op>
FASTCNN_INLINE Lines lines_of(const Geometry& g) {
  const Pool2dShape& s = g.s;
  const int64_t windows = windows_on_line<Op>(g);
  const int64_t pixels = s.adaptive ? s.w : (s.q - 1) * s.stride_w + g.cols.extent();
  const int64_t pitch = (pixels * s.c / kLanes + 2) * kLanes;  // and what whole vectors write after it
  const bool halved = kLanes >= 8 && s.stride_w == 2 && (s.c == 1 || s.c == 2 || s.c == 4);
  return {windows, windows < s.q ? 1 : larger(kGroup / pitch, 1), pitch, halved, halved || s.stride_w == 1};
}

// False where there is a NaN that a maximum would lose.
template <class Op>
FASTCNN_INLINE bool reduce_lines(Op op, const Pool2dFwd& a, const Geometry& g, Span rows,
                                 const Lines& lines) {
  const Pool2dShape& s = g.s;
  alignas(sizeof(Vec)) float memory[kLine + 4 * kLanes];
  int64_t divisors[kGroup / (2 * kLanes) + 1];  // by what averages of a row divide, but for its columns
  IVec numbers = IVec{} - 1;
  const auto each = [&](auto f) FASTCNN_INLINED {
    float *line = memory, *y = a.y + rows.begin * s.q * s.c;
    for (int64_t i = 0; i < rows.end - rows.begin; ++i, line += lines.pitch, y += s.q * s.c)
      f(line, y, divisors[i]);
  };
  // put(line, x, count) for what each row of windows has of x: the first pixel, of how many rows.
  const auto fill_lines = [&](auto put) FASTCNN_INLINED {
    int64_t n = rows.begin / s.p, p = rows.begin - n * s.p;
    each([&](float* line, float*, int64_t& divisor) FASTCNN_INLINED {
      const Span taps = g.rows.taps(p);
      const int64_t count = g.rows.count(taps);
      divisor = g.rows.divisor(p, count);
      put(line, a.x + (n * s.h + taps.begin) * s.w * s.c, count);
      if (++p == s.p) ++n, p = 0;
    });
  };
  if (Op::kAdaptive && s.adaptive) {
    fill_lines([&](float* line, const float* x, int64_t count)
                   FASTCNN_INLINED { join_rows(op, x, count, g.row_step, line, s.w * s.c, &numbers); });
    if (!all_of(numbers)) return false;
    const Part part{(int)s.c};
    each([&](float* line, float* y, int64_t divisor) FASTCNN_INLINED {
      for (int64_t q = 0; q < s.q; ++q) {
        const Span cols = g.cols.taps(q);
        Vec result = load(line + cols.begin * s.c);
        for (int64_t w = cols.begin + 1; w < cols.end; ++w) result = op.join(result, load(line + w * s.c));
        const Vec of_window = op.finish(result, Mean(a.average ? divisor * (cols.end - cols.begin) : 1));
        if ((s.q - q) * s.c >= kLanes)
          store(y + q * s.c, of_window);  // reaches into those that follow
        else
          part.put(y + q * s.c, of_window);
      }
    });
    return true;
  }
  const bool direct = lines.direct;
  for (int64_t q = 0; q < s.q; q += lines.windows) {
    const Span windows = {q, smaller(q + lines.windows, s.q)};
    const int64_t many = windows.end - q, first = q * s.stride_w - s.pad_left;
    const int64_t end = first + (many - 1) * s.stride_w + g.cols.extent();
    const bool inside = q >= g.inner.begin && windows.end <= g.inner.end;  // have the same sizes
    const Span in = {larger(first, 0), smaller(end, s.w)};
    const int64_t before = (in.begin - first) * s.c, length = (in.end - in.begin) * s.c;
    fill_lines([&](float* line, const float* x, int64_t count) FASTCNN_INLINED {
      fill(line, before, op.kNothing);
      join_rows(op, x + in.begin * s.c, count, g.row_step, line + before, length, &numbers);
      fill(line + before + length, (end - in.end) * s.c, op.kNothing);
    });
    if (!all_of(numbers)) return false;
    each([&](float* line, float* y, int64_t divisor) FASTCNN_INLINED {
      const Mean mean(a.average && (direct || inside) ? divisor * s.s : 1);
      float* const to = direct ? y + q * s.c : line;
      const auto put = [&](auto block, int64_t i, Vec v) FASTCNN_INLINED {
        block.put(to + i, direct || !op.kEndsLast ? op.finish(v, mean) : v);
      };
      if (lines.halved)
        join_halved(op, s.c, line, s.s, g.col_step, many * s.c, put);
      else
        join_columns(op, line, s.s, g.col_step, ((many - 1) * s.stride_w + 1) * s.c, put);
    });
    if (direct && (inside || !a.average)) continue;
    each([&](float* line, float* y, int64_t divisor) FASTCNN_INLINED {
      y += q * s.c;
      if (!direct) {
        copy_windows({line, s.stride_w * s.c, y, s.c, s.c}, many, (s.q - q) * s.c);
        if (a.average && !inside) divide_windows(g, divisor, windows, y, y);
        return;
      }
      // Averages over the border divide by less.
      for (int64_t i = q; i < windows.end; ++i) {
        if (i == g.inner.begin && i < g.inner.end) i = g.inner.end;
        if (i >= windows.end) break;
        const Mean mean(divisor * g.cols.divisor(i, g.cols.count(g.cols.taps(i))));
        const float* const from = line + (i - q) * s.stride_w * s.c;
        for_each_vector(s.c, [&](auto block, int64_t c) FASTCNN_INLINED {
          Vec sum = load(from + c);
          for (int64_t t = 1; t < s.s; ++t) sum = op.join(sum, load(from + t * g.col_step + c));
          block.put(y + (i - q) * s.c + c, op.finish(sum, mean));
        });
      }
    });
  }
  return true;
}

// alone(g, row) takes a row by its windows.
template <class OnLines, class Alone>
FASTCNN_INLINE Lines reduce_rows(OnLines on_lines, const Pool2dFwd& a, int64_t begin, int64_t end,
                                 Alone alone) {
  const Geometry g(*a.shape);
  const Lines lines = lines_of<OnLines>(g);
  int64_t seen = begin;  // rows before it are taken alone, as one of them holds a NaN
  for (int64_t row = begin; row < end;) {
    const int64_t count = row < seen ? 1 : smaller(larger(lines.rows, 1), end - row);
    if (lines.windows && reduce_lines(on_lines, a, g, {row, row + count}, lines)) {
      row += count;
    } else if (count > 1) {
      seen = row + count;
    } else {
      alone(g, row++);
    }
  }
  return lines;
}

// The entry points copy their arguments: a store may alias the caller's struct, and then every size and
// pointer is read again after each vector (2.4 times as slow for a 7x7 maximum backward).
void max_fwd(const Pool2dFwd& args, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  reduce_rows(MaxOfNumbers{}, a, begin, end,
              [&](const Geometry& g, int64_t row) FASTCNN_INLINED { reduce_row(Max{}, a, g, row); });
}

void sum_fwd(const Pool2dFwd& args, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  reduce_rows(Sum{}, a, begin, end,
              [&](const Geometry& g, int64_t row) FASTCNN_INLINED { reduce_row(Sum{}, a, g, row); });
}

void norm_fwd(const Pool2dFwd& args, bool squares, int64_t begin, int64_t end) {
  const Pool2dFwd a = {args.shape, args.x, args.y, 0};
  const Lines lines =
      reduce_rows(Norm(squares), a, begin, end, [&](const Geometry& g, int64_t row) FASTCNN_INLINED {
        if (squares)
          reduce_row(RootOfSquares{}, a, g, row);
        else
          reduce_row(SumOfAbs{}, a, g, row);
      });
  if (squares && lines.windows && !lines.direct) {
    const int64_t row = a.shape->q * a.shape->c;
    float* const y = a.y + begin * row;
    map(y, y, (end - begin) * row, [](Vec sum) FASTCNN_INLINED { return sqrt(sum); });
  }
}

void max_with_index(const Pool2dFwd& args, int32_t* index, int64_t begin, int64_t end) {
  const Pool2dFwd a = args;
  const Geometry g(*a.shape);
  const int row_step = (int)(g.rows.dilation * g.s.w), col_step = (int)g.cols.dilation;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t image = row / g.s.p * g.s.h * g.s.w;
    for_each_window_of_row(g, row, false, nullptr, [&](auto size, const Window& window) FASTCNN_INLINED {
      const int first = (int)(window.pixel / g.s.c - image);
      for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
        const auto best = find_best(g, size, block, a.x + window.pixel + c, [&](int64_t r, int64_t col, int) {
          return (int)r * row_step + (int)col * col_step;
        });
        for (int v = 0; v < block.kVectors; ++v) {
          const int64_t at = window.output + c + v * kLanes;
          block.put(a.y + at, best.value[v]);
          block.put((float*)index + at, bits_to_vec(best.label[v] + first));
        }
      });
    });
  }
}

}  // namespace

extern const Pool2dKernels pool2d_kernels;
const Pool2dKernels pool2d_kernels = {max_fwd, sum_fwd, norm_fwd, max_with_index};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
