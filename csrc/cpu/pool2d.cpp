// SPDX-License-Identifier: Apache-2.0
// Max, average and sum pooling, forward and backward: x, dx [N,H,W,C], y, dy [N,P,Q,C]. Splits the steps into
// rows for cpu/kernels/pool2d. Sum pooling is average pooling without the division.
#include "pool2d.h"

#include <algorithm>

#include "kernels.h"
#include "kernels/max_pool2d_index.h"
#include "kernels/max_pool_bwd.h"
#include "kernels/pool2d.h"
#include "kernels/pool2d_bwd.h"

namespace fastcnn {
namespace cpu {

namespace {

int64_t extent_h(const Pool2dShape& s) { return (s.r - 1) * s.dilation_h + 1; }
int64_t extent_w(const Pool2dShape& s) { return (s.s - 1) * s.dilation_w + 1; }

// Rows of windows that hold a row of pixels, at most.
int64_t live_windows(const Pool2dShape& s) {
  return std::min(s.adaptive ? ceil_div(s.p, s.h) + 1 : ceil_div(extent_h(s), s.stride_h), s.p);
}

// Whether pixels take from windows in whole vectors, and windows do not give to them one by one.
bool gathers_maxima(const Pool2dShape& s) {
  return !s.adaptive && s.stride_h == 1 && s.stride_w == 1 && s.c >= kFewChannels;
}

// Whether windows at each second pixel give in vectors: of 3 x 3, and of 2 x 2 where one holds several. Of
// eight lanes most have to be channels: 9 and 10 of them took 1.1 to 1.2 times as long, and several windows
// of 3 x 3, of which vectors are picked in three instructions, 1.1 to 1.5 times. So did rows of 14 pixels.
bool gives_maxima(const Pool2dShape& s) {
  const int64_t lanes = kernels().max_pool2d_index->lanes;
  const bool several = lanes > 4 && s.c <= lanes / 2 && s.w * s.c >= 3 * lanes;
  const bool fills =
      s.c >= kLeastGiven && (lanes > kLeastGiven || 3 * lanes * ceil_div(s.c, lanes) <= 4 * s.c);
  const bool three = s.r == 3 && s.s == 3 && s.pad_left < 2 && ((several && lanes > 8) || fills);
  const bool two = s.r == 2 && s.s == 2 && s.pad_left == 0 && several;
  return !s.adaptive && s.stride_h == 2 && s.stride_w == 2 && s.dilation_h == 1 && s.dilation_w == 1 &&
         (three || two);
}

// Of maxima unless they give.
bool windows_write(const Pool2dShape& s, Pooling kind) {
  return writes_windows(s, kind) && !(kind == Pooling::kMax && gives_maxima(s));
}

int64_t rows_of_windows_per_task(const Pool2dShape& s) {
  return rows_per_chunk(s.adaptive ? ceil_div(s.h, s.p) * s.w * s.c : s.stride_h * s.w * s.c);
}

void prepare_fwd(Prepared* p, const Pool2dShape& s) {
  const double inputs = pool2d_inputs(s), outputs = pool2d_outputs(s);
  set_cost(p, s.adaptive ? inputs : outputs * s.r * s.s, 4 * (inputs + outputs));
}

// arrays: how many of the input's size are moved.
void prepare_bwd(Prepared* p, const Pool2dShape& s, Pooling kind) {
  const double inputs = pool2d_inputs(s), outputs = pool2d_outputs(s);
  const int arrays = 1 + (kind == Pooling::kMax || p->op.epilogue.relu_mask);
  set_cost(p, s.adaptive ? inputs : outputs * s.r * s.s, 4 * (arrays * inputs + outputs));
  Bands& bands = state<Bands>(p);
  bands = pool2d_bands(s, kind);
  p->scratch_bytes = bands.scratch_bytes;
}

// Floats of a row of pixels with all that windows reach over, and a rest of a vector or two.
int64_t pool_line(const Pool2dShape& s) {
  return ((s.s - 1) * s.dilation_w + std::max((s.q - 1) * s.stride_w + 1, s.w + s.pad_left)) * s.c + kRest;
}

// Whether maxima that are told are found on lines, as those that are found again, and not window by window:
// by the taps of a window and the vectors for its channels, against rows and columns that are joined one
// after the other. Fitted to some 40 shapes with each width of vectors. 3 x 3 windows at every second pixel
// of 32x56x56x2 take a third as long, of 8x8x3, which are few, 1.2 times as long as window by window.
bool finds_on_lines(const Pool2dShape& s) {
  const int64_t lanes = kernels().max_pool2d_index->lanes;
  const int64_t alone = s.r * s.s * ceil_div(s.c, lanes) * lanes, lines = (s.r * s.stride_w + s.s) * s.c;
  if (s.adaptive || 10 * alone <= (lanes > 8 ? 22 : 11) * lines || s.p * s.q * s.c < 2 * lanes) return false;
  return places_fit(std::min(s.h, rows_of_windows_per_task(s) * s.stride_h + extent_h(s)), s.w, s.c);
}

constexpr int64_t kTogether = 4096;  // floats of rows of windows that are taken together: all of an image,
constexpr int64_t kGroup = 1024;     // or so many
constexpr int64_t kImages = 8192;    // floats of small images that make a task
constexpr int64_t kLeastTasks = 16;  // of maxima, for as many threads

SumScratch sum_scratch(const Pool2dShape& s) {
  const int64_t before = ceil_div(s.s, s.stride_w) - 1, last = (s.w - 1 + s.pad_left) / s.stride_w;
  const int64_t zeros = ceil_div(before * s.c, kRest) * kRest, holders = ceil_div(s.r, s.stride_h);
  SumScratch sum = {};
  sum.pitch = std::max(s.q + before, last + 1) * s.c;
  sum.rows = (s.h - 1 + s.pad_top) / s.stride_h + 1;
  if (sum.rows * sum.pitch > kTogether) {
    sum.pitch = ceil_div(sum.pitch, kRest) * kRest;
    sum.rows = std::max<int64_t>(kGroup / sum.pitch, 1);
  }
  // As many lanes as pixels pick, and where in the windows; or the windows spread over a row.
  const int64_t picks = s.stride_w > 1 ? ceil_div(2 * pool_line(s), kRest) * kRest : 0;
  const int64_t sums = ceil_div(sum.rows * sum.pitch, kRest) * kRest + kRest + zeros;
  sum.ring = picks + zeros;
  // A load waits for the store before it whose place in a page is the same: the sums lie where the lines that
  // they are of are loaded as long as can be before. Windows of 3 x 3 of 24 channels took 1.2 times as long.
  constexpr int64_t kPage = 1024;
  const int64_t after = sum.ring + (sum.rows + holders - 1) * sum.pitch + kRest + zeros;
  for (int64_t at = ceil_div(after, kRest) * kRest, end = at + kPage, farthest = -1; at < end; at += kRest) {
    int64_t nearest = kPage;
    for (int64_t k = 0; k < std::min<int64_t>(holders, 8); ++k)
      nearest = std::min(nearest, (at - sum.ring + k * (kPage - sum.pitch % kPage)) % kPage);
    if (nearest > farthest) farthest = nearest, sum.all = at;
  }
  sum.fewer = sum.all + (holders > 1 ? sums : 0);
  sum.masked = sum.fewer + (holders > 2 ? sums : 0);
  sum.end = sum.masked + s.w * s.c;
  return sum;
}

// Scratch of the kernels that find maxima before they give or take.
int64_t max_pool_floats(const Pool2dShape& s) {
  const MaxPlaces places = max_places(s, gathers_maxima(s));
  return max_places_floats(places) + places.line + (places.gathers ? places.rows * (s.q * s.c + kRest) : 0);
}

// Places are counted from the first row that a band's windows reach over.
bool supports_bwd(const Pool2dShape& s, Pooling kind) {
  if (!windows_touch_image(s)) return false;
  if (kind != Pooling::kMax) return s.dilation_h == 1 && s.dilation_w == 1;
  if (windows_write(s, kind)) return true;
  const int64_t reach = s.adaptive ? ceil_div(s.h, s.p) + 1 : extent_h(s);
  return places_fit(std::min(s.h, pool2d_bands(s, kind).rows + 2 * reach), s.w, s.c);
}

}  // namespace

bool windows_overlap(const Pool2dShape& s) {
  return s.adaptive || s.stride_h < extent_h(s) || s.stride_w < extent_w(s) || s.dilation_h > 1 ||
         s.dilation_w > 1;
}

// Windows write their own pixels. Where channels fill no vectors, pixels rather take from the windows: of
// sums up to more of them, as a pixel compares no labels. Six channels of 2 x 2 took 0.8 times as long by
// their windows, five 1.1 to 1.3 times. Maxima of larger windows side by side several share a vector, if that
// is permuted in a register: of eight lanes 3 x 3 windows of one channel took 1.2 times as long so, 7 x 7
// ones of three, which leave lanes empty, 1.1 times.
bool writes_windows(const Pool2dShape& s, Pooling kind) {
  if (windows_overlap(s)) return false;
  if (kind != Pooling::kMax) return s.c % kFewChannels == 0 || s.c >= 4 * kFewChannels;
  if (s.r * s.s <= 4) return s.c >= 6;
  if (s.c >= kFewChannels || s.stride_w > s.s) return s.c >= kFewChannels;
  const int64_t lanes = kernels().max_pool2d_index->lanes;
  return lanes > 8 || (lanes == 8 && (s.c > 3 || (s.r * s.s > 9 && s.s * s.c <= 2 * lanes)));
}

MaxPlaces max_places(const Pool2dShape& s, bool gathers) {
  if (gathers) return {&s, true, pool_line(s), extent_h(s), (s.s - 1) * s.dilation_w * s.c};
  const int64_t line = std::max(s.adaptive ? s.q * s.c : pool_line(s), kPlacesLine);
  // Of few channels, rows of pixels are taken once for all windows that hold them. With 16 lanes two by two,
  // searched in registers: 3 x 3 windows of rows of 24 pixels took up to 1.2 times as long that way, and rows
  // of 12 floats 1.07 times. With eight what lies from a window to the next is joined, where rows are long.
  const int64_t lanes = kernels().max_pool2d_index->lanes, held = ceil_div(s.r, s.stride_h);
  const bool few = !s.adaptive && s.dilation_h == 1 && s.stride_w * s.c <= lanes;
  const bool in_registers = few && s.dilation_w == 1 && s.stride_h == 2 && s.stride_w == 2 &&
                            std::min(s.r, s.s) > 3 && s.w * s.c >= 2 * lanes && held <= kMostPairs &&
                            s.s / 2 <= std::min(kMostPairs, lanes / s.c);
  const bool once =
      few && s.r > 2 * s.stride_h && s.stride_h > 1 && s.stride_w > 1 && s.w * s.c >= 16 * lanes;
  const int64_t rows = lanes > 8 ? 2 * held * in_registers : lanes == 8 ? held * once : 0;
  return {&s, false, (ceil_div(line, kRest) + 10) * kRest, rows, 0};
}
int64_t max_places_floats(const MaxPlaces& p) { return p.line * (2 * p.rows + (p.gathers ? 0 : 4)); }

bool windows_touch_image(const Pool2dShape& s) {
  if (s.adaptive) return s.h <= INT32_MAX / s.w;
  return extent_h(s) > s.pad_top && extent_w(s) > s.pad_left && (s.p - 1) * s.stride_h - s.pad_top < s.h &&
         (s.q - 1) * s.stride_w - s.pad_left < s.w && s.r <= INT32_MAX / s.s;
}

void run_pool2d_fwd(const Pool2dShape& s, Pooling kind, const float* x, float* y, Context& context) {
  const Pool2dKernels& k = *kernels().pool2d;
  const auto f = kind == Pooling::kMax ? k.max_fwd : k.sum_fwd;
  const Pool2dFwd pool = {&s, x, y, kind == Pooling::kAverage};
  for_each_chunk(context, s.n * s.p, rows_of_windows_per_task(s),
                 [&](int64_t begin, int64_t end) { f(pool, begin, end); });
}

size_t max_pool2d_with_index_scratch(const Pool2dShape& s) {
  const MaxPlaces places = max_places(s, false);
  return finds_on_lines(s) ? sizeof(float) * static_cast<size_t>(max_places_floats(places) + 2 * places.line)
                           : 0;
}

void run_max_pool2d_with_index(const Pool2dShape& s, const float* x, float* y, int32_t* index,
                               Context& context) {
  if (finds_on_lines(s)) {
    auto* const scratch = static_cast<float*>(context.member->scratch(max_pool2d_with_index_scratch(s)));
    const MaxPoolFind pool = {max_places(s, false), x, y, index};
    for_each_chunk(context, s.n * s.p, rows_of_windows_per_task(s), [&](int64_t begin, int64_t end) {
      kernels().max_pool_bwd->find(pool, scratch, begin, end);
    });
    return;
  }
  const Pool2dFwd pool = {&s, x, y, false};
  for_each_chunk(context, s.n * s.p, rows_of_windows_per_task(s), [&](int64_t begin, int64_t end) {
    kernels().pool2d->max_with_index(pool, index, begin, end);
  });
}

Bands pool2d_bands(const Pool2dShape& s, Pooling kind) {
  Bands bands = {};
  bands.stream = streams(pool2d_inputs(s));
  bands.images = 1;
  if (windows_write(s, kind)) {
    bands.rows = rows_of_windows_per_task(s);
    return bands;
  }
  // Windows across the edge of a band are worked out on both sides: bands well above a window's height, and
  // even.
  const int64_t least = s.adaptive ? 4 * ceil_div(s.h, s.p) : 8 * extent_h(s);
  int64_t rows = rows_per_chunk(s.w * s.c);
  rows = rows < least ? least : rows;
  bands.rows = rows < s.h ? ceil_div(s.h, ceil_div(s.h, rows)) : s.h;
  if (!s.adaptive) bands.rows = ceil_div(bands.rows, s.stride_h) * s.stride_h;
  if (!s.adaptive && !(kind == Pooling::kMax && gathers_maxima(s))) {
    bands.images = kImages / (s.h * s.w * s.c);
    if (kind == Pooling::kMax) bands.images = std::min(bands.images, s.n / kLeastTasks);
    bands.images = std::max<int64_t>(bands.images, 1);
  }
  int64_t floats = 0;
  if (kind == Pooling::kMax)
    floats = max_pool_floats(s);
  else if (s.adaptive)
    floats = live_windows(s) * (s.w * s.c + kRest);
  else
    floats = (bands.sum = sum_scratch(s)).end;
  bands.scratch_bytes = sizeof(float) * static_cast<size_t>(floats);
  return bands;
}

void run_pool2d_bwd(const Pool2dShape& s, Pooling kind, const Bands& bands, const PoolGradient& gradient,
                    Context& context) {
  const Pool2dBwdKernels& k = *kernels().pool2d_bwd;
  const Pool2dBwd pool = {&s,
                          gradient.dy,
                          gradient.x,
                          gradient.dx,
                          bands.sum,
                          live_windows(s),
                          kind == Pooling::kAverage,
                          gradient.relu_mask,
                          bands.stream};
  const MaxPoolBwdKernels& m = *kernels().max_pool_bwd;
  const MaxPoolBwd max_pool = {max_places(s, gathers_maxima(s)),
                               gradient.dy,
                               gradient.x,
                               gradient.dx,
                               gradient.relu_mask,
                               bands.stream};
  if (windows_write(s, kind)) {
    const auto f = kind == Pooling::kMax ? k.max_apart : k.sum_apart;
    for_each_chunk(context, s.n * s.p, bands.rows, [&](int64_t begin, int64_t end) { f(pool, begin, end); });
    return;
  }
  float* scratch =
      bands.scratch_bytes ? static_cast<float*>(context.member->scratch(bands.scratch_bytes)) : nullptr;
  const int64_t count = ceil_div(s.h, bands.rows);
  parallel_for(*context.member, ceil_div(s.n, bands.images) * count, [&](int64_t task) {
    const int64_t n = task / count * bands.images, begin = task % count * bands.rows,
                  end = begin + bands.rows;
    const Pool2dBand band = {n, begin, std::min(end, s.h), scratch, std::min(bands.images, s.n - n)};
    if (kind != Pooling::kMax)
      (s.adaptive ? k.sum_adaptive : k.sum)(pool, band);
    else
      (gives_maxima(s) ? m.give : gathers_maxima(s) ? m.gather : m.scatter)(max_pool, band);
  });
}

void sum_pool2d_bwd(const Pool2dShape& s, const Bands& bands, const float* dy, float* dx, float* scratch) {
  const Pool2dBwdKernels& k = *kernels().pool2d_bwd;
  const Pool2dBwd pool = {&s, dy, nullptr, dx, bands.sum, 0, 0, 0, 0};
  if (!writes_windows(s, Pooling::kSum))
    k.sum(pool, {0, 0, s.h, scratch});
  else if (s.p > 0)
    k.sum_apart(pool, 0, s.p);
  else
    std::fill_n(dx, s.h * s.w * s.c, 0.0f);
}

#define FASTCNN_POOL2D(name, kind)                                                                         \
  bool supports_##name##_pool2d_fwd_direct(const OpDescriptor& op) {                                       \
    return windows_touch_image(op.name##_pool2d_fwd);                                                      \
  }                                                                                                        \
  bool supports_##name##_pool2d_bwd_direct(const OpDescriptor& op) {                                       \
    return supports_bwd(op.name##_pool2d_bwd, kind);                                                       \
  }                                                                                                        \
  void prepare_##name##_pool2d_fwd_direct(Prepared* p) { prepare_fwd(p, p->op.name##_pool2d_fwd); }        \
  void prepare_##name##_pool2d_bwd_direct(Prepared* p) { prepare_bwd(p, p->op.name##_pool2d_bwd, kind); }  \
  void run_##name##_pool2d_fwd_direct(const Prepared& p, const Operands& operands, Context& context) {     \
    run_pool2d_fwd(p.op.name##_pool2d_fwd, kind, input(operands, 0), output(operands, 0), context);        \
  }                                                                                                        \
  void run_##name##_pool2d_bwd_direct(const Prepared& p, const Operands& operands, Context& context) {     \
    run_pool2d_bwd(p.op.name##_pool2d_bwd, kind, state<Bands>(p),                                          \
                   {input(operands, 0), input(operands, 1), output(operands, 0), p.op.epilogue.relu_mask}, \
                   context);                                                                               \
  }
FASTCNN_POOL2D(max, Pooling::kMax)
FASTCNN_POOL2D(average, Pooling::kAverage)
FASTCNN_POOL2D(sum, Pooling::kSum)
#undef FASTCNN_POOL2D

bool supports_max_pool2d_with_index_direct(const OpDescriptor& op) {
  const Pool2dShape& s = op.max_pool2d_with_index;
  return windows_touch_image(s) && s.h <= INT32_MAX / s.w;
}
void prepare_max_pool2d_with_index_direct(Prepared* p) {
  const Pool2dShape& s = p->op.max_pool2d_with_index;
  prepare_fwd(p, s);
  p->bytes += 4 * pool2d_outputs(s);
  p->scratch_bytes = max_pool2d_with_index_scratch(s);
}
void run_max_pool2d_with_index_direct(const Prepared& p, const Operands& operands, Context& context) {
  run_max_pool2d_with_index(p.op.max_pool2d_with_index, input(operands, 0), output(operands, 0),
                            static_cast<int32_t*>(operands.out[1]), context);
}

}  // namespace cpu
}  // namespace fastcnn
