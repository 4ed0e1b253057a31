// SPDX-License-Identifier: Apache-2.0
// Memory of large results, kept for the next when an array has died. The C library returns every block above
// 32 MB to the system at once, and its pages, cleared anew for the next result, take longer than most
// operators.
#pragma once
#include "buffer.h"

namespace fastcnn {

// From here on; smaller blocks the C library keeps itself, and of 2 MB pages they would waste much.
constexpr size_t kLargeResult = size_t{8} << 20;

// Both are called with the GIL held. Throws OutOfMemoryError.
Buffer* take_large_result(size_t bytes);
void keep_large_result(Buffer* buffer) noexcept;

}  // namespace fastcnn
