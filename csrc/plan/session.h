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
  std::vector<Source> x;        // one for each input
  std::vector<Source> y;        // one for each output with a loss, in their order; none in predict
  std::vector<Source> weights;  // as many as y, or none: every sample weighs 1
  int64_t batch_size = 0;
};

// Of one output. A prediction is a row of it: one for each sample, unless the output has more than one axis.
struct Totals {
  double loss = 0;  // summed over the predictions
  int64_t correct = 0, predictions = 0;
};

class Session {
 public:
  Session(std::shared_ptr<Model> model, const SessionArguments& arguments);

  // predict: where the predictions of each output go, [N, *output], dense.
  void write_to(const std::vector<float*>& out) { out_ = out; }

  int64_t samples() const { return args_.x[0].shape[0]; }
  int64_t batches() const { return (samples() + args_.batch_size - 1) / args_.batch_size; }

  struct Run {
    const int64_t* order;  // batch i is made of the samples order[i B .. (i + 1) B); null: of those numbers
    int64_t begin;
    double seconds;
    std::vector<double> rates;  // of the optimizer, of batch begin and those after it; empty: the model's
  };
  // Runs batches from `begin` on until `seconds` have passed, none is left, or none has a rate; returns the
  // next.
  int64_t run(const Run& run);

  // One for each output; zeros for one without a loss.
  const std::vector<Totals>& totals() const { return totals_; }
  const std::vector<Totals>& last() const { return last_; }
  void reset();

 private:
  struct Loop;

  void check_input(size_t i) const;
  void check_target(size_t output, const Source& y) const;
  // How many weights each sample has.
  int64_t check_weights(size_t output, const Source& weights) const;
  Batch batch_of(int64_t n) const { return {n, weights_of_sample_}; }
  // How messages call array i of `count`.
  std::string array_name(const char* kind, size_t i, size_t count) const;
  Feeds feeds_for(int64_t n) const;
  int64_t run_batches(const Run& run);

  const std::shared_ptr<Model> model_;
  SessionArguments args_;
  std::vector<float*> out_;
  std::vector<size_t> measured_;            // outputs with a loss
  std::vector<int64_t> weights_of_sample_;  // for each output
  Recipe recipe_;
  uint64_t compilation_ = 0;
  Feeds full_, tail_;  // of a whole batch and of the last one
  std::atomic<bool> running_{false};
  std::vector<Totals> totals_, last_;
};

}  // namespace fastcnn
