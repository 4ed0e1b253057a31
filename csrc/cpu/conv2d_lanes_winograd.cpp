// SPDX-License-Identifier: Apache-2.0
// 3x3 and 5x5 convolutions of stride 1 with the batch in lanes by Winograd's F(2x2,3x3): fprop, and dgrad as
// the same sum over dy with the filter turned round. A task is some rows of tiles of one block of samples:
// their inputs are transformed into scratch, and the products of all positions are added up and transformed
// back while they are in the cache. For each tile of 2x2 that is 16 multiplications instead of 36, or 49
// instead of 100. A max pooling of 2x2 that follows takes the greatest of each tile.
#include "kernels/lanes_winograd.h"
#include "lanes.h"

namespace fastcnn {
namespace cpu {
namespace {

struct Winograd : Correlation {
  int64_t blocks, tile_rows, tiles;  // of a block, and of a row of them
  int64_t bands, together;           // tiles of a row that are taken together
  int form;                          // of kernels/lanes_winograd.h

  const WinogradAxis& axis() const { return kWinogradAxes[form]; }
  int64_t points() const { return axis().points * axis().points; }
};

// The inputs of one position stay in L1 while all output channels meet them.
constexpr int64_t kPositionFloats = 4 << 10, kFilterChunk = 512;

Winograd plan(const Conv2dShape& v, bool dgrad) {
  Winograd d = {};
  static_cast<Correlation&>(d) = correlation(v, dgrad);
  d.form = v.r == 5;
  d.blocks = lane_blocks(v.n);
  d.tile_rows = ceil_div(d.out_h, 2), d.tiles = ceil_div(d.out_w, 2);
  d.bands = std::min(d.tile_rows, ceil_div(lanes_tasks(conv_flops(v)), d.blocks));
  const int64_t most = std::max<int64_t>(1, kPositionFloats / (std::max(v.c, v.k) * kBatchLanes));
  d.together = ceil_div(d.tiles, ceil_div(d.tiles, most));
  return d;
}

int64_t filter_floats(const Winograd& d) { return d.in_c * d.out_c; }
// Of a point or a position, and one cache line more: 16 of them would share one set of L1 where channels and
// tiles are powers of two, which doubled the time.
int64_t tile_floats(const Winograd& d, int64_t channels) { return (channels * d.together + 1) * kBatchLanes; }
// Of the points that a row of positions sums.
int64_t v_floats(const Winograd& d) {
  const WinogradAxis& axis = d.axis();
  return *std::max_element(axis.terms, axis.terms + 4) * axis.points * tile_floats(d, d.in_c);
}
int64_t m_floats(const Winograd& d) { return kWinogradPositions * tile_floats(d, d.out_c); }

// Where it saves a fifth of the multiplications at least, and these outweigh the transforms: of 3x3 1.5 times
// as fast where it saves 47 %, 1.07 times where it saves 28 %.
bool pays(const OpDescriptor& op, const Conv2dShape& v, bool dgrad) {
  const int64_t p = dgrad ? v.h : v.p, q = dgrad ? v.w : v.q;
  const int64_t products = v.r == 5 ? 49 : 16, least = v.r == 5 ? 4 : 8;
  return op.math != Math::kStrict && v.n % kBatchLanes == 0 && v.groups == 1 && (v.r == 3 || v.r == 5) &&
         v.s == v.r && v.stride_h == 1 && v.stride_w == 1 && v.dilation_h == 1 && v.dilation_w == 1 &&
         v.c >= least && v.k >= least &&
         products * ceil_div(p, 2) * ceil_div(q, 2) * 5 <= v.r * v.s * v.p * v.q * 4;
}

void prepare(Prepared* out, const Conv2dShape& v, bool dgrad) {
  const Winograd d = state<Winograd>(out) = plan(v, dgrad);
  out->flops = conv_flops(v), out->bytes = conv_bytes(v);
  out->parallel = out->flops > kLanesTaskFlops;
  out->workspace_bytes = float_bytes(d.points() * filter_floats(d));
  out->scratch_bytes = float_bytes(v_floats(d) + m_floats(d));
}

struct Arguments {
  const float *bias, *mask;
  float* y;
  uint8_t* index;  // of a max pooling
  int32_t relu, pool;
};

// Tiles [tile, tile + tiles) of a row of them.
void run_tiles(const Winograd& d, const float* x, const float* u, const Arguments& to, int64_t tile_row,
               int64_t tile, float* scratch) {
  float *const v = scratch, *const m = scratch + v_floats(d);
  const int64_t tiles = std::min(d.together, d.tiles - tile), p = 2 * tile_row, q = 2 * tile;
  const int64_t point = tile_floats(d, d.in_c), position = tile_floats(d, d.out_c);
  const WinogradAxis& axis = d.axis();
  LanesRow t = {};
  t.in = {d.in_c, kBatchLanes, d.weight_in};
  t.w_out = d.weight_out;
  t.y_channel = tiles * kBatchLanes, t.y_pixel = kBatchLanes;
  t.step = d.in_c, t.spread = point / kBatchLanes, t.pixels = tiles;
  t.channels = d.out_c;
  for (int i = 0; i < 4; ++i) {
    kernels().lanes_winograd->input[d.form]({x, v, point, d.in_c, d.in_h, d.in_w, p + axis_h(d, 0).first,
                                             q + axis_w(d, 0).first, tiles, axis.first[i],
                                             axis.first[i] + axis.terms[i]});
    for (int j = 0; j < 4; ++j) {
      t.rows = {axis.terms[i], axis.points * point, axis.points * filter_floats(d)};
      t.cols = {axis.terms[j], point, filter_floats(d)};
      t.width = tiles * d.in_c + (axis.terms[j] - 1) * t.spread;
      t.x = v + axis.first[j] * point;
      t.w = u + (axis.first[i] * axis.points + axis.first[j]) * filter_floats(d);
      t.y = m + (4 * i + j) * position;
      kernels().lanes->row(t);
    }
  }
  WinogradOutput y = {};
  y.m = m, y.position = position;
  y.bias = to.bias, y.relu = to.relu, y.pool = to.pool;
  y.channels = d.out_c, y.tiles = tiles;
  const int64_t rows = to.pool ? d.tile_rows : d.out_h, cols = to.pool ? d.tiles : d.out_w;
  y.y_row = cols * kBatchLanes, y.y_channel = rows * y.y_row;
  const int64_t out = (to.pool ? tile_row * cols + tile : p * cols + q) * kBatchLanes;
  y.y = to.y + out, y.mask = to.mask ? to.mask + out : nullptr, y.index = to.index ? to.index + out : nullptr;
  y.rows = d.out_h - p, y.cols = d.out_w - q;
  kernels().lanes_winograd->output(y);
}

void run(const Prepared& prepared, const float* x, const float* w, const Arguments& to, Context& context) {
  const Winograd& d = state<Winograd>(prepared);
  Member& me = *context.member;
  float* const u = static_cast<float*>(context.workspace);
  // In both passes [C][K]; steps along it are weight_in and weight_out.
  for_each_chunk(context, filter_floats(d), kFilterChunk, [&](int64_t begin, int64_t end) {
    kernels().lanes_winograd->filter[d.form]({w, u, filter_floats(d), begin, end, d.dgrad});
  });
  const int64_t in_block = d.in_c * d.in_h * d.in_w * kBatchLanes;
  const int64_t out_block = d.out_c * (to.pool ? d.tile_rows * d.tiles : d.out_h * d.out_w) * kBatchLanes;
  parallel_for(me, d.blocks * d.bands, [&](int64_t task) {
    const int64_t block = task / d.bands;
    const Range rows = part_of(d.tile_rows, d.bands, task % d.bands);
    Arguments here = to;
    here.y += block * out_block;
    if (here.mask) here.mask += block * out_block;
    if (here.index) here.index += block * out_block;
    float* const scratch = static_cast<float*>(me.scratch(prepared.scratch_bytes));
    for (int64_t i = rows.begin; i < rows.end; ++i)
      for (int64_t tile = 0; tile < d.tiles; tile += d.together)
        run_tiles(d, x + block * in_block, u, here, i, tile, scratch);
  });
}

}  // namespace

bool supports_conv2d_fprop_lanes_winograd(const OpDescriptor& op) {
  const Epilogue& e = op.epilogue;
  const bool pools = !e.pool || (e.pool == 2 && pools_whole_windows(e, op.conv2d_fprop));
  return pools && !e.residual && !e.scale && pays(op, op.conv2d_fprop, false);
}
void prepare_conv2d_fprop_lanes_winograd(Prepared* p) { prepare(p, p->op.conv2d_fprop, false); }
void run_conv2d_fprop_lanes_winograd(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_fprop;
  const Arguments to = {e.bias ? input(x, 2) : nullptr,
                        nullptr,
                        output(x, 0),
                        e.pool ? static_cast<uint8_t*>(x.out[1]) : nullptr,
                        e.activation == Activation::kRelu,
                        e.pool};
  run(p, input(x, 0), input(x, 1), to, context);
  finish_activation(context, e.activation, to.y, v.n * v.p * v.q * v.k);
}

bool supports_conv2d_dgrad_lanes_winograd(const OpDescriptor& op) {
  return !op.epilogue.residual && pays(op, op.conv2d_dgrad, true);
}
void prepare_conv2d_dgrad_lanes_winograd(Prepared* p) { prepare(p, p->op.conv2d_dgrad, true); }
void run_conv2d_dgrad_lanes_winograd(const Prepared& p, const Operands& x, Context& context) {
  const Epilogue& e = p.op.epilogue;
  const Conv2dShape& v = p.op.conv2d_dgrad;
  const Arguments to = {e.bias ? input(x, 3) : nullptr,
                        e.relu_mask ? input(x, 2) : nullptr,
                        output(x, 0),
                        nullptr,
                        e.activation == Activation::kRelu,
                        0};
  run(p, input(x, 0), input(x, 1), to, context);
  finish_activation(context, e.activation, to.y, v.n * v.h * v.w * v.c);
}

}  // namespace cpu
}  // namespace fastcnn
