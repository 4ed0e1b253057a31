// SPDX-License-Identifier: Apache-2.0
// A session's batches on a GPU: as many at once as fit the time, whose losses come back together. The host
// and the GPU meet twice for each such group, however many batches it has.
#include <algorithm>
#include <chrono>

#include "device_batch.h"
#include "session.h"

namespace fastcnn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kMostBatches = 256;  // of a group
constexpr int64_t kPredictionBytes = 64 << 20;

// What batches are told: this, then the numbers of a batch's samples, then the order of those of a group.
struct Told {
  Cursor cursor;
  float rates[kMostBatches];
};
constexpr size_t kTold = (sizeof(Told) + kAlignment - 1) / kAlignment * kAlignment;

}  // namespace

struct Session::DeviceLoop {
  Session& session;
  StepList &full, &tail;
  const Run& run;
  DeviceMeans& means;
  Memories memories;
  int64_t most;           // batches of a group
  char* told;             // Told | index | order
  char* kept;             // what is kept of each batch of a group: a row of results and penalties
  size_t row_bytes = 0;   // of a batch
  std::vector<char> row;  // of a group, on the host
  // What comes back of every batch besides: predictions, and targets that were mixed.
  struct Watched {
    Memory memory;
    int64_t floats;  // of a sample
    float* host;
    char* kept;
  };
  std::vector<Watched> watched;

  DeviceLoop(Session& s, const OnDevice& at)
      : session(s), full(at.full), tail(at.tail), run(at.run), means(at.plan.means()), memories(at.memories) {
    const SessionArguments& args = session.args_;
    session.data_->settle(session.recipe_.objectives, args.batch_size);
    session.data_->bind(&memories);
    for (size_t i = 0; i < session.out_.size(); ++i)
      watched.push_back(
          {port(Memory::kOutput, i), session.model_->graph().output(i).count, session.out_[i], nullptr});
    for (size_t i = 0; i < session.mixed_.size(); ++i)
      if (session.mixed_[i])
        watched.push_back({port(Memory::kMixed, i), session.mixed_count(i), session.mixed_[i], nullptr});
    int64_t predicted = 0;  // bytes of a batch
    for (const Watched& each : watched) predicted += room_for_batch(each);
    most = std::clamp(kPredictionBytes / std::max<int64_t>(1, predicted), int64_t{1}, kMostBatches);
    if (!session.data_->resident()) most = std::min(most, session.data_->batches());
    most = std::min(most, session.batches());
    const size_t index = align_up(static_cast<size_t>(args.batch_size) * sizeof(int64_t));
    told = means.told(kTold + index + static_cast<size_t>(most * args.batch_size) * sizeof(int64_t));
    memories[Memory::kIndex] = told + kTold;
    row_bytes = std::max(full.results.size() * sizeof(LossResult) + full.penalties.size() * sizeof(double),
                         size_t{1});
    const size_t rows = align_up(static_cast<size_t>(most) * row_bytes);
    row.resize(rows);
    kept = means.kept(rows + static_cast<size_t>((most + 1) * predicted));
    char* place = kept + rows;
    for (Watched& each : watched) {
      memories[each.memory] = place;
      each.kept = place + room_for_batch(each);
      place += (most + 1) * room_for_batch(each);
    }
  }

  static int64_t bytes_of(const Watched& each, int64_t samples) {
    return samples * each.floats * static_cast<int64_t>(sizeof(float));
  }
  int64_t room_for_batch(const Watched& each) const {
    return static_cast<int64_t>(align_up(static_cast<size_t>(bytes_of(each, session.args_.batch_size))));
  }

  DeviceBatch batch_of(StepList& list, const Feeds& feeds) const {
    auto* const all = reinterpret_cast<Told*>(told);
    auto* const index = reinterpret_cast<int64_t*>(memories.base[static_cast<int>(Memory::kIndex)]);
    DeviceBatch batch{list, feeds, memories, {&all->cursor, all->rates, index, list.batch.n}, {}};
    char* to = kept;
    const auto keep = [&](Ref ref, size_t bytes) {
      if (ref.memory != Memory::kNone)
        batch.notes.push_back(
            {memories.at(ref), to, static_cast<int64_t>(bytes), static_cast<int64_t>(row_bytes)});
      to += bytes;
    };
    for (const Ref& result : list.results) keep(result, sizeof(LossResult));
    for (const Ref& penalty : list.penalties) keep(penalty, sizeof(double));
    for (const Watched& each : watched)  // of whole batches one after the other
      batch.notes.push_back({memories.base[static_cast<int>(each.memory)], each.kept,
                             bytes_of(each, list.batch.n), bytes_of(each, session.args_.batch_size)});
    return batch;
  }

  // Batches [first, first + count) of one list, from their order to their totals.
  void group(int64_t first, int64_t count) {
    const bool short_batch = first == session.batches() - 1;
    StepList& list = short_batch ? tail : full;
    const DeviceBatch batch = batch_of(list, short_batch ? session.tail_ : session.full_);
    tell(first, count, list.batch.n);
    if (session.external_) {
      around_losses(batch, first);
      means.wait();
    } else {
      const bool timed = put_batches(batch, count, means);
      if (!session.data_->resident()) session.data_->bring_ahead(run.order);
      means.wait();
      if (timed) keep_times(list, means);
    }
    bring_back(first, count, list.batch.n);
    for (int64_t i = 0; i < count; ++i) {
      const char* const at = row.data() + static_cast<size_t>(i) * row_bytes;
      session.after_batch(run, first + i, list, [&](Ref ref) -> const void* {
        const void* const there = memories.at(ref);
        for (const Note& note : batch.notes)
          if (there && note.from == there) return at + (static_cast<char*>(note.to) - kept);
        return nullptr;
      });
    }
  }

  void tell(int64_t first, int64_t count, int64_t n) {
    const int64_t size = session.args_.batch_size, samples = (count - 1) * size + n;
    Model& model = *session.model_;
    Told now{};
    now.cursor.scalars = model.run_scalars();
    now.cursor.first_step = now.cursor.scalars.step;
    now.cursor.slot = -1;
    now.cursor.counts = session.args_.mode == Mode::kTrain && session.args_.updates;
    for (int64_t i = 0; i < count; ++i)
      now.rates[i] = run.rates.empty()
                         ? now.cursor.scalars.learning_rate
                         : static_cast<float>(run.rates[static_cast<size_t>(first - run.begin + i)]);
    if (!session.data_->resident()) {
      now.cursor.row = session.data_->bring({run.order, first * size, samples}, means);
    } else if (run.order) {
      const size_t before = kTold + align_up(static_cast<size_t>(size) * sizeof(int64_t));
      now.cursor.order = reinterpret_cast<const int64_t*>(told + before);
      upload(told + before, run.order + first * size, static_cast<size_t>(samples) * sizeof(int64_t));
    } else {
      now.cursor.row = first * size;
    }
    upload(told, &now, sizeof now);
  }

  void upload(void* to, const void* from, size_t bytes) const {
    Status status{};
    means.place().device().upload(to, from, bytes, means.stream(), &status);
    check(status);
  }

  void bring_back(int64_t first, int64_t count, int64_t n) {
    const Place& place = means.place();
    place.copy(row.data(), kept, static_cast<size_t>(count) * row_bytes);
    const int64_t size = session.args_.batch_size;
    const int64_t begin = session.args_.mode == Mode::kPredict ? first * size : (first - run.begin) * size;
    for (const Watched& each : watched)
      place.copy(each.host + begin * each.floats, each.kept,
                 static_cast<size_t>(bytes_of(each, (count - 1) * size + n)));
  }

  // One batch, with a stop at each loss that is a function of the caller's.
  void around_losses(const DeviceBatch& batch, int64_t number) {
    const std::vector<PlannedStep>& steps = batch.list.steps;
    begin_batch(batch, means);
    for (size_t begin = 0, end = 0;; begin = ++end) {
      while (end < steps.size() && steps[end].feed != Feed::kLoss) ++end;
      run_steps(batch, begin, end, means);
      if (end == steps.size()) break;
      means.wait();
      measure(steps[end], batch.list.batch.n, number);
    }
    end_batch(batch, means);
  }

  void measure(const PlannedStep& loss, int64_t n, int64_t number) const {
    const auto output = static_cast<size_t>(loss.port);
    const auto floats = static_cast<size_t>(n * session.model_->graph().output(output).count);
    std::vector<float> seen(floats), gradient(floats);
    LossResult result{};
    float* const dx = static_cast<float*>(memories.at(loss.out[0]));
    means.place().copy(seen.data(), memories.at(loss.in[0]), floats * sizeof(float));
    session.external_(output, number, seen.data(), dx ? gradient.data() : nullptr, &result);
    if (dx) upload(dx, gradient.data(), floats * sizeof(float));
    upload(memories.at(loss.out[1]), &result, sizeof result);
  }

  // How many batches fit the time that is left, by what the latest took.
  int64_t group_size(int64_t batch, double seconds) const {
    const int64_t last = session.last_batch(run), whole = session.batches() - 1;
    if (batch == whole || session.external_) return 1;
    int64_t left = std::min({most, last - batch, whole - batch});
    if (!session.data_->resident()) {  // what is on its way is not asked for again
      const int64_t size = session.args_.batch_size;
      const int64_t here = session.data_->count_here({run.order, batch * size, left * size}) / size;
      if (here > 0) left = std::min(left, here);
    }
    if (!(seconds > 0) || full.batch_seconds <= 0) return 1;
    return std::clamp(static_cast<int64_t>(std::min(seconds / full.batch_seconds, 1e6)), int64_t{1}, left);
  }

  int64_t operator()() {
    const auto start = Clock::now();
    const auto passed = [start] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    int64_t batch = run.begin;
    do {
      const double before = passed();
      const int64_t count = group_size(batch, run.seconds - before);
      group(batch, count);
      StepList& list = batch == session.batches() - 1 ? tail : full;
      list.batch_seconds = (passed() - before) / static_cast<double>(count);
      batch += count;
    } while (batch < session.last_batch(run) && passed() < run.seconds);
    return batch;
  }
};

int64_t Session::run_on_device(const OnDevice& at) { return DeviceLoop(*this, at)(); }

}  // namespace fastcnn
