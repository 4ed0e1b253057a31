// SPDX-License-Identifier: Apache-2.0
// The arrays of a session on a GPU: all samples where they fit, else those of a few batches at a time. They
// are copied as they are, but dense; the gather casts and scales there.
#pragma once
#include <vector>

#include "buffer.h"
#include "builder.h"
#include "source.h"

namespace fastcnn {

class DeviceData {
 public:
  explicit DeviceData(const Place& place) : place_(place) {}

  // Adds an array of the caller's; what the gather reads in its place.
  Source add(const Source& source, Memory memory);

  // Once there is room for everything else: copies all samples, or makes room for some batches of them.
  void settle(const std::vector<Objective>& objectives, int64_t batch_size);
  bool resident() const { return resident_; }
  // Batches that are here at once, where not all samples are.
  int64_t batches() const { return batches_; }
  // Brings samples order[first ...] of the data set, or those of these numbers.
  void bring(const int64_t* order, int64_t first, int64_t count);

  void bind(Memories* memories) const;

 private:
  struct Column {
    Source source;
    Memory memory;
    int64_t sample_bytes;
    Buffer here;
  };

  void make_room(int64_t samples);
  void load(Column& column, const int64_t* order, int64_t first, int64_t count);

  const Place place_;
  std::vector<Column> columns_;
  std::vector<Buffer> alpha_;  // of each objective
  bool settled_ = false, resident_ = false;
  int64_t batches_ = 0;
  std::vector<char> staging_;
};

}  // namespace fastcnn
