// SPDX-License-Identifier: Apache-2.0
// Weight gradients in bfloat16 and in float32 on compute capability 9.0:
//
//   dw[tap, c, k] = sum over pixels of x[pixel's tap, c] dy[pixel, k]
//
// Neither operand lies along the sum. A step is as many pixels as a row of a map has channels, 64 or 32. The
// rows of a tile are panels of so many channels of a tap each, so that one load of dy serves several taps.
// The pixels are cut by shape alone; the parts of dw are added in their order.
//
// Products of bfloat16 take both operands across the sum as they are. Those of floats take neither: x goes
// through registers, which read it from shared memory in any order and split it into halves (tensor.h); dy is
// transposed and split first, in the workspace. Of one tap x and dy can change places.
#include "conv.h"
#include "pixels.h"
#include "round_sm90.h"
#include "tensor.h"
#include "tensor_sm90.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kLeastSteps = 8;  // of a part

// How dw is made: tiles of a part after each other, so that blocks at work at a time read the same pixels.
struct Panels {
  PixelProduct pixels;  // of the forward pass
  int32_t chunks, panels, taps_w, dilation;
  int32_t channels, columns;
  int32_t tiles_n, tiles_of_part, parts, steps, steps_per_part;
  Divisor out_w, out_h;

  // A panel is of tile.numbers channels, a step of as many pixels.
  static Panels of(const ConvWalk& w, const PixelTile& tile) {
    Panels p = {};
    p.pixels = fprop_product(w, tile);
    p.chunks = p.pixels.chunks, p.panels = p.chunks * w.taps();
    p.taps_w = w.w.taps, p.dilation = w.h.dilation, p.channels = w.c, p.columns = w.k;
    p.tiles_n = cuda::tiles_of(w.k, tile.n);
    p.tiles_of_part = cuda::tiles_of(p.panels, tile.m / tile.numbers) * p.tiles_n;
    p.steps = cuda::tiles_of(w.outputs(), tile.numbers);
    const int32_t room = kBlocks90 / p.tiles_of_part, most = p.steps / kLeastSteps;
    const int32_t parts = room < most ? room : most;
    p.steps_per_part = cuda::tiles_of(p.steps, parts < 1 ? 1 : parts);
    p.parts = cuda::tiles_of(p.steps, p.steps_per_part);
    p.out_w = Divisor::of(w.w.out), p.out_h = Divisor::of(w.h.out);
    return p;
  }
  int32_t tiles() const { return tiles_of_part * parts; }
  int32_t padded() const { return steps * pixels.numbers; }  // pixels of all steps
};

// dw, of Numbers or its parts of floats.
template <class Number>
struct PanelOperands {
  ptx::Map x, dy;
  Panels of;
  Number* dw;
  float* parts;
  int64_t part;  // numbers of dw
  int32_t tiles;
};
// Floats: dw or its parts; what takes a sum again; and whether x and dy have changed places.
struct HalvesOperands {
  ptx::Map x, dy;
  Panels of;
  float* to;
  int64_t part;
  int32_t tiles, turned;
  Image<true, float> image;
  Columns<float> gradient;
};

template <class T, class Number>
struct PanelSums {
  using Shape = T;
  using Operands = typename std::conditional<T::kHalves, HalvesOperands, PanelOperands<Number>>::type;
  enum : bool { kHalves = T::kHalves };
  enum : int { kPanel = kHalves ? 32 : 64, kPanels = T::kM / kPanel, kPanelBytes = kPanel * ptx::kMapBytes };
  struct Tile {
    int32_t part, panel, n, first, steps;
  };
  FASTCNN_INLINED static Tile tile(const Operands& p, int t) {
    const int part = t / p.of.tiles_of_part, rest = t - part * p.of.tiles_of_part;
    const int first = part * p.of.steps_per_part, left = p.of.steps - first;
    return {part, rest / p.of.tiles_n * kPanels, rest % p.of.tiles_n * T::kN, first,
            left < p.of.steps_per_part ? left : p.of.steps_per_part};
  }

  struct Loads {
    const Operands& p;
    const Tile tile;
    int step, panels;
    struct {
      int32_t channel, tap_h, tap_w;
    } of[kPanels];
    FASTCNN_INLINED Loads(const Operands& operands, const Tile& at)
        : p(operands), tile(at), step(at.first), panels(operands.of.panels - at.panel) {
      FASTCNN_UNROLL
      for (int i = 0; i < kPanels; ++i) {
        const int tap = (tile.panel + i) / p.of.chunks, chunk = tile.panel + i - tap * p.of.chunks;
        const int row = tap / p.of.taps_w;
        of[i] = {chunk * kPanel, row * p.of.dilation, (tap - row * p.of.taps_w) * p.of.dilation};
      }
    }
    FASTCNN_INLINED ptx::PixelsPlace first_pixel() const {
      const int m = step * kPanel, rows = m / p.of.out_w, n = rows / p.of.out_h;
      const PixelClassOfMap& c = p.of.pixels.of[0];
      return {0,
              c.w.lower + (m - rows * p.of.out_w) * p.of.pixels.base_step,
              c.h.lower + (rows - n * p.of.out_h) * p.of.pixels.base_step,
              n,
              0,
              0};
    }
    FASTCNN_INLINED void operator()(uint32_t to, uint32_t barrier) {
      const int missing = panels < kPanels ? kPanels - panels : 0;
      ptx::arrive_expecting(barrier, uint32_t(T::kStageBytes - missing * kPanelBytes));
      ptx::PixelsPlace at = first_pixel();
      FASTCNN_UNROLL
      for (int i = 0; i < kPanels; ++i) {
        if (i >= panels) break;
        at.channel = of[i].channel, at.tap_h = of[i].tap_h, at.tap_w = of[i].tap_w;
        ptx::load_pixels(to + uint32_t(i * kPanelBytes), &p.x, barrier, at);
      }
      const uint32_t of_dy = to + uint32_t(T::kBytesA);
      if constexpr (kHalves) {
        for (int half = 0; half < 2; ++half)
          ptx::load_box(of_dy + uint32_t(half * T::kN * ptx::kMapBytes), &p.dy, barrier,
                        {step * kPanel, tile.n, half});
      } else {
        for (int i = 0; i < T::kN / kPanel; ++i)
          ptx::load_box(of_dy + uint32_t(i * kPanelBytes), &p.dy, barrier,
                        {tile.n + i * kPanel, step * kPanel, 0});
      }
      ++step;
    }
  };

  FASTCNN_INLINED static int next() { return 16 * ptx::kMapBytes >> 4; }  // pixels of a product
  FASTCNN_INLINED static uint64_t operand_a(uint32_t address) { return ptx::operand_across(address, 0); }
  FASTCNN_INLINED static uint64_t operand_b(uint32_t address) {
    return ptx::operand_across(address, kPanelBytes);
  }
  FASTCNN_INLINED static void multiply(float (&sum)[T::kN / 2], uint64_t a, uint64_t b, bool add) {
    ptx::multiply_across(sum, a, b, add);
  }
  // Of eight pixels the even ones come first, as in transpose_halves(): the lanes of a warp, which have eight
  // channels of four pixels each, so read from as many banks.
  FASTCNN_INLINED static void load_a(float (&x)[kProducts][4], uint32_t stage, int block) {
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) % kGroup / kWarp;
    const uint32_t panel = stage + uint32_t((2 * block + warp / 2) * kPanelBytes + lane / 4 % 4 * 4);
    FASTCNN_UNROLL
    for (int r = 0; r < 4; ++r) {
      const int pixel = lane % 4 * 2 + r / 2, sixteen = warp % 2 * 4 + r % 2 * 2 + lane / 16;
      const uint32_t at = panel + uint32_t(pixel * ptx::kMapBytes + (sixteen ^ pixel) * 16);
      FASTCNN_UNROLL
      for (int i = 0; i < kProducts; ++i) x[i][r] = ptx::load_float(at + uint32_t(8 * i * ptx::kMapBytes));
    }
  }

  // Row m of dw; -1: there is none. A panel that is none has sums of what was in its place before.
  FASTCNN_INLINED static int row(const Operands& p, const Tile& tile, int block, int half) {
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) % kGroup / kWarp;
    const int place = 64 * block + 16 * warp + 8 * half + lane / 4, panel = tile.panel + place / kPanel;
    const int tap = panel / p.of.chunks;
    const int channel = (panel - tap * p.of.chunks) * kPanel + place % kPanel;
    return panel < p.of.panels && channel < p.of.channels ? tap * p.of.channels + channel : -1;
  }
  FASTCNN_INLINED static int column(const Tile& tile, int j) {
    return tile.n + 8 * j + 2 * (int(threadIdx.x) % 4);
  }

  FASTCNN_INLINED static void store(const Operands& p, const Tile& tile, int block,
                                    const float (&sum)[T::kN / 2]) {
    bool finite = true;
    FASTCNN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int m = row(p, tile, block, half);
      if (m < 0) continue;
      FASTCNN_UNROLL
      for (int j = 0; j < T::kN / 8; ++j) {
        const int n = column(tile, j);
        if (n >= p.of.columns) continue;  // an even number
        const float left = sum[4 * j + 2 * half], right = sum[4 * j + 2 * half + 1];
        if constexpr (kHalves) {
          finite = finite && fabsf(left) + fabsf(right) <= kLargest;
          *place(p, tile, m, n) = left, *place(p, tile, m, n + 1) = right;
        } else {
          const int64_t at = tile.part * p.part + int64_t(m) * p.of.columns + n;
          if (p.parts)
            Together<float, 2>{{left, right}}.put(p.parts + at);
          else
            Together<Number, 2>{{Number(left), Number(right)}}.put(p.dw + at);
        }
      }
    }
    if constexpr (kHalves)
      if (!finite) take_again(p, tile, block);
  }
  FASTCNN_INLINED static float* place(const Operands& p, const Tile& tile, int m, int n) {
    const int64_t at = p.turned ? int64_t(n) * p.of.channels + m : int64_t(m) * p.of.columns + n;
    return p.to + tile.part * p.part + at;
  }
  // Infinities and NaN have no halves. From memory: the sums in registers would have to stay there meanwhile.
  FASTCNN_INLINED static void take_again(const Operands& p, const Tile& tile, int block) {
    const int begin = tile.first * kPanel, pixels = p.image.pixels;
    const int end = begin + tile.steps * kPanel < pixels ? begin + tile.steps * kPanel : pixels;
    FASTCNN_ROLLED
    for (int half = 0; half < 2; ++half) {
      const int m = row(p, tile, block, half);
      if (m < 0) continue;
      FASTCNN_ROLLED
      for (int i = 0; i < T::kN / 4; ++i) {
        const int n = column(tile, i / 2) + i % 2;
        if (n >= p.of.columns) continue;
        float* const sum = place(p, tile, m, n);
        if (!(fabsf(*sum) <= kLargest))
          *sum = sum_in_order(p.image, p.gradient, {p.turned ? n : m, p.turned ? m : n, begin, end});
      }
    }
  }
  FASTCNN_INLINED static void measure(const Operands&, const Tile&, int) {}
};

constexpr int kSquare = 32;

// dy [pixels, columns] as its halves [2, columns, pixels], of which there are `padded`, those behind the last
// being 0. Of eight pixels the even ones come first.
__global__ void __launch_bounds__(kThreads)
    transpose_halves(const float* dy, float* halves, int pixels, int columns, int padded) {
  __shared__ float square[kSquare][kSquare + 1];
  const int across = (columns + kSquare - 1) / kSquare;
  const int pixel0 = int(blockIdx.x) / across * kSquare, column0 = int(blockIdx.x) % across * kSquare;
  const int outer = int(threadIdx.x) / 8, inner = int(threadIdx.x) % 8;
  {
    const int pixel = pixel0 + outer, column = column0 + 4 * inner;
    float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (pixel < pixels && column < columns)
      four = *reinterpret_cast<const float4*>(dy + int64_t(pixel) * columns + column);
    float* const to = &square[outer][4 * inner];
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
  }
  __syncthreads();
  if (column0 + outer >= columns) return;
  Together<float, 4> big, small;
  FASTCNN_UNROLL
  for (int i = 0; i < 4; ++i) {
    const float x = square[inner / 2 * 8 + inner % 2 + 2 * i][outer];
    const uint32_t bits = big_half(x);
    big.of[i] = __int_as_float(int32_t(bits)), small.of[i] = __int_as_float(int32_t(small_half(x, bits)));
  }
  float* const to = halves + int64_t(column0 + outer) * padded + pixel0 + 4 * inner;
  big.put(to), small.put(to + int64_t(columns) * padded);
}

// Tiles that are worth their copies have many panels: in bfloat16 a group of warps has 2 of 4.
template <class Number, int kN>
using Bfloat16Sums = PanelSums<MapTile<256, kN>, Number>;
template <int kN>
using FloatSums = PanelSums<MapTile<128, kN, true>, float>;

struct Tiling {
  ConvWalk walk;
  bool turned;  // dy in place of x
  int32_t n;
  Panels of;
};
Tiling bfloat16_tiling(const ConvWalk& w) {
  const int32_t n = w.k > 64 ? 128 : 64;
  return {w, false, n, Panels::of(w, {256, n, 64})};
}

// Microseconds, roughly: of launches; of steps, which at the full rate of the tensor cores take 0.88 for 128
// columns, of which shared memory and the L2 cache allow some 0.7, and less for few; and of what is moved.
double cost_of(const Tiling& t) {
  const ConvWalk& w = t.walk;
  const double steps = double(ceil_div(t.of.tiles(), kBlocks90)) * t.of.steps_per_part;
  const double parts = t.of.parts > 1 ? t.of.parts : 0;
  return 4 + 0.0075 * steps * (t.n + 48) +
         4e-7 * (12 * double(count_of_y(w)) + 8 * parts * double(count_of_w(w)));
}
// Of the kernel of 8.0, whose tiles are of 64 rows and columns or twice as many.
double cost_on_80(const ConvWalk& w) {
  const double m = 64 * double(ceil_div(w.taps() * w.c, 64)), n = 64 * double(ceil_div(w.k, 64));
  return 2 + 1.25e-7 * double(w.outputs()) * m * n;
}
bool is_pointwise(const ConvWalk& w) {
  const auto single = [](const ConvAxis& a) { return a.taps == 1 && a.stride == 1 && a.pad == 0; };
  return single(w.h) && single(w.w);
}
Tiling float_tiling(const ConvWalk& w) {
  const auto of = [](const ConvWalk& walk, bool turned) {
    const auto tiling = [&](int32_t n) { return Tiling{walk, turned, n, Panels::of(walk, {128, n, 32})}; };
    if (walk.k <= 64) return tiling(walk.k > 32 ? 64 : walk.k > 16 ? 32 : 16);
    const Tiling wide = tiling(128), narrow = tiling(64);
    return cost_of(narrow) < cost_of(wide) ? narrow : wide;
  };
  const Tiling plain = of(w, false);
  if (!is_pointwise(w)) return plain;
  ConvWalk other = w;
  other.c = other.group_c = w.k, other.k = other.group_k = w.c;
  other.image = w.gradient, other.gradient = w.image;
  const Tiling turned = of(other, true);
  return cost_of(turned) < cost_of(plain) ? turned : plain;
}

bool of_floats(const OpDescriptor& op) { return op.precision == Precision::kFloat32; }
Tiling tiling_of(const OpDescriptor& op, const ConvWalk& w) {
  return of_floats(op) ? float_tiling(w) : bfloat16_tiling(w);
}

// What is in the workspace: x and dy rounded, unless they lie in memory so, or dy's halves; and the parts of
// dw.
struct Numbers {
  int64_t x, dy, dw;
  size_t bytes_of_x, bytes_of_dy;
  Numbers(const OpDescriptor& op, const Tiling& t)
      : x(count_of_x(t.walk)), dy(count_of_y(t.walk)), dw(count_of_w(t.walk)), bytes_of_x(0), bytes_of_dy(0) {
    if (of_floats(op))
      bytes_of_dy = 2 * sizeof(float) * size_t(t.walk.k) * size_t(t.of.padded());
    else if (op.storage == Storage::kFloat32)
      bytes_of_x = 2 * size_t(x), bytes_of_dy = 2 * size_t(dy);
  }
  size_t place_of_dy() const { return behind(bytes_of_x); }
  size_t place_of_parts() const { return place_of_dy() + behind(bytes_of_dy); }
};

ptx::Pixels pixels_of(const Tiling& t, const ptx::MapData& x) {
  ptx::Pixels from = {};
  from.of = x, from.n = t.walk.n, from.h = t.walk.h.in, from.w = t.walk.w.in, from.c = t.walk.c;
  from.count = x.numbers();
  return pixels_of(t.of.pixels, t.of.pixels.of[0], from);
}

// False: not with these arrays.
template <class Number>
bool run_panels(const Prepared& step, const Operands& o, Context& context) {
  const Tiling tiling = bfloat16_tiling(state<ConvWalk>(step));
  const Numbers numbers(step.op, tiling);
  char* const memory = static_cast<char*>(context.workspace);
  PanelOperands<Number> p = {};
  p.of = tiling.of, p.part = numbers.dw, p.tiles = p.of.tiles(), p.dw = output<Number>(o, 0);
  const bool split = p.of.parts > 1, rounds = numbers.bytes_of_x > 0;
  p.parts =
      split ? reinterpret_cast<float*>(memory + numbers.place_of_parts()) : parts_of(step, false, o, context);
  if (!aligned_to(o.in[0], 16) || !aligned_to(o.in[1], 16)) return false;
  if (!aligned_to(p.parts, 8) || !aligned_to(p.dw, 2 * sizeof(Number))) return false;
  void* const new_dy = memory + numbers.place_of_dy();
  const ptx::Matrices dy = {{rounds ? new_dy : o.in[1], 2}, tiling.walk.k, tiling.walk.outputs(), 1, 64};
  if (!ptx::make_map(&p.x, pixels_of(tiling, {rounds ? memory : o.in[0], 2}))) return false;
  if (!ptx::make_map(&p.dy, dy)) return false;
  if (rounds) {
    rounded(context, input(o, 0), numbers.x, memory);
    rounded(context, input(o, 1), numbers.dy, new_dy);
  }
  tiling.n > 64 ? start_maps<Bfloat16Sums<Number, 128>>(context, p)
                : start_maps<Bfloat16Sums<Number, 64>>(context, p);
  if (split) add_parts<Number>(context, step, {p.parts, numbers.dw, p.of.parts}, o);
  return true;
}
bool run_halves(const Prepared& step, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(step);
  const Tiling tiling = float_tiling(w);
  const ConvWalk& walk = tiling.walk;
  const Numbers numbers(step.op, tiling);
  const float *const x = input(o, tiling.turned), *const dy = input(o, !tiling.turned);
  if (!aligned_to(x, 16) || !aligned_to(dy, 16)) return false;
  char* const memory = static_cast<char*>(context.workspace);
  float* const halves = reinterpret_cast<float*>(memory);
  HalvesOperands p = {};
  p.of = tiling.of, p.part = numbers.dw, p.tiles = p.of.tiles(), p.turned = tiling.turned;
  const bool split = p.of.parts > 1;
  p.to = split ? reinterpret_cast<float*>(memory + numbers.place_of_parts()) : output(o, 0);
  p.image = Image<true, float>::of(w, input(o, 0)), p.gradient = {input(o, 1), w.k, w.k};
  const int32_t padded = p.of.padded();
  const ptx::Matrices of_dy = {{halves, 4}, padded, walk.k, 2, tiling.n};
  if (!ptx::make_map(&p.x, pixels_of(tiling, {x, 4, true})) || !ptx::make_map(&p.dy, of_dy)) return false;
  FASTCNN_LAUNCH(transpose_halves, unsigned(padded / kSquare * ceil_div(walk.k, kSquare)), kThreads,
                 stream_of(context))
  (dy, halves, walk.outputs(), walk.k, padded);
  constexpr void (*kStart[])(Context&, const HalvesOperands&) = {
      start_maps<FloatSums<16>>, start_maps<FloatSums<32>>, start_maps<FloatSums<64>>,
      start_maps<FloatSums<128>>};
  kStart[(tiling.n > 16) + (tiling.n > 32) + (tiling.n > 64)](context, p);
  if (split) sum_parts(context, {p.to, numbers.dw, p.of.parts}, output(o, 0));
  return true;
}

}  // namespace

bool supports_conv2d_wgrad_map(const OpDescriptor& op) {
  if (op.precision == Precision::kTf32 || !supports_conv2d_wgrad_tensor(op)) return false;
  const ConvWalk w = walk_of(op.conv2d_wgrad);
  const ptx::MapData number = {nullptr, of_floats(op) ? 4 : 2};
  if (w.groups > 1 || !flat(w.d) || w.c * number.bytes % 16 || w.k * number.bytes % 16) return false;
  if (w.h.stride != w.w.stride || w.h.dilation != w.w.dilation) return false;
  const Tiling tiling = tiling_of(op, w);
  const Numbers numbers(op, tiling);
  if (of_floats(op) && (op.storage != Storage::kFloat32 || cost_of(tiling) > cost_on_80(w))) return false;
  if (numbers.bytes_of_x && products_of(w) < kLeastProducts * double(numbers.x + numbers.dy)) return false;
  return fits_maps(tiling.of.pixels, pixels_of(tiling, number));
}
void prepare_conv2d_wgrad_map(Prepared* p) {
  prepare_conv2d_wgrad_tensor(p);
  const Tiling tiling = tiling_of(p->op, state<ConvWalk>(*p));
  const Numbers numbers(p->op, tiling);
  const size_t parts = tiling.of.parts > 1 ? sizeof(float) * size_t(tiling.of.parts * numbers.dw) : 0;
  const size_t bytes = numbers.place_of_parts() + parts;
  if (p->workspace_bytes < bytes) p->workspace_bytes = bytes;
}
void run_conv2d_wgrad_map(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  const auto run = of_floats(p.op) ? run_halves : FASTCNN_BY_STORAGE(p, run_panels);
  if (!run(p, o, context)) return run_conv2d_wgrad_tensor(p, o, context);
  if (!p.op.epilogue.bias) return;
  p.op.storage == Storage::kFloat32
      ? column_sum(context, input(o, 1), w.outputs(), w.k, output(o, 1))
      : column_sum(context, input<Bfloat16>(o, 1), w.outputs(), w.k, output(o, 1));
}

}  // namespace cuda
}  // namespace fastcnn
