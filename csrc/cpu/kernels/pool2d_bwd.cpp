// SPDX-License-Identifier: Apache-2.0
// dx of the pools of pool2d.cpp: of sums and means dx[n,h,w,c] = sum of dy over the windows that hold the
// pixel, over their sizes; of maxima over those whose first greatest tap it is, found again in x, which costs
// less than storing it. Called by cpu/pool2d.cpp, which splits the work.
#include "pool2d_bwd.h"

#include "best.h"
#include "pool2d_lines.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

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
template <Known kKnown, class F>
FASTCNN_INLINE void write_windows(const Geometry& g, float* dx, Span range, bool merged, F f) {
  for (int64_t row = range.begin; row < range.end; ++row) {
    for_each_window_of_row<kKnown>(g, row, merged, f);
    zero_gaps(g, row % g.s.p, dx + row / g.s.p * g.s.h * g.s.w * g.s.c);
  }
}

void max_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Geometry g(*a.shape);
  const Output output(a.dx, a.stream, g.s.c);
  const auto write = [&](auto size, const Window& window) FASTCNN_INLINED {
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
  };
  write_windows<kBoth>(g, a.dx, {begin, end}, g.s.stride_w == 1, write);
  output.end();
}

void pixels_apart(const Pool2dBwd& args, const int32_t* index, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Geometry g(*a.shape);
  const Output output(a.dx, a.stream, g.s.c);
  const int64_t image = g.s.h * g.s.w;
  const auto write = [&](auto size, const Window& window) FASTCNN_INLINED {
    const int first = (int)(window.pixel / g.s.c % image);
    for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      IVec chosen[kVectors];
      Vec dy[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const int64_t at = window.output + c + v * kLanes;
        chosen[v] = vec_to_bits(block.get((const float*)index + at)), dy[v] = block.get(a.dy + at);
      }
      size.for_each_tap([&](int64_t r, int64_t col, int) FASTCNN_INLINED {
        float* pixel = a.dx + window.pixel + r * g.row_step + col * g.col_step + c;
        const int label = first + (int)(r * g.s.w + col);
        for (int v = 0; v < kVectors; ++v)
          output.put(block, pixel + v * kLanes, chosen[v] == label ? dy[v] : Vec{});
      });
    });
  };
  write_windows<kTwo>(g, a.dx, {begin, end}, false, write);
  output.end();
}

void sum_bwd_apart(const Pool2dBwd& args, int64_t begin, int64_t end) {
  const Pool2dBwd a = args;
  const Geometry g(*a.shape);
  const Output output(a.dx, a.stream, g.s.c);
  write_windows<kTwo>(
      g, a.dx, {begin, end}, g.s.stride_w == 1, [&](auto size, const Window& window) FASTCNN_INLINED {
        const Mean mean(a.average ? window.divisor : 1);
        for_each_block<4>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
          constexpr int kVectors = block.kVectors;
          Vec dy[kVectors];
          for (int v = 0; v < kVectors; ++v) dy[v] = mean(block.get(a.dy + window.output + c + v * kLanes));
          size.for_each_tap([&](int64_t r, int64_t col, int) FASTCNN_INLINED {
            for (int v = 0; v < kVectors; ++v) {
              const int64_t at = window.pixel + r * g.row_step + col * g.col_step + c + v * kLanes;
              output.put(block, a.dx + at,
                         a.relu_mask ? (block.get(a.x + at) <= Vec{} ? Vec{} : dy[v]) : dy[v]);
            }
          });
        });
      });
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
  const int64_t width = s.w * s.c, row = s.q * s.c, line = a.line, front = (s.s - 1) * g.col_step;
  float *const spread = band.scratch, *const sums = spread + line;
  Ring means{sums + line, row + kRest, a.live, 0};
  set_zero(spread, line);
  if (a.average) set_zero(means.first, means.count * means.line);
  const Output output(a.dx, a.stream, width);
  const float* const dy = a.dy + band.n * s.p * row;
  const auto enter = [&](int64_t p) {
    if (a.average) divide_row(g, g.rows.divisor(p, g.rows.count(g.rows.taps(p))), dy + p * row, means[p]);
    return true;
  };
  const bool keep = s.stride_h > 1;  // the next row of pixels may be the same
  Span summed = {-1, -1};
  const auto put = [&](int64_t h, Span ps) {
    const int64_t at = (band.n * s.h + h) * width;
    const float* mask = a.relu_mask ? a.x + at : nullptr;
    if (keep && ps.begin == summed.begin && ps.end == summed.end) {
      for_each_block<2>(width, [&](auto block, int64_t i) FASTCNN_INLINED {
        for (int v = 0; v < block.kVectors; ++v, i += kLanes) {
          const Vec sum = load(sums + i);
          output.put(block, a.dx + at + i, mask ? (block.get(mask + i) <= Vec{} ? Vec{} : sum) : sum);
        }
      });
      return;
    }
    summed = ps;
    const int64_t pitch = a.average ? means.line : row;
    const float *const first = a.average ? means.first : dy, *const end =
                                                                 first + (a.average ? a.live : s.p) * pitch;
    const float* const oldest = a.average ? means[ps.begin] : dy + ps.begin * row;
    const bool alone = ps.end - ps.begin == 1 && s.stride_w > 1;
    float* const to = s.stride_w == 1 ? spread + front : sums;
    // Parts of vectors would have to reach memory before they could be read again.
    if (!alone)
      for_each_block<4>(row, [&](auto block, int64_t i) FASTCNN_INLINED {
        constexpr int kVectors = block.kVectors;
        Vec sum[kVectors] = {};
        const float* from = oldest + i;
        for (int64_t p = ps.begin; p < ps.end; ++p) {
          for (int v = 0; v < kVectors; ++v)
            sum[v] += a.average ? load(from + v * kLanes) : block.get(from + v * kLanes);
          from = from + pitch < end ? from + pitch : first + i;
        }
        for (int v = 0; v < kVectors; ++v) store(to + i + v * kLanes, sum[v]);
      });
    if (s.stride_w > 1) spread_windows(s, alone ? oldest : sums, spread + front);
    const float* const before = spread + s.pad_left * s.c;
    for_each_block<4>(width, [&](auto block, int64_t i) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec sum[kVectors] = {};
      const float* from = before + i;
      for (int64_t t = 0; t < s.s; ++t, from += g.col_step)
        for (int v = 0; v < kVectors; ++v) sum[v] += load(from + v * kLanes);
      for (int v = 0; v < kVectors; ++v, i += kLanes) {
        if (keep) store(sums + i, sum[v]);
        output.put(block, a.dx + at + i, mask ? (block.get(mask + i) <= Vec{} ? Vec{} : sum[v]) : sum[v]);
      }
    });
  };
  walk_rows(g, band, enter, put);
  output.end();
}

// What a row of adaptive windows has for each pixel of a row is added up once, for all rows that it reaches:
// added to each pixel window by window, one channel took 12 times as long, 64 a fifth.
void sum_adaptive(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, pitch = width + kRest;
  Ring lines{band.scratch, pitch, a.live, 0};
  const Output output(a.dx, a.stream, width);
  const auto enter = [&](int64_t p) {
    float* const line = lines[p];
    const float* dy = a.dy + (band.n * s.p + p) * s.q * s.c;
    const int64_t rows = g.rows.count(g.rows.taps(p));
    int64_t reached = 0;
    for (int64_t q = 0; q < s.q; ++q, dy += s.c) {
      const Span cols = g.cols.taps(q);
      const Mean mean(a.average ? rows * (cols.end - cols.begin) : 1);
      for_each_vector(s.c, [&](auto block, int64_t c) FASTCNN_INLINED {
        const Vec v = mean(block.get(dy + c));
        for (int64_t w = cols.begin; w < cols.end; ++w) {
          float* const sum = line + w * s.c + c;
          block.put(sum, w < reached ? block.get(sum) + v : v);
        }
      });
      reached = cols.end;
    }
    return true;
  };
  const auto put = [&](int64_t h, Span ps) {
    const int64_t at = (band.n * s.h + h) * width;
    const float* const mask = a.relu_mask ? a.x + at : nullptr;
    const float *const oldest = lines[ps.begin], *const end = lines.first + a.live * pitch;
    for_each_block<2>(width, [&](auto block, int64_t i) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Vec sum[kVectors] = {};
      const float* from = oldest + i;
      for (int64_t p = ps.begin; p < ps.end; ++p) {
        for (int v = 0; v < kVectors; ++v) sum[v] += block.get(from + v * kLanes);
        from = from + pitch < end ? from + pitch : lines.first + i;
      }
      for (int v = 0; v < kVectors; ++v, i += kLanes)
        output.put(block, a.dx + at + i, mask ? (block.get(mask + i) <= Vec{} ? Vec{} : sum[v]) : sum[v]);
    });
  };
  walk_rows(g, band, enter, put);
  output.end();
}

}  // namespace

extern const Pool2dBwdKernels pool2d_bwd_kernels;
const Pool2dBwdKernels pool2d_bwd_kernels = {max_bwd_apart, pixels_apart, sum_bwd_apart, sum_bwd,
                                             sum_adaptive};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
