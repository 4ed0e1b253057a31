// SPDX-License-Identifier: Apache-2.0
// What csrc/plan/branches.h lets go side by side: of lists made at random no two steps that nothing orders
// may touch the same memory, one of them writing. The order is that of streams: of a step on a branch what
// was in line before it and what the branch did before; of one in line all in line, and the branches that it
// joins.
#include "plan/branches.h"

#include <cstdio>
#include <random>

namespace {

using namespace fastcnn;

constexpr int64_t kParameters = 12;

struct Network {
  std::vector<PlannedStep> steps;
  std::vector<Lifetime> tensors;
  size_t end;  // of the gradients
};

Ref tensor(Network& n, size_t bytes) {
  n.tensors.push_back({-1, -1, bytes});
  return {Memory::kArena, static_cast<int64_t>(n.tensors.size()) - 1};
}

void add(Network& n, const std::vector<Ref>& in, const std::vector<Ref>& out, Ref workspace = {}) {
  PlannedStep step{};
  std::copy(in.begin(), in.end(), step.in);
  std::copy(out.begin(), out.end(), step.out);
  step.workspace = workspace;
  const int now = static_cast<int>(n.steps.size());
  const auto touch = [&](Ref ref) {
    if (ref.memory != Memory::kArena) return;
    Lifetime& life = n.tensors[static_cast<size_t>(ref.offset)];
    if (life.first < 0) life.first = now;
    life.last = now;
  };
  for (const Ref& ref : step.in) touch(ref);
  for (const Ref& ref : step.out) touch(ref);
  touch(workspace);
  n.steps.push_back(step);
}

// Forward values, then gradients backwards: each layer may have two weight gradients, may be called again, so
// that a sum in line follows, and may write its gradient over the one it reads.
Network made(std::mt19937& random, size_t unit) {
  const auto chance = [&](unsigned of) { return random() % of == 0; };
  const auto bytes = [&] { return unit * (1 + random() % 8); };
  Network n{};
  std::vector<Ref> values = {tensor(n, bytes())};
  add(n, {{Memory::kInput, 0}}, {values[0]});
  const int layers = 2 + static_cast<int>(random() % 8);
  for (int i = 0; i < layers; ++i) {
    values.push_back(tensor(n, bytes()));
    add(n, {values[values.size() - 2]}, {values.back()}, chance(2) ? tensor(n, bytes()) : Ref{});
  }
  Ref dy = tensor(n, bytes());
  add(n, {values.back()}, {dy});
  std::vector<bool> written(kParameters);
  for (int i = layers - 1; i >= 0; --i) {
    for (int part = 0; part < 2; ++part) {
      if (chance(4)) continue;
      const auto parameter = static_cast<int64_t>(random() % kParameters);
      const Ref place = {Memory::kGradients, parameter * 64};
      if (written[static_cast<size_t>(parameter)]) {
        const Ref more = tensor(n, bytes());
        add(n, {values[static_cast<size_t>(i)], dy}, {more}, tensor(n, bytes()));
        add(n, {place, more}, {place});
      } else {
        add(n, {values[static_cast<size_t>(i)], dy}, {place}, chance(2) ? tensor(n, bytes()) : Ref{});
        written[static_cast<size_t>(parameter)] = true;
      }
    }
    const Ref dx = chance(3) ? dy : tensor(n, bytes());
    add(n, {dy, values[static_cast<size_t>(i)]}, {dx}, chance(3) ? tensor(n, bytes()) : Ref{});
    dy = dx;
  }
  n.end = n.steps.size();
  add(n, {}, {{Memory::kGradients, 0}});  // reads them all, as clipping does
  add(n, {{Memory::kGradients, 0}}, {{Memory::kParameters, 0}});
  return n;
}

// before[i][j]: j is over before i starts.
std::vector<std::vector<bool>> order_of(const std::vector<PlannedStep>& steps) {
  std::vector<std::vector<bool>> before(steps.size(), std::vector<bool>(steps.size()));
  std::vector<bool> line(steps.size()), branch[1 + kBranches];  // what is over once the stream's work is
  for (auto& each : branch) each = line;
  const auto follow = [&](std::vector<bool>& then, const std::vector<bool>& first) {
    for (size_t j = 0; j < first.size(); ++j) then[j] = then[j] || first[j];
  };
  for (size_t i = 0; i < steps.size(); ++i) {
    for (int b = 1; b <= kBranches; ++b)
      if (steps[i].joins >> b & 1) follow(line, branch[b]);
    std::vector<bool>& mine = steps[i].branch ? branch[steps[i].branch] : line;
    if (steps[i].branch) follow(mine, line);
    before[i] = mine;
    mine[i] = true;
  }
  return before;
}

struct Span {
  Memory memory;
  int64_t begin, end;
  bool writes;
};

std::vector<Span> spans_of(const Network& n, const MemoryPlan& plan, size_t i) {
  std::vector<Span> spans;
  const auto add = [&](Ref ref, bool writes) {
    if (ref.memory == Memory::kNone) return;
    int64_t begin = ref.offset, size = 64;
    if (ref.memory == Memory::kArena) {
      begin = static_cast<int64_t>(plan.offsets[static_cast<size_t>(ref.offset)]);
      size = static_cast<int64_t>(n.tensors[static_cast<size_t>(ref.offset)].bytes);
    } else if (i >= n.end) {
      begin = 0, size = kParameters * 64;
    }
    spans.push_back({ref.memory, begin, begin + size, writes});
  };
  for (const Ref& ref : n.steps[i].in) add(ref, false);
  for (const Ref& ref : n.steps[i].out) add(ref, true);
  add(n.steps[i].workspace, true);
  return spans;
}

bool clash(const std::vector<Span>& a, const std::vector<Span>& b) {
  for (const Span& x : a)
    for (const Span& y : b)
      if (x.memory == y.memory && (x.writes || y.writes) && x.begin < y.end && y.begin < x.end) return true;
  return false;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  int64_t together = 0;
  int open = 0, bounded = 0;
  for (int turn = 0; turn < 400; ++turn) {
    const size_t unit = turn % 2 ? size_t{16} << 20 : 256;
    Network n = made(random, unit);
    const size_t in_line = plan_memory(n.tensors).peak;
    find_branches(n.steps, n.end, n.tensors);
    const MemoryPlan plan = plan_memory(n.tensors);
    const auto before = order_of(n.steps);
    for (size_t i = 0; i < n.steps.size(); ++i) {
      if (n.steps[i].branch && i >= n.end)
        return std::printf("step %zu of the update is on a branch\n", i), 1;
      for (size_t j = 0; j < i; ++j) {
        if (before[i][j]) continue;
        ++together;
        if (i >= n.end) return std::printf("the update %zu does not wait for %zu\n", i, j), 1;
        if (clash(spans_of(n, plan, i), spans_of(n, plan, j)))
          return std::printf("turn %d: steps %zu and %zu meet\n", turn, j, i), 1;
      }
    }
    if (unit < 1024)
      open += plan.peak > in_line;
    else
      bounded += plan.peak > in_line + (in_line / 2);
  }
  // Small lists keep their branches open, large ones take little more memory than in line.
  if (together < 4000 || open < 100 || bounded > 10)
    return std::printf("%lld pairs, %d and %d lists\n", static_cast<long long>(together), open, bounded), 1;
  std::printf("right\n");
}
