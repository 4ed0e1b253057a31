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

  // Waits for all members: spins briefly, then yields, so a busy neighbour on the core costs little.
  void barrier();
  // This thread's scratch of at least `bytes`, 64-byte aligned, kept between calls; null when memory is
  // refused.
  void* scratch(size_t bytes);
  // Called by all members: reserves that much scratch on each, so scratch() cannot fail later. False on all
  // members if memory is refused to one.
  bool reserve(size_t bytes);
};

struct alignas(64) Cursor {
  std::atomic<int64_t> next{0};
};

struct Team {
  std::atomic<int> arrived{0};
  std::atomic<uint32_t> generation{0};
  std::atomic<bool> refused{false};
  Cursor* cursors = nullptr;  // one for each member, all zero between phases
};

// f(task) for every task in [0, tasks), each exactly once, then a barrier. Each member starts with its own
// contiguous share (the same share of every phase with as many tasks: its data stays in its cache) and then
// helps the others.
template <class F>
inline void parallel_for(Member& me, int64_t tasks, F f) {
  if (me.count == 1) {
    for (int64_t i = 0; i < tasks; ++i) f(i);
    return;
  }
  for (int v = 0; v < me.count; ++v) {
    const int t = (me.index + v) % me.count;
    const int64_t begin = tasks * t / me.count, end = tasks * (t + 1) / me.count;
    std::atomic<int64_t>& next = me.team->cursors[t].next;
    while (begin + next.load(std::memory_order_relaxed) < end) {
      const int64_t i = begin + next.fetch_add(1, std::memory_order_relaxed);
      if (i < end) f(i);
    }
  }
  me.barrier();
}

// Calls f(member) on `threads` threads (fewer in a forked child or inside another team: then on one).
void run_team(int threads, void (*f)(void*, Member&), void* argument);

template <class F>
inline void run_team(int threads, F f) {
  run_team(threads, [](void* p, Member& me) { (*static_cast<F*>(p))(me); }, &f);
}

// min(OMP_NUM_THREADS, affinity, ceil(cgroup quota)) unless set_threads() was called.
int threads();
void set_threads(int count);

// What threads() was derived from; 0 where a source says nothing.
struct ThreadSources {
  int omp_num_threads, affinity;
  double quota;
};
ThreadSources thread_sources();

}  // namespace fastcnn
