// SPDX-License-Identifier: Apache-2.0
// Maxima that are told as the numbers of pixels of an image, and dy that is added where such numbers say.
// Included by max_pool_bwd.cpp.
#pragma once
#include "max_places.h"

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

// Once for those whose places keep its address anyhow, for less code. Where windows give one by one, many
// small images took 1.1 times as long with it.
FASTCNN_ALONE Geometry geometry_of(const Pool2dShape& shape) { return Geometry(shape); }

// The channels of vectors that follow each other.
struct Channels {
  IVec now, count;
  int32_t step;
  Channels(int32_t c, int32_t first) : now(iota() + first), count(IVec{} + c), step(kLanes % c) {
    for (int32_t i = c; i < kLanes + first; i += c) wrap();
  }
  FASTCNN_INLINED void wrap() { now -= now >= count ? count : IVec{}; }
  FASTCNN_INLINED void next() { now += step, wrap(); }
};

// Of `count` of `numbers` the distances in floats of what they tell, the first of which is of channel
// `channel`, and values: zero, for the first pixel, where they tell others than those of dx.
struct Numbers {
  const int32_t* numbers;
  const float* values;
  int64_t count;
  int32_t c, channel, first, pixels;
};
FASTCNN_ALONE void work_out(const Numbers& given, float* at, float* values) {
  const Numbers a = given;
  Channels channel(a.c, a.channel);
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const IVec pixel = vec_to_bits(block.get((const float*)a.numbers + i)) - a.first;
    const IVec has = (UVec)pixel < UVec{} + (uint32_t)a.pixels;
    store(at + i, bits_to_vec((has ? pixel * a.c : IVec{}) + channel.now));
    store(values + i, has ? block.get(a.values + i) : Vec{});
    channel.next();
  });
}

// Distances from pixel `first` as pixels. They are divided without a rest: by the twos in C, and by what is
// left of C with its inverse modulo 2^32.
struct Found {
  const float *at, *values;
  int64_t count;
  int32_t c, first;
};
FASTCNN_ALONE void number_pixels(const Found& given, float* y, int32_t* index) {
  const Found a = given;
  const int twos = __builtin_ctz((unsigned)a.c);
  const uint32_t odd = (uint32_t)a.c >> twos;
  uint32_t inverse = odd;
  for (int i = 0; i < 4; ++i) inverse *= 2 - odd * inverse;
  Channels channel(a.c, 0);
  for_each_vector(a.count, [&](auto block, int64_t i) FASTCNN_INLINED {
    const IVec pixels = ((vec_to_bits(load(a.at + i)) - channel.now) >> twos) * (int32_t)inverse + a.first;
    block.put((float*)index + i, bits_to_vec(pixels));
    block.put(y + i, load(a.values + i));
    channel.next();
  });
}

// What is found is copied from scratch, as more than that is written there.
void find(const MaxPoolFind& args, float* scratch, int64_t begin, int64_t end) {
  const MaxPoolFind a = args;
  const Geometry g = geometry_of(*a.places.shape);
  const Pool2dShape& s = g.s;
  const int64_t width = s.w * s.c, row = s.q * s.c;
  Places places(g, a.places, scratch);
  float *const at = scratch + (4 + 2 * a.places.rows) * a.places.line, *const values = at + a.places.line;
  for (int64_t count; begin < end; begin += count) {
    const int64_t n = begin / s.p, first = begin - n * s.p, last = smaller(s.p, first + end - begin);
    const float* const image = a.x + n * s.h * width;
    const int64_t above = g.rows.taps(first).begin;
    places.begin(image, image + above * width, nullptr, last);
    count = last - first;
    for (int64_t p = first, some; p < last; p += some) {
      some = places.group(p, last);
      const int64_t to = (n * s.p + p) * row;
      places.find_rows(p, some, values, at);
      number_pixels({at, values, some * row, (int32_t)s.c, (int32_t)(above * s.w)}, a.y + to, a.index + to);
    }
  }
}

// Distances are worked out in vectors, so that nothing but adding is left one by one: element by element both
// took 1.1 to 1.3 times as long. And alone: after a call of a function of this file GCC 12 does not clear the
// upper halves of registers, and SSE instructions of callers wait for them. Some rows of windows at a time:
// what they reach is cleared just before, and what the next ones reach is fetched meanwhile.
void add_pixels(const MaxPixels& args) {
  const MaxPixels a = args;
  constexpr int64_t kMost = 512;
  float at[kMost], values[kMost];
  const int64_t size = a.pixels * a.c, group = larger(kMost / a.row, 1);
  const bool distances = a.whole && a.c == 1;  // they are
  Numbers next = {a.index, a.dy, 0, (int32_t)a.c, 0, a.first, a.pixels};
  for (float *dx = a.dx, *const last = dx + a.images * size; dx < last; dx += size) {
    int64_t cleared = 0;
    for (int64_t row = 0, end; row < a.rows; row = end) {
      end = smaller(row + group, a.rows);
      const int64_t reach = smaller(a.reach + (end - 1) * a.step, size);
      set_zero(dx + cleared, reach - cleared);
      cleared = larger(cleared, reach);
      Next ahead = {dx + cleared, smaller(last - dx - cleared, group * a.step)};
      next.channel = 0;
      for (int64_t left = (end - row) * a.row; left > 0; left -= next.count) {
        next.count = smaller(left, kMost);
        if (!distances) work_out(next, at, values);
        ahead = add_at(distances ? (const float*)next.numbers : at, distances ? next.values : values,
                       next.count, dx, ahead);
        next.numbers += next.count, next.values += next.count;
        next.channel = (int32_t)((next.channel + next.count) % a.c);
      }
    }
    set_zero(dx + cleared, size - cleared);
  }
}

}  // namespace
}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
