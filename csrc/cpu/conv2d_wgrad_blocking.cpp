// SPDX-License-Identifier: Apache-2.0
// How the direct weight gradient is cut into blocks of pixels, panels and tasks: by what stays in the caches
// and the memory traffic of the parts.
#include "conv2d_wgrad_direct.h"

namespace fastcnn {
namespace cpu {
namespace {

// A panel of as many pixels takes 28 KB, more than half of L1; as much of x as a block reads should stay in
// L2.
constexpr int64_t kBlockPixels = 224, kBlockFloats = 128 << 10;
// In place all panels meet what is in L1, of no fewer pixels than pay for the sums that are read and written.
// With 16 lanes, and blocks enough for a team, also what fits an L1 of 48 KB: from one of 32 KB and L2 beside
// it 5x5 of 16 -> 32 channels took 0.89 of the time that blocks of 20 KB did, 3x3 of 3 -> 32 with strides
// 0.91; with 8 lanes 0.97 to 1.03.
constexpr int64_t kNearFloats = 5 << 10, kMoreFloats = 12 << 10, kLeastPixels = 32;
// Of many taps, whose sums are more than L1 holds, so many as L2 holds: 4x4 of 64 -> 32 channels with strides
// took 0.72 of the time, 5x5 of 64 -> 16 0.92 to 1, 3x3 0.97 to 1.08.
constexpr int64_t kManyTaps = 16, kManyTapsPixels = 256;
// Of a tile that takes taps and channels together: also of tiles of pairs, and fewer channels than `taps`
// has.
constexpr int64_t kMergedRows = 14;
// Channels of a group that are copied, so that its pixels lie side by side, and of pixels that are far apart:
// with 8 lanes 32 groups of 32 took 0.73 to 0.87 times as long, 16 of 24 0.93, 8 of 64 0.97, but 4 of
// 32 1.09, 32 of 16 1.1 to 1.2 times; with strides up to 1.2 times, with 16 lanes up to 1.4.
constexpr int64_t kFewChannels = 24, kGroupChannels = 64, kFarChannels = 384;

// By halves of vectors they need not be in L1, and a copy that few scalars of x meet takes more time than it
// saves: dy is read in place by wider tiles (1x1 from 64 channels to 256 took 1.09 times as long by copies,
// 7x7 of three channels 1.08 times, 5x5 1.13 times, and 3x3 of stride 2 in blocks that stay in L1 1.3 times;
// but 1x1 of 512 channels and 3x3 of 128 by copies 0.95 to 1, 1x1 to 1024 filters 0.98 times).
constexpr int64_t kFewMet = 256, kFewFilters = 512, kPlacePixels = 1024;
int64_t place_vectors(const Conv2dShape& v, int32_t pairs) {
  const TileKernels& kernel = *kernels().tile;
  const int64_t vectors = std::min<int64_t>(kMaxVectors, ceil_div(v.k, kernel.lanes));
  const bool few = v.groups == 1 && v.c * v.r * v.s <= kFewMet && v.k <= kFewFilters;
  // The same filters fill tiles by whole rows.
  const bool alike = 2 * v.c <= kernel.max_rows[vectors] || 2 * v.c > kernel.max_rows[kernel.vectors];
  return by_halves() && !pairs && few && alike ? vectors : 0;
}

int64_t wanted_tasks(const Conv2dShape& v) { return std::min<int64_t>(16, tasks_for(conv_flops(v))); }

// Splits the work into at least 16 tasks, if it is large enough, with the least memory traffic: every part of
// the panels reads x of its groups, every part of the strips reads dy, and a partial sum is written, read and
// added. A part of the groups reads pieces of each pixel, which end within lines and are not one run: 5
// groups of 12 channels took 1.1 times as long in five parts. (As if each part read all of x, so by parts of
// the strips, each of which copies dy, 3x3 of 1024 channels in 32 groups at 7x7 took 1.1 to 1.3 times as
// long, 1x1 1.5 to 1.9 times, of 400 in 4 groups 1.2 times with 8 lanes and as long with 16.)
constexpr int64_t kEndFloats = 32;
void choose_parts(Wgrad* d) {
  const Conv2dShape& v = d->shape;
  const double x = 1.0 * v.n * v.h * v.w * v.c, dy = 1.0 * v.n * v.p * v.q * v.k,
               dw = 1.0 * v.r * v.s * d->in_g * v.k;
  const int64_t wanted = wanted_tasks(v);
  const int64_t most_chunks =
      std::max<int64_t>(1, std::min(d->blocks, static_cast<int64_t>((8 << 20) / dw)));  // 32 MB
  int64_t most_tasks = 0;
  double least = 0;
  // The copied panels of a part stay in L2.
  const int64_t all_panels = v.groups * d->panels;
  const int64_t passed = std::min(all_panels, d->pass) * panel_floats(*d);
  const int64_t least_parts = std::min(all_panels, ceil_div(passed, 256 << 10));
  for (int64_t p = least_parts; p <= std::max(least_parts, std::min(wanted, all_panels)); ++p)
    for (int64_t s = 1; s <= std::min(wanted, d->strips); ++s) {
      const int64_t c = std::min(most_chunks, ceil_div(wanted, p * s)), tasks = std::min(wanted, c * p * s);
      const int64_t met = v.groups + p - std::gcd(v.groups, p);  // groups of all parts
      const double ends = v.groups > 1 && p > 1 ? double(kEndFloats * p) : 0;
      const double traffic = x * (double(met) / double(v.groups) + ends / double(v.c)) +
                             s * dy * (1 + ends / double(v.k)) + (c > 1 ? 3 * c * dw : 0);
      if (tasks < most_tasks || (tasks == most_tasks && traffic >= least)) continue;
      most_tasks = tasks, least = traffic;
      d->panel_parts = p, d->strip_parts = s, d->chunks = c;
    }
}

// A 1x1 convolution that keeps the size is one long column of pixels.
Conv2dShape flattened(Conv2dShape v) {
  if (v.r * v.s * v.stride_h * v.stride_w > 1 || v.p != v.h || v.q != v.w || v.pad_top || v.pad_left)
    return v;
  v.h = v.p = v.n * v.h * v.w;
  v.w = v.q = v.n = 1;
  return v;
}

// Groups that go through the blocks together: as many as leave a copied block its pixels. (All at once, so in
// blocks of 28 pixels, 3x3 of stride 2 and 32 groups of 1024 channels at 14x14 took 1.3 times as long with 8
// lanes and 1.9 times with 16, of 512 channels 1.05 to 1.3 times; fewer groups than that gained nothing.)
int64_t groups_of_pass(const Wgrad& d) {
  const Conv2dShape& v = d.shape;
  const int64_t x_floats = kBlockPixels * d.in_g * v.stride_h * v.stride_w;
  return d.copy_dy ? std::min(v.groups, std::max<int64_t>(1, kBlockFloats / x_floats)) : v.groups;
}

}  // namespace

Wgrad plan_wgrad(const Conv2dShape& original, int32_t pairs) {
  const TileKernels& kernel = *kernels().tile;
  Wgrad d = {};
  d.shape = flattened(original);
  d.pairs = pairs;
  const Conv2dShape& v = d.shape;
  d.in_g = v.c / v.groups, d.out_g = v.k / v.groups;
  const int64_t in_place = place_vectors(v, pairs);
  d.panel = kernel.lanes *
            (in_place ? in_place : std::min<int64_t>(kernel.vectors, ceil_div(d.out_g, kernel.lanes)));
  d.panels = ceil_div(d.out_g, d.panel);
  d.columns = std::max((v.q - 1) * v.stride_w + (v.s - 1) * v.dilation_w + 1, v.pad_left + 1);
  const int64_t most_rows = std::min<int64_t>(kernel.max_rows[d.panel / kernel.lanes], kMergedRows);
  d.merged = v.dilation_w == 1 && d.in_g <= most_rows / 2;
  d.taps = !pairs && takes_taps(v);
  d.strips =
      d.merged ? 1 : ceil_div(d.in_g, d.taps ? rows_of_taps(v) : rows_of_tile(pairs, d.panel / kernel.lanes));
  d.tile_rows = d.merged ? v.s * d.in_g : d.taps ? rows_of_taps(v) : ceil_div(d.in_g, d.strips);
  d.filter_rows = d.merged && d.tile_rows == 3 && v.r * 3 <= most_rows ? static_cast<int32_t>(v.r) : 1;

  const bool rows_outside = v.pad_top > 0 || (v.p - 1) * v.stride_h + (v.r - 1) * v.dilation_h >= v.h;
  const bool columns_outside = v.pad_left > 0 || d.columns > v.w;
  const bool by_group = !pairs && !d.taps && kernel.lanes < 16 && v.groups > 1 && v.r * v.s > 1 &&
                        v.stride_w == 1 && v.c >= kFarChannels && d.in_g >= kFewChannels &&
                        d.in_g <= kGroupChannels;
  d.copy_x =
      by_group ||
      (d.merged && (columns_outside || (v.groups > 1 && v.s > 1) || (d.filter_rows > 1 && rows_outside)));
  // Not worth it for panels that are met once or twice, or one that is all of dy.
  const int64_t times = d.strips * (v.r / d.filter_rows) * (d.merged || d.taps ? 1 : v.s);
  d.copy_dy = !in_place && times > 2 && v.groups * d.panels > 1;

  const int64_t pixels = v.p * v.q;
  const int64_t together = groups_of_pass(d);
  d.pass = together * d.panels;
  const int64_t x_floats = together * d.in_g * v.stride_h * v.stride_w,
                floats = x_floats + together * d.out_g;
  const int64_t more = kernel.lanes < 16 ? 0 : std::min(kMoreFloats / floats, v.n * pixels / wanted_tasks(v));
  int64_t most = std::max({kLeastPixels, kNearFloats / floats, more});
  if (v.r * v.s >= kManyTaps) most = std::max(most, std::min(kManyTapsPixels, kBlockFloats / floats));
  if (in_place) most = std::max(kLeastPixels, std::min(kPlacePixels, kBlockFloats / floats));
  if (d.copy_dy) most = std::max<int64_t>(1, std::min(kBlockPixels, kBlockFloats / x_floats));
  d.block_images = std::max<int64_t>(1, std::min(v.n, most / pixels));
  d.bands = pixels <= most ? 1 : ceil_div(v.p, std::max<int64_t>(1, most / v.q));
  if (in_place) d.bands = halved_alike(d.bands, v.p, ceil_div(v.n, d.block_images));
  d.block_rows = ceil_div(v.p, d.bands);
  d.bands = ceil_div(v.p, d.block_rows);
  d.blocks = ceil_div(v.n, d.block_images) * d.bands;
  d.rows_in = (d.block_rows - 1) * v.stride_h + (v.r - 1) * v.dilation_h + 1;

  choose_parts(&d);
  return d;
}

}  // namespace cpu
}  // namespace fastcnn
