// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <pybind11/pybind11.h>

namespace fastcnn {

void bind_ops(pybind11::module_& m);

// One for each ops_<family>.cpp.
void bind_conv_ops(pybind11::module_& m);
void bind_separable_ops(pybind11::module_& m);
void bind_pool_ops(pybind11::module_& m);
void bind_pool_other_ops(pybind11::module_& m);
void bind_gemm_ops(pybind11::module_& m);
void bind_activation_ops(pybind11::module_& m);
void bind_norm_ops(pybind11::module_& m);
void bind_loss_ops(pybind11::module_& m);
void bind_optimizer_ops(pybind11::module_& m);
void bind_merge_ops(pybind11::module_& m);
void bind_shape_ops(pybind11::module_& m);
void bind_augment_ops(pybind11::module_& m);

}  // namespace fastcnn
