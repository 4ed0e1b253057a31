// SPDX-License-Identifier: Apache-2.0
// Matrix products, forward passes and data gradients in tf32 and bfloat16 on compute capability 9.0. Their
// operands must lie along the sum, which weights [taps, c, k] of a forward pass and b [k, n] do not: these
// are transposed first. Nor do maps make bfloat16 of floats: both operands are rounded first, b as it is
// transposed, unless they lie in memory so. Where arrays lie as no map can say, or there is no driver to make
// one, the kernels of 8.0 do the same.
#include "conv.h"
#include "pixels.h"
#include "round_sm90.h"
#include "tensor_sm90.h"

namespace fastcnn {
namespace cuda {

namespace {

// Rows are pixels, a step is a row of a map: channels of a tap (pixels.h). y is of Numbers.
template <class Number>
struct PixelOperands {
  ptx::Map a[kMostClasses], b;
  PixelProduct of;
  Results<Number> to;
  Measured<Number> measured;
  int32_t tiles;
};

template <class T, Precision kPrecision, class Number>
struct PixelSums {
  using Shape = T;
  using Operands = PixelOperands<Number>;
  struct Tile : PixelProduct::Tile {
    int32_t steps;
  };
  FASTCNN_INLINED static Tile tile(const Operands& p, int t) {
    const PixelProduct::Tile at = p.of.tile(t, T::kM, T::kN);
    return {at, p.of.of[at.in_class].steps};
  }

  struct Loads {
    const Operands& p;
    const Tile tile;
    PixelSteps at;
    FASTCNN_INLINED Loads(const Operands& operands, const Tile& of)
        : p(operands), tile(of), at(p.of, p.of.of[tile.in_class], tile.m) {}
    FASTCNN_INLINED void operator()(uint32_t to, uint32_t barrier) {
      ptx::arrive_expecting(barrier, T::kStageBytes);
      ptx::load_pixels(to, &p.a[tile.in_class], barrier, at.a);
      ptx::load_box(to + T::kBytesA, &p.b, barrier, {at.a.channel, tile.n, at.slice});
      at.next(p.of, p.of.of[tile.in_class]);
    }
  };

  FASTCNN_INLINED static int next() { return ptx::kProductBytes >> 4; }
  FASTCNN_INLINED static uint64_t operand_a(uint32_t address) { return ptx::operand(address); }
  FASTCNN_INLINED static uint64_t operand_b(uint32_t address) { return ptx::operand(address); }
  FASTCNN_INLINED static void multiply(float (&sum)[T::kN / 2], uint64_t a, uint64_t b, bool add) {
    if constexpr (kPrecision == Precision::kBfloat16)
      ptx::multiply_bfloat16(sum, a, b, add);
    else
      ptx::multiply_tf32(sum, a, b, add);
  }

  FASTCNN_INLINED static void store(const Operands& p, const Tile& tile, int block,
                                    const float (&sum)[T::kN / 2]) {
    const PixelClassOfMap& c = p.of.of[tile.in_class];
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) % kGroup / kWarp;
    FASTCNN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int64_t row = p.of.place(c, tile.m + 64 * block + 16 * warp + 8 * half + lane / 4);
      if (row < 0) continue;
      FASTCNN_UNROLL
      for (int j = 0; j < T::kN / 8; ++j) {
        const int n = tile.n + 8 * j + 2 * (lane % 4);
        if (n >= p.of.columns) continue;  // an even number
        p.to.put_two(sum[4 * j + 2 * half], sum[4 * j + 2 * half + 1], row + n, n);
      }
    }
  }
  FASTCNN_INLINED static void measure(const Operands& p, const Tile& tile, int group) {
    if (!p.measured.to) return;
    constexpr int kRows = 64 * T::kBlocks;
    ptx::meet(1 + group, kGroup);
    p.measured.template tile<kRows, T::kN>(tile.m + kRows * group, tile.n, int(threadIdx.x) % kGroup / kWarp,
                                           kGroup / kWarp);
  }
};

// The first that gives every block a tile, and has no columns to spare, else the last. Two numbers of 4 bytes
// feed fewer operations than two of 2 bytes would: the large ones come nearer to what the L2 cache delivers.
struct TileSize {
  int m, n;
};
constexpr TileSize kTiles[] = {{128, 256}, {256, 128}, {128, 128}, {128, 64}};
constexpr int kTileCount = sizeof kTiles / sizeof *kTiles;
constexpr int kFewTiles = 32;  // of the last: below, the kernels of 8.0 cut sums

template <class T>
struct Same {
  using From = T;
  using Number = T;
  FASTCNN_INLINED Number operator()(T x) const { return x; }
};
struct ToBfloat16 {
  using From = float;
  using Number = uint16_t;
  FASTCNN_INLINED Number operator()(float x) const { return Number(ptx::to_bfloat16(x, 0.0f)); }
};

constexpr int kSquare = 32;

// to[slice, column, row] = from[slice, row, column]
template <class To>
__global__ void __launch_bounds__(kThreads)
    transpose(const typename To::From* from, typename To::Number* to, int rows, int columns) {
  __shared__ typename To::From square[kSquare][kSquare + 1];
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
      to[slice + int64_t(column0 + y) * rows + row0 + x] = To{}(square[x][y]);
}

struct Pass {
  ConvWalk walk;
  bool gradient;  // of the data
  Precision precision;
  Storage storage;
  bool measures = false;  // y

  bool rounds() const { return precision == Precision::kBfloat16 && storage == Storage::kFloat32; }
  int bytes() const { return precision == Precision::kBfloat16 ? 2 : 4; }  // of a number of the operands
  PixelProduct product(int tile) const {
    const PixelTile size = {kTiles[tile].m, kTiles[tile].n, ptx::MapData{nullptr, bytes()}.numbers()};
    return gradient ? dgrad_product(walk, size) : fprop_product(walk, size);
  }
  int tile() const {
    int tile = 0;
    for (; tile < kTileCount - 1; ++tile) {
      const PixelProduct p = product(tile);
      if (p.tiles >= kBlocks90 && kTiles[tile].n <= ceil_div(p.columns, 64) * 64) break;
    }
    return tile;
  }
  ptx::Pixels pixels(const void* data, int count) const {
    const ConvWalk& w = walk;
    ptx::Pixels p = {};
    p.of = {data, bytes()}, p.n = w.n, p.count = count;
    p.h = gradient ? w.h.out : w.h.in, p.w = gradient ? w.w.out : w.w.in, p.c = gradient ? w.k : w.c;
    return p;
  }
  int64_t numbers() const {  // of a
    const ptx::Pixels p = pixels(nullptr, 0);
    return p.n * p.h * p.w * p.c;
  }
};

bool supports(const OpDescriptor& op, const Pass& pass) {
  const ConvWalk& w = pass.walk;
  const int32_t stride = w.h.stride, dilation = w.h.dilation;
  if (op.precision == Precision::kFloat32 || op.math == Math::kStrict || w.groups > 1 || !flat(w.d))
    return false;
  if (w.c % 4 || w.k % 4 || w.w.stride != stride || w.w.dilation != dilation) return false;
  if (pass.gradient && (stride * stride > kMostClasses || (stride > 1 && dilation > 1))) return false;
  if (pass.rounds() && products_of(w) < kLeastProducts * double(pass.numbers())) return false;
  const PixelProduct p = pass.product(kTileCount - 1);
  return p.tiles >= kFewTiles && fits_maps(p, pass.pixels(nullptr, kTiles[0].m));
}

// The operands as maps read them, those that are made in the workspace: b, then a.
struct Arrays {
  const void *a, *b;
};
size_t bytes_of_b(const Pass& pass) {
  const ConvWalk& w = pass.walk;
  return behind(size_t(pass.bytes()) * size_t(w.taps()) * size_t(w.c) * size_t(w.k));
}
size_t workspace_of(const Pass& pass, bool transposes) {
  if (!pass.rounds()) return transposes ? bytes_of_b(pass) : 0;
  return bytes_of_b(pass) + 2 * size_t(pass.numbers());
}

// Besides that of the kernels of 8.0, which may take over.
void make_room(Prepared* p, size_t bytes) {
  if (p->workspace_bytes < bytes) p->workspace_bytes = bytes;
}

template <class To>
const void* transposed(Context& context, const ConvWalk& w, const void* from) {
  auto* const to = static_cast<typename To::Number*>(context.workspace);
  const dim3 grid(unsigned(ceil_div(w.c, kSquare) * ceil_div(w.k, kSquare)), 1, unsigned(w.taps()));
  FASTCNN_LAUNCH(transpose<To>, grid, kThreads, stream_of(context))(
      static_cast<const typename To::From*>(from), to, w.c, w.k);
  return to;
}
Arrays arrays_of(Context& context, const Pass& pass, const Operands& o, bool transposes) {
  const ConvWalk& w = pass.walk;
  const float *a = input(o, 0), *b = input(o, 1);
  if (!pass.rounds()) {
    if (!transposes) return {a, b};
    return {a, pass.bytes() == 2 ? transposed<Same<uint16_t>>(context, w, b)
                                 : transposed<Same<float>>(context, w, b)};
  }
  const int64_t of_b = int64_t(w.taps()) * w.c * w.k;
  const void* const new_b =
      transposes ? transposed<ToBfloat16>(context, w, b) : rounded(context, b, of_b, context.workspace);
  char* const place_of_a = static_cast<char*>(context.workspace) + bytes_of_b(pass);
  return {rounded(context, a, pass.numbers(), place_of_a), new_b};
}

template <Precision kPrecision, class Number, int kTile>
using Sums = PixelSums<MapTile<kTiles[kTile].m, kTiles[kTile].n>, kPrecision, Number>;

template <Precision kPrecision, class Number>
void start(Context& context, const PixelOperands<Number>& p, int tile) {
  constexpr void (*kStart[])(Context&, const PixelOperands<Number>&) = {
      start_maps<Sums<kPrecision, Number, 0>>, start_maps<Sums<kPrecision, Number, 1>>,
      start_maps<Sums<kPrecision, Number, 2>>, start_maps<Sums<kPrecision, Number, 3>>};
  kStart[tile](context, p);
}

// y from a by b [taps, columns, along the sum], which may have to be transposed; false: not with these
// arrays.
template <class Number>
bool multiply(Context& context, const Pass& pass, const Operands& o, bool transposes,
              const AfterSum<Number>& after) {
  const int tile = pass.tile();
  PixelOperands<Number> p = {};
  p.of = pass.product(tile), p.tiles = p.of.tiles;
  p.to = {output<Number>(o, 0), nullptr, after};
  p.measured = measured_of<Number>(o, pass.measures, {pass.walk.outputs(), pass.walk.k, pass.walk.k});
  if (!aligned_to(o.in[0], 16) || !aligned_to(o.in[1], 16) || !p.to.aligned_to_twos()) return false;
  const Arrays arrays = arrays_of(context, pass, o, transposes);
  const ptx::Pixels pixels = pass.pixels(arrays.a, kTiles[tile].m);
  for (int i = 0; i < p.of.classes; ++i)
    if (p.of.of[i].steps && !ptx::make_map(&p.a[i], pixels_of(p.of, p.of.of[i], pixels))) return false;
  const ptx::Matrices b = {
      {arrays.b, pass.bytes()}, pixels.c, p.of.columns, pass.walk.taps(), kTiles[tile].n};
  if (!ptx::make_map(&p.b, b)) return false;
  if constexpr (sizeof(Number) == 2)
    start<Precision::kBfloat16>(context, p, tile);
  else
    pass.precision == Precision::kBfloat16 ? start<Precision::kBfloat16>(context, p, tile)
                                           : start<Precision::kTf32>(context, p, tile);
  return true;
}
// With what follows the sum, which reads these operands.
struct After {
  const void *bias, *residual, *mask;
};
bool multiply(Context& context, const Prepared& p, const Pass& pass, const Operands& o, bool transposes,
              const After& a) {
  return pass.storage == Storage::kBfloat16
             ? multiply(context, pass, o, transposes, after_of<Bfloat16>(p, a.bias, a.residual, a.mask))
             : multiply(context, pass, o, transposes, after_of<float>(p, a.bias, a.residual, a.mask));
}

// m images of one pixel.
Pass pass_of(const OpDescriptor& op) {
  const GemmShape& s = op.gemm;
  Conv2dShape c = {};
  c.n = s.m, c.c = s.k, c.k = s.n, c.groups = 1;
  c.h = c.w = c.r = c.s = c.p = c.q = c.stride_h = c.stride_w = c.dilation_h = c.dilation_w = 1;
  return {walk_of(c), false, op.precision, op.storage};
}

}  // namespace

bool supports_gemm_map(const OpDescriptor& op) {
  return supports_gemm_tensor(op) && !op.gemm.transpose_a && supports(op, pass_of(op));
}
void prepare_gemm_map(Prepared* p) {
  prepare_gemm_tensor(p);
  make_room(p, workspace_of(pass_of(p->op), !p->op.gemm.transpose_b));
}
void run_gemm_map(const Prepared& p, const Operands& o, Context& context) {
  if (!multiply(context, p, pass_of(p.op), o, !p.op.gemm.transpose_b, {o.in[2], nullptr, o.in[3]}))
    run_gemm_tensor(p, o, context);
}

bool supports_conv2d_fprop_map(const OpDescriptor& op) {
  return supports_conv2d_fprop_tensor(op) &&
         supports(op, {walk_of(op.conv2d_fprop), false, op.precision, op.storage});
}
void prepare_conv2d_fprop_map(Prepared* p) {
  prepare_conv2d_fprop_tensor(p);
  make_room(p, workspace_of({state<ConvWalk>(*p), false, p->op.precision, p->op.storage}, true));
}
void run_conv2d_fprop_map(const Prepared& p, const Operands& o, Context& context) {
  const bool measures = p.op.epilogue.statistics != 0;
  const Pass pass = {state<ConvWalk>(p), false, p.op.precision, p.op.storage, measures};
  if (!multiply(context, p, pass, o, true, {o.in[2], o.in[3], nullptr}))
    run_conv2d_fprop_tensor(p, o, context);
}

bool supports_conv2d_dgrad_map(const OpDescriptor& op) {
  return supports_conv2d_dgrad_tensor(op) &&
         supports(op, {walk_of(op.conv2d_dgrad), true, op.precision, op.storage});
}
void prepare_conv2d_dgrad_map(Prepared* p) {
  prepare_conv2d_dgrad_tensor(p);
  make_room(p, workspace_of({state<ConvWalk>(*p), true, p->op.precision, p->op.storage}, false));
}
void run_conv2d_dgrad_map(const Prepared& p, const Operands& o, Context& context) {
  const Pass pass = {state<ConvWalk>(p), true, p.op.precision, p.op.storage};
  if (!multiply(context, p, pass, o, false, {o.in[3], o.in[4], o.in[2]}))
    run_conv2d_dgrad_tensor(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
