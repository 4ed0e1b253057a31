// SPDX-License-Identifier: Apache-2.0
// y[m,n] = epilogue(op(a) op(b)), row-major, of register tiles (kernels/tile.h): dense layers and their
// gradients.
//
// A task is a part of the rows, of the columns and of k, chosen by the shape alone so that memory is read the
// least. Its sum runs over k in slices, during which the task's blocks of a, b and y stay in L2 and one panel
// of b in L1. Partial sums of the parts of k are added in order. a is read where it lies, transposed or not,
// but for large transposed ones; b as it lies where few rows meet it, else from panels [k][lanes]: of the
// whole b before all tasks, or of its own part by a task where no other needs them or its thread's next
// tasks do.
#include "gemm.h"

#include "caches.h"

namespace fastcnn {
namespace cpu {
namespace {

struct Gemm {
  const TileKernels* tile;      // of floats
  int64_t panel, panels, last;  // columns of a panel; where the last one begins
  int64_t packed_from;          // panels from this one on are packed
  int64_t aligned_from;         // the same where b begins with a line
  int64_t rest;                 // last rows of b, of whose last panel there is a copy; or 0
  int64_t row_parts, col_parts, k_parts, slice;
  int64_t most_rows;       // of a tile
  int32_t own_panels;      // packed by the task that reads them, columns outermost
  int32_t copy_a, turn_a;  // turned: its rows follow each other in the copy
  int32_t asks_a, asks_b;  // for the next rows of a during the sums of some, for the next shared panel of b
  int32_t copies, fills;   // the first tile copies a panel that lies across lines; one of its task's own
  int32_t far_y, pairs;    // y is larger than L2's part for it
};

// A task's blocks: of y, and of a. Longer slices write and read y less often; panels that a task packs for
// itself are to stay in L2. (With an L1 of 32 KB, which holds half of such a panel, slices of 512 and 256
// took 1 to 5 percent longer from 512^3 on; so did tiles of 4 rows and 3 vectors. Copies of b below 256 KB
// took 2 to 3 percent at 192^3 and 256^3, lines of b asked for ahead by the tile 10 at 64^3.)
constexpr int64_t kBlockCols = 512, kSlice = 1024, kOwnSlice = 384;

// Where the sum is short and y larger than L2's part for it, y is what moves: some rows of it at a time are
// written panel after panel, nearly in the order of memory, and their lines are asked for before each tile's
// sum (1521x3487x67 took 1.5 times as long down the columns, 3923x2689x92 1.25 times; without asking, the
// rows of a single tile at a time took 1.0 and 371x2414x33 1.8 times as long as 24). With AVX-512 what two L2
// hold is not far: asked for, 1000x300x40 took 1.25 times as long, 600x128x32 1.13 times.
constexpr int64_t kShortSum = 128, kSweepRows = 24, kSmallOutput = 256 << 10;

// All rows of b begin in one or two sets of L1: a column of them lives in few of its lines. Fewer rows of a
// than kFewRows do not pay for a copy of such a b: it is read in short slices and wide parts, so in runs of
// memory (8x4096x1024 took 1.7 times as long by the copy, and in slices of 1024 2.7 times; 24x2048x2048 1.1
// times by the copy, 40x1024x1024 and 32x2048x512 1.3 times without).
constexpr int64_t kManyRows = 80, kFewRows = 32, kFewSlice = 256, kFewCols = 256;
bool aliased(int64_t floats) { return floats % 512 == 0; }

// The tiles of 8 lanes make more panels, which a short sum does not pay for (2048x33x8 of a transposed a took
// 1.2 times as long by them) and each of which reads a (so from 33 columns on of a transposed one 300x40x1000
// took 1.29 and 2048x40x96 1.15 times as long, 128x40x1568 0.92; 1000x72x300 1.15 and 8x40x1000 1.1 times),
// of a transposed one few floats of each row: L2 is to hold it (on two threads 500x17x784 took 1.17 and
// 1000x20x1024 1.04 times as long).
constexpr int64_t kFewSteps = 8;
const TileKernels& tiles_of(const GemmShape& v, int32_t pairs) {
  const TileKernels& whole = *kernels().tile;
  const bool one_panel = v.transpose_a || v.m <= whole.max_rows[3];
  const bool far = v.transpose_a && float_bytes(v.m * v.k) > l2_cache_bytes();
  const bool pays = v.k > kFewSteps && !far && v.n < (one_panel ? 2 : 3) * whole.lanes;
  return pays && !pairs ? cpu::tiles_of(v.n) : whole;
}

// Where a vector is a line, each one of a b at any address lies in two: a panel that leaves L1 is packed
// (128x120x400 took 1.05 times as long as it lies, 256^3 1.11 times). What one thread packs another's L2 is
// slow to find, so that each packs for itself what takes no more than half of L2 with its rows of a
// (128x120x400 took 1.3 times as long in two phases, 192^3 1.2 times, 640^3 and 768^3 1.03 times; with all of
// L2 for it, 1024^3 took 1.03 times as long).
constexpr int64_t kLineFloats = 16, kPanelFloats = 12 << 10, kOwnFloats = 64 << 10;

// Such panels are copied by the first tile that reads them while it multiplies (as they lie 128^3 and
// 64x256x256 took 1.1 times as long, 15x1000x500 and 70x200x900 1.15 times; packed before 40x300x300 1.2
// times, 320^3 1.03 times; AVX-512 on a Xeon), one that L1 holds where a part of the rows has so many.
constexpr int64_t kCopyRows = 32;

// A small b of no more columns than there are rows is kept whole by each thread, whose tasks are some tiles
// of rows each, an even number of tasks: no threads write parts of a line all along y, and none has more
// columns (by parts of the columns 200^3 took 1.16 times as long, 400x120x128 1.14 times and of a transposed
// a 1.12 times, 192^3 and 256^3 the same; 96^3 0.95 times). Even parts of the columns copy a transposed b
// once (128^3 took 1.1 times as long by rows).
constexpr int64_t kRowTiles = 4, kManyRowTiles = 20;
int64_t parts_of_rows(const GemmShape& v, const Gemm& d, int64_t tile) {
  const bool small = v.k <= kSlice && d.panels * d.panel * v.k <= kOwnFloats;
  const bool lines = kernels().tile->lanes == kLineFloats, even = v.transpose_b && v.n % (2 * d.panel) == 0;
  if (d.pairs || !lines || even || !small || v.m < std::max(v.n, kManyRowTiles * tile)) return 0;
  return std::min(gemm_tasks(v), ceil_div(v.m, kRowTiles * tile)) / 2 * 2;
}

// An a that L2 does not hold beside the rest: its rows are asked for (4096x16x256 took 1.25 times as long
// without, 4096x64x256 1.08 times, 512^3 1.02 times; AVX-512).
constexpr int64_t kFarFloats = 128 << 10;

// A last panel that ends within a vector is read beyond b in the last rows of b alone. Few rows of a meet it
// where it lies, after a sum of those rows from a copy of them (packed, 32x10x784 took 1.4 times as long,
// 24x10x784 1.7, 16x100x200 1.2 and 24x3000x1000 1.12 times, of a transposed a 5x17x512 1.8 and 3x33x256 1.4
// times, 3x5x4096 5 times with AVX2; else AVX-512). Short sums do not pay for two. The last slice of a long
// one has more rows than that.
constexpr int64_t kMostRest = 8, kRestDepth = 128, kMostRestDepth = 8 * kSlice;
int64_t rest_of(const GemmShape& v, int64_t lanes) {
  const int64_t rest = ceil_div(lanes - v.n % lanes, v.n);
  return v.m < kManyRows && rest <= kMostRest && v.k >= kRestDepth && v.k <= kMostRestDepth ? rest : 0;
}

// How much longer the largest part is than the mean.
double unevenness(int64_t count, int64_t parts) { return 1.0 * ceil_div(count, parts) * parts / count; }

int64_t most_panels(const Gemm& d) { return ceil_div(d.panels, d.col_parts); }
int64_t block_rows(const GemmShape& v, const Gemm& d) { return ceil_div(v.m, d.row_parts); }

// As many tasks as are wanted at the least cost, in multiply-adds: what the largest of them does, and what
// the floats that move would cost. Every part of the columns reads a, every part of the rows b; a partial sum
// is written, read and added. A second phase of tasks is never free.
void choose_parts(const GemmShape& v, int64_t tile, int64_t most_cols, Gemm* d) {
  const double a = 1.0 * v.m * v.k, b = 1.0 * v.k * v.n, y = 1.0 * v.m * v.n;
  constexpr double kFloat = 4, kPartial = 8, kPhase = 16384;
  const int64_t tiles = ceil_div(v.m, tile), wanted = gemm_tasks(v);
  const int64_t least_rows = v.transpose_a && v.m <= 2 * kBlockRows ? 1 : ceil_div(v.m, kBlockRows),
                least_cols = ceil_div(v.n, kBlockCols);
  const int64_t most_k = std::max<int64_t>(1, std::min(v.k / 128, most_partial_sums(v)));
  int64_t most_tasks = 0;
  double least = 0;
  for (int64_t r = least_rows; r <= std::max(least_rows, std::min(wanted, tiles)); ++r)
    for (int64_t c = least_cols; c <= std::max(least_cols, std::min(wanted, most_cols)); ++c) {
      const int64_t k = std::max<int64_t>(1, std::min(most_k, ceil_div(wanted, r * c)));
      const int64_t tasks = std::min(wanted, r * c * k);
      const bool shares_panels = r > 1 && d->packed_from < d->panels;
      const double floats = c * a + r * b + (k > 1 ? kPartial * k * y + kPhase : 0) + shares_panels * kPhase;
      const double cost = y * v.k * unevenness(tiles, r) * unevenness(d->panels, c) + kFloat * floats;
      if (tasks < most_tasks || (tasks == most_tasks && cost >= least)) continue;
      most_tasks = tasks, least = cost;
      d->row_parts = r, d->col_parts = c, d->k_parts = k;
    }
}

Gemm plan(const GemmShape& v, int32_t pairs) {
  const TileKernels& kernel = tiles_of(v, pairs);
  Gemm d = {};
  d.tile = &kernel, d.pairs = pairs;
  int64_t vectors = kernel.vectors;
  // (With 14 rows of two vectors 1024^3 took 1.18 times as long, 1536^3 1.09 times.)
  if (v.m > kernel.max_rows[vectors] && v.n > vectors * kernel.lanes) vectors = wide_vectors(kernel);
  // Three vectors, and five, make no panel of one, which loads as much as it multiplies (with AVX2 32x17x1024
  // took 1.15 times as long, 784x17x1024 of a transposed a 1.13, 784x33x2048 1.06 times; nine as threes 1.25
  // times, five of a weight gradient of 40 filters 1.14 times).
  const int64_t all = ceil_div(v.n, kernel.lanes);
  const bool threes = all == 3 || (all == 5 && !v.transpose_a);
  if (!pairs && wide_vectors(kernel) < kMaxVectors && threes && v.m > kernel.max_rows[2]) vectors = 3;
  for (int64_t i = vectors; i <= kMaxVectors; ++i)
    if (v.m <= kernel.max_rows[i]) vectors = i;
  const int64_t tile = kernel.max_rows[vectors];
  d.panel = kernel.lanes * std::min<int64_t>(vectors, ceil_div(v.n, kernel.lanes));
  d.panels = ceil_div(v.n, d.panel);
  // The last two panels share their vectors: a tile of one loads as much as it multiplies (300x80x128 took
  // 1.1 times as long by panels of four and one).
  const int64_t rest = ceil_div(v.n - (d.panels - 2) * d.panel, kernel.lanes);
  d.last = (d.panels - 1) * d.panel;
  if (d.panels > 1 && !pairs) d.last += ceil_div(rest, 2) * kernel.lanes - d.panel;
  // b is packed for many rows, or where more than one tile of rows would find its lines gone; a small one, of
  // 256 KB, is in L2 as it lies, and few rows do not pay for a copy.
  const bool lines = kernel.lanes == kLineFloats;
  const bool large = v.k * v.n > 64 << 10;
  const bool few = large && !v.transpose_b && aliased(v.n) && v.m > tile && v.m < kFewRows;
  const bool whole_rows = v.n % kernel.lanes == 0;
  const bool packs = v.transpose_b || (large && v.m >= (aliased(v.n) ? kFewRows : kManyRows));
  const bool crosses = lines && v.k * d.panel > kPanelFloats && v.m >= kManyRows;
  if (!whole_rows && !packs && !crosses && !pairs) d.rest = rest_of(v, kernel.lanes);
  d.aligned_from = packs || (crosses && !whole_rows) ? 0 : whole_rows || d.rest ? d.panels : d.panels - 1;
  d.packed_from = crosses ? 0 : d.aligned_from;

  const bool may_fill = kernel.may_copy && !pairs && !v.transpose_b && d.panel == kMaxVectors * kernel.lanes;
  d.row_parts = parts_of_rows(v, d, tile), d.col_parts = d.k_parts = 1;
  if (!d.row_parts)
    choose_parts(v, tile, few ? ceil_div(v.n, kFewCols) : d.panels, &d);
  else if (may_fill)
    d.packed_from = 0;
  const int64_t part = ceil_div(v.k, d.k_parts);
  // A transposed a is read a few floats of each row at a time: copied where that would miss cache, once for
  // all columns that its rows meet in a thread's tasks; few columns pay for a copy of wide rows that L2 does
  // not hold (as it lies 600^3 took 1.26 times as long, 784x128x1000 1.19 times, 300x64x3000 1.16 to 1.29
  // times, but 784x64x128 0.85 and 192x64x8000 0.95 times; 1024^3 took 1.12 times as long copied for each
  // part of the columns). (A copy of rows as they lie cost more than it saved, even where they share sets of
  // L2.) Where vectors are worked on by halves a tile has twice the time for each line: only an a whose rows
  // begin in the same sets is copied (512^3 and 600^3 took 1.2 times as long by a copy, 300^3 and
  // 784x128x1000 1.12 times, 1280^3 1.04 times, but 1024^3 0.93 times), and a large one of 512 rows
  // (512x64x6272 took 0.71, 512x128x6272 0.83, 512x256x6272 0.87 times, 512x128x3136 the same, 512x128x2048
  // 1.06 and 1536x256x3136 1.04 times).
  const int64_t meet = ceil_div(v.n, kernel.lanes) / (d.row_parts > 1 ? 1 : d.col_parts);
  d.turn_a = v.transpose_a && turns(pairs);
  const double a_bytes = float_bytes(v.m * v.k);
  const bool far = d.row_parts > 1 && v.m >= 2 * kBlockRows && a_bytes > l2_cache_bytes();
  const bool aliases = v.m % kSetFloats == 0 || (2 * v.m == kSetFloats && a_bytes > 8 * l2_cache_bytes());
  const bool misses = v.m * v.k > 64 << 10 && (lanes_at_once() >= kernel.lanes || aliases);
  d.copy_a = d.turn_a || (v.transpose_a && misses && meet >= (far ? 2 : 8));
  const int64_t block = part * (most_panels(d) * d.panel + block_rows(v, d));
  const bool by_rows = d.copy_a && d.col_parts > 1;
  const bool keeps = lines && !by_rows && part <= kSlice && 2 * float_bytes(block) <= l2_cache_bytes();
  d.own_panels = (d.row_parts == 1 || keeps) && d.packed_from < d.panels;
  const bool own_slice = d.row_parts == 1 && (d.own_panels || v.transpose_a);
  const int64_t most = few ? kFewSlice : own_slice ? kOwnSlice : kSlice;
  d.slice = round_up(ceil_div(part, ceil_div(part, most)), 8);
  // (Where registers are few, to ask costs what it saves: 768^3 took 1.02 times as long.)
  const bool asks = wide_vectors(kernel) == kMaxVectors;
  d.asks_a = asks && !v.transpose_a && d.slice >= v.k && v.m * v.k > kFarFloats;
  d.asks_b = asks && !d.own_panels;
  d.far_y = float_bytes(v.m * v.n) > (lines ? 2 * l2_cache_bytes() : kSmallOutput);
  d.fills = d.own_panels && may_fill && v.m / d.row_parts >= tile;
  d.most_rows = v.k % kSetFloats || v.transpose_a || pairs ? kernel.max_rows[1] : kAliasedRows;
  d.copies = may_fill && (d.row_parts == 1 ? v.m > tile : v.m / d.row_parts >= kCopyRows);
  return d;
}

// Floats of a step of k, or of a row, in the copy of a block of a: an odd number of vectors, so that a column
// of it falls into all sets of L1 (up to a quarter of the time of a narrow block).
int64_t copy_width(const GemmShape& v, const Gemm& d) {
  const int64_t lanes = d.tile->lanes;
  return (ceil_div(d.turn_a ? d.slice : block_rows(v, d), lanes) | 1) * lanes;
}
int64_t own_floats(const Gemm& d) { return d.slice * d.panel + 16; }
size_t own_bytes(const Gemm& d) {
  const int64_t count = std::min(most_panels(d), d.panels - d.packed_from);
  return d.own_panels ? float_bytes(count * own_floats(d)) : 0;
}
size_t copy_bytes(const Gemm& d) { return d.copies ? float_bytes(d.slice * d.panel) : 0; }
size_t shared_bytes(const GemmShape& v, const Gemm& d) {
  return d.own_panels ? 0 : float_bytes((d.panels - d.packed_from) * v.k * d.panel);
}

// What the thread's scratch holds of its last task: the part of k and of the columns that it has packed, and
// of the rows that it has copied.
struct Held {
  int64_t panels, block;
};

// What a call is given, its product and its blocking.
struct Run : ProductArrays {
  const GemmShape& v;
  const Gemm& d;

  bool aligned() const { return reinterpret_cast<uintptr_t>(b) % (kLineFloats * sizeof(float)) == 0; }
  int64_t packed_from() const { return aligned() ? d.aligned_from : d.packed_from; }
  float* partial() const { return workspace + shared_bytes(v, d) / sizeof(float); }

  int64_t begin_of(int64_t panel) const { return panel == d.panels - 1 ? d.last : panel * d.panel; }
  int32_t cols_of(int64_t panel) const {
    return static_cast<int32_t>((panel == d.panels - 1 ? v.n : begin_of(panel + 1)) - begin_of(panel));
  }

  // Rows k of a panel.
  void pack(int64_t panel, Range k, float* out) const {
    const int64_t step = v.transpose_b ? 1 : v.n, col = v.transpose_b ? v.k : 1;
    d.tile->pack({b + k.begin * step + begin_of(panel) * col, step, col, k.end - k.begin, cols_of(panel),
                  static_cast<int32_t>(d.panel)},
                 out);
  }

  // Rows k of some panels, `pitch` apart; a few whole rows at a time, in the order of memory.
  void pack_rows(Range panels, Range k, float* out, int64_t pitch) const {
    const int64_t run = v.transpose_b ? k.end - k.begin : 8;
    for (int64_t at = k.begin; at < k.end; at += run)
      for (int64_t i = panels.begin; i < panels.end; ++i)
        pack(i, {at, std::min(k.end, at + run)}, out + (i - panels.begin) * pitch + (at - k.begin) * d.panel);
  }

  // The last panel, as it lies, to the last row.
  void strip_with_rest(Tile t, int64_t rows) const {
    const TileKernels& kernel = *d.tile;
    const int cols = cols_of(d.panels - 1);
    alignas(64) float copy[kMostRest * kMaxVectors * kLineFloats];
    pack(d.panels - 1, {v.k - d.rest, v.k}, copy);
    t.copy = nullptr;
    t.depth -= d.rest;
    Tile rest = t;
    rest.a += t.depth * t.a_step;
    rest.b = copy, rest.b_step = d.panel, rest.depth = d.rest;
    rest.bias = rest.mask = rest.ahead = nullptr, rest.relu = 0;
    kernel.strip(rest, rows, cols, d.most_rows);
    t.accumulate = 1;
    kernel.strip(t, rows, cols, d.most_rows);
  }

  void run_task(int64_t task, float* scratch, Held* held) const {
    const TileKernels& kernel = *d.tile;
    const auto strip = d.pairs ? strip_of(d.pairs) : kernel.strip;
    const int64_t part = task / (d.row_parts * d.col_parts);
    const Range all_k = part_of(v.k, d.k_parts, part);
    const int64_t row_part = d.own_panels ? task % d.row_parts : task / d.col_parts % d.row_parts;
    const int64_t col_part = d.own_panels ? task / d.row_parts % d.col_parts : task % d.col_parts;
    const Range rows = part_of(v.m, d.row_parts, row_part);
    const Range panels = part_of(d.panels, d.col_parts, col_part);
    const int64_t from = packed_from(), tile = kernel.max_rows[d.panel / kernel.lanes];
    const Range own = {std::max(panels.begin, from), panels.end};
    const int32_t count = static_cast<int32_t>(rows.end - rows.begin);
    const int64_t a_step = v.transpose_a ? v.m : 1, width = copy_width(v, d);
    const float* const shared_panels = workspace;
    float* const to = d.k_parts > 1 ? partial() + part * v.m * v.n : y;
    float* const own_panels = scratch;
    float* const panel_copy = scratch + own_bytes(d) / sizeof(float);
    float* const copy = panel_copy + copy_bytes(d) / sizeof(float);
    Tile t = {};
    t.taps_h = t.taps_w = 1;
    const int64_t a_row = v.transpose_a ? 1 : v.k;
    t.a_row = d.turn_a ? width : a_row, t.a_step = d.turn_a ? 1 : d.copy_a ? width : a_step;
    t.a_group = 3 * t.a_row;
    t.y_row = v.n;
    for (Range k = {all_k.begin, all_k.begin}; k.begin < all_k.end; k.begin = k.end) {
      k.end = std::min(all_k.end, k.begin + d.slice);
      const bool last = d.k_parts == 1 && k.end == v.k;
      t.depth = k.end - k.begin;
      t.a = a + rows.begin * a_row + k.begin * a_step;
      const Held before = *held;
      *held = {task / d.row_parts, part * d.row_parts + row_part};
      const bool slices = d.slice < all_k.end - all_k.begin;
      if (d.copy_a && (slices || held->block != before.block)) {
        const int32_t depth = static_cast<int32_t>(t.depth), pitch = static_cast<int32_t>(width);
        kernel.pack(d.turn_a ? Panel{t.a, 1, a_step, count, depth, pitch}
                             : Panel{t.a, a_step, 1, t.depth, count, pitch},
                    copy);
      }
      if (d.copy_a) t.a = copy;
      const bool packs = d.own_panels && (slices || held->panels != before.panels);
      if (packs) {
        Range left = own;
        while (d.fills && left.begin < left.end && cols_of(left.begin) == d.panel) ++left.begin;
        pack_rows(left, k, own_panels + (left.begin - own.begin) * own_floats(d), own_floats(d));
      }
      t.accumulate = k.begin > all_k.begin;
      t.relu = last && relu;
      t.fetch_y = t.depth <= kShortSum && d.far_y;
      const int64_t sweep = t.fetch_y ? round_up(kSweepRows, tile) : count;
      const bool copies = d.copies && !t.fetch_y && !(aligned() && v.n % kLineFloats == 0);
      for (int64_t row = rows.begin; row < rows.end; row += sweep, t.a += sweep * t.a_row)
        for (int64_t i = panels.begin; i < panels.end; ++i) {
          const int64_t column = begin_of(i);
          float* const own_panel = own_panels + (i - own.begin) * own_floats(d);
          const bool fill = packs && d.fills && i >= from && row == rows.begin && cols_of(i) == d.panel;
          t.copy = fill ? own_panel : nullptr;
          if (i < from && copies) t.copy = panel_copy;
          if (i < from || fill)
            t.b = b + k.begin * v.n + column, t.b_step = v.n;
          else
            t.b = d.own_panels ? own_panel : shared_panels + ((i - from) * v.k + k.begin) * d.panel,
            t.b_step = d.panel;
          t.ahead = nullptr;
          if (d.asks_b && i >= from && i + 1 < d.panels)
            t.ahead = t.b + v.k * d.panel, t.ahead_floats = t.depth * d.panel;
          else if (d.asks_a && i == panels.begin)
            t.ahead = t.a + tile * v.k, t.ahead_floats = std::min(sweep, rows.end - row) * v.k;
          t.bias = last && bias ? bias + column : nullptr;
          t.mask = last && mask ? mask + row * v.n + column : nullptr;
          t.y = to + row * v.n + column;
          const int64_t row_count = std::min(sweep, rows.end - row);
          if (k.end == v.k && i == d.panels - 1 && d.rest)
            strip_with_rest(t, row_count);
          else
            strip(t, row_count, cols_of(i), d.most_rows);
        }
    }
  }

  // All of b: parts of k, and of the panels where these are few.
  void pack_shared(Member& me) const {
    const int64_t from = packed_from();
    const int64_t parts = std::min(kTasks, ceil_div(v.k, 64));
    const int64_t groups = std::min(d.panels - from, ceil_div(kTasks, parts));
    parallel_for(me, parts * groups, [&](int64_t task) {
      const Range panels = part_of(d.panels - from, groups, task % groups);
      const Range k = part_of(v.k, parts, task / groups);
      pack_rows({from + panels.begin, from + panels.end}, k,
                workspace + (panels.begin * v.k + k.begin) * d.panel, v.k * d.panel);
    });
  }

  void run(Context& context, size_t scratch_bytes) const {
    Member& me = *context.member;
    if (!d.own_panels && packed_from() < d.panels) pack_shared(me);
    Held held = {-1, -1};
    parallel_for(me, d.row_parts * d.col_parts * d.k_parts, [&](int64_t task) {
      run_task(task, static_cast<float*>(me.scratch(scratch_bytes)), &held);
    });
    if (d.k_parts == 1) return;
    const int64_t y_size = v.m * v.n, chunk = std::max<int64_t>(4096, ceil_div(y_size, kTasks));
    for_each_chunk(context, v.m, std::max<int64_t>(1, chunk / v.n), [&](int64_t begin, int64_t end) {
      kernels().tile->sum_parts(partial() + begin * v.n, d.k_parts, y_size, (end - begin) * v.n,
                                y + begin * v.n);
      finish_block({y, bias, mask, v.n, relu}, {begin, end}, {0, v.n});
    });
  }
};

}  // namespace

void prepare_product(Prepared* p, const GemmShape& v) {
  const Gemm& d = state<Gemm>(p) = plan(v, p->op.storage == Storage::kPairs);
  p->flops = gemm_flops(v), p->bytes = gemm_bytes(v);
  const int64_t tasks = d.row_parts * d.col_parts * d.k_parts;
  const bool small = !has_region_flops(v) && p->bytes < kRegionBytes * lanes_at_once();
  // Of an odd number of small tasks one is now this thread's and now that one's, which finds its lines of y
  // with the other (16x1282x9 by three took 1.27 times as long as on one thread).
  const bool pays = tasks > 1 && (tasks % 2 == 0 || p->flops >= 2 * kSmallTaskFlops);
  p->parallel = gemm_tasks(v) > 1 && pays ? (small ? kInOpenRegion : 1) : 0;
  p->workspace_bytes = shared_bytes(v, d) + (d.k_parts > 1 ? float_bytes(d.k_parts * v.m * v.n) : 0);
  p->scratch_bytes = own_bytes(d) + copy_bytes(d) +
                     (d.copy_a ? float_bytes((d.turn_a ? block_rows(v, d) : d.slice) * copy_width(v, d)) : 0);
}

void run_product(const Prepared& p, const GemmShape& v, const ProductArrays& x, Context& context) {
  const Run run = {x, v, state<Gemm>(p)};
  run.run(context, p.scratch_bytes);
}

bool supports_gemm_tiled(const OpDescriptor&) { return true; }
void prepare_gemm_tiled(Prepared* p) { prepare_product(p, p->op.gemm); }
void run_gemm_tiled(const Prepared& p, const Operands& x, Context& context) {
  const GemmShape& v = p.op.gemm;
  const Epilogue& e = p.op.epilogue;
  run_product(p, v,
              {input(x, 0), input(x, 1), e.bias ? input(x, 2) : nullptr, e.relu_mask ? input(x, 3) : nullptr,
               output(x, 0), static_cast<float*>(context.workspace), e.activation == Activation::kRelu},
              context);
  finish_activation(context, e.activation, output(x, 0), v.m * v.n);
}

}  // namespace cpu
}  // namespace fastcnn
