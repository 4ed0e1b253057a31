// SPDX-License-Identifier: Apache-2.0
#include "device_data.h"

#include <algorithm>
#include <cstring>

#include "../base/status.h"
#include "device_batch.h"

namespace fastcnn {
namespace {

// Of what is free once the plan has its arena: the rest is for CuPy's other users and other plans.
constexpr double kMostOfFree = 0.8, kRoomOfFree = 0.5, kRoomBytes = 64 << 20;
constexpr int64_t kWindows = 2;             // one is read while the other is filled
constexpr int64_t kStagingBytes = 4 << 20;  // of a copy, beside which the next is packed

// Axes of a sample from `axis` on lie in C order without gaps.
bool is_dense_from(const Source& source, int axis) {
  int64_t step = item_size(source.dtype);
  for (int i = source.rank - 1; i >= axis; --i) {
    if (source.shape[i] != 1 && source.strides[i] != step) return false;
    step *= source.shape[i];
  }
  return true;
}

char* pack(const Source& source, const char* from, int axis, int dense_from, int64_t dense_bytes, char* to) {
  if (axis == dense_from) {
    std::memcpy(to, from, static_cast<size_t>(dense_bytes));
    return to + dense_bytes;
  }
  for (int64_t i = 0; i < source.shape[axis]; ++i)
    to = pack(source, from + i * source.strides[axis], axis + 1, dense_from, dense_bytes, to);
  return to;
}

// Samples one after the other.
void pack(const Source& source, const int64_t* order, int64_t first, int64_t count, char* to) {
  int dense_from = source.rank;
  int64_t bytes = item_size(source.dtype);
  while (dense_from > 1 && is_dense_from(source, dense_from - 1)) bytes *= source.shape[--dense_from];
  for (int64_t i = first; i < first + count; ++i)
    to = pack(source, source.data + (order ? order[i] : i) * source.strides[0], 1, dense_from, bytes, to);
}

}  // namespace

Source DeviceData::add(const Source& source, Memory memory) {
  Source there = source;
  int64_t step = item_size(source.dtype);
  for (int i = source.rank - 1; i >= 0; --i) {
    there.strides[i] = step;
    if (i > 0) step *= source.shape[i];
  }
  columns_.push_back({source, memory, step, Buffer()});
  return there;
}

DeviceData::~DeviceData() {
  Status status{};
  if (stream_) place_.device().wait(stream_, &status);  // a copy may still write what is given back
  if (stream_) place_.device().close_stream(stream_);
  if (pinned_) place_.device().unpin(pinned_);
}

void DeviceData::make_room(int64_t samples) {
  for (Column& column : columns_)
    column.here = Buffer(static_cast<size_t>(samples * column.sample_bytes),
                         ("the data of " + std::to_string(samples) + " samples").c_str(), place_.pool);
}

void DeviceData::settle(const std::vector<Objective>& objectives, int64_t batch_size) {
  if (settled_) return;
  int64_t sample_bytes = 0;
  for (const Column& column : columns_) sample_bytes += std::max<int64_t>(1, column.sample_bytes);
  const int64_t samples = columns_[0].source.shape[0];
  const auto free = static_cast<double>(place_.pool->free_bytes());
  resident_ = static_cast<double>(sample_bytes) * static_cast<double>(samples) <= kMostOfFree * free;
  if (resident_) {
    make_room(samples);
  } else {
    const auto fit = static_cast<int64_t>(std::min(kRoomBytes, kRoomOfFree * free) /
                                          static_cast<double>(sample_bytes * batch_size));
    const int64_t windows = fit < kWindows ? 1 : kWindows, most = (samples + batch_size - 1) / batch_size;
    batches_ = std::clamp(fit / windows, int64_t{1}, most);
    window_samples_ = batches_ * batch_size;
    make_room(windows * window_samples_);
    windows_.resize(static_cast<size_t>(windows));
  }
  alpha_.clear();
  for (const Objective& objective : objectives) {
    const std::vector<float>& alpha = objective.loss.class_alpha;
    alpha_.emplace_back(alpha.size() * sizeof(float), "the weights of classes", place_.pool);
    place_.copy(alpha_.back().data(), alpha.data(), alpha.size() * sizeof(float));
  }
  if (resident_) {
    for (Column& column : columns_) load_all(column);
  } else if (!stream_) {
    Status status{};
    place_.device().open_stream(&stream_, &status);
    check(status);
    const auto bytes = static_cast<size_t>(window_samples_ * sample_bytes);
    pinned_ = static_cast<char*>(place_.device().pin(bytes));
    if (!pinned_) paged_.resize(bytes);
  }
  settled_ = true;
}

void DeviceData::load_all(Column& column) {
  const Source& source = column.source;
  char* to = column.here.data();
  const int64_t count = source.shape[0];
  if (is_dense_from(source, 1) && source.strides[0] == column.sample_bytes)
    return place_.copy(to, source.data, static_cast<size_t>(count * column.sample_bytes));
  const int64_t some = std::max<int64_t>(1, kStagingBytes / std::max<int64_t>(1, column.sample_bytes));
  std::vector<char> staging(static_cast<size_t>(std::min(some, count) * column.sample_bytes));
  for (int64_t done = 0; done < count; done += some) {
    const int64_t now = std::min(some, count - done);
    pack(source, nullptr, done, now, staging.data());
    place_.copy(to + done * column.sample_bytes, staging.data(),
                static_cast<size_t>(now * column.sample_bytes));
  }
}

int64_t DeviceData::count_in(const Window& window, const Samples& from) const {
  const int64_t before = from.first - window.first;
  if (before < 0 || before >= window.count || window.numbers.empty() != !from.order) return 0;
  const int64_t count = std::min(from.count, window.count - before);
  return !from.order || std::equal(from.order + from.first, from.order + from.first + count,
                                   window.numbers.begin() + before)
             ? count
             : 0;
}

int64_t DeviceData::count_here(const Samples& from) const {
  int64_t most = 0;
  for (const Window& window : windows_) most = std::max(most, count_in(window, from));
  return most;
}

void DeviceData::load(size_t number, const Samples& samples) {
  Status status{};
  const Device& device = place_.device();
  if (device.wait(stream_, &status) != Code::kOk) check(status);  // it may still read what is packed anew
  Window& window = windows_[number];
  window = Window();
  char* staging = pinned_ ? pinned_ : paged_.data();
  for (const Column& column : columns_) {
    char* const to =
        column.here.data() + static_cast<int64_t>(number) * window_samples_ * column.sample_bytes;
    const int64_t some = std::max<int64_t>(1, kStagingBytes / std::max<int64_t>(1, column.sample_bytes));
    for (int64_t done = 0; done < samples.count; done += some) {
      const int64_t now = std::min(some, samples.count - done), bytes = now * column.sample_bytes;
      pack(column.source, samples.order, samples.first + done, now, staging);
      device.upload(to + done * column.sample_bytes, staging, static_cast<size_t>(bytes), stream_, &status);
      check(status);
      staging += bytes;
    }
  }
  if (samples.order)
    window.numbers.assign(samples.order + samples.first, samples.order + samples.first + samples.count);
  window.first = samples.first, window.count = samples.count;
}

int64_t DeviceData::bring(const Samples& samples, DeviceMeans& means) {
  const auto is_whole = [&](const Window& window) { return count_in(window, samples) == samples.count; };
  const auto found = std::find_if(windows_.begin(), windows_.end(), is_whole);
  latest_ = static_cast<size_t>(found - windows_.begin());
  if (found == windows_.end()) load(latest_ = 0, samples);
  means.follow(means.stream(), stream_);
  return static_cast<int64_t>(latest_) * window_samples_ + samples.first - windows_[latest_].first;
}

void DeviceData::bring_ahead(const int64_t* order) {
  const Window& now = windows_[latest_];
  const int64_t first = now.first + now.count, left = columns_[0].source.shape[0] - first;
  const Samples next = {order, first, std::min(left, window_samples_)};
  if (windows_.size() > 1 && left > 0 && count_here(next) < next.count) load(1 - latest_, next);
}

void DeviceData::bind(Memories* memories) const {
  for (const Column& column : columns_) (*memories)[column.memory] = column.here.data();
  for (size_t i = 0; i < alpha_.size(); ++i) (*memories)[port(Memory::kClassAlpha, i)] = alpha_[i].data();
}

}  // namespace fastcnn
