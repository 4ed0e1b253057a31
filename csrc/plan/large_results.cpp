// SPDX-License-Identifier: Apache-2.0
#include "large_results.h"

#include <sys/mman.h>

#include <memory>
#include <vector>

#include "../base/status.h"

namespace fastcnn {
namespace {

constexpr size_t kPage = size_t{2} << 20, kMostKept = size_t{256} << 20;

using Block = std::unique_ptr<Buffer>;

// The latest last. Never destroyed: arrays may die later. Nor does it grow, which could fail while one dies.
std::vector<Block>& kept() {
  static auto* const blocks = [] {
    auto* const made = new std::vector<Block>;
    made->reserve(kMostKept / kLargeResult + 1);
    return made;
  }();
  return *blocks;
}

}  // namespace

Buffer* take_large_result(size_t bytes) {
  const size_t rounded = (bytes + kPage - 1) / kPage * kPage;
  std::vector<Block>& blocks = kept();
  for (size_t i = blocks.size(); i-- > 0;) {  // caches may still hold the latest
    if (blocks[i]->bytes() != rounded) continue;
    Buffer* const buffer = blocks[i].release();
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
    return buffer;
  }
  try {
    return new Buffer(rounded, "a result");
  } catch (const Error&) {
    if (blocks.empty()) throw;
  }
  blocks.clear();
  return new Buffer(rounded, "a result");
}

void keep_large_result(Buffer* buffer) noexcept {
  Block block(buffer);
  if (block->bytes() > kMostKept) return;
  std::vector<Block>& blocks = kept();
  size_t held = block->bytes();
  for (const Block& other : blocks) held += other->bytes();
  while (held > kMostKept) {
    held -= blocks.front()->bytes();
    blocks.erase(blocks.begin());
  }
  madvise(block->data(), block->bytes(), MADV_FREE);  // the system takes them back when it is short of memory
  blocks.push_back(std::move(block));
}

}  // namespace fastcnn
