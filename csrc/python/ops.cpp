// SPDX-License-Identifier: Apache-2.0
#include "ops.h"

#include "array.h"

namespace fastcnn {

void bind_ops(py::module_& m) {
  bind_conv_ops(m);
  bind_separable_ops(m);
  bind_pool_ops(m);
  bind_pool_other_ops(m);
  bind_gemm_ops(m);
  bind_activation_ops(m);
  bind_norm_ops(m);
  bind_loss_ops(m);
  bind_optimizer_ops(m);
  bind_merge_ops(m);
  bind_shape_ops(m);
  bind_augment_ops(m);
}

}  // namespace fastcnn
