// SPDX-License-Identifier: Apache-2.0
// Convolution with the batch in lanes: fprop, and dgrad as the same sum over dy (correlation.h). A task is a
// band of output rows of one block of samples times a part of the output channels; kernels/lanes.h takes it
// row by row. Weights are read where they lie. Where a max pooling follows, the rows of its windows are made
// in scratch. Where rows are of one pixel, as those of a dense layer, some blocks lie beside each other as
// the pixels of a row do: a weight is loaded for all of them. If that is the whole batch, training cuts the
// sums in pieces. Weights that no cache of a core holds are copied by some channels first.
#include "kernels/activation.h"
#include "kernels/lanes_pool.h"
#include "lanes.h"

namespace fastcnn {
namespace cpu {
namespace {

// The blocking, from the shape alone.
struct Lanes : Correlation {
  int64_t pool;      // rows of a window; 1: none follows
  int64_t together;  // blocks that a task takes at once
  int64_t blocks, bands, parts;
  int64_t pieces;  // of each sum: of its rows of taps, or of its channels if there is but one row
  int64_t copied;  // output channels whose weights are copied at a time, or 0
};

// A piece's weights are those whose gradient and update a core makes too: they stay in its cache. On two
// cores the first dense layer of LeNet-5 took 20 us at batch 32 and 33 by parts of its channels, which fetch
// most of the weights from the other core; four pieces were even with two.
constexpr int64_t kPieces = 2;

// Of a dense layer's weights: those of a few channels are single lines, each on a page of its own, which the
// processor does not foresee and several times meets. The copy, in L2, asks for them ahead: longer pieces of
// fewer channels are slower to copy. 3136x1024 at batch 64 took 0.9 of the time, 800x500 1.1, and one block
// of 3136x1024 1.4.
constexpr int64_t kFarWeights = 1 << 20, kCopiedFloats = 64 << 10, kCopyPieces = 4, kCopyBlocks = 3;
constexpr int64_t kLineFloats = 16;

// Whether the only output of each row has all taps of it.
bool rows_are_pixels(const Lanes& d) {
  const Range all = taps_inside(axis_w(d, 0), 0, d.in_w);
  return d.out_w == 1 && d.pool == 1 && d.groups == 1 && all.end - all.begin == axis_w(d, 0).taps;
}

Lanes plan(const Conv2dShape& v, bool dgrad, int32_t pool, bool in_pieces) {
  Lanes d = {};
  d.pool = pool ? pool : 1;
  static_cast<Correlation&>(d) = correlation(v, dgrad);
  const int64_t blocks = lane_blocks(v.n), weights = v.r * v.s * v.c;
  const bool copies = !dgrad && rows_are_pixels(d) && d.rows == 1 && (v.r > 1 || v.s == 1) &&
                      blocks >= kCopyBlocks && weights * v.k >= kFarWeights;
  const int64_t most = copies ? blocks : kernels().lanes->most_pixels;
  d.together = rows_are_pixels(d) ? std::min(most, blocks) : 1;
  d.blocks = ceil_div(blocks, d.together);
  int64_t wanted = ceil_div(lanes_tasks(conv_flops(v)), d.blocks);
  d.pieces = 1;
  if (in_pieces && d.blocks == 1 && d.rows == 1 && rows_are_pixels(d))
    d.pieces = std::min({copies ? kCopyPieces : kPieces, wanted, v.r > 1 ? v.r : v.c});
  wanted = ceil_div(wanted, d.pieces);
  // Rows first: a part of the channels reads all of x again.
  d.bands = std::min(d.rows / d.pool, wanted);
  d.parts = std::min(d.groups > 1 ? d.groups : ceil_div(d.out_c, 6), ceil_div(wanted, d.bands));
  if (copies)
    d.copied = std::max(kLineFloats, kCopiedFloats * d.pieces / weights / kLineFloats * kLineFloats);
  return d;
}

int64_t y_floats(const Lanes& d) { return lane_blocks(d.n) * d.out_c * d.out_h * d.out_w * kBatchLanes; }

// Output channels of one go.
int64_t most_channels(const Lanes& d) { return d.groups > 1 ? d.out_g : ceil_div(d.out_c, d.parts); }

void prepare(Prepared* out, const Conv2dShape& v, bool dgrad) {
  const int32_t pool = out->op.epilogue.pool;
  const bool in_pieces = !dgrad && !out->op.constant_weights;
  const Lanes d = state<Lanes>(out) = plan(v, dgrad, pool, in_pieces);
  if (d.pieces > 1) out->workspace_bytes = float_bytes(d.pieces * y_floats(d));
  if (pool) out->scratch_bytes = float_bytes(most_channels(d) * pool * d.out_w * kBatchLanes);
  const int64_t piece = v.r > 1 ? ceil_div(v.r, d.pieces) * v.s * v.c : ceil_div(v.c, d.pieces);
  if (d.copied) out->scratch_bytes = float_bytes(piece * d.copied);
  out->flops = conv_flops(v), out->bytes = conv_bytes(v);
  out->parallel = out->flops > kLanesTaskFlops;
  out->blocks = d.blocks;
}

struct Arguments {
  const float *bias, *mask;
  float* y;
  uint8_t* index;  // where a max pooling follows: of the places of its maxima, or null
  int32_t relu;
  int64_t blocks = 1, piece = 0;
};

// The weights of a row, side by side.
void copy_weights(LanesRow* t, float* copy) {
  const int64_t width = round_up(t->channels, kLineFloats);
  kernels().tile->pack({t->w, t->in.w, 1, t->rows.count * t->cols.count * t->in.count,
                        static_cast<int32_t>(t->channels), static_cast<int32_t>(width)},
                       copy);
  t->w = copy, t->in.w = width;
  t->cols.w = t->in.count * width, t->rows.w = t->cols.count * t->cols.w;
}

// Rows [rows.begin, rows.end) of every phase, of channels [channels.begin, channels.end) of one group, whose
// weights are copied if there is a place for them.
void run_band(const Lanes& d, const float* x, const float* w, const Arguments& to, Range rows, Range channels,
              float* copy = nullptr) {
  LanesRow t = {};
  t.w_out = d.weight_out;
  const bool by_rows = d.height.filter > 1;
  const Range piece = part_of(by_rows ? d.height.filter : d.in_g, d.pieces, to.piece);
  const Range in = by_rows ? Range{0, d.in_g} : piece;
  t.in = {in.end - in.begin, d.in_h * d.in_w * kBatchLanes, d.weight_in};
  t.y_channel = d.out_h * d.out_w * kBatchLanes;
  t.width = d.in_w;
  t.channels = channels.end - channels.begin;
  t.relu = to.relu;
  t.bias = to.bias ? to.bias + channels.begin : nullptr;
  const int64_t group = channels.begin / d.out_g, of_group = channels.begin - group * d.out_g;
  x += (group * d.in_g + in.begin) * t.in.x;
  w += in.begin * t.in.w + of_group * d.weight_out +
       group * (d.dgrad ? d.in_g * d.weight_in : d.out_g * d.weight_out);
  for (int64_t i = 0; i < d.phases_h; ++i)
    for (int64_t j = 0; j < d.phases_w; ++j) {
      const Axis h = axis_h(d, i), s = axis_w(d, j);
      t.y_pixel = s.step_out * kBatchLanes;
      t.first = s.first, t.step = s.step, t.spread = s.taps ? s.spread : 1, t.pixels = s.outputs;
      t.cols = {s.taps, t.spread * kBatchLanes, s.filter_step * d.weight_tap};
      if (d.together > 1) {
        t.pixels = to.blocks, t.y_pixel = d.out_c * t.y_channel;
        t.step = d.in_c * d.in_h * d.in_w;
        t.width = t.first + t.pixels * t.step + s.taps * t.spread;
      }
      for (int64_t p = rows.begin; p < std::min(rows.end, h.outputs); ++p) {
        Range taps = h.taps ? taps_inside(h, p, d.in_h) : Range{0, 0};
        if (by_rows) taps = both(taps, piece);
        const int64_t top = p * h.step + h.first + taps.begin * h.spread;
        const int64_t tap = (h.filter + taps.begin * h.filter_step) * d.filter_w + s.filter;
        t.rows = {taps.end - taps.begin, h.spread * d.in_w * kBatchLanes,
                  h.filter_step * d.filter_w * d.weight_tap};
        const int64_t out = channels.begin * t.y_channel +
                            ((h.first_out + p * h.step_out) * d.out_w + s.first_out) * kBatchLanes;
        t.x = t.rows.count ? x + top * d.in_w * kBatchLanes : x;
        t.w = t.rows.count ? w + tap * d.weight_tap : w;
        t.y = to.y + out;
        t.mask = to.mask ? to.mask + out : nullptr;
        if (copy) copy_weights(&t, copy);
        kernels().lanes->row(t);
      }
    }
}

// The same, of as many channels at a time as are copied.
void run_channels(const Lanes& d, const float* x, const float* w, const Arguments& to, Range rows,
                  Range channels, float* scratch) {
  if (!d.copied) return run_band(d, x, w, to, rows, channels);
  for (int64_t k = channels.begin; k < channels.end; k += d.copied)
    run_band(d, x, w, to, rows, {k, std::min(channels.end, k + d.copied)}, scratch);
}

// Rows of windows of a max pooling, each from the rows of y that it reads. Half of their columns at a
// time, which leaves more of L1 to x, took LeNet-5's first convolution 1.05 times as long.
void run_windows(const Lanes& d, const float* x, const float* w, const Arguments& to, Range windows,
                 Range channels, float* rows) {
  Lanes local = d;  // that y is all of an image
  local.out_h = d.pool;
  const int64_t plane = d.pool * d.out_w * kBatchLanes, out_w = d.out_w / d.pool;
  Pool2dShape s = {};
  s.h = s.r = s.s = s.stride_h = s.stride_w = d.pool;
  s.dilation_h = s.dilation_w = s.p = 1;
  s.w = d.out_w, s.q = out_w;
  for (int64_t i = windows.begin; i < windows.end; ++i) {
    Arguments here = to;
    here.y = rows - (channels.begin * d.pool + i * d.pool) * d.out_w * kBatchLanes;
    run_band(local, x, w, here, {i * d.pool, (i + 1) * d.pool}, channels);
    for (int64_t k = channels.begin; k < channels.end; ++k) {
      const int64_t out = (k * (d.out_h / d.pool) + i) * out_w * kBatchLanes;
      uint8_t* const index = to.index ? to.index + out : nullptr;
      kernels().lanes_pool->max_fwd({&s, rows + (k - channels.begin) * plane, to.y + out, index}, 0, 1);
    }
  }
}

void run(const Lanes& d, const float* x, const float* w, const Arguments& to, size_t bytes,
         Context& context) {
  const int64_t in_block = d.in_c * d.in_h * d.in_w * kBatchLanes;
  const int64_t out_block = d.out_c * (d.out_h / d.pool) * (d.out_w / d.pool) * kBatchLanes;
  parallel_for(*context.member, d.blocks * d.bands * d.parts, [&](int64_t task) {
    const Range blocks = part_of(lane_blocks(d.n), d.blocks, task / (d.bands * d.parts));
    const Range rows = part_of(d.rows / d.pool, d.bands, task / d.parts % d.bands);
    const int64_t part = task % d.parts;
    Range channels = part_of(d.out_c, d.parts, part);
    if (d.groups > 1) {
      const Range groups = part_of(d.groups, d.parts, part);
      channels = {groups.begin * d.out_g, groups.end * d.out_g};
    }
    Arguments here = to;
    here.blocks = blocks.end - blocks.begin;
    here.y += blocks.begin * out_block;
    if (here.mask) here.mask += blocks.begin * out_block;
    if (here.index) here.index += blocks.begin * out_block;
    float* const scratch = bytes ? static_cast<float*>(context.member->scratch(bytes)) : nullptr;
    for (int64_t c = channels.begin; c < channels.end; c += d.out_g) {
      const Range of_group = {c, std::min(channels.end, c + d.out_g)};
      if (d.pool > 1)
        run_windows(d, x + blocks.begin * in_block, w, here, rows, of_group, scratch);
      else
        run_channels(d, x + blocks.begin * in_block, w, here, rows, of_group, scratch);
    }
  });
}

// Each piece of the sums to a place of its own, then y.
void run_pieces(const Lanes& d, const float* x, const float* w, const Arguments& to, Activation activation,
                float* pieces, size_t bytes, Context& context) {
  const int64_t count = y_floats(d);
  parallel_for(*context.member, d.pieces * d.parts, [&](int64_t task) {
    Arguments here = to;
    here.blocks = lane_blocks(d.n), here.piece = task / d.parts;
    here.y = pieces + here.piece * count;
    if (here.piece > 0) here.bias = nullptr;
    here.relu = 0;
    float* const scratch = bytes ? static_cast<float*>(context.member->scratch(bytes)) : nullptr;
    run_channels(d, x, w, here, {0, 1}, part_of(d.out_c, d.parts, task % d.parts), scratch);
  });
  for_each_chunk(context, count, ceil_div(count, d.pieces), [&](int64_t begin, int64_t end) {
    float* const y = to.y + begin;
    kernels().tile->sum_parts(pieces + begin, d.pieces, count, end - begin, y);
    if (activation != Activation::kNone)
      kernels().activation->fwd[static_cast<int>(activation)](y, y, end - begin, {});
  });
}

bool in_whole_blocks(const Conv2dShape& v) { return v.n % kBatchLanes == 0; }

}  // namespace

bool supports_conv2d_fprop_lanes(const OpDescriptor& op) {
  const Conv2dShape& v = op.conv2d_fprop;
  return !op.epilogue.residual && !op.epilogue.scale && in_whole_blocks(v) &&
         pools_whole_windows(op.epilogue, v);
}
void prepare_conv2d_fprop_lanes(Prepared* p) { prepare(p, p->op.conv2d_fprop, false); }
void run_conv2d_fprop_lanes(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_fprop;
  const Arguments to = {e.bias ? input(x, 2) : nullptr, nullptr, output(x, 0),
                        e.pool ? static_cast<uint8_t*>(x.out[1]) : nullptr,
                        e.activation == Activation::kRelu};
  const Lanes& d = state<Lanes>(p);
  if (d.pieces > 1)
    return run_pieces(d, input(x, 0), input(x, 1), to, e.activation, static_cast<float*>(context.workspace),
                      p.scratch_bytes, context);
  run(d, input(x, 0), input(x, 1), to, p.scratch_bytes, context);
  finish_activation(context, e.activation, to.y, v.n * v.p * v.q * v.k);
}

bool supports_conv2d_dgrad_lanes(const OpDescriptor& op) {
  return !op.epilogue.residual && in_whole_blocks(op.conv2d_dgrad);
}
void prepare_conv2d_dgrad_lanes(Prepared* p) { prepare(p, p->op.conv2d_dgrad, true); }
void run_conv2d_dgrad_lanes(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_dgrad;
  const Arguments to = {e.bias ? input(x, 3) : nullptr, e.relu_mask ? input(x, 2) : nullptr, output(x, 0),
                        nullptr, e.activation == Activation::kRelu};
  run(state<Lanes>(p), input(x, 0), input(x, 1), to, p.scratch_bytes, context);
  finish_activation(context, e.activation, to.y, v.n * v.h * v.w * v.c);
}

}  // namespace cpu
}  // namespace fastcnn
