// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a pooled convolution, and that of its bias: dw[r,s,c,k] = sum over n and windows of
// dy[n,window,k] x[n, place + (r,s), c]. A task adds up the sums of some images, [K][R][(S, C)]; these are
// added in order and transposed. See conv2d_pooled.h.
#include "conv2d_pooled.h"

namespace fastcnn {
namespace cpu {
namespace {

// Sums of a chunk: of the filters, then of the bias.
int64_t sums_floats(const Pooled& d, int64_t k) { return round_up((d.filter + 1) * k, kSlack); }

// Lists the gradients of a channel and all samples of a unit, or of one sample and a vector of channels, by
// windows; adds their sums to db. Returns how many there are of a window.
int32_t list_vector(const Pooled& d, const Places& places, const Gradient& from, Range channels,
                    const int32_t* first, PooledEntry* entries, float* db) {
  const int64_t lanes = kernels().pooled->lanes, k = channels.begin;
  const bool in_lanes = d.samples > 1;
  float total[kBatchLanes] = {};
  PooledList l = {};
  l.first = first, l.step = d.dy_window, l.rows = d.windows;
  l.width = places.width, l.down = places.down, l.right = places.right;
  l.apart = in_lanes ? static_cast<int32_t>(d.image) : 0;
  l.dy = from.dy + k * d.dy_channel, l.index = from.index + k * d.dy_channel;
  l.entries = entries, l.sums = total;
  l.count = static_cast<int32_t>(in_lanes ? lanes : std::min(lanes, channels.end - k));
  kernels().pooled->list(l);
  for (int32_t j = 0; j < l.count; ++j) db[in_lanes ? k : k + j] += total[j];
  return l.count;
}

// The lists of some output channels, and the runs of their sums; returns the number of runs.
int64_t list_all(const Pooled& d, const Places& places, const Gradient& from, Range channels,
                 const Scratch& to, float* db) {
  const int64_t lanes = kernels().pooled->lanes;
  PooledRun* run = to.runs;
  PooledEntry* entries = to.entries;
  for (int64_t k = channels.begin; k < channels.end; k += d.samples > 1 ? 1 : lanes) {
    const int32_t count = list_vector(d, places, from, {k, channels.end}, to.first, entries, db);
    const int32_t begin = static_cast<int32_t>(entries - to.entries), filter = static_cast<int32_t>(d.filter);
    const int32_t at = static_cast<int32_t>(k) * filter;
    if (d.samples > 1)
      *run++ = {begin, static_cast<int32_t>(d.windows * lanes), at};
    else
      for (int32_t j = 0; j < count; ++j)
        *run++ = {begin + j, static_cast<int32_t>(d.windows), at + j * filter};
    entries += d.windows * lanes;
  }
  return run - to.runs;
}

// The same of those that are not zero, by samples whose images lie near.
int64_t list_packed(const Pooled& d, const Places& places, const Gradient& from, Range channels,
                    const Scratch& to, float* db) {
  const int64_t lanes = kernels().pooled->lanes, parts = d.samples / d.near;
  const int64_t all = channels.end - channels.begin;
  PooledEntry* e = to.packed;
  const auto add = [&](int64_t i, int64_t k, auto entries_of) {
    PooledEntry* const begin = e;
    entries_of();
    to.runs[i] = {static_cast<int32_t>(begin - to.packed), static_cast<int32_t>(e - begin),
                  static_cast<int32_t>(k * d.filter)};
  };
  for (int64_t k = channels.begin; k < channels.end; k += d.samples > 1 ? 1 : lanes) {
    const int32_t count = list_vector(d, places, from, {k, channels.end}, to.first, to.entries, db);
    if (d.samples == 1)
      for (int32_t j = 0; j < count; ++j)
        add(k + j - channels.begin, k + j, [&] { e = pack(to.entries + j, lanes, d.windows, e); });
    else
      for (int64_t part = 0; part < parts; ++part)
        add(part * all + k - channels.begin, k,
            [&] { e = kernels().pooled->pack({to.entries + part * d.near, d.windows, lanes, d.near}, e); });
  }
  return all * parts;
}

void run(const Prepared& prepared, const Operands& operands, Context& context) {
  const PooledConv2dShape& shape = prepared.op.conv2d_wgrad_pooled;
  const Conv2dShape& v = shape.conv;
  const Pooled& d = state<Pooled>(prepared);
  const Places places = places_in_image(shape, d);
  Member& me = *context.member;
  float* const partial = static_cast<float*>(context.workspace);
  parallel_for(me, d.chunks, [&](int64_t chunk) {
    const Scratch scratch(shape, d, me.scratch(prepared.scratch_bytes));
    float* const sums = partial + chunk * sums_floats(d, v.k);
    std::fill_n(sums, sums_floats(d, v.k), 0.0f);
    std::fill_n(scratch.images, d.samples * d.image, 0.0f);
    const Range units = part_of(d.units, d.chunks, chunk);
    for (int64_t unit = units.begin; unit < units.end; ++unit) {
      take_images(v, d, input(operands, 0), scratch.images, unit);
      const Gradient from = gradient_of(d, v.k, operands, 1, unit);
      for (int64_t k = 0; k < v.k; k += d.group) {
        const Range channels = {k, std::min(v.k, k + d.group)};
        PooledSum sum = {};
        sum.run_count =
            (d.packs ? list_packed : list_all)(d, places, from, channels, scratch, sums + d.filter * v.k);
        sum.entries = d.packs ? scratch.packed : scratch.entries;
        sum.step = d.packs || d.samples > 1 ? 1 : kernels().pooled->lanes;
        sum.runs = scratch.runs;
        sum.a = scratch.images, sum.y = sums;
        sum_up({v.r, d.vectors, v.s * v.c, v.dilation_h * d.row, d.filter_row, 1}, sum);
      }
    }
  });
  float *const dw = output(operands, 0), *const db =
                                             prepared.op.epilogue.bias ? output(operands, 1) : nullptr;
  const auto add_up = [&](int64_t at, int64_t count, float* y) {
    kernels().tile->sum_parts(partial + at, d.chunks, sums_floats(d, v.k), count, y);
  };
  // A task writes lines of dw that no other writes: by output channel they would wander between the cores.
  const int64_t row = v.s * v.c, pieces = ceil_div(row, kTurned);
  parallel_for(me, v.r * pieces + 1, [&](int64_t task) {
    if (task == v.r * pieces) {
      if (db) add_up(d.filter * v.k, v.k, db);
      return;
    }
    const int64_t r = task / pieces;
    const Range taps = part_of(row, pieces, task % pieces);
    float sums[kTurned];
    for (int64_t k = 0; k < v.k; ++k) {
      add_up(k * d.filter + r * d.filter_row + taps.begin, taps.end - taps.begin, sums);
      for (int64_t i = taps.begin; i < taps.end; ++i) dw[(r * row + i) * v.k + k] = sums[i - taps.begin];
    }
  });
}

void prepare(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_wgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan_pooled(s, p->op.layout);
  set_pooled_costs(p, s);
  p->workspace_bytes = float_bytes(d.chunks * sums_floats(d, s.conv.k));
  p->scratch_bytes = Scratch::bytes(d, s.conv.k);
}

}  // namespace

#define FASTCNN_POOLED(algorithm)                                                                    \
  bool supports_conv2d_wgrad_pooled_##algorithm(const OpDescriptor& op) {                            \
    return supports_pooled(op.conv2d_wgrad_pooled, op.layout);                                       \
  }                                                                                                  \
  void prepare_conv2d_wgrad_pooled_##algorithm(Prepared* p) { prepare(p); }                          \
  void run_conv2d_wgrad_pooled_##algorithm(const Prepared& p, const Operands& x, Context& context) { \
    run(p, x, context);                                                                              \
  }
FASTCNN_POOLED(gather)
FASTCNN_POOLED(lanes)
#undef FASTCNN_POOLED

}  // namespace cpu
}  // namespace fastcnn
