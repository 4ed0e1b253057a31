// SPDX-License-Identifier: Apache-2.0
// The description of a loss, as fastcnn.losses gives it to eager losses and to compile().
#pragma once
#include <pybind11/pybind11.h>

#include "../plan/validate_loss.h"

namespace fastcnn {

// {"name": "huber", "delta": 1.0, "reduction": "sum", ...}; what is missing has Keras's default. `op` opens
// the messages.
LossOptions read_loss(const char* op, const pybind11::dict& description);

}  // namespace fastcnn
