// SPDX-License-Identifier: Apache-2.0
// Where a model's memory lies and its steps run: the host, or a GPU with memory from the pool of the arrays'
// library.
#pragma once
#include "../backend.h"

namespace fastcnn {

// Of one process; implemented by python/.
class Pool {
 public:
  virtual ~Pool() = default;
  // Memory that no work of the GPU uses any more, and what to give back for it. Throws OutOfMemoryError that
  // names `what`.
  virtual char* take(size_t bytes, const char* what, void** holder) = 0;
  virtual void give_back(void* holder) noexcept = 0;
  virtual size_t free_bytes() = 0;
};

struct Place {
  const Backend* backend = nullptr;
  Pool* pool = nullptr;  // null: the host

  bool on_gpu() const { return pool != nullptr; }
  const Device& device() const { return *backend->device; }
  // From and to this place or the host; complete on return.
  void copy(void* to, const void* from, size_t bytes) const;
};

}  // namespace fastcnn
