// SPDX-License-Identifier: Apache-2.0
// A plan: the step lists of one mode, one for each number of samples that has come (a short last batch has
// its own, so that its sums are split by its own shape), over one arena. Used by one run at a time.
#pragma once
#include <list>
#include <memory>
#include <string>

#include "../base/parallel.h"
#include "buffer.h"
#include "builder.h"

namespace fastcnn {

class Plan {
 public:
  Plan(const Graph& graph, const Backend& backend, const Recipe& recipe, Mode mode);

  Mode mode() const { return mode_; }
  char* arena() const { return arena_.data(); }
  // Built on first use, which may move the arena; the two asked for last stay valid.
  StepList& list(int64_t n);
  // A table of the steps: row, shapes, FLOPs, bytes, place in the arena, time when it has run.
  std::string describe(int64_t n);

 private:
  const Graph& graph_;
  const Backend& backend_;
  const Recipe& recipe_;
  const Mode mode_;
  std::list<StepList> lists_;  // used last first
  Buffer arena_;
};

// What a session puts in place of the steps that read its arrays.
struct Feeds {
  Prepared input, target;
};

// One batch, by one member of a team. The steps' times are taken if `timed`, by member 0.
struct ListRun {
  const Backend& backend;
  StepList& list;
  const Feeds& feeds;
  const Memories& memories;
  bool timed;
};
void run_list(const ListRun& run, Member& me, const RunScalars& scalars);

}  // namespace fastcnn
