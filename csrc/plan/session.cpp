// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <shared_mutex>

namespace fastcnn {
namespace {

using Clock = std::chrono::steady_clock;

const char* const kModes[] = {"train", "evaluate", "predict"};

const char* name_of(Mode mode) { return kModes[static_cast<int>(mode)]; }

long long ll(int64_t value) { return static_cast<long long>(value); }

// Whether the axes of the source after the first are `shape`.
bool samples_have(const Source& source, const std::vector<int64_t>& shape) {
  return source.rank == static_cast<int>(shape.size()) + 1 &&
         std::equal(shape.begin(), shape.end(), source.shape + 1);
}

std::string wanted_shape(const std::vector<int64_t>& sample) {
  std::string text = "[N";
  for (const int64_t size : sample) text += ", " + std::to_string(size);
  return text + "]";
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
  const int64_t* order;
  const int64_t begin;
  const Clock::time_point deadline;
  size_t scratch_bytes = 0;

  int64_t next = 0;
  bool stop[2] = {};  // after an even batch, after an odd one
  bool refused = false;

  void operator()(Member& me) {
    if (!me.reserve(scratch_bytes)) {
      if (me.index == 0) refused = true;
      return;
    }
    Model& model = *session.model_;
    for (int64_t i = begin;; ++i) {
      const bool short_batch = i == session.batches() - 1;
      StepList& list = short_batch ? tail : full;
      const Feeds& feeds = short_batch ? session.tail_ : session.full_;
      const Memories now = memories_of(i);
      // Not all: reading the clock between steps costs a small network a percent.
      const bool timed = i < 8 || i % 64 == 0;
      run_list({model.backend(), list, feeds, now, timed}, me, model.run_scalars());
      if (me.index == 0) finish(i, list, now);
      me.barrier();
      // Written again two batches later: by then all have passed the barrier of the next.
      if (stop[i % 2]) return;
    }
  }

  Memories memories_of(int64_t batch) const {
    const SessionArguments& args = session.args_;
    const int64_t first = batch * args.batch_size;
    Memories m = memories;
    if (order) {
      m[Memory::kIndex] = const_cast<char*>(reinterpret_cast<const char*>(order + first));
    } else {
      m[Memory::kInput] += first * args.x.strides[0];
      if (args.has_target) m[Memory::kTarget] += first * args.y.strides[0];
    }
    if (session.out_)
      m[Memory::kOutput] +=
          first * session.model_->graph().output().count * static_cast<int64_t>(sizeof(float));
    return m;
  }

  // By member 0 alone, in the order of the batches.
  void finish(int64_t batch, const StepList& list, const Memories& now) {
    if (const auto* result = static_cast<const LossResult*>(now.at(list.result))) {
      const Node& output = session.model_->graph().output();
      session.last_ = {result->loss, result->correct, list.n * (output.count / output.shape.back())};
      session.totals_.loss += session.last_.loss;
      session.totals_.correct += session.last_.correct;
      session.totals_.predictions += session.last_.predictions;
    }
    if (session.args_.mode == Mode::kTrain) session.model_->count_step();
    next = batch + 1;
    stop[batch % 2] = next == session.batches() || Clock::now() >= deadline;
  }
};

Session::Session(std::shared_ptr<Model> model, const SessionArguments& arguments)
    : model_(std::move(model)), args_(arguments) {
  const char* op = name_of(args_.mode);
  {
    std::shared_lock<Gate> held(model_->gate());
    if (args_.mode != Mode::kPredict) model_->need_compiled(op);
    recipe_ = model_->recipe();
    compilation_ = model_->compilations();
  }
  if (args_.batch_size < 1)
    fail(Code::kArgument, "%s: batch_size is %lld, wanted at least 1", op, ll(args_.batch_size));
  check_input();
  args_.batch_size = std::min(args_.batch_size, samples());
  if (args_.mode != Mode::kPredict) check_target();
  full_ = feeds_for(args_.batch_size);
  tail_ = feeds_for(samples() - (batches() - 1) * args_.batch_size);
}

void Session::check_input() const {
  const Source& x = args_.x;
  const char* op = name_of(args_.mode);
  const std::vector<int64_t>& wanted = model_->graph().input().shape;
  if (x.rank == 0 || !samples_have(x, wanted))
    fail(Code::kShape, "%s: x has shape %s, wanted %s", op, ShapeText(x.shape, x.rank).text,
         wanted_shape(wanted).c_str());
  if (x.shape[0] < 1) fail(Code::kShape, "%s: x is empty, wanted at least one sample", op);
}

void Session::check_target() const {
  const Source& y = args_.y;
  const char* op = name_of(args_.mode);
  std::vector<int64_t> wanted = model_->graph().output().shape;
  const int64_t classes = wanted.back();
  if (!args_.has_target) fail(Code::kArgument, "%s: y is missing, wanted the targets of x", op);
  if (y.rank == 0) fail(Code::kShape, "%s: y is a single number, wanted one target for each sample of x", op);
  if (y.shape[0] != samples())
    fail(Code::kShape, "%s: x has %lld samples and y %lld, wanted as many", op, ll(samples()),
         ll(y.shape[0]));
  const bool sparse = recipe_.loss == Loss::kSparseCrossentropy;
  if (sparse) wanted.back() = 1;
  const std::vector<int64_t> without_last(wanted.begin(), wanted.end() - 1);
  const bool may_lack_last = wanted.back() == 1;
  if (!samples_have(y, wanted) && !(may_lack_last && samples_have(y, without_last)))
    fail(Code::kShape, "%s: y has shape %s, wanted %s%s", op, ShapeText(y.shape, y.rank).text,
         wanted_shape(may_lack_last ? without_last : wanted).c_str(),
         sparse ? " for class numbers (one-hot targets take categorical_crossentropy)" : "");
  if (sparse) check_labels(op, y, classes);
}

Feeds Session::feeds_for(int64_t n) const {
  const auto prepare = [this](const GatherShape& gather) {
    OpDescriptor op{};
    op.step = Step::k_gather;
    op.math = recipe_.math;
    op.gather = gather;
    Prepared prepared;
    Status status{};
    model_->backend().prepare(&op, &prepared, &status);
    check(status);
    return prepared;
  };
  Feeds feeds{};
  GatherShape x = gather_of(args_.x, n, DType::kF32);
  if (const int rescaling = fused_rescaling(model_->graph())) {
    x.scale = model_->graph().nodes[rescaling].forward.rescale.scale;
    x.offset = model_->graph().nodes[rescaling].forward.rescale.offset;
  }
  feeds.input = prepare(x);
  const bool sparse = recipe_.loss == Loss::kSparseCrossentropy;
  if (args_.has_target) feeds.target = prepare(gather_of(args_.y, n, sparse ? DType::kI32 : DType::kF32));
  return feeds;
}

int64_t Session::run(const int64_t* order, int64_t begin, double seconds) {
  const char* op = name_of(args_.mode);
  if (begin < 0 || begin >= batches())
    fail(Code::kArgument, "%s: begin is %lld, wanted 0 to %lld", op, ll(begin), ll(batches() - 1));
  for (int64_t i = begin * args_.batch_size; order && i < samples(); ++i)
    if (order[i] < 0 || order[i] >= samples())
      fail(Code::kArgument, "%s: order names sample %lld at index %lld, wanted 0 to %lld", op, ll(order[i]),
           ll(i), ll(samples() - 1));
  if (running_.exchange(true))
    throw std::runtime_error(std::string(op) + ": session busy: another thread runs it");
  struct Running {
    std::atomic<bool>& flag;
    ~Running() { flag = false; }
  } running{running_};
  if (args_.mode == Mode::kTrain) {
    const TrainingClaim claim(model_->gate());
    std::unique_lock<Gate> held(model_->gate());
    return run_batches(order, begin, seconds);
  }
  std::shared_lock<Gate> held(model_->gate());
  return run_batches(order, begin, seconds);
}

int64_t Session::run_batches(const int64_t* order, int64_t begin, double seconds) {
  const auto start = Clock::now();
  if (compilation_ != model_->compilations())
    fail(Code::kArgument, "%s: the model was compiled again after the session began; begin another",
         name_of(args_.mode));
  const Model::Lease plan(*model_, args_.mode);
  StepList& full = plan->list(args_.batch_size);
  StepList& tail = plan->list(samples() - (batches() - 1) * args_.batch_size);
  Memories memories;
  model_->bind(&memories);
  memories[Memory::kArena] = plan->arena();
  memories[Memory::kInput] = const_cast<char*>(args_.x.data);
  memories[Memory::kTarget] = const_cast<char*>(args_.y.data);
  memories[Memory::kOutput] = reinterpret_cast<char*>(out_);
  const std::chrono::duration<double> limit(seconds > 0 ? std::min(seconds, 1e6) : 0.0);
  Loop loop{
      *this, full, tail, memories, order, begin, start + std::chrono::duration_cast<Clock::duration>(limit)};
  loop.scratch_bytes = std::max(
      {full.scratch_bytes, tail.scratch_bytes, full_.input.scratch_bytes, full_.target.scratch_bytes});
  const bool parallel = (begin < batches() - 1 ? full : tail).parallel;
  run_team(parallel ? threads() : 1, [&loop](Member& me) { loop(me); });
  if (loop.refused)
    fail(Code::kMemory, "%s: a scratch buffer of %zu bytes for each thread was refused", name_of(args_.mode),
         loop.scratch_bytes);
  return loop.next;
}

}  // namespace fastcnn
