// SPDX-License-Identifier: Apache-2.0
// Data gradient of a pooled convolution: dx[n, place + (r,s), c] = sum over windows and k of dy[n,window,k]
// w[r,s,c,k], by the places of a window or, where few output channels meet in one, a window at a time over
// its footprint. See conv2d_pooled.h.
#include "conv2d_pooled.h"
#include "kernels/activation.h"

namespace fastcnn {
namespace cpu {
namespace {

constexpr int64_t kTurnedFilters = 8;  // that are turned together, at least

// Those of windows [begin, end) by window and place; the number of runs.
int64_t list_by_place(const Pooled& d, int64_t channels, const Places& places, const Gradient& from,
                      Range windows, const Scratch& to) {
  PooledRun* run = to.runs;
  PooledEntry* end[kMostPlaces];
  PooledBins b = {};
  b.entries = to.packed, b.end = end;
  b.step = d.dy_channel, b.room = bin_entries(channels), b.channels = channels;
  b.places = static_cast<int32_t>(d.places), b.apart = static_cast<int32_t>(d.filter);
  for (int64_t i = windows.begin; i < windows.end; ++i, b.entries += d.places * b.room) {
    b.dy = from.dy + i * d.dy_window, b.index = from.index + i * d.dy_window;
    kernels().pooled->bins(b);
    for (int64_t j = 0; j < d.places; ++j) {
      const PooledEntry* const begin = b.entries + j * b.room;
      *run = {static_cast<int32_t>(begin - to.packed), static_cast<int32_t>(end[j] - begin),
              to.first[i] + places.at[j]};
      run += end[j] > begin;
    }
  }
  return run - to.runs;
}

// Those of windows [begin, end) of all samples of a unit by sample and window; the number of runs.
// Four samples packed together, whose entries share lines of the cache, gained LeNet-5's data gradient 2 %,
// and samples in turn, that a window need not wait for what its neighbour stores, 1 %: less than the spread.
int64_t list_by_window(const Pooled& d, int64_t channels, PooledList l, const Gradient& from, Range windows,
                       const Scratch& to) {
  PooledEntry* const entries = l.entries;
  for (int64_t i = windows.begin; i < windows.end; ++i, l.entries += channels * d.samples) {
    l.dy = from.dy + i * d.dy_window, l.index = from.index + i * d.dy_window;
    kernels().pooled->list(l);
  }
  PooledRun* run = to.runs;
  PooledEntry* packed = to.packed;
  for (int64_t sample = 0; sample < d.samples; ++sample)
    for (int64_t i = windows.begin; i < windows.end; ++i) {
      const PooledEntry* const of_window = entries + (i - windows.begin) * channels * d.samples + sample;
      PooledEntry* const end = pack(of_window, d.samples, channels, packed);
      *run = {static_cast<int32_t>(packed - to.packed), static_cast<int32_t>(end - packed),
              static_cast<int32_t>(to.first[i] + sample * d.image)};
      run += end > packed, packed = end;
    }
  return run - to.runs;
}

void put_images(const Conv2dShape& v, const Pooled& d, float* images, const float* mask, float* dx,
                int64_t unit) {
  PooledImages m = images_of(v, d, dx, images, unit);
  if (d.samples > 1) {
    if (mask) m.mask = mask + (m.lanes - dx);
    return kernels().pooled->put(m);
  }
  for (int64_t h = 0; h < v.h; ++h) {
    const int64_t at = (unit * v.h + h) * v.w * v.c, count = v.w * v.c;
    const float* from = m.images + h * d.row;
    if (mask)
      kernels().activation->bwd[static_cast<int>(Activation::kRelu)](from, mask + at, dx + at, count, {});
    else
      std::copy_n(from, count, dx + at);
  }
}

// The filters as [K][R][(S, C)], or in their footprints once for each column of a window.
void turn_filters(const PooledConv2dShape& shape, const Pooled& d, const float* w, float* turned,
                  size_t scratch_bytes, Context& context) {
  const Conv2dShape& v = shape.conv;
  const Footprint& f = d.print;
  const int64_t copies = d.by_window ? shape.pool.s : 1, taps = v.s * v.c;
  const int64_t filter = d.by_window ? f.filter : d.filter,
                row = d.by_window ? f.vectors * kernels().pooled->lanes : d.filter_row;
  const int64_t aside = shape.pool.dilation_w * v.stride_w * v.c;
  const int64_t chunk = std::max(kTurnedFilters, ceil_div(v.k, kPooledTasks));
  for_each_chunk(context, v.k, chunk, [&](int64_t begin, int64_t end) {
    float* const filters = static_cast<float*>(context.member->scratch(scratch_bytes));  // of a row of taps
    for (int64_t copy = 0; copy < copies; ++copy) {
      float* const to = turned + (d.by_window ? copy * f.variant : 0);
      const int64_t after = end == v.k && d.by_window ? f.variant : end * filter;
      kernels().lanes->own(to + begin * filter, after - begin * filter);
      std::fill(to + begin * filter, to + after, 0.0f);
    }
    for (int64_t r = 0; r < v.r; ++r) {
      kernels().tile->pack({w + r * taps * v.k + begin, 1, v.k, end - begin, static_cast<int32_t>(taps),
                            static_cast<int32_t>(d.filter_row)},
                           filters);
      for (int64_t copy = 0; copy < copies; ++copy)
        for (int64_t k = begin; k < end; ++k)
          std::copy_n(filters + (k - begin) * d.filter_row, taps,
                      turned + copy * (d.by_window ? f.variant + aside : 0) + k * filter +
                          (r + (d.by_window ? f.above : 0)) * row);
    }
  });
}

void run(const Prepared& prepared, const Operands& operands, Context& context) {
  const PooledConv2dShape& shape = prepared.op.conv2d_dgrad_pooled;
  const Conv2dShape& v = shape.conv;
  const Pool2dShape& s = shape.pool;
  const Pooled& d = state<Pooled>(prepared);
  const Footprint& f = d.print;
  const Places places = places_in_image(shape, d);
  const int64_t row = f.vectors * kernels().pooled->lanes;
  const Extent extent = d.by_window
                            ? Extent{f.rows, f.vectors, f.width, row, d.row, s.s * v.k}
                            : Extent{v.r, d.vectors, v.s * v.c, d.filter_row, v.dilation_h * d.row, v.k};
  Member& me = *context.member;
  float* const turned = static_cast<float*>(context.workspace);
  turn_filters(shape, d, input(operands, 2), turned, prepared.scratch_bytes, context);
  const float* const mask = prepared.op.epilogue.relu_mask ? input(operands, 3) : nullptr;
  parallel_for(me, d.units, [&](int64_t unit) {
    const Scratch scratch(shape, d, me.scratch(prepared.scratch_bytes));
    std::fill_n(scratch.images, d.samples * d.image, 0.0f);
    Gradient from = gradient_of(d, v.k, operands, 0, unit);
    PooledSum sum = {};
    sum.entries = scratch.packed, sum.step = 1, sum.runs = scratch.runs;
    sum.a = turned, sum.y = scratch.images;
    PooledList l = {};
    if (d.by_window) {
      for (int64_t k = 0; k < v.k; ++k)
        scratch.filters[k] = static_cast<int32_t>(k * f.filter + f.above * row);
      l.first = scratch.filters, l.entries = scratch.entries;
      l.step = d.dy_channel, l.rows = v.k;
      l.width = static_cast<int32_t>(s.s), l.right = static_cast<int32_t>(f.variant);
      l.down = static_cast<int32_t>(-s.dilation_h * v.stride_h * row);
      l.count = static_cast<int32_t>(d.samples);
    }
    for (int64_t i = 0; i < (d.by_window ? 1 : d.samples); ++i, ++from.dy, ++from.index, sum.y += d.image)
      for (int64_t at = 0; at < d.windows; at += d.together) {
        const Range windows = {at, std::min(d.windows, at + d.together)};
        sum.run_count = d.by_window ? list_by_window(d, v.k, l, from, windows, scratch)
                                    : list_by_place(d, v.k, places, from, windows, scratch);
        sum_up(extent, sum);
      }
    put_images(v, d, scratch.images, mask, output(operands, 0), unit);
  });
}

void prepare(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_dgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan_pooled(s, p->op.layout);
  set_pooled_costs(p, s);
  p->workspace_bytes = float_bytes(d.by_window ? s.pool.s * d.print.variant : d.filter * s.conv.k);
  const int64_t turned = std::max(kTurnedFilters, ceil_div(s.conv.k, kPooledTasks)) * d.filter_row;
  p->scratch_bytes = std::max(Scratch::bytes(d, s.conv.k), float_bytes(turned));
}

}  // namespace

#define FASTCNN_POOLED(algorithm)                                                                    \
  bool supports_conv2d_dgrad_pooled_##algorithm(const OpDescriptor& op) {                            \
    return supports_pooled(op.conv2d_dgrad_pooled, op.layout);                                       \
  }                                                                                                  \
  void prepare_conv2d_dgrad_pooled_##algorithm(Prepared* p) { prepare(p); }                          \
  void run_conv2d_dgrad_pooled_##algorithm(const Prepared& p, const Operands& x, Context& context) { \
    run(p, x, context);                                                                              \
  }
FASTCNN_POOLED(gather)
FASTCNN_POOLED(lanes)
#undef FASTCNN_POOLED

}  // namespace cpu
}  // namespace fastcnn
