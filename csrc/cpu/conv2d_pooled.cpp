// SPDX-License-Identifier: Apache-2.0
// Gradients of a convolution y whose output goes into a max pooling alone, from that of the pooled values and
// the places of the maxima:
//
//   dw[r,s,c,k] = sum over n and windows of dy[n,window,k] x[n, place + (r,s), c]
//   dx[n, place + (r,s), c] = sum over windows and k of dy[n,window,k] w[r,s,c,k]
//
// A pooling of 2x2 leaves a quarter of the products that the gradient of y itself would take, and that
// gradient is never written. A task takes its images one after the other: the gradients that are not zero are
// listed with what they meet, and summed with vectors along (s, c) (kernels/pooled.h).
#include "kernels/activation.h"
#include "kernels/pooled.h"
#include "lanes.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {
namespace {

// What a gradient of a window reaches wherever in it the maximum lies: pixels of dx, and the filter among
// zeros, above it and one copy for each column of the window beside it.
struct Footprint {
  int64_t rows, vectors, width;    // of dx; a row's in vectors and in floats
  int64_t above, filter, variant;  // rows of zeros; floats of an output channel, of a copy of the filters
};

struct Pooled {
  int64_t row, image;                   // floats of a row of a padded image, and of all of it
  int64_t vectors, filter_row, filter;  // of the taps (s, c) of a row; floats of these, of all of an output
  int64_t windows, places;              // of an image; pixels of a window
  int64_t together;                     // windows whose gradients are listed by place
  int64_t samples, units, chunks;       // of a unit; of the batch; tasks of the weight gradient
  int64_t dy_window, dy_channel;        // steps of dy and index
  int64_t group;                        // output channels that are listed together for the weight gradient
  int64_t listed, packed, runs;         // entries and runs that a task keeps
  bool packs;                           // leaves zeros out of the weight gradient's sums
  bool by_window;                       // sums of a window in one for dx, not of each place
  Footprint print;
};

constexpr int64_t kMostImage = 256 << 10, kMostFilter = 128 << 10, kMostEntries = 128 << 10;  // L2
constexpr int64_t kListEntries = 4 << 10;                                                     // L1
constexpr int64_t kMostPlaces = 64, kSlack = 16, kTurned = 32;
// Their partial sums wander between the cores.
constexpr int64_t kPooledTasks = std::min<int64_t>(kTasks, 8);
// Vectors of an entry from which on leaving out a zero gains more than it takes to find it.
constexpr int64_t kPackedVectors = 8;

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

Pooled plan(const PooledConv2dShape& shape, Layout layout) {
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
  d.together = std::max<int64_t>(1, std::min(d.windows, kListEntries / (d.places * (v.k + 1))));
  const bool in_lanes = layout == Layout::kBatchInLanes;
  d.samples = in_lanes ? lanes : 1;
  d.units = v.n / d.samples;
  d.chunks = std::min(d.units, kPooledTasks);
  d.dy_window = in_lanes ? kBatchLanes : v.k;
  d.dy_channel = in_lanes ? d.windows * kBatchLanes : 1;
  d.packs = v.r * d.vectors > kPackedVectors;
  const int64_t most = kListEntries / 2 / (d.windows * d.samples);
  d.group = round_up(std::max<int64_t>(1, std::min(v.k, most)), in_lanes ? 1 : lanes);
  d.print = footprint(shape, lanes);
  d.by_window =
      in_lanes && v.dilation_h == 1 && d.print.filter * v.k <= kMostFilter && sums_by_window_pay(d, v.r, v.k);
  if (d.by_window) d.together = std::max<int64_t>(1, std::min(d.windows, kListEntries / (lanes * v.k)));
  const int64_t by_place = d.together * d.places * (v.k + 1), by_window = d.together * lanes * (v.k + 1);
  const int64_t by_channel = d.windows * d.samples * d.group + 1;
  d.listed = std::max(d.packs ? 0 : by_channel, d.by_window ? by_window : 0);
  d.packed = std::max(by_channel, d.by_window ? by_window : by_place);
  d.runs = std::max(d.group, d.together * std::max(d.places, d.samples));
  return d;
}

// Channels-last the place of a maximum counts the pixels of its window that are in the image.
bool windows_are_whole(const Pool2dShape& s) {
  return !s.pad_top && !s.pad_left && (s.p - 1) * s.stride_h + (s.r - 1) * s.dilation_h < s.h &&
         (s.q - 1) * s.stride_w + (s.s - 1) * s.dilation_w < s.w;
}

bool supports(const PooledConv2dShape& shape, Layout layout) {
  const Conv2dShape& v = shape.conv;
  const Pool2dShape& s = shape.pool;
  if (v.groups > 1 || v.dilation_w > 1 || s.adaptive || !windows_touch_image(s)) return false;
  if (s.r * s.s > kMostPlaces || 5 * s.p * s.q > 2 * v.p * v.q) return false;
  if (layout == Layout::kBatchInLanes ? v.n % kBatchLanes != 0 : !windows_are_whole(s)) return false;
  const Pooled d = plan(shape, layout);
  return d.samples * d.image <= kMostImage && d.filter * v.k <= kMostFilter &&
         d.windows * v.k <= kMostEntries;
}

void set_costs(Prepared* p, const PooledConv2dShape& s) {
  const Conv2dShape& v = s.conv;
  const double gradients = 1.0 * v.n * v.k * s.pool.p * s.pool.q;
  p->flops = 2 * gradients * v.c * v.r * v.s;
  p->bytes = 4.0 * (1.0 * v.n * v.h * v.w * v.c + 1.0 * v.r * v.s * v.c * v.k) + 5 * gradients;
  p->parallel = p->flops > kLanesTaskFlops;
}

// How far apart the places of a window lie, as kernels().pooled->list takes them, and in a table.
struct Places {
  int32_t width, down, right;
  int32_t at[kMostPlaces];

  Places(int64_t columns, int64_t a_row, int64_t a_column)
      : width(static_cast<int32_t>(columns)),
        down(static_cast<int32_t>(a_row)),
        right(static_cast<int32_t>(a_column)) {
    for (int32_t i = 0; i < kMostPlaces; ++i) at[i] = i / width * down + i % width * right;
  }
};
Places places_in_image(const PooledConv2dShape& shape, const Pooled& d) {
  const Pool2dShape& s = shape.pool;
  return {s.s, s.dilation_h * shape.conv.stride_h * d.row, s.dilation_w * shape.conv.stride_w * shape.conv.c};
}

// What a task keeps for one image after the other.
struct Scratch {
  float* images;
  PooledEntry* entries;  // as they are listed
  PooledEntry* packed;   // those that are not zero, and room for one more: a zero is written and overwritten
  PooledRun* runs;
  int32_t* first;    // [windows]: where each begins in a padded image
  int32_t* filters;  // [K]: where each begins

  static size_t bytes(const Pooled& d, int64_t k) {
    return sizeof(float) * d.samples * d.image + sizeof(PooledEntry) * (d.listed + d.packed) +
           sizeof(PooledRun) * d.runs + sizeof(int32_t) * (d.windows + k);
  }
  Scratch(const PooledConv2dShape& shape, const Pooled& d, void* memory) {
    const Pool2dShape& s = shape.pool;
    images = static_cast<float*>(memory);
    entries = reinterpret_cast<PooledEntry*>(images + d.samples * d.image);
    packed = entries + d.listed;
    runs = reinterpret_cast<PooledRun*>(packed + d.packed);
    first = reinterpret_cast<int32_t*>(runs + d.runs);
    filters = first + d.windows;
    const int64_t down = shape.conv.stride_h * d.row, right = shape.conv.stride_w * shape.conv.c;
    for (int64_t p = 0; p < s.p; ++p)
      for (int64_t q = 0; q < s.q; ++q)
        first[p * s.q + q] =
            static_cast<int32_t>((p * s.stride_h - s.pad_top) * down + (q * s.stride_w - s.pad_left) * right);
  }
};

// Copies entries that are `step` apart and not zero; returns their number.
int32_t pack(const PooledEntry* from, int64_t step, int64_t count, PooledEntry* to) {
  PooledEntry* e = to;
  for (int64_t i = 0; i < count; ++i) {
    const PooledEntry each = from[i * step];
    *e = each;
    e += each.g != 0;
  }
  return static_cast<int32_t>(e - to);
}

struct Gradient {
  const float* dy;
  const uint8_t* index;  // as dy
};

// Of the unit's samples.
Gradient gradient_of(const Pooled& d, int64_t k, const Operands& operands, int at, int64_t unit) {
  const int64_t sample = unit * d.samples, block = d.samples > 1 ? kBatchLanes : 1;
  const int64_t offset = sample / block * block * d.windows * k + sample % block;
  return {input(operands, at) + offset, static_cast<const uint8_t*>(operands.in[at + 1]) + offset};
}

// Those of windows [begin, end) by window and place; the number of runs.
int64_t list_by_place(const Pooled& d, int64_t channels, const Places& places, const Gradient& from,
                      Range windows, const Scratch& to) {
  PooledRun* run = to.runs;
  PooledEntry* bins = to.packed;
  for (int64_t i = windows.begin; i < windows.end; ++i, bins += d.places * (channels + 1)) {
    const float* dy = from.dy + i * d.dy_window;
    const uint8_t* index = from.index + i * d.dy_window;
    PooledEntry* end[kMostPlaces];
    for (int64_t j = 0; j < d.places; ++j) end[j] = bins + j * (channels + 1);
    for (int64_t k = 0; k < channels; ++k) {
      const float g = dy[k * d.dy_channel];
      PooledEntry*& e = end[index[k * d.dy_channel]];
      *e = {g, static_cast<int32_t>(k * d.filter)};
      e += g != 0;
    }
    for (int64_t j = 0; j < d.places; ++j) {
      const PooledEntry* const begin = bins + j * (channels + 1);
      *run = {static_cast<int32_t>(begin - to.packed), static_cast<int32_t>(end[j] - begin),
              to.first[i] + places.at[j]};
      run += end[j] > begin;
    }
  }
  return run - to.runs;
}

// Those of windows [begin, end) of all samples of a unit by sample and window; the number of runs.
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
      const int32_t count = pack(of_window, d.samples, channels, packed);
      *run = {static_cast<int32_t>(packed - to.packed), count,
              static_cast<int32_t>(to.first[i] + sample * d.image)};
      run += count > 0, packed += count;
    }
  return run - to.runs;
}

// What is summed for an entry: rows of `width` floats.
struct Extent {
  int64_t rows, vectors, width, a_row, y_row;
};

// All sums of the lists in tiles; `a` and `y` as PooledSum has them, for the first row.
void sum_up(const Extent& all, PooledSum sum) {
  const int64_t lanes = kernels().pooled->lanes;
  const int64_t most = std::min<int64_t>(kPooledRows, std::max<int64_t>(1, kPooledSums / all.vectors));
  const int64_t row_parts = ceil_div(all.rows, most), parts = ceil_div(all.vectors, kPooledSums);
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
      kernels().pooled->sum(sum);
    }
}

// A unit of x or dx in lanes, and its images.
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

// Sums of a chunk: of the filters, then of the bias.
int64_t sums_floats(const Pooled& d, int64_t k) { return round_up((d.filter + 1) * k, kSlack); }

// The gradients that are not zero of one image and output channel; adds all to `sum`.
PooledEntry* list_channel(const Pooled& d, const Places& places, const Gradient& from, const int32_t* first,
                          int64_t image, PooledEntry* e, float* sum) {
  float part[4] = {};  // one would wait for each addition
  const auto take = [&](int64_t i, float* total) {
    const float g = from.dy[i * d.dy_window];
    *e = {g, static_cast<int32_t>(first[i] + places.at[from.index[i * d.dy_window]] + image)};
    e += g != 0;
    *total += g;
  };
  int64_t i = 0;
  for (; i + 4 <= d.windows; i += 4)
    for (int j = 0; j < 4; ++j) take(i + j, part + j);
  for (; i < d.windows; ++i) take(i, part);
  *sum += part[0] + part[1] + (part[2] + part[3]);
  return e;
}

// The lists of output channels [first, first + count), and the runs of their sums. In lanes a list has the
// gradients of all samples.
void list_packed(const Pooled& d, const Places& places, const Gradient& from, Range channels,
                 const Scratch& to, float* db) {
  PooledEntry* e = to.packed;
  for (int64_t k = channels.begin; k < channels.end; ++k) {
    const PooledEntry* const begin = e;
    for (int64_t i = 0; i < d.samples; ++i)
      e = list_channel(d, places, {from.dy + k * d.dy_channel + i, from.index + k * d.dy_channel + i},
                       to.first, i * d.image, e, db + k);
    to.runs[k - channels.begin] = {static_cast<int32_t>(begin - to.packed), static_cast<int32_t>(e - begin),
                                   static_cast<int32_t>(k * d.filter)};
  }
}

// The same of all gradients.
void list_all(const Pooled& d, const Places& places, const Gradient& from, Range channels, const Scratch& to,
              float* db) {
  const int64_t lanes = kernels().pooled->lanes;
  const bool in_lanes = d.samples > 1;
  PooledList l = {};
  l.first = to.first, l.step = d.dy_window, l.rows = d.windows;
  l.width = places.width, l.down = places.down, l.right = places.right;
  l.apart = in_lanes ? static_cast<int32_t>(d.image) : 0;
  l.entries = to.entries;
  for (int64_t k = channels.begin; k < channels.end; k += in_lanes ? 1 : lanes) {
    float total[kBatchLanes] = {};
    l.dy = from.dy + k * d.dy_channel, l.index = from.index + k * d.dy_channel;
    l.sums = total;
    l.count = static_cast<int32_t>(in_lanes ? lanes : std::min(lanes, channels.end - k));
    kernels().pooled->list(l);
    PooledRun* const runs = to.runs + (k - channels.begin);
    const int32_t begin = static_cast<int32_t>(l.entries - to.entries);
    for (int32_t j = 0; j < l.count; ++j) db[in_lanes ? k : k + j] += total[j];
    if (in_lanes)
      runs[0] = {begin, static_cast<int32_t>(d.windows * lanes), static_cast<int32_t>(k * d.filter)};
    else
      for (int32_t j = 0; j < l.count; ++j)
        runs[j] = {begin + j, static_cast<int32_t>(d.windows), static_cast<int32_t>((k + j) * d.filter)};
    l.entries += d.windows * lanes;
  }
}

void run_wgrad(const Prepared& prepared, const Operands& operands, Context& context) {
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
        (d.packs ? list_packed : list_all)(d, places, from, channels, scratch, sums + d.filter * v.k);
        PooledSum sum = {};
        sum.entries = d.packs ? scratch.packed : scratch.entries;
        sum.step = d.packs || d.samples > 1 ? 1 : kernels().pooled->lanes;
        sum.runs = scratch.runs, sum.run_count = channels.end - channels.begin;
        sum.a = scratch.images, sum.y = sums;
        sum_up({v.r, d.vectors, v.s * v.c, v.dilation_h * d.row, d.filter_row}, sum);
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

// The filters as [K][R][(S, C)], or in their footprints once for each column of a window.
void turn_filters(const PooledConv2dShape& shape, const Pooled& d, const float* w, float* turned,
                  Context& context) {
  const Conv2dShape& v = shape.conv;
  const Footprint& f = d.print;
  const int64_t lanes = kernels().pooled->lanes, copies = d.by_window ? shape.pool.s : 1;
  const int64_t filter = d.by_window ? f.filter : d.filter,
                row = d.by_window ? f.vectors * lanes : d.filter_row;
  const int64_t aside = shape.pool.dilation_w * v.stride_w * v.c;
  for_each_chunk(context, v.k, ceil_div(v.k, kPooledTasks), [&](int64_t begin, int64_t end) {
    for (int64_t copy = 0; copy < copies; ++copy) {
      float* const to = turned + (d.by_window ? copy * f.variant : 0);
      const int64_t after = end == v.k && d.by_window ? f.variant : end * filter;
      std::fill(to + begin * filter, to + after, 0.0f);
      for (int64_t r = 0; r < v.r; ++r)
        for (int64_t i = 0; i < v.s * v.c; ++i)
          for (int64_t k = begin; k < end; ++k)
            to[k * filter + (r + (d.by_window ? f.above : 0)) * row + copy * aside + i] =
                w[(r * v.s * v.c + i) * v.k + k];
    }
  });
}

void run_dgrad(const Prepared& prepared, const Operands& operands, Context& context) {
  const PooledConv2dShape& shape = prepared.op.conv2d_dgrad_pooled;
  const Conv2dShape& v = shape.conv;
  const Pool2dShape& s = shape.pool;
  const Pooled& d = state<Pooled>(prepared);
  const Footprint& f = d.print;
  const Places places = places_in_image(shape, d);
  const int64_t row = f.vectors * kernels().pooled->lanes;
  const Extent extent = d.by_window ? Extent{f.rows, f.vectors, f.width, row, d.row}
                                    : Extent{v.r, d.vectors, v.s * v.c, d.filter_row, v.dilation_h * d.row};
  Member& me = *context.member;
  float* const turned = static_cast<float*>(context.workspace);
  turn_filters(shape, d, input(operands, 2), turned, context);
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

void prepare_dgrad(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_dgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan(s, p->op.layout);
  set_costs(p, s);
  p->workspace_bytes = float_bytes(d.by_window ? s.pool.s * d.print.variant : d.filter * s.conv.k);
  p->scratch_bytes = Scratch::bytes(d, s.conv.k);
}

void prepare_wgrad(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_wgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan(s, p->op.layout);
  set_costs(p, s);
  p->workspace_bytes = float_bytes(d.chunks * sums_floats(d, s.conv.k));
  p->scratch_bytes = Scratch::bytes(d, s.conv.k);
}

}  // namespace

#define FASTCNN_POOLED(pass, algorithm)                                                                 \
  bool supports_conv2d_##pass##_pooled_##algorithm(const OpDescriptor& op) {                            \
    return supports(op.conv2d_##pass##_pooled, op.layout);                                              \
  }                                                                                                     \
  void prepare_conv2d_##pass##_pooled_##algorithm(Prepared* p) { prepare_##pass(p); }                   \
  void run_conv2d_##pass##_pooled_##algorithm(const Prepared& p, const Operands& x, Context& context) { \
    run_##pass(p, x, context);                                                                          \
  }
FASTCNN_POOLED(dgrad, gather)
FASTCNN_POOLED(dgrad, lanes)
FASTCNN_POOLED(wgrad, gather)
FASTCNN_POOLED(wgrad, lanes)
#undef FASTCNN_POOLED

}  // namespace cpu
}  // namespace fastcnn
