// SPDX-License-Identifier: Apache-2.0
// See bfloat16.h. The tile is that of AMX (amx.h), or that of floats: vdpbf16ps takes the place of a
// multiply-add, its broadcast pair that of a broadcast float.
#include "bfloat16.h"

#include "blocks.h"
#ifdef __AMX_BF16__
#include "amx.h"
#else
#include "strip.h"
#endif

namespace fastcnn {
namespace cpu {
namespace FASTCNN_ISA_NS {
namespace {

#ifdef __AMX_BF16__
constexpr Bfloat16Products kProducts = {strip_of_matrices, 2 * kTileRows, kTileWords, 0.25f};
#else
struct Pairs {
  typedef UVec Lanes;
  static constexpr bool kSlides = false;  // another 37 KB of code
  static constexpr bool kCopied = false;  // b is packed
  static FASTCNN_INLINED UVec get(const float* p) { return load_pairs(p); }
  static FASTCNN_INLINED UVec spread(const float* p) { return broadcast_pair(p); }
  static FASTCNN_INLINED Vec add(UVec a, UVec b, Vec sum) { return add_products(a, b, sum); }
};
// Tiles of three and four vectors would be half of the object.
void strip_of_pairs(const Tile& t, int64_t rows, int cols, int most) {
  by_two_vectors(t, cols, [&](const Tile& part, int width) {
    if (width > kLanes)
      strip_of<Pairs, 2>(part, rows, width - kLanes, most);
    else
      strip_of<Pairs, 1>(part, rows, width, most);
  });
}
constexpr Bfloat16Products kProducts = {strip_of_pairs, 0, 1, 1};
#endif

void round_along(const float* x, int64_t count, float* y) {
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes)
    store(y + i / 2, (Vec)pairs_along(load(x + i), load(x + i + kLanes)));
  const int rest = (int)(count - i);
  if (!rest) return;
  const int low = rest < kLanes ? rest : kLanes;
  const Vec a = load_n(x + i, low), b = rest > low ? load_n(x + i + kLanes, rest - low) : Vec{};
  store_n(y + i / 2, (Vec)pairs_along(a, b), (rest + 1) / 2);
}

void round_across(const float* first, const float* second, const float* scale, int64_t count, float* y) {
  for_each_block<1>(count, [&](auto block, int64_t i) FASTCNN_INLINED {
    Vec a = block.get(first + i), b = second ? block.get(second + i) : Vec{};
    if (scale) a = a * block.get(scale + i), b = b * block.get(scale + i);
    block.put(y + i, (Vec)pairs_across(a, b));
  });
}

void round_turned(const float* first, const float* second, int64_t count, int64_t channels, float* y) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const int across = (int)(channels - c < kLanes ? channels - c : kLanes);
    for (int64_t i = 0; i < count; i += kLanes) {
      const int down = (int)(count - i < kLanes ? count - i : kLanes);
      Vec v[kLanes];
      FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) {
        const int64_t at = (i + j) * channels + c;
        const bool reads = j < down;
        const Vec a = reads ? load_n(first + at, across) : Vec{};
        v[j] = (Vec)pairs_across(a, reads && second ? load_n(second + at, across) : Vec{});
      }
      transpose(v);
      FASTCNN_UNROLL for (int j = 0; j < kLanes; ++j) if (j < across)
          store_n(y + (c + j) * count + i, v[j], down);
    }
  }
}

}  // namespace

extern const Bfloat16Kernels bfloat16_kernels;
const Bfloat16Kernels bfloat16_kernels = {kProducts, round_along, round_across, round_turned};

}  // namespace FASTCNN_ISA_NS
}  // namespace cpu
}  // namespace fastcnn
