// SPDX-License-Identifier: Apache-2.0
// What Winograd's convolution and its weight gradient share: the forms of the algorithm, which pixels the
// tiles of an image are made of, and their way through a transform of kernels/winograd.h.
#pragma once
#include "blocking.h"
#include "kernels/winograd.h"

namespace fastcnn {
namespace cpu {

enum Order : int { kF2, kF4, kStrided, kStridedBack };

// Along an axis a point of a product is the sum of `count` products of points a, a + step, ... and b, b +
// step, ... Only outputs of a tile from first_output to end_output meet it.
struct Terms {
  int64_t a, b, count, step;
  int64_t first_output, end_output;
};

// Along an axis: outputs of a tile, how many pixels of the input two of them are apart, pixels of the input;
// points of V, of U and of M.
struct Form {
  int64_t outputs, two_outputs, pixels, v, u, m;
  Terms terms[6];  // of M, V and U
};
constexpr Form kForms[] = {
    {2, 2, 4, 4, 4, 4, {{0, 0, 1, 1, 0, 1}, {1, 1, 1, 1, 0, 2}, {2, 2, 1, 1, 0, 2}, {3, 3, 1, 1, 1, 2}}},
    {4,
     2,
     6,
     6,
     6,
     6,
     {{0, 0, 1, 1, 0, 1},
      {1, 1, 1, 1, 0, 4},
      {2, 2, 1, 1, 0, 4},
      {3, 3, 1, 1, 0, 4},
      {4, 4, 1, 1, 0, 4},
      {5, 5, 1, 1, 3, 4}}},
    {2, 4, 5, 5, 4, 3, {{0, 0, 2, 1, 0, 1}, {2, 3, 1, 1, 0, 2}, {3, 1, 2, 1, 1, 2}}},
    {4,
     1,
     3,
     4,
     4,
     5,
     {{0, 0, 1, 1, 0, 1}, {1, 3, 1, 1, 0, 3}, {3, 2, 1, 1, 2, 3}, {1, 1, 1, 1, 1, 2}, {2, 1, 1, 1, 3, 4}}}};

struct Flips {
  bool h, w;
};

// Along an axis a filter falls apart into parts of three or two taps, each an F(2,3) of its own, whose
// products add up: 4 = 2 + 2, 5 = 3 + 2, 6 = 3 + 3, 7 = 3 + 2 + 2; with stride 2 the even taps and the odd
// ones do, which meet every second pixel. A part of two taps is one of three whose last is zero: it has no
// product at the last of the points. Those of three come first, so that each point has the first few.
constexpr int64_t kMostParts = 3;
struct Split {
  int64_t parts, threes;  // parts, of three taps
  int64_t step;           // from a tap of a part to its next
  int64_t first[kMostParts];

  int64_t taps(int64_t part) const { return part < threes ? 3 : 2; }
};

// Of 2 to 7 taps, 4 to 7 with stride 2; for others there is none, parts is 0.
inline Split split_of(int64_t taps, int64_t stride) {
  Split d = {};
  if (stride > 2 || taps < 2 * stride || taps > 7) return d;
  d.step = stride;
  const auto add = [&](int64_t size) {
    for (int64_t phase = 0; phase < stride; ++phase) {
      // As many parts of three taps as leave none of a single one.
      const int64_t all = (taps - phase + stride - 1) / stride, threes = all % 3 == 1 ? all / 3 - 1 : all / 3;
      const int64_t count = size == 3 ? threes : (all - 3 * threes) / 2;
      for (int64_t i = 0; i < count; ++i)
        d.first[d.parts++] = phase + stride * (size == 3 ? 3 * i : 3 * threes + 2 * i);
    }
  };
  add(3), d.threes = d.parts, add(2);
  return d;
}

// How many of `most` pixels from `first`, `step` apart, lie before `end`.
inline int32_t pixels_before(int64_t end, int64_t first, int64_t step, int64_t most) {
  const int64_t rest = std::max<int64_t>(0, end - first);
  return static_cast<int32_t>(std::min(most, step == 1 ? rest : ceil_div(rest, step)));
}

// Those of the `most` pixels, in the order in which a transform takes them: flipped, the last comes first.
inline Pixels pixels_inside(int64_t end, int64_t first, int64_t step, int64_t most, bool flipped) {
  const int32_t before = pixels_before(0, first, step, most), inside = pixels_before(end, first, step, most);
  const int32_t all = static_cast<int32_t>(most);
  return flipped ? Pixels{all - inside, all - before} : Pixels{before, inside};
}

// An image falls apart into dilation_h x dilation_w phases of every so-manieth pixel, each convolved on its
// own. Where tiles of its last row or column reach beyond the last output, some of their points meet none: of
// outputs of 7x7 31 in 256 of F(2). So that the tiles that need a point are a range, those of the last rows
// of all images come first, then whole ones (whole_h x whole_w), then last columns and corners.
struct Tiling {
  Order order;
  int64_t outputs, v_points, u_points, m_points, products;  // of both axes, but for outputs
  int64_t dilation_h, dilation_w;
  int64_t tiles, whole_h, whole_w;
  int64_t first[4];       // tiles of each kind
  Pixels last_h, last_w;  // outputs of the last row's and the last column's tiles
};

inline Range common(Range a, Range b) { return {std::max(a.begin, b.begin), std::min(a.end, b.end)}; }

// The tiles of which some output meets a point.
inline Range tiles_that_meet(const Tiling& t, const Terms& h, const Terms& w) {
  const auto none = [](const Terms& point, const Pixels& outputs) {
    return point.first_output >= outputs.end || point.end_output <= outputs.begin;
  };
  const bool no_row = none(h, t.last_h), no_col = none(w, t.last_w);
  return {no_row ? t.first[1] : 0, no_col ? t.first[2] : no_row ? t.first[3] : t.tiles};
}

// Along an axis: its whole tiles, and the outputs of one more that is not.
inline int64_t whole_tiles(int64_t size, int64_t dilation, int64_t outputs, bool flipped, Pixels* last) {
  const int64_t rest = dilation == 1 ? size % outputs : 0;
  *last = pixels_inside(rest ? rest : outputs, 0, 1, outputs, flipped);
  return ceil_div(ceil_div(size, dilation), outputs) - (rest != 0);
}

inline Tiling tiling(Order order, const Conv2dShape& v, int64_t h, int64_t w, Flips flip) {
  Tiling t = {};
  t.order = order;
  const Form& form = kForms[order];
  t.outputs = form.outputs;
  t.v_points = form.v * form.v, t.u_points = form.u * form.u, t.m_points = form.m * form.m;
  for (int64_t i = 0; i < form.m; ++i) t.products += form.terms[i].count;
  t.products *= t.products;
  t.dilation_h = v.dilation_h, t.dilation_w = v.dilation_w;
  t.whole_h = whole_tiles(h, v.dilation_h, t.outputs, flip.h, &t.last_h);
  t.whole_w = whole_tiles(w, v.dilation_w, t.outputs, flip.w, &t.last_w);
  const int64_t images = v.n * v.dilation_h * v.dilation_w;
  const bool last_row = t.last_h.end - t.last_h.begin < t.outputs;
  const bool last_col = t.last_w.end - t.last_w.begin < t.outputs;
  t.first[1] = last_row * images * t.whole_w;
  t.first[2] = t.first[1] + images * t.whole_h * t.whole_w;
  t.first[3] = t.first[2] + last_col * images * t.whole_h;
  t.tiles = t.first[3] + (last_row && last_col) * images;
  return t;
}

// The first output pixel of a tile.
struct Place {
  int64_t n, p, q;
};

// f(i, place, count) for some tiles, each run of them that stand side by side in a row. A place is worked out
// once for each: divisions for each tile took a sixth of the time of 16 channels.
template <class F>
inline void for_each_run(const Tiling& t, Range tiles, F f) {
  const int64_t phases = t.dilation_h * t.dilation_w;
  int64_t i = tiles.begin;
  for (int kind = 0; kind < 4; ++kind) {
    const bool last_row = kind == 0 || kind == 3, last_col = kind >= 2;
    const int64_t rows = last_row ? 1 : t.whole_h, cols = last_col ? 1 : t.whole_w;
    for (const int64_t end = std::min(tiles.end, kind < 3 ? t.first[kind + 1] : t.tiles); i < end;) {
      const int64_t row = (i - t.first[kind]) / cols, col = (i - t.first[kind]) % cols;
      const int64_t image = row / rows, phase = image % phases;
      const int64_t h = last_row ? t.whole_h : row % rows, w = last_col ? t.whole_w : col;
      const Place at = {image / phases, phase / t.dilation_w + h * t.outputs * t.dilation_h,
                        phase % t.dilation_w + w * t.outputs * t.dilation_w};
      const int64_t count = std::min(end - i, cols - col);
      f(i, at, count);
      i += count;
    }
  }
}

// Some channels of images [n,h,w,c]; `edge` pixels of tiles, `spread` apart, lie (low_h, low_w) from those of
// their outputs, of which two are so many apart.
struct Tiled {
  const float* data;  // of the first image, at the first channel
  int64_t h, w, c, channels;
  int64_t low_h, low_w, edge, two_outputs;
  Flips flip;
  const float* zeros;  // [channels]
  int64_t spread = 1;
  bool short_h = false, short_w = false;  // as in InputTiles
};

// Points of one tile of V [point][tile][v_row], planes v_plane apart.
struct Points {
  float* v;  // of the first tile
  int64_t v_row, v_plane;
};

inline void transform_tiles(void (*transform)(const InputTiles&), const Tiling& d, const Tiled& x,
                            Range tiles, const Points& to) {
  InputTiles t = {};
  const int64_t row = d.dilation_h * x.w * x.c, last = x.edge - 1;
  const int64_t step_h = d.dilation_h * x.spread, step_w = d.dilation_w * x.spread;
  t.x_row = (x.flip.h ? -x.spread : x.spread) * row, t.pixel = x.c, t.width = x.w;
  t.step = x.flip.w ? -step_w : step_w;
  t.short_h = x.short_h, t.short_w = x.short_w;
  t.tile_step = d.outputs * d.dilation_w * x.two_outputs / 2;
  t.v_plane = to.v_plane, t.v_tile = to.v_row, t.channels = x.channels;
  t.zeros = x.zeros;
  t.tile_row = d.outputs * x.two_outputs / 2 * row;
  const float* const data = x.data + (x.flip.h ? last * x.spread * row : 0);
  const int64_t low_w = x.low_w + (x.flip.w ? last * step_w : 0);
  for_each_run(d, tiles, [&](int64_t i, const Place& at, int64_t count) {
    const int64_t h = at.p * x.two_outputs / 2 + x.low_h;
    t.rows = pixels_inside(x.h, h, step_h, x.edge, x.flip.h);
    t.x = data + (at.n * x.h + h) * x.w * x.c, t.col = at.q * x.two_outputs / 2 + low_w;
    t.v = to.v + (i - tiles.begin) * to.v_row;
    t.count = count;
    transform(t);
  });
}

// Planes an odd number of lines apart: the points of a tile lie in as many sets of the caches. (Planes 20 KB
// apart doubled the time of a weight gradient.)
inline int64_t plane_floats(int64_t floats) { return (ceil_div(floats, 16) | 1) * 16; }

// Planes of points of two axes.
struct Planes {
  const float* data;
  int64_t points, plane;  // of an axis
};

// The products of a point of two axes.
inline void set_terms(Tile* t, const Terms& h, const Terms& w, const Planes& a, const Planes& b) {
  t->taps_h = h.count, t->taps_w = w.count;
  t->a = a.data + (h.a * a.points + w.a) * a.plane, t->b = b.data + (h.b * b.points + w.b) * b.plane;
  t->a_h = h.step * a.points * a.plane, t->a_w = w.step * a.plane;
  t->b_h = h.step * b.points * b.plane, t->b_w = w.step * b.plane;
}

inline bool fits_winograd(const Conv2dShape& v, bool strided) {
  const int64_t stride = strided ? 2 : 1;
  return v.r == 3 && v.s == 3 && v.stride_h == stride && v.stride_w == stride && v.groups == 1 &&
         (!strided || (v.dilation_h == 1 && v.dilation_w == 1));
}

}  // namespace cpu
}  // namespace fastcnn
