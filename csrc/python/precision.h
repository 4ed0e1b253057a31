// SPDX-License-Identifier: Apache-2.0
// Products of bfloat16 on the CPU, for those who ask.
#pragma once
#include <pybind11/pybind11.h>

#include "../backend.h"

namespace fastcnn {

// Precision::kBfloat16, or the error that says what is missing.
Precision cpu_bfloat16(const char* op);

// Of the steps that eager operators run on the CPU from now on: for tests and benchmarks of kernels.
void set_cpu_precision(pybind11::handle precision);
Precision eager_cpu_precision();

}  // namespace fastcnn
