// SPDX-License-Identifier: Apache-2.0
// Where the greatest of each window of max pooling stands: the first of equal ones in row-major order, and a
// NaN is greater than every number. A place is a distance in floats. Included by max_pool_bwd.cpp, which adds
// there what the windows have, and max_pixels.h.
#pragma once
#include "greatest.h"
#include "max_pool_bwd.h"
#include "window_rows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int64_t kMostCols = 256;  // of windows whose columns are joined first

// Row by row of windows of an image: all taps at once, or first down the columns, in whole rows of pixels,
// and then along what they leave, between places where nothing is, so that R + S taps are compared and not R
// S. What is gathered comes along rows first, once for all windows that hold them. Windows that stand apart
// are taken one by one. Of few channels the greatest of as many pixels as lie from one to the next, and of
// what is left of a window, are put side by side: each such pixel for itself took 1.2 to 1.5 times as long at
// each third one. Of 4 and more columns at each pixel pairs joined first, and pairs of those, won nothing
// below 7, there 0.93 of the time. Rows that have a NaN are searched tap by tap.
// Those of few channels along rows first, put side by side before and each row searched once, took 1.3 times
// as long for 7 x 7 windows with AVX-512, and 1.3 to 1.6 times for 3 x 3: each row is copied and stored
// three times more before rows are joined. Unless registers hold all that (window_rows.h).
struct Places {
  const Geometry& g;
  const float *image, *base, *written;
  bool gathers, at_once, merged;
  int64_t pitch;                // of lines
  float *line, *line_places;    // of a part of a line of pixels, or some of them with what windows reach over
  float *apart, *apart_places;  // of the same the pixels at each distance from where windows begin
  Apart windows_apart;
  WindowRows window_rows;
  Ring rows, rows_places;  // [Q,C] for each row of pixels that a window reaches over; or what is found once
  int64_t next, checked, no_numbers;
  int64_t last_window, in_lines;  // one past the last; the first of the group whose columns are joined
  bool of_numbers;                // these have no NaN
  bool shares;                    // rows are searched or joined once
  bool blocks = false;            // of stride_w pixels are joined as they are put apart
  int64_t most_rows, apart_row, apart_distance, taps = 0, tap[kMostCols];

  FASTCNN_ALONE Places(const Geometry& geometry, const MaxPlaces& a, float* scratch)
      : g(geometry), gathers(a.gathers), windows_apart(g.s.c, g.s.stride_w * g.s.c) {
    const Pool2dShape& s = g.s;
    const int64_t front = s.pad_left * s.c;
    merged = s.stride_w > 1 && s.stride_w * s.c <= kLanes;
    shares = !gathers && a.rows > 0;
    at_once = !gathers && (in_registers() || finds_at_once());
    // Rows of pixels are put where vectors are aligned, and windows begin alike in all of them.
    int64_t unit = kLanes;
    while (merged && unit % (s.stride_w * s.c)) unit += kLanes;
    pitch = larger(s.pad_left + s.w, (s.q - 1) * s.stride_w + g.cols.extent()) * s.c + unit - 1;
    pitch -= pitch % unit;
    line = scratch + (-front & (kLanes - 1)), line_places = line + a.line;
    apart = scratch + 2 * a.line, apart_places = apart + a.line;
    rows = {scratch + (gathers ? a.front : 4 * a.line), a.line, a.rows, 0};
    rows_places = {rows.first + a.rows * a.line, a.line, a.rows, 0};
    if (in_registers()) {
      window_rows.plan(s);
      rows = {rows.first, window_rows.floats(), a.rows / 2, 0};
    }
    most_rows = smaller(larger(kPlacesLine / 2 / pitch, 1), s.p);
    if (gathers || at_once) return;
    apart_row = pitch / s.stride_w;
    const int64_t width = s.w * s.c, back = ((s.q - 1) * s.stride_w + g.cols.extent()) * s.c - front - width;
    for (int64_t i = 0; i < most_rows; ++i) {
      float *const to = line + i * pitch, *const to_at = line_places + i * pitch;
      fill(to, to_at, front);
      fill(to + front + width, to_at + front + width, back);
    }
    blocks = merged && g.cols.dilation == 1;
    apart_distance = most_rows * apart_row + (blocks ? kLanes : 0);
    // The taps of a window: blocks and what is left of one, or pixels.
    const int64_t stride = merged ? s.stride_w : 1, whole = blocks ? s.s / stride : s.s;
    for (int64_t phase = 0, pixel = 0; taps < whole; ++taps, phase += blocks ? stride : g.cols.dilation) {
      for (; phase >= stride; phase -= stride) pixel += s.c;
      tap[taps] = phase * apart_distance + pixel;
    }
    if (blocks && s.s % stride) tap[taps++] = whole * s.c + apart_distance;
  }

  bool in_registers() const { return kLanes > 8 && shares; }
  bool joins_once() const { return kLanes == 8 && shares && !at_once; }

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
  void begin(const float* x, const float* from, const float* to, int64_t end) {
    image = x, base = from, written = to, last_window = end, in_lines = -1;
    next = checked = 0, no_numbers = -1, rows.base = rows_places.base = 0;
  }

  // How many rows of windows from p to `end` are taken at once: of short ones more than one, so that what a
  // row costs before its vectors is shared.
  FASTCNN_ALONE int64_t group(int64_t p, int64_t end) const {
    const bool alone = at_once && !in_registers();
    // Lines are joined of as many rows as each has; with dilation the next one's taps may end before.
    const Span inner = alone || g.rows.dilation > 1 ? g.rows.inner() : Span{0, g.s.p};
    if (p < inner.begin || p >= inner.end) return 1;
    const int64_t most = alone ? kPlacesLine / (g.s.q * g.s.stride_w * g.s.c) : most_rows;
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
          f(taps, {tap, tap - base, count, x_step, length, to ? apart : nullptr, apart_places, length});
          for (int64_t i = 0; i < count; ++i) {
            const int64_t from = i * length, put = i * row + w * s.c;
            windows_apart.put(apart_places + from, some, to_at + put);
            if (to) windows_apart.put(apart + from, some, to + put);
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
    if (joins_once()) return find_in_lines(p, count, values, at);
    if (in_registers()) return find_in_registers(p, count, values, at);
    checked = larger(checked, first);
    if (checked < last) {
      const int64_t length = (last - checked) * width;
      if (!are_numbers(image + checked * width, length)) no_numbers = last - 1;
      checked = last;
    }
    const bool numbers = no_numbers < taps.begin;
    if (at_once) return find(image + taps.begin * width, g.rows.count(taps), count, numbers, values, at);
    if (!gathers) return find_in_lines(p, count, values, at);
    for (next = larger(next, first); next < taps.end; ++next)
      find(image + next * width, 1, 1, no_numbers < next, rows[next], rows_places[next]);
    Lines lines = lines_of(rows, taps, g.rows.dilation);
    lines.number = (int32_t)taps.begin, lines.pitch = (int32_t)g.rows.dilation;
    (numbers ? join_lines<true, kOfLine> : join_lines<false, kOfLine>)(lines, s.q * s.c, values, at);
  }

  // Two rows of pixels at a time are searched, once for all windows that hold them.
  FASTCNN_ALONE void find_in_registers(int64_t p, int64_t count, float* values, float* at) {
    const Pool2dShape& s = g.s;
    const int64_t width = s.w * s.c, row = s.q * s.c;
    const auto search = s.s == 7 ? &WindowRows::search<3> : &WindowRows::search<0>;
    next = larger(next, p);
    for (const int64_t end = p + count; p < end; ++p, at += row, values = values ? values + row : nullptr) {
      const int64_t last_pair = p + rows.count - 1;
      bool is_joined = false;
      WindowRows::Joined joined = {{}, 0, s.r % 2 == 0, values, at};
      const auto join_up_to = [&](int64_t end) {
        for (int64_t i = p; i < end; ++i) {
          const int64_t above = g.rows.reach(i).begin;
          if (above + 1 >= 0 && above < s.h) joined.rows[joined.count++] = rows[i];
        }
      };
      for (; next <= last_pair; ++next) {
        const int64_t above = g.rows.reach(next).begin;
        const int64_t first = larger(above, 0), last = smaller(above + 2, s.h);
        if (first >= last) continue;
        const float* const x = image + first * width;
        const float* const to = written ? written + first * width : nullptr;
        is_joined = next == last_pair;
        if (is_joined) join_up_to(next);
        const WindowRows::Joined none = {};
        if (!(window_rows.*search)(x, last - first, (int32_t)(x - base), to, rows[next],
                                   is_joined ? joined : none))
          no_numbers = last - 1;
      }
      const Span taps = g.rows.taps(p);
      if (no_numbers >= taps.begin) {
        find(image + taps.begin * width, g.rows.count(taps), 1, false, values, at);
      } else if (!is_joined) {
        join_up_to(last_pair + 1);
        window_rows.join(joined);
      }
    }
  }

  // Those that are joined once, up to `last`; the first rows of each are those of a row of windows.
  FASTCNN_ALONE void join_next(int64_t last) {
    const int64_t width = g.s.w * g.s.c;
    for (; next <= last; ++next) {
      const int64_t above = g.rows.reach(next).begin;
      const int64_t begin = larger(above, 0), end = smaller(above + g.s.stride_h, g.s.h);
      if (begin >= end) continue;
      float *const to = rows[next], *const to_at = rows_places[next];
      const float* const x = image + begin * width;
      const Lines lines = {x, nullptr, end - begin, width, 0, 0, (int32_t)(x - base), (int32_t)width, {}};
      if (!join_lines<true, kOfRow>(lines, width, to, to_at)) no_numbers = end - 1;
    }
  }

  // Down the columns of a group of rows of windows.
  FASTCNN_ALONE void join_columns(int64_t p, int64_t count) {
    const Pool2dShape& s = g.s;
    const int64_t width = s.w * s.c, front = s.pad_left * s.c, size = rows.count * rows.line;
    in_lines = p;
    if (!joins_once()) {
      of_numbers = no_numbers < g.rows.taps(p).begin;
      if (!of_numbers) return;
      const Span inner = g.rows.inner();
      const int64_t below = g.rows.taps(p + count - 1).end, step = s.stride_h * width;
      Lines lines = {};
      lines.step = g.row_step, lines.pitch = (int32_t)g.row_step;
      lines.ahead = {image + below * width, written ? written + below * width : nullptr, 0, width};
      for (int64_t i = 0; i < count; ++i) {
        if (i > 0 && p + i > inner.begin && p + i < inner.end) {
          lines.first += step, lines.number += (int32_t)step;
        } else {
          const Span taps = g.rows.taps(p + i);
          lines.first = image + taps.begin * width, lines.number = (int32_t)(lines.first - base);
          lines.count = g.rows.count(taps);
          lines.ahead.rows = smaller(s.stride_h, taps.end - taps.begin);
        }
        join_lines<true, kOfNumber>(lines, width, line + i * pitch + front, line_places + i * pitch + front);
        lines.ahead.read += step;
        if (written) lines.ahead.write += step;
      }
      return;
    }
    of_numbers = true, next = larger(next, p);
    for (int64_t i = 0; i < count; ++i) {
      Span taps = g.rows.taps(p + i);
      const int64_t below = taps.end, ahead = (below + (count - 1) * s.stride_h) * width;
      int64_t first = p + i, last = first + s.r / s.stride_h - 1;
      join_next(p + i + rows.count - 1);
      while (g.rows.reach(first).begin + s.stride_h <= 0) ++first;
      while (g.rows.reach(last).begin >= s.h) --last;
      const Lines joined = {rows[first],
                            rows.first + size,
                            last + 1 - first,
                            rows.line,
                            size,
                            rows_places.first - rows.first,
                            0,
                            0,
                            {}};
      const int64_t read = ahead + (rows.count * s.stride_h - s.r) * width;
      of_numbers &= no_numbers < taps.begin;
      const bool once = joined.count > 0 && of_numbers;
      if (once) taps.begin = larger(taps.begin, g.rows.reach(p + i).begin + s.r / s.stride_h * s.stride_h);
      const float* const x = image + taps.begin * width;
      const Lines lines = {
          x,
          nullptr,
          taps.begin < taps.end ? g.rows.count(taps) : 0,
          g.row_step,
          0,
          0,
          (int32_t)(x - base),
          (int32_t)g.row_step,
          {image + read, written ? written + ahead : nullptr, smaller(s.stride_h, s.r), width}};
      float *const to = line + i * pitch + front, *const to_at = line_places + i * pitch + front;
      if (once)
        join_rows(joined, lines, width, to, to_at);
      else
        join_lines<true, kOfNumber>(lines, width, to, to_at);
    }
  }

  // And along. Where rows are joined once, the columns of the next group are joined before what has been put
  // apart is searched, so that neither is read while it is still on its way to the cache.
  FASTCNN_ALONE void find_in_lines(int64_t p, int64_t count, float* values, float* at) {
    const Pool2dShape& s = g.s;
    const int64_t row = s.q * s.c, step = s.stride_w * s.c;
    if (in_lines != p) join_columns(p, count);
    if (!of_numbers) {
      for (int64_t i = 0; i < count; ++i, at += row, values = values ? values + row : nullptr) {
        const Span taps = g.rows.taps(p + i);
        find(image + taps.begin * s.w * s.c, g.rows.count(taps), 1, false, values, at);
      }
      return;
    }
    const auto f = taps == 3 ? find_in_line<3> : find_in_line<>;
    if (merged) {
      const int64_t length = count * apart_row;
      if (blocks)
        windows_apart.join({line, line_places, length, apart, apart_places, apart_distance},
                           s.s % s.stride_w);
      for (int64_t i = 0; !blocks && i < s.stride_w; ++i) {
        windows_apart.put(line + i * s.c, length / s.c, apart + i * apart_distance);
        windows_apart.put(line_places + i * s.c, length / s.c, apart_places + i * apart_distance);
      }
      p += count;
      if (joins_once() && p < last_window) join_columns(p, group(p, last_window));
      return f({apart, apart_places, taps, tap, count, apart_row, row, values, at, row});
    }
    const bool whole = s.stride_w == 1;
    for (int64_t i = 0; i < count; ++i)
      f({line + i * pitch, line_places + i * pitch, taps, tap, whole ? 1 : s.q, step, whole ? row : s.c,
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
