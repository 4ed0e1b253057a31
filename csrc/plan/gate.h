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
  // Waits for readers, but not for another writer: false if there is one, at work or waiting.
  bool try_lock();
  void unlock();
  void lock_shared();
  void unlock_shared();
  // A short lock for whatever else belongs to the model.
  std::mutex& mutex() { return state_->mutex; }

  // In a forked child: the threads that held anything are gone.
  void reset();

 private:
  struct State {
    void become_writer(std::unique_lock<std::mutex>& held);

    std::mutex mutex;
    std::condition_variable changed;
    int readers = 0, waiting_writers = 0;
    bool writer = false;
  };
  State* state_;
};

}  // namespace fastcnn
