// SPDX-License-Identifier: Apache-2.0
// A session: one model at work on one set of arrays, batch by batch. Everything the caller passed is proven
// here before the first step runs; run() then trains, evaluates or predicts as many batches as fit the time,
// in one parallel region.
#pragma once
#include <atomic>
#include <memory>

#include "model.h"

namespace fastcnn {

struct SessionArguments {
  Mode mode = Mode::kPredict;
  Source x;
  bool has_target = false;
  Source y;
  int64_t batch_size = 0;
};

// A prediction is a row of the output: one for each sample, unless the output has more than one axis.
struct Totals {
  double loss = 0;  // summed over the predictions
  int64_t correct = 0, predictions = 0;
};

class Session {
 public:
  Session(std::shared_ptr<Model> model, const SessionArguments& arguments);

  // predict: where the predictions go, [N, *output], dense.
  void write_to(float* out) { out_ = out; }

  int64_t samples() const { return args_.x.shape[0]; }
  int64_t batches() const { return (samples() + args_.batch_size - 1) / args_.batch_size; }

  // Runs batches from `begin` on until `seconds` have passed or none is left; returns the next. Batch i is
  // made of the samples order[i B .. (i + 1) B), or of those numbers when order is null.
  int64_t run(const int64_t* order, int64_t begin, double seconds);

  const Totals& totals() const { return totals_; }
  const Totals& last() const { return last_; }
  void reset() { totals_ = last_ = Totals(); }

 private:
  struct Loop;

  void check_input() const;
  void check_target() const;
  Feeds feeds_for(int64_t n) const;
  int64_t run_batches(const int64_t* order, int64_t begin, double seconds);

  const std::shared_ptr<Model> model_;
  SessionArguments args_;
  float* out_ = nullptr;
  Recipe recipe_;
  uint64_t compilation_ = 0;
  Feeds full_, tail_;  // of a whole batch and of the last one
  std::atomic<bool> running_{false};
  Totals totals_, last_;
};

}  // namespace fastcnn
