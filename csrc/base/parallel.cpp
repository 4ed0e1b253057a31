// SPDX-License-Identifier: Apache-2.0
// The only file that mentions OpenMP, which lends its threads: they wait between regions, so opening one
// costs about a microsecond. Inside a region the team has its own barrier and its own task hand-out.
#include "parallel.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <string>

namespace fastcnn {
namespace {

// About 30 us: longer than any wait between balanced members, shorter than a time slice.
constexpr int kSpins = 600;

// Whose counts are on the stack: from the heap, they took 0.2 us of each region.
constexpr int kFewThreads = 8;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Over>
inline void wait_until(Over over) {
  for (int spins = 0; !over(); ++spins)
    if (spins < kSpins)
      pause();
    else
      sched_yield();
}

// A Count's word: the low bits of the phase, then tasks. Phases of one region are told apart over half the
// range of their bits, some minutes of the shortest ones.
constexpr int kTaskBits = 36;
constexpr uint64_t kTasks = (uint64_t{1} << kTaskBits) - 1;

inline uint64_t word(uint32_t phase, int64_t tasks) {
  return uint64_t{phase} << kTaskBits | static_cast<uint64_t>(tasks);
}

// What a word says in this phase: of an earlier one nothing, of a later one that this phase is over.
struct Tally {
  int64_t tasks;
  bool over;
};
inline Tally tally_of(uint64_t word, uint32_t phase) {
  const int64_t ahead = static_cast<int64_t>(word - (uint64_t{phase} << kTaskBits)) >> kTaskBits;
  return {ahead == 0 ? static_cast<int64_t>(word & kTasks) : 0, ahead > 0};
}

struct Scratch {
  ~Scratch() { std::free(data); }
  void* data = nullptr;
  size_t bytes = 0;
};
thread_local Scratch scratch_of_thread;

std::atomic<int> threads_asked{0};

// OpenMP's threads do not survive a fork; a child of a process that has used them runs on one thread.
std::atomic<bool> team_opened{false}, team_lost{false};

void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { team_lost = team_opened.load(); }); });
}

// What a file says, nothing if it cannot be read. By no stream: where this module has a libstdc++ of its own,
// as some compilers link it, and another module brings a second one, as CuPy does, the first stream that read
// a number ended the process (GCC 13).
std::string text_of(const std::string& path) {
  std::string text;
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (!file) return text;
  char some[512];
  while (const size_t bytes = std::fread(some, 1, sizeof some, file)) text.append(some, bytes);
  std::fclose(file);
  return text;
}

// Cores that the cgroup's quota pays for, over all levels of the hierarchy; 0 without a limit.
double quota_of(const std::string& folder, bool v2) {
  const std::string said =
      v2 ? text_of(folder + "/cpu.max")
         : text_of(folder + "/cpu.cfs_quota_us") + " " + text_of(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  const bool both = std::sscanf(said.c_str(), "%lf %lf", &quota, &period) == 2;  // not where it says "max"
  return both && quota > 0 && period > 0 ? quota / period : 0;
}

double cgroup_quota() {
  double least = 0;
  const auto visit = [&least](const std::string& root, std::string path, bool v2) {
    for (;;) {
      const double quota = quota_of(root + path, v2);
      if (quota > 0 && (least == 0 || quota < least)) least = quota;
      if (path.empty() || path == "/") return;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  };
  const std::string groups = text_of("/proc/self/cgroup");
  for (size_t begin = 0, end; begin < groups.size(); begin = end + 1) {
    end = std::min(groups.find('\n', begin), groups.size());
    const std::string line = groups.substr(begin, end - begin);
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") visit("/sys/fs/cgroup", path, true);
    if (controllers.find(",cpu,") != std::string::npos) visit("/sys/fs/cgroup/cpu", path, false);
  }
  return least;
}

int affinity() {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (!set) return 0;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set);
    const int failed = sched_getaffinity(0, bytes, set);
    const int count = failed ? 0 : CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    if (!failed) return count;
  }
  return 0;
}

}  // namespace

void Member::barrier() {
  if (count == 1) return;
  const uint32_t generation = team->generation.load(std::memory_order_relaxed);
  if (team->arrived.fetch_add(1, std::memory_order_acq_rel) == count - 1) {
    team->arrived.store(0, std::memory_order_relaxed);
    team->generation.store(generation + 1, std::memory_order_release);
    return;
  }
  wait_until([&] { return team->generation.load(std::memory_order_acquire) != generation; });
}

int64_t Member::take(int owner, int64_t share) {
  std::atomic<uint64_t>& taken = team->taken[owner].value;
  uint64_t seen = taken.load(std::memory_order_relaxed);
  for (;;) {
    const Tally tally = tally_of(seen, phase);
    if (tally.over || tally.tasks >= share) return -1;
    if (taken.compare_exchange_weak(seen, word(phase, tally.tasks + 1), std::memory_order_relaxed))
      return tally.tasks;
  }
}

// A member that loses its core to another process holds a task for that process's slice. Calling
// sched_yield() here each millisecond, with no task in hand, was no clear gain (Linux 6.18): where one of two
// cores was shared a step of LeNet-5 at 64 took 2 to 19 % less and one of MNIST's network at 32 from 1 % less
// to 6 % more; where both were, from 19 % less to 34 % more. By all members but the first: nothing gained.
void Member::leave(int64_t mine, int64_t tasks) {
  std::atomic<uint64_t>& done = team->done.value;
  uint64_t seen = done.load(std::memory_order_acquire);
  for (Tally tally; mine && !(tally = tally_of(seen, phase)).over;)
    if (done.compare_exchange_weak(seen, word(phase, tally.tasks + mine), std::memory_order_acq_rel)) break;
  wait_until([&] {
    const Tally tally = tally_of(done.load(std::memory_order_acquire), phase);
    return tally.over || tally.tasks == tasks;
  });
}

void* Member::scratch(size_t bytes) {
  Scratch& own = scratch_of_thread;
  if (own.bytes < bytes) {
    const size_t page = bytes >= (size_t{2} << 20) ? size_t{2} << 20 : 4096;
    if (bytes > SIZE_MAX - page) return nullptr;
    const size_t rounded = (bytes + page - 1) / page * page;
    void* data = std::aligned_alloc(page, rounded);
    if (!data) return nullptr;
    if (page > 4096) madvise(data, rounded, MADV_HUGEPAGE);
    std::free(own.data);
    own.data = data, own.bytes = rounded;
  }
  return own.data;
}

bool Member::reserve(size_t bytes) {
  if (!bytes) return true;
  if (!scratch(bytes)) team->refused = true;
  barrier();
  return !team->refused;
}

void run_team(int threads, void (*f)(void*, Member&), void* argument) {
  watch_forks();
  if (threads > 1 && !team_lost && !omp_in_parallel()) {
    Count few[kFewThreads];
    std::unique_ptr<Count[]> many;
    if (threads > kFewThreads) many.reset(new (std::nothrow) Count[threads]);
    Team team;
    team.taken = threads > kFewThreads ? many.get() : few;
    if (team.taken) {
      team_opened = true;
#pragma omp parallel num_threads(threads)
      {
        Member me{&team, omp_get_thread_num(), omp_get_num_threads()};
        f(argument, me);
      }
      return;
    }
  }
  Team alone;
  Member me{&alone, 0, 1};
  f(argument, me);
}

ThreadSources thread_sources() {
  static const double quota = cgroup_quota();
  const char* text = std::getenv("OMP_NUM_THREADS");
  const long omp = text ? std::strtol(text, nullptr, 10) : 0;
  return {omp > 0 && omp <= kMaxThreads ? static_cast<int>(omp) : 0, affinity(), quota};
}

int current_threads() {
  const int asked = threads_asked;
  if (asked) return asked;
  const ThreadSources from = thread_sources();
  int count = from.affinity > 0 ? from.affinity : 1;
  if (from.omp_num_threads) count = std::min(count, from.omp_num_threads);
  if (from.quota > 0) count = std::min(count, static_cast<int>(std::ceil(from.quota)));
  count = std::min(count, omp_get_thread_limit());  // a team would not have more
  return std::min(std::max(count, 1), kMaxThreads);
}

// To ask the system took 0.3 us of every call, to read the tick of its clock a fiftieth of that.
int threads() {
  thread_local timespec asked_at{};  // an affinity is a thread's
  thread_local int answer = 0;
  if (const int asked = threads_asked) return asked;
  timespec now;
  if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now)) return current_threads();
  if (answer && now.tv_nsec == asked_at.tv_nsec && now.tv_sec == asked_at.tv_sec) return answer;
  asked_at = now;
  return answer = current_threads();
}

void set_threads(int count) { threads_asked = count; }

}  // namespace fastcnn
