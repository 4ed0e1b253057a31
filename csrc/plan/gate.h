// SPDX-License-Identifier: Apache-2.0
// Who may touch a model's weights: many readers (predict, evaluate) or one writer (a training step, new
// weights), writers first. A standard lock would stay locked in a child forked while another thread held it;
// this one is free there.
#pragma once
#include <condition_variable>
#include <mutex>

namespace fastcnn {

// For std::unique_lock and std::shared_lock.
class Gate {
 public:
  Gate();
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  void lock();
  void unlock();
  void lock_shared();
  void unlock_shared();
  // For a writer whose kind does not wait for each other: false if one of them is at work or waits for the
  // lock.
  bool claim();
  void give_up_claim();
  // A short lock for whatever else belongs to the model.
  std::mutex& mutex() { return state_->mutex; }

  // In a forked child: the threads that held anything are gone.
  void reset();

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    int readers = 0, waiting_writers = 0;
    bool writer = false, claimed = false;
  };
  State* state_;
};

}  // namespace fastcnn
