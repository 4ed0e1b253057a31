// SPDX-License-Identifier: Apache-2.0
// Thread teams. run_team() opens the one parallel region of a run; inside it every member executes the same
// list of steps, and parallel_for() hands out tasks. Tasks are defined by shape alone and never by the thread
// count, so results have the same bits for any number of threads. parallel.cpp is the only file that mentions
// OpenMP.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fastcnn {

constexpr int kMaxThreads = 1024;

struct Team;

// One thread's place in a team.
struct Member {
  Team* team;
  int index;
  int count;
  uint32_t phase = 0;  // the latest that it has been through
  // Of a member that does this part of the tasks of every phase, of so many, and meets nobody.
  int64_t part = 0, parts = 0;

  // Waits for all members: spins briefly, then yields, so a busy neighbour on the core costs little.
  void barrier();
  // This thread's scratch of at least `bytes`, 64-byte aligned, kept between calls; null when memory is
  // refused.
  void* scratch(size_t bytes);
  // Called by all members: reserves that much scratch on each, so scratch() cannot fail later. False on all
  // members if memory is refused to one.
  bool reserve(size_t bytes);
  // What parallel_for() is made of. take(): the next of the `share` tasks of member `owner` in this phase, or
  // -1. leave(): waits until all tasks are done, of which this member did `mine`.
  int64_t take(int owner, int64_t share);
  void leave(int64_t mine, int64_t tasks);
};

// A phase and a number of tasks in one word, so that one comparison settles both.
struct alignas(64) Count {
  std::atomic<uint64_t> value{0};
};

struct Team {
  std::atomic<int> arrived{0};
  std::atomic<uint32_t> generation{0};
  std::atomic<bool> refused{false};
  Count* taken = nullptr;  // of each member's share
  Count done;
};

// f(task) for every task in [0, tasks), each exactly once; returns when all are done. Each member starts with
// its own contiguous share (the same share of every phase with as many tasks: its data stays in its cache)
// and then helps the others.
//
// A phase ends with its last task and not with the arrival of all members: one that lost its core catches up
// later and finds nothing left to take. Until then it runs the code between the phases on data that are no
// longer those of its phase. So how many phases and tasks there are follows from what was known before the
// region, and what another member's task has written is read inside tasks alone.
template <class F>
inline void parallel_for(Member& me, int64_t tasks, F f) {
  if (me.count == 1) {
    const int64_t begin = me.parts ? tasks * me.part / me.parts : 0;
    const int64_t end = me.parts ? tasks * (me.part + 1) / me.parts : tasks;
    for (int64_t i = begin; i < end; ++i) f(i);
    return;
  }
  if (tasks <= 0) return;
  ++me.phase;
  int64_t mine = 0;
  for (int v = 0; v < me.count; ++v) {
    const int t = (me.index + v) % me.count;
    const auto begin_of = [&](int member) { return (tasks * member + me.count - 1) / me.count; };
    const int64_t begin = begin_of(t), share = begin_of(t + 1) - begin;
    for (int64_t i; (i = me.take(t, share)) >= 0; ++mine) f(begin + i);
  }
  me.leave(mine, tasks);
}

// Calls f(member) on `threads` threads (fewer in a forked child or inside another team: then on one).
void run_team(int threads, void (*f)(void*, Member&), void* argument);

template <class F>
inline void run_team(int threads, F f) {
  run_team(threads, [](void* p, Member& me) { (*static_cast<F*>(p))(me); }, &f);
}

// min(OMP_NUM_THREADS, affinity, ceil(cgroup quota)) unless set_threads() was called.
int current_threads();
// The same for a team, of some milliseconds ago at most.
int threads();
void set_threads(int count);

// What threads() was derived from; 0 where a source says nothing.
struct ThreadSources {
  int omp_num_threads, affinity;
  double quota;
};
ThreadSources thread_sources();

}  // namespace fastcnn
