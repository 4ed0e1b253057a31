// SPDX-License-Identifier: Apache-2.0
// The index arithmetic of csrc/cuda/walk.h against loops over everything: each pair of a pixel and a tap that
// belong to a window is met exactly once, by fprop's walk and by the classes of dgrad's, and nothing else is.
#include "cuda/walk.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <tuple>

namespace {

using namespace fastcnn;
using namespace fastcnn::cuda;

using Meeting = std::tuple<int64_t, int64_t, int64_t>;  // element of x, row of w, element of y
using Meetings = std::map<Meeting, int>;

Meetings by_definition(const ConvWalk& w) {
  Meetings met;
  for (int n = 0; n < w.n; ++n)
    for (int z = 0; z < w.d.out; ++z)
      for (int p = 0; p < w.h.out; ++p)
        for (int q = 0; q < w.w.out; ++q)
          for (int t = 0; t < w.d.taps; ++t)
            for (int r = 0; r < w.h.taps; ++r)
              for (int s = 0; s < w.w.taps; ++s) {
                const int d = z * w.d.stride + t * w.d.dilation - w.d.pad;
                const int h = p * w.h.stride + r * w.h.dilation - w.h.pad;
                const int x = q * w.w.stride + s * w.w.dilation - w.w.pad;
                if (d < 0 || d >= w.d.in || h < 0 || h >= w.h.in || x < 0 || x >= w.w.in) continue;
                ++met[{n * w.image + ((int64_t(d) * w.h.in + h) * w.w.in + x) * w.c,
                       (int64_t(t) * w.h.taps + r) * w.w.taps + s,
                       n * w.gradient + ((int64_t(z) * w.h.out + p) * w.w.out + q) * w.k}];
              }
  return met;
}

Meetings by_outputs(const ConvWalk& w) {
  Meetings met;
  for (int i = 0; i < w.outputs(); ++i)
    for (int j = 0; j < w.taps() * w.group_c; ++j) {
      const Place y = w.output(i);
      const TapPlace t = w.tap(j, w.group_c);
      const int d = y.d * w.d.stride - w.d.pad + t.t * w.d.dilation,
                h = y.h * w.h.stride - w.h.pad + t.r * w.h.dilation,
                x = y.w * w.w.stride - w.w.pad + t.s * w.w.dilation;
      if (t.channel == 0 && w.inside(d, h, x))
        ++met[{y.n * w.image + w.element(d, h, x), w.tap_number(t.t, t.r, t.s),
               y.n * w.gradient + w.window(y.d, y.h, y.w)}];
    }
  return met;
}

Meetings by_classes(const ConvWalk& w, std::map<int64_t, int>* pixels) {
  Meetings met;
  int most = 0;
  for (int c = 0; c < w.classes(); ++c) {
    const PixelClass of = w.pixel_class(c);
    most = std::max(most, of.taps());
    for (int i = 0; i < w.class_pixels(); ++i) {
      const Place x = w.pixel_of_class(of, i);
      if (x.n < 0) continue;
      const int64_t element = x.n * w.image + w.element(x.d, x.h, x.w);
      ++(*pixels)[element];
      for (int j = 0; j < of.taps() * w.group_k; ++j) {
        const TapPlace t = of.tap(j, w.group_k);
        const int z = of.d.window(x.d, w.d) - t.t * of.d.step_back,
                  p = of.h.window(x.h, w.h) - t.r * of.h.step_back,
                  q = of.w.window(x.w, w.w) - t.s * of.w.step_back;
        if (t.channel == 0 && w.is_window(z, p, q))
          ++met[{element, w.tap_number(of.d.tap(t.t), of.h.tap(t.r), of.w.tap(t.s)),
                 x.n * w.gradient + w.window(z, p, q)}];
      }
    }
  }
  return most == w.most_taps_of_class() ? met : Meetings{};
}

}  // namespace

int main() {
  std::mt19937 random(7);
  const auto draw = [&](int low, int high) { return low + int(random() % unsigned(high - low + 1)); };
  int cases = 0;
  while (cases < 400) {
    ConvAxis axes[3];
    bool valid = true;
    for (ConvAxis& a : axes) {
      a = {draw(1, 7), draw(1, 4), 0, draw(1, 4), draw(1, 3), draw(0, 2)};
      const int reach = a.in + a.pad + draw(0, 2) - ((a.taps - 1) * a.dilation + 1);
      a.out = reach < 0 ? 0 : reach / a.stride + 1;
      valid = valid && a.out > 0;
    }
    if (!valid) continue;
    ++cases;
    ConvWalk w = {};
    w.d = axes[0], w.h = axes[1], w.w = axes[2];
    w.n = draw(1, 2), w.groups = 1, w.c = w.group_c = draw(1, 3), w.k = w.group_k = draw(1, 3);
    w.image = int64_t(w.d.in) * w.h.in * w.w.in * w.c;
    w.gradient = int64_t(w.d.out) * w.h.out * w.w.out * w.k;
    const Meetings wanted = by_definition(w);
    std::map<int64_t, int> pixels;
    bool right = by_outputs(w) == wanted && by_classes(w, &pixels) == wanted;
    right = right && int64_t(pixels.size()) * w.c == w.n * w.image;
    for (const auto& pixel : pixels) right = right && pixel.second == 1;
    if (!right) {
      std::printf("case %d is wrong: stride %d %d %d, taps %d %d %d\n", cases, w.d.stride, w.h.stride,
                  w.w.stride, w.d.taps, w.h.taps, w.w.taps);
      return 1;
    }
  }
  std::printf("%d shapes\n", cases);
  return 0;
}
