// SPDX-License-Identifier: Apache-2.0
// Where the greatest of each window of max pooling stands: the first of equal ones in row-major order, and a
// NaN is greater than every number. A place is a distance in floats. Included by max_pool_bwd.cpp, which adds
// there what the windows have, and max_pixels.h.
#pragma once
#include "greatest.h"
#include "max_pool_bwd.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int64_t kMostCols = 256;  // of windows whose columns are joined first

// Row by row of windows of an image: all taps at once, or first down the columns, in whole rows of pixels,
// and then along what they leave, between places where nothing is, so that R + S taps are compared and not R
// S. What is gathered comes along rows first, once for all windows that hold them. Windows that stand apart
// are taken one by one, or, of few channels, with all that begins between them, and then put side by side.
// Those of few channels along rows first, put side by side before and each row searched once, took 1.3 times
// as long for 7 x 7 windows with AVX-512, and 1.3 to 1.6 times for 3 x 3: each row is copied and stored
// three times more before rows are joined.
struct Places {
  const Geometry& g;
  const float *image, *base, *written;
  bool gathers, at_once, merged;
  int64_t pitch;                // of lines
  float *line, *line_places;    // of a part of a line of pixels, or some of them with what windows reach over
  float *apart, *apart_places;  // of the same the pixels at each distance from where windows begin
  Apart windows_apart;
  Ring rows, rows_places;  // [Q,C] for each row of pixels that a window reaches over
  int64_t next, checked, no_numbers;

  FASTCNN_ALONE Places(const Geometry& geometry, const MaxPlaces& a, float* scratch)
      : g(geometry), gathers(a.gathers), windows_apart(g.s.c, g.s.stride_w * g.s.c) {
    const Pool2dShape& s = g.s;
    const int64_t front = s.pad_left * s.c;
    merged = s.stride_w > 1 && s.stride_w * s.c <= kLanes;
    at_once = !gathers && finds_at_once();
    // Rows of pixels are put where vectors are aligned, and windows begin alike in all of them.
    int64_t unit = kLanes;
    while (merged && unit % (s.stride_w * s.c)) unit += kLanes;
    pitch = larger(s.pad_left + s.w, (s.q - 1) * s.stride_w + g.cols.extent()) * s.c + unit - 1;
    pitch -= pitch % unit;
    line = scratch + (-front & (kLanes - 1)), line_places = line + a.line;
    apart = scratch + 2 * a.line, apart_places = apart + a.line;
    rows = {scratch + a.front, a.line, a.rows, 0};
    rows_places = {rows.first + a.rows * a.line, a.line, a.rows, 0};
  }

  // Instructions on vectors, times their lanes: of a tap three, where rows have been joined four, of each
  // vector that is put side by side eight. Fitted to the times of 3 x 3 windows of 1 to 24 channels.
  bool finds_at_once() const {
    const Pool2dShape& s = g.s;
    if (s.adaptive || s.s > kMostCols) return true;
    const int64_t width = s.w * s.c, put = merged ? 8 * kLanes * s.q / windows_apart.most : 0;
    const int64_t windows = s.q * (merged || s.stride_w == 1 ? s.c : (s.c + kLanes - 1) / kLanes * kLanes);
    const int64_t all_taps = 3 * (s.r * s.s - 1) * (merged ? width : windows) + put;
    return all_taps < 3 * (s.r - 1) * width + 4 * s.s * windows + 2 * s.stride_w * put;
  }

  // An image, from where places count, and what is written of as many rows; it may be null.
  void begin(const float* x, const float* from, const float* to) {
    image = x, base = from, written = to;
    next = checked = 0, no_numbers = -1, rows.base = rows_places.base = 0;
  }

  // How many rows of windows from p to `end` are taken at once: of short ones more than one, so that what a
  // row costs before its vectors is shared.
  int64_t group(int64_t p, int64_t end) const {
    const Span inner = g.rows.inner();
    if (p < inner.begin || p >= inner.end) return 1;
    const int64_t most = at_once ? kPlacesLine / (g.s.q * g.s.stride_w * g.s.c) : kPlacesLine / 2 / pitch;
    return smaller(smaller(end, inner.end) - p, larger(most, 1));
  }

  // Of `count` rows of windows whose taps are in as many rows of pixels as told, the first of which is x.
  FASTCNN_ALONE void find(const float* x, int64_t tap_rows, int64_t count, bool numbers, float* values,
                          float* at) {
    const Pool2dShape& s = g.s;
    const int64_t step = s.stride_w * s.c, x_step = s.stride_h * s.w * s.c, row = s.q * s.c;
    for (int64_t q = 0; q < s.q;) {
      float *const to = values ? values + q * s.c : nullptr, *const to_at = at + q * s.c;
      const bool inner = q == g.inner.begin && q < g.inner.end;
      const Span cols = g.cols.taps(q);
      const Taps taps = {tap_rows, g.cols.count(cols), g.row_step, g.col_step};
      const int64_t windows = inner ? g.inner.end - q : 1;
      const float* tap = x + cols.begin * s.c;
      const auto f = !numbers                           ? find_greatest<false>
                     : taps.rows == 2 && taps.cols == 2 ? find_greatest<true, 2, 2>
                     : taps.rows == 3 && taps.cols == 3 ? find_greatest<true, 3, 3>
                                                        : find_greatest<true>;
      if (!inner || s.stride_w == 1) {
        f(taps, {tap, tap - base, count, x_step, windows * s.c, to, to_at, row});
      } else if (!merged) {
        for (int64_t i = 0; i < count * row; i += row, tap += x_step)
          f(taps, {tap, tap - base, windows, step, s.c, to ? to + i : nullptr, to_at + i, s.c});
      } else {
        const int64_t most = (kPlacesLine - s.c) / step + 1;
        for (int64_t w = 0; w < windows; w += most, tap += most * step) {
          const int64_t some = smaller(most, windows - w), length = (some - 1) * step + s.c;
          f(taps, {tap, tap - base, count, x_step, length, to ? line : nullptr, line_places, length});
          for (int64_t i = 0; i < count; ++i) {
            const int64_t from = i * length, put = i * row + w * s.c;
            windows_apart.put(line_places + from, some, to_at + put);
            if (to) windows_apart.put(line + from, some, to + put);
          }
        }
      }
      q += windows;
    }
  }

  // Of a group of rows of windows, [Q,C] each, the first of them p; they come in their order. values may be
  // null. Of what is gathered `at` are the rows where the maxima stand.
  FASTCNN_ALONE void find_rows(int64_t p, int64_t count, float* values, float* at) {
    const Pool2dShape& s = g.s;
    const int64_t width = s.w * s.c;
    const Span taps = g.rows.taps(p);
    const int64_t last = g.rows.taps(p + count - 1).end;
    const int64_t first =
        larger(g.rows.reach(p).begin, 0);  // with dilation the next one's taps may begin before
    checked = larger(checked, first);
    if (checked < last) {
      const int64_t length = (last - checked) * width;
      if (!are_numbers(image + checked * width, length)) no_numbers = last - 1;
      checked = last;
    }
    const bool numbers = no_numbers < taps.begin;
    if (at_once) return find(image + taps.begin * width, g.rows.count(taps), count, numbers, values, at);
    if (!gathers) return find_in_lines(taps, count, numbers, values, at);
    for (next = larger(next, first); next < taps.end; ++next)
      find(image + next * width, 1, 1, no_numbers < next, rows[next], rows_places[next]);
    Lines lines = lines_of(rows, taps, g.rows.dilation);
    lines.number = (int32_t)taps.begin, lines.pitch = (int32_t)g.rows.dilation;
    (numbers ? join_lines<true, kOfLine> : join_lines<false, kOfLine>)(lines, s.q * s.c, values, at);
  }

  // Down the columns, and along.
  FASTCNN_ALONE void find_in_lines(Span taps, int64_t count, bool numbers, float* values, float* at) {
    const Pool2dShape& s = g.s;
    const int64_t width = s.w * s.c, front = s.pad_left * s.c, row = s.q * s.c, step = s.stride_w * s.c;
    const int64_t back = (s.q - 1) * step + g.cols.extent() * s.c - front - width;
    const float* const x = image + taps.begin * width;
    const auto join = numbers ? join_lines<true, kOfNumber> : join_lines<false, kOfNumber>;
    Lines lines = {x, image + s.h * width, g.rows.count(taps),  g.row_step, 0,
                   0, (int32_t)(x - base), (int32_t)g.row_step, {}};
    const int64_t rows = smaller(s.stride_h, taps.end - taps.begin);
    const int64_t from = (taps.end - rows + count * s.stride_h) * width;
    lines.ahead = {image + from, written ? written + from : nullptr, rows, width};
    for (int64_t i = 0; i < count; ++i) {
      float *const to = line + i * pitch, *const to_at = line_places + i * pitch;
      fill(to, to_at, front);
      join(lines, width, to + front, to_at + front);
      fill(to + front + width, to_at + front + width, back);
      lines.first += s.stride_h * width, lines.number += (int32_t)(s.stride_h * width);
      lines.ahead.read += s.stride_h * width;
      if (written) lines.ahead.write += s.stride_h * width;
    }
    const auto f = !numbers ? find_in_line<false> : s.s == 3 ? find_in_line<true, 3> : find_in_line<true>;
    const int64_t length = count * pitch / step * s.c, stride = merged ? s.stride_w : 1;
    int64_t tap[kMostCols];
    for (int64_t t = 0, phase = 0, pixel = 0; t < s.s; ++t, phase += g.cols.dilation) {
      for (; phase >= stride; phase -= stride) pixel += s.c;
      tap[t] = phase * length + pixel;
    }
    if (merged) {
      for (int64_t i = 0; i < s.stride_w; ++i) {
        windows_apart.put(line + i * s.c, length / s.c, apart + i * length);
        windows_apart.put(line_places + i * s.c, length / s.c, apart_places + i * length);
      }
      return f({apart, apart_places, s.s, tap, count, pitch / s.stride_w, row, values, at, row});
    }
    const bool whole = s.stride_w == 1;
    for (int64_t i = 0; i < count; ++i)
      f({line + i * pitch, line_places + i * pitch, s.s, tap, whole ? 1 : s.q, step, whole ? row : s.c,
         values ? values + i * row : nullptr, at + i * row, s.c});
  }

  // What no window finds.
  static void fill(float* to, float* to_at, int64_t count) {
    for (int64_t i = 0; i < count; i += kLanes) {
      store(to + i, broadcast(-__builtin_inff()));
      store(to_at + i, bits_to_vec(IVec{} + INT32_MAX));
    }
  }
};

// What is written next: from where, and how many floats.
struct Next {
  const float* from;
  int64_t floats;
};
// to[at[i]] += v[i]; returns what is left to fetch.
FASTCNN_ALONE Next add_at(const float* __restrict at, const float* __restrict v, int64_t count, float* to,
                          Next ahead = {}) {
  int32_t place[4];
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    if (ahead.floats > 0) {
      __builtin_prefetch(ahead.from, 1, 3);
      ahead.from += kLineFloats, ahead.floats -= kLineFloats;
    }
    memcpy(place, at + i, sizeof place);
    FASTCNN_UNROLL
    for (int j = 0; j < 4; ++j) to[place[j]] += v[i + j];
  }
  for (; i < count; ++i) {
    memcpy(place, at + i, sizeof *place);
    to[*place] += v[i];
  }
  return ahead;
}
// Where that is within: those are picked out first, since no processor foresees which they are.
FASTCNN_ALONE void add_within(const float* at, const float* v, int64_t count, float* to, Span within) {
  constexpr int64_t kMost = 256;
  float places[kMost], values[kMost];
  const auto first = (uint32_t)within.begin, size = (uint32_t)(within.end - within.begin);
  for (int64_t begin = 0; begin < count; begin += kMost) {
    const int64_t end = smaller(begin + kMost, count);
    int64_t kept = 0;
    for (int64_t i = begin; i < end; ++i) {
      uint32_t place;
      memcpy(&place, at + i, sizeof place);
      memcpy(places + kept, at + i, sizeof place);
      values[kept] = v[i];
      kept += place - first < size;
    }
    add_at(places, values, kept, to);
  }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
