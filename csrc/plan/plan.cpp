// SPDX-License-Identifier: Apache-2.0
#include "plan.h"

#include <algorithm>
#include <chrono>

namespace fastcnn {
namespace {

constexpr size_t kLists = 8;  // kept for each plan: batch sizes in turn, each with its short last batch

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Plan::Plan(const Graph& graph, const Backend& backend, const Recipe& recipe, Mode mode)
    : graph_(graph), backend_(backend), recipe_(recipe), mode_(mode) {}

StepList& Plan::list(int64_t n) {
  const auto found =
      std::find_if(lists_.begin(), lists_.end(), [n](const StepList& list) { return list.n == n; });
  if (found != lists_.end()) {
    lists_.splice(lists_.begin(), lists_, found);
  } else {
    lists_.push_front(build_steps({graph_, backend_, recipe_, mode_, n}));
    if (lists_.size() > kLists) lists_.pop_back();
  }
  StepList& list = lists_.front();
  if (list.arena_bytes > arena_.bytes()) {
    arena_ = Buffer();  // first, so that both never stand side by side: nothing in it outlives a batch
    arena_ = Buffer(list.arena_bytes, ("the memory of a batch of " + std::to_string(n)).c_str());
  }
  return list;
}

void run_list(const ListRun& run, Member& me, const RunScalars& scalars) {
  Context context{&me, nullptr, &scalars};
  const bool timed = run.timed && me.index == 0;
  double before = timed ? now() : 0;
  for (PlannedStep& step : run.list.steps) {
    const Prepared* prepared = &step.prepared;
    if (step.feed == Feed::kInput) prepared = &run.feeds.input;
    if (step.feed == Feed::kTarget) prepared = &run.feeds.target;
    Operands operands;
    for (int i = 0; i < kMaxInputs; ++i) operands.in[i] = run.memories.at(step.in[i]);
    for (int i = 0; i < kMaxOutputs; ++i) operands.out[i] = run.memories.at(step.out[i]);
    context.workspace = run.memories.at(step.workspace);
    run.backend.run(prepared, &operands, &context);
    if (!timed) continue;
    const double after = now();
    step.seconds += after - before;
    before = after;
  }
  if (timed) ++run.list.timed;
}

}  // namespace fastcnn
