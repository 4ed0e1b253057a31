// SPDX-License-Identifier: Apache-2.0
// y = max over each window (windows.h), index = the number of the greatest tap, a byte; and
// dx = sum over the windows that hold a pixel of dy where their index names it. Called by
// cpu/max_pool2d_index.cpp, which splits the work.
#include "max_pool2d_index.h"

#include "best.h"
#include "take_windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

template <int kCount>
FASTCNN_INLINE void put_bytes(Whole<kCount>, uint8_t* p, IVec v) {
  const LaneBytes bytes = lane_bytes(v);
  memcpy(p, &bytes, kLanes);
}
FASTCNN_INLINE void put_bytes(Part part, uint8_t* p, IVec v) {
  const LaneBytes bytes = lane_bytes(v);
  uint64_t word = bytes.word[0];
  if (part.lanes & 8) {
    memcpy(p, &word, 8);
    word = bytes.word[1], p += 8;
  }
  if (part.lanes & 4) {
    memcpy(p, &word, 4);
    word >>= 32, p += 4;
  }
  if (part.lanes & 2) {
    memcpy(p, &word, 2);
    word >>= 16, p += 2;
  }
  if (part.lanes & 1) *p = (uint8_t)word;
}

void fwd(const MaxPool2dIndexFwd& args, int64_t begin, int64_t end) {
  const MaxPool2dIndexFwd a = args;
  const Geometry g(*a.shape);
  for (int64_t row = begin; row < end; ++row) {
    for_each_window_of_row(
        g, row, g.s.stride_w == 1, a.x, [&](auto size, const Window& window) FASTCNN_INLINED {
          for_each_block<2>(window.channels, [&](auto block, int64_t c) FASTCNN_INLINED {
            const auto best = find_best(g, size, block, a.x + window.pixel + c, position_label);
            for (int v = 0; v < block.kVectors; ++v) {
              const int64_t at = window.output + c + v * kLanes;
              block.put(a.y + at, best.value[v]);
              put_bytes(block, a.index + at, best.label[v]);
            }
          });
        });
  }
}

void bwd(const MaxPool2dIndexBwd& args, int64_t n, int64_t begin, int64_t end) {
  const MaxPool2dIndexBwd a = args;
  const Geometry g(*a.shape);
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, row = s.q * s.c, outputs = n * s.p * row;
  float* dx = a.dx + n * s.h * width;
  if (s.c >= kLanes) {
    const Output output(a.dx, a.stream, s.c);
    for (int64_t h = begin; h < end; ++h) {
      Taken<uint8_t> rows[kMostTaps];
      int64_t count = 0;
      for_each_holder(g.rows, h, [&](int64_t p, int64_t) {
        const int64_t at = outputs + p * row;
        rows[count++] = {a.index + at, a.dy + at, a.y ? a.y + at : nullptr,
                         (h - g.rows.taps(p).begin) / g.rows.dilation};
      });
      take_row<TapPlaces>(g, rows, count, 0, dx + h * width, a.stream);
    }
    return output.end();
  }
  const Span over = g.rows.over(begin, end);
  const int64_t first = outputs + over.begin * row;
  const float *dy = a.dy + first, *y = a.y ? a.y + first : nullptr;
  const uint8_t* index = a.index + first;
  scatter_windows(
      g, dx, {begin, end}, over, [&](int64_t i) { return (int)index[i]; },
      [&](int64_t at, int64_t i) {
        if (!(y && y[i] <= 0)) dx[at] += dy[i];
      });
}

void take_pixels(const MaxPool2dPixels& args, int64_t begin, int64_t end) {
  const MaxPool2dPixels a = args;
  const Geometry g(*a.shape);
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, row = s.q * s.c;
  const Output output(a.dx, a.stream, s.c);
  for (int64_t h = begin; h < end; ++h) {
    Taken<int32_t> rows[kMostTaps];
    int64_t count = 0;
    for (int64_t o = 0; o < a.planes; ++o)
      for_each_holder(g.rows, h, [&](int64_t p, int64_t) {
        const int64_t at = o * a.pitch + p * row;
        rows[count++] = {a.index + at, a.dy + at, nullptr, 0};
      });
    take_row<PixelPlaces>(g, rows, count, a.first + h * s.w, a.dx + h * width, a.stream);
  }
  output.end();
}

}  // namespace

extern const MaxPool2dIndexKernels max_pool2d_index_kernels;
const MaxPool2dIndexKernels max_pool2d_index_kernels = {fwd, bwd, take_pixels, kLanes};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
