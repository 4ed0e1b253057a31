// SPDX-License-Identifier: Apache-2.0
// The blocking of Winograd's convolution (winograd.cpp): its choice and costs are in winograd_blocking.cpp.
#pragma once
#include "winograd.h"

namespace fastcnn {
namespace cpu {

// Along an axis what a group of transformed points of F(2) and F(4) is of: a part of the filter, or of a
// dgrad with stride 2 the taps of a phase of its outputs, with zeros where others of the three pixels meet
// it.
struct Group {
  int32_t low;    // its first pixel from that of an output
  int8_t tap[3];  // of the filter, in the order in which the input meets them; -1: zero

  // Whether the first and the last point are not zero.
  bool first() const { return tap[0] >= 0; }
  bool last() const { return tap[2] >= 0; }
};
struct Groups {
  int32_t parts, phases;  // one of them is one; V is of parts, U of both
  Group group[kMostParts];

  int32_t count() const { return parts * phases; }
};

// The blocking, from the shape alone.
struct Winograd : Correlation, Tiling {
  Groups groups_h, groups_w;
  int64_t spread, out_step;      // of pixels of a tile, and of its outputs, but for dilation
  int64_t v_met, u_met;          // points that are not zero
  int32_t apart;                 // the products of each part are added to M on their own
  int32_t shared;                // V is the team's and U a task's own; else the other way round
  int32_t kept;                  // U of all blocks stays from run to run
  int64_t channels;              // of a tile in V, or M in its place: in whole vectors
  int64_t panel, panels, packs;  // columns of a panel of U; packed channels of each
  int64_t block_panels, blocks;  // K blocks
  int32_t strip;                 // rows of a register tile
  int32_t turn;                  // tiles of a part whose V is in L1, where M takes its place; or 0
  int64_t part, parts;           // tiles in V at a time
};

// Of filters between packing and their transform: in L1.
constexpr int64_t kPackedChannels = 16;

Flips flips_of(const Correlation&, Order);
Terms terms_of(const Winograd&, const Groups&, int64_t group, int64_t point, int64_t step);
bool fits_winograd(const Conv2dShape&, bool dgrad, Order);
Winograd plan_winograd(const OpDescriptor&, bool dgrad, Order);
// Whether an own V stays in a task's L2, of other filters than 3x3, whose V of a few tiles may be large.
bool fits_caches(const Winograd&);
// In clocks, as far as they can be compared.
double winograd_clocks(const Winograd&);
double direct_clocks(const Winograd&);

// Whether the last point of V of a part, or for all phases, is met.
inline bool last_met(const Groups& axis, int64_t part) {
  if (axis.phases == 1) return axis.group[part].last();
  return std::any_of(axis.group, axis.group + axis.phases, [](const Group& g) { return g.last(); });
}

// Whether a task makes its block of the filters itself, those of a phase or a part after the other.
inline bool makes_filters(const Winograd& d) { return d.shared && !d.kept; }
inline int64_t u_plane(const Winograd& d) { return plane_floats(d.block_panels * d.in_c * d.panel); }
inline int64_t tiles_in_v(const Winograd& d) { return d.turn ? d.turn : d.part; }
inline int64_t v_plane(const Winograd& d) { return plane_floats(tiles_in_v(d) * d.channels); }
inline int64_t m_row(const Winograd& d) { return d.turn ? d.channels : d.block_panels * d.panel; }
inline int64_t m_plane(const Winograd& d) { return plane_floats(tiles_in_v(d) * m_row(d)); }
inline int64_t u_group(const Winograd& d) { return kForms[d.order].u * kForms[d.order].u * u_plane(d); }
inline int64_t v_part(const Winograd& d) { return kForms[d.order].v * kForms[d.order].v * v_plane(d); }
inline int64_t u_floats(const Winograd& d) { return d.u_points * u_plane(d); }  // of a block
inline int64_t v_floats(const Winograd& d) { return d.v_points * v_plane(d); }
inline int64_t zeros_floats(const Winograd& d) { return round_up(d.channels, 16); }
inline int64_t packed_floats(const Winograd& d) {
  return round_up(9 * std::min(kPackedChannels, d.in_c) * d.panel, 16);
}

// Constants, or workspace: U of all blocks. Workspace: V of the team. Scratch: zeros, one panel of filters,
// M, and a task's own V, if it is not where M is, or U.
inline size_t filter_bytes(const Winograd& d) {
  return makes_filters(d) ? 0 : float_bytes(d.blocks * u_floats(d));
}
inline size_t scratch_bytes(const Winograd& d) {
  const int64_t parts = d.apart ? 1 : d.groups_h.parts * d.groups_w.parts;
  const int64_t own = makes_filters(d) ? parts * u_group(d) : d.turn || d.shared ? 0 : v_floats(d);
  return float_bytes(zeros_floats(d) + packed_floats(d) + d.m_points * m_plane(d) + own);
}

}  // namespace cpu
}  // namespace fastcnn
