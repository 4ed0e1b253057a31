// SPDX-License-Identifier: Apache-2.0
#include "device_batch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "../base/status.h"
#include "plan.h"

namespace fastcnn {

namespace {

constexpr size_t kCaptures = 4;   // kept of a list: of training and validation data in turn, say
constexpr int64_t kNodes = 1024;  // of a graph: more take longer to capture than they save
constexpr int64_t kMostBatches = 16;

// A replay is about 5 us of the host and a graph's start on the GPU 2 us, in which LeNet does a part of a
// step.
int64_t batches_of_graph(const StepList& list) {
  const auto nodes = static_cast<int64_t>(list.steps.size()) + 2;
  return std::clamp(kNodes / nodes, int64_t{1}, kMostBatches);
}

struct Replay {
  const Device& device;
  void* handle;
  Replay(const Device& d, void* h) : device(d), handle(h) {}
  ~Replay() { device.drop_graph(handle); }
  Replay(const Replay&) = delete;
};

bool same_gather(const GatherShape& a, const GatherShape& b) {
  return a.n == b.n && a.rank == b.rank && std::equal(a.shape, a.shape + a.rank, b.shape) &&
         std::equal(a.strides, a.strides + a.rank, b.strides) && a.sample_stride == b.sample_stride &&
         a.from == b.from && a.to == b.to && a.scale == b.scale && a.offset == b.offset;
}

bool same_feeds(const std::vector<Prepared>& a, const std::vector<Prepared>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Prepared& x, const Prepared& y) {
    return same_gather(x.op.gather, y.op.gather);
  });
}

bool same_notes(const std::vector<Note>& a, const std::vector<Note>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Note& x, const Note& y) {
    return x.from == y.from && x.to == y.to && x.bytes == y.bytes && x.stride == y.stride;
  });
}

}  // namespace

// The graphs of one list that were captured for the same memory.
struct Capture {
  Feeds feeds;
  Memories memories;
  NextBatch next;
  std::vector<Note> notes;
  std::unique_ptr<Replay> one, several;

  bool serves(const DeviceBatch& b) const {
    return same_feeds(feeds.input, b.feeds.input) && same_feeds(feeds.target, b.feeds.target) &&
           same_feeds(feeds.weight, b.feeds.weight) &&
           std::equal(std::begin(memories.base), std::end(memories.base), b.memories.base) &&
           next.cursor == b.next.cursor && next.rates == b.next.rates && next.index == b.next.index &&
           same_notes(notes, b.notes);
  }
};

struct Captures {
  std::vector<std::unique_ptr<Capture>> all;  // used last at the end
  bool refused = false;                       // a step of the list cannot be captured
};

DeviceMeans::DeviceMeans(const Place& place) : place_(place) {
  Status status{};
  place.device().open_stream(&stream_, &status);
  check(status);
}

DeviceMeans::~DeviceMeans() {
  for (void* moment : moments_) place_.device().drop_moment(moment);
  if (turn_) place_.device().drop_moment(turn_);
  for (void* stream : of_branch_)
    if (stream) place_.device().close_stream(stream);
  place_.device().close_stream(stream_);
}

void* DeviceMeans::stream_of(int branch) {
  if (branch == 0) return stream_;
  void*& stream = of_branch_[branch];
  Status status{};
  if (!stream) place_.device().open_stream(&stream, &status);
  check(status);
  return stream;
}

void DeviceMeans::follow(void* then, void* first) {
  Status status{};
  place_.device().follow(then, first, &turn_, &status);
  check(status);
}

void DeviceMeans::wait() const {
  Status status{};
  place_.device().wait(stream_, &status);
  check(status);
}

namespace {

char* at_least(Buffer& buffer, size_t bytes, const char* what, Pool* pool) {
  if (buffer.bytes() < bytes) {
    buffer = Buffer();
    buffer = Buffer(bytes, what, pool);
  }
  return buffer.data();
}

}  // namespace

char* DeviceMeans::told(size_t bytes) {
  return at_least(told_, bytes, "the order of the samples", place_.pool);
}

char* DeviceMeans::kept(size_t bytes) {
  return at_least(kept_, bytes, "the results of batches", place_.pool);
}

void DeviceMeans::mark(size_t i) {
  if (moments_.size() <= i) moments_.resize(i + 1, nullptr);
  Status status{};
  place_.device().mark(&moments_[i], stream_, &status);
  check(status);
}

void begin_batch(const DeviceBatch& batch, DeviceMeans& means) {
  means.place().device().next_batch(&batch.next, means.stream());
}

namespace {

void run_step(const DeviceBatch& batch, const PlannedStep& step, void* stream, DeviceMeans& means) {
  const Operands operands = operands_of(step, batch.memories);
  Context context{nullptr, batch.memories.at(step.workspace), &batch.next.cursor->scalars, stream};
  means.place().backend->run(&prepared_of(batch.feeds, step), &operands, &context);
}

}  // namespace

void run_steps(const DeviceBatch& batch, size_t begin, size_t end, DeviceMeans& means) {
  for (size_t i = begin; i < end; ++i) run_step(batch, batch.list.steps[i], means.stream(), means);
}

void end_batch(const DeviceBatch& batch, DeviceMeans& means) {
  const Device& device = means.place().device();
  device.take_notes(batch.notes.data(), static_cast<int>(batch.notes.size()), batch.next.cursor,
                    means.stream());
  Status status{};
  device.launched("a batch", &status);
  check(status);
}

namespace {

void put(const DeviceBatch& batch, DeviceMeans& means) {
  begin_batch(batch, means);
  run_steps(batch, 0, batch.list.steps.size(), means);
  end_batch(batch, means);
}

void put_timed(const DeviceBatch& batch, DeviceMeans& means) {
  begin_batch(batch, means);
  means.mark(0);
  for (size_t i = 0; i < batch.list.steps.size(); ++i) {
    run_steps(batch, i, i + 1, means);
    means.mark(i + 1);
  }
  end_batch(batch, means);
}

bool is_wanted(const char* variable) {
  const char* const value = std::getenv(variable);
  return !value || std::strcmp(value, "0") != 0;
}

// With the branches of the list beside each other.
void put_branched(const DeviceBatch& batch, DeviceMeans& means) {
  const bool branches = is_wanted("FASTCNN_CUDA_BRANCHES");
  uint32_t open = 0;
  const auto join = [&](uint32_t which) {
    for (int branch = 1; branch <= kBranches; ++branch)
      if (open & which & 1u << branch) means.follow(means.stream(), means.stream_of(branch));
    open &= ~which;
  };
  begin_batch(batch, means);
  for (const PlannedStep& step : batch.list.steps) {
    join(step.joins);
    const int branch = branches ? step.branch : 0;
    void* const stream = means.stream_of(branch);
    if (branch) {
      means.follow(stream, means.stream());
      open |= 1u << branch;
    }
    run_step(batch, step, stream, means);
  }
  join(~0u);
  end_batch(batch, means);
}

// Null if the batches cannot be captured.
std::unique_ptr<Replay> captured(const DeviceBatch& batch, int64_t count, DeviceMeans& means) {
  const Device& device = means.place().device();
  Status status{}, end{};
  void* graph = nullptr;
  // Made before: what allocates may be refused while the thread captures.
  for (int branch = 1; branch <= kBranches; ++branch) means.stream_of(branch);
  means.follow(means.stream(), means.stream());
  device.begin_capture(means.stream(), &status);
  check(status);
  try {
    for (int64_t i = 0; i < count; ++i) put_branched(batch, means);
  } catch (const Error& error) {
    status.code = error.code;
  }
  device.end_capture(means.stream(), &graph, &end);
  if (end.code == Code::kLost) check(end);
  if (status.code == Code::kOk && end.code == Code::kOk)
    return std::unique_ptr<Replay>(new Replay(device, graph));
  if (graph) device.drop_graph(graph);
  return nullptr;
}

void replay(const Replay& graph, DeviceMeans& means) {
  Status status{};
  graph.device.replay(graph.handle, means.stream(), &status);
  check(status);
}

}  // namespace

bool put_batches(const DeviceBatch& batch, int64_t count, DeviceMeans& means) {
  if (!batch.list.captures) batch.list.captures = std::make_shared<Captures>();
  Captures& captures = *batch.list.captures;
  auto found = std::find_if(captures.all.begin(), captures.all.end(),
                            [&batch](const std::unique_ptr<Capture>& each) { return each->serves(batch); });
  const bool is_new = found == captures.all.end();
  if (is_new) {
    if (captures.all.size() == kCaptures) captures.all.erase(captures.all.begin());
    captures.all.emplace_back(
        new Capture{batch.feeds, batch.memories, batch.next, batch.notes, nullptr, nullptr});
    put_timed(batch, means);
    --count;
  } else {
    std::rotate(found, found + 1, captures.all.end());
  }
  Capture& capture = *captures.all.back();
  const int64_t several = batches_of_graph(batch.list);
  const bool graphs = is_wanted("FASTCNN_CUDA_GRAPHS");
  while (count > 0) {
    const int64_t some = count >= several ? several : 1;
    std::unique_ptr<Replay>& graph = some > 1 ? capture.several : capture.one;
    if (graphs && !captures.refused && !graph) {
      graph = captured(batch, some, means);
      captures.refused = !graph;
    }
    if (graphs && graph)
      replay(*graph, means);
    else
      for (int64_t i = 0; i < some; ++i) put(batch, means);
    count -= some;
  }
  return is_new;
}

void keep_times(StepList& list, DeviceMeans& means) {
  for (size_t i = 0; i < list.steps.size(); ++i) list.steps[i].end = means.seconds_until(i + 1);
  keep_fastest(list, 0);
}

}  // namespace fastcnn
