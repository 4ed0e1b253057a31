// SPDX-License-Identifier: Apache-2.0
#include "branches.h"

#include <algorithm>

namespace fastcnn {
namespace {

// Gradients wait for each other up to here: small networks, whose steps leave most of a GPU idle, have all of
// theirs open until the update, and large ones those of one layer.
constexpr size_t kMostExtraBytes = 64 << 20;

bool same(Ref a, Ref b) { return a.memory == b.memory && a.offset == b.offset && a.memory != Memory::kNone; }

bool is_branch(const PlannedStep& step) {
  bool writes = false;
  for (const Ref& ref : step.out) {
    if (ref.memory != Memory::kNone && ref.memory != Memory::kGradients) return false;
    writes = writes || ref.memory == Memory::kGradients;
  }
  return writes && std::none_of(std::begin(step.in), std::end(step.in),
                                [](const Ref& ref) { return ref.memory == Memory::kGradients; });
}

// Whether one of them writes what the other reads or writes.
bool clash(const PlannedStep& a, const PlannedStep& b) {
  for (const Ref& written : a.out) {
    for (const Ref& ref : b.in)
      if (same(written, ref)) return true;
    for (const Ref& ref : b.out)
      if (same(written, ref)) return true;
  }
  for (const Ref& read : a.in)
    for (const Ref& ref : b.out)
      if (same(read, ref)) return true;
  return false;
}

// Up to which step each branch may stay open, `end` at most; with `near` the next layer's branches wait.
std::vector<size_t> ends_of(const std::vector<PlannedStep>& steps, size_t end, bool near) {
  std::vector<size_t> ends(end);
  for (size_t i = 0; i < end; ++i) {
    if (!steps[i].branch) continue;
    bool aside = true;  // of the same layer: nothing has come between
    for (ends[i] = i + 1; ends[i] < end; ++ends[i]) {
      const PlannedStep& next = steps[ends[i]];
      aside = aside && next.branch;
      if (clash(steps[i], next) || (near && next.branch && !aside)) break;
    }
  }
  return ends;
}

std::vector<Lifetime> extended(const std::vector<PlannedStep>& steps, const std::vector<size_t>& ends,
                               std::vector<Lifetime> tensors) {
  for (size_t i = 0; i < ends.size(); ++i) {
    if (!steps[i].branch) continue;
    const auto keep = [&](Ref ref) {
      if (ref.memory != Memory::kArena) return;
      int& last = tensors[static_cast<size_t>(ref.offset)].last;
      last = std::max(last, static_cast<int>(ends[i]) - 1);
    };
    for (const Ref& ref : steps[i].in) keep(ref);
    keep(steps[i].workspace);
  }
  return tensors;
}

}  // namespace

void find_branches(std::vector<PlannedStep>& steps, size_t end, std::vector<Lifetime>& tensors) {
  int branches = 0;
  for (size_t i = 0; i < end; ++i)
    if (is_branch(steps[i])) steps[i].branch = 1 + branches++ % kBranches;
  if (branches == 0) return;
  std::vector<size_t> ends = ends_of(steps, end, false);
  std::vector<Lifetime> longer = extended(steps, ends, tensors);
  if (plan_memory(longer).peak > plan_memory(tensors).peak + kMostExtraBytes) {
    ends = ends_of(steps, end, true);
    longer = extended(steps, ends, tensors);
  }
  tensors = std::move(longer);
  for (size_t i = 0; i < ends.size(); ++i)
    if (steps[i].branch && ends[i] < steps.size()) steps[ends[i]].joins |= 1u << steps[i].branch;
}

}  // namespace fastcnn
