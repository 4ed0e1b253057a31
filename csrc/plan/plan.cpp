// SPDX-License-Identifier: Apache-2.0
#include "plan.h"

#include <algorithm>
#include <chrono>

namespace fastcnn {
namespace {

// Of the last cache, what one core may count on. Where sums take far longer than memory, nothing is gained:
// ResNet-50, with 80 operations to a byte, took 5 % longer in parts, ResNet-18 8 to 23 %. MobileNetV2 took
// 0.81 to 0.87 of the time in parts of one at batch 8, each by one core, and 0.83 to 0.86 at 32 in parts of
// two; by all cores, who meet after each step, 1.03 to 1.14 and 1.19.
constexpr double kCacheBytes = 8 << 20, kMostIntensity = 32;
constexpr size_t kLists = 8;  // kept for each plan: batch sizes in turn, each with its short last batch

}  // namespace

Plan::Plan(const Graph& graph, const Place& place, const Recipe& recipe, Mode mode)
    : graph_(graph), place_(place), recipe_(recipe), mode_(mode) {}

DeviceMeans& Plan::means() {
  if (!means_) means_.reset(new DeviceMeans(place_));
  return *means_;
}

StepList& Plan::steps(const Batch& batch) {
  const auto found = std::find_if(lists_.begin(), lists_.end(),
                                  [&batch](const StepList& list) { return list.batch == batch; });
  if (found != lists_.end()) {
    lists_.splice(lists_.begin(), lists_, found);
  } else {
    lists_.push_front(build_steps({graph_, *place_.backend, recipe_, mode_, batch}));
    if (lists_.size() > kLists) lists_.pop_back();
  }
  return lists_.front();
}

int64_t Plan::at_once(int64_t n) {
  if (n == 1 || mode_ != Mode::kPredict || place_.on_gpu()) return n;
  const Request request = {graph_, *place_.backend, recipe_, mode_, {n, {}}};
  if (suits_lanes(request)) return n;
  if (!sample_) {
    Costs costs;
    Request one = request;
    one.batch.n = 1;
    const StepList list = build_steps(one);
    const double weights = sizeof(float) * static_cast<double>(graph_.parameter_floats);
    costs.arena = static_cast<double>(list.arena_bytes), costs.flops = list.flops;
    for (const PlannedStep& step : list.steps) costs.moved += step.prepared.bytes;
    costs.moved -= weights;
    costs.fixed = std::max(weights, static_cast<double>(list.constant_bytes));
    sample_ = costs;
  }
  if (sample_->arena * static_cast<double>(n) <= kCacheBytes) return n;
  if (sample_->flops > kMostIntensity * sample_->moved) return n;
  int64_t m = static_cast<int64_t>(kCacheBytes / sample_->arena);
  while (m > 0 && n % m) --m;
  return m > 0 && sample_->fixed / static_cast<double>(m) < sample_->moved ? m : n;
}

StepList& Plan::list(const Batch& batch, int arenas) {
  StepList& list = steps(batch);
  const size_t arena_bytes = list.arena_bytes * static_cast<size_t>(arenas);
  if (arena_bytes > arena_.bytes()) {
    arena_ = Buffer();  // first, so that both never stand side by side: nothing in it outlives a batch
    arena_ =
        Buffer(arena_bytes, ("the memory of a batch of " + std::to_string(batch.n)).c_str(), place_.pool);
  }
  size_t newer = 0;
  for (StepList& other : lists_)
    if (++newer > 2) other.constants = Buffer(), other.constants_of = 0;
  if (list.constant_bytes > list.constants.bytes())
    list.constants =
        Buffer(list.constant_bytes, ("the weights of a batch of " + std::to_string(batch.n)).c_str());
  return list;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of one run as a whole: a step's own minimum would leave out what it waits for others.
void keep_fastest(StepList& list, double begin) {
  const double seconds = list.steps.back().end - begin;
  const bool fastest = list.seconds == 0 || seconds < list.seconds;
  if (fastest) list.seconds = seconds;
  for (PlannedStep& step : list.steps) {
    const double end = std::max(begin, step.end);  // one that was left out has none
    if (fastest) step.seconds = end - begin;
    begin = end;
    step.end = 0;
  }
}

Operands operands_of(const PlannedStep& step, const Memories& memories) {
  Operands operands;
  for (int i = 0; i < kMaxInputs; ++i) operands.in[i] = memories.at(step.in[i]);
  for (int i = 0; i < kMaxOutputs; ++i) operands.out[i] = memories.at(step.out[i]);
  return operands;
}

const Prepared& prepared_of(const Feeds& feeds, const PlannedStep& step) {
  switch (step.feed) {
    case Feed::kInput:
      return (step.prepared.op.layout == Layout::kBatchInLanes ? feeds.input_in_lanes
                                                               : feeds.input)[step.port];
    case Feed::kTarget:
      return feeds.target[step.port];
    case Feed::kWeight:
      return feeds.weight[step.port];
    case Feed::kNone:
    case Feed::kLoss:
      break;
  }
  return step.prepared;
}

namespace {

const Prepared& prepared_of(const ListRun& run, const PlannedStep& step) {
  return prepared_of(run.feeds, step);
}

// Its constants are there, or its batch is the caller's own array.
bool left_out(const ListRun& run, const PlannedStep& step) {
  const bool there = step.feed == Feed::kInput && run.memories.at(step.in[0]) == run.memories.at(step.out[0]);
  return there || (step.makes_constants && run.ready);
}

void run_step(const ListRun& run, const PlannedStep& step, Member& me, const RunScalars& scalars) {
  if (left_out(run, step)) return;
  const Operands operands = operands_of(step, run.memories);
  void* const constants = run.memories.at(step.constants);
  Context context{&me, run.memories.at(step.workspace), &scalars, nullptr, constants, constants && run.ready};
  run.backend.run(&prepared_of(run, step), &operands, &context);
}

// Whether the steps from this one on follow each other block by block, without the team meeting in between: a
// block's values stay in a core's cache. The threads should be done together: as many blocks for each, or
// many. The bits are those of the steps one by one, whose tasks are the same.
bool runs_as_chain(const ListRun& run, const PlannedStep& step, int threads) {
  const int64_t blocks = step.prepared.blocks;
  return step.chain_end && !run.timed && (blocks % threads == 0 || blocks >= 6 * threads);
}

}  // namespace

void run_list(const ListRun& run, Member& me, const RunScalars& scalars) {
  std::vector<PlannedStep>& steps = run.list.steps;
  for (size_t i = run.begin, next; i < run.end; i = next) {
    next = i + 1;
    if (left_out(run, steps[i])) continue;
    if (runs_as_chain(run, steps[i], me.count)) {
      next = steps[i].chain_end;
      parallel_for(me, steps[i].prepared.blocks, [&](int64_t block) {
        Team nobody;
        Member part{&nobody, 0, 1};
        part.part = block, part.parts = steps[i].prepared.blocks;
        for (size_t s = i; s < next; ++s) run_step(run, steps[s], part, scalars);
      });
    } else if (prepared_of(run, steps[i]).parallel) {
      run_step(run, steps[i], me, scalars);
    } else {  // with the small ones that follow up to a chain, unless each is timed
      while (!run.timed && next < run.end && !prepared_of(run, steps[next]).parallel &&
             !runs_as_chain(run, steps[next], me.count))
        ++next;
      parallel_for(me, 1, [&](int64_t) {
        Team nobody;
        Member alone{&nobody, 0, 1};
        for (size_t s = i; s < next; ++s) run_step(run, steps[s], alone, scalars);
      });
    }
    if (run.timed) parallel_for(me, 1, [&](int64_t) { steps[i].end = seconds_now(); });
  }
}

}  // namespace fastcnn
