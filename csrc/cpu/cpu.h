// SPDX-License-Identifier: Apache-2.0
// What plan/ and python/ may know of the CPU.
#pragma once
#include <string>
#include <vector>

#include "../backend.h"

namespace fastcnn {
namespace cpu {

const Backend& backend();

// Names of the instruction sets that this build holds and this processor supports, best first.
std::vector<std::string> supported_isas();

// Null where Precision::kBfloat16 can be had; else what lacks the instructions.
const char* bfloat16_missing();
// Whether it is had then in products large enough for it: not where the processor multiplies floats faster,
// unless FASTCNN_ISA names the instruction set.
bool bfloat16_pays();

// Measured roofs: GFLOP/s of independent fused multiply-adds, and GB/s (read plus written) of a large copy.
double fma_peak(int threads);
double copy_bandwidth(int threads);

}  // namespace cpu
}  // namespace fastcnn
