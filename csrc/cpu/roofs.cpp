// SPDX-License-Identifier: Apache-2.0
// The roofs that benchmarks divide by: the best of a few short runs on all threads at once.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>

#include "../base/parallel.h"
#include "cpu.h"
#include "kernels.h"
#include "kernels/tile.h"

namespace fastcnn {
namespace cpu {

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr int kRounds = 7;

}  // namespace

double fma_peak(int threads) {
  constexpr int64_t kTurns = 200000;  // about 1 ms
  double best = 0;
  for (int round = 0; round < kRounds; ++round)
    run_team(threads, [&](Member& me) {
      kernels().tile->multiply_add(kTurns / 10);
      me.barrier();
      const double start = now();
      const int64_t flops = kernels().tile->multiply_add(kTurns);
      me.barrier();
      if (me.index == 0) best = std::max(best, 1e-9 * flops * me.count / (now() - start));
    });
  return best;
}

double copy_bandwidth(int threads) {
  // Larger than most caches together; each thread touches its own part first.
  constexpr size_t kBytes = size_t{256} << 20;
  const std::unique_ptr<char[]> from(new (std::nothrow) char[kBytes]), to(new (std::nothrow) char[kBytes]);
  if (!from || !to) fail(Code::kMemory, "copy_bandwidth: no memory for two buffers of %zu bytes", kBytes);
  double best = 0;
  run_team(threads, [&](Member& me) {
    const size_t begin = kBytes / me.count * me.index, size = kBytes / me.count;
    std::memset(from.get() + begin, 1, size);
    std::memset(to.get() + begin, 2, size);
    for (int round = 0; round < kRounds; ++round) {
      me.barrier();
      const double start = now();
      std::memcpy(to.get() + begin, from.get() + begin, size);
      me.barrier();
      if (me.index == 0) best = std::max(best, 2e-9 * size * me.count / (now() - start));
    }
  });
  return best;
}

}  // namespace cpu
}  // namespace fastcnn
