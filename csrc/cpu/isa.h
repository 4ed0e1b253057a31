// SPDX-License-Identifier: Apache-2.0
// What the processor can run and the system saves at a context switch.
#pragma once
#include <cstdint>

namespace fastcnn {
namespace cpu {

enum Feature : uint32_t {
  kAvx2 = 1,
  kFma = 2,
  kAvx512 = 4,  // F, BW, VL and DQ: what the avx512 files are compiled for
  kNeon = 8,
  kAvx512Bf16 = 16,
  kSlowBf16 = 32,  // that, and products of floats are faster
};

uint32_t detected_features();

}  // namespace cpu
}  // namespace fastcnn
