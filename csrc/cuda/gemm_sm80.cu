// SPDX-License-Identifier: Apache-2.0
// The matrix product on tensor cores.
#include "gemm.h"
#include "tensor.h"

namespace fastcnn {
namespace cuda {

bool supports_gemm_tensor(const OpDescriptor& op) {
  return Tensor::takes(op, op.gemm.k) && supports_gemm(op);
}
void prepare_gemm_tensor(Prepared* p) { prepare_gemm(p); }
void run_gemm_tensor(const Prepared& p, const Operands& o, Context& context) {
  run_gemm<Tensor>(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
