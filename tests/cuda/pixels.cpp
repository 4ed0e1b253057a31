// SPDX-License-Identifier: Apache-2.0
// The steps of csrc/cuda/pixels.h, their loads walked as a GPU walks the pixels of a map, against loops over
// everything: each pair of a pixel and a tap that belong to a window is met exactly once, by forward passes
// and by data gradients, every output belongs to one tile, and each load begins at a pixel that its map has.
#define FASTCNN_EMULATE_CUDA
#include "cuda/pixels.h"

#include <cstdio>
#include <map>
#include <random>
#include <tuple>

namespace {

using namespace fastcnn;
using namespace fastcnn::cuda;

using Meeting = std::tuple<int64_t, int64_t, int64_t>;  // pixel of x, tap, pixel of y
using Meetings = std::map<Meeting, int>;

Meetings by_definition(const ConvWalk& w) {
  Meetings met;
  for (int n = 0; n < w.n; ++n)
    for (int p = 0; p < w.h.out; ++p)
      for (int q = 0; q < w.w.out; ++q)
        for (int r = 0; r < w.h.taps; ++r)
          for (int s = 0; s < w.w.taps; ++s) {
            const int h = p * w.h.stride + r * w.h.dilation - w.h.pad;
            const int x = q * w.w.stride + s * w.w.dilation - w.w.pad;
            if (h < 0 || h >= w.h.in || x < 0 || x >= w.w.in) continue;
            ++met[{(int64_t(n) * w.h.in + h) * w.w.in + x, r * w.w.taps + s,
                   (int64_t(n) * w.h.out + p) * w.w.out + q}];
          }
  return met;
}

constexpr int kTileM = 16, kTileN = 8;
constexpr int32_t kBytes = 4;  // of a number

// What the tiles of the first columns meet; false: a load begins outside, an output is missing or made twice.
bool walk(const ConvWalk& w, bool gradient, Meetings* met) {
  ptx::Pixels from = {};
  from.of.bytes = kBytes;
  const PixelTile size = {kTileM, kTileN, from.of.numbers()};
  const PixelProduct p = gradient ? dgrad_product(w, size) : fprop_product(w, size);
  from.n = w.n, from.count = kTileM;
  from.h = gradient ? w.h.out : w.h.in, from.w = gradient ? w.w.out : w.w.in, from.c = gradient ? w.k : w.c;
  std::map<int64_t, int> outputs;
  for (int t = 0; t < p.tiles; ++t) {
    const auto tile = p.tile(t, kTileM, kTileN);
    if (tile.n > 0) continue;
    const PixelClassOfMap& c = p.of[tile.in_class];
    for (int i = 0; i < kTileM; ++i) {
      const int64_t place = p.place(c, tile.m + i);
      if (place >= 0) ++outputs[place];
    }
    const ptx::Pixels map = pixels_of(p, c, from);
    const int64_t last_h = map.h - 1 + map.upper_h, last_w = map.w - 1 + map.upper_w;
    PixelSteps at(p, c, tile.m);
    for (int step = 0; step < c.steps; ++step, at.next(p, c)) {
      int64_t x = at.a.w, h = at.a.h, n = at.a.n;
      if (x < map.lower_w || x > last_w || h < map.lower_h || h > last_h) return false;
      if (at.a.tap_h < 0 || at.a.tap_w < 0) return false;
      for (int i = 0; i < kTileM; ++i) {
        const int64_t a = h + at.a.tap_h, b = x + at.a.tap_w, place = p.place(c, tile.m + i);
        if (n < map.n && a >= 0 && a < map.h && b >= 0 && b < map.w && at.a.channel == 0) {
          const int64_t read = (n * map.h + a) * map.w + b, written = place / p.columns;
          if (place < 0) return false;
          ++(*met)[gradient ? Meeting{written, at.slice, read} : Meeting{read, at.slice, written}];
        }
        x += map.step_w;
        if (x > last_w) x = map.lower_w, h += map.step_h;
        if (h > last_h) h = map.lower_h, n += 1;
      }
    }
  }
  const int64_t pixels = gradient ? int64_t(w.n) * w.h.in * w.w.in : w.outputs();
  for (const auto& output : outputs)
    if (output.second != 1) return false;
  return int64_t(outputs.size()) == pixels;
}

}  // namespace

int main() {
  std::mt19937 random(7);
  const auto draw = [&](int low, int high) { return low + int(random() % unsigned(high - low + 1)); };
  int cases = 0;
  while (cases < 400) {
    Conv2dShape s = {};
    s.n = draw(1, 3), s.c = 4 * draw(1, 18), s.k = 4 * draw(1, 18), s.groups = 1;
    s.h = draw(1, 12), s.w = draw(1, 12), s.r = draw(1, 4), s.s = draw(1, 4);
    s.stride_h = s.stride_w = draw(1, 2);
    s.dilation_h = s.dilation_w = s.stride_h == 1 ? draw(1, 3) : 1;
    s.pad_top = draw(0, 3), s.pad_left = draw(0, 3);
    const int64_t h = s.h + s.pad_top + draw(0, 3) - ((s.r - 1) * s.dilation_h + 1);
    const int64_t w = s.w + s.pad_left + draw(0, 3) - ((s.s - 1) * s.dilation_w + 1);
    if (h < 0 || w < 0) continue;
    s.p = h / s.stride_h + 1, s.q = w / s.stride_w + 1;
    ++cases;
    const ConvWalk walk_of_all = walk_of(s);
    const Meetings wanted = by_definition(walk_of_all);
    for (const bool gradient : {false, true}) {
      Meetings met;
      if (!walk(walk_of_all, gradient, &met) || met != wanted) {
        std::printf("case %d, gradient %d, is wrong\n", cases, gradient);
        return 1;
      }
    }
  }
  std::printf("%d shapes\n", cases);
  return 0;
}
