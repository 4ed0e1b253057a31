// SPDX-License-Identifier: Apache-2.0
// One aligned allocation: a model's state, a plan's arena. Large ones stand on 2 MB pages, where a walk over
// the weights costs no page-table misses.
#pragma once
#include <cstddef>
#include <utility>

namespace fastcnn {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector

inline size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

class Buffer {
 public:
  Buffer() = default;
  // Throws OutOfMemoryError that names `what` and the bytes. The memory holds anything.
  Buffer(size_t bytes, const char* what);
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
  }

  char* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace fastcnn
