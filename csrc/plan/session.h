// SPDX-License-Identifier: Apache-2.0
// A session: one model at work on one set of arrays, batch by batch. Everything the caller passed is proven
// here before the first step runs; run() then trains, evaluates or predicts as many batches as fit the time,
// in one parallel region.
#pragma once
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>

#include "device_data.h"
#include "model.h"

namespace fastcnn {

struct SessionArguments {
  Mode mode = Mode::kPredict;
  std::string where;            // what the caller called; opens messages
  std::vector<Source> x;        // one for each input
  std::vector<Source> y;        // one for each output with a loss, in their order; none in predict
  std::vector<Source> weights;  // as many as y, or none: every sample weighs 1
  int64_t batch_size = 0;
  bool updates = true;  // train: false leaves gradients and changes no weight
  // Train, evaluate: predictions of so many batches can be written, those of a run from its first one on; 0:
  // they are not. predict has room for all.
  int64_t observed_batches = 0;
};

// Of the outputs that have external losses. Called by one thread at a time, while the model's weights are
// held: it must not touch the model. Throws what run() is to throw.
using ExternalLoss = std::function<void(size_t output, int64_t batch, const float* predictions,
                                        float* gradient, LossResult* result)>;

// Of one output. A prediction is a row of it: one for each sample, unless the output has more than one axis.
struct Totals {
  double loss = 0;  // summed over the predictions
  int64_t correct = 0, predictions = 0;
};

class Session {
 public:
  Session(std::shared_ptr<Model> model, const SessionArguments& arguments);

  // Where the predictions of each output go, dense: [N, *output], or those of observed_batches.
  void write_to(const std::vector<float*>& out) { out_ = out; }
  // The same of the targets of each output whose samples are mixed in training; null for the others.
  void write_mixed_to(const std::vector<float*>& mixed) { mixed_ = mixed; }
  // Whether a layer mixes the samples of this output, and its targets so; and what a row of these holds, as
  // the loss reads them: of labels the rows' axes and then the classes.
  int64_t mixed_count(size_t output) const {
    return mixes(output) ? model_->graph().output(output).count : 0;
  }
  bool mixes(size_t output) const { return !mixed_shapes_[output].empty(); }
  const std::vector<int64_t>& mixed_shape(size_t output) const { return mixed_shapes_[output]; }

  void measure_by(ExternalLoss loss) { external_ = std::move(loss); }

  int64_t samples() const { return args_.x[0].shape[0]; }
  // Of a batch that is not run in parts.
  int64_t samples_of(int64_t batch) const {
    return std::min(args_.batch_size, samples() - batch * args_.batch_size);
  }
  int64_t batches() const { return (lists() + parts_ - 1) / parts_; }

  struct Run {
    const int64_t* order;  // batch i is made of the samples order[i B .. (i + 1) B); null: of those numbers
    int64_t begin, end;    // batches; end is capped by their number
    double seconds;
    std::vector<double> rates;  // of the optimizer, of batch begin and those after it; empty: the model's
  };
  // Runs batches from `begin` on until `seconds` have passed, `end` is reached, none has a rate, or there is
  // no room for predictions; returns the next.
  int64_t run(const Run& run);

  // One for each output; zeros for one without a loss.
  const std::vector<Totals>& totals() const { return totals_; }
  const std::vector<Totals>& last() const { return last_; }
  // Of regularizers: summed over the batches, each times its samples.
  double penalty() const { return penalty_; }
  void reset();
  // Goes on from sums that another session left.
  void resume(const std::vector<Totals>& totals, double penalty);

 private:
  struct Loop;
  struct DeviceLoop;

  void check_input(size_t i) const;
  void check_target(size_t output, const Source& y) const;
  void check_mixing();
  // How many weights each sample has.
  int64_t check_weights(size_t output, const Source& weights) const;
  Batch batch_of(int64_t n) const {
    return {n, weights_of_sample_, args_.observed_batches > 0, args_.updates};
  }
  // How messages call array i of `count`.
  std::string array_name(const char* kind, size_t i, size_t count) const;
  Feeds feeds_for(int64_t n) const;
  int64_t run_batches(const Run& run);
  struct OnDevice {
    Plan& plan;
    StepList &full, &tail;
    Memories memories;  // of the model and the plan
    const Run& run;
  };
  int64_t run_on_device(const OnDevice& at);
  int64_t lists() const { return (samples() + args_.batch_size - 1) / args_.batch_size; }
  int64_t last_batch(const Run& run) const;
  // In the order of the batches; `at` finds what the batch measured.
  void after_batch(const Run& run, int64_t batch, const StepList& list,
                   const std::function<const void*(Ref)>& at);

  const std::shared_ptr<Model> model_;
  SessionArguments args_;             // batch_size: of a part
  int64_t parts_ = 1;                 // of a batch of predictions, each a batch to all of the below
  std::unique_ptr<DeviceData> data_;  // on a GPU
  std::vector<float*> out_, mixed_;
  std::vector<std::vector<int64_t>> mixed_shapes_;  // of each output; empty: its targets stay
  std::vector<size_t> measured_;                    // outputs whose loss reads targets here
  std::vector<int64_t> weights_of_sample_;          // for each output
  Recipe recipe_;
  uint64_t compilation_ = 0;
  Feeds full_, tail_;  // of a whole batch and of the last one
  std::atomic<bool> running_{false};
  std::vector<Totals> totals_, last_;
  double penalty_ = 0;
  ExternalLoss external_;
};

}  // namespace fastcnn
