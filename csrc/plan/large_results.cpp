// SPDX-License-Identifier: Apache-2.0
#include "large_results.h"

#include <sys/mman.h>

#include <memory>
#include <vector>

#include "../base/status.h"

namespace fastcnn {
namespace {

constexpr size_t kPage = size_t{2} << 20, kMostKept = size_t{256} << 20;
// The latest of them, as many bytes as the C library would keep too, stay as they are. The others are offered
// to the system, after which to write a block anew takes 8 to 15 us a MB longer: ReLU of 10 MB took 1.9 times
// as long.
constexpr size_t kMostHeld = size_t{64} << 20;

struct Block {
  std::unique_ptr<Buffer> buffer;
  bool offered;
};

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
    if (blocks[i].buffer->bytes() != rounded) continue;
    Buffer* const buffer = blocks[i].buffer.release();
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
  Block block{std::unique_ptr<Buffer>(buffer), false};
  if (buffer->bytes() > kMostKept) return;
  std::vector<Block>& blocks = kept();
  size_t bytes = buffer->bytes();
  for (const Block& other : blocks) bytes += other.buffer->bytes();
  while (bytes > kMostKept) {
    bytes -= blocks.front().buffer->bytes();
    blocks.erase(blocks.begin());
  }
  blocks.push_back(std::move(block));
  size_t held = 0;
  for (size_t i = blocks.size(); i-- > 0;) {
    const Buffer& each = *blocks[i].buffer;
    held += each.bytes();
    if (held <= kMostHeld || blocks[i].offered) continue;
    madvise(each.data(), each.bytes(), MADV_FREE);  // which takes them back when it is short of memory
    blocks[i].offered = true;
  }
}

}  // namespace fastcnn
