// SPDX-License-Identifier: Apache-2.0
#include "conv2d_strips.h"

namespace fastcnn {
namespace cpu {
namespace {

// Output rows from p on, before `end`, that a strip spans: all of joined pixels; where a tile is a row, or
// goes down the rows, those that meet the same taps.
int64_t rows_of_strip(const Direct& d, const Axis& h, int64_t p, int64_t end) {
  if (d.joined) return end - p;
  if (!(d.stacked || d.framed)) return 1;
  const Range taps = taps_inside(h, p, d.in_h);
  int64_t next = p + 1;
  for (; next < end; ++next) {
    const Range others = taps_inside(h, next, d.in_h);
    if (others.begin != taps.begin || others.end != taps.end) break;
  }
  return next - p;
}

}  // namespace

Strips::Strips(const Direct& blocking, const StripTask& of)
    : d(blocking), task(of), strip(d.pairs ? strip_of(d.pairs) : d.tile->strip) {
  for (int64_t i = 0; i < std::min(d.phases_h, kKeptPhases); ++i) kept_h[i] = axis_h(d, i);
  for (int64_t j = 0; j < std::min(d.phases_w, kKeptPhases); ++j) kept_w[j] = axis_w(d, j);
  t.a_step = 1, t.b_step = d.panel;
  far[0] = task.to.y;
  for (const float* array : {task.to.mask, task.to.residual})
    if (array && array != task.to.y) far[arrays++] = array;
  outputs = arrays;
  // Of inputs and outputs a single tile asks for one: 3x3 of 512 channels in 32 groups at 14x14, batch 32,
  // took 1.1 times as long while none asked for outputs.
  const bool one_tile = !d.joined && d.cols <= d.tile->max_rows[d.panel / d.tile->lanes];
  asks_x = one_tile && task.next_x.data && task.next_y.end;
  arrays += asks_x;
  strips = task.at.images * (d.joined ? 1 : strips_of_image());
}

Axis Strips::phase_h(int64_t i) const { return i < kKeptPhases ? kept_h[i] : axis_h(d, i); }
Axis Strips::phase_w(int64_t j) const { return j < kKeptPhases ? kept_w[j] : axis_w(d, j); }

// How many an image has, or more.
int64_t Strips::strips_of_image() const {
  const Range& rows = task.at.rows;
  if (!(d.stacked || d.framed)) {
    const int64_t of_row = d.clipped ? ceil_div(d.filter_w, d.phases_w) + 2 : 1;
    return (rows.end - rows.begin) * of_row * d.phases_h * d.phases_w;
  }
  int64_t count = 0, columns = d.phases_w;
  if (d.framed) {
    const Range within = columns_within(d, phase_w(0));
    columns = d.cols - (within.end - within.begin);
    count = rows.end - rows.begin;
  }
  for (int64_t i = 0; i < d.phases_h; ++i) {
    const Axis h = phase_h(i);
    const int64_t end = std::min(rows.end, h.outputs);
    for (int64_t p = rows.begin; p < end; p += rows_of_strip(d, h, p, end)) count += columns;
  }
  return count;
}

void Strips::run(const TurnPanels& of, Range part) {
  panels = of, steps = part;
  begins = adds = steps.begin == 0, ends = steps.end * d.panel == d.panel_floats;
  // 128 -> 512 channels pointwise at 28x28 took 1 to 8 % less, 256 -> 1024 at 14x14 3 to 5 %.
  t.fetch_y = begins && !d.turn;
  pieces = !d.joined || d.private_panels || panels.turns * d.images % outputs == 0 ? 1 : outputs;
  const int64_t all = strips * pieces;
  t.ahead = asks_x ? nullptr : panels.next.data, t.ahead_floats = ceil_div(panels.next.count, all);
  shares = ceil_div(panels.turns * all, arrays);
  number = panels.turn * all;
  const float* weights = panels.weights;
  for (int64_t i = 0; i < d.phases_h; ++i) {
    const Axis h = phase_h(i);
    for (int64_t j = 0; j < d.phases_w; ++j) {
      const Axis w = phase_w(j);
      begin_phase(h, w);
      for (int64_t image = 0; image < task.at.images; ++image)
        if (d.framed)
          run_framed(h, w, image, weights);
        else
          run_image(h, w, image, weights);
      weights += h.taps * t.b_h;
    }
  }
}

void Strips::begin_phase(const Axis& h, const Axis& w) {
  const int64_t tap_row = w.taps * d.in_g;  // of one row of taps
  t.a_h = h.spread * task.x.row, t.a_w = w.spread * d.pixel, t.a_row = w.step * d.pixel;
  t.a_group = 3 * t.a_row;
  t.closed = d.closed;
  t.b_h = tap_row * d.panel, t.b_w = d.in_g * d.panel;
  t.taps_w = d.merged || d.clipped ? 1 : w.taps;
  t.depth = d.joined ? steps.end - steps.begin : d.merged ? tap_row : d.in_g;
  t.y_row = w.step_out * d.out_c;
  if (d.stacked) t.a_tile = h.step * task.x.row, t.y_tile = h.step_out * d.out_w * d.out_c;
  most_rows = d.stacked ? static_cast<int>(w.outputs) : d.most_rows;
}

void Strips::run_image(const Axis& h, const Axis& w, int64_t image, const float* weights) {
  const StripInput& x = task.x;
  const Range& rows = task.at.rows;
  const int64_t end = std::min(rows.end, h.outputs);
  for (int64_t p = rows.begin, joined; p < end; p += joined) {
    joined = rows_of_strip(d, h, p, end);
    const int64_t top = p * h.step + h.first;
    const Range taps = taps_inside(h, p, d.in_h);
    t.taps_h = w.taps ? taps.end - taps.begin : 0;
    const int64_t out =
        (((task.at.n + image) * d.out_h + h.first_out + p * h.step_out) * d.out_w + w.first_out) * d.out_c;
    const float *a = x.data, *b = weights;
    if (t.taps_h) {
      a += image * x.image + (top + taps.begin * h.spread - x.first) * x.row +
           (w.first + d.pad_left) * d.pixel + (d.joined ? steps.begin : 0);
      b += taps.begin * t.b_h;
    }
    if (d.clipped) {
      run_clipped(w, a, b, out);
      continue;
    }
    const int64_t pixels = joined * w.outputs;
    const int64_t turn = d.turn ? d.turn : ceil_div(pixels, pieces);
    for (int64_t q = 0; q < pixels; q += turn)
      run_strip(a + q * t.a_row, b, out + q * t.y_row, std::min(turn, pixels - q));
  }
}

// Rows by the columns that all taps meet, then the others, whose strips are rows that meet the same taps.
void Strips::run_framed(const Axis& h, const Axis& w, int64_t image, const float* weights) {
  const StripInput& x = task.x;
  const int64_t end = std::min(task.at.rows.end, h.outputs);
  const Range within = columns_within(d, w);
  const auto run_at = [&](int64_t p, int64_t q, int64_t count) {
    const Range down = taps_inside(h, p, d.in_h), across = taps_inside(w, q, d.in_w);
    const int64_t taps = across.end - across.begin;
    const float *a = x.data, *b = weights;
    t.taps_h = taps ? down.end - down.begin : 0;
    if (d.merged)
      t.depth = taps * d.in_g;
    else
      t.taps_w = taps;
    if (t.taps_h) {
      a += image * x.image + (p + h.first + down.begin * h.spread - x.first) * x.row +
           (q + w.first + across.begin * w.spread) * d.pixel;
      b += down.begin * t.b_h + across.begin * t.b_w;
    }
    run_strip(a, b, (((task.at.n + image) * d.out_h + p) * d.out_w + q) * d.out_c, count);
  };
  begin_phase(h, w);
  for (int64_t p = task.at.rows.begin; p < end; ++p) run_at(p, within.begin, within.end - within.begin);
  t.a_row = x.row, t.a_group = 3 * x.row, t.y_row = d.out_w * d.out_c;
  for (int64_t p = task.at.rows.begin, rows; p < end; p += rows) {
    rows = rows_of_strip(d, h, p, end);
    for (int64_t q = 0; q < d.cols; ++q)
      if (q < within.begin || q >= within.end) run_at(p, q, rows);
  }
}

// A row by a strip for each tap of the columns that meet it. One that all meet begins, or none; what follows
// the sums needs one more of none, a residual too, which then has the bits of an addition afterwards, unless
// y replaces it.
void Strips::run_clipped(const Axis& w, const float* a, const float* b, int64_t out) {
  const bool replaces = task.to.residual == task.to.y, meets_rows = t.taps_h > 0;
  const auto run_tap = [&](int64_t s, Range columns) {
    if (columns.begin < columns.end)
      run_strip(a + s * t.a_w + columns.begin * t.a_row, b + s * t.b_w, out + columns.begin * t.y_row,
                columns.end - columns.begin);
  };
  const auto meets_all = [&](int64_t s) {
    const Range inside = columns_inside(d, w, s);
    return inside.end - inside.begin == w.outputs;
  };
  int64_t first = 0;
  while (first < w.taps && !meets_all(first)) ++first;
  begins = true, ends = false, adds = replaces;
  if (first < w.taps)
    run_tap(first, {0, w.outputs});
  else
    run_no_tap(w, b, out);
  begins = adds = false;
  for (int64_t s = 0; meets_rows && s < w.taps; ++s)
    if (s != first) run_tap(s, columns_inside(d, w, s));
  ends = true, adds = !replaces;
  if (task.to.relu || task.to.mask || (task.to.residual && adds)) run_no_tap(w, b, out);
}

void Strips::run_no_tap(const Axis& w, const float* b, int64_t out) {
  const int64_t taps_h = t.taps_h;
  t.taps_h = 0;
  run_strip(task.x.data, b, out, w.outputs);
  t.taps_h = taps_h;
}

// Outputs from `out` on, `count` of them a row of tiles after the other.
void Strips::run_strip(const float* a, const float* b, int64_t out, int64_t count) {
  const StripOutput& to = task.to;
  // Outputs of the next turn are asked for meanwhile, wherever it is: stores that wait for lines one by one
  // took twice as long (3 -> 79 channels pointwise).
  Ahead next = {to.y + out + count * t.y_row, count * t.y_row, count * t.y_row, 1};
  const int64_t lines = d.turn ? ceil_div(next.lines(), panels.range.end - panels.range.begin) : 0;
  if (task.next_y.end) {
    const bool x = asks_x && number % arrays == arrays - 1;
    const FloatRun all =
        x ? task.next_x
          : FloatRun{far[number % arrays] + task.next_y.begin, task.next_y.end - task.next_y.begin};
    const Range share = part_of(all.count, shares, number / arrays);
    t.next_y = all.data + share.begin;
    t.next_y_floats = share.end - share.begin;
    ++number;
  }
  t.accumulate = !begins, t.relu = ends ? to.relu : 0;
  for (int64_t i = panels.range.begin; i < panels.range.end; ++i, b += panels.each) {
    next.ask(lines);
    const int64_t group = i / d.panels, column = i % d.panels * d.panel, first = group * d.out_g + column;
    t.a = a + group * task.x.group, t.b = b;
    t.y = to.y + out + first;
    t.bias = to.bias && begins ? to.bias + first : nullptr;
    t.mask = to.mask && ends ? to.mask + out + first : nullptr;
    t.residual = to.residual && adds ? to.residual + out + first : nullptr;
    strip(t, count, static_cast<int>(std::min(d.panel, d.out_g - column)), most_rows);
  }
  if (t.ahead) t.ahead += t.ahead_floats;
}

}  // namespace cpu
}  // namespace fastcnn
