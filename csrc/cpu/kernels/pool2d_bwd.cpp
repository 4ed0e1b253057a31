// SPDX-License-Identifier: Apache-2.0
// dx of the pools of pool2d.cpp: of sums and means dx[n,h,w,c] = sum of dy over the windows that hold the
// pixel, over their sizes; of maxima over those whose first greatest tap it is, found again in x, which costs
// less than storing it. Called by cpu/pool2d.cpp, which splits the work.
#include "pool2d_bwd.h"

#include "best.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

FASTCNN_INLINE void set_zero(float* p, int64_t count) {
  if (count > 0) memset(p, 0, (size_t)count * sizeof *p);
}

// Zeros below and to the right of the windows of row p, up to the next windows or to the border.
void zero_gaps(const Geometry& g, int64_t p, float* image) {
  const Pool2dShape& s = g.s;
  const Span rows = g.rows.taps(p);
  const int64_t next_row = p + 1 < s.p ? g.rows.taps(p + 1).begin : s.h;
  set_zero(image + rows.end * s.w * s.c, (next_row - rows.end) * s.w * s.c);
  if (s.stride_w == s.s && g.cols.taps(s.q - 1).end == s.w) return;
  for (int64_t q = 0; q < s.q; ++q) {
    const int64_t gap = g.cols.taps(q).end, next = q + 1 < s.q ? g.cols.taps(q + 1).begin : s.w;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      set_zero(image + (h * s.w + gap) * s.c, (next - gap) * s.c);
  }
}

// f(size, window) writes the pixels of a window.
template <class F>
FASTCNN_INLINE void write_windows(const Geometry& g, float* dx, Span range, F f) {
  for (int64_t row = range.begin; row < range.end; ++row) {
    for_each_window_of_row(g, row, g.s.stride_w == 1, f);
    zero_gaps(g, row % g.s.p, dx + row / g.s.p * g.s.h * g.s.w * g.s.c);
  }
}

void max_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Geometry g(*a.shape);
  const Output output(a.dx, a.stream, g.s.c);
  write_windows(g, a.dx, {begin, end}, [&](auto size, const Window& window) FASTCNN_INLINED {
    for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      const auto best = find_best(g, size, block, a.x + window.pixel + c, position_label);
      Vec dy[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        dy[v] = block.get(a.dy + window.output + c + v * kLanes);
        if (a.relu_mask) dy[v] = best.value[v] <= Vec{} ? Vec{} : dy[v];
      }
      size.for_each_tap([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
        float* pixel = a.dx + window.pixel + r * g.row_step + col * g.col_step + c;
        for (int v = 0; v < kVectors; ++v)
          output.put(block, pixel + v * kLanes, best.label[v] == position ? dy[v] : Vec{});
      });
    });
  });
  output.end();
}

void sum_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Geometry g(*a.shape);
  const Output output(a.dx, a.stream, g.s.c);
  write_windows(g, a.dx, {begin, end}, [&](auto size, const Window& window) FASTCNN_INLINED {
    const Mean mean(a.average ? window.divisor : 1);
    for_each_block<4>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec dy[kVectors];
      for (int v = 0; v < kVectors; ++v) dy[v] = mean(block.get(a.dy + window.output + c + v * kLanes));
      size.for_each_tap([&](int64_t r, int64_t col, int) FASTCNN_INLINED {
        for (int v = 0; v < kVectors; ++v) {
          const int64_t at = window.pixel + r * g.row_step + col * g.col_step + c + v * kLanes;
          output.put(block, a.dx + at, a.relu_mask ? (block.get(a.x + at) <= Vec{} ? Vec{} : dy[v]) : dy[v]);
        }
      });
    });
  });
  output.end();
}

// What a vector of labels has left in memory.
FASTCNN_INLINE int read_int(const float* p) {
  int32_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

void max_scatter(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const Span over = g.rows.over(band.h_begin, band.h_end);
  const int64_t first_row = band.n * g.s.p + over.begin, first = first_row * g.s.q * g.s.c;
  for (int64_t row = first_row; row < band.n * g.s.p + over.end; ++row) {
    for_each_window_of_row(g, row, g.s.stride_w == 1, [&](auto size, const Window& window) FASTCNN_INLINED {
      for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
        const auto best = find_best(g, size, block, a.x + window.pixel + c, position_label);
        float* to = band.scratch + window.output - first + c;
        for (int v = 0; v < block.kVectors; ++v) block.put(to + v * kLanes, bits_to_vec(best.label[v]));
      });
    });
  }
  const int64_t image = band.n * g.s.h * g.s.w * g.s.c;
  const float *x = a.x + image, *dy = a.dy + first;
  float* dx = a.dx + image;
  scatter_windows(
      g, dx, {band.h_begin, band.h_end}, over, [&](int64_t i) { return read_int(band.scratch + i); },
      [&](int64_t at, int64_t i) {
        if (!(a.relu_mask && x[at] <= 0)) dx[at] += dy[i];
      });
}

// Which of a line's floats belong to the first pixel of a window, as 0 there and -1 elsewhere.
class Starts {
 public:
  FASTCNN_INLINED Starts(const Geometry& g, bool needed, float* marks)
      : marks_(marks),
        length_(((g.s.q - 1) * g.s.stride_w + 1) * g.s.c),
        needed_(needed && g.s.stride_w > 1) {
    const int64_t step = g.s.stride_w * g.s.c;
    if (!needed_) return;
    memset(marks, 0xff, (size_t)(length_ + kLanes) * sizeof *marks);
    for (int64_t i = 0; i < length_; i += step) set_zero(marks + i, g.s.c);
  }
  // -1 where no window starts.
  FASTCNN_INLINED Vec only(int64_t at, Vec labels) const {
    return needed_ ? bits_to_vec(vec_to_bits(labels) | vec_to_bits(load(marks_ + at))) : labels;
  }
  FASTCNN_INLINED void clear_others(float* line) const {
    if (!needed_) return;
    for (int64_t i = 0; i < length_; i += kLanes)
      store(line + i, bits_to_vec(vec_to_bits(load(line + i)) & ~vec_to_bits(load(marks_ + i))));
  }

 private:
  const float* marks_;
  int64_t length_;
  bool needed_;
};

FASTCNN_INLINE bool has_nan(const float* x, int64_t count) {
  IVec nans = {};
  for_each_block<4>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    for (int v = 0; v < block.kVectors; ++v, i += kLanes) {
      const Vec value = block.get(x + i);
      nans |= value != value;
    }
  });
  int32_t any = 0;
  for (int i = 0; i < kLanes; ++i) any |= nans[i];
  return any;
}

// A line of pixels for each row of windows that reaches into the band: at the first pixel of each window the
// number of its greatest tap, elsewhere -1; and dy. A pixel takes from the windows before it, in their order.
// Put in their places one by one the maxima of 3 x 3 windows took 1.4 to 2 times as long.
void max_bwd(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const Pool2dShape& s = g.s;
  const Span over = g.rows.over(band.h_begin, band.h_end);
  const int64_t line = a.line, front = (s.s - 1) * g.col_step, width = s.w * s.c, row = s.q * s.c;
  const Span rows_read = {g.rows.taps(over.begin).begin, g.rows.taps(over.end - 1).end};
  if (over.begin < over.end &&
      has_nan(a.x + (band.n * s.h + rows_read.begin) * width, (rows_read.end - rows_read.begin) * width))
    return max_scatter(args, piece);
  float *labels = band.scratch, *values = labels + (over.end - over.begin) * line;
  const bool merged = s.stride_w == 1 || s.c % kLanes;
  const Starts starts(g, merged, values + (over.end - over.begin) * line);
  for (int64_t p = over.begin; p < over.end; ++p) {
    float *label = labels + (p - over.begin) * line, *value = values + (p - over.begin) * line + front;
    memset(label, 0xff, (size_t)line * sizeof *label);
    const int64_t at = (band.n * s.p + p) * row;
    for_each_window_of_row(g, band.n * s.p + p, merged, [&](auto size, const Window& window) FASTCNN_INLINED {
      const int64_t first = (window.output - at) * s.stride_w;
      for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
        const auto best = find_first(g, size, block, a.x + window.pixel + c,
                                     [&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
                                       return size.kKnown ? position : (int)(r * s.s + col);
                                     });
        for (int v = 0; v < block.kVectors; ++v, c += kLanes) {
          const Vec found = bits_to_vec(best.label[v] + (int32_t)window.skipped);
          store(label + front + first + c,
                block.only(starts.only(first + c, found), bits_to_vec(IVec{} - 1)));
        }
      });
    });
    if (s.stride_w == 1)
      memcpy(value, a.dy + at, (size_t)row * sizeof *value);
    else
      copy_windows({a.dy + at, s.c, value, s.stride_w * s.c, s.c}, s.q, row);
  }

  struct Row {
    const float *labels, *values;
    int32_t label;
  } rows[kGathered];
  const Output output(a.dx, a.stream, width);
  Span ps = {over.begin, over.begin};
  for (int64_t h = band.h_begin; h < band.h_end; ++h) {
    while (ps.begin < s.p && g.rows.reach(ps.begin).end <= h) ++ps.begin;
    while (ps.end < s.p && g.rows.reach(ps.end).begin <= h) ++ps.end;
    int count = 0;
    for (int64_t p = ps.begin; p < ps.end; ++p) {
      const int64_t r = g.rows.tap_of(h, g.rows.taps(p));
      const int64_t at = (p - over.begin) * line + s.pad_left * s.c;
      if (r >= 0) rows[count++] = {labels + at, values + at, (int32_t)(r * s.s)};
    }
    const int64_t at = (band.n * s.h + h) * width;
    for_each_block<4>(width, [&](auto block, int64_t i) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec sum[kVectors] = {};
      for (int k = 0; k < count; ++k) {
        const float *label = rows[k].labels + i, *value = rows[k].values + i;
        IVec wanted = IVec{} + (rows[k].label + (int32_t)s.s - 1);
        for (int64_t t = 0; t < s.s; ++t, label += g.col_step, value += g.col_step) {
          for (int v = 0; v < kVectors; ++v)
            sum[v] += vec_to_bits(load(label + v * kLanes)) == wanted ? load(value + v * kLanes) : Vec{};
          wanted -= 1;
        }
      }
      for (int v = 0; v < kVectors; ++v, i += kLanes)
        output.put(block, a.dx + at + i,
                   a.relu_mask ? (block.get(a.x + at + i) <= Vec{} ? Vec{} : sum[v]) : sum[v]);
    });
  }
  output.end();
}

// What a sum or a mean spreads over rows and columns it spreads over one after the other: the rows of windows
// that hold a row of pixels are added, each put where its window begins, with zeros between, and pixels add
// the windows before them, all in whole vectors. With the windows looked up for each pixel 3 x 3 ones of 5 to
// 17 channels took 1.2 to 2.2 times as long.
void sum_bwd(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const Pool2dShape& s = g.s;
  const Span over = g.rows.over(band.h_begin, band.h_end);
  const int64_t width = s.w * s.c, row = s.q * s.c, line = a.line, front = (s.s - 1) * g.col_step;
  float *spread = band.scratch, *sums = spread + line, *added = sums + line, *marks = added + line,
        *means = marks + line;
  const float* dy = a.dy + (band.n * s.p + over.begin) * row;
  if (a.average) {
    for (int64_t p = over.begin; p < over.end; ++p) {
      const int64_t at = (p - over.begin) * row;
      divide_windows(g, g.rows.divisor(p, g.rows.count(g.rows.taps(p))), {0, s.q}, dy + at, means + at);
    }
    dy = means;
  }
  const Starts starts(g, !copies_alone(s.c), marks);
  set_zero(spread, line);
  const Output output(a.dx, a.stream, width);
  Span ps = {over.begin, over.begin}, summed = {-1, -1};
  for (int64_t h = band.h_begin; h < band.h_end; ++h) {
    while (ps.begin < s.p && g.rows.reach(ps.begin).end <= h) ++ps.begin;
    while (ps.end < s.p && g.rows.reach(ps.end).begin <= h) ++ps.end;
    if (ps.begin != summed.begin || ps.end != summed.end) {
      const float* from = dy + (ps.begin - over.begin) * row;
      float* const to = s.stride_w == 1 ? spread + front : added;
      for_each_block<2>(row, [&](auto block, int64_t i) FASTCNN_INLINED {
        constexpr int kVectors = block.kVectors;
        Vec sum[kVectors] = {};
        for (int64_t p = 0; p < ps.end - ps.begin; ++p)
          for (int v = 0; v < kVectors; ++v) sum[v] += block.get(from + p * row + i + v * kLanes);
        for (int v = 0; v < kVectors; ++v) block.put(to + i + v * kLanes, sum[v]);
      });
      if (s.stride_w > 1) {
        copy_windows({added, s.c, spread + front, s.stride_w * s.c, s.c}, s.q, row);
        starts.clear_others(spread + front);
      }
      const float* const first = spread + s.pad_left * s.c;
      for_each_block<2>(width, [&](auto block, int64_t i) FASTCNN_INLINED {
        constexpr int kVectors = block.kVectors;
        Vec sum[kVectors] = {};
        for (int64_t t = 0; t < s.s; ++t)
          for (int v = 0; v < kVectors; ++v) sum[v] += load(first + t * s.c + i + v * kLanes);
        for (int v = 0; v < kVectors; ++v) store(sums + i + v * kLanes, sum[v]);
      });
      summed = ps;
    }
    const int64_t at = (band.n * s.h + h) * width;
    for_each_block<2>(width, [&](auto block, int64_t i) FASTCNN_INLINED {
      for (int v = 0; v < block.kVectors; ++v, i += kLanes) {
        const Vec sum = load(sums + i);
        output.put(block, a.dx + at + i,
                   a.relu_mask ? (block.get(a.x + at + i) <= Vec{} ? Vec{} : sum) : sum);
      }
    });
  }
  output.end();
}

void sum_scatter(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const int64_t pitch = g.s.w * g.s.c;
  set_zero(a.dx + (band.n * g.s.h + band.h_begin) * pitch, (band.h_end - band.h_begin) * pitch);
  const Span over = g.rows.over(band.h_begin, band.h_end);
  for (int64_t p = over.begin; p < over.end; ++p) {
    const Span rows = g.rows.taps(p);
    const int64_t begin = larger(band.h_begin - rows.begin, 0);
    const int64_t end = smaller(rows.end, band.h_end) - rows.begin;
    for_each_window_of_row(
        g, band.n * g.s.p + p, false, [&](auto size, const Window& window) FASTCNN_INLINED {
          const Mean mean(a.average ? window.divisor : 1);
          for_each_vector(g.s.c, [&](auto block, int64_t c) FASTCNN_INLINED {
            const Vec dy = mean(block.get(a.dy + window.output + c));
            for (int64_t r = begin; r < end; ++r) {
              for (int64_t col = 0; col < size.cols; ++col) {
                const int64_t at = window.pixel + r * pitch + col * g.s.c + c;
                const Vec sum = block.get(a.dx + at) + dy;
                block.put(a.dx + at, a.relu_mask ? (block.get(a.x + at) <= Vec{} ? Vec{} : sum) : sum);
              }
            }
          });
        });
  }
}

}  // namespace

extern const Pool2dBwdKernels pool2d_bwd_kernels;
const Pool2dBwdKernels pool2d_bwd_kernels = {max_bwd_apart, sum_bwd_apart, max_bwd,
                                             max_scatter,   sum_bwd,       sum_scatter};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
