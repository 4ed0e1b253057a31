// SPDX-License-Identifier: Apache-2.0
// The memory of the emulated GPU: a range of addresses that the host can be kept out of, so that code of the
// host that touches it shows.
#pragma once
#include <stddef.h>

namespace emulated {

bool is_device_memory(const void* memory);  // of an array that was not freed

// The emulated GPU at work: its memory is open.
struct AtWork {
  AtWork();
  ~AtWork();
};

}  // namespace emulated
