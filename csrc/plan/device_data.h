// SPDX-License-Identifier: Apache-2.0
// The arrays of a session on a GPU: all samples where they fit, else those of some batches at a time, of
// which the next are on their way while a batch is at work. They are copied as they are, but dense; the
// gather casts and scales there.
#pragma once
#include <vector>

#include "buffer.h"
#include "builder.h"
#include "source.h"

namespace fastcnn {

class DeviceMeans;

class DeviceData {
 public:
  explicit DeviceData(const Place& place) : place_(place) {}
  ~DeviceData();
  DeviceData(const DeviceData&) = delete;

  // Adds an array of the caller's; what the gather reads in its place.
  Source add(const Source& source, Memory memory);

  // Once there is room for everything else: copies all samples, or makes room for some batches of them.
  void settle(const std::vector<Objective>& objectives, int64_t batch_size);
  bool resident() const { return resident_; }
  void bind(Memories* memories) const;

  // Where not all samples are here: samples [first, first + count) of the data set, or those of these numbers
  // in `order`, which holds for all samples.
  struct Samples {
    const int64_t* order;
    int64_t first, count;
  };
  // How many batches can be here at once. How many samples from `from` on are here already.
  int64_t batches() const { return batches_; }
  int64_t count_here(const Samples& from) const;
  // Where the first of them lies; what is put on the stream of `means` from now on finds them there.
  int64_t bring(const Samples& samples, DeviceMeans& means);
  // Starts to bring those that come after the samples which were brought last.
  void bring_ahead(const int64_t* order);

 private:
  struct Column {
    Source source;
    Memory memory;
    int64_t sample_bytes;
    Buffer here;
  };
  // A part of the room, and what lies there.
  struct Window {
    int64_t first = 0, count = 0;
    std::vector<int64_t> numbers;  // empty: those samples themselves
  };

  void make_room(int64_t samples);
  void load_all(Column& column);
  void load(size_t window, const Samples& samples);
  int64_t count_in(const Window& window, const Samples& from) const;

  const Place place_;
  std::vector<Column> columns_;
  std::vector<Buffer> alpha_;  // of each objective
  bool settled_ = false, resident_ = false;
  int64_t batches_ = 0, window_samples_ = 0;
  std::vector<Window> windows_;
  size_t latest_ = 0;        // the window that was brought last
  void* stream_ = nullptr;   // of copies
  char* pinned_ = nullptr;   // what they read: a window
  std::vector<char> paged_;  // the same, where no memory can be pinned
};

}  // namespace fastcnn
