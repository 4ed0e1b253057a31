// SPDX-License-Identifier: Apache-2.0
// The emulated GPU: one, whose compute capability FASTCNN_EMULATED_SM names (75 if nothing does).
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <memory>
#include <mutex>

#include "cuda_runtime.h"

namespace emulated {

Place place;

namespace {

constexpr size_t kStack = 128 << 10;
constexpr unsigned kMostThreads = 1024, kWarp = 32;

enum class State { kReady, kAtBlock, kAtWarp, kDone };

struct Fiber {
  State state = State::kDone;
  bool started = false;
  unsigned mask = 0;       // of the lanes waited for
  int parity = 0;          // of the exchange
  uint64_t slot[2] = {0};  // what this lane hands out
  dim3 index;
  jmp_buf at;
  ucontext_t entry;
};

Fiber fibers[kMostThreads];
unsigned count;    // threads of a block
unsigned current;  // the fiber that runs
jmp_buf scheduler;
const std::function<void()>* body;
std::mutex one_grid;

[[noreturn]] void stop(const char* why) {
  fprintf(stderr, "emulated CUDA: %s\n", why);
  abort();
}

void to_scheduler() {
  if (_setjmp(fibers[current].at) == 0) _longjmp(scheduler, 1);
}

void run_fiber() {
  for (;;) {
    (*body)();
    fibers[current].state = State::kDone;
    to_scheduler();
  }
}

void resume(unsigned i) {
  Fiber& fiber = fibers[i];
  current = i;
  place.thread = fiber.index;
  if (_setjmp(scheduler)) return;
  if (fiber.started) _longjmp(fiber.at, 1);
  fiber.started = true;
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) stop("no memory for a stack");
  getcontext(&fiber.entry);
  fiber.entry.uc_stack.ss_sp = stack;
  fiber.entry.uc_stack.ss_size = kStack;
  fiber.entry.uc_link = nullptr;
  makecontext(&fiber.entry, run_fiber, 0);
  setcontext(&fiber.entry);
}

// Lets go whoever waits for nobody any more; false if all still wait.
bool release() {
  bool some = false, all_at_block = true, any_at_block = false, any_done = false;
  for (unsigned i = 0; i < count; ++i) {
    all_at_block &= fibers[i].state == State::kAtBlock;
    any_at_block |= fibers[i].state == State::kAtBlock;
    any_done |= fibers[i].state == State::kDone;
  }
  if (any_at_block && any_done) stop("a thread left the kernel while others wait at __syncthreads");
  for (unsigned i = 0; i < count; ++i) {
    Fiber& fiber = fibers[i];
    if (fiber.state == State::kAtBlock && all_at_block) fiber.state = State::kReady, some = true;
    if (fiber.state != State::kAtWarp) continue;
    const unsigned warp = i / kWarp * kWarp;
    bool all = true;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if (!(fiber.mask >> lane & 1)) continue;
      if (warp + lane >= count) stop("a mask names a lane that does not exist");
      all &= fibers[warp + lane].state == State::kAtWarp && fibers[warp + lane].mask == fiber.mask;
    }
    if (!all) continue;
    const unsigned mask = fiber.mask;
    for (unsigned lane = 0; lane < kWarp; ++lane)
      if (mask >> lane & 1) fibers[warp + lane].state = State::kReady;
    some = true;
  }
  return some;
}

void run_block() {
  for (unsigned i = 0; i < count; ++i) fibers[i].state = State::kReady, fibers[i].parity = 0;
  for (;;) {
    bool done = true;
    for (unsigned i = 0; i < count; ++i) {
      if (fibers[i].state == State::kReady) resume(i);
      done &= fibers[i].state == State::kDone;
    }
    if (done) return;
    if (!release()) stop("the threads of a block wait for each other at different barriers");
  }
}

}  // namespace

void run_grid(dim3 blocks, dim3 threads, const std::function<void()>& thread) {
  const std::lock_guard<std::mutex> lock(one_grid);
  count = threads.x * threads.y * threads.z;
  if (count == 0 || count > kMostThreads || !blocks.x || !blocks.y || !blocks.z || blocks.y > 65535 ||
      blocks.z > 65535)
    stop("a grid of an impossible size");
  place.blocks = blocks, place.threads = threads;
  body = &thread;
  for (unsigned i = 0; i < count; ++i)
    fibers[i].index = dim3(i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y);
  for (unsigned z = 0; z < blocks.z; ++z)
    for (unsigned y = 0; y < blocks.y; ++y)
      for (unsigned x = 0; x < blocks.x; ++x) {
        place.block = dim3(x, y, z);
        run_block();
      }
}

int lane() { return int(current % kWarp); }

void block_barrier() {
  fibers[current].state = State::kAtBlock;
  to_scheduler();
}

void warp_barrier(unsigned mask) {
  fibers[current].mask = mask;
  fibers[current].state = State::kAtWarp;
  to_scheduler();
}

// Two slots in turn: whoever is at the next exchange has waited until all have read this one.
uint64_t exchange(unsigned mask, uint64_t value, int from_lane) {
  Fiber& me = fibers[current];
  const int parity = me.parity ^= 1;
  me.slot[parity] = value;
  warp_barrier(mask);
  return fibers[current / kWarp * kWarp + unsigned(from_lane)].slot[parity];
}

}  // namespace emulated

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  const char* wanted = getenv("FASTCNN_EMULATED_SM");
  const int sm = wanted && *wanted ? atoi(wanted) : 75;
  *value = which == cudaDevAttrComputeCapabilityMajor ? sm / 10 : sm % 10;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
