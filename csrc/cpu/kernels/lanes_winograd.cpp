// SPDX-License-Identifier: Apache-2.0
// See lanes_winograd.h. Every transform is one of rows and then one of columns, vector by vector.
#include "lanes_winograd.h"

#include "blocks.h"
#include "lanes_greatest.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kVectors = kBatchLanes / kLanes;

// B^T x, G w and A^T m along an axis. A point of x is x[a] + sign x[b].
struct Sum {
  int a, sign, b;
};

struct Three {
  static constexpr int kTaps = 3, kPixels = 4, kPoints = 4;
  static constexpr Sum kSums[] = {{0, -1, 2}, {1, 1, 2}, {2, -1, 1}, {1, -1, 3}};
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    const Vec half = broadcast(0.5f), outer = (w[0] + w[2]) * half, middle = w[1] * half;
    u[0] = w[0];
    u[1] = outer + middle;
    u[2] = outer - middle;
    u[3] = w[2];
  }
};

// Each point of the last two taps stands behind that of the first three which meets the same outputs.
struct Five {
  static constexpr int kTaps = 5, kPixels = 6, kPoints = 7;
  static constexpr Sum kSums[] = {{0, -1, 2}, {3, -1, 4}, {1, 1, 2}, {4, 0, 4},
                                  {2, -1, 1}, {1, -1, 3}, {4, -1, 5}};
  FASTCNN_INLINE void filter(const Vec* w, Vec* u) {
    Vec three[4];
    Three::filter(w, three);
    u[0] = three[0];
    u[1] = w[3];
    u[2] = three[1];
    u[3] = w[3] + w[4];
    u[4] = three[2];
    u[5] = three[3];
    u[6] = w[4];
  }
  // G^T.
  FASTCNN_INLINE void gradient(const Vec* u, Vec* w) {
    const Vec half = broadcast(0.5f), outer = (u[2] + u[4]) * half;
    w[0] = u[0] + outer;
    w[1] = (u[2] - u[4]) * half;
    w[2] = outer + u[5];
    w[3] = u[1] + u[3];
    w[4] = u[3] + u[6];
  }
};

FASTCNN_INLINE void output_of(Vec a, Vec b, Vec c, Vec d, Vec (&y)[2]) {
  y[0] = a + b + c;
  y[1] = b - c - d;
}

template <class Form>
void filter(const WinogradFilter& f) {
  constexpr int kTaps = Form::kTaps, kPoints = Form::kPoints;
  for_each_vector(f.end - f.begin, [&](auto block, int64_t j) FASTCNN_INLINED {
    const int64_t i = f.begin + j;
    Vec cols[kTaps][kPoints];
    for (int s = 0; s < kTaps; ++s) {
      Vec w[kTaps];
      FASTCNN_UNROLL for (int r = 0; r < kTaps; ++r) {
        const int tap = kTaps * r + s;
        w[r] = block.get(f.w + (f.flip ? kTaps * kTaps - 1 - tap : tap) * f.count + i);
      }
      Form::filter(w, cols[s]);
    }
    for (int r = 0; r < kPoints; ++r) {
      Vec w[kTaps], u[kPoints];
      FASTCNN_UNROLL for (int s = 0; s < kTaps; ++s) w[s] = cols[s][r];
      Form::filter(w, u);
      FASTCNN_UNROLL for (int s = 0; s < kPoints; ++s) block.put(f.u + (kPoints * r + s) * f.count + i, u[s]);
    }
  });
}

void filter_gradient(const float* from, float* dw, int64_t count) {
  constexpr int kTaps = Five::kTaps, kPoints = Five::kPoints;
  for (int64_t i = 0; i < count; i += kLanes) {
    Vec cols[kPoints][kTaps];
    for (int s = 0; s < kPoints; ++s) {
      Vec d[kPoints];
      FASTCNN_UNROLL for (int r = 0; r < kPoints; ++r) d[r] = load(from + (kPoints * r + s) * count + i);
      Five::gradient(d, cols[s]);
    }
    for (int r = 0; r < kTaps; ++r) {
      Vec d[kPoints], w[kTaps];
      FASTCNN_UNROLL for (int s = 0; s < kPoints; ++s) d[s] = cols[s][r];
      Five::gradient(d, w);
      FASTCNN_UNROLL for (int s = 0; s < kTaps; ++s) store(dw + (kTaps * r + s) * count + i, w[s]);
    }
  }
}

// One vector of rows [begin, end) of a tile's points. All columns of points would not stay in registers:
// pixels are loaded anew for each row.
template <class Form>
FASTCNN_INLINE void transform_input(const float* x, int64_t row, int64_t begin, int64_t end, float* v,
                                    int64_t point) {
  constexpr int kPixels = Form::kPixels, kPoints = Form::kPoints;
  for (int64_t r = begin; r < end; ++r) {
    const Sum down = Form::kSums[r];
    const Vec sign = broadcast((float)down.sign);
    const float *const a = x + down.a * row, *const b = x + down.b * row;
    Vec cols[kPixels];
    FASTCNN_UNROLL for (int s = 0; s < kPixels; ++s) cols[s] =
        fma(sign, load(b + s * kBatchLanes), load(a + s * kBatchLanes));
    FASTCNN_UNROLL for (int s = 0; s < kPoints; ++s, v += point) {
      constexpr const Sum* kAcross = Form::kSums;
      const Vec first = cols[kAcross[s].a], second = cols[kAcross[s].b];
      store(v, kAcross[s].sign == 0 ? first : kAcross[s].sign > 0 ? first + second : first - second);
    }
  }
}

template <class Form>
void input(const WinogradInput& arguments) {
  const WinogradInput a = arguments;
  constexpr int kPixels = Form::kPixels, kPixelsRow = kPixels * kBatchLanes;
  const int64_t row = a.width * kBatchLanes, point = opaque(a.point);
  const bool rows_inside = a.row >= 0 && a.row + kPixels <= a.height;
  for (int64_t c = 0; c < a.channels; ++c)
    for (int64_t t = 0; t < a.tiles; ++t) {
      const int64_t col = a.col + 2 * t;
      const float* x = a.x + (c * a.height + a.row) * row + col * kBatchLanes;
      float* v = a.v + (t * a.channels + c) * kBatchLanes;
      if (rows_inside && col >= 0 && col + kPixels <= a.width) {
        for (int i = 0; i < kBatchLanes; i += kLanes)
          transform_input<Form>(x + i, row, a.begin, a.end, v + i, point);
        continue;
      }
      float tile[kPixels * kPixelsRow];
      for (int r = 0; r < kPixels; ++r)
        for (int s = 0; s < kPixels; ++s) {
          const bool inside =
              (uint64_t)(a.row + r) < (uint64_t)a.height && (uint64_t)(col + s) < (uint64_t)a.width;
          for (int i = 0; i < kBatchLanes; i += kLanes)
            store(tile + r * kPixelsRow + s * kBatchLanes + i,
                  inside ? load(x + r * row + s * kBatchLanes + i) : Vec{});
        }
      for (int i = 0; i < kBatchLanes; i += kLanes)
        transform_input<Form>(tile + i, kPixelsRow, a.begin, a.end, v + i, point);
    }
}

void gradient(const WinogradGradient& arguments) {
  const WinogradGradient a = arguments;
  const Vec sign = broadcast(a.subtracts ? -1.0f : 1.0f);
  const int64_t position = opaque(a.position);
  for (int64_t t = 0; t < a.tiles; ++t) {
    const bool right = 2 * t + 1 < a.columns;
    const int64_t first = 2 * t * a.pixel;
    float* w = a.w + t * a.pixel;
    for (int64_t i = 0; i < a.pixel; i += kLanes, w += kLanes) {
      const auto column = [&](int64_t at) FASTCNN_INLINED {
        const Vec upper = a.upper ? load(a.upper + at) : Vec{};
        return a.lower ? fma(sign, load(a.lower + at), upper) : upper;
      };
      const Vec c = column(first + i), d = right ? column(first + a.pixel + i) : Vec{};
      store(w, c);
      store(w + position, c + d);
      store(w + 2 * position, c - d);
      store(w + 3 * position, Vec{} - d);
    }
  }
}

// The outputs of a tile.
FASTCNN_INLINE void outputs_of(const float* m, int64_t position, Vec (&y)[2][2]) {
  Vec rows[4][2];  // of each column
  FASTCNN_UNROLL for (int s = 0; s < 4; ++s)
      output_of(load(m + s * position), load(m + (4 + s) * position), load(m + (8 + s) * position),
                load(m + (12 + s) * position), rows[s]);
  FASTCNN_UNROLL for (int r = 0; r < 2; ++r) output_of(rows[0][r], rows[1][r], rows[2][r], rows[3][r], y[r]);
}

// f(channel, tile, lane, y) of all tiles' outputs with their bias.
template <class F>
FASTCNN_INLINE void for_each_tile(const WinogradOutput& a, F f) {
  const int64_t position = opaque(a.position);
  for (int64_t c = 0; c < a.channels; ++c) {
    const Vec bias = a.bias ? broadcast(a.bias[c]) : Vec{};
    for (int64_t t = 0; t < a.tiles; ++t)
      for (int i = 0; i < kBatchLanes; i += kLanes) {
        Vec y[2][2];
        outputs_of(a.m + (c * a.tiles + t) * kBatchLanes + i, position, y);
        FASTCNN_UNROLL for (int k = 0; k < 4; ++k) y[k / 2][k % 2] = y[k / 2][k % 2] + bias;
        f(c, t, i, y);
      }
  }
}

void pooled_output(const WinogradOutput& arguments) {
  const WinogradOutput a = arguments;
  const Vec least = a.relu ? Vec{} : broadcast(-__builtin_inff());
  for_each_tile(a, [&](int64_t c, int64_t t, int i, const Vec(&y)[2][2]) FASTCNN_INLINED {
    Greatest greatest;
    FASTCNN_UNROLL for (int tap = 0; tap < 4; ++tap) {
      const Vec sum = y[tap / 2][tap % 2], value = sum < least ? least : sum;
      if (tap == 0)
        greatest.begin(value, tap);
      else
        greatest.take(value, tap);
    }
    const int64_t at = c * a.y_channel + t * kBatchLanes + i;
    store(a.y + at, greatest.value);
    if (a.index) store_bytes(a.index + at, greatest.tap);
  });
}

void output(const WinogradOutput& arguments) {
  const WinogradOutput a = arguments;
  if (a.pool) return pooled_output(a);
  for_each_tile(a, [&](int64_t c, int64_t t, int i, const Vec(&y)[2][2]) FASTCNN_INLINED {
    FASTCNN_UNROLL for (int r = 0; r < 2; ++r) {
      if (r >= a.rows) break;
      FASTCNN_UNROLL for (int s = 0; s < 2; ++s) {
        if (2 * t + s >= a.cols) break;
        const int64_t at = c * a.y_channel + r * a.y_row + (2 * t + s) * kBatchLanes + i;
        Vec value = a.relu ? relu(y[r][s]) : y[r][s];
        if (a.mask) value = load(a.mask + at) <= Vec{} ? Vec{} : value;
        store(a.y + at, value);
      }
    }
  });
}

}  // namespace

extern const LanesWinogradKernels lanes_winograd_kernels;
const LanesWinogradKernels lanes_winograd_kernels = {
    {filter<Three>, filter<Five>}, {input<Three>, input<Five>}, output, gradient, filter_gradient};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
