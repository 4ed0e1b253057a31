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

// Of one run as a whole: a step's own minimum would leave out what it waits for others.
void keep_fastest(StepList& list) {
  double seconds = 0;
  for (const PlannedStep& step : list.steps) seconds += step.latest;
  if (list.seconds > 0 && seconds >= list.seconds) return;
  list.seconds = seconds;
  for (PlannedStep& step : list.steps) step.seconds = step.latest;
}

}  // namespace

Plan::Plan(const Graph& graph, const Backend& backend, const Recipe& recipe, Mode mode)
    : graph_(graph), backend_(backend), recipe_(recipe), mode_(mode) {}

StepList& Plan::steps(const Batch& batch) {
  const auto found = std::find_if(lists_.begin(), lists_.end(), [&batch](const StepList& list) {
    return list.n == batch.n && list.weights == batch.weights;
  });
  if (found != lists_.end()) {
    lists_.splice(lists_.begin(), lists_, found);
  } else {
    lists_.push_front(build_steps({graph_, backend_, recipe_, mode_, batch.n, batch.weights}));
    if (lists_.size() > kLists) lists_.pop_back();
  }
  return lists_.front();
}

StepList& Plan::list(const Batch& batch) {
  StepList& list = steps(batch);
  if (list.arena_bytes > arena_.bytes()) {
    arena_ = Buffer();  // first, so that both never stand side by side: nothing in it outlives a batch
    arena_ = Buffer(list.arena_bytes, ("the memory of a batch of " + std::to_string(batch.n)).c_str());
  }
  return list;
}

void run_list(const ListRun& run, Member& me, const RunScalars& scalars) {
  Team nobody;
  Member alone{&nobody, 0, 1};
  bool ahead = false;  // member 0 has run steps that the others have not waited for
  const bool timed = run.timed && me.index == 0;
  double before = timed ? now() : 0;
  for (PlannedStep& step : run.list.steps) {
    const Prepared* prepared = &step.prepared;
    if (step.feed == Feed::kInput) prepared = &run.feeds.input[step.port];
    if (step.feed == Feed::kTarget) prepared = &run.feeds.target[step.port];
    if (step.feed == Feed::kWeight) prepared = &run.feeds.weight[step.port];
    if (prepared->parallel && ahead) me.barrier();
    ahead = !prepared->parallel;
    if (ahead && me.index != 0) continue;
    Context context{ahead ? &alone : &me, nullptr, &scalars};
    Operands operands;
    for (int i = 0; i < kMaxInputs; ++i) operands.in[i] = run.memories.at(step.in[i]);
    for (int i = 0; i < kMaxOutputs; ++i) operands.out[i] = run.memories.at(step.out[i]);
    context.workspace = run.memories.at(step.workspace);
    run.backend.run(prepared, &operands, &context);
    if (!timed) continue;
    const double after = now();
    step.latest = after - before;
    before = after;
  }
  if (timed) keep_fastest(run.list);
}

}  // namespace fastcnn
