// SPDX-License-Identifier: Apache-2.0
// What the system says of the processor's caches.
#pragma once

namespace fastcnn {
namespace cpu {

// Of a core's own second level, in bytes: 256 KB at least, and where the system says nothing.
double l2_cache_bytes();
// Of the last, which the cores share, in bytes: 32 MB at least, and where the system says nothing.
double last_cache_bytes();

}  // namespace cpu
}  // namespace fastcnn
