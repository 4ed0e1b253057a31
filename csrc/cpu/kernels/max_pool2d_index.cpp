// SPDX-License-Identifier: Apache-2.0
// y = max over each window (windows.h), index = the number of the greatest tap, a byte; and
// dx = sum over the windows that hold a pixel of dy where their index names it. Called by
// cpu/max_pool2d_index.cpp, which splits the work.
#include "max_pool2d_index.h"

#include "best.h"

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

typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
template <int kCount>
FASTCNN_INLINE IVec get_bytes(Whole<kCount>, const uint8_t* p) {
  Bytes bytes;
  memcpy(&bytes, p, kLanes);
  return __builtin_convertvector(bytes, IVec);
}
FASTCNN_INLINE IVec get_bytes(Part part, const uint8_t* p) {
  Bytes bytes = {};
  memcpy(&bytes, p, (size_t)part.lanes);
  return __builtin_convertvector(bytes, IVec);
}

void fwd(const MaxPool2dIndexFwd& args, int64_t begin, int64_t end) {
  const MaxPool2dIndexFwd a = args;
  const Geometry g(*a.shape);
  for (int64_t row = begin; row < end; ++row) {
    for_each_window_of_row(g, row, g.s.stride_w == 1, [&](auto size, const Window& window) FASTCNN_INLINED {
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

// What index holds: the number of the tap, or that of the pixel in the image.
struct Taps {
  const uint8_t* index;
  template <class Block>
  FASTCNN_INLINED IVec get(Block block, int64_t at) const {
    return get_bytes(block, index + at);
  }
  FASTCNN_INLINED int label(int64_t, int64_t, int64_t, int position) const { return position; }
};
struct Pixels {
  const int32_t* index;
  int64_t first, row_step, col_step;
  template <class Block>
  FASTCNN_INLINED IVec get(Block block, int64_t at) const {
    return vec_to_bits(block.get((const float*)index + at));
  }
  FASTCNN_INLINED int label(int64_t window, int64_t r, int64_t col, int) const {
    return (int)(first + window + r * row_step + col * col_step);
  }
};

// Of one image: dy, y [P,Q,C], dx [H,W,C].
struct Gradient {
  const float *dy, *y;
  float* dx;
};

// Tap by tap, whole vectors of dx that a window has mostly not chosen: one by one, as scatter_windows(), took
// six times as long for 64 channels, since no processor foresees which tap and what mask the next one has.
template <class Index>
FASTCNN_INLINE void scatter_vectors(const Geometry& g, Index index, Gradient a, Span band) {
  const Pool2dShape& s = g.s;
  const Span over = g.rows.over(band.begin, band.end);
  for (int64_t p = over.begin; p < over.end; ++p) {
    const int64_t above = g.rows.taps(p).begin - band.begin;
    for_each_window_of_row(g, p, false, [&](auto size, const Window& window) FASTCNN_INLINED {
      const int64_t first = window.pixel / s.c;
      for_each_vector(s.c, [&](auto block, int64_t c) FASTCNN_INLINED {
        const int64_t at = window.output + c;
        const IVec chosen = index.get(block, at);
        Vec dy = block.get(a.dy + at);
        if (a.y) dy = block.get(a.y + at) <= Vec{} ? Vec{} : dy;
        size.for_each_tap([&](int64_t r, int64_t col, int position) FASTCNN_INLINED {
          if ((uint64_t)(above + r * g.rows.dilation) >= (uint64_t)(band.end - band.begin)) return;
          float* dx = a.dx + window.pixel + r * g.row_step + col * g.col_step + c;
          block.put(dx, block.get(dx) + (chosen == index.label(first, r, col, position) ? dy : Vec{}));
        });
      });
    });
  }
}

void bwd(const MaxPool2dIndexBwd& args, int64_t n, int64_t begin, int64_t end) {
  const MaxPool2dIndexBwd a = args;
  const Geometry g(*a.shape);
  const int64_t width = g.s.w * g.s.c, outputs = g.s.p * g.s.q * g.s.c;
  float* dx = a.dx + n * g.s.h * width;
  if (g.s.c >= kLanes) {
    memset(dx + begin * width, 0, (size_t)((end - begin) * width) * sizeof *dx);
    const Gradient gradient = {a.dy + n * outputs, a.y ? a.y + n * outputs : nullptr, dx};
    return scatter_vectors(g, Taps{a.index + n * outputs}, gradient, {begin, end});
  }
  const Span over = g.rows.over(begin, end);
  const int64_t first = n * outputs + over.begin * g.s.q * g.s.c;
  const float *dy = a.dy + first, *y = a.y ? a.y + first : nullptr;
  const uint8_t* index = a.index + first;
  scatter_windows(
      g, dx, {begin, end}, over, [&](int64_t i) { return (int)index[i]; },
      [&](int64_t at, int64_t i) {
        if (!(y && y[i] <= 0)) dx[at] += dy[i];
      });
}

void add_at_pixels(const MaxPool2dPixels& args, int64_t begin, int64_t end) {
  const MaxPool2dPixels a = args;
  const Geometry g(*a.shape);
  const Pixels pixels = {a.index, a.first, g.rows.dilation * g.s.w, g.cols.dilation};
  scatter_vectors(g, pixels, {a.dy, nullptr, a.dx}, {begin, end});
}

}  // namespace

extern const MaxPool2dIndexKernels max_pool2d_index_kernels;
const MaxPool2dIndexKernels max_pool2d_index_kernels = {fwd, bwd, add_at_pixels, kLanes};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
