// SPDX-License-Identifier: Apache-2.0
// Matrix products, forward passes and data gradients in float32, tf32 and bfloat16 on compute capability 9.0.
// Their operands must lie along the sum, which weights [taps, c, k] of a forward pass and b [k, n] do not:
// these are transposed first. Nor do maps make bfloat16 of floats: both operands are rounded first, b as it
// is transposed, unless they lie in memory so. For float32 b is split into its halves once, which every tile
// would do again. Where arrays lie as no map can say, or there is no driver to make one, the kernels of 8.0
// do the same.
#include <utility>

#include "conv.h"
#include "gemm.h"
#include "pixels.h"
#include "round_sm90.h"
#include "tensor_sm90.h"

namespace fastcnn {
namespace cuda {

namespace {

// The terms of a sum, for one that is taken in their order: a by its pixels, b by its steps in memory.
struct Terms {
  const float *a, *b;
  int32_t h, w, channels;
  int64_t slice, inner, column;

  // Row m of a class, which is one of y; column n. A template, since no kernel before 9.0 asks for it.
  template <class Class>
  FASTCNN_INLINED float sum(const PixelProduct& p, const Class& c, int m, int n) const {
    float sum = 0.0f;
    PixelSteps at(p, c, m);
    FASTCNN_ROLLED
    for (int i = 0; i < c.steps; ++i, at.next(p, c)) {
      const int32_t y = at.a.h + at.a.tap_h, x = at.a.w + at.a.tap_w, first = at.a.channel;
      const bool there = uint32_t(y) < uint32_t(h) && uint32_t(x) < uint32_t(w);
      const float* const of_a = a + ((int64_t(at.a.n) * h + y) * w + x) * channels + first;
      const float* const of_b = b + at.slice * slice + first * inner + n * column;
      const int count = channels - first < p.numbers ? channels - first : p.numbers;
      FASTCNN_ROLLED
      for (int j = 0; j < count; ++j) sum = fma(there ? of_a[j] : 0.0f, of_b[j * inner], sum);
    }
    return sum;
  }
};

// Rows are pixels, a step is a row of a map: channels of a tap (pixels.h). y is of Numbers.
template <class Number>
struct PixelOperands {
  ptx::Map a[kMostClasses], b;
  PixelProduct of;
  Results<Number> to;
  Measured<Number> measured;
  int32_t tiles, taps;  // slices of b's big half, before those of its small one
  Terms terms;
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
      if constexpr (T::kHalves)
        ptx::load_box(to + T::kBytesA + T::kBytesB, &p.b, barrier, {at.a.channel, tile.n, p.taps + at.slice});
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

  FASTCNN_INLINED static void load_a(float (&x)[kProducts][4], uint32_t stage, int block) {
    load_rows(x, stage + uint32_t(T::kPanelBytes * block));
  }

  FASTCNN_INLINED static void store(const Operands& p, const Tile& tile, int block,
                                    const float (&sum)[T::kN / 2]) {
    const PixelClassOfMap& c = p.of.of[tile.in_class];
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) % kGroup / kWarp;
    const int first = tile.m + 64 * block + 16 * warp + lane / 4, left = tile.n + 2 * (lane % 4);
    uint32_t again = 0;  // of these pairs
    FASTCNN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int64_t row = p.of.place(c, first + 8 * half);
      if (row < 0) continue;
      FASTCNN_UNROLL
      for (int j = 0; j < T::kN / 8; ++j) {
        const int n = left + 8 * j;
        if (n >= p.of.columns) continue;  // an even number
        const float a = sum[4 * j + 2 * half], b = sum[4 * j + 2 * half + 1];
        if (T::kHalves && !(fabsf(a) + fabsf(b) <= kLargest))
          again |= 1u << (2 * j + half);
        else
          p.to.put_two(a, b, row + n, n);
      }
    }
    if constexpr (T::kHalves) {
      FASTCNN_ROLLED
      for (int pair = 0; again; ++pair, again >>= 1) {
        if (!(again & 1)) continue;
        const int m = first + pair % 2 * 8, n = left + pair / 2 * 8;
        p.to.put_two(p.terms.sum(p.of, c, m, n), p.terms.sum(p.of, c, m, n + 1), p.of.place(c, m) + n, n);
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

// In float32, of those that registers have room for, the one that takes the least time.
constexpr TileSize kHalvesTiles[] = {{128, 128}, {256, 64}, {128, 64}, {256, 32}, {256, 16}};
constexpr int kHalvesTileCount = sizeof kHalvesTiles / sizeof *kHalvesTiles;

// Clocks of the busiest multiprocessor, where all of a kind are as long as they are on the average. A step's
// products take half a clock for a column of 64 rows, its bytes come at some 40 a clock; what a tile takes
// besides, and what splits b, is a guess.
double clocks_of_halves(const PixelProduct& p, const TileSize& tile) {
  const double products = 3.0 * kProducts * (tile.m / 64) * tile.n / 2,
               bytes = (tile.m + 2.0 * tile.n) * ptx::kMapBytes;
  const double step = products > bytes / 40 ? products : bytes / 40;
  double steps = 0;
  for (int32_t i = 0; i < p.classes; ++i) {
    const int32_t end = i + 1 < p.classes ? p.of[i + 1].first_tile : p.tiles;
    steps += double(end - p.of[i].first_tile) * p.of[i].steps;
  }
  return 4000 + double(ceil_div(p.tiles, kBlocks90)) * (steps / p.tiles * step + 2000);
}
// The kernels of 8.0 make 88 products a clock.
double clocks_of_tensor(const Problem& p) {
  const int64_t parts = tiles_of(p, SmallTile::kM) * p.splits;
  const double part = double(SmallTile::kM) * SmallTile::kN * p.k_per_split / 88;
  return (p.splits > 1 ? 4000 : 0) + double(ceil_div(parts, kBlocks90)) * part + 2000;
}

// What becomes of number i of `count`.
template <class T>
struct Same {
  using From = T;
  using Number = T;
  FASTCNN_INLINED static void put(T x, Number* to, int64_t i, int64_t) { to[i] = x; }
};
struct ToBfloat16 {
  using From = float;
  using Number = uint16_t;
  FASTCNN_INLINED static void put(float x, Number* to, int64_t i, int64_t) {
    to[i] = Number(ptx::to_bfloat16(x, 0.0f));
  }
};
struct ToHalves {
  using From = float;
  using Number = uint32_t;
  FASTCNN_INLINED static void put(float x, Number* to, int64_t i, int64_t count) {
    const uint32_t big = big_half(x);
    to[i] = big, to[count + i] = small_half(x, big);
  }
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
      To::put(square[x][y], to, slice + int64_t(column0 + y) * rows + row0 + x,
              int64_t(gridDim.z) * rows * columns);
}

struct Pass {
  ConvWalk walk;
  bool gradient;  // of the data
  Precision precision;
  Storage storage;
  bool measures = false;  // y

  bool rounds() const { return precision == Precision::kBfloat16 && storage == Storage::kFloat32; }
  bool halves() const { return precision == Precision::kFloat32; }
  int bytes() const { return precision == Precision::kBfloat16 ? 2 : 4; }  // of a number of the operands
  ptx::MapData data(const void* of) const { return {of, bytes(), halves()}; }
  TileSize size(int tile) const { return halves() ? kHalvesTiles[tile] : kTiles[tile]; }
  PixelProduct product(int tile) const {
    const PixelTile of = {size(tile).m, size(tile).n, data(nullptr).numbers()};
    return gradient ? dgrad_product(walk, of) : fprop_product(walk, of);
  }
  int tile() const { return halves() ? quickest() : first_full(); }
  ptx::Pixels pixels(const void* from, int count) const {
    const ConvWalk& w = walk;
    ptx::Pixels p = {};
    p.of = data(from), p.n = w.n, p.count = count;
    p.h = gradient ? w.h.out : w.h.in, p.w = gradient ? w.w.out : w.w.in, p.c = gradient ? w.k : w.c;
    return p;
  }
  int64_t numbers() const {  // of a
    const ptx::Pixels p = pixels(nullptr, 0);
    return p.n * p.h * p.w * p.c;
  }
  double clocks(int tile) const { return clocks_of_halves(product(tile), size(tile)); }

 private:
  int first_full() const {
    int tile = 0;
    for (; tile < kTileCount - 1; ++tile) {
      const PixelProduct p = product(tile);
      if (p.tiles >= kBlocks90 && kTiles[tile].n <= ceil_div(p.columns, 64) * 64) break;
    }
    return tile;
  }
  int quickest() const {
    int tile = 0;
    double least = clocks(0);
    for (int i = 1; i < kHalvesTileCount; ++i) {
      const double of = clocks(i);
      if (of < least) tile = i, least = of;
    }
    return tile;
  }
};

// `of_tensor`: how the kernels of 8.0 would multiply.
bool supports(const OpDescriptor& op, const Pass& pass, const Problem& of_tensor) {
  const ConvWalk& w = pass.walk;
  const int32_t stride = w.h.stride, dilation = w.h.dilation;
  if (op.math == Math::kStrict || w.groups > 1 || !flat(w.d)) return false;
  if (w.c % 4 || w.k % 4 || w.w.stride != stride || w.w.dilation != dilation) return false;
  if (pass.gradient && (stride * stride > kMostClasses || (stride > 1 && dilation > 1))) return false;
  if (pass.rounds() && products_of(w) < kLeastProducts * double(pass.numbers())) return false;
  const int tile = pass.halves() ? pass.tile() : kTileCount - 1;
  const PixelProduct p = pass.product(tile);
  if (pass.halves() ? pass.storage != Storage::kFloat32 || pass.clocks(tile) >= clocks_of_tensor(of_tensor)
                    : p.tiles < kFewTiles)
    return false;
  return fits_maps(p, pass.pixels(nullptr, pass.size(tile).m));
}

// The operands as maps read them, those that are made in the workspace: b, then a.
struct Arrays {
  const void *a, *b;
};
size_t bytes_of_b(const Pass& pass) {
  const ConvWalk& w = pass.walk;
  return behind(size_t(pass.halves() ? 8 : pass.bytes()) * size_t(w.taps()) * size_t(w.c) * size_t(w.k));
}
size_t workspace_of(const Pass& pass, bool transposes) {
  if (!pass.rounds()) return transposes || pass.halves() ? bytes_of_b(pass) : 0;
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
// b's halves, one behind the other; `count` is a multiple of 4.
const void* split(Context& context, const float* from, int64_t count) {
  auto* const to = static_cast<uint32_t*>(context.workspace);
  using Four = Together<uint32_t, 4>;
  for_each(context, count / 4, [=] __device__(int64_t i) {
    const auto x = Together<float, 4>::at(from + 4 * i);
    Four big, small;
    FASTCNN_UNROLL
    for (int j = 0; j < 4; ++j) big.of[j] = big_half(x.of[j]), small.of[j] = small_half(x.of[j], big.of[j]);
    big.put(to + 4 * i), small.put(to + count + 4 * i);
  });
  return to;
}
Arrays arrays_of(Context& context, const Pass& pass, const Operands& o, bool transposes) {
  const ConvWalk& w = pass.walk;
  const float *a = input(o, 0), *b = input(o, 1);
  const int64_t of_b = int64_t(w.taps()) * w.c * w.k;
  if (pass.halves()) return {a, transposes ? transposed<ToHalves>(context, w, b) : split(context, b, of_b)};
  if (!pass.rounds()) {
    if (!transposes) return {a, b};
    return {a, pass.bytes() == 2 ? transposed<Same<uint16_t>>(context, w, b)
                                 : transposed<Same<float>>(context, w, b)};
  }
  const void* const new_b =
      transposes ? transposed<ToBfloat16>(context, w, b) : rounded(context, b, of_b, context.workspace);
  char* const place_of_a = static_cast<char*>(context.workspace) + bytes_of_b(pass);
  return {rounded(context, a, pass.numbers(), place_of_a), new_b};
}

// The kernels of a list's tiles.
template <Precision kPrecision, class Number, const TileSize* kSizes, int... kTile>
void start(Context& context, const PixelOperands<Number>& p, int tile, std::integer_sequence<int, kTile...>) {
  constexpr bool kHalves = kPrecision == Precision::kFloat32;
  constexpr void (*kStart[])(Context&, const PixelOperands<Number>&) = {
      start_maps<PixelSums<MapTile<kSizes[kTile].m, kSizes[kTile].n, kHalves>, kPrecision, Number>>...};
  kStart[tile](context, p);
}
template <Precision kPrecision, class Number>
void start(Context& context, const PixelOperands<Number>& p, int tile) {
  if constexpr (kPrecision == Precision::kFloat32)
    start<kPrecision, Number, kHalvesTiles>(context, p, tile,
                                            std::make_integer_sequence<int, kHalvesTileCount>{});
  else
    start<kPrecision, Number, kTiles>(context, p, tile, std::make_integer_sequence<int, kTileCount>{});
}

// y from a by b [taps, columns, along the sum], which may have to be transposed; false: not with these
// arrays.
template <class Number>
bool multiply(Context& context, const Pass& pass, const Operands& o, bool transposes,
              const AfterSum<Number>& after) {
  const int tile = pass.tile();
  PixelOperands<Number> p = {};
  p.of = pass.product(tile), p.tiles = p.of.tiles, p.taps = pass.walk.taps();
  p.to = {output<Number>(o, 0), nullptr, after};
  p.measured = measured_of<Number>(o, pass.measures, {pass.walk.outputs(), pass.walk.k, pass.walk.k});
  if (!aligned_to(o.in[0], 16) || !aligned_to(o.in[1], 16) || !p.to.aligned_to_twos()) return false;
  const Arrays arrays = arrays_of(context, pass, o, transposes);
  const ptx::Pixels pixels = pass.pixels(arrays.a, pass.size(tile).m);
  for (int i = 0; i < p.of.classes; ++i)
    if (p.of.of[i].steps && !ptx::make_map(&p.a[i], pixels_of(p.of, p.of.of[i], pixels))) return false;
  const int32_t slices = (pass.halves() ? 2 : 1) * p.taps;
  const ptx::Matrices b = {pass.data(arrays.b), pixels.c, p.of.columns, slices, pass.size(tile).n};
  if (!ptx::make_map(&p.b, b)) return false;
  if constexpr (sizeof(Number) == 2) {
    start<Precision::kBfloat16>(context, p, tile);
  } else if (pass.halves()) {
    p.terms = {input(o, 0),
               input(o, 1),
               int32_t(pixels.h),
               int32_t(pixels.w),
               int32_t(pixels.c),
               int64_t(pass.walk.c) * pass.walk.k,
               transposes ? p.of.columns : 1,
               transposes ? 1 : pixels.c};
    start<Precision::kFloat32>(context, p, tile);
  } else {
    pass.precision == Precision::kBfloat16 ? start<Precision::kBfloat16>(context, p, tile)
                                           : start<Precision::kTf32>(context, p, tile);
  }
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
  return supports_gemm_tensor(op) && !op.gemm.transpose_a && supports(op, pass_of(op), problem_of(op));
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
  if (!supports_conv2d_fprop_tensor(op)) return false;
  const ConvWalk w = walk_of(op.conv2d_fprop);
  return supports(op, {w, false, op.precision, op.storage}, fprop_problem(w));
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
  if (!supports_conv2d_dgrad_tensor(op)) return false;
  const ConvWalk w = walk_of(op.conv2d_dgrad);
  return supports(op, {w, true, op.precision, op.storage}, dgrad_problem(w));
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
