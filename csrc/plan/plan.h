// SPDX-License-Identifier: Apache-2.0
// A plan: the step lists of one mode, one for each number of samples that has come (a short last batch has
// its own, so that its sums are split by its own shape), over one arena. Used by one run at a time.
#pragma once
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../base/parallel.h"
#include "buffer.h"
#include "builder.h"
#include "device_batch.h"

namespace fastcnn {

class Plan {
 public:
  Plan(const Graph& graph, const Place& place, const Recipe& recipe, Mode mode);

  Mode mode() const { return mode_; }
  char* arena() const { return arena_.data(); }
  // Built on first use, with room for it in the arena, which may move; the two asked for last stay valid, and
  // have room for their constants. Room for several that are run at once, one arena after the other.
  StepList& list(const Batch& batch, int arenas = 1);
  // How many samples of a batch of n predictions to run at a time, a divisor of n: so few that their
  // activations stay in a core's share of the last cache, where reading the weights more often costs less
  // than that saves.
  int64_t at_once(int64_t n);
  // A table of the steps: row, shapes, FLOPs, bytes, place in the arena, the times of its fastest run.
  std::string describe(const Batch& batch);
  // Of a plan on a GPU.
  DeviceMeans& means();

 private:
  StepList& steps(const Batch& batch);

  const Graph& graph_;
  const Place place_;
  const Recipe& recipe_;
  const Mode mode_;
  std::list<StepList> lists_;  // used last first
  Buffer arena_;
  std::unique_ptr<DeviceMeans> means_;
  // Of the prediction of one sample: bytes of the arena, what its steps move in there, what a list moves
  // however few samples it has; and its operations.
  struct Costs {
    double arena = 0, moved = 0, fixed = 0, flops = 0;
  };
  std::optional<Costs> sample_;  // once it was asked for
};

// One batch, by one member of a team. Steps with too little work for two are run by one of them while the
// others wait for the next large one.
struct ListRun {
  const Backend& backend;
  StepList& list;
  const Feeds& feeds;
  const Memories& memories;
  bool timed;         // take the time at the end of each step
  bool ready;         // the list's constants are made of the parameters as they are
  size_t begin, end;  // of the steps
};
void run_list(const ListRun& run, Member& me, const RunScalars& scalars);

// Of a monotonic clock.
double seconds_now();
// After a timed run that began then: keeps the times if no run was faster as a whole.
void keep_fastest(StepList& list, double begin);

}  // namespace fastcnn
