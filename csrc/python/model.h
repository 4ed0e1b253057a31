// SPDX-License-Identifier: Apache-2.0
// Binds _native.Model and _native.Session, and the memory planner for its test.
#pragma once
#include <pybind11/pybind11.h>

namespace fastcnn {

void bind_model(pybind11::module_& m);

}  // namespace fastcnn
