// SPDX-License-Identifier: Apache-2.0
// One step outside a network: what fastcnn.ops calls. The prepared step is kept per thread and descriptor, so
// a repeated call costs a look-up; the workspace only grows.
#pragma once
#include <vector>

#include "../backend.h"

namespace fastcnn {

// A descriptor whose padding bytes are zero too, so that equal descriptors compare equal.
OpDescriptor make_op(Step step, Math math = Math::kDefault);

// The prepared step, of this thread until it prepares another.
const Prepared& prepared_eager(const Backend& backend, const OpDescriptor& op);

// Runs one step to its end on threads() threads. Throws before anything is written. `scalars`: for steps that
// read them.
void run_eager(const Backend& backend, const Prepared& prepared, const Operands& operands,
               const RunScalars* scalars = nullptr);
inline void run_eager(const Backend& backend, const OpDescriptor& op, const Operands& operands,
                      const RunScalars* scalars = nullptr) {
  run_eager(backend, prepared_eager(backend, op), operands, scalars);
}

// Several steps one after the other, in one parallel region. Each is prepared already.
struct EagerStep {
  Prepared prepared;
  Operands operands;
};
void run_eager(const Backend& backend, const std::vector<EagerStep>& steps, const RunScalars* scalars);

// One step on a GPU, in memory of the caller's: device_bytes() of it, none if that is 0. The step is put on
// the stream, which is not waited for.
struct DevicePlace {
  void *stream, *workspace;
};
size_t device_bytes(const Prepared& prepared, bool scalars);
void run_eager_on(const Backend& backend, const Prepared& prepared, const Operands& operands,
                  const RunScalars* scalars, const DevicePlace& place);

}  // namespace fastcnn
