// SPDX-License-Identifier: Apache-2.0
// dx of the pools of pool2d.cpp: of sums and means dx[n,h,w,c] = sum of dy over the windows that hold the
// pixel, over their sizes; of maxima over those whose first greatest tap it is, found again in x, which costs
// less than storing it. Called by cpu/pool2d.cpp, which splits the work.
#include "pool2d_bwd.h"

#include "best.h"
#include "max_apart.h"
#include "sum_windows.h"

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
  for (int64_t q = s.stride_w == s.s ? s.q - 1 : 0; q < s.q; ++q) {
    const int64_t gap = g.cols.taps(q).end, next = q + 1 < s.q ? g.cols.taps(q + 1).begin : s.w;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      set_zero(image + (h * s.w + gap) * s.c, (next - gap) * s.c);
  }
}

// f(size, window) writes the pixels of a window.
template <Known kKnown, class F>
FASTCNN_INLINE void write_windows(const Geometry& g, float* dx, Span range, bool merged, F f) {
  for (int64_t row = range.begin; row < range.end; ++row) {
    for_each_window_of_row<kKnown>(g, row, merged, nullptr, f);
    zero_gaps(g, row % g.s.p, dx + row / g.s.p * g.s.h * g.s.w * g.s.c);
  }
}

// dy of a block to the tap that `label` names, and zero to the others of a window, whose first pixel is dx;
// name(r, col, position) of a tap.
template <class Size, class Block, class Name>
FASTCNN_INLINE void write_taps(const Geometry& g, Size size, Block block, const Output& output,
                               const IVec* label, const Vec* dy, float* dx, Name name) {
  size.for_each_tap([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
    float* pixel = dx + r * g.row_step + col * g.col_step;
    const int tap = name(r, col, position);
    for (int v = 0; v < block.kVectors; ++v)
      output.put(block, pixel + v * kLanes, label[v] == tap ? dy[v] : Vec{});
  });
}
FASTCNN_INLINE int position_of(int64_t, int64_t, int position) { return position; }

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
      write_taps(g, size, block, output, best.label, dy, a.dx + window.pixel + c, position_of);
    });
  };
  if (g.s.r * g.s.s <= 4 || !ApartRows::supports(g) || g.inner.begin >= g.inner.end) {
    write_windows<kTwo>(g, a.dx, {begin, end}, g.s.stride_w == 1, write);
    return output.end();
  }
  const ApartRows rows(g, a);
  const int64_t windows = g.inner.end - g.inner.begin, left = g.cols.taps(g.inner.begin).begin;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t n = row / g.s.p, p = row - n * g.s.p, image = n * g.s.h * g.s.w * g.s.c;
    const Span taps = g.rows.taps(p);
    const int64_t at = image + (taps.begin * g.s.w + left) * g.s.c, first = row * g.s.q + g.inner.begin;
    const bool written =
        rows.write(a.x + at, a.dy + first * g.s.c, a.dx + at, taps.end - taps.begin, windows);
    if (!written || windows < g.s.q)
      for_each_window_of_row<kNone>(g, row, false, nullptr,
                                    [&](auto size, const Window& window) FASTCNN_INLINED {
                                      const int64_t inner = window.output / g.s.c - first;
                                      if (!written || inner < 0 || inner >= windows) write(size, window);
                                    });
    zero_gaps(g, p, a.dx + image);
  }
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
      write_taps(g, size, block, output, chosen, dy, a.dx + window.pixel + c,
                 [&](int64_t r, int64_t col, int) FASTCNN_INLINED { return first + (int)(r * g.s.w + col); });
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

// What a sum or a mean spreads over rows and columns it spreads over one after the other. Rows of windows are
// taken together, each stage for all of them, as what was just stored cannot be read again at another place
// before it has reached the cache: row by row windows of 3 x 3 at each pixel of one channel took 1.7 times as
// long, at each second pixel of 12 channels, all of them spread, 1.4 to 1.8 times.
void sum_bwd(const Pool2dBwd& args, const Pool2dBand& piece) {
  const Pool2dBwd a = args;
  const Pool2dBand band = piece;
  const Geometry g(*a.shape);
  const Pool2dShape& s = g.s;
  const Holders rows(g.rows), cols(g.cols);
  const int64_t width = s.w * s.c, row = s.q * s.c, pitch = a.sum.pitch, zeros = (cols.count - 1) * s.c;
  const int64_t ring = (a.sum.rows + rows.count - 1) * pitch;
  float *const lines = band.scratch + a.sum.ring, *const ring_end = lines + ring;
  float *const all = band.scratch + a.sum.all, *const fewer = band.scratch + a.sum.fewer;
  set_zero(lines - zeros, zeros + ring);
  set_zero(all - zeros, zeros);
  set_zero(fewer - zeros, zeros);
  // Pixels written one after the other with vectors that overlap took 1.3 to 2 times as long.
  const bool neighbours = s.stride_w == 1, whole_vectors = s.c % kLanes == 0;
  const bool picked = !neighbours && s.c < kLanes && (kLanes == 16 || s.c <= 4);
  const bool spread = !neighbours && !whole_vectors && !picked;
  if (spread) set_zero(band.scratch, a.sum.ring - zeros);
  Picks picks = {};
  if (picked) picks.prepare(g, cols, band.scratch);
  const bool joined = neighbours && s.stride_h == 1 && rows.count > 1 && pitch == width && !a.relu_mask;
  const auto take = neighbours ? sum_neighbours : picked ? sum_picked : spread ? sum_spread : sum_pixels;
  const Output output(a.dx, a.stream, neighbours || !whole_vectors ? width : s.c);
  const auto wrap = [&](float* line) FASTCNN_INLINED { return line < ring_end ? line : line - ring; };
  const int64_t begin = (band.h_begin + s.pad_top) / s.stride_h;
  const int64_t end = (band.h_end - 1 + s.pad_top) / s.stride_h + 1;
  const int64_t windows = (s.w - 1 + s.pad_left) / s.stride_w + 1;
  SumColumns columns = {s.c, s.stride_w, s.pad_left, cols, picks, band.scratch, windows, output};
  if (spread) columns.holders.count = cols.size;
  if (a.relu_mask) columns.output.streams = false;
  const bool whole = end - begin <= a.sum.rows;  // all in a row
  for (int64_t n = band.n; n < band.n + band.images; ++n) {
    const float* const dy = a.dy + n * s.p * row;
    float *first = lines, *next = lines;  // lines of windows p - rows.count + 1 and `entered`
    int64_t entered = begin - rows.count + 1;
    for (int64_t p = begin, count; p < end; p += count) {
      count = smaller(a.sum.rows, end - p);
      next = divide_rows(g, {dy, next, ring_end, pitch, ring, a.average != 0}, {entered, p + count});
      entered = p + count;
      const int64_t runs = whole ? 1 : count;
      SumLines sum = {first, ring_end, ring, pitch, rows.count};
      if (rows.count > 1) sum_lines(sum, runs, count * pitch / runs, all);
      sum.first = wrap(first + pitch), --sum.count;
      if (rows.count > 2 && rows.pixels < s.stride_h) sum_lines(sum, runs, count * pitch / runs, fewer);
      const float* before = nullptr;
      float* to = nullptr;
      const int64_t step = joined ? count : 1;
      for (int64_t i = 0; i < count; i += step) {
        const float* const last = wrap(first + (i + rows.count - 1) * pitch);
        for (int64_t phase = 0; phase < s.stride_h; ++phase) {
          const int64_t h = (p + i) * s.stride_h - s.pad_top + phase;
          const Span hs = {larger(h, band.h_begin), smaller(h + step, band.h_end)};
          if (hs.begin >= hs.end) continue;
          const int64_t at = (n * s.h + hs.begin) * width, length = (hs.end - hs.begin) * width;
          const int64_t held = phase < rows.pixels ? rows.count : rows.count - 1;
          if (held == 0) {
            set_zero(a.dx + at, length);
            continue;
          }
          const float* line = held == 1 ? last : (held == rows.count ? all : fewer) + i * pitch;
          line += (hs.begin - h) * pitch;
          // Rows of pixels that the same windows hold are alike.
          if (line == before && !a.relu_mask && !output.streams) {
            memcpy(a.dx + at, to, (size_t)length * sizeof(float));
            continue;
          }
          before = line, to = a.relu_mask ? band.scratch + a.sum.masked : a.dx + at;
          take(columns, line, to, length);
          if (a.relu_mask)
            for_each_vector(length, [&](auto block, int64_t i) FASTCNN_INLINED {
              const Vec v = block.get(to + i);
              output.put(block, a.dx + at + i, block.get(a.x + at + i) <= Vec{} ? Vec{} : v);
            });
        }
      }
      first = wrap(first + count * pitch);
    }
  }
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
