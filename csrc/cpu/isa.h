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
  kSlowBf16 = 32,     // that, and products of floats are faster
  kAmxBf16 = 64,      // matrices of bfloat16
  kHalfAvx512 = 128,  // begins half as many operations on 512 bits as on 256
};

uint32_t detected_features();

// Asks Linux for AMX's tiles, which it gives to a whole process, for good: signal handlers then need larger
// stacks, so that whoever multiplies in float32 is to be spared it.
bool may_use_tiles();

}  // namespace cpu
}  // namespace fastcnn
