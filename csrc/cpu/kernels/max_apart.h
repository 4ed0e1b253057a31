// SPDX-License-Identifier: Apache-2.0
// dx of max pooling whose windows stand side by side and do not overlap, row by row of them: each vector of
// pixels is read once and written once. Included by pool2d_bwd.cpp.
#pragma once
#include "windows.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Of few channels a vector holds some pixels of a window, or some whole windows; the last vector of a row of
// a window ends where the row does, and may begin with pixels of the one before. What the pixels of a window
// in a vector have found comes together by turning them in their places. Found in one walk over the taps and
// compared with their numbers in another: where the greatest was found first, and then its place, windows of
// 16 and more channels took 1.1 to 1.3 times as long, as NumPy's vectors lie in two cache lines each.
class ApartRows {
 public:
  static constexpr int64_t kMostVectors = 128;  // of a window

  // Whether there are no other pixels between windows, and few enough vectors.
  static bool supports(const Geometry& g) {
    const int64_t pixels = g.s.c < kLanes ? smaller(g.s.s, kLanes / g.s.c) : 1;
    return g.s.stride_w == g.s.s && g.s.r * ((g.s.s + pixels - 1) / pixels) <= kMostVectors;
  }

  ApartRows(const Geometry& g, const Pool2dBwd& a)
      : c_(g.s.c), window_(g.s.s * g.s.c), relu_mask_(a.relu_mask), output_(a.dx, a.stream, g.s.c) {
    const int64_t pixels = c_ < kLanes ? smaller(g.s.s, kLanes / c_) : 1;
    vectors_ = (g.s.s + pixels - 1) / pixels;
    windows_ = pixels == g.s.s ? larger(kLanes / window_, 1) : 1;
    for (int64_t r = 0, t = 0; r < g.s.r; ++r)
      for (int64_t v = 0; v < vectors_; ++v, ++t) {
        const int64_t pixel = smaller(v * pixels, g.s.s - pixels);
        at_[t] = r * g.row_step + pixel * c_, number_[t] = (int32_t)(r * g.s.s + pixel);
      }
    if (c_ >= kLanes) return;
    lanes_ = windows_ * pixels * c_;
    for (; 1 << turns_ < pixels; ++turns_) turned_[turns_] = iota();
    int32_t from[kLanes] = {}, place[kLanes] = {};
    for (int64_t i = 0; i < lanes_; ++i) {
      const int64_t channel = i % c_, pixel = i / c_ % pixels, window = i / c_ / pixels;
      from[i] = (int32_t)(window * c_ + channel), place[i] = (int32_t)pixel;
      for (int turn = 0; turn < turns_; ++turn)
        turned_[turn][i] = (int32_t)((window * pixels + (pixel + (1 << turn)) % pixels) * c_ + channel);
    }
    memcpy(&from_, from, sizeof from), memcpy(&place_, place, sizeof place);
  }

  // `count` windows of `rows` rows of pixels. False if there is a NaN, or infinities of both signs.
  __attribute__((noinline)) bool write(const float* x, const float* dy, float* dx, int64_t rows,
                                       int64_t count) const {
    const Run run = {rows * vectors_, windows_ * window_, output_};
    const int64_t dy_step = windows_ * c_;
    Vec all = {};
    const auto take = [&](auto block, int64_t given, int64_t channel, int64_t step, int64_t dy_step,
                          int64_t in_order) FASTCNN_INLINED {
      constexpr int kVectors = block.kVectors;
      Given<kVectors> some;
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        some.v[v] = load_n(dy + channel + v * dy_step, (int)smaller(given, kLanes));
        if (c_ < kLanes) some.v[v] = pick(some.v[v], some.v[v], from_);
      }
      write_some(block, run, step, in_order, x + channel, some, dx + channel, &all);
    };
    const auto next = [&](int64_t times) FASTCNN_INLINED {
      x += times * run.step, dy += times * dy_step, dx += times * run.step, count -= times * windows_;
    };
    if (c_ >= kLanes) {
      for (; count > 0; next(1)) {
        int64_t i = 0;
        for (; i + kMany * kLanes <= c_; i += kMany * kLanes)
          take(Whole<kMany>{}, kLanes, i, kLanes, kLanes, 1);
        for (; i < c_; i += kLanes) take(Whole<1>{}, kLanes, smaller(i, c_ - kLanes), 0, 0, 1);
      }
    } else {
      // What a whole vector writes beyond its windows the next ones write again.
      for (; count > kMany * windows_; next(kMany))
        take(Whole<kMany>{}, dy_step, 0, run.step, dy_step, vectors_);
      for (; count > windows_; next(1)) take(Whole<1>{}, dy_step, 0, 0, 0, 1);
      take(Part{(int)(lanes_ / windows_ * count)}, count * c_, 0, 0, 0, 1);
    }
    return lane_sum(all) == lane_sum(all);
  }

 private:
  static constexpr int kMany = kRegisters > 16 ? 4 : 2;

  template <int kVectors>
  struct Given {
    Vec v[kVectors];
  };

  struct Run {
    int64_t vectors, step;  // of a window; from some windows to the next
    Output output;
  };

  template <class Block>
  FASTCNN_INLINED void write_some(Block block, const Run& run, int64_t step, int64_t in_order, const float* x,
                                  Given<Block::kVectors> dy, float* dx, Vec* all) const {
    constexpr int kVectors = Block::kVectors;
    Vec best[kVectors];
    IVec found[kVectors];
    FASTCNN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      best[v] = block.get(x + v * step), found[v] = IVec{};
      *all += best[v];
    }
    for (int64_t t = 1; t < run.vectors; ++t) {
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        const Vec value = block.get(x + at_[t] + v * step);
        found[v] = value <= best[v] ? found[v] : IVec{} + number_[t];
        best[v] = max_or_second(value, best[v]);
        *all += value;
      }
    }
    if (turns_ > 0) {
      Vec own[kVectors];
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) own[v] = best[v];
      for (int turn = 0; turn < turns_; ++turn) {
        FASTCNN_UNROLL
        for (int v = 0; v < kVectors; ++v)
          best[v] = max_or_second(pick(best[v], best[v], turned_[turn]), best[v]);
      }
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v)
        found[v] = own[v] == best[v] ? found[v] + place_ : IVec{} + INT32_MAX;
      for (int turn = 0; turn < turns_; ++turn) {
        FASTCNN_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const Vec bits = bits_to_vec(found[v]);
          const IVec other = vec_to_bits(pick(bits, bits, turned_[turn]));
          found[v] = other < found[v] ? other : found[v];
        }
      }
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) found[v] -= place_;
    }
    if (relu_mask_) {
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) dy.v[v] = best[v] <= Vec{} ? Vec{} : dy.v[v];
    }
    for (int64_t t = 0; t < run.vectors; t += in_order) {
      FASTCNN_UNROLL
      for (int v = 0; v < kVectors; ++v)
        for (int64_t i = t; i < t + in_order; ++i)
          run.output.put(block, dx + at_[i] + v * step, found[v] == number_[i] ? dy.v[v] : Vec{});
    }
  }

  int64_t c_, window_;         // floats of a pixel, and of a row of a window
  int64_t vectors_, windows_;  // vectors of that row, and windows of a vector
  int64_t lanes_ = kLanes;     // of a vector that are pixels of its windows
  int32_t relu_mask_;
  int turns_ = 0;
  IVec turned_[4];     // lanes 1, 2, 4 and 8 pixels on in a window
  IVec from_, place_;  // of dy which lane; in a vector which pixel of a window
  Output output_;
  int64_t at_[kMostVectors];      // from a window's first pixel, in floats
  int32_t number_[kMostVectors];  // in row-major order
};

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
