// SPDX-License-Identifier: Apache-2.0
#include "caches.h"

#include <unistd.h>

#include <algorithm>

namespace fastcnn {
namespace cpu {

double l2_cache_bytes() {
  constexpr double kLeast = 256 << 10;
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const double bytes = std::max(kLeast, static_cast<double>(sysconf(_SC_LEVEL2_CACHE_SIZE)));
  return bytes;
#else
  return kLeast;
#endif
}

double last_cache_bytes() {
  constexpr double kLeast = 32 << 20;
#ifdef _SC_LEVEL3_CACHE_SIZE
  static const double bytes = std::max(kLeast, static_cast<double>(sysconf(_SC_LEVEL3_CACHE_SIZE)));
  return bytes;
#else
  return kLeast;
#endif
}

}  // namespace cpu
}  // namespace fastcnn
