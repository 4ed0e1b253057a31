// SPDX-License-Identifier: Apache-2.0
// Weight gradient of the convolution, channels-last:
//
//   dw[r,s,c,k] = sum over n,p,q of dy[n,p,q,k] x[n, p stride + r dilation - pad, ..., c]
//
// Register tiles (kernels/tile.h) of input channels x output channels, the sum running over output pixels,
// block by block. dy of a block is copied to panels [pixels][lanes] that stay in L1 while all taps and
// channels of x meet them; where few meet them it is read in place, in blocks that stay in L1 as they lie.
// The next block is asked for between tiles. Many groups go through the blocks some at a time. x is read in
// place and its borders clipped from the sums: a tile needs one or two lines of it per step, which L2
// delivers in time (copying strips of x as well cost a fifth of the time of a 64-channel layer). Of one
// vector of output channels tiles load more than they multiply: there each scalar of x is read once for the
// three taps of a filter row. With few channels x is copied with its zeros, and the rows of a tile are the
// taps s and channels c of a filter row. (Copies of all taps of each pixel, so that a 5x5 filter of one
// channel fills tiles of 13 and 12 rows instead of 5, took 1.7 times as long.) Pixels are split by shape
// alone into partial sums, added in order at the end.
#include "conv2d_wgrad_direct.h"

namespace fastcnn {
namespace cpu {
namespace {

// Output rows [p, p + rows) of images [n, n + images), and whether they are the first of their sum.
struct Block {
  int64_t n, images, p, rows;
  bool first;
};

Block block_of(const Wgrad& d, int64_t b) {
  const Conv2dShape& v = d.shape;
  Block at = {b / d.bands * d.block_images, 0, b % d.bands * d.block_rows, 0, false};
  at.images = std::min(d.block_images, v.n - at.n), at.rows = std::min(d.block_rows, v.p - at.p);
  return at;
}

// All panels of a run of pixels before the next: memory is read in order.
void copy_dy(const Wgrad& d, const Block& at, const float* dy, Range panels, float* out) {
  const Conv2dShape& v = d.shape;
  constexpr int64_t kRun = 16;
  const int64_t pixels = at.rows * v.q;
  for (int64_t m = 0; m < at.images; ++m)
    for (int64_t q = 0; q < pixels; q += kRun)
      for (int64_t i = panels.begin; i < panels.end; ++i) {
        const int64_t first = i % d.panels * d.panel;
        const float* from = dy + (((at.n + m) * v.p + at.p) * v.q + q) * v.k + i / d.panels * d.out_g + first;
        kernels().tile->pack(
            {from, v.k, 1, std::min(kRun, pixels - q),
             static_cast<int32_t>(std::min(d.panel, d.out_g - first)), static_cast<int32_t>(d.panel)},
            out + (i - panels.begin) * panel_floats(d) + (m * pixels + q) * d.panel);
      }
}

// x as tiles read it: image m of the block and its row h at data + m image + (h - top) row, where top is the
// first input row that the block can read; pixels lie `pixel` floats apart, channels `channel`.
struct View {
  const float* data;
  int64_t image, row, pixel, channel;
  int64_t left;  // columns of zeros before the first
};

// A copy of one group of channels, with its zeros. Rows beyond the input are zero where a tile
// spans filter rows and never read where it does not.
View copy_x(const Wgrad& d, const Block& at, const float* x, int64_t group, float* out) {
  const Conv2dShape& v = d.shape;
  const int64_t top = at.p * v.stride_h - v.pad_top, width = d.in_g, row = d.columns * width;
  const int64_t inside = std::min(v.w, d.columns - v.pad_left);  // columns of x that any tap reads
  for (int64_t m = 0; m < at.images; ++m)
    for (int64_t i = 0; i < (at.rows - 1) * v.stride_h + (v.r - 1) * v.dilation_h + 1; ++i) {
      float* const to = out + (m * d.rows_in + i) * row;
      const int64_t h = top + i;
      if (h < 0 || h >= v.h) {
        if (d.filter_rows > 1) std::fill(to, to + row, 0.0f);
        continue;
      }
      const float* from = x + ((at.n + m) * v.h + h) * v.w * v.c + group * width;
      float* const middle = to + v.pad_left * width;
      std::fill(to, middle, 0.0f);
      if (v.groups == 1)
        std::copy(from, from + inside * width, middle);
      else
        kernels().tile->pack({from, v.c, 1, inside, static_cast<int32_t>(width), static_cast<int32_t>(width)},
                             middle);
      std::fill(middle + inside * width, to + row, 0.0f);
    }
  return {out, d.rows_in * row, row, width, 1, v.pad_left};
}

// Read in place.
View view_x(const Wgrad& d, const Block& at, const float* x, int64_t group) {
  const Conv2dShape& v = d.shape;
  const int64_t row = v.w * v.c;
  const bool turned = turns(d.pairs, v);
  const int64_t pixel = turned ? 1 : v.c, channel = turned ? v.w : 1;
  return {x + (at.n * v.h + at.p * v.stride_h - v.pad_top) * row + group * d.in_g * channel,
          v.h * row,
          row,
          pixel,
          channel,
          d.taps ? v.pad_left : 0};  // whose tiles begin at the first column
}

// What a task has of every block.
struct Part {
  const float *x, *dy;
  Range panels, strips;
};

// What a block reads of x and dy: of x the channels of its groups, or of its strips if it has one group.
struct BlockAhead {
  Ahead x, dy;
  int64_t lines_x, lines_dy;  // for each tile

  // Some of it with a tile: line by line with its steps where it is one run, first that of x; else at once.
  void ask(Tile* t) {
    t->ahead = nullptr;
    for (Ahead* a : {&x, &dy}) {
      if (a->width != a->pitch) {
        a->ask(a == &x ? lines_x : lines_dy);
      } else if (!t->ahead && a->at < a->width * a->count) {
        t->ahead = a->data + a->at, t->ahead_floats = 16 * (lines_x + lines_dy);
        a->at += t->ahead_floats;
      }
    }
  }
};

BlockAhead block_ahead(const Wgrad& d, const Block& at, const Part& part) {
  const Conv2dShape& v = d.shape;
  const auto column = [&](int64_t i) {
    return std::min(i / d.panels * d.out_g + i % d.panels * d.panel, v.k);
  };
  const Range groups = {part.panels.begin / d.panels, ceil_div(part.panels.end, d.panels)};
  Range c = {groups.begin * d.in_g, groups.end * d.in_g};
  if (d.strip_parts > 1 && groups.end - groups.begin == 1)
    c = {c.begin + part.strips.begin * d.tile_rows,
         c.begin + std::min(d.in_g, part.strips.end * d.tile_rows)};
  const Range k = {column(part.panels.begin), column(part.panels.end)};
  const Range h = {
      std::max<int64_t>(0, at.p * v.stride_h - v.pad_top),
      std::min(v.h, (at.p + at.rows - 1) * v.stride_h - v.pad_top + (v.r - 1) * v.dilation_h + 1)};
  const int64_t rows = std::max<int64_t>(0, (at.images - 1) * v.h + h.end - h.begin);
  const int64_t run = turns(d.pairs, v) ? v.w : 1;  // of a channel
  BlockAhead a = {
      {part.x + (at.n * v.h + h.begin) * v.w * v.c + c.begin * run, v.c * run, (c.end - c.begin) * run,
       rows * v.w / run},
      {part.dy + (at.n * v.p + at.p) * v.q * v.k + k.begin, v.k, k.end - k.begin, at.images * at.rows * v.q},
      0,
      0};
  const int64_t tiles = (part.panels.end - part.panels.begin) * (part.strips.end - part.strips.begin) *
                        (v.r / d.filter_rows) * (d.merged || d.taps ? 1 : v.s);
  a.lines_x = ceil_div(a.x.lines(), tiles), a.lines_dy = ceil_div(a.dy.lines(), tiles);
  return a;
}

// A panel of dy, in place or copied: as View.
struct PanelView {
  const float* data;
  int64_t image, row, pixel;
};

struct Tiles {
  const Block& at;
  const View& x;
  PanelView dy;
  int64_t strip, panel;
};

// One strip of x times one panel of dy, for every tap of the filter.
void run_tiles(const Wgrad& d, const Tiles& tiles, float* dw, BlockAhead* ahead) {
  const TileKernels& kernel = *kernels().tile;
  const Conv2dShape& v = d.shape;
  const Block& at = tiles.at;
  const View& x = tiles.x;
  const PanelView& dy = tiles.dy;
  const int64_t strip = tiles.strip, panel = tiles.panel;
  const int64_t column = panel / d.panels * d.out_g + panel % d.panels * d.panel;
  const int cols = static_cast<int>(std::min(d.panel, d.out_g - panel % d.panels * d.panel));
  // With fewer channels left than taps at once take, those before are summed again and not written.
  const int64_t wanted = d.merged ? 0 : strip * d.tile_rows;
  const int64_t first = d.taps ? std::min(wanted, d.in_g - d.tile_rows) : wanted;
  const int64_t rows = d.merged ? d.tile_rows * d.filter_rows : std::min(d.tile_rows, d.in_g - first);
  const bool one_by_one = !d.merged && !d.taps;
  const Range all_p = {at.p, at.p + at.rows}, all_q = {0, v.q};
  const auto strip_tiles = strip_of(d.pairs);
  Tile t = {};
  t.taps_h = at.images, t.a_h = x.image, t.b_h = dy.image;
  t.a_row = x.channel, t.a_group = d.filter_rows > 1 ? v.dilation_h * x.row : 3 * x.channel;
  t.y_row = v.k, t.accumulate = !at.first;
  for (int64_t r = 0; r < v.r; r += d.filter_rows) {
    const Range p =
        d.filter_rows > 1 ? all_p : outputs_inside(all_p, v.stride_h, r * v.dilation_h - v.pad_top, v.h);
    for (int64_t s = 0; s < (one_by_one ? v.s : 1); ++s) {
      const Range q =
          one_by_one ? outputs_inside(all_q, v.stride_w, s * v.dilation_w - v.pad_left, v.w) : all_q;
      t.taps_w = p.end - p.begin, t.a_w = v.stride_h * x.row, t.b_w = dy.row;
      t.depth = q.end - q.begin, t.a_step = v.stride_w * x.pixel, t.b_step = dy.pixel;
      t.a = x.data, t.b = dy.data;
      if (t.taps_w && t.depth) {
        t.a += ((p.begin - at.p) * v.stride_h + r * v.dilation_h) * x.row +
               (q.begin * v.stride_w + s * v.dilation_w - v.pad_left + x.left) * x.pixel + first * x.channel;
        t.b += (p.begin - at.p) * t.b_w + q.begin * t.b_step;
      }
      if (t.depth == 1 && !d.taps) {  // one column: the innermost loop runs down
        t.depth = t.taps_w, t.a_step = t.a_w, t.b_step = t.b_w;
        t.taps_w = 1;
      }
      t.y = dw + ((r * v.s + s) * d.in_g + first) * v.k + column;
      ahead->ask(&t);
      if (d.taps)
        kernel.taps({t, v.w, v.pad_left, d.in_g * v.k, static_cast<int32_t>(d.tile_rows),
                     static_cast<int32_t>(wanted - first), cols});
      else
        strip_tiles(t, rows, cols, kernel.max_rows[1]);
    }
  }
}

// The panels from one on that go through the blocks together, before `end`.
Range pass_from(const Wgrad& d, int64_t panel, int64_t end) {
  return {panel, std::min(end, (panel / d.pass + 1) * d.pass)};
}

void run(const Wgrad& d, const float* x, const float* dy, float* dw, Context& context) {
  const Conv2dShape& v = d.shape;
  Member& me = *context.member;
  const int64_t size = dw_floats(d);
  float* const partial = d.chunks > 1 ? static_cast<float*>(context.workspace) : dw;
  parallel_for(me, d.chunks * d.panel_parts * d.strip_parts, [&](int64_t task) {
    const int64_t chunk = task / (d.panel_parts * d.strip_parts);
    const Range blocks = part_of(d.blocks, d.chunks, chunk);
    const Range mine = part_of(v.groups * d.panels, d.panel_parts, task / d.strip_parts % d.panel_parts);
    const Range strips = part_of(d.strips, d.strip_parts, task % d.strip_parts);
    float* const panel_copy = static_cast<float*>(me.scratch(panel_bytes(d) + copy_bytes(d)));
    float* const x_copy = panel_copy + panel_bytes(d) / sizeof(float);
    const int64_t count = blocks.end - blocks.begin;
    Range panels = pass_from(d, mine.begin, mine.end);
    for (int64_t turn = 0; panels.begin < mine.end; ++turn) {
      const int64_t b = blocks.begin + turn % count;
      const bool last = b + 1 == blocks.end;
      const Range next_panels = last ? pass_from(d, panels.end, mine.end) : panels;
      Block at = block_of(d, b);
      at.first = b == blocks.begin;
      // Where the last vector of a pixel would read beyond dy, it is copied all the same.
      const int64_t lanes = kernels().tile->lanes;
      const bool whole = !d.pairs && d.out_g % lanes == 0;
      const int64_t end_row = (at.n + at.images - 1) * v.p + at.p + at.rows;
      const bool copied = d.copy_dy || (!whole && (v.n * v.p - end_row) * v.q * v.k < lanes);
      if (copied) copy_dy(d, at, dy, panels, panel_copy);
      // Of the next chunk as well: the same thread's, as a rule. (Where dy is copied, asking for x alone, as
      // its block begins, took 1.2 to 1.3 times as long at 1x1 of two groups, and as long at 3x3 of
      // stride 2.)
      BlockAhead ahead = {};
      if (next_panels.begin < mine.end) {
        ahead = block_ahead(d, block_of(d, last ? blocks.begin : b + 1), {x, dy, next_panels, strips});
      } else if (b + 1 < d.blocks) {
        ahead = block_ahead(d, block_of(d, b + 1), {x, dy, pass_from(d, mine.begin, mine.end), strips});
      }
      const auto panel_of = [&](int64_t i) -> PanelView {
        if (copied)
          return {panel_copy + (i - panels.begin) * panel_floats(d), at.rows * v.q * d.panel, v.q * d.panel,
                  d.panel};
        return {dy + (at.n * v.p + at.p) * v.q * v.k + i / d.panels * d.out_g + i % d.panels * d.panel,
                v.p * v.q * v.k, v.q * v.k, v.k};
      };
      for (int64_t begin = panels.begin; begin < panels.end;) {
        const int64_t group = begin / d.panels, end = std::min(panels.end, (group + 1) * d.panels);
        const View view = d.copy_x ? copy_x(d, at, x, group, x_copy) : view_x(d, at, x, group);
        for (int64_t s = strips.begin; s < strips.end; ++s)
          for (int64_t i = begin; i < end; ++i)
            run_tiles(d, {at, view, panel_of(i), s, i}, partial + chunk * size, &ahead);
        begin = end;
      }
      panels = next_panels;
    }
  });
  if (d.chunks > 1) sum_parts(context, partial, d.chunks, size, dw);
}

}  // namespace

bool supports_conv2d_wgrad_direct(const OpDescriptor&) { return true; }
void prepare_conv2d_wgrad_direct(Prepared* p) {
  const Conv2dShape& v = p->op.conv2d_wgrad;
  const Wgrad& d = state<Wgrad>(p) = plan_wgrad(v, p->op.storage == Storage::kPairs);
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  p->parallel = p->flops > kParallelFlops;
  p->workspace_bytes = d.chunks > 1 ? float_bytes(d.chunks * dw_floats(d)) : 0;
  p->scratch_bytes = panel_bytes(d) + copy_bytes(d);
}
void run_conv2d_wgrad_direct(const Prepared& p, const Operands& x, Context& context) {
  run(state<Wgrad>(p), input(x, 0), input(x, 1), output(x, 0), context);
}

}  // namespace cpu
}  // namespace fastcnn
