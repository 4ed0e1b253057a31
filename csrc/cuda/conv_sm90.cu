// SPDX-License-Identifier: Apache-2.0
// Matrix products, forward passes and data gradients in tf32 on compute capability 9.0. Their operands must
// lie along the sum, which weights [taps, c, k] of a forward pass and b [k, n] do not: these are transposed
// first. Where arrays lie as no map can say, or there is no driver to make one, the kernels of 8.0 do the
// same.
#include "conv.h"
#include "tensor_sm90.h"

namespace fastcnn {
namespace cuda {

namespace {

// The first that gives every block a tile, and has no columns to spare, else the last. Two numbers of 4 bytes
// feed fewer operations than two of 2 bytes would: the large ones come nearer to what the L2 cache delivers.
struct TileSize {
  int m, n;
};
constexpr TileSize kTiles[] = {{128, 256}, {256, 128}, {128, 128}, {128, 64}};
constexpr int kTileCount = sizeof kTiles / sizeof *kTiles;
constexpr int kFewTiles = 32;  // of the last: below, the kernels of 8.0 cut sums

constexpr int kSquare = 32;

// to[slice, column, row] = from[slice, row, column]
__global__ void __launch_bounds__(kThreads) transpose(const float* from, float* to, int rows, int columns) {
  __shared__ float square[kSquare][kSquare + 1];
  const int across = (columns + kSquare - 1) / kSquare;
  const int row0 = int(blockIdx.x) / across * kSquare, column0 = int(blockIdx.x) % across * kSquare;
  const int64_t slice = int64_t(blockIdx.z) * rows * columns;
  const int x = int(threadIdx.x) % kSquare, first = int(threadIdx.x) / kSquare;
  constexpr int kStep = kThreads / kSquare;
  for (int y = first; y < kSquare; y += kStep)
    if (row0 + y < rows && column0 + x < columns)
      square[y][x] = from[slice + int64_t(row0 + y) * columns + column0 + x];
  __syncthreads();
  for (int y = first; y < kSquare; y += kStep)
    if (column0 + y < columns && row0 + x < rows)
      to[slice + int64_t(column0 + y) * rows + row0 + x] = square[x][y];
}

struct Pass {
  ConvWalk walk;
  bool gradient;  // of the data

  PixelProduct product(int tile) const {
    const TileSize size = kTiles[tile];
    return gradient ? dgrad_product(walk, size.m, size.n) : fprop_product(walk, size.m, size.n);
  }
  int tile() const {
    int tile = 0;
    for (; tile < kTileCount - 1; ++tile) {
      const PixelProduct p = product(tile);
      if (p.tiles >= kBlocks90 && kTiles[tile].n <= ceil_div(p.columns, 64) * 64) break;
    }
    return tile;
  }
  ptx::Pixels pixels(const float* data, int count) const {
    const ConvWalk& w = walk;
    ptx::Pixels p = {};
    p.data = data, p.n = w.n, p.count = count;
    p.h = gradient ? w.h.out : w.h.in, p.w = gradient ? w.w.out : w.w.in, p.c = gradient ? w.k : w.c;
    return p;
  }
};

bool flat(const ConvAxis& a) { return a.in == 1 && a.out == 1 && a.taps == 1; }

bool supports(const OpDescriptor& op, const Pass& pass) {
  const ConvWalk& w = pass.walk;
  const int32_t stride = w.h.stride, dilation = w.h.dilation;
  if (op.precision != Precision::kTf32 || op.math == Math::kStrict || w.groups > 1 || !flat(w.d))
    return false;
  if (w.c % 4 || w.k % 4 || w.w.stride != stride || w.w.dilation != dilation) return false;
  if (pass.gradient && (stride * stride > kMostClasses || (stride > 1 && dilation > 1))) return false;
  const PixelProduct p = pass.product(kTileCount - 1);
  return p.tiles >= kFewTiles && fits_maps(p, pass.pixels(nullptr, kTiles[0].m));
}

// y from a by b [taps, columns, along the sum]; false: not with these arrays.
struct Arrays {
  const float *a, *b;
  float* y;
};
bool multiply(Context& context, const Pass& pass, const Arrays& arrays, const AfterSum& after) {
  const int tile = pass.tile();
  MapOperands p = {};
  p.of = pass.product(tile);
  p.after = after, p.y = arrays.y;
  if (!aligned_to(arrays.y, 8)) return false;
  const ptx::Pixels pixels = pass.pixels(arrays.a, kTiles[tile].m);
  for (int i = 0; i < p.of.classes; ++i)
    if (p.of.of[i].steps && !ptx::make_map(&p.a[i], pixels_of(p.of, p.of.of[i], pixels))) return false;
  const ptx::Matrices b = {arrays.b, pixels.c, p.of.columns, pass.walk.taps(), kTiles[tile].n};
  if (!ptx::make_map(&p.b, b)) return false;
  constexpr void (*kStart[])(Context&, const MapOperands&) = {
      start_maps<MapTile<kTiles[0].m, kTiles[0].n>>, start_maps<MapTile<kTiles[1].m, kTiles[1].n>>,
      start_maps<MapTile<kTiles[2].m, kTiles[2].n>>, start_maps<MapTile<kTiles[3].m, kTiles[3].n>>};
  kStart[tile](context, p);
  return true;
}

const float* transposed(Context& context, const ConvWalk& w, const float* weights) {
  float* const to = static_cast<float*>(context.workspace);
  const dim3 grid(unsigned(ceil_div(w.c, kSquare) * ceil_div(w.k, kSquare)), 1, unsigned(w.taps()));
  FASTCNN_LAUNCH(transpose, grid, kThreads, stream_of(context))(weights, to, w.c, w.k);
  return to;
}
size_t transposed_bytes(const ConvWalk& w) {
  return sizeof(float) * size_t(w.taps()) * size_t(w.c) * size_t(w.k);
}

// m images of one pixel.
Pass pass_of(const GemmShape& s) {
  Conv2dShape c = {};
  c.n = s.m, c.c = s.k, c.k = s.n, c.groups = 1;
  c.h = c.w = c.r = c.s = c.p = c.q = c.stride_h = c.stride_w = c.dilation_h = c.dilation_w = 1;
  return {walk_of(c), false};
}

}  // namespace

bool supports_gemm_map(const OpDescriptor& op) {
  return supports_gemm_tensor(op) && !op.gemm.transpose_a && supports(op, pass_of(op.gemm));
}
void prepare_gemm_map(Prepared* p) {
  prepare_gemm_tensor(p);
  const size_t bytes = p->op.gemm.transpose_b ? 0 : transposed_bytes(pass_of(p->op.gemm).walk);
  if (p->workspace_bytes < bytes) p->workspace_bytes = bytes;
}
void run_gemm_map(const Prepared& p, const Operands& o, Context& context) {
  const Pass pass = pass_of(p.op.gemm);
  const float* const b = p.op.gemm.transpose_b ? input(o, 1) : transposed(context, pass.walk, input(o, 1));
  if (!multiply(context, pass, {input(o, 0), b, output(o, 0)},
                after_of(p, input(o, 2), nullptr, input(o, 3))))
    run_gemm_tensor(p, o, context);
}

bool supports_conv2d_fprop_map(const OpDescriptor& op) {
  return supports_conv2d_fprop_tensor(op) && supports(op, {walk_of(op.conv2d_fprop), false});
}
void prepare_conv2d_fprop_map(Prepared* p) {
  prepare_conv2d_fprop_tensor(p);
  p->workspace_bytes = transposed_bytes(state<ConvWalk>(*p));
}
void run_conv2d_fprop_map(const Prepared& p, const Operands& o, Context& context) {
  const Pass pass = {state<ConvWalk>(p), false};
  const float* const weights = transposed(context, pass.walk, input(o, 1));
  if (!multiply(context, pass, {input(o, 0), weights, output(o, 0)},
                after_of(p, input(o, 2), input(o, 3), nullptr)))
    run_conv2d_fprop_tensor(p, o, context);
}

bool supports_conv2d_dgrad_map(const OpDescriptor& op) {
  return supports_conv2d_dgrad_tensor(op) && supports(op, {walk_of(op.conv2d_dgrad), true});
}
void prepare_conv2d_dgrad_map(Prepared* p) { prepare_conv2d_dgrad_tensor(p); }
void run_conv2d_dgrad_map(const Prepared& p, const Operands& o, Context& context) {
  const Pass pass = {state<ConvWalk>(p), true};
  if (!multiply(context, pass, {input(o, 0), input(o, 1), output(o, 0)},
                after_of(p, input(o, 3), nullptr, input(o, 2))))
    run_conv2d_dgrad_tensor(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
