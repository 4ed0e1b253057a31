// SPDX-License-Identifier: Apache-2.0
// y[p,q,:] = x at the point of (p, q): the nearest pixel, halves away from zero, or the mean of the four
// around it weighted by (1 - u)(1 - v), (1 - u) v, u (1 - v) and u v, u and v the upper 24 bits of the
// fractions of row and column, so that 1 - u is exact. Beyond the border the image goes on by its fill mode.
// The transpose adds dy with the same weights. Called by cpu/affine.cpp.
#include "affine.h"

#include "blocks.h"

#include "../../base/formulas/affine.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// A point of x: its four pixels, as offsets or -1, and their weights.
struct Taps {
  int64_t at[4];
  float weight[4];
};

FASTCNN_INLINE void find(const AffineImage& m, int64_t row, int64_t col, Taps* taps) {
  const int64_t i = below(row), j = below(col);
  const int64_t rows[2] = {shown(i, m.h, m.fill), shown(i + 1, m.h, m.fill)};
  const int64_t cols[2] = {shown(j, m.w, m.fill), shown(j + 1, m.w, m.fill)};
  for (int t = 0; t < 4; ++t) {
    const int64_t r = rows[t / 2], s = cols[t % 2];
    taps->at[t] = r < 0 || s < 0 ? -1 : r * m.pitch + s * m.c;
  }
}

// f(block, j) for the channels of a pixel. Few of them are one vector: a whole one where the rest of it may
// be read and the next pixels, which are written later, are to overwrite it. By parts of vectors a flip took
// twice as long, and a rotation half as long again.
template <bool kNarrow, class F>
FASTCNN_INLINE void for_each_channel(int64_t channels, bool whole, F f) {
  if constexpr (kNarrow) {
    if (whole) {
      f(Whole<1>{}, 0);
    } else {
      f(Part{(int)channels}, 0);
    }
  } else {
    for_each_vector(channels, f);
  }
}

// Four pixels weighted; those of a run of pixels where the map only moves.
template <bool kNarrow>
FASTCNN_INLINE void mix(const AffineImage& m, const float* x, const float (&weight)[4], bool whole, float* y,
                        int64_t count) {
  const Vec a = broadcast(weight[0]), b = broadcast(weight[1]), c = broadcast(weight[2]),
            d = broadcast(weight[3]);
  for_each_channel<kNarrow>(count, whole, [&](auto block, int64_t k) FASTCNN_INLINED {
    const float* at = x + k;
    const Vec upper = fma(b, block.get(at + m.c), a * block.get(at));
    block.put(y + k, fma(d, block.get(at + m.pitch + m.c), fma(c, block.get(at + m.pitch), upper)));
  });
}

template <bool kNarrow>
FASTCNN_INLINE void mix_at_border(const AffineImage& m, const float* x, const Taps& taps, bool whole,
                                  float* y) {
  for (int t = 0; t < 4; ++t) whole &= taps.at[t] + kLanes <= m.floats;
  for_each_channel<kNarrow>(m.c, whole, [&](auto block, int64_t k) FASTCNN_INLINED {
    Vec sum = {};
    for (int t = 0; t < 4; ++t) {
      const Vec pixel = taps.at[t] < 0 ? broadcast(m.fill_value) : block.get(x + taps.at[t] + k);
      const Vec w = broadcast(taps.weight[t]);
      sum = t ? fma(w, pixel, sum) : w * pixel;
    }
    block.put(y + k, sum);
  });
}

template <bool kNarrow>
void bilinear_row(const AffineImage& m, const float* x, float* y, int64_t p) {
  int64_t row = m.map.row_p * p + m.map.row_0, col = m.map.col_p * p + m.map.col_0;
  const bool moves = m.map.row_q == 0 && m.map.col_q == kOne;
  const float* const end = y + m.q * m.c;
  Taps taps;
  for (int64_t q = 0; q < m.q;) {
    const int64_t i = below(row), j = below(col);
    const bool inside = (uint64_t)i < (uint64_t)(m.h - 1) && (uint64_t)j < (uint64_t)(m.w - 1);
    const int64_t at = i * m.pitch + j * m.c;
    const bool room = end - y >= kLanes;
    int64_t pixels = 1;
    weigh(row, col, taps.weight);
    if (!inside) {
      find(m, row, col, &taps);
      mix_at_border<kNarrow>(m, x, taps, room, y);
    } else if (moves) {
      pixels = m.q - q < m.w - 1 - j ? m.q - q : m.w - 1 - j;
      mix<false>(m, x + at, taps.weight, room, y, pixels * m.c);
    } else {
      mix<kNarrow>(m, x + at, taps.weight, room && at + m.pitch + m.c + kLanes <= m.floats, y, m.c);
    }
    row += pixels * m.map.row_q, col += pixels * m.map.col_q, q += pixels, y += pixels * m.c;
  }
}

template <bool kNarrow>
void nearest_row(const AffineImage& m, const float* x, float* y, int64_t p) {
  int64_t row = m.map.row_p * p + m.map.row_0, col = m.map.col_p * p + m.map.col_0;
  const bool moves = m.map.row_q == 0 && m.map.col_q == kOne;
  const float* const end = y + m.q * m.c;
  for (int64_t q = 0; q < m.q;) {
    const int64_t i = shown(nearest(row), m.h, m.fill), j = nearest(col), k = shown(j, m.w, m.fill);
    const int64_t at = i < 0 || k < 0 ? -1 : i * m.pitch + k * m.c;
    const bool room = end - y >= kLanes;
    int64_t pixels = 1;
    if (at < 0) {
      for_each_channel<kNarrow>(m.c, room, [&](auto block, int64_t c) FASTCNN_INLINED {
        block.put(y + c, broadcast(m.fill_value));
      });
    } else if (moves && j == k) {
      pixels = m.q - q < m.w - j ? m.q - q : m.w - j;
      map(x + at, y, pixels * m.c, [](Vec v) FASTCNN_INLINED { return v; });
    } else {
      for_each_channel<kNarrow>(m.c, room && at + kLanes <= m.floats,
                                [&](auto block, int64_t c)
                                    FASTCNN_INLINED { block.put(y + c, block.get(x + at + c)); });
    }
    row += pixels * m.map.row_q, col += pixels * m.map.col_q, q += pixels, y += pixels * m.c;
  }
}

// Rows of y one after the other: in tiles of 64 pixels, so that the rows of x that a rotation crosses stay
// near, images of 224 x 224 took 1.4 times as long.
void rows(const AffineImage& m, const float* x, float* y, int64_t begin, int64_t end) {
  const bool narrow = m.c <= kLanes;
  const auto row = m.bilinear ? (narrow ? bilinear_row<true> : bilinear_row<false>)
                              : (narrow ? nearest_row<true> : nearest_row<false>);
  for (int64_t p = begin; p < end; ++p) row(m, x, y + p * m.q * m.c, p);
}

FASTCNN_INLINE void add_pixel(const float* dy, float* dx, int64_t channels, float weight) {
  const Vec w = broadcast(weight);
  int64_t k = 0;
  for (; k + kLanes <= channels; k += kLanes) store(dx + k, fma(w, load(dy + k), load(dx + k)));
  for (; k < channels; ++k) dx[k] += weight * dy[k];  // a part of a vector would wait for its own stores
}

void scatter(const AffineImage& m, const float* dy, float* dx, int64_t begin, int64_t end) {
  Taps taps;
  dy += begin * m.q * m.c;
  for (int64_t p = begin; p < end; ++p) {
    int64_t row = m.map.row_p * p + m.map.row_0, col = m.map.col_p * p + m.map.col_0;
    for (int64_t q = 0; q < m.q; ++q, row += m.map.row_q, col += m.map.col_q, dy += m.c) {
      if (!m.bilinear) {
        const int64_t i = shown(nearest(row), m.h, m.fill), j = shown(nearest(col), m.w, m.fill);
        if (i >= 0 && j >= 0) add_pixel(dy, dx + i * m.pitch + j * m.c, m.c, 1);
        continue;
      }
      find(m, row, col, &taps);
      weigh(row, col, taps.weight);
      for (int t = 0; t < 4; ++t)
        if (taps.at[t] >= 0) add_pixel(dy, dx + taps.at[t], m.c, taps.weight[t]);
    }
  }
}

}  // namespace

extern const AffineKernels affine_kernels;
const AffineKernels affine_kernels = {rows, scatter};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
