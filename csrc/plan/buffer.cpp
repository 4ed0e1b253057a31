// SPDX-License-Identifier: Apache-2.0
#include "buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../base/status.h"

namespace fastcnn {
namespace {
constexpr size_t kHugePage = size_t{2} << 20;
}

Buffer::Buffer(size_t bytes, const char* what, Pool* pool) : pool_(pool) {
  if (bytes == 0) return;
  if (pool) {
    data_ = pool->take(bytes, what, &holder_);
    bytes_ = bytes;
    return;
  }
  const size_t alignment = bytes >= kHugePage / 2 ? kHugePage : kAlignment;
  if (bytes <= SIZE_MAX - alignment) {
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    data_ = static_cast<char*>(std::aligned_alloc(alignment, rounded));
    if (data_ && alignment == kHugePage) madvise(data_, rounded, MADV_HUGEPAGE);
  }
  if (!data_) fail(Code::kMemory, "%s needs %zu bytes, which were refused", what, bytes);
  bytes_ = bytes;
}

Buffer::~Buffer() {
  if (!pool_)
    std::free(data_);
  else if (holder_)
    pool_->give_back(holder_);
}

void Place::copy(void* to, const void* from, size_t bytes) const {
  if (bytes == 0) return;
  if (!on_gpu()) {
    std::memcpy(to, from, bytes);
    return;
  }
  Status status{};
  device().copy(to, from, bytes, nullptr, &status);
  check(status);
}

}  // namespace fastcnn
