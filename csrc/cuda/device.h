// SPDX-License-Identifier: Apache-2.0
// What the GPU's Backend does besides kernels, and how errors of the run-time library travel.
#pragma once
#include <cuda_runtime.h>
#include <stdio.h>

#include "../backend.h"

namespace fastcnn {
namespace cuda {

template <class... Values>
Code failed(Status* status, Code code, const char* format, Values... values) {
  status->code = code;
  snprintf(status->message, sizeof status->message, format, values...);
  return code;
}

// 10 major + minor of the current GPU, or why there is none to be used.
Code capability(int* sm, Status* status);

extern const Device kDevice;

}  // namespace cuda
}  // namespace fastcnn
