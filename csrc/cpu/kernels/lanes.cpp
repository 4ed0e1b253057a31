// SPDX-License-Identifier: Apache-2.0
// See lanes.h for the formulas. A register tile is some output channels times some pixels times the vectors
// of a block; a step broadcasts a weight for each channel and loads the vectors of each pixel. One pixel at a
// time wherever the channels suffice: the taps beyond a border are then left out exactly, on each side of the
// row.
#include "lanes.h"

#include "blocks.h"
#include "lanes_greatest.h"
#include "own.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kVectors = kBatchLanes / kLanes;     // of a pixel
constexpr int kSums = kRegisters == 32 ? 24 : 12;  // accumulators that leave room for the operands
template <class T>
constexpr T least(T a, T b) {
  return a < b ? a : b;
}
constexpr int kMostChannels = least(6, kSums / kVectors);
constexpr int kMostSingle = least(12, kSums / kVectors);  // of one pixel: chains of additions wait, if few
constexpr int pixels_of(int channels) { return least(5, kSums / kVectors / channels); }

// A vector that stays in a register: GCC would make it the memory operand of every multiply-add that reads
// it.
FASTCNN_INLINE Vec load_once(const float* p) {
  Vec v = load(p);
#if defined(__x86_64__) && !defined(FASTCNN_EMULATED)
  __asm__("" : "+v"(v));
#endif
  return v;
}

// acc[i][p] += w[i] x[p], with the fewer of both kept in registers.
template <int MR, int NP>
FASTCNN_INLINE void step(Vec (&acc)[MR][NP * kVectors], const float* const (&x)[NP],
                         const float* const (&w)[(MR + 2) / 3], int64_t w_out) {
  if constexpr (MR < NP * kVectors) {
    Vec wv[MR];
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) wv[i] = broadcast(w[i / 3][i % 3 * w_out]);
    FASTCNN_UNROLL for (int p = 0; p < NP; ++p) FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) {
      const Vec xv = load_once(x[p] + v * kLanes);
      FASTCNN_UNROLL for (int i = 0; i < MR; ++i) acc[i][p * kVectors + v] =
          fma(wv[i], xv, acc[i][p * kVectors + v]);
    }
  } else {
    Vec xv[NP * kVectors];
    FASTCNN_UNROLL for (int p = 0; p < NP; ++p) FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v)
        xv[p * kVectors + v] = load(x[p] + v * kLanes);
    FASTCNN_UNROLL for (int i = 0; i < MR; ++i) {
      const Vec wv = broadcast(w[i / 3][i % 3 * w_out]);
      FASTCNN_UNROLL for (int v = 0; v < NP * kVectors; ++v) acc[i][v] = fma(wv, xv[v], acc[i][v]);
    }
  }
}

// Channels [j, j + MR) of pixels [i, i + NP), which all have the same `taps` columns from s on.
template <int MR, int NP>
FASTCNN_INLINE void tile(const LanesRow& a, int64_t j, int64_t i, int64_t s, int64_t taps) {
  Vec acc[MR][NP * kVectors];
  const float* const bias = opaque(a.bias ? a.bias + j : a.bias);
  FASTCNN_UNROLL for (int m = 0; m < MR; ++m) {
    const Vec start = a.bias ? broadcast(bias[m]) : Vec{};
    FASTCNN_UNROLL for (int v = 0; v < NP * kVectors; ++v) acc[m][v] = start;
  }
  // The longer of channels and columns runs innermost; few channels outermost, where they cost least.
  LanesTaps outer = a.rows, middle = {taps, a.cols.x, a.cols.w}, inner = a.in;
  if (inner.count < middle.count) {
    const LanesTaps in = inner;
    inner = middle, middle = outer, outer = in;
  }
  const float* x0 = a.x + (a.first + i * a.step) * kBatchLanes + s * a.cols.x;
  const float* w0 = a.w + s * a.cols.w + j * a.w_out;
  const int64_t w_out = opaque(a.w_out), pixel = a.step * kBatchLanes;
  for (int64_t o = outer.count; o > 0; --o, x0 += outer.x, w0 += outer.w) {
    const float *x1 = x0, *w1 = w0;
    for (int64_t h = middle.count; h > 0; --h, x1 += middle.x, w1 += middle.w) {
      const float *x[NP], *w[(MR + 2) / 3];
      FASTCNN_UNROLL for (int p = 0; p < NP; ++p) x[p] = x1 + p * pixel;
      FASTCNN_UNROLL for (int g = 0; g < (MR + 2) / 3; ++g) w[g] = w1 + 3 * g * w_out;
      for (int64_t k = inner.count; k > 0; --k) {
        step<MR, NP>(acc, x, w, w_out);
        FASTCNN_UNROLL for (int p = 0; p < NP; ++p) x[p] += inner.x;
        FASTCNN_UNROLL for (int g = 0; g < (MR + 2) / 3; ++g) w[g] += inner.w;
      }
    }
  }
  if (a.relu) {
    FASTCNN_UNROLL for (int m = 0; m < MR; ++m) FASTCNN_UNROLL for (int v = 0; v < NP * kVectors; ++v)
        acc[m][v] = relu(acc[m][v]);
  }
  // Channel by channel: the compiler would work out the places of all of them ahead.
  const int64_t channel = opaque(a.y_channel), first = j * channel + i * a.y_pixel;
  const auto at = [&](int v) FASTCNN_INLINED { return v / kVectors * a.y_pixel + v % kVectors * kLanes; };
  if (a.mask) {
    const float* mask = a.mask + first;
    FASTCNN_UNROLL for (int m = 0; m < MR; ++m, mask = opaque(mask + channel))
        FASTCNN_UNROLL for (int v = 0; v < NP * kVectors; ++v) acc[m][v] =
            load(mask + at(v)) <= Vec{} ? Vec{} : acc[m][v];
  }
  float* y = a.y + first;
  FASTCNN_UNROLL for (int m = 0; m < MR; ++m, y = opaque(y + channel))
      FASTCNN_UNROLL for (int v = 0; v < NP * kVectors; ++v) store(y + at(v), acc[m][v]);
}

FASTCNN_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many of `count` pixels tiles of `most` and of one pixel less cover, or where `most` is four, one of
// two.
FASTCNN_INLINE int64_t covered(int64_t count, int64_t most) {
  if (most == 1) return 0;
  if (count == 2 && most == 4) return count;
  const int64_t tiles = ceil_div(count, most), smaller = tiles * most - count;
  return smaller <= tiles ? count : count / most * most;
}

// Pixels [i, end), with what taps each has.
template <int MR>
void single_pixels(const LanesRow& row, int64_t j, int64_t i, int64_t end) {
  const LanesRow a = row;  // stores do not reach it
  for (; i < end; ++i) {
    const int64_t column = a.first + i * a.step, all = a.cols.count;
    const int64_t taps = column < a.width ? least((a.width - 1 - column) / a.spread + 1, all) : 0;
    const int64_t s = column < 0 ? least(ceil_div(-column, a.spread), taps) : 0;
    tile<MR, 1>(a, j, i, s, taps - s);
  }
}

// Pixels [i, end), all of which have all taps.
template <int MR>
void whole_pixels(const LanesRow& row, int64_t j, int64_t i, int64_t end) {
  constexpr int kPixels = pixels_of(MR);
  if constexpr (kPixels > 1) {
    const LanesRow a = row;
    if constexpr (kPixels == 4)
      if (end - i == 2) return tile<MR, 2>(a, j, i, 0, a.cols.count);
    int64_t left = covered(end - i, kPixels), tiles = ceil_div(left, kPixels);
    for (; left > tiles * (kPixels - 1); --tiles, left -= kPixels, i += kPixels)
      tile<MR, kPixels>(a, j, i, 0, a.cols.count);
    for (; tiles > 0; --tiles, i += kPixels - 1) tile<MR, kPixels - 1>(a, j, i, 0, a.cols.count);
  }
  single_pixels<MR>(row, j, i, end);
}

// f(channel, channels): as few parts of them as possible, nearly equal ones.
template <class F>
FASTCNN_INLINE void for_each_part(int64_t channels, int64_t most, F f) {
  int64_t j = 0;
  for (int64_t left = ceil_div(channels, most); left > 0; --left) {
    const int64_t n = ceil_div(channels - j, left);
    f(j, n);
    j += n;
  }
}

void row(const LanesRow& a) {
#define FASTCNN_PART(f, most)                                                                           \
  {                                                                                                     \
    f<least(1, most)>, f<least(2, most)>, f<least(3, most)>, f<least(4, most)>, f<least(5, most)>,      \
        f<least(6, most)>, f<least(7, most)>, f<least(8, most)>, f<least(9, most)>, f<least(10, most)>, \
        f<least(11, most)>, f<least(12, most)>                                                          \
  }
  using Part = void (*)(const LanesRow&, int64_t, int64_t, int64_t);
  static constexpr Part kWhole[] = FASTCNN_PART(whole_pixels, kMostChannels),
                        kSingle[] = FASTCNN_PART(single_pixels, kMostSingle);
#undef FASTCNN_PART
  // Pixels [begin, end) have all taps.
  const int64_t last = a.width - 1 - (a.cols.count - 1) * a.spread - a.first;
  int64_t begin = a.first < 0 ? ceil_div(-a.first, a.step) : 0, end = last < 0 ? 0 : last / a.step + 1;
  end = least(end, a.pixels);
  if (begin > end) begin = end = a.pixels;
  // Five pixels are a tile of four channels, and four and one of six.
  const int64_t limit = end - begin == 5 && pixels_of(4) == 5 ? 4 : kMostChannels;
  const int64_t most = ceil_div(a.channels, ceil_div(a.channels, limit));
  end = begin + covered(end - begin, pixels_of(static_cast<int>(most)));
  if (begin < end)
    for_each_part(a.channels, limit, [&](int64_t j, int64_t n) { kWhole[n - 1](a, j, begin, end); });
  if (end - begin < a.pixels)
    for_each_part(a.channels, kMostSingle, [&](int64_t j, int64_t n) {
      kSingle[n - 1](a, j, 0, begin);
      kSingle[n - 1](a, j, end, a.pixels);
    });
}

constexpr int most_channels(int taps) { return least(6, (kRegisters == 32 ? 24 : 12) / taps); }

template <int KT, int ST>
void wgrad_tile(const LanesWgrad& tile) {
  const LanesWgrad a = tile;
  Vec acc[ST][KT];
  FASTCNN_UNROLL for (int s = 0; s < ST; ++s) FASTCNN_UNROLL for (int k = 0; k < KT; ++k) acc[s][k] =
      load(a.sums + (s * a.k_step + k) * kLanes);
  const int64_t tap = opaque(a.x_tap), channel = opaque(a.dy_channel);
  for (int64_t p = 0; p < a.rows; ++p) {
    const float *x = a.x + p * a.x_row, *dy = a.dy + p * a.dy_row;
    for (int64_t q = a.pixels; q > 0; --q, x += a.x_pixel, dy += kBatchLanes)
      FASTCNN_UNROLL for (int v = 0; v < kVectors; ++v) {
        if constexpr (KT < ST) {
          Vec dv[KT];
          FASTCNN_UNROLL for (int k = 0; k < KT; ++k) dv[k] = load(dy + k * channel + v * kLanes);
          FASTCNN_UNROLL for (int s = 0; s < ST; ++s) {
            const Vec xv = load_once(x + s * tap + v * kLanes);
            FASTCNN_UNROLL for (int k = 0; k < KT; ++k) acc[s][k] = fma(xv, dv[k], acc[s][k]);
          }
        } else {
          Vec xv[ST];
          FASTCNN_UNROLL for (int s = 0; s < ST; ++s) xv[s] = load(x + s * tap + v * kLanes);
          FASTCNN_UNROLL for (int k = 0; k < KT; ++k) {
            const Vec dv = load_once(dy + k * channel + v * kLanes);
            FASTCNN_UNROLL for (int s = 0; s < ST; ++s) acc[s][k] = fma(xv[s], dv, acc[s][k]);
          }
        }
      }
  }
  FASTCNN_UNROLL for (int s = 0; s < ST; ++s) FASTCNN_UNROLL for (int k = 0; k < KT; ++k)
      store(a.sums + (s * a.k_step + k) * kLanes, acc[s][k]);
}

template <int ST>
FASTCNN_INLINE void wgrad_of(const LanesWgrad& a) {
#define FASTCNN_TILE(k) wgrad_tile<least(k, most_channels(ST)), ST>
  static constexpr void (*kTiles[])(const LanesWgrad&) = {FASTCNN_TILE(1), FASTCNN_TILE(2), FASTCNN_TILE(3),
                                                          FASTCNN_TILE(4), FASTCNN_TILE(5), FASTCNN_TILE(6)};
#undef FASTCNN_TILE
  kTiles[a.channels - 1](a);
}

void wgrad(const LanesWgrad& a) {
  static constexpr void (*kTaps[])(const LanesWgrad&) = {wgrad_of<1>, wgrad_of<2>, wgrad_of<3>, wgrad_of<4>,
                                                         wgrad_of<5>};
  kTaps[a.taps - 1](a);
}

// Taps [first, first + ST) of each of RT rows. A pixel is chosen out of two columns, and what it leaves out
// of two rows: for 5x5 taps 55 selections and 25 multiply-adds take the place of 100 multiply-adds. Without
// registers for sets of lanes a selection takes as long as a multiply-add, or twice as long.
template <int RT, int ST>
void places_tile(const LanesPlacesWgrad& tile, int first) {
  const LanesPlacesWgrad a = tile;
  const int64_t row = opaque(a.x_row), tap = opaque(a.k_step) * kLanes;
  float* const sums = a.sums + first * tap;
  Vec acc[RT][ST];
  FASTCNN_UNROLL for (int r = 0; r < RT; ++r) FASTCNN_UNROLL for (int s = 0; s < ST; ++s) acc[r][s] =
      load(sums + (r * RT + s) * tap);
  for (int64_t p = 0; p < a.windows_h; ++p) {
    const float *x = a.x + 2 * p * row + first * kBatchLanes, *dy = a.dy + p * a.windows_w * kBatchLanes;
    const uint8_t* index = a.index + p * a.windows_w * kBatchLanes;
    // GCC would keep a window's last pixels for the next one, and the sums not.
    for (int64_t q = a.windows_w; q > 0;
         --q, x = opaque(x + 2 * kBatchLanes), dy += kBatchLanes, index += kBatchLanes)
      FASTCNN_UNROLL for (int v = 0; v < kBatchLanes; v += kLanes) {
        const IVec place = load_bytes(index + v);
        const LaneSet right = lanes_with(place, 1), below = lanes_with(place, 2);
        const auto columns = [&](const float* from, Vec(&to)[ST]) FASTCNN_INLINED {
          Vec last = load_once(from + v);
          FASTCNN_UNROLL for (int s = 0; s < ST; ++s) {
            const Vec next = load_once(from + (s + 1) * kBatchLanes + v);
            to[s] = select(right, next, last);
            last = next;
          }
        };
        const Vec g = load(dy + v);
        Vec above[ST], here[ST];
        columns(x, above);
        FASTCNN_UNROLL for (int r = 0; r < RT; ++r) {
          columns(x + (r + 1) * row, here);
          FASTCNN_UNROLL for (int s = 0; s < ST; ++s) {
            acc[r][s] = fma(g, select(below, here[s], above[s]), acc[r][s]);
            above[s] = here[s];
          }
        }
      }
  }
  FASTCNN_UNROLL for (int r = 0; r < RT; ++r) FASTCNN_UNROLL for (int s = 0; s < ST; ++s)
      store(sums + (r * RT + s) * tap, acc[r][s]);
}

void places_wgrad(const LanesPlacesWgrad& a) {
  if (a.taps == 3) return places_tile<3, 3>(a, 0);
  places_tile<5, 3>(a, 0);
  places_tile<5, 2>(a, 3);
}

// The sums of the lanes of each vector.
FASTCNN_INLINE Vec lane_sums(Vec (&v)[kLanes]) {
  transpose(v);
  FASTCNN_UNROLL for (int half = kLanes / 2; half; half /= 2) FASTCNN_UNROLL for (int j = 0; j < half; ++j)
      v[j] = v[j] + v[j + half];
  return v[0];
}

void lane_sums(const float* x, int64_t vectors, float* y) {
  for (int64_t i = 0; i < vectors; i += kLanes) {
    const int count = vectors - i < kLanes ? (int)(vectors - i) : kLanes;
    Vec v[kLanes];
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) v[j] = j < count ? load(x + (i + j) * kLanes) : Vec{};
    store_n(y + i, lane_sums(v), count);
  }
}

FASTCNN_INLINE Vec vector_sum(const float* x, int64_t count) {
  Vec total[4] = {};
  for_each_block<4>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    FASTCNN_UNROLL for (int v = 0; v < block.kVectors; ++v) total[v] =
        total[v] + block.get(x + i + v * kLanes);
  });
  return (total[0] + total[1]) + (total[2] + total[3]);
}

void plane_sums(const LanesPlanes& planes) {
  const LanesPlanes a = planes;
  for (int64_t i = 0; i < a.planes; i += kLanes) {
    const int count = a.planes - i < kLanes ? (int)(a.planes - i) : kLanes;
    Vec v[kLanes];
    for (int j = 0; j < kLanes; ++j) v[j] = j < count ? vector_sum(a.x + (i + j) * a.plane, a.floats) : Vec{};
    const Vec before = a.accumulate ? load_n(a.y + i, count) : Vec{};
    store_n(a.y + i, before + lane_sums(v), count);
  }
}

// f(square, first sample, element, count): each square of kLanes samples and as many elements of them.
template <class F>
FASTCNN_INLINE void for_each_square(const LanesMove& m, F f) {
  const int64_t size = m.pixels * m.channels;
  int64_t pixel = 0, channel = 0;
  for (int64_t e = 0; e < size; e += kLanes) {
    const int count = size - e < kLanes ? (int)(size - e) : kLanes;
    int64_t at[kLanes];  // of the elements in lanes
    for (int j = 0; j < count; ++j) {
      at[j] = (channel * m.pixels + pixel) * kBatchLanes;
      if (++channel == m.channels) channel = 0, ++pixel;
    }
    for (int n = 0; n < kBatchLanes; n += kLanes) f(n, e, count, at);
  }
}

FASTCNN_INLINE Vec load_some(const float* p, int count) {
  return count == kLanes ? load(p) : load_n(p, count);
}

void to_lanes(const LanesMove& m) {
  const int64_t size = m.pixels * m.channels;
  for_each_square(m, [&](int n, int64_t e, int count, const int64_t* at) FASTCNN_INLINED {
    Vec v[kLanes];
    FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) v[i] =
        n + i < m.samples ? load_some(m.x + (n + i) * size + e, count) : Vec{};
    transpose(v);
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) if (j < count) store(m.y + at[j] + n, v[j]);
  });
}

void from_lanes(const LanesMove& m) {
  const int64_t size = m.pixels * m.channels;
  for_each_square(m, [&](int n, int64_t e, int count, const int64_t* at) FASTCNN_INLINED {
    Vec v[kLanes];
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) v[j] = j < count ? load(m.x + at[j] + n) : Vec{};
    transpose(v);
    FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) if (n + i < m.samples)
        store_n(m.y + (n + i) * size + e, v[i], count);
  });
}

void keep_where(const LanesMove& m, const float* mask, float keep) {
  const int64_t size = m.pixels * m.channels;
  for_each_square(m, [&](int n, int64_t e, int count, const int64_t* at) FASTCNN_INLINED {
    Vec v[kLanes];
    FASTCNN_UNROLL for (int i = 0; i < kLanes; ++i) v[i] = load_some(mask + (n + i) * size + e, count);
    transpose(v);
    FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) if (j < count) {
      const Vec x = load(m.x + at[j] + n);
      store(m.y + at[j] + n, v[j] == Vec{} ? Vec{} : x / keep);
    }
  });
}

void own_all(const float* x, int64_t count) {
  for (int64_t i = 0; i < count; i += kOwnedFloats) own(x + i);
}

}  // namespace

extern const LanesKernels lanes_kernels;
const LanesKernels lanes_kernels = {
    kLanes,
    row,
    pixels_of(kMostChannels),
    {0, most_channels(1), most_channels(2), most_channels(3), most_channels(4), most_channels(5)},
    wgrad,
    kVectors == 1 ? places_wgrad : nullptr,
    lane_sums,
    plane_sums,
    to_lanes,
    from_lanes,
    keep_where,
    own_all};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
