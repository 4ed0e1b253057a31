// SPDX-License-Identifier: Apache-2.0
// Weight gradients in bfloat16 on compute capability 9.0:
//
//   dw[tap, c, k] = sum over pixels of x[pixel's tap, c] dy[pixel, k]
//
// Neither operand lies along the sum, which the products of bfloat16 take as it is: a step is 64 pixels, by
// rows of 64 channels. The rows of a tile are panels of 64 channels of a tap each, so that one load of dy
// serves several taps. The pixels are cut by shape alone; the parts of dw are added in their order.
#include "conv.h"
#include "pixels.h"
#include "round_sm90.h"
#include "tensor_sm90.h"

namespace fastcnn {
namespace cuda {

namespace {

constexpr int kPanel = 64;      // channels, and pixels of a step
constexpr int kLeastSteps = 8;  // of a part

// How dw is made: tiles of a part after each other, so that blocks at work at a time read the same pixels.
struct Panels {
  PixelProduct pixels;  // of the forward pass
  int32_t chunks, panels, taps_w, dilation;
  int32_t channels, columns;
  int32_t tiles_n, tiles_of_part, parts, steps, steps_per_part;

  static Panels of(const ConvWalk& w, int32_t tile_m, int32_t tile_n) {
    Panels p = {};
    p.pixels = fprop_product(w, {kPanel, tile_n, kPanel});
    p.chunks = p.pixels.chunks, p.panels = p.chunks * w.taps();
    p.taps_w = w.w.taps, p.dilation = w.h.dilation, p.channels = w.c, p.columns = w.k;
    p.tiles_n = cuda::tiles_of(w.k, tile_n);
    p.tiles_of_part = cuda::tiles_of(p.panels, tile_m / kPanel) * p.tiles_n;
    p.steps = cuda::tiles_of(w.outputs(), kPanel);
    const int32_t room = kBlocks90 / p.tiles_of_part, most = p.steps / kLeastSteps;
    const int32_t parts = room < most ? room : most;
    p.steps_per_part = cuda::tiles_of(p.steps, parts < 1 ? 1 : parts);
    p.parts = cuda::tiles_of(p.steps, p.steps_per_part);
    return p;
  }
};

template <class Number>
struct PanelOperands {
  ptx::Map x, dy;
  Panels of;
  Results<Number> to;  // dw, or its parts
  int64_t part;        // numbers of dw
  int32_t tiles;
};

template <class T, class Number>
struct PanelSums {
  using Shape = T;
  using Operands = PanelOperands<Number>;
  struct Tile {
    int32_t part, panel, n, first, steps;
  };
  FASTCNN_INLINED static Tile tile(const Operands& p, int t) {
    const int part = t / p.of.tiles_of_part, rest = t - part * p.of.tiles_of_part;
    const int first = part * p.of.steps_per_part, left = p.of.steps - first;
    return {part, rest / p.of.tiles_n * (T::kM / kPanel), rest % p.of.tiles_n * T::kN, first,
            left < p.of.steps_per_part ? left : p.of.steps_per_part};
  }

  struct Loads {
    const Operands& p;
    const Tile tile;
    int step;
    FASTCNN_INLINED Loads(const Operands& operands, const Tile& of) : p(operands), tile(of), step(of.first) {}
    FASTCNN_INLINED void operator()(uint32_t to, uint32_t barrier) {
      constexpr int kPanels = T::kM / kPanel;
      const int left = p.of.panels - tile.panel, panels = left < kPanels ? left : kPanels;
      ptx::arrive_expecting(barrier, uint32_t(T::kStageBytes - (kPanels - panels) * T::kPanelBytes));
      ptx::PixelsPlace at = p.of.pixels.first_pixel(p.of.pixels.of[0], step * kPanel);
      for (int i = 0; i < panels; ++i) {
        const int tap = (tile.panel + i) / p.of.chunks, chunk = tile.panel + i - tap * p.of.chunks;
        const int row = tap / p.of.taps_w;
        at.channel = chunk * kPanel, at.tap_h = row * p.of.dilation;
        at.tap_w = (tap - row * p.of.taps_w) * p.of.dilation;
        ptx::load_pixels(to + uint32_t(i * T::kPanelBytes), &p.x, barrier, at);
      }
      for (int i = 0; i < T::kN / kPanel; ++i)
        ptx::load_box(to + uint32_t(T::kBytesA + i * T::kPanelBytes), &p.dy, barrier,
                      {tile.n + i * kPanel, step * kPanel, 0});
      ++step;
    }
  };

  FASTCNN_INLINED static int next() { return 16 * ptx::kMapBytes >> 4; }  // pixels of a product
  FASTCNN_INLINED static uint64_t operand_a(uint32_t address) { return ptx::operand_across(address, 0); }
  FASTCNN_INLINED static uint64_t operand_b(uint32_t address) {
    return ptx::operand_across(address, T::kPanelBytes);
  }
  FASTCNN_INLINED static void multiply(float (&sum)[T::kN / 2], uint64_t a, uint64_t b, bool add) {
    ptx::multiply_across(sum, a, b, add);
  }

  // A panel that is none has sums of what was in its place before.
  FASTCNN_INLINED static void store(const Operands& p, const Tile& tile, int block,
                                    const float (&sum)[T::kN / 2]) {
    const int panel = tile.panel + block;
    if (panel >= p.of.panels) return;
    const int tap = panel / p.of.chunks, first = (panel - tap * p.of.chunks) * kPanel;
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) % kGroup / kWarp;
    FASTCNN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int channel = first + 16 * warp + 8 * half + lane / 4;
      if (channel >= p.of.channels) continue;
      const int64_t row = tile.part * p.part + (int64_t(tap) * p.of.channels + channel) * p.of.columns;
      FASTCNN_UNROLL
      for (int j = 0; j < T::kN / 8; ++j) {
        const int n = tile.n + 8 * j + 2 * (lane % 4);
        if (n >= p.of.columns) continue;  // a multiple of 8
        p.to.put_two(sum[4 * j + 2 * half], sum[4 * j + 2 * half + 1], row + n, n);
      }
    }
  }
  FASTCNN_INLINED static void measure(const Operands&, const Tile&, int) {}
};

// Worth their copies, dw has many panels: of 4 a group of warps has 2.
template <class Number>
using Wide = PanelSums<MapTile<256, 128>, Number>;
template <class Number>
using Narrow = PanelSums<MapTile<256, 64>, Number>;
Panels panels_of(const ConvWalk& w) { return Panels::of(w, 256, w.k > 64 ? 128 : 64); }

// What is in the workspace: x and dy rounded, unless they lie in memory so, and the parts of dw.
struct Numbers {
  int64_t x, dy, dw;
  bool rounds;
  Numbers(const ConvWalk& w, Storage storage)
      : x(w.n * w.image),
        dy(w.n * w.gradient),
        dw(int64_t(w.taps()) * w.c * w.k),
        rounds(storage == Storage::kFloat32) {}
  size_t place_of_dy() const { return rounds ? behind(2 * size_t(x)) : 0; }
  size_t place_of_parts() const { return place_of_dy() + (rounds ? behind(2 * size_t(dy)) : 0); }
};

ptx::Pixels pixels_of(const ConvWalk& w, const Panels& p, const void* x) {
  ptx::Pixels from = {};
  from.of = {x, 2}, from.n = w.n, from.h = w.h.in, from.w = w.w.in, from.c = w.c, from.count = kPanel;
  return pixels_of(p.pixels, p.pixels.of[0], from);
}

// False: not with these arrays.
template <class Number>
bool run_panels(const Prepared& step, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(step);
  const Numbers numbers(w, step.op.storage);
  char* const memory = static_cast<char*>(context.workspace);
  PanelOperands<Number> p = {};
  p.of = panels_of(w);
  p.part = numbers.dw, p.tiles = p.of.tiles_of_part * p.of.parts;
  const bool split = p.of.parts > 1;
  auto* const parts =
      split ? reinterpret_cast<float*>(memory + numbers.place_of_parts()) : parts_of(step, false, o, context);
  p.to = {output<Number>(o, 0), parts, {}};
  if (!aligned_to(o.in[0], 16) || !aligned_to(o.in[1], 16) || !p.to.aligned_to_twos()) return false;
  const void *const x = numbers.rounds ? memory : o.in[0], *const of_dy = numbers.rounds
                                                                              ? memory + numbers.place_of_dy()
                                                                              : o.in[1];
  const ptx::Matrices dy = {{of_dy, 2}, w.k, w.outputs(), 1, kPanel};
  if (!ptx::make_map(&p.x, pixels_of(w, p.of, x)) || !ptx::make_map(&p.dy, dy)) return false;
  if (numbers.rounds) {
    rounded(context, input(o, 0), numbers.x, memory);
    rounded(context, input(o, 1), numbers.dy, memory + numbers.place_of_dy());
  }
  w.k > 64 ? start_maps<Wide<Number>>(context, p) : start_maps<Narrow<Number>>(context, p);
  if (split) add_parts<Number>(context, step, {parts, numbers.dw, p.of.parts}, o);
  return true;
}

}  // namespace

bool supports_conv2d_wgrad_map(const OpDescriptor& op) {
  if (op.precision != Precision::kBfloat16 || !supports_conv2d_wgrad_tensor(op)) return false;
  const ConvWalk w = walk_of(op.conv2d_wgrad);
  const Numbers numbers(w, op.storage);
  if (w.groups > 1 || !flat(w.d) || w.c % 8 || w.k % 8) return false;
  if (w.h.stride != w.w.stride || w.h.dilation != w.w.dilation) return false;
  if (numbers.rounds && products_of(w) < kLeastProducts * double(numbers.x + numbers.dy)) return false;
  const Panels p = panels_of(w);
  return fits_maps(p.pixels, pixels_of(w, p, nullptr));
}
void prepare_conv2d_wgrad_map(Prepared* p) {
  prepare_conv2d_wgrad_tensor(p);
  const ConvWalk& w = state<ConvWalk>(*p);
  const Numbers numbers(w, p->op.storage);
  const int32_t parts = panels_of(w).parts;
  const size_t bytes =
      numbers.place_of_parts() + (parts > 1 ? sizeof(float) * size_t(parts * numbers.dw) : 0);
  if (p->workspace_bytes < bytes) p->workspace_bytes = bytes;
}
void run_conv2d_wgrad_map(const Prepared& p, const Operands& o, Context& context) {
  const ConvWalk& w = state<ConvWalk>(p);
  if (!FASTCNN_BY_STORAGE(p, run_panels)(p, o, context)) return run_conv2d_wgrad_tensor(p, o, context);
  if (!p.op.epilogue.bias) return;
  p.op.storage == Storage::kFloat32
      ? column_sum(context, input(o, 1), w.outputs(), w.k, output(o, 1))
      : column_sum(context, input<Bfloat16>(o, 1), w.outputs(), w.k, output(o, 1));
}

}  // namespace cuda
}  // namespace fastcnn
