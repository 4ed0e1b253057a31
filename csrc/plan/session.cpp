// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <shared_mutex>

#include "operator.h"

namespace fastcnn {
namespace {

using Clock = std::chrono::steady_clock;

long long ll(int64_t value) { return static_cast<long long>(value); }

// The loss of a batch as that many equal ones: means over batches weigh them by their size, as Keras does.
double summed_loss(const LossResult& result, int64_t predictions) {
  const double count = static_cast<double>(predictions);
  if (result.divisor == count) return result.loss;
  return result.divisor ? result.loss / result.divisor * count : 0;
}

// Whether gathering changes nothing.
bool is_dense(const GatherShape& s) {
  int64_t bytes = sizeof(float);
  bool dense = s.from == DType::kF32 && s.to == DType::kF32 && s.scale == 1 && s.offset == 0;
  for (int d = s.rank - 1; d >= 0; bytes *= s.shape[d], --d)
    dense = dense && (s.strides[d] == bytes || s.shape[d] == 1);
  return dense && (s.sample_stride == bytes || s.n == 1);
}

// Training steps of two threads would mix: the second is refused.
class TrainingClaim {
 public:
  explicit TrainingClaim(Gate& gate) : gate_(gate) {
    if (!gate.claim()) throw std::runtime_error("train: model busy: another thread trains it");
  }
  ~TrainingClaim() { gate_.give_up_claim(); }
  TrainingClaim(const TrainingClaim&) = delete;

 private:
  Gate& gate_;
};

}  // namespace

// The batches of one call of run(), by all members of a team in step.
struct Session::Loop {
  Session& session;
  StepList &full, &tail;
  const Memories memories;  // of sample 0
  const Run& run;
  const Clock::time_point deadline;
  const int members;  // of a team
  size_t scratch_bytes = 0;
  bool refused = false;

  // Where the team stands. A member that lost its core for a while goes on from here.
  struct Place {
    int64_t batch, end;  // of a turn: one batch by all, or several by a member each
    uint32_t phase;      // before the first of the turn
    bool stop, ready, timed;
    double begin;
    RunScalars scalars;
  };
  Place place = {};
  std::mutex place_lock = {};

  void operator()(Member& me) {
    if (!me.reserve(scratch_bytes)) {
      if (me.index == 0) refused = true;
      return;
    }
    for (;;) {
      const Place at = current();
      if (at.stop) return;
      me.phase = at.phase;
      StepList& list = list_of(at.batch);
      const Memories now = memories_of(at.batch);
      if (at.end == at.batch + 1)
        run_batch(at, at.batch, now, me);
      else
        parallel_for(me, at.end - at.batch, [&](int64_t i) {
          const Memories own = memories_of(
              at.batch + i, static_cast<size_t>(me.index) * std::max(full.arena_bytes, tail.arena_bytes));
          Team nobody;
          Member alone{&nobody, 0, 1};
          run_batch(at, at.batch + i, own, alone);
        });
      parallel_for(me, 1, [&](int64_t) {
        if (at.timed) keep_fastest(list, at.begin);
        finish(at.end - 1, me.phase, list, now);
      });
    }
  }

  // Of the batches of a turn the first may be timed.
  void run_batch(const Place& at, int64_t batch, const Memories& now, Member& me) const {
    StepList& list = list_of(batch);
    const bool timed = at.timed && batch == at.batch;
    run_list({session.model_->backend(), list, feeds_of(batch), now, timed, at.ready, 0, list.steps.size()},
             me, at.scalars);
  }

  // All batches if there are external losses: a team works up to each of them, and another goes on.
  void run_around_losses() {
    while (!place.stop && !refused) {
      const Place at = place;
      StepList& list = list_of(at.batch);
      const Memories now = memories_of(at.batch);
      const Feeds& feeds = feeds_of(at.batch);
      ListRun part{session.model_->backend(), list, feeds, now, false, at.ready, 0, 0};
      while (part.end < list.steps.size() && !refused) {
        while (part.end < list.steps.size() && list.steps[part.end].feed != Feed::kLoss) ++part.end;
        run_team(list.parallel ? threads() : 1, [&](Member& me) {
          if (me.reserve(scratch_bytes))
            run_list(part, me, at.scalars);
          else if (me.index == 0)
            refused = true;
        });
        if (part.end == list.steps.size() || refused) break;
        measure(list.steps[part.end], at.batch, now);
        part.begin = ++part.end;
      }
      if (!refused) finish(at.batch, at.phase, list, now);
    }
  }

  void measure(const PlannedStep& loss, int64_t batch, const Memories& now) const {
    session.external_(static_cast<size_t>(loss.port), batch, static_cast<const float*>(now.at(loss.in[0])),
                      static_cast<float*>(now.at(loss.out[0])),
                      static_cast<LossResult*>(now.at(loss.out[1])));
  }

  Place current() {
    const std::lock_guard<std::mutex> held(place_lock);
    return place;
  }

  bool is_last(int64_t batch) const { return batch == session.lists() - 1; }
  StepList& list_of(int64_t batch) const { return is_last(batch) ? tail : full; }
  const Feeds& feeds_of(int64_t batch) const { return is_last(batch) ? session.tail_ : session.full_; }

  bool is_ready(const StepList& list) const { return list.constants_of == session.model_->version(); }

  // Of a batch in parts as many as can go to each member alike: they meet only at the end of these. All run
  // together what is left, and a part that makes the constants of its list.
  int64_t end_of_turn(int64_t batch) const {
    const int64_t end = std::min((batch / session.parts_ + 1) * session.parts_, session.last_batch(run));
    const int64_t parts = (end - batch) / members * members;
    const bool spread = parts > 1 && is_ready(list_of(batch)) && is_ready(list_of(batch + parts - 1));
    return batch + (spread ? parts : 1);
  }

  // What holds before batch `batch`.
  Place before(int64_t batch, uint32_t phase, bool stop) const {
    const StepList& list = list_of(batch);
    // Not all: reading the clock between steps costs a small network a percent.
    return {
        batch,          stop ? batch : end_of_turn(batch),    phase,         stop,
        is_ready(list), list.runs < 8 || list.runs % 64 == 0, seconds_now(), session.model_->run_scalars()};
  }

  Memories memories_of(int64_t batch, size_t arena = 0) const {
    const SessionArguments& args = session.args_;
    const int64_t first = batch * args.batch_size;
    Memories m = memories;
    m[Memory::kArena] += arena;
    m[Memory::kConstants] = list_of(batch).constants.data();
    if (run.order) {
      m[Memory::kIndex] = const_cast<char*>(reinterpret_cast<const char*>(run.order + first));
    } else {
      for (size_t i = 0; i < args.x.size(); ++i) m[port(Memory::kInput, i)] += first * args.x[i].strides[0];
      for (size_t i = 0; i < args.y.size(); ++i)
        m[port(Memory::kTarget, session.measured_[i])] += first * args.y[i].strides[0];
      for (size_t i = 0; i < args.weights.size(); ++i)
        m[port(Memory::kWeight, session.measured_[i])] += first * args.weights[i].strides[0];
    }
    const int64_t row = args.mode == Mode::kPredict ? first : (batch - run.begin) * args.batch_size;
    for (size_t i = 0; i < session.out_.size(); ++i)
      m[port(Memory::kOutput, i)] +=
          row * session.model_->graph().output(i).count * static_cast<int64_t>(sizeof(float));
    for (size_t i = 0; i < session.mixed_.size(); ++i)
      if (session.mixed_[i])
        m[port(Memory::kMixed, i)] += row * session.mixed_count(i) * static_cast<int64_t>(sizeof(float));
    const std::vector<Ref>& batches = list_of(batch).batches;
    for (size_t i = 0; i < batches.size(); ++i) {
      char* const x = m[port(Memory::kInput, i)];
      const bool there = !run.order && is_dense(feeds_of(batch).input[i].op.gather) &&
                         reinterpret_cast<uintptr_t>(x) % alignof(float) == 0;
      m[port(Memory::kBatch, i)] = there ? x : static_cast<char*>(m.at(batches[i]));
    }
    return m;
  }

  // By one member, in the order of the batches.
  void finish(int64_t batch, uint32_t phase, StepList& list, const Memories& now) {
    list.constants_of = session.model_->version();
    ++list.runs;
    session.after_batch(run, batch, list, [&now](Ref ref) { return now.at(ref); });
    const bool whole = (batch + 1) % session.parts_ == 0;
    const bool stop = batch + 1 == session.last_batch(run) || (whole && Clock::now() >= deadline);
    const std::lock_guard<std::mutex> held(place_lock);
    place = before(batch + 1, phase, stop);
  }
};

int64_t Session::last_batch(const Run& run) const {
  int64_t last = std::min(lists(), run.end);
  if (!run.rates.empty()) last = std::min(last, run.begin + static_cast<int64_t>(run.rates.size()));
  if (args_.observed_batches > 0) last = std::min(last, run.begin + args_.observed_batches);
  return last;
}

void Session::after_batch(const Run& run, int64_t batch, const StepList& list,
                          const std::function<const void*(Ref)>& at) {
  for (size_t i = 0; i < list.results.size(); ++i) {
    const auto* result = static_cast<const LossResult*>(at(list.results[i]));
    if (!result) continue;
    const Node& output = model_->graph().output(i);
    Totals& last = last_[i];
    Totals& totals = totals_[i];
    const int64_t predictions = list.batch.n * (output.count / output.shape.back());
    last = {summed_loss(*result, predictions), result->correct, predictions};
    totals.loss += last.loss;
    totals.correct += last.correct;
    totals.predictions += last.predictions;
  }
  for (const Ref& penalty : list.penalties)
    penalty_ += *static_cast<const double*>(at(penalty)) * static_cast<double>(list.batch.n);
  if (args_.mode == Mode::kTrain && args_.updates) model_->count_step();
  if (batch + 1 < last_batch(run) && !run.rates.empty())
    model_->use_rate(run.rates[static_cast<size_t>(batch + 1 - run.begin)]);
}

Session::Session(std::shared_ptr<Model> model, const SessionArguments& arguments)
    : model_(std::move(model)), args_(arguments) {
  const char* op = args_.where.c_str();
  {
    std::shared_lock<Gate> held(model_->gate());
    if (args_.mode != Mode::kPredict) model_->need_compiled(op);
    recipe_ = model_->recipe();
    compilation_ = model_->compilations();
  }
  if (args_.batch_size < 1)
    fail(Code::kArgument, "%s: batch_size is %lld, wanted at least 1", op, ll(args_.batch_size));
  const Graph& graph = model_->graph();
  if (args_.x.size() != graph.inputs.size())
    fail(Code::kArgument, "%s: x has %zu arrays, wanted %zu: one for each input", op, args_.x.size(),
         graph.inputs.size());
  for (size_t i = 0; i < args_.x.size(); ++i) check_input(i);
  args_.batch_size = std::min(args_.batch_size, samples());
  if (args_.mode != Mode::kPredict) {
    for (size_t i = 0; i < recipe_.objectives.size(); ++i)
      if (recipe_.objectives[i].present && !recipe_.objectives[i].external) measured_.push_back(i);
    if (args_.y.empty() && !measured_.empty())
      fail(Code::kArgument, "%s: y is missing, wanted the targets of x", op);
    if (args_.y.size() != measured_.size())
      fail(Code::kArgument, "%s: y has %zu arrays, wanted %zu: one for each output with a loss", op,
           args_.y.size(), measured_.size());
    for (size_t i = 0; i < args_.y.size(); ++i) check_target(measured_[i], args_.y[i]);
  }
  check_mixing();
  weights_of_sample_.resize(graph.outputs.size());
  if (!args_.weights.empty() && args_.weights.size() != args_.y.size())
    fail(Code::kArgument, "%s: sample_weight has %zu arrays, wanted %zu: one for each array of y", op,
         args_.weights.size(), args_.y.size());
  for (size_t i = 0; i < args_.weights.size(); ++i)
    weights_of_sample_[measured_[i]] = check_weights(measured_[i], args_.weights[i]);
  if (model_->place().on_gpu()) {
    data_.reset(new DeviceData(model_->place()));
    for (size_t i = 0; i < args_.x.size(); ++i) args_.x[i] = data_->add(args_.x[i], port(Memory::kInput, i));
    for (size_t i = 0; i < args_.y.size(); ++i)
      args_.y[i] = data_->add(args_.y[i], port(Memory::kTarget, measured_[i]));
    for (size_t i = 0; i < args_.weights.size(); ++i)
      args_.weights[i] = data_->add(args_.weights[i], port(Memory::kWeight, measured_[i]));
  }
  reset();
  if (args_.mode == Mode::kPredict) {
    std::shared_lock<Gate> held(model_->gate());
    const int64_t at_once = Model::Lease(*model_, args_.mode)->at_once(args_.batch_size);
    parts_ = args_.batch_size / at_once;
    args_.batch_size = at_once;
  }
  if (lists() > 1) full_ = feeds_for(args_.batch_size);
  tail_ = feeds_for(samples_of(lists() - 1));
}

void Session::reset() {
  totals_.assign(model_->graph().outputs.size(), Totals());
  last_ = totals_;
  penalty_ = 0;
}

void Session::resume(const std::vector<Totals>& totals, double penalty) {
  if (totals.size() != totals_.size())
    fail(Code::kArgument, "session: totals has %zu entries, wanted %zu: one for each output", totals.size(),
         totals_.size());
  totals_ = totals;
  penalty_ = penalty;
}

Feeds Session::feeds_for(int64_t n) const {
  const auto prepare = [this](const GatherShape& gather, Layout layout = Layout::kChannelsLast,
                              Storage storage = Storage::kFloat32) {
    OpDescriptor op{};
    op.step = Step::k_gather;
    op.math = recipe_.math;
    op.layout = layout;
    op.storage = storage;
    op.gather = gather;
    Prepared prepared;
    Status status{};
    model_->backend().prepare(&op, &prepared, &status);
    check(status);
    return prepared;
  };
  Feeds feeds{};
  const Graph& graph = model_->graph();
  const bool narrow = storage_of_plan(model_->backend(), recipe_.precision) == Storage::kBfloat16;
  const Storage of_input = narrow ? Storage::kNarrowing : Storage::kFloat32;
  for (size_t i = 0; i < args_.x.size(); ++i) {
    GatherShape x = gather_of(args_.x[i], n, DType::kF32);
    if (const int rescaling = fused_rescaling(graph, static_cast<int>(i))) {
      x.scale = graph.nodes[rescaling].forward.rescale.scale;
      x.offset = graph.nodes[rescaling].forward.rescale.offset;
    }
    feeds.input.push_back(prepare(x, Layout::kChannelsLast, of_input));
    if (!model_->place().on_gpu() && n >= kBatchLanes)
      feeds.input_in_lanes.push_back(prepare(x, Layout::kBatchInLanes));
  }
  feeds.target.resize(graph.outputs.size());
  for (size_t i = 0; i < args_.y.size(); ++i) {
    const bool sparse = takes_labels(recipe_.objectives[measured_[i]].loss);
    feeds.target[measured_[i]] = prepare(gather_of(args_.y[i], n, sparse ? DType::kI32 : DType::kF32));
  }
  feeds.weight.resize(graph.outputs.size());
  for (size_t i = 0; i < args_.weights.size(); ++i)
    feeds.weight[measured_[i]] = prepare(gather_of(args_.weights[i], n, DType::kF32));
  return feeds;
}

int64_t Session::run(const Run& run) {
  const char* op = args_.where.c_str();
  const int64_t *order = run.order, begin = run.begin;
  if (begin < 0 || begin >= batches())
    fail(Code::kArgument, "%s: begin is %lld, wanted 0 to %lld", op, ll(begin), ll(batches() - 1));
  if (run.end <= begin)
    fail(Code::kArgument, "%s: end is %lld, wanted more than %lld", op, ll(run.end), ll(begin));
  for (const Objective& objective : recipe_.objectives)
    if (args_.mode != Mode::kPredict && objective.external && !external_)
      fail(Code::kArgument, "%s: external is missing, wanted the function of the external loss", op);
  for (int64_t i = begin * parts_ * args_.batch_size; order && i < samples(); ++i)
    if (order[i] < 0 || order[i] >= samples())
      fail(Code::kArgument, "%s: order names sample %lld at index %lld, wanted 0 to %lld", op, ll(order[i]),
           ll(i), ll(samples() - 1));
  for (size_t i = 0; args_.observed_batches > 0 && i < mixed_shapes_.size(); ++i)
    if (mixes(i) && (mixed_.size() <= i || !mixed_[i]))
      fail(Code::kArgument, "%s: mixed is missing, wanted a place for the mixed targets of output %zu", op,
           i);
  for (const double rate : run.rates) check_learning_rate(rate);
  if (!run.rates.empty() && args_.mode != Mode::kTrain)
    fail(Code::kArgument, "%s: rates came, wanted them in training alone", op);
  if (running_.exchange(true))
    throw std::runtime_error(std::string(op) + ": session busy: another thread runs it");
  struct Running {
    std::atomic<bool>& flag;
    ~Running() { flag = false; }
  } running{running_};
  if (args_.mode == Mode::kTrain) {
    const TrainingClaim claim(model_->gate());
    std::unique_lock<Gate> held(model_->gate());
    return run_batches(run);
  }
  Run parts = run;
  parts.begin *= parts_;
  parts.end = std::min(run.end, batches()) * parts_;
  std::shared_lock<Gate> held(model_->gate());
  return (run_batches(parts) + parts_ - 1) / parts_;
}

int64_t Session::run_batches(const Run& run) {
  const auto start = Clock::now();
  if (args_.mode == Mode::kTrain) model_->change_parameters();
  if (compilation_ != model_->compilations())
    fail(Code::kArgument, "%s: the model was compiled again after the session began; begin another",
         args_.where.c_str());
  const Model::Lease plan(*model_, args_.mode);
  int members = parts_ > 1 ? threads() : 1;  // asks the system, which one image in a small network notices
  const int arenas = parts_ >= members ? members : 1;
  StepList& full = plan->list(batch_of(args_.batch_size), arenas);
  StepList& tail = plan->list(batch_of(samples_of(lists() - 1)), arenas);
  Memories memories;
  model_->bind(&memories);
  memories[Memory::kArena] = plan->arena();
  if (!run.rates.empty()) model_->use_rate(run.rates[0]);
  if (data_) return run_on_device({*plan.operator->(), full, tail, memories, run});
  for (size_t i = 0; i < recipe_.objectives.size(); ++i)
    memories[port(Memory::kClassAlpha, i)] =
        reinterpret_cast<char*>(const_cast<float*>(recipe_.objectives[i].loss.class_alpha.data()));
  for (size_t i = 0; i < args_.x.size(); ++i)
    memories[port(Memory::kInput, i)] = const_cast<char*>(args_.x[i].data);
  for (size_t i = 0; i < args_.y.size(); ++i)
    memories[port(Memory::kTarget, measured_[i])] = const_cast<char*>(args_.y[i].data);
  for (size_t i = 0; i < args_.weights.size(); ++i)
    memories[port(Memory::kWeight, measured_[i])] = const_cast<char*>(args_.weights[i].data);
  for (size_t i = 0; i < out_.size(); ++i)
    memories[port(Memory::kOutput, i)] = reinterpret_cast<char*>(out_[i]);
  for (size_t i = 0; i < mixed_.size(); ++i)
    memories[port(Memory::kMixed, i)] = reinterpret_cast<char*>(mixed_[i]);
  const std::chrono::duration<double> limit(run.seconds > 0 ? std::min(run.seconds, 1e6) : 0.0);
  if (parts_ == 1 && (full.parallel || tail.parallel)) members = threads();
  Loop loop{*this,  full, tail, memories, run, start + std::chrono::duration_cast<Clock::duration>(limit),
            members};
  loop.place = loop.before(run.begin, 0, false);
  loop.scratch_bytes = std::max(full.scratch_bytes, tail.scratch_bytes);
  for (const std::vector<Prepared>* feeds :
       {&full_.input, &full_.target, &full_.weight, &tail_.input, &tail_.target, &tail_.weight})
    for (const Prepared& feed : *feeds) loop.scratch_bytes = std::max(loop.scratch_bytes, feed.scratch_bytes);
  const bool parallel = loop.list_of(run.begin).parallel;
  if (external_)
    loop.run_around_losses();
  else
    run_team(parallel ? members : 1, [&loop](Member& me) { loop(me); });
  if (loop.refused)
    fail(Code::kMemory, "%s: a scratch buffer of %zu bytes for each thread was refused", args_.where.c_str(),
         loop.scratch_bytes);
  return loop.place.batch;
}

}  // namespace fastcnn
