// SPDX-License-Identifier: Apache-2.0
#include "precision.h"

#include "../cpu/cpu.h"
#include "array.h"

namespace fastcnn {
namespace {

Precision precision_of_steps = Precision::kFloat32;  // under the GIL

}  // namespace

Precision cpu_bfloat16(const char* op) {
  if (const char* lacking = cpu::bfloat16_missing())
    fail(Code::kDevice, "%s: precision is 'bfloat16', which needs AMX or AVX512-BF16 (%s); wanted 'float32'",
         op, lacking);
  return Precision::kBfloat16;
}

void set_cpu_precision(py::handle precision) {
  const char* op = "set_cpu_precision";
  precision_of_steps =
      choice(op, "precision", precision, {"float32", "bfloat16"}) ? cpu_bfloat16(op) : Precision::kFloat32;
}

Precision eager_cpu_precision() { return precision_of_steps; }

}  // namespace fastcnn
