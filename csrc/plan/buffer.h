// SPDX-License-Identifier: Apache-2.0
// One aligned allocation: a model's state, a plan's arena, on the host or from a GPU's pool. Large ones of
// the host stand on 2 MB pages, where a walk over the weights costs no page-table misses.
#pragma once
#include <cstddef>
#include <utility>

#include "place.h"

namespace fastcnn {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector

inline size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

class Buffer {
 public:
  Buffer() = default;
  // Throws OutOfMemoryError that names `what` and the bytes. The memory holds anything.
  Buffer(size_t bytes, const char* what, Pool* pool = nullptr);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(pool_, other.pool_);
    std::swap(holder_, other.holder_);
  }

  char* data_ = nullptr;
  size_t bytes_ = 0;
  Pool* pool_ = nullptr;
  void* holder_ = nullptr;
};

}  // namespace fastcnn
