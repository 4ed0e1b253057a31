// SPDX-License-Identifier: Apache-2.0
// How Winograd's convolution is cut into tasks, parts and panels, by what of it stays in the caches, and what
// it costs beside the direct one.
#include "winograd_blocking.h"

namespace fastcnn {
namespace cpu {
namespace {

// Bytes of a task's blocks: half an L2 cache of 1 MB and a little more, since U only streams past; and of
// what the team shares, in L3 (in parts of 12 MB, 512 channels at 14x14, batch 8, took 1.04 times as long, as
// each transforms all filters).
constexpr int64_t kPartBytes = 640 << 10, kFilterBytes = 6 << 20, kSharedBytes = 16 << 20;
constexpr int64_t kMostPartBytes = 900 << 10;
constexpr int64_t kWideSteps = 192;
// From so many on the sums of a part are long enough to be added to M, and its filters are no more than those
// of 3x3, which a task makes and has in its L2. (All parts of 5x5 at once, 512 channels at 14x14, batch 4,
// took 1.1 times as long.)
constexpr int64_t kApartChannels = 128;
// Of V, and M in its place, in L1 beside U or what passes of it: a strip may take all of them, more strips
// half. (Two strips of 14 tiles of 16 channels, 28 KB, took 1.4 times as long as one with AVX-512, two of 6,
// 12 KB, 0.87 times with AVX2.)
constexpr int64_t kNearBytes = 32 << 10;

// Costs in clocks of a core that begins two vector operations in each, as measured on AVX2 (Zen 4).
//
//   direct    N P Q 9 C [K] / 2 + 30 register tiles
//   Winograd  products T C [K] / 2 + 30 points of M register tiles
//             + input T [C] + output T [K] + filter C [K]  transforms
//
// or, where they take longer, what reading kept filters takes of a core's share of memory's bandwidth, a
// clock for each float (half of it for 16 lanes chose F(4) for 256 channels of one 14x14 image, 36 points of
// filters beside 16, which took 1.25 times as long as F(2) within ResNet-18); what is not kept is read alike;
// with T tiles in all and [] for vectors. The transforms of F(4) have more points than registers and
// cost what their memory does; those of filters are done in each part where V is shared.
struct TransformClocks {
  double input, output, filter;
};
constexpr TransformClocks kTransform[] = {{40, 60, 110}, {240, 190, 160}, {60, 40, 110}, {40, 110, 110}};
constexpr double kRegisterTile = 30, kFloatRead = 1;
constexpr double kStreamBytes = 512 << 10, kStreamed = 6;  // bytes in a clock
// Of F(2) where V and M stay in L1, and more for a last vector that channels do not fill.
constexpr TransformClocks kNearTransform = {40, 40, 110}, kNearRest = {80, 40, 0};
constexpr double kNearRegisterTile = 10;

// By halves of vectors a multiply-add takes a clock, while transforms wait for memory as long as ever: stride
// 2 of 16 to 32 channels at 32x32, batch 128, took 0.89 times as long as directly (Zen 4, AVX-512), its dgrad
// 0.87, of 32 to 64 at 16x16 dgrad 0.8. With kept filters it was not tried.
bool strides_by_halves(const Winograd& d) { return d.order >= kStrided && !d.kept && by_halves(); }
double step_clocks(const Winograd& d) { return strides_by_halves(d) ? 1 : 0.5; }

// Those of all but F(4) on 16 lanes, where a vector is all of a cache line: half as much again, as 16 to 16
// channels showed, which were faster directly while V and M were in L2, and 16 to 32, which were not.
double transform_clocks(const Winograd& d, double clocks) {
  const bool waits = d.order != kF4 && kernels().tile->lanes == 16 && !strides_by_halves(d);
  return waits ? 1.5 * clocks : clocks;
}

// One of stride 2 saves less than its filters' transform takes where few tiles meet them: on 16 lanes a
// vector of each point is a line that goes through L3 (256 channels at 28x28, batch of one: 1.15 times as
// long as directly; 1.05 to 1.15 times as fast on AVX2). For those of few channels, which are a task or two,
// all of a team wait: 16 at 16x16, batch of two, took up to 1.1 times as long as directly.
double filter_clocks(const Winograd& d) {
  const Form& form = kForms[d.order];
  const double clocks =
      kTransform[d.order].filter * static_cast<double>(d.u_met) / static_cast<double>(form.u * form.u);
  return d.turn || (d.order >= kStrided && kernels().tile->lanes == 16) ? 3 * clocks : clocks;
}

double vectors(int64_t channels) { return static_cast<double>(ceil_div(channels, kernels().tile->lanes)); }

// Other filters than 3x3.
bool splits(const Correlation& d) { return d.height.filter != 3 || d.width.filter != 3; }

// What streams past each part's tiles of an own V: U from L3, where a core's L2 has no room for it beside V.
// Without, 512 channels to 16 took up to 1.4 times as long as directly (AVX2), 512 to 128 at 8x8 1.16 times.
double stream_clocks(const Winograd& d) {
  const double bytes = 4.0 * static_cast<double>(d.u_met * d.in_c * d.panels * d.panel);
  if (d.shared || !splits(d) || bytes < kStreamBytes) return 0;
  return bytes * static_cast<double>(d.parts) / (by_halves() ? 2 * kStreamed : kStreamed);
}

// The direct kernel's vectors of output channels, some of half the lanes.
double direct_vectors(const Winograd& d) {
  const int64_t lanes = splits(d) ? tiles_of(d.out_c).lanes : kernels().tile->lanes;
  return static_cast<double>(round_up(d.out_c, lanes)) / static_cast<double>(kernels().tile->lanes);
}

// Of the taps of an axis those that meet the input, which the direct kernel leaves out along rows.
double taps_met(const AxisShape& axis, const Correlation& d, int64_t phases, int64_t inputs) {
  int64_t met = 0, all = 0;
  for (int64_t phase = 0; phase < phases; ++phase) {
    const Axis a = axis_of(axis, d.dgrad, phase);
    all += a.outputs * a.taps;
    for (int64_t i = 0; i < a.outputs; ++i) {
      const Range taps = taps_inside(a, i, inputs);
      met += taps.end - taps.begin;
    }
  }
  return static_cast<double>(met) / static_cast<double>(std::max<int64_t>(1, all));
}

double read_clocks(const Winograd& d, int64_t points) {
  return kFloatRead * static_cast<double>(points * d.in_c * round_up(d.out_c, kernels().tile->lanes));
}

}  // namespace

// The first outputs of a tile of a strided dgrad are even ones, which meet two taps; where they are odd, the
// tile is taken from its end.
Flips flips_of(const Correlation& d, Order order) {
  const auto odd = [order](const AxisShape& axis) { return order == kStridedBack && axis.pad % 2; };
  return {odd(d.height), odd(d.width)};
}

namespace {

Group group_of(const Axis& a, int64_t low, int64_t step, int64_t first, int64_t end) {
  Group g = {static_cast<int32_t>(low), {-1, -1, -1}};
  for (int64_t i = std::max<int64_t>(0, -first); i < 3 && first + i * step < end; ++i)
    g.tap[i] = static_cast<int8_t>(a.filter + (first + i * step) * a.filter_step);
  return g;
}

Groups groups_of(const AxisShape& axis, const Correlation& d, Order order, int64_t low, bool flipped) {
  Groups all = {1, 1, {}};
  if (order >= kStrided) {
    const bool back = d.dgrad && !flipped;
    all.group[0] = {static_cast<int32_t>(low), {int8_t(back ? 2 : 0), 1, int8_t(back ? 0 : 2)}};
  } else if (d.dgrad && axis.stride > 1) {
    all.phases = static_cast<int32_t>(std::min(axis.stride, axis.input));
    for (int64_t i = 0; i < all.phases; ++i) {
      const Axis a = dgrad_axis(axis, i);
      all.group[i] = group_of(a, low, 1, low - a.first, a.taps);
    }
  } else {
    const Split split = split_of(axis.filter, axis.stride);
    const Axis a = axis_of(axis, d.dgrad, 0);
    all.parts = static_cast<int32_t>(split.parts);
    for (int64_t i = 0; i < split.parts; ++i) {
      const int64_t first = split.first[i], end = first + (split.taps(i) - 1) * split.step + 1;
      all.group[i] = group_of(a, a.first + first * a.spread, split.step, first, end);
    }
  }
  return all;
}

}  // namespace

bool fits_winograd(const Conv2dShape& v, bool dgrad, Order order) {
  if (order >= kStrided) return fits_winograd(v, true);
  const int64_t stride = v.stride_h;
  if (v.groups > 1 || v.stride_w != stride || (stride > 1 && (v.dilation_h > 1 || v.dilation_w > 1)))
    return false;
  if (!split_of(v.r, stride).parts || !split_of(v.s, stride).parts) return false;
  if (!dgrad || stride == 1) return true;
  const Correlation d = correlation(v, dgrad);
  return d.high_h - d.low_h < 3 && d.high_w - d.low_w < 3;
}

// The products of a point of M along an axis, of a group and the parts that follow, unless they are apart,
// whose planes lie so many from each other.
Terms terms_of(const Winograd& d, const Groups& axis, int64_t group, int64_t point, int64_t step) {
  const Form& form = kForms[d.order];
  Terms t = form.terms[point];
  if (d.order >= kStrided) return t;
  t.count = 0, t.step = step;
  for (int64_t i = group, end = d.apart ? group + 1 : group + axis.parts; i < end; ++i) {
    const Group& g = axis.group[i];
    t.count += (point > 0 || g.first()) && (point + 1 < form.m || g.last());
  }
  return t;
}

Winograd plan_winograd(const OpDescriptor& op, bool dgrad, Order order) {
  const Conv2dShape& v = op.conv2d_fprop;  // the passes share this struct
  const TileKernels& kernel = *kernels().tile;
  Winograd d = {};
  d.kept = op.constant_weights != 0;
  static_cast<Correlation&>(d) = correlation(v, dgrad);
  const Flips flip = flips_of(d, order);
  d.groups_h = groups_of(d.height, d, order, d.low_h, flip.h);
  d.groups_w = groups_of(d.width, d, order, d.low_w, flip.w);
  const bool phases = dgrad && v.stride_h > 1 && order < kStrided;
  d.spread = dgrad || order >= kStrided ? 1 : v.stride_h, d.out_step = phases ? v.stride_h : 1;
  static_cast<Tiling&>(d) = tiling(order, v, phases ? d.rows : d.out_h, phases ? d.cols : d.out_w, flip);
  d.v_met = d.v_points, d.u_met = d.u_points;
  if (order < kStrided) {
    const int64_t points = kForms[order].m;
    // Of V, a point that some group meets.
    const auto met = [points](const Groups& axis, bool shared) {
      int64_t sum = 0;
      bool first = false, last = false;
      for (int64_t i = 0; i < axis.count(); ++i) {
        const Group& g = axis.group[i];
        sum += points - !g.first() - !g.last();
        first |= g.first(), last |= g.last();
      }
      return shared ? points - !first - !last : sum;
    };
    d.products = d.u_met = met(d.groups_h, false) * met(d.groups_w, false);
    d.v_met = met(d.groups_h, d.groups_h.phases > 1) * met(d.groups_w, d.groups_w.phases > 1);
    d.v_points *= d.groups_h.parts * d.groups_w.parts;
    d.u_points *= d.groups_h.count() * d.groups_w.count();
  }
  const bool split = splits(d);
  d.apart = split && !phases && d.in_c >= kApartChannels;
  d.channels = round_up(d.in_c, kernel.lanes);
  // Nearly equal panels, wide ones where tiles or panels are enough for a team. (Sums of 128 took as long,
  // F(4) of them 1.1 times.)
  const int64_t few = 8, least_tiles = 24, columns = ceil_div(d.out_c, kernel.lanes);
  const bool wide = d.in_c >= kWideSteps && (d.tiles >= few * least_tiles || columns >= few * kMaxVectors);
  const int64_t vectors = wide ? wide_vectors() : kernel.vectors;
  d.panel = kernel.lanes * ceil_div(columns, ceil_div(columns, vectors));
  d.panels = ceil_div(d.out_c, d.panel), d.packs = ceil_div(d.in_c, kPackedChannels);
  const int64_t width = d.panel / kernel.lanes;
  d.strip = kernel.max_rows[width];
  // Tiles beyond the outputs, of whose points some are needed, are not worth it: 7 of 16 of 7x7.
  const int64_t rest = d.first[1] + d.tiles - d.first[2];
  if (order == kF2 && v.r == 3 && v.s == 3 && d.panels == 1 && width <= 2 && 3 * rest <= d.tiles) {
    const WinogradKernels& near = *kernels().winograd;
    const int64_t channels = std::max(d.channels, d.panel);
    const int64_t turns = kNearBytes / (4 * d.v_points * channels * near.tiles[width]);
    if (turns) {
      d.channels = channels;
      d.strip = near.tiles[width];
      d.turn = d.strip * static_cast<int32_t>(std::max<int64_t>(1, turns / 2));
    }
  }

  // Parts of so many tiles at least (12 cost a fifth of 16 channels), of more while there are enough of them
  // for a large team.
  const int64_t tile_bytes = d.v_met * d.channels * 4, panel_bytes = d.u_met * d.in_c * d.panel * 4;
  const int64_t strips = ceil_div(d.tiles, d.strip);
  const int64_t most = kPartBytes / tile_bytes / d.strip;
  int64_t least = ceil_div(least_tiles, d.strip);
  if (split) least = strips < few * least ? 1 : std::max<int64_t>(1, std::min(most, least));
  d.part = std::max(least, std::min(most, ceil_div(strips, kTasks)));
  // With fewer parts than `few` a team waits for its last ones: then panels, if there are more, share the
  // work better. Kept ones are tasks of their own, which make V again where another member has it: V from
  // another core's cache took 1.7 times as long (128 channels at 28x28, AVX-512), and where all of it fits
  // and filters are large 1.2 times (256 channels at 14x14).
  const int64_t parts = ceil_div(strips, d.part);
  const bool large = (most < least || panel_bytes * d.panels > kFilterBytes) && (!split || d.panels >= few);
  const bool whole = d.kept && large && d.panels > parts && d.tiles * tile_bytes <= kPartBytes;
  d.shared = large ? !whole : !d.kept && parts < few && d.panels > parts;
  if (whole) d.part = strips;
  if (d.shared) d.part = std::max<int64_t>(2, std::min(strips, kSharedBytes / tile_bytes / d.strip));
  const int64_t together = d.shared      ? std::min(kPartBytes / panel_bytes, d.panels / few)
                           : parts < few ? 1
                                         : 64 / d.panel;
  d.block_panels = std::min(d.panels, std::max<int64_t>(1, together));
  d.blocks = ceil_div(d.panels, d.block_panels);
  d.part *= d.strip;
  d.parts = ceil_div(d.tiles, d.part);
  return d;
}

bool fits_caches(const Winograd& d) {
  // A float of V that meets a vector or two of 8 lanes waits for L2: 256 channels to 12 took 1.1 times as
  // long as directly, 192 to 16 up to 1.2 times.
  if (splits(d) && kernels().tile->lanes < 16 && d.in_c > 3 * d.out_c) return false;
  return d.shared || !splits(d) || 4 * d.part * d.v_met * d.channels <= kMostPartBytes;
}

double winograd_clocks(const Winograd& d) {
  const double tiles = static_cast<double>(d.tiles), in = vectors(d.in_c), out = vectors(d.out_c);
  const double register_tiles = static_cast<double>(ceil_div(d.tiles, d.strip) * d.panels);
  TransformClocks each = d.turn ? kNearTransform : kTransform[d.order];
  const Form& form = kForms[d.order];
  const double phases = static_cast<double>(d.groups_h.phases * d.groups_w.phases);
  each.input *= static_cast<double>(d.v_met) / static_cast<double>(form.v * form.v);
  each.output *= phases;
  const double filters = d.in_c * out, register_tile = d.turn ? kNearRegisterTile : kRegisterTile;
  const double multiplied = d.turn ? register_tiles * d.strip : tiles;  // those beyond the last as well
  const double sums = static_cast<double>(d.products) * multiplied * filters * step_clocks(d) +
                      register_tile * phases * d.m_points * register_tiles;
  const double products = std::max(sums, stream_clocks(d));
  const int64_t lanes = kernels().tile->lanes;
  const double rests = (d.in_c % lanes ? kNearRest.input : 0) + (d.out_c % lanes ? kNearRest.output : 0);
  return (d.kept ? std::max(products, read_clocks(d, d.u_met))
                 : products + filter_clocks(d) * filters * (d.shared ? d.parts : 1)) +
         transform_clocks(d, each.input * tiles * in + each.output * tiles * out) +
         (d.turn ? rests * tiles : 0);
}

double direct_clocks(const Winograd& d) {
  // Phases of a strided dgrad share the taps.
  const double phases = static_cast<double>(d.phases_h * d.phases_w);
  const double register_tiles =
      static_cast<double>(d.n * d.rows * ceil_div(d.cols, d.strip) * d.panels) * phases;
  const int64_t taps = d.height.filter * d.width.filter;
  const double filters = static_cast<double>(taps * d.in_c) * direct_vectors(d);
  const double pixels = static_cast<double>(d.n * d.out_h * d.out_w) / phases;
  const double met = splits(d) ? taps_met(d.height, d, d.phases_h, d.in_h) : 1;
  const double products = met * pixels * filters * step_clocks(d) + kRegisterTile * register_tiles;
  return d.kept ? std::max(products, read_clocks(d, taps)) : products;
}

}  // namespace cpu
}  // namespace fastcnn
