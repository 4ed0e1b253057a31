// SPDX-License-Identifier: Apache-2.0
#include "eager.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>

#include "../base/parallel.h"
#include "buffer.h"

namespace fastcnn {
namespace {

constexpr size_t kEntries = 64;  // direct-mapped: a collision only prepares again

struct Entry {
  bool used = false;
  Prepared prepared;
};

struct Cache {
  Entry entries[2][kEntries];  // of the CPU, of the GPU
  Buffer workspace;
};

// What comes before the shapes and the step's own; a descriptor is as long as the largest shape of all.
size_t used_bytes(const OpDescriptor& op) {
  static constexpr uint16_t kShapeBytes[] = {
#define FASTCNN_BYTES(name, shape, inputs, outputs) sizeof(shape),
      FASTCNN_STEPS(FASTCNN_BYTES)
#undef FASTCNN_BYTES
  };
  return offsetof(OpDescriptor, gemm) + kShapeBytes[static_cast<int>(op.step)];
}

// FNV-1a by words, as a few sums side by side: one after the other they took a twentieth of a small call.
size_t slot_of(const OpDescriptor& op, size_t bytes) {
  constexpr size_t kSums = 4;
  static_assert(sizeof op % sizeof(uint64_t) == 0, "a descriptor is whole words");
  uint64_t word, sums[kSums] = {14695981039346656037u, 1, 2, 3}, hash = 0;
  for (size_t at = 0, i = 0; at < bytes; at += sizeof word, i = (i + 1) % kSums) {
    std::memcpy(&word, reinterpret_cast<const char*>(&op) + at, sizeof word);
    sums[i] = (sums[i] ^ word) * 1099511628211u;
  }
  for (const uint64_t sum : sums) hash = (hash ^ sum) * 1099511628211u;
  return (hash >> 32) % kEntries;
}

const Prepared& prepared_for(Cache& cache, const Backend& backend, const OpDescriptor& op) {
  const size_t bytes = used_bytes(op);
  Entry& entry = cache.entries[backend.device != nullptr][slot_of(op, bytes)];
  if (entry.used && std::memcmp(&entry.prepared.op, &op, bytes) == 0) return entry.prepared;
  entry.used = false;
  Status status{};
  backend.prepare(&op, &entry.prepared, &status);
  check(status);
  entry.used = true;
  return entry.prepared;
}

Cache& cache_of_thread() {
  static thread_local std::unique_ptr<Cache> cache;
  if (!cache) cache.reset(new Cache);
  return *cache;
}

// What a region needs for one step, or for any of several.
struct Needs {
  const char* kernel;
  size_t workspace_bytes, scratch_bytes;
  bool parallel;
};

Needs needs_of(const Prepared& p) {
  return {p.kernel, p.workspace_bytes, p.scratch_bytes, p.parallel && p.parallel != kInOpenRegion};
}

// f(context) on each member of a team that has its scratch.
template <class F>
void in_region(const Needs& needs, const RunScalars* scalars, F f) {
  Cache* const cache = &cache_of_thread();
  if (cache->workspace.bytes() < needs.workspace_bytes) {
    cache->workspace = Buffer();
    cache->workspace = Buffer(needs.workspace_bytes, "the workspace of a kernel");
  }
  std::atomic<bool> ran{false};
  void* workspace = cache->workspace.data();
  run_team(needs.parallel ? threads() : 1, [&](Member& me) {
    // Who has no scratch leaves its tasks to the others: to ask first whether all have it took 0.4 us.
    if (needs.scratch_bytes && !me.scratch(needs.scratch_bytes)) return;
    ran.store(true, std::memory_order_relaxed);
    f(Context{&me, workspace, scalars, nullptr});
  });
  if (!ran)
    fail(Code::kMemory, "%s: a scratch buffer of %zu bytes for each thread was refused", needs.kernel,
         needs.scratch_bytes);
}

}  // namespace

OpDescriptor make_op(Step step, Math math) {
  OpDescriptor op;
  std::memset(static_cast<void*>(&op), 0, sizeof op);
  op.step = step;
  op.math = math;
  return op;
}

const Prepared& prepared_eager(const Backend& backend, const OpDescriptor& op) {
  return prepared_for(cache_of_thread(), backend, op);
}

void run_eager(const Backend& backend, const Prepared& prepared, const Operands& operands,
               const RunScalars* scalars) {
  in_region(needs_of(prepared), scalars,
            [&](Context context) { backend.run(&prepared, &operands, &context); });
}

void run_eager(const Backend& backend, const std::vector<EagerStep>& steps, const RunScalars* scalars) {
  if (steps.empty()) return;
  Needs needs = needs_of(steps[0].prepared);
  for (const EagerStep& step : steps) {
    const Needs own = needs_of(step.prepared);
    needs.workspace_bytes = std::max(needs.workspace_bytes, own.workspace_bytes);
    needs.scratch_bytes = std::max(needs.scratch_bytes, own.scratch_bytes);
    needs.parallel |= own.parallel;
  }
  in_region(needs, scalars, [&](Context context) {
    const auto is_small = [&](size_t i) { return i < steps.size() && !needs_of(steps[i].prepared).parallel; };
    const auto run = [&](size_t i, Context on) { backend.run(&steps[i].prepared, &steps[i].operands, &on); };
    for (size_t i = 0, next; i < steps.size(); i = next) {
      next = i + 1;
      if (!is_small(i)) {
        run(i, context);
        continue;
      }
      while (is_small(next)) ++next;
      parallel_for(*context.member, 1, [&](int64_t) {  // one member runs them while the others wait
        Team nobody;
        Member alone{&nobody, context.member->index, 1};
        for (size_t small = i; small < next; ++small)
          run(small, Context{&alone, context.workspace, scalars, nullptr});
      });
    }
  });
}

// The workspace first, then the scalars.
size_t device_bytes(const Prepared& prepared, bool scalars) {
  return align_up(prepared.workspace_bytes) + (scalars ? sizeof(RunScalars) : 0);
}

void run_eager_on(const Backend& backend, const Prepared& prepared, const Operands& operands,
                  const RunScalars* scalars, const DevicePlace& place) {
  Status status{};
  Context context{nullptr, place.workspace, nullptr, place.stream};
  if (scalars) {
    void* const to = static_cast<char*>(place.workspace) + align_up(prepared.workspace_bytes);
    backend.device->upload(to, scalars, sizeof *scalars, place.stream, &status);
    check(status);
    context.scalars = static_cast<const RunScalars*>(to);
  }
  backend.run(&prepared, &operands, &context);
  backend.device->launched(prepared.kernel, &status);
  check(status);
}

}  // namespace fastcnn
