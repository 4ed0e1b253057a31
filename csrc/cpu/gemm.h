// SPDX-License-Identifier: Apache-2.0
// What the matrix products share.
#pragma once
#include "blocking.h"

namespace fastcnn {
namespace cpu {

// Work of one core for some 3 and 12 microseconds: the first is worth a task of its own while there are few.
constexpr double kSmallTaskFlops = 250e3, kLargeTaskFlops = 1e6;
constexpr double kSmallTaskBytes = 128 << 10, kLargeTaskBytes = 512 << 10;

// Of each lane that works at once: less work and memory are worth a second thread in a region that is open,
// but not one of its own (64^3 took 1.15 times as long so with AVX-512; with AVX2 1.15 times on one thread,
// with AVX-512 at half its rate 1.2 times, and LeNet's step of 32 images 1.1 times where its small products
// had one thread). From there on there are two tasks at least (by one, 56^3 took 1.24 and 928x18x12 1.5 times
// as long at half the rate of AVX-512).
constexpr double kRegionFlops = 43e3, kRegionBytes = 16 << 10;

inline double gemm_flops(const GemmShape& v) { return 2.0 * v.m * v.n * v.k; }
inline double gemm_bytes(const GemmShape& v) {
  return 4.0 * (1.0 * v.m * v.k + 1.0 * v.k * v.n + 1.0 * v.m * v.n);
}

inline bool has_region_flops(const GemmShape& v) { return gemm_flops(v) >= kRegionFlops * lanes_at_once(); }
inline int64_t gemm_tasks(const GemmShape& v) {
  const double flops = gemm_flops(v), bytes = gemm_bytes(v), least = has_region_flops(v) ? 2 : 1;
  const double tasks = std::max({least, flops / kLargeTaskFlops, std::min(8.0, flops / kSmallTaskFlops),
                                 bytes / kLargeTaskBytes, std::min(2.0, bytes / kSmallTaskBytes)});
  return static_cast<int64_t>(std::min<double>(kTasks, tasks));
}

inline int64_t most_partial_sums(const GemmShape& v) {
  return std::max<int64_t>(1, static_cast<int64_t>((4 << 20) / (1.0 * v.m * v.n)));
}

// What follows the sums; arrays as in Tile.
struct Finish {
  float* y;  // [..][n]
  const float *bias, *mask;
  int64_t n;
  bool relu;
};
inline void finish_block(const Finish& f, Range rows, Range cols) {
  if (!f.relu && !f.bias && !f.mask) return;
  Tile t = {};
  t.accumulate = 1, t.relu = f.relu, t.y_row = f.n;
  const TileKernels& kernel = *kernels().tile;
  const int64_t panel = kernel.lanes * kernel.vectors;
  for (int64_t i = cols.begin; i < cols.end; i += panel) {
    t.bias = f.bias ? f.bias + i : nullptr;
    t.mask = f.mask ? f.mask + rows.begin * f.n + i : nullptr;
    t.y = f.y + rows.begin * f.n + i;
    kernel.strip(t, rows.end - rows.begin, static_cast<int>(std::min(panel, cols.end - i)),
                 kernel.max_rows[1]);
  }
}

// A product by register tiles (gemm.cpp), whose tasks have at most so many rows of many.
constexpr int64_t kBlockRows = 128;
struct ProductArrays {
  const float *a, *b, *bias, *mask;
  float *y, *workspace;
  bool relu;
};
void prepare_product(Prepared* p, const GemmShape& v);
void run_product(const Prepared& p, const GemmShape& v, const ProductArrays& x, Context& context);

}  // namespace cpu
}  // namespace fastcnn
