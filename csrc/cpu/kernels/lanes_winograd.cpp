// SPDX-License-Identifier: Apache-2.0
// See lanes_winograd.h. Every transform is one of rows and then one of columns, vector by vector.
#include "lanes_winograd.h"

#include "blocks.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

constexpr int kVectors = kBatchLanes / kLanes;

struct Four {
  Vec v[4];
};

// B^T d, G g and A^T m.
FASTCNN_INLINE Four input_of(Vec a, Vec b, Vec c, Vec d) { return {{a - c, b + c, c - b, b - d}}; }
FASTCNN_INLINE Four filter_of(Vec a, Vec b, Vec c) {
  const Vec half = broadcast(0.5f), outer = (a + c) * half, middle = b * half;
  return {{a, outer + middle, outer - middle, c}};
}
FASTCNN_INLINE void output_of(Vec a, Vec b, Vec c, Vec d, Vec (&y)[2]) {
  y[0] = a + b + c;
  y[1] = b - c - d;
}

void filter(const WinogradFilter& f) {
  for_each_vector(f.end - f.begin, [&](auto block, int64_t j) FASTCNN_INLINED {
    const int64_t i = f.begin + j;
    Four rows[3];
    FASTCNN_UNROLL for (int s = 0; s < 3; ++s) {
      Vec g[3];
      FASTCNN_UNROLL for (int r = 0; r < 3; ++r) {
        const int tap = 3 * r + s;
        g[r] = block.get(f.w + (f.flip ? 8 - tap : tap) * f.count + i);
      }
      rows[s] = filter_of(g[0], g[1], g[2]);
    }
    FASTCNN_UNROLL for (int r = 0; r < 4; ++r) {
      const Four u = filter_of(rows[0].v[r], rows[1].v[r], rows[2].v[r]);
      FASTCNN_UNROLL for (int s = 0; s < 4; ++s) block.put(f.u + (4 * r + s) * f.count + i, u.v[s]);
    }
  });
}

// One vector of a tile; get(r, s) is its input.
template <class Get>
FASTCNN_INLINE void transform_input(float* v, int64_t position, Get get) {
  Four cols[4];
  FASTCNN_UNROLL for (int s = 0; s < 4; ++s) cols[s] = input_of(get(0, s), get(1, s), get(2, s), get(3, s));
  FASTCNN_UNROLL for (int r = 0; r < 4; ++r) {
    const Four d = input_of(cols[0].v[r], cols[1].v[r], cols[2].v[r], cols[3].v[r]);
    FASTCNN_UNROLL for (int s = 0; s < 4; ++s) store(v + (4 * r + s) * position, d.v[s]);
  }
}

void input(const WinogradInput& a) {
  const int64_t row = a.width * kBatchLanes, position = a.position;
  const bool rows_inside = a.row >= 0 && a.row + 4 <= a.height;
  for (int64_t c = 0; c < a.channels; ++c)
    for (int64_t t = 0; t < a.tiles; ++t) {
      const int64_t col = a.col + 2 * t;
      const float* x = a.x + (c * a.height + a.row) * row + col * kBatchLanes;
      float* v = a.v + (t * a.channels + c) * kBatchLanes;
      if (rows_inside && col >= 0 && col + 4 <= a.width) {
        for (int i = 0; i < kBatchLanes; i += kLanes)
          transform_input(v + i, position, [&](int r, int s) FASTCNN_INLINED {
            return load(x + r * row + s * kBatchLanes + i);
          });
      } else {
        for (int i = 0; i < kBatchLanes; i += kLanes)
          transform_input(v + i, position, [&](int r, int s) FASTCNN_INLINED {
            const bool inside =
                (uint64_t)(a.row + r) < (uint64_t)a.height && (uint64_t)(col + s) < (uint64_t)a.width;
            return inside ? load(x + r * row + s * kBatchLanes + i) : Vec{};
          });
      }
    }
}

void output(const WinogradOutput& a) {
  const int64_t position = a.position;
  for (int64_t c = 0; c < a.channels; ++c) {
    const Vec bias = a.bias ? broadcast(a.bias[c]) : Vec{};
    for (int64_t t = 0; t < a.tiles; ++t)
      for (int i = 0; i < kBatchLanes; i += kLanes) {
        const float* m = a.m + (c * a.tiles + t) * kBatchLanes + i;
        Vec rows[4][2];  // of each column
        FASTCNN_UNROLL for (int s = 0; s < 4; ++s)
            output_of(load(m + s * position), load(m + (4 + s) * position), load(m + (8 + s) * position),
                      load(m + (12 + s) * position), rows[s]);
        FASTCNN_UNROLL for (int r = 0; r < 2; ++r) {
          if (r >= a.rows) break;
          Vec y[2];
          output_of(rows[0][r], rows[1][r], rows[2][r], rows[3][r], y);
          FASTCNN_UNROLL for (int s = 0; s < 2; ++s) {
            if (2 * t + s >= a.cols) break;
            const int64_t at = c * a.y_channel + r * a.y_row + (2 * t + s) * kBatchLanes + i;
            Vec value = y[s] + bias;
            if (a.relu) value = relu(value);
            if (a.mask) value = load(a.mask + at) <= Vec{} ? Vec{} : value;
            store(a.y + at, value);
          }
        }
      }
  }
}

}  // namespace

extern const LanesWinogradKernels lanes_winograd_kernels;
const LanesWinogradKernels lanes_winograd_kernels = {filter, input, output};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
