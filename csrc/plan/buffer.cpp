// SPDX-License-Identifier: Apache-2.0
#include "buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#include "../base/status.h"

namespace fastcnn {
namespace {
constexpr size_t kHugePage = size_t{2} << 20;
}

Buffer::Buffer(size_t bytes, const char* what) {
  if (bytes == 0) return;
  const size_t alignment = bytes >= kHugePage / 2 ? kHugePage : kAlignment;
  if (bytes <= SIZE_MAX - alignment) {
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    data_ = static_cast<char*>(std::aligned_alloc(alignment, rounded));
    if (data_ && alignment == kHugePage) madvise(data_, rounded, MADV_HUGEPAGE);
  }
  if (!data_) fail(Code::kMemory, "%s needs %zu bytes, which were refused", what, bytes);
  bytes_ = bytes;
}

Buffer::~Buffer() { std::free(data_); }

}  // namespace fastcnn
