// SPDX-License-Identifier: Apache-2.0
// What both gradients of a pooled convolution share: see conv2d_pooled.h.
#include "conv2d_pooled.h"

#include "pool2d.h"

namespace fastcnn {
namespace cpu {
namespace {

bool windows_are_whole(const Pool2dShape& s) {
  return !s.pad_top && !s.pad_left && (s.p - 1) * s.stride_h + (s.r - 1) * s.dilation_h < s.h &&
         (s.q - 1) * s.stride_w + (s.s - 1) * s.dilation_w < s.w;
}

Footprint footprint(const PooledConv2dShape& shape, int64_t lanes) {
  const Conv2dShape& v = shape.conv;
  const Pool2dShape& s = shape.pool;
  Footprint f = {};
  f.above = (s.r - 1) * s.dilation_h * v.stride_h;
  f.rows = f.above + v.r;
  f.width = ((s.s - 1) * s.dilation_w * v.stride_w + v.s) * v.c;
  f.vectors = ceil_div(f.width, lanes);
  const int64_t row = f.vectors * lanes;
  f.filter = f.rows * row;
  if (f.filter % 1024 == 0) f.filter += kSlack;
  f.variant = round_up(f.filter * v.k + f.above * row, kSlack);
  return f;
}

// Multiply-adds of vectors for the windows of one image, half of whose gradients are zero. A sum is added to
// memory, and to leave its loop at an unforeseen end takes as long as some twenty of them.
bool sums_by_window_pay(const Pooled& d, int64_t r, int64_t k) {
  const auto cost = [](double entries, double sums, double vectors) {
    return entries * vectors + sums * (2 * vectors + 20 * std::max(1.0, vectors / kPooledSums));
  };
  const double entries = 0.5 * static_cast<double>(k);
  return cost(entries, 1, static_cast<double>(d.print.rows * d.print.vectors)) <
         cost(entries, std::min(entries, static_cast<double>(d.places)), static_cast<double>(r * d.vectors));
}

}  // namespace

Pooled plan_pooled(const PooledConv2dShape& shape, Layout layout) {
  const Conv2dShape& v = shape.conv;
  const int64_t lanes = kernels().pooled->lanes;
  Pooled d = {};
  d.row = v.c * std::max(v.pad_left + v.w, (v.q - 1) * v.stride_w + v.s);
  const int64_t height = std::max(v.pad_top + v.h, (v.p - 1) * v.stride_h + (v.r - 1) * v.dilation_h + 1);
  d.image = round_up(height * d.row + kSlack, kSlack);
  d.vectors = ceil_div(v.s * v.c, lanes);
  d.filter_row = d.vectors * lanes;
  d.filter = v.r * d.filter_row;
  if (d.filter % 1024 == 0) d.filter += kSlack;  // or those of all outputs share a few sets of L1
  d.windows = shape.pool.p * shape.pool.q;
  d.places = shape.pool.r * shape.pool.s;
  d.together = std::max<int64_t>(1, std::min(d.windows, kListEntries / (d.places * bin_entries(v.k))));
  const bool in_lanes = layout == Layout::kBatchInLanes;
  d.samples = in_lanes ? lanes : 1;
  d.units = v.n / d.samples;
  d.chunks = std::min(d.units, kPooledTasks);
  d.dy_window = in_lanes ? kBatchLanes : v.k;
  d.dy_channel = in_lanes ? d.windows * kBatchLanes : 1;
  d.packs = v.r * d.vectors > kPackedVectors;
  const int64_t most = kListEntries / 2 / (d.windows * d.samples);
  d.group = round_up(std::max<int64_t>(1, std::min(v.k, most)), in_lanes ? 1 : lanes);
  for (d.near = d.samples; d.near > 1 && d.near * d.image > kNearImages;) d.near /= 2;
  d.print = footprint(shape, lanes);
  // The footprint of a window that reaches beyond y would reach beyond dx.
  d.by_window = in_lanes && v.dilation_h == 1 && windows_are_whole(shape.pool) &&
                d.print.filter * v.k <= kMostFilter && sums_by_window_pay(d, v.r, v.k);
  if (d.by_window) d.together = std::max<int64_t>(1, std::min(d.windows, kListEntries / (lanes * v.k)));
  const int64_t by_place = d.together * d.places * bin_entries(v.k),
                by_window = d.together * lanes * (v.k + 1);
  const int64_t by_channel = d.windows * d.samples * d.group + 1;
  const int64_t at_once = d.packs ? d.windows * lanes : by_channel;  // of one channel, or of a vector of them
  d.listed = std::max(at_once, d.by_window ? by_window : 0);
  d.packed = std::max(by_channel, d.by_window ? by_window : by_place) + kWrittenBeyond;
  d.runs = std::max(d.group * (d.samples / d.near), d.together * std::max(d.places, d.samples));
  return d;
}

bool supports_pooled(const PooledConv2dShape& shape, Layout layout) {
  const Conv2dShape& v = shape.conv;
  const Pool2dShape& s = shape.pool;
  if (v.groups > 1 || v.dilation_w > 1 || s.adaptive || !windows_touch_image(s)) return false;
  if (s.r * s.s > kMostPlaces || 5 * s.p * s.q > 2 * v.p * v.q) return false;
  // Channels-last the place of a maximum counts the pixels of its window that are in the image.
  if (layout == Layout::kBatchInLanes ? v.n % kBatchLanes != 0 : !windows_are_whole(s)) return false;
  const Pooled d = plan_pooled(shape, layout);
  return d.samples * d.image <= kMostImage && d.filter * v.k <= kMostFilter &&
         d.windows * v.k <= kMostEntries;
}

void set_pooled_costs(Prepared* p, const PooledConv2dShape& s) {
  const Conv2dShape& v = s.conv;
  const double gradients = 1.0 * v.n * v.k * s.pool.p * s.pool.q;
  p->flops = 2 * gradients * v.c * v.r * v.s;
  p->bytes = 4.0 * (1.0 * v.n * v.h * v.w * v.c + 1.0 * v.r * v.s * v.c * v.k) + 5 * gradients;
  p->parallel = p->flops > kLanesTaskFlops;
}

Places places_in_image(const PooledConv2dShape& shape, const Pooled& d) {
  const Pool2dShape& s = shape.pool;
  return {s.s, s.dilation_h * shape.conv.stride_h * d.row, s.dilation_w * shape.conv.stride_w * shape.conv.c};
}

Gradient gradient_of(const Pooled& d, int64_t k, const Operands& operands, int at, int64_t unit) {
  const int64_t sample = unit * d.samples, block = d.samples > 1 ? kBatchLanes : 1;
  const int64_t offset = sample / block * block * d.windows * k + sample % block;
  return {input(operands, at) + offset, static_cast<const uint8_t*>(operands.in[at + 1]) + offset};
}

void sum_up(const Extent& all, PooledSum sum) {
  const PooledKernels& kernel = *kernels().pooled;
  const int64_t lanes = kernel.lanes, parts = ceil_div(all.vectors, kernel.most_vectors);
  const int64_t wide = ceil_div(all.vectors, parts), near = kNearFilters / (all.filters * wide * lanes);
  const int64_t fit = std::max<int64_t>(kPooledSums / wide, kernel.most_vectors < kPooledSums ? 3 : 1);
  const int64_t most = std::max<int64_t>(1, std::min<int64_t>({kPooledRows, fit, near}));
  const int64_t row_parts = ceil_div(all.rows, most);
  const float* const a = sum.a;
  float* const y = sum.y;
  sum.a_row = all.a_row, sum.y_row = all.y_row;
  for (int64_t i = 0; i < row_parts; ++i)
    for (int64_t j = 0; j < parts; ++j) {
      const Range rows = part_of(all.rows, row_parts, i), vectors = part_of(all.vectors, parts, j);
      sum.rows = static_cast<int32_t>(rows.end - rows.begin);
      sum.vectors = static_cast<int32_t>(vectors.end - vectors.begin);
      sum.tail = static_cast<int32_t>(std::min(lanes, all.width - (vectors.end - 1) * lanes));
      sum.a = a + rows.begin * sum.a_row + vectors.begin * lanes;
      sum.y = y + rows.begin * sum.y_row + vectors.begin * lanes;
      kernel.sum(sum);
    }
}

PooledImages images_of(const Conv2dShape& v, const Pooled& d, const float* lanes, float* images,
                       int64_t unit) {
  const int64_t vectors = kBatchLanes / d.samples, plane = v.h * v.w * kBatchLanes;
  PooledImages m = {};
  m.lanes = const_cast<float*>(lanes) + unit / vectors * v.c * plane + unit % vectors * d.samples;
  m.images = images + v.pad_top * d.row + v.pad_left * v.c;
  m.image = d.image, m.row = d.row;
  m.height = v.h, m.width = v.w, m.channels = v.c;
  return m;
}

void take_images(const Conv2dShape& v, const Pooled& d, const float* x, float* images, int64_t unit) {
  const PooledImages m = images_of(v, d, x, images, unit);
  if (d.samples > 1) return kernels().pooled->take(m);
  for (int64_t h = 0; h < v.h; ++h)
    std::copy_n(x + (unit * v.h + h) * v.w * v.c, v.w * v.c, m.images + h * d.row);
}

}  // namespace cpu
}  // namespace fastcnn
