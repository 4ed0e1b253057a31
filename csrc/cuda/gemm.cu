// SPDX-License-Identifier: Apache-2.0
// The matrix product of every GPU.
#include "gemm.h"

namespace fastcnn {
namespace cuda {

bool supports_gemm_tiled(const OpDescriptor& op) { return supports_gemm(op); }
void prepare_gemm_tiled(Prepared* p) { prepare_gemm(p); }
void run_gemm_tiled(const Prepared& p, const Operands& o, Context& context) {
  run_gemm<Generic>(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
