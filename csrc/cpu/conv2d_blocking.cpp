// SPDX-License-Identifier: Apache-2.0
// How the direct convolution is cut into tasks, panels and turns: by the clocks of register tiles and what of
// it stays in the caches.
#include "conv2d_direct.h"

namespace fastcnn {
namespace cpu {
namespace {

// Of pixels whose sums are short, taken panel after panel, so that their outputs are written in L1. Where no
// vector of outputs crosses a line, tiles that ask for their own do as well from 16 steps on: 16 -> 64
// channels pointwise 1.08, 32 -> 192 1.1, 3x3 of 3 -> 32 1.1 to 1.18 times as fast; but 24 -> 150 0.7, 48 ->
// 300 0.9.
constexpr int64_t kShortSteps = 64, kFewSteps = 16, kTurnBytes = 16 << 10;
// With these and no more the outputs of a pixel are written side by side by wide panels: 3x3 of 1 and 3 -> 64
// channels took 0.72 to 0.91 of the time, of 8 -> 64 with strides 0.94, 4x4 and 5x5 of 3 channels 0.8 to 0.95
// (147 steps, 7x7, 0.99).
constexpr int64_t kWideSteps = 80;
// Of a panel, beside what tiles read of the input in L1, if as many steps pay for the outputs that are read
// and written once more: the panels of 16 lanes, of 80 and 160 steps, took 1.03 to 1.4 times as long as none.
// (Parts of other convolutions, whose strips are as short as their rows, cost 4 to 8 % of 3x3 and strided
// ones at 7x7 and 14x14.) And the private panels of a task, whose weights lie side by side in memory, so that
// they are read by more than a line at a time.
constexpr int64_t kPartBytes = 20 << 10, kPartSteps = 200, kPrivatePanels = 8;
// Of private panels beside outputs that L2 does not hold, which are read and written once more for each part:
// 512 -> 2048 channels at 7x7, batch 16, took 1.15 times as long in parts of L1, 1024 -> 2048 1.3 times (1.3
// and 1.4 on AVX2), 512 -> 2048 of a batch of 4, 1.6 MB of outputs, 0.96 times.
constexpr int64_t kLongPartBytes = 64 << 10, kFarOutputBytes = 2 << 20;
// Of packed weights that outweigh the input: more bands read them from L2 for too few pixels (14 and 8 bands
// of 96 -> 576 channels at 14x14 took 1.15 times as long); parts of the panels make up the tasks.
constexpr int64_t kHeavyBands = 4;

// Clocks of a step of a register tile on a core with two multiply-adds and two loads in each, which wait four
// for their result.
double step_clocks(int64_t rows, int vectors) {
  return std::max({0.5 * double(rows) * vectors, 0.5 * double(rows + vectors), 4.0});
}

// Of all output channels of a strip of `pixels`, with panels of so many vectors.
double strip_clocks(const Direct& d, int64_t pixels, double steps, int vectors) {
  constexpr double kTileClocks = 30, kStripClocks = 30;
  const TileKernels& kernel = *d.tile;
  const int64_t all = ceil_div(d.out_g, kernel.lanes);
  const auto panel_clocks = [&](int width) {
    const int64_t tiles = ceil_div(pixels, kernel.max_rows[width]), least = pixels / tiles;
    const int64_t more = pixels - tiles * least;  // of one row more
    return kStripClocks + double(tiles) * kTileClocks +
           steps * (double(more) * step_clocks(least + 1, width) +
                    double(tiles - more) * step_clocks(least, width));
  };
  const int rest = int(all % vectors);
  return double(all / vectors) * panel_clocks(vectors) + (rest ? panel_clocks(rest) : 0);
}

// Vectors of a panel: those of the tile that is fastest otherwise, unless short strips (of 7 pixels, 4 and 3
// rows of 2 vectors wait for their sums) or a few channels (24 of 8 lanes) fit another better.
int panel_vectors(const Direct& d, int64_t pixels, int64_t steps, int fastest) {
  const TileKernels& kernel = *d.tile;
  int best = fastest;
  double least = 0.95 * strip_clocks(d, pixels, steps, best);
  for (int vectors = 1; vectors <= kMaxVectors; ++vectors) {
    if (!kernel.max_rows[vectors]) continue;
    const double clocks = strip_clocks(d, pixels, steps, vectors);
    if (clocks < least) best = vectors, least = clocks;
  }
  return best;
}

// The same, or what it takes to read panels that L1 does not hold, if that is longer.
double far_strip_clocks(const Direct& d, int64_t pixels, double steps, int vectors) {
  constexpr double kFarVectorClocks = 2.7, kNearBytes = 24 << 10;
  const TileKernels& kernel = *d.tile;
  const bool near = steps * vectors * kernel.lanes * 4 <= kNearBytes;
  const int64_t times = near ? 1 : ceil_div(pixels, kernel.max_rows[vectors]);
  return std::max(strip_clocks(d, pixels, steps, vectors),
                  kFarVectorClocks * steps * double(times * ceil_div(d.out_g, kernel.lanes)));
}

// Of all columns of a row whose taps meet so many steps each: with those beyond the input, which are zeros,
// or a strip for each tap that adds to the outputs before it, beside one that begins and one that ends. The
// gradients of 1x7 and 7x7 filters without padding took 0.6 to 0.85 times as long without zeros, 5x5 and 3x3
// at 7x7 0.86 to 0.95 times. (Panels of other widths for these took up to 1.15 times as long.)
double row_clocks(const Direct& d, double steps, int vectors, bool clipped) {
  constexpr double kSumClocks = 3;
  const double outputs = double(ceil_div(d.out_g, d.tile->lanes));
  double clocks = 0;
  for (int64_t j = 0; j < d.phases_w; ++j) {
    const Axis w = axis_w(d, j);
    if (!clipped) {
      clocks += far_strip_clocks(d, w.outputs, steps * double(w.taps), vectors);
      continue;
    }
    clocks += 2 * kSumClocks * outputs * double(w.outputs);
    for (int64_t s = 0; s < w.taps; ++s) {
      const Range inside = columns_inside(d, w, s);
      const int64_t count = inside.end - inside.begin;
      if (count) clocks += far_strip_clocks(d, count, steps, vectors) + kSumClocks * outputs * double(count);
    }
  }
  return clocks;
}

// The same by strips along the rows of the columns that all taps meet, and down the rows of the others, which
// end with the bands of an image and where rows of taps begin and end to meet it. 1x7 at 17x17 took 0.88 to
// 0.92 of the time (AVX-512), 1x3 at 8x8 0.87 to 0.92 (AVX2); down so few rows as three 1.05 to 1.28 times as
// long.
double framed_clocks(const Direct& d, double steps, int vectors, double flops) {
  const Axis w = axis_w(d, 0), h = axis_h(d, 0);
  const Range within = columns_within(d, w);
  const int64_t image_bytes = 4 * (d.in_h * d.in_w * d.in_c + d.out_h * d.out_w * d.out_c);
  int64_t pieces = std::max(ceil_div(tasks_for(flops), d.n), ceil_div(image_bytes, kBandBytes));
  for (int64_t p = 1; p < d.rows; ++p) {
    const Range last = taps_inside(h, p - 1, d.in_h), next = taps_inside(h, p, d.in_h);
    pieces += last.begin != next.begin || last.end != next.end;
  }
  const int64_t down = std::max<int64_t>(1, d.rows / pieces);
  double clocks = far_strip_clocks(d, within.end - within.begin, steps * double(w.taps), vectors);
  for (int64_t q = 0; q < d.cols; ++q) {
    if (q >= within.begin && q < within.end) continue;
    const Range taps = taps_inside(w, q, d.in_w);
    clocks += far_strip_clocks(d, down, steps * double(taps.end - taps.begin), vectors) / double(down);
  }
  return clocks;
}

// Rows of taps that an output row meets, on the average.
double mean_taps_h(const Direct& d) {
  int64_t taps = 0, rows = 0;
  for (int64_t j = 0; j < d.phases_h; ++j) {
    const Axis h = axis_h(d, j);
    rows += h.outputs;
    for (int64_t p = 0; p < h.outputs; ++p) {
      const Range inside = taps_inside(h, p, d.in_h);
      taps += inside.end - inside.begin;
    }
  }
  return double(taps) / double(rows);
}

// Whether there is a step of a tile for each line of outputs, of what their epilogue meets, and of floats to
// round that the next task will. What is more than that tiles ask for at once and wait: 64 -> 256 channels
// pointwise at 56x56 took 1.16 times as long. Rounding reads in order, which the processor foresees; where
// there is room it gains up to 1.1 times all the same.
bool has_steps_to_ask(const Direct& d, const Epilogue& e) {
  const int64_t arrays = 1 + (e.relu_mask != 0) + (e.residual != 0);
  const double steps = double(d.rows * d.cols * d.groups * d.panels * (d.panel_floats / d.panel)) /
                       double(rows_of_tile(d.pairs, d.panel / kernels().tile->lanes));
  return 16 * steps > double(2 * d.in_h * d.in_w * d.in_c + arrays * d.out_h * d.out_w * d.out_c);
}

}  // namespace

Direct plan_direct(const OpDescriptor& op, bool dgrad) {
  const Conv2dShape& v = op.conv2d_fprop;  // the passes share this struct
  Direct d = {};
  d.pool = op.epilogue.pool ? op.epilogue.pool : 1;
  d.kept_panels = op.constant_weights != 0;
  d.pairs = op.storage == Storage::kPairs;
  static_cast<Correlation&>(d) = correlation(v, dgrad);
  const TileKernels& kernel = d.pairs ? *kernels().tile : tiles_of(d.out_g);
  d.tile = &kernel;
  const Axis first_w = axis_w(d, 0);
  d.pad_left = std::max<int64_t>(0, -d.low_w);
  d.columns = d.pad_left + std::max(d.in_w, (d.cols - 1) * d.step_w + d.high_w + 1);
  d.joined =
      v.r * v.s * v.stride_h * v.stride_w == 1 && v.p == v.h && v.q == v.w && !v.pad_top && !v.pad_left;

  d.most_rows = kernel.max_rows[1];
  // Pixels that a strip joins fill any tile: 64 -> 256, 256 -> 64, 512 -> 128 and 32 -> 130 channels took 2
  // to 16 % less with wide panels. Not so a few steps in turns, 12 -> 128 channels 1.07 times as long, nor
  // where weights outweigh the input: 2000 -> 256 channels of one 7x7 image took twice as long, as their few
  // panels were no longer tasks of their own.
  const bool wide =
      d.joined && !d.pairs && d.in_g >= kFewSteps && d.in_g * d.out_c <= d.n * d.in_h * d.in_w * d.in_c;
  const int64_t steps = v.r * v.s * d.in_g, most_vectors = wide_vectors(kernel);
  const bool side_by_side =
      !d.joined && !d.pairs && steps <= kWideSteps && d.out_g % (most_vectors * kernel.lanes) == 0;
  const int fastest = wide || side_by_side ? static_cast<int>(most_vectors) : kernel.vectors;
  int vectors = panel_vectors(d, d.joined ? d.rows * d.cols : d.cols, steps, fastest);
  const int64_t row_bytes = first_w.step * d.in_c * 4;
  // Rows of a tile that alias: fewer of them, unless there are no more than L1 has ways for (512 channels
  // with strides to 7x7: 1.25 times as fast with 7 rows of 2 vectors as with 4 of 4, which read the panel
  // twice).
  if (row_bytes % 4096 == 0 && kernel.max_rows[4] >= 6 && (d.joined || d.cols > kernel.max_rows[4] + 2))
    vectors = 4;
  // Zeros on both sides of a row that is one tile are neither copied nor multiplied, and rows that meet the
  // same taps are one strip: 3x3 of groups of 16 channels at 7x7 took 0.85 of the time, at 14x14 0.88 to
  // 0.96.
  d.closed = !d.pairs && d.out_g <= kernel.lanes && d.filter_w == 3 && first_w.step == 1 &&
             first_w.spread == 1 && d.pad_left == 1 && d.cols == d.in_w && d.cols >= kernel.closed_rows[0] &&
             d.cols <= kernel.closed_rows[1];
  if (d.closed) d.columns = d.in_w;
  if (!d.pairs && d.columns > d.in_w) {
    const double met = mean_taps_h(d) * double(d.in_g);
    const double padded = row_clocks(d, met, vectors, false), clipped = row_clocks(d, met, vectors, true);
    const Range within = columns_within(d, first_w);
    const bool once = v.stride_h * v.stride_w == 1 && within.begin < within.end;
    const double framed = once ? framed_clocks(d, met, vectors, conv_flops(v)) : padded;
    d.framed = framed < std::min(0.95 * padded, clipped);
    d.clipped = !d.framed && clipped < 0.95 * padded;
    if (d.framed || d.clipped) d.pad_left = 0, d.columns = d.in_w;
  }
  d.panel = kernel.lanes * std::min<int64_t>(vectors, ceil_div(d.out_g, kernel.lanes));
  d.panels = ceil_div(d.out_g, d.panel);
  const bool slides =
      d.closed || (!d.pairs && !d.clipped && kernel.sliding_rows[1] && d.cols >= kernel.sliding_rows[0] &&
                   d.panel == kernel.lanes && first_w.step == first_w.spread);
  if (slides) d.most_rows = d.closed ? static_cast<int32_t>(d.cols) : kernel.sliding_rows[1];
  d.panel_floats = v.r * v.s * d.in_g * d.panel;

  const double flops = conv_flops(v);
  const int64_t all_panels = d.groups * d.panels, wanted = tasks_for(flops);
  const int64_t padded_bytes = d.n * d.in_h * d.columns * d.in_c * 4;
  const bool padded = d.columns > d.in_w;
  const int64_t all_bytes = all_panels * d.panel_floats * 4;
  const int64_t output_bytes = 4 * d.n * d.out_h * d.out_w * d.out_c;
  const bool heavy = all_panels >= 8 && all_bytes > padded_bytes;
  // Weights that are packed once are read by each core sooner than inputs and outputs change cores, as a
  // depthwise layer between two pointwise ones goes by rows (14x14 of 384 channels: 1.25 times as fast).
  d.private_panels = heavy && !(d.kept_panels && all_bytes <= padded_bytes + output_bytes);
  const bool far_outputs = d.private_panels && output_bytes > kFarOutputBytes;
  const int64_t part_bytes = far_outputs ? kLongPartBytes : kPartBytes;
  const int64_t fit = std::max<int64_t>(1, part_bytes / 4 / d.panel);
  const bool in_parts = d.joined && (d.private_panels || fit >= kPartSteps);
  d.part = in_parts ? ceil_div(steps, ceil_div(steps, fit)) : steps;
  // A few images once for all parts of the panels. A single panel meets each band while it is near: 3 -> 32
  // channels from 224x224 with strides took 0.9 of the time.
  const bool whole = d.private_panels || (all_panels > 1 && d.n < 16 && padded_bytes <= 4 << 20);
  // Pixels that a stride takes apart share sets of L1, whose lines a group reads in part: 3x3 of 32 groups
  // from 28x28 of 512 and 1024 channels took 0.6 and 0.7 of the time, others as long or less. (Without
  // strides 0.97 to 1.08 times as long, gradients 0.9 to 1.1; copied by a group at a time before its sums,
  // which is not in the order of memory, up to 1.4 times.)
  d.apart = d.groups > 1 && d.step_w > 1 && !d.joined && !d.pairs && !d.private_panels;
  d.merged = (v.groups == 1 || d.apart) && first_w.spread == 1 && !slides && !d.clipped;
  d.pixel = d.apart ? d.in_g : d.in_c;
  d.input = !padded && !d.apart ? Input::kBorrowed : whole ? Input::kPaddedWhole : Input::kPaddedBand;
  d.bands = 1, d.images = d.n, d.parts = 1;
  if (d.private_panels) {
    d.parts = d.joined ? std::max<int64_t>(ceil_div(all_panels, kPrivatePanels), 8) : all_panels;
    // Kept ones cost a task nothing: one is a task, and few of them meet the pixels in two bands, of which
    // each of two threads reads its own. On two threads 1024 -> 512 channels at 14x14 took 0.72 of the time,
    // 2048 -> 512 at 7x7 0.85, without bands 256 -> 1024 at 14x14 0.84, on one thread 0.95 to 1.06. (Bands of
    // 3x3 filters at 7x7 took 1.08 times as long.)
    if (d.joined && d.kept_panels) {
      d.parts = std::min(all_panels, wanted);
      d.bands = std::min(d.rows, 2 * d.parts <= wanted ? int64_t{2} : int64_t{1});
    }
  } else {
    const int64_t arrays = 1 + (op.epilogue.relu_mask != 0) + (op.epilogue.residual != 0);  // as outputs
    const int64_t image_bytes =
        std::max<int64_t>(4, 4 * (d.in_h * d.columns * d.in_c + arrays * d.out_h * d.out_w * d.out_c));
    // Not fewer than 6 rows of a copied band, which repeats those it shares with the next, or of groups,
    // whose few steps for each panel do not pay for reading it, and whose panels make tasks as well: unless
    // two of these would write parts of a line.
    const bool by_panels = d.groups > 1 && d.out_g % kernel.lanes == 0;
    const int64_t needed = d.input == Input::kPaddedBand ? 1
                           : by_panels                   ? ceil_div(wanted, d.n * all_panels)
                                                         : d.rows;
    const int64_t most_bands = std::min(d.rows, std::max({int64_t{1}, d.rows / 6, needed}));
    const int64_t spread = std::max<int64_t>(wanted, !d.joined && flops >= kOpenFlops ? 2 : 1);
    d.bands = std::max(ceil_div(spread, d.n), ceil_div(image_bytes, kBandBytes));
    d.bands = std::max<int64_t>(1, std::min({d.bands, most_bands, d.rows / d.pool}));
    if (heavy) d.bands = std::min(d.bands, kHeavyBands);
    for (int64_t b = d.bands; 2 * b >= d.bands; --b)
      if (d.rows / d.pool % b == 0) {
        d.bands = b;
        break;
      }
    d.bands = halved_alike(d.bands, std::min(most_bands, d.rows / d.pool), d.n);
    d.images = d.bands > 1 ? 1 : std::max<int64_t>(1, std::min(d.n / spread, kBandBytes / image_bytes));
    if (d.input != Input::kPaddedBand) d.parts = std::min(all_panels, ceil_div(wanted, tasks_of(d)));
  }
  // By tasks that share their bands with no other. (Before all of them 64 and 128
  // channels took 1.02 to 1.2 times as long.)
  d.rounds = d.pairs && op.precision == Precision::kBfloat16 && !d.private_panels && d.parts == 1 &&
             (d.joined || d.input == Input::kPaddedBand);
  if (d.rounds) d.input = Input::kPaddedBand;
  // Rows of whole copies apart are no run.
  d.asks_for_input = d.apart ? d.input == Input::kPaddedBand : !d.rounds || has_steps_to_ask(d, op.epilogue);
  const int64_t band = ceil_div(d.rows / d.pool, d.bands) * d.pool;
  d.band_rows_in = most_rows_met(d, band);
  const bool in_turns = steps < kFewSteps || (steps <= kShortSteps && d.out_c % kernel.lanes);
  if (in_turns && all_panels > 1 && !d.private_panels && !d.clipped && !d.closed && !d.framed) {
    const int64_t tile = kernel.max_rows[d.panel / kernel.lanes];
    d.turn = std::max<int64_t>(1, kTurnBytes / (4 * (d.step_w * d.in_c + d.out_c)) / tile) * tile;
  }
  const bool one_tile = d.cols <= kernel.max_rows[d.panel / kernel.lanes];
  d.stacked = d.closed || (one_tile && !d.joined && !d.pairs && !d.clipped && !d.framed && !d.turn);
  return d;
}

}  // namespace cpu
}  // namespace fastcnn
