// SPDX-License-Identifier: Apache-2.0
// Batches on a GPU. The first one of a list is put on the stream step by step, which also loads its kernels;
// those after it are replays of graphs that were captured once, several batches in one. Whatever changes from
// batch to batch is read from the GPU's memory (Cursor), so that both ways run the same kernels on the same
// memory: the same bits.
#pragma once
#include <memory>
#include <vector>

#include "buffer.h"
#include "steps.h"

namespace fastcnn {

// What a plan on a GPU has besides its arena.
class DeviceMeans {
 public:
  explicit DeviceMeans(const Place& place);
  ~DeviceMeans();
  DeviceMeans(const DeviceMeans&) = delete;

  const Place& place() const { return place_; }
  void* stream() const { return stream_; }
  // Of a branch of the steps, made when it is first asked for. What is put on stream `then` from now on
  // follows all that is on `first` now.
  void* stream_of(int branch);
  void follow(void* then, void* first);
  void wait() const;
  // Grow-only memory: what batches are told, and what is kept of them.
  char* told(size_t bytes);
  char* kept(size_t bytes);
  // Moments between steps, for one batch at a time.
  void mark(size_t i);
  double seconds_until(size_t i) const { return place_.device().seconds_between(moments_[0], moments_[i]); }

 private:
  const Place place_;
  void* stream_ = nullptr;
  void* of_branch_[1 + kBranches] = {};
  void* turn_ = nullptr;
  Buffer told_, kept_;
  std::vector<void*> moments_;
};

// Batches of one list that differ in nothing that their kernels are told.
struct DeviceBatch {
  StepList& list;
  const Feeds& feeds;
  Memories memories;
  NextBatch next;
  std::vector<Note> notes;
};

// Puts so many batches on the stream. True if the first was timed: call keep_times() once it is over.
bool put_batches(const DeviceBatch& batch, int64_t count, DeviceMeans& means);
void keep_times(StepList& list, DeviceMeans& means);
// Parts of one batch: its beginning, steps, its end.
void begin_batch(const DeviceBatch& batch, DeviceMeans& means);
void run_steps(const DeviceBatch& batch, size_t begin, size_t end, DeviceMeans& means);
void end_batch(const DeviceBatch& batch, DeviceMeans& means);

}  // namespace fastcnn
