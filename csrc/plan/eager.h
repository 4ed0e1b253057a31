// SPDX-License-Identifier: Apache-2.0
// One step outside a network: what fastcnn.ops calls. The prepared step is kept per thread and descriptor, so
// a repeated call costs a look-up; the workspace only grows.
#pragma once
#include "../backend.h"

namespace fastcnn {

// A descriptor whose padding bytes are zero too, so that equal descriptors compare equal.
OpDescriptor make_op(Step step, Math math = Math::kDefault);

// Runs one step to its end on threads() threads. Throws before anything is written. `scalars`: for steps that
// read them.
void run_eager(const Backend& backend, const OpDescriptor& op, const Operands& operands,
               const RunScalars* scalars = nullptr);

}  // namespace fastcnn
