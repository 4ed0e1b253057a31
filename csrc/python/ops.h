// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <pybind11/pybind11.h>

namespace fastcnn {

void bind_ops(pybind11::module_& m);

}  // namespace fastcnn
