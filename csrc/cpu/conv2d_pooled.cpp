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

struct Pooled {
  int64_t row, image;                   // floats of a row of a padded image, and of all of it
  int64_t vectors, filter_row, filter;  // of the taps (s, c) of a row; floats of these, of all of an output
  int64_t windows, places;              // of an image; pixels of a window
  int64_t together;                     // windows whose gradients are listed by place
  int64_t samples, units, chunks;       // of a unit; of the batch; tasks of the weight gradient
  int64_t dy_window, dy_channel;        // steps of dy and index
};

constexpr int64_t kMostImage = 256 << 10, kMostFilter = 128 << 10, kMostEntries = 128 << 10;  // L2
constexpr int64_t kListEntries = 4 << 10;                                                     // L1
constexpr int64_t kMostPlaces = 64, kSlack = 16;

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
  d.chunks = std::min<int64_t>(d.units, 16);
  d.dy_window = in_lanes ? kBatchLanes : v.k;
  d.dy_channel = in_lanes ? d.windows * kBatchLanes : 1;
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

// What a task keeps for one image after the other. Lists are of so many windows that they stay in L1, by
// output channel or by place of a window; each has room for one entry more than it can hold, since what is
// zero is written and then overwritten.
struct Scratch {
  float* images;
  PooledEntry* entries;
  PooledRun* runs;
  int32_t* first;  // [windows]: where each begins in a padded image

  static int64_t entry_count(const Pooled& d, int64_t k) {
    return std::max((d.windows + 1) * k, d.together * d.places * (k + 1));
  }
  static int64_t run_count(const Pooled& d, int64_t k) { return std::max(k, d.together * d.places); }
  static size_t bytes(const Pooled& d, int64_t k) {
    return sizeof(float) * d.samples * d.image + sizeof(PooledEntry) * entry_count(d, k) +
           sizeof(PooledRun) * run_count(d, k) + sizeof(int32_t) * d.windows;
  }
  Scratch(const PooledConv2dShape& shape, const Pooled& d, void* memory) {
    const Pool2dShape& s = shape.pool;
    const int64_t k = shape.conv.k;
    images = static_cast<float*>(memory);
    entries = reinterpret_cast<PooledEntry*>(images + d.samples * d.image);
    runs = reinterpret_cast<PooledRun*>(entries + entry_count(d, k));
    first = reinterpret_cast<int32_t*>(runs + run_count(d, k));
    const int64_t down = shape.conv.stride_h * d.row, right = shape.conv.stride_w * shape.conv.c;
    for (int64_t p = 0; p < s.p; ++p)
      for (int64_t q = 0; q < s.q; ++q)
        first[p * s.q + q] =
            static_cast<int32_t>((p * s.stride_h - s.pad_top) * down + (q * s.stride_w - s.pad_left) * right);
  }
};

// Where the pixels of a window lie in a padded image, from its first.
struct Places {
  int32_t at[kMostPlaces];

  Places(const PooledConv2dShape& shape, const Pooled& d) {
    const Pool2dShape& s = shape.pool;
    const int64_t down = shape.conv.stride_h * d.row, right = shape.conv.stride_w * shape.conv.c;
    for (int64_t i = 0; i < d.places; ++i)
      at[i] = static_cast<int32_t>(i / s.s * s.dilation_h * down + i % s.s * s.dilation_w * right);
  }
};

struct Gradient {
  const float* dy;       // of one image
  const uint8_t* index;  // as dy
};

Gradient gradient_of(const Pooled& d, int64_t k, const float* dy, const uint8_t* index, int64_t sample) {
  const int64_t block = d.samples > 1 ? kBatchLanes : 1;
  const int64_t at = sample / block * block * d.windows * k + sample % block;
  return {dy + at, index + at};
}

// The gradients of an image by output channel; adds their sums to db.
void list_by_channel(const Pooled& d, int64_t channels, const Places& places, const Gradient& from,
                     const Scratch& to, float* db) {
  const int64_t step = d.dy_window;
  for (int64_t k = 0; k < channels; ++k) {
    const float* dy = from.dy + k * d.dy_channel;
    const uint8_t* index = from.index + k * d.dy_channel;
    PooledEntry *const begin = to.entries + k * (d.windows + 1), *e = begin;
    float sum[4] = {};  // one would wait for each addition
    const auto take = [&](int64_t i, float* total) {
      const float g = dy[i * step];
      *e = {g, to.first[i] + places.at[index[i * step]]};
      e += g != 0;
      *total += g;
    };
    int64_t i = 0;
    for (; i + 4 <= d.windows; i += 4)
      for (int j = 0; j < 4; ++j) take(i + j, sum + j);
    for (; i < d.windows; ++i) take(i, sum);
    db[k] += sum[0] + sum[1] + (sum[2] + sum[3]);
    to.runs[k] = {static_cast<int32_t>(begin - to.entries), static_cast<int32_t>(e - to.entries),
                  static_cast<int32_t>(k * d.filter)};
  }
}

// Those of windows [begin, end) by window and place; the number of runs.
int64_t list_by_place(const Pooled& d, int64_t channels, const Places& places, const Gradient& from,
                      Range windows, const Scratch& to) {
  PooledRun* run = to.runs;
  PooledEntry* bins = to.entries;
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
      *run = {static_cast<int32_t>(begin - to.entries), static_cast<int32_t>(end[j] - to.entries),
              to.first[i] + places.at[j]};
      run += end[j] > begin;
    }
  }
  return run - to.runs;
}

// f(rows of taps, vectors of them) for each tile of a filter.
template <class F>
void for_each_tile(const Pooled& d, int64_t taps, F f) {
  const int64_t rows = std::min<int64_t>(kPooledRows, std::max<int64_t>(1, kPooledSums / d.vectors));
  const int64_t row_parts = ceil_div(taps, rows), parts = ceil_div(d.vectors, kPooledSums);
  for (int64_t i = 0; i < row_parts; ++i)
    for (int64_t j = 0; j < parts; ++j) f(part_of(taps, row_parts, i), part_of(d.vectors, parts, j));
}

// All sums of the lists, in tiles of the filter; `a` and `y` as PooledSum has them, for the first tap.
void sum_up(const PooledConv2dShape& shape, const Pooled& d, PooledSum sum, bool into_images) {
  const Conv2dShape& v = shape.conv;
  const int64_t lanes = kernels().pooled->lanes, image_row = v.dilation_h * d.row;
  sum.a_row = into_images ? d.filter_row : image_row;
  sum.y_row = into_images ? image_row : d.filter_row;
  const float* const a = sum.a;
  float* const y = sum.y;
  for_each_tile(d, v.r, [&](Range rows, Range vectors) {
    sum.rows = static_cast<int32_t>(rows.end - rows.begin);
    sum.vectors = static_cast<int32_t>(vectors.end - vectors.begin);
    sum.tail = static_cast<int32_t>(std::min(lanes, v.s * v.c - (vectors.end - 1) * lanes));
    sum.a = a + rows.begin * sum.a_row + vectors.begin * lanes;
    sum.y = y + rows.begin * sum.y_row + vectors.begin * lanes;
    kernels().pooled->sum(sum);
  });
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

void run_wgrad(const Prepared& prepared, const Operands& operands, Context& context) {
  const PooledConv2dShape& shape = prepared.op.conv2d_wgrad_pooled;
  const Conv2dShape& v = shape.conv;
  const Pooled& d = state<Pooled>(prepared);
  const Places places(shape, d);
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
      for (int64_t i = 0; i < d.samples; ++i) {
        const Gradient from = gradient_of(d, v.k, input(operands, 1),
                                          static_cast<const uint8_t*>(operands.in[2]), unit * d.samples + i);
        list_by_channel(d, v.k, places, from, scratch, sums + d.filter * v.k);
        sum_up(shape, d,
               {scratch.entries, scratch.runs, v.k, scratch.images + i * d.image, sums, 0, 0, 0, 0, 0},
               false);
      }
    }
  });
  float *const dw = output(operands, 0), *const db =
                                             prepared.op.epilogue.bias ? output(operands, 1) : nullptr;
  const auto add_up = [&](int64_t at, int64_t count, float* y) {
    kernels().tile->sum_parts(partial + at, d.chunks, sums_floats(d, v.k), count, y);
  };
  const int64_t outputs = ceil_div(v.k, kTasks);
  for_each_chunk(context, v.k, outputs, [&](int64_t begin, int64_t end) {
    float* const sums = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    for (int64_t k = begin; k < end; ++k) {
      add_up(k * d.filter, d.filter, sums);
      for (int64_t r = 0; r < v.r; ++r)
        for (int64_t i = 0; i < v.s * v.c; ++i)
          dw[(r * v.s * v.c + i) * v.k + k] = sums[r * d.filter_row + i];
    }
    if (db) add_up(d.filter * v.k + begin, end - begin, db + begin);
  });
}

void run_dgrad(const Prepared& prepared, const Operands& operands, Context& context) {
  const PooledConv2dShape& shape = prepared.op.conv2d_dgrad_pooled;
  const Conv2dShape& v = shape.conv;
  const Pooled& d = state<Pooled>(prepared);
  const Places places(shape, d);
  Member& me = *context.member;
  const float* const w = input(operands, 2);
  float* const turned = static_cast<float*>(context.workspace);  // [K][R][(S, C)]
  for_each_chunk(context, v.k, ceil_div(v.k, kTasks / 4), [&](int64_t begin, int64_t end) {
    std::fill(turned + begin * d.filter, turned + end * d.filter, 0.0f);
    for (int64_t r = 0; r < v.r; ++r)
      for (int64_t i = 0; i < v.s * v.c; ++i)
        for (int64_t k = begin; k < end; ++k)
          turned[k * d.filter + r * d.filter_row + i] = w[(r * v.s * v.c + i) * v.k + k];
  });
  const float* const mask = prepared.op.epilogue.relu_mask ? input(operands, 3) : nullptr;
  parallel_for(me, d.units, [&](int64_t unit) {
    const Scratch scratch(shape, d, me.scratch(prepared.scratch_bytes));
    std::fill_n(scratch.images, d.samples * d.image, 0.0f);
    for (int64_t i = 0; i < d.samples; ++i) {
      const Gradient from = gradient_of(d, v.k, input(operands, 0),
                                        static_cast<const uint8_t*>(operands.in[1]), unit * d.samples + i);
      for (int64_t at = 0; at < d.windows; at += d.together) {
        const Range windows = {at, std::min(d.windows, at + d.together)};
        const int64_t runs = list_by_place(d, v.k, places, from, windows, scratch);
        sum_up(shape, d,
               {scratch.entries, scratch.runs, runs, turned, scratch.images + i * d.image, 0, 0, 0, 0, 0},
               true);
      }
    }
    put_images(v, d, scratch.images, mask, output(operands, 0), unit);
  });
}

void prepare_dgrad(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_dgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan(s, p->op.layout);
  set_costs(p, s);
  p->workspace_bytes = float_bytes(d.filter * s.conv.k);
  p->scratch_bytes = Scratch::bytes(d, s.conv.k);
}

void prepare_wgrad(Prepared* p) {
  const PooledConv2dShape& s = p->op.conv2d_wgrad_pooled;
  const Pooled d = state<Pooled>(p) = plan(s, p->op.layout);
  set_costs(p, s);
  p->workspace_bytes = float_bytes(d.chunks * sums_floats(d, s.conv.k));
  p->scratch_bytes = std::max(Scratch::bytes(d, s.conv.k), float_bytes(d.filter));
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
