// SPDX-License-Identifier: Apache-2.0
// A first-fit allocator over reserved addresses. Python's side is tests/emulation/site/cupy.py.
#include "memory.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <map>
#include <mutex>

#define FASTCNN_EXPORT extern "C" __attribute__((visibility("default")))

namespace emulated {
namespace {

constexpr size_t kRange = size_t{16} << 30, kAlignment = 512;

std::recursive_mutex mutex;
std::map<size_t, size_t> arrays;  // offsets and rounded sizes
size_t limit = kRange, used = 0;
bool guarded = false;
int working = 0;

char* range() {
  static char* const begin = static_cast<char*>(
      mmap(nullptr, kRange, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return begin;
}

void protect() {
  static int now = PROT_READ | PROT_WRITE;
  const int wanted = guarded && !working ? PROT_NONE : PROT_READ | PROT_WRITE;
  if (wanted != now) mprotect(range(), kRange, wanted);
  now = wanted;
}

}  // namespace

bool is_device_memory(const void* memory) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  const auto* const at = static_cast<const char*>(memory);
  if (at < range() || at >= range() + kRange) return false;
  const auto offset = size_t(at - range());
  auto next = arrays.upper_bound(offset);
  return next != arrays.begin() && offset < (--next)->first + next->second;
}

AtWork::AtWork() {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  ++working;
  protect();
}
AtWork::~AtWork() {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  --working;
  protect();
}

}  // namespace emulated

using namespace emulated;

// Null if the GPU has no room. Full of ones, which is NaN to a float.
FASTCNN_EXPORT void* emulated_malloc(size_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  const size_t wanted = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (wanted > limit - (used < limit ? used : limit)) return nullptr;
  size_t at = 0;
  for (const auto& [offset, size] : arrays) {
    if (offset - at >= wanted) break;
    at = offset + size;
  }
  if (at + wanted > kRange) return nullptr;
  arrays[at] = wanted ? wanted : kAlignment;
  used += arrays[at];
  const AtWork open;
  memset(range() + at, 255, bytes);
  return range() + at;
}

FASTCNN_EXPORT void emulated_free(void* memory) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  const auto found = arrays.find(size_t(static_cast<char*>(memory) - range()));
  used -= found->second;
  arrays.erase(found);
}

FASTCNN_EXPORT size_t emulated_free_bytes() { return limit - (used < limit ? used : limit); }
FASTCNN_EXPORT size_t emulated_bytes() { return limit; }
FASTCNN_EXPORT void emulated_set_bytes(size_t bytes) { limit = bytes && bytes < kRange ? bytes : kRange; }

// 1: from now on the host that touches the GPU's memory is ended by a signal; 0: no more.
FASTCNN_EXPORT void emulated_guard(int on) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  guarded = on;
  protect();
}
// Lets the host in for a while.
FASTCNN_EXPORT void emulated_work(int on) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  working += on ? 1 : -1;
  protect();
}
