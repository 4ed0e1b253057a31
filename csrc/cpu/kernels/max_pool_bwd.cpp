// SPDX-License-Identifier: Apache-2.0
// dx[n,h,w,c] = sum of dy over the windows whose first greatest tap the pixel is, found again in x, which
// costs less than storing it, or known (max_pixels.h). Called by cpu/pool2d.cpp, pool3d.cpp and
// max_pool_with_index.cpp, which split the work.
#include "max_pool_bwd.h"

#include "ahead.h"
#include "give_threes.h"
#include "max_pixels.h"
#include "pool2d_lines.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

void mask_by(const float* x, float* dx, int64_t count) {
  map(x, dx, dx, count, [](Vec x, Vec v) FASTCNN_INLINED { return x <= Vec{} ? Vec{} : v; });
}

// What windows have is added one by one. Taken by the pixels, in whole vectors, where channels are few or
// windows stand apart it took 1.1 to 2 times as long.
void scatter(const MaxPoolBwd& args, const Pool2dBand& piece) {
  const MaxPoolBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.places.shape);
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, row = s.q * s.c;
  const Span over = g.rows.over(band.h_begin, band.h_end);
  const int64_t above = over.begin < over.end ? g.rows.taps(over.begin).begin : 0;
  Places places(g, a.places, band.scratch);
  float* const at = band.scratch + (4 + 2 * a.places.rows) * a.places.line;
  const Span within = {(band.h_begin - above) * width, (band.h_end - above) * width};
  for (int64_t n = band.n; n < band.n + band.images; ++n) {
    const float* const x = a.x + n * s.h * width;
    float *const dx = a.dx + n * s.h * width, *const to = dx + above * width;
    places.begin(x, x + above * width, dx, over.end);
    int64_t cleared = band.h_begin;
    const auto clear = [&](int64_t end) {
      end = smaller(end, band.h_end);
      set_zero(dx + cleared * width, (end - cleared) * width);
      cleared = larger(cleared, end);
    };
    for (int64_t p = over.begin, count; p < over.end; p += count) {
      count = places.group(p, over.end);
      const Span taps = {g.rows.taps(p).begin, g.rows.taps(p + count - 1).end};
      clear(taps.end);
      const float* dy = a.dy + (n * s.p + p) * row;
      places.find_rows(p, count, nullptr, at);
      if (taps.begin >= band.h_begin && taps.end <= band.h_end)
        add_at(at, dy, count * row, to);
      else
        add_within(at, dy, count * row, to, within);
    }
    clear(band.h_end);
    const int64_t begin = band.h_begin * width;
    if (a.relu_mask) mask_by(x + begin, dx + begin, (band.h_end - band.h_begin) * width);
  }
}

// Windows of 3 x 3, one by one. False if there is a NaN, which is seen in the sum of all but the first row.
// Taps outside the image are the nearest ones in it again, and then never the first. Of more channels than a
// vector some windows are taken at a time, so that memory is walked nearly in its order: in whole rows 64
// channels of large images took 1.1 times as long, and written past the caches two times. Each tap compared
// with the greatest, as of windows side by side, took 1.2 to 1.3 times as long: what columns share is lost.
// Vectors that are lines go past the caches where dx is larger than they are, which of 16x112x112x64 took
// 0.78 times as long; narrower ones would leave half a line behind.
FASTCNN_ALONE bool give_row(const Given& given) {
  constexpr int64_t kSome = 8;
  const Given g = given;
  const int64_t vectors = (g.c + kLanes - 1) / kLanes, most = vectors == 1 ? g.windows : kSome;
  const int64_t lines = lines_each(2 * g.w * g.c, vectors * g.windows);
  const float *next = g.next, *next_to = g.next_to;
  const Vec least = broadcast(g.relu_mask ? 0.0f : __builtin_nanf(""));
  Vec all = {};
  const auto give = [&](auto block, int64_t first, int64_t c, float* between) FASTCNN_INLINED {
    const auto pixel = [&](int64_t w) FASTCNN_INLINED { return smaller(larger(w, 0), g.w - 1) * g.c + c; };
    // The greatest of a column, and the number of its tap, which falls from 9 to 1 in row-major order.
    const auto column = [&](int64_t at, int number, Vec(&best)[1], IVec(&found)[1]) FASTCNN_INLINED {
      const Vec second = block.get(g.x[1] + at), third = block.get(g.x[2] + at);
      best[0] = block.get(g.x[0] + at), found[0] = IVec{} + number;
      take_greater<true>(best, found, 0, second, IVec{} + (number - 3));
      take_greater<true>(best, found, 0, third, IVec{} + (number - 6));
      all += second + third;
    };
    const auto put_in = [&](int r, int64_t at, Vec v) FASTCNN_INLINED {
      if (g.past[r])
        stream(g.to[r] + at, v);
      else
        block.put(g.to[r] + at, v);
    };
    const auto put = [&](int64_t at, Vec upper, Vec middle, Vec lower) FASTCNN_INLINED {
      put_in(0, at, upper), put_in(1, at, middle), put_in(2, at, lower);
    };
    // Of the column that a window shares with the one before it.
    Vec left[1], sum[3] = {};
    IVec left_at[1];
    int64_t w = 2 * first - g.left;
    if (first == 0) {
      column(c, 9 - (int)g.left, left, left_at);
      sum[0] = block.get(g.held + c);
    } else {
      left[0] = load(between), left_at[0] = vec_to_bits(load(between + kLanes));
      FASTCNN_UNROLL
      for (int r = 0; r < 3; ++r) sum[r] = load(between + (2 + r) * kLanes);
    }
    const int64_t end = smaller(first + most, g.windows);
    for (int64_t q = first; q < end; ++q, w += 2) {
      for (int64_t i = 0; i < lines; ++i, next += kLineFloats, next_to += kLineFloats) {
        __builtin_prefetch(next, 0, 2);
        if (!g.past[1]) __builtin_prefetch(next_to, 1, 2);
      }
      const int64_t at = pixel(w + 1), at_right = pixel(w + 2);
      Vec middle[1], right[1];
      IVec middle_at[1], right_at[1];
      column(at, 8, middle, middle_at);
      column(at_right, 7, right, right_at);
      const Vec best = max_or_second(max_or_second(left[0], middle[0]), right[0]);
      const auto if_best = [&](Vec value, IVec place) FASTCNN_INLINED { return (value == best) & place; };
      const auto greater = [](IVec a, IVec b) FASTCNN_INLINED { return a > b ? a : b; };
      const IVec found = greater(greater(if_best(left[0], left_at[0]), if_best(middle[0], middle_at[0])),
                                 if_best(right[0], right_at[0]));
      // Plus zero, as the first of a sum: -0 is not given on.
      const Vec dy = best <= least ? Vec{} : block.get(g.dy + q * g.c + c) + Vec{};
      const auto of = [&](int number) FASTCNN_INLINED { return found == number ? dy : Vec{}; };
      if (w >= 0) put(w * g.c + c, sum[0] + of(9), sum[1] + of(6), sum[2] + of(3));
      if (w + 1 < g.w) put(at, block.get(g.held + at) + of(8), of(5), of(2));
      sum[0] = block.get(g.held + at_right) + of(7), sum[1] = of(4), sum[2] = of(1);
      left[0] = right[0], left_at[0] = right_at[0] + 2;
    }
    if (end < g.windows) {
      store(between, left[0]), store(between + kLanes, bits_to_vec(left_at[0]));
      FASTCNN_UNROLL
      for (int r = 0; r < 3; ++r) store(between + (2 + r) * kLanes, sum[r]);
      return;
    }
    for (; w < g.w; ++w, sum[0] = sum[1] = sum[2] = Vec{}) put(w * g.c + c, sum[0], sum[1], sum[2]);
  };
  for (int64_t first = 0; first < g.windows; first += most) {
    if constexpr (kLanes > kLeastGiven)
      if (g.c < kLanes) {
        give(Part{(int)g.c}, first, 0, g.between);
        continue;
      }
    for (int64_t i = 0; i < g.c; i += kLanes)
      give(Whole<1>{}, first, smaller(i, g.c - kLanes), g.between + 5 * i);
  }
  return lane_sum(all) == lane_sum(all);
}

// Windows of 3 x 3 and few channels at each second pixel give in vectors of several. A band with a NaN is
// done again by scatter().
void give_side_by_side(const MaxPoolBwd& a, const Pool2dBand& band, const Geometry& g) {
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, row = s.q * s.c;
  SideBySide side = {};
  side.plan(s.c, s.w + s.pad_left);
  const Span over = g.rows.over(band.h_begin, band.h_end);
  const bool any = over.begin < over.end;
  const int64_t top = over.begin * 2 - s.pad_top, bottom = over.end * 2 - s.pad_top;
  for (int64_t n = band.n; n < band.n + band.images; ++n) {
    const float *const x = a.x + n * s.h * width, *const dy = a.dy + n * s.p * row;
    float* const dx = a.dx + n * s.h * width;
    // By windows whose first row of pixels is h.
    const auto give_row = [&](int64_t h, const float* of_windows, bool searches) {
      const int64_t next = larger(smaller(h + 3, s.h - 2), 0) * width;
      Threes given = {{},  of_windows, band.scratch,     {},       searches, s.q, s.w,
                      s.c, s.pad_left, a.relu_mask != 0, x + next, dx + next};
      for (int64_t r = 0; r < 2; ++r) {
        const int64_t to = h + r, from = h + 1 + r;
        const bool searched = from >= 0 && from < s.h && (of_windows || r > 0);
        given.x[r] = searched ? x + from * width : nullptr;
        given.to[r] = to >= band.h_begin && to < band.h_end ? dx + to * width : nullptr;
      }
      return give_threes(given, side);
    };
    bool numbers = true;
    if (any && top < 0)
      clear_held(band.scratch, side.chunks);
    else if (any)
      numbers = give_row(top - 2, nullptr, true);
    int64_t written = band.h_begin;
    for (int64_t p = over.begin; numbers && p < over.end; ++p) {
      numbers = give_row(p * 2 - s.pad_top, dy + p * row, true);
      written = larger(written, smaller((p + 1) * 2 - s.pad_top, band.h_end));
    }
    if (any && numbers && written == bottom && written < band.h_end) {
      give_row(bottom, nullptr, false);
      ++written;
    }
    if (numbers)
      set_zero(dx + written * width, (band.h_end - written) * width);
    else
      scatter(a, {n, band.h_begin, band.h_end, band.scratch});
  }
}

// Windows at each second pixel give in vectors of channels, of 3 x 3 or, side by side, 2 x 2: the greatest of
// a column serves both windows that hold it, and each pixel is written once, as what a row of windows has for
// the next one's first row is held back. A band with a NaN is done again by the kernel above.
void give(const MaxPoolBwd& args, const Pool2dBand& piece) {
  const MaxPoolBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.places.shape);
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, row = s.q * s.c;
  const bool side_by_side = kLanes > 4 && s.c <= kLanes / 2;
  if constexpr (kLanes > 8)
    if (side_by_side && s.r == 3) return give_side_by_side(a, band, g);
  SideBySide side = {};
  if (side_by_side) side.plan(s.c, s.w);
  const int64_t pitch = a.places.line;
  const bool streams = kLineFloats == kLanes && Output(a.dx, a.stream, s.c).streams;
  float *held = band.scratch, *next_held = held + pitch;
  float *const nowhere = next_held + pitch, *const between = nowhere + a.places.line;
  const Span over = g.rows.over(band.h_begin, band.h_end);
  for (int64_t n = band.n; n < band.n + band.images; ++n) {
    const float *const x = a.x + n * s.h * width, *const dy = a.dy + n * s.p * row;
    float* const dx = a.dx + n * s.h * width;
    set_zero(held, width);
    bool numbers = side_by_side || over.begin >= over.end ||
                   are_numbers(x + g.rows.taps(over.begin).begin * width, width);
    int64_t written = band.h_begin;
    for (int64_t p = over.begin; numbers && p < over.end; ++p) {
      Given given = {{},         dy + p * row,     held, {},      -1, s.q, s.w, s.c,
                     s.pad_left, a.relu_mask != 0, {},   between, x,  dx};
      const int64_t top = p * 2 - s.pad_top;
      int64_t before = -1;
      for (int64_t r = 0; r < s.r; ++r) {
        const int64_t h = smaller(larger(top + r, 0), s.h - 1);
        const bool again = h == before, shared = h == top + 2 && p + 1 < over.end;
        given.x[r] = x + h * width;
        given.to[r] = again || h < band.h_begin || h >= band.h_end ? nowhere
                      : shared                                     ? next_held
                                                                   : dx + h * width;
        if (given.to[r] == next_held) given.held_row = r;
        given.past[r] = streams && given.to[r] != next_held && given.to[r] != nowhere;
        before = h;
      }
      written = larger(written, smaller(before + 1, band.h_end));
      const int64_t next = larger(smaller(before + 1, s.h - 2), 0) * width;
      given.next += next, given.next_to += next;
      if (!side_by_side) numbers = give_row(given);
      if constexpr (kLanes > 4)
        if (side_by_side) numbers = give_twos(given, side);
      float* const used = held;
      held = next_held, next_held = used;
    }
    if (streams) end_stream();
    if (numbers)
      set_zero(dx + written * width, (band.h_end - written) * width);
    else
      scatter(args, {n, band.h_begin, band.h_end, band.scratch});
  }
}

// to[i] = sum of dy of the rows of windows that have chosen row h, the lines; those of dy are `step` apart.
FASTCNN_ALONE void take_rows(const Lines& given, int32_t h, const float* dy, int64_t step, int64_t length,
                             float* to) {
  const Lines lines = given;
  const IVec wanted = IVec{} + h;
  for_each_block<4>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    const float *chosen = lines.first + i, *const end = lines.end + i, *from = dy + i;
    Vec sum[kVectors] = {};
    for (int64_t t = 0; t < lines.count; ++t) {
      for (int v = 0; v < kVectors; ++v) {
        const IVec same = vec_to_bits(block.get(chosen + v * kLanes)) == wanted;
        sum[v] += same ? block.get(from + v * kLanes) : Vec{};
      }
      chosen += lines.step, from += step;
      if (chosen >= end) chosen -= lines.size;
    }
    for (int v = 0; v < kVectors; ++v) block.put(to + i + v * kLanes, sum[v]);
  });
}

// to[i] = sum of the values of `count` windows, each `step` after the other, that have chosen place + i.
struct Columns {
  const float *places, *values;
  int64_t count, step, place;
};
FASTCNN_ALONE void take_columns(const Columns& given, int64_t length, const float* mask, Output output,
                                float* to) {
  const Columns cols = given;
  for_each_block<4>(length, [&](auto block, int64_t i) FASTCNN_INLINED {
    constexpr int kVectors = block.kVectors;
    Vec sum[kVectors] = {};
    for (int64_t t = 0; t < cols.count; ++t) {
      const float *places = cols.places + t * cols.step + i, *values = cols.values + t * cols.step + i;
      for (int v = 0; v < kVectors; ++v) {
        const IVec wanted = iota() + (int32_t)(cols.place + i + v * kLanes);
        const IVec same = vec_to_bits(block.get(places + v * kLanes)) == wanted;
        sum[v] += same ? block.get(values + v * kLanes) : Vec{};
      }
    }
    for (int v = 0; v < kVectors; ++v, i += kLanes)
      output.put(block, to + i, mask ? (block.get(mask + i) <= Vec{} ? Vec{} : sum[v]) : sum[v]);
  });
}

// Windows at each pixel: a row of pixels takes from the rows of windows what has its maximum there, and a
// pixel from the windows before it, in whole vectors. Added one by one, as above, it took 1.1 to 1.4 times as
// long.
void gather(const MaxPoolBwd& args, const Pool2dBand& piece) {
  const MaxPoolBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g = geometry_of(*a.places.shape);
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, row = s.q * s.c, left = s.pad_left * s.c;
  const float *const x = a.x + band.n * s.h * width, *const dy = a.dy + band.n * s.p * row;
  float *const dx = a.dx + band.n * s.h * width, *const spread = band.scratch;
  const int64_t first = g.rows.taps(g.rows.over(band.h_begin, band.h_end).begin).begin;
  Ring chosen{spread + a.places.line, row + kRest, a.places.rows, 0};
  Places places(g, a.places, chosen.first + chosen.count * chosen.line);
  places.begin(x, x + first * width, nullptr, 0);
  set_zero(spread, a.places.line);
  const Output output(a.dx, a.stream, width);
  const auto enter = [&](int64_t p) {
    places.find_rows(p, 1, nullptr, chosen[p]);
    return true;
  };
  const auto put = [&](int64_t h, Span ps) {
    // What the next rows take from memory: without it 3 x 3 ones took 1.2 to 1.5 times as long.
    for (int64_t i = 0; i < width; i += kLineFloats) {
      __builtin_prefetch(x + places.next * width + i, 0, 2);
      __builtin_prefetch(dx + (h + 1) * width + i, 1, 2);
    }
    for (int64_t i = 0; i < row; i += kLineFloats) __builtin_prefetch(dy + ps.end * row + i, 0, 2);
    const int64_t dilation = g.rows.dilation;
    ps.begin += (h + s.pad_top - ps.begin) % dilation;
    take_rows(lines_of(chosen, ps, dilation), (int32_t)h, dy + ps.begin * row, dilation * row, row,
              spread + a.places.front);
    const float* const here = places.rows_places[h] - a.places.front + left;
    const Columns columns = {here, spread + left, s.s, g.col_step, (h - first) * width};
    take_columns(columns, width, a.relu_mask ? x + h * width : nullptr, output, dx + h * width);
  };
  walk_rows(g, band, enter, put);
  output.end();
}

// The greatest of the planes' greatest, and dy is added there. A plane is searched once for all boxes that
// reach into it.
void depth(const MaxDepthBwd& args, const Pool2dBand& piece) {
  const MaxDepthBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g = geometry_of(*a.shape), of_planes = geometry_of(*a.places.shape);
  const int64_t count = g.s.c, plane = of_planes.s.h * of_planes.s.w * of_planes.s.c;
  const int64_t volume = band.n * g.s.h * plane, row = of_planes.s.q * of_planes.s.c;
  const Span over = g.rows.over(band.h_begin, band.h_end);
  Ring values{band.scratch, count + kRest, a.planes, 0};
  Ring places{values.first + a.planes * values.line, values.line, a.planes, 0};
  Places finder(of_planes, a.places, places.first + a.planes * places.line);
  float* const dx = a.dx + volume;
  float at[kPlacesLine];
  int64_t next = 0, cleared = band.h_begin;
  bool numbers = true;
  for (int64_t o = over.begin; o < over.end; ++o) {
    const Span taps = g.rows.taps(o);
    for (next = larger(next, g.rows.reach(o).begin); next < taps.end; ++next) {
      const float* const x = a.x + volume + next * plane;
      finder.begin(x, x, nullptr, of_planes.s.p);
      for (int64_t p = 0, some; p < of_planes.s.p; p += some) {
        some = finder.group(p, of_planes.s.p);
        finder.find_rows(p, some, values[next] + p * row, places[next] + p * row);
      }
      numbers &= finder.no_numbers < 0;
    }
    const int64_t end = smaller(taps.end, band.h_end);
    set_zero(dx + cleared * plane, (end - cleared) * plane);
    cleared = larger(cleared, end);
    const bool whole = taps.begin >= band.h_begin && taps.end <= band.h_end;
    const Span within = {(band.h_begin - taps.begin) * plane, (band.h_end - taps.begin) * plane};
    const float* const dy = a.dy + (band.n * g.s.p + o) * count;
    Lines lines = lines_of(values, taps, g.rows.dilation);
    lines.distance = places[taps.begin] - lines.first, lines.pitch = (int32_t)(g.rows.dilation * plane);
    for (int64_t i = 0; i < count; i += kPlacesLine) {
      const int64_t some = smaller(kPlacesLine, count - i);
      (numbers ? join_lines<true, kAtDistance> : join_lines<false, kAtDistance>)(lines, some, nullptr, at);
      lines.first += some, lines.end += some;
      if (whole)
        add_at(at, dy + i, some, dx + taps.begin * plane);
      else
        add_within(at, dy + i, some, dx + taps.begin * plane, within);
    }
  }
  set_zero(dx + cleared * plane, (band.h_end - cleared) * plane);
  const int64_t begin = band.h_begin * plane;
  if (a.relu_mask) mask_by(a.x + volume + begin, dx + begin, (band.h_end - band.h_begin) * plane);
}

}  // namespace

extern const MaxPoolBwdKernels max_pool_bwd_kernels;
const MaxPoolBwdKernels max_pool_bwd_kernels = {scatter, give, gather, depth, add_pixels, find};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
