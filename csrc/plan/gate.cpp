// SPDX-License-Identifier: Apache-2.0
#include "gate.h"

#include <pthread.h>

#include <set>
#include <utility>

namespace fastcnn {
namespace {

// All gates of the process. Held over a fork, so that the child finds the set whole. Never destroyed: models
// may outlive static objects.
struct Registry {
  std::mutex mutex;
  std::set<Gate*> gates;
};

Registry& registry() {
  static Registry* all = [] {
    pthread_atfork([] { registry().mutex.lock(); }, [] { registry().mutex.unlock(); },
                   [] {
                     for (Gate* gate : registry().gates) gate->reset();
                     registry().mutex.unlock();
                   });
    return new Registry;
  }();
  return *all;
}

}  // namespace

Gate::Gate() : state_(new State) {
  std::lock_guard<std::mutex> held(registry().mutex);
  registry().gates.insert(this);
}

Gate::~Gate() {
  {
    std::lock_guard<std::mutex> held(registry().mutex);
    registry().gates.erase(this);
  }
  delete state_;
}

// The old state is left behind: its mutex may be locked by a thread that does not exist here.
void Gate::reset() { state_ = new State; }

void Gate::lock() {
  std::unique_lock<std::mutex> held(state_->mutex);
  ++state_->waiting_writers;
  state_->changed.wait(held, [this] { return !state_->writer && state_->readers == 0; });
  --state_->waiting_writers;
  state_->writer = true;
}

bool Gate::claim() {
  std::lock_guard<std::mutex> held(state_->mutex);
  return !std::exchange(state_->claimed, true);
}

void Gate::give_up_claim() {
  std::lock_guard<std::mutex> held(state_->mutex);
  state_->claimed = false;
}

void Gate::unlock() {
  std::lock_guard<std::mutex> held(state_->mutex);
  state_->writer = false;
  state_->changed.notify_all();
}

void Gate::lock_shared() {
  std::unique_lock<std::mutex> held(state_->mutex);
  state_->changed.wait(held, [this] { return !state_->writer && state_->waiting_writers == 0; });
  ++state_->readers;
}

void Gate::unlock_shared() {
  std::lock_guard<std::mutex> held(state_->mutex);
  if (--state_->readers == 0) state_->changed.notify_all();
}

}  // namespace fastcnn
