// SPDX-License-Identifier: Apache-2.0
// Streams, captured graphs and errors of the emulated GPU. The legacy stream does at once what it is given;
// any other keeps it until it is waited for, so that a wait which is missing shows.
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "cuda_runtime.h"
#include "memory.h"

#define FASTCNN_EXPORT extern "C" __attribute__((visibility("default")))

namespace emulated {

void run_grid(dim3 blocks, dim3 threads, const std::function<void()>& thread);

namespace {

using Work = std::function<void()>;

// A captured graph: what each of its nodes comes after.
struct Node {
  Work work;
  std::vector<size_t> after;
};
struct Stream;
struct Capture {
  Stream* origin;
  std::vector<Stream*> streams;  // that have joined it
  std::vector<Node> nodes;
  const std::thread::id thread = std::this_thread::get_id();
};

struct Stream {
  std::deque<Work> waiting;
  int64_t put = 0, done = 0;
  Capture* capture = nullptr;
  std::vector<size_t> last;  // nodes that the next one comes after
};

struct Event {
  const std::shared_ptr<double> time = std::make_shared<double>(0);
  Stream* stream = nullptr;  // where it was recorded, after so much work
  int64_t put = 0;
  Capture* capture = nullptr;  // or after these nodes
  std::vector<size_t> last;
};

std::recursive_mutex mutex;
cudaError_t last = cudaSuccess;     // since it was asked for
cudaError_t failure = cudaSuccess;  // of a kernel: stays
int64_t kernels, graphs, captures;
int64_t forks;     // captured nodes that come after several
int64_t ahead;     // copies of pinned memory that were put on a stream while another had work
int64_t fails_in;  // the kernel that fails; 0: none
cudaError_t fails_with = cudaSuccess;

cudaError_t told(cudaError_t error) {
  if (failure != cudaSuccess) return failure;
  if (error != cudaSuccess) last = error;
  return error;
}

std::set<Stream*> alive;
std::map<const char*, size_t> pinned;

void flush(Stream& stream, int64_t until) {
  const AtWork open;
  while (stream.done < until && !stream.waiting.empty()) {
    const Work work = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    ++stream.done;
    if (failure == cudaSuccess) work();
  }
}
void flush(Stream& stream) { flush(stream, stream.put); }

void put(void* on, Work work) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (failure != cudaSuccess) return;
  auto* const stream = static_cast<Stream*>(on);
  if (!stream) {
    const AtWork open;
    work();
  } else {
    if (stream->capture) {
      stream->capture->nodes.push_back({std::move(work), stream->last});
      stream->last = {stream->capture->nodes.size() - 1};
    } else {
      stream->waiting.push_back(std::move(work));
      ++stream->put;
    }
  }
}

// A node that nothing is left before, anew at every step: what a graph does not order comes in any order.
void run_graph(const std::vector<Node>& nodes) {
  static uint32_t chance = 1;
  std::vector<size_t> left(nodes.size()), ready;
  std::vector<std::vector<size_t>> then(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    left[i] = nodes[i].after.size();
    for (const size_t before : nodes[i].after) then[before].push_back(i);
    if (left[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    chance = chance * 1664525u + 1013904223u;
    const size_t at = (chance >> 8) % ready.size(), node = ready[at];
    ready.erase(ready.begin() + std::ptrdiff_t(at));
    if (failure == cudaSuccess) nodes[node].work();
    for (const size_t next : then[node])
      if (--left[next] == 0) ready.push_back(next);
  }
}

bool is_pinned(const char* memory) {
  auto next = pinned.upper_bound(memory);
  return next != pinned.begin() && memory < (--next)->first + next->second;
}

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

}  // namespace

void launch(dim3 blocks, dim3 threads, void* stream, std::function<void()> thread) {
  put(stream, [=] {
    if (++kernels == fails_in)
      failure = fails_with;
    else
      run_grid(blocks, threads, thread);
  });
}

}  // namespace emulated

using namespace emulated;
using Lock = std::lock_guard<std::recursive_mutex>;

// From now on the kernel after so many others fails with this error; 0: the next.
FASTCNN_EXPORT void emulated_fail(int64_t kernels_before, int error) {
  fails_in = kernels + kernels_before + 1;
  fails_with = static_cast<cudaError_t>(error);
}
// Of an operand that a kernel is started with, null if it has none.
void emulated_touch(const void* memory) {
  const Lock lock(mutex);
  if (memory && !is_device_memory(memory) && failure == cudaSuccess) failure = cudaErrorIllegalAddress;
}
FASTCNN_EXPORT void emulated_counts(int64_t* out) {
  out[0] = kernels, out[1] = graphs, out[2] = captures, out[3] = forks, out[4] = ahead;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    default:
      return "emulated";
  }
}
cudaError_t cudaGetLastError() {
  const Lock lock(mutex);
  if (failure != cudaSuccess) return failure;
  const cudaError_t error = last;
  last = cudaSuccess;
  return error;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  attributes->type = is_device_memory(memory) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return told(cudaSuccess);
}

// From the host's memory: taken over at once, as a GPU's driver does, but for pinned memory, which is read
// when the copy's turn comes; to it: done on return.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t on) {
  const Lock lock(mutex);
  if (failure != cudaSuccess || bytes == 0) return failure;
  auto* const stream = static_cast<Stream*>(on);
  if (!is_device_memory(to)) {
    if (stream && stream->capture) return told(cudaErrorStreamCaptureUnsupported);
    if (stream) flush(*stream);
    const AtWork open;
    if (failure == cudaSuccess) memcpy(to, from, bytes);
  } else if (is_device_memory(from) || is_pinned(static_cast<const char*>(from))) {
    if (!is_device_memory(from))
      ahead += std::any_of(alive.begin(), alive.end(),
                           [&](const Stream* each) { return each != stream && !each->waiting.empty(); });
    put(on, [=] { memcpy(to, from, bytes); });
  } else {
    const auto* const first = static_cast<const char*>(from);
    put(on, [to, kept = std::vector<char>(first, first + bytes)] { memcpy(to, kept.data(), kept.size()); });
  }
  return told(cudaSuccess);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t on) {
  put(on, [=] { memset(to, value, bytes); });
  return told(cudaSuccess);
}

// A thread that captures may not allocate meanwhile.
static bool is_capturing() {
  return std::any_of(alive.begin(), alive.end(), [](const Stream* each) {
    return each->capture && each->capture->thread == std::this_thread::get_id();
  });
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  const Lock lock(mutex);
  if (is_capturing()) return told(cudaErrorStreamCaptureUnsupported);
  *memory = malloc(bytes);
  pinned[static_cast<char*>(*memory)] = bytes;
  return told(cudaSuccess);
}
cudaError_t cudaFreeHost(void* memory) {
  const Lock lock(mutex);
  pinned.erase(static_cast<char*>(memory));
  free(memory);
  return told(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* on, unsigned) {
  const Lock lock(mutex);
  if (is_capturing()) return told(cudaErrorStreamCaptureUnsupported);
  auto* const stream = new Stream;
  alive.insert(stream);
  *on = stream;
  return told(cudaSuccess);
}
cudaError_t cudaStreamDestroy(cudaStream_t on) {
  const Lock lock(mutex);
  auto* const stream = static_cast<Stream*>(on);
  flush(*stream);
  alive.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t on) {
  const Lock lock(mutex);
  if (on) flush(*static_cast<Stream*>(on));
  return told(cudaSuccess);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t on, cudaStreamCaptureMode) {
  const Lock lock(mutex);
  auto* const stream = static_cast<Stream*>(on);
  if (!stream || stream->capture) return told(cudaErrorStreamCaptureUnsupported);
  stream->capture = new Capture{stream, {stream}, {}};
  stream->last.clear();
  return told(cudaSuccess);
}
// Fails if a stream that joined has work that the first one does not wait for.
cudaError_t cudaStreamEndCapture(cudaStream_t on, cudaGraph_t* graph) {
  const Lock lock(mutex);
  const std::unique_ptr<Capture> capture(static_cast<Stream*>(on)->capture);
  ++captures;
  std::vector<bool> met(capture->nodes.size());
  std::vector<size_t> open = capture->origin->last;
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (met[node]) continue;
    met[node] = true;
    open.insert(open.end(), capture->nodes[node].after.begin(), capture->nodes[node].after.end());
  }
  bool joined = true;
  for (Stream* const stream : capture->streams) {
    for (const size_t node : stream->last) joined = joined && met[node];
    stream->capture = nullptr;
  }
  *graph = nullptr;
  if (!joined) return told(cudaErrorStreamCaptureUnjoined);
  for (const Node& node : capture->nodes) forks += node.after.size() > 1;
  *graph = new std::vector<Node>(std::move(capture->nodes));
  return told(cudaSuccess);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = new std::vector<Node>(*static_cast<std::vector<Node>*>(graph));
  return told(cudaSuccess);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete static_cast<std::vector<Node>*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) { return cudaGraphDestroy(ready); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t on) {
  const Lock lock(mutex);
  ++graphs;
  put(on, [nodes = *static_cast<std::vector<Node>*>(ready)] { run_graph(nodes); });
  return told(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  const Lock lock(mutex);
  if (is_capturing()) return told(cudaErrorStreamCaptureUnsupported);
  *event = new Event;
  return told(cudaSuccess);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventRecord(cudaEvent_t at, cudaStream_t on) {
  const Lock lock(mutex);
  auto* const event = static_cast<Event*>(at);
  auto* const stream = static_cast<Stream*>(on);
  event->capture = stream ? stream->capture : nullptr;
  if (event->capture) {
    event->last = stream->last;
    return told(cudaSuccess);
  }
  put(on, [time = event->time] { *time = now(); });
  event->stream = stream, event->put = stream ? stream->put : 0;
  return told(cudaSuccess);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t on, cudaEvent_t at, unsigned) {
  const Lock lock(mutex);
  const auto* const event = static_cast<Event*>(at);
  auto* const stream = static_cast<Stream*>(on);
  if (event->capture) {
    if (!stream->capture) {
      stream->capture = event->capture;
      stream->last.clear();
      event->capture->streams.push_back(stream);
    }
    if (stream->capture != event->capture) return told(cudaErrorStreamCaptureUnsupported);
    for (const size_t node : event->last)
      if (std::find(stream->last.begin(), stream->last.end(), node) == stream->last.end())
        stream->last.push_back(node);
    return told(cudaSuccess);
  }
  put(on, [first = event->stream, until = event->put] {
    if (alive.count(first)) flush(*first, until);
  });
  return told(cudaSuccess);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
  *milliseconds = float(1e3 * (*static_cast<Event*>(last)->time - *static_cast<Event*>(first)->time));
  return told(cudaSuccess);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete static_cast<Event*>(event);
  return cudaSuccess;
}
