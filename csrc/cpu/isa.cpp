// SPDX-License-Identifier: Apache-2.0
// CPUID says what the processor has, XGETBV what the system keeps for us: AVX-512 on a system that does not
// save its registers would corrupt them. dispatch.cpp asks once.
#include "isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fastcnn {
namespace cpu {

#if defined(__x86_64__)

static uint64_t saved_state() {
  if (!__builtin_cpu_supports("avx")) return 0;  // also true only where XGETBV exists
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | static_cast<uint64_t>(high) << 32;
}

static bool has_amx(uint64_t saved) {
  uint32_t a, b, c, d = 0;
  constexpr uint32_t kBf16 = 1u << 22, kTiles = 1u << 24;
  constexpr uint64_t kConfigAndData = 0x60000;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (kBf16 | kTiles)) == (kBf16 | kTiles) &&
         (saved & kConfigAndData) == kConfigAndData;
}

// Zen 4: the one family of AMD's with AVX-512 whose units are 256 bits wide.
static bool halves_avx512() {
  uint32_t a = 0, b, c, d;
  if (!__builtin_cpu_is("amd") || !__get_cpuid(1, &a, &b, &c, &d)) return false;
  const uint32_t family = (a >> 8 & 15) + (a >> 20 & 255);
  return family == 0x19;
}

uint32_t detected_features() {
  __builtin_cpu_init();
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6;  // XMM and YMM; with the mask registers and both parts of ZMM
  const uint64_t saved = saved_state();
  uint32_t features = 0;
  if ((saved & kYmm) == kYmm) {
    if (__builtin_cpu_supports("avx2")) features |= kAvx2;
    if (__builtin_cpu_supports("fma")) features |= kFma;
  }
  if ((saved & kZmm) == kZmm && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    features |= kAvx512;
    if (halves_avx512()) features |= kHalfAvx512;
    if (__builtin_cpu_supports("avx512bf16")) features |= kAvx512Bf16;
    if ((features & kAvx512Bf16) && has_amx(saved)) features |= kAmxBf16;
    // They begin a vdpbf16ps in two clocks and four multiply-adds meanwhile (84 GFLOP/s beside 166 on a core
    // of Emerald Rapids), AMD's as many of either.
    if (__builtin_cpu_is("intel")) features |= kSlowBf16;
  }
#ifdef FASTCNN_EMULATE_AVX512  // those files are compiled for AVX2: cmake/isas.cmake
  if ((features & kAvx2) && (features & kFma)) features |= kAvx512 | kAvx512Bf16 | kAmxBf16;
#endif
  return features;
}

bool may_use_tiles() {
#if defined(__linux__) && !defined(FASTCNN_EMULATE_AVX512)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static const bool permitted = !syscall(SYS_arch_prctl, kRequestPermission, kTileData);
  return permitted;
#else
  return true;
#endif
}

#elif defined(__aarch64__)

uint32_t detected_features() { return kNeon; }  // part of the architecture
bool may_use_tiles() { return true; }

#else

uint32_t detected_features() { return 0; }
bool may_use_tiles() { return true; }

#endif

}  // namespace cpu
}  // namespace fastcnn
