// SPDX-License-Identifier: Apache-2.0
#include "device_data.h"

#include <algorithm>
#include <cstring>

#include "../base/status.h"

namespace fastcnn {
namespace {

// Of what is free once the plan has its arena: the rest is for CuPy's other users and other plans.
constexpr double kMostOfFree = 0.8, kWindowOfFree = 0.5, kWindowBytes = 64 << 20;
constexpr int64_t kStagingBytes = 4 << 20;

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
  if (!resident_) {
    const double bytes = std::min(kWindowBytes, kWindowOfFree * free);
    const int64_t most = (samples + batch_size - 1) / batch_size;
    batches_ = std::clamp(static_cast<int64_t>(bytes / static_cast<double>(sample_bytes * batch_size)),
                          int64_t{1}, most);
  }
  make_room(resident_ ? samples : batches_ * batch_size);
  alpha_.clear();
  for (const Objective& objective : objectives) {
    const std::vector<float>& alpha = objective.loss.class_alpha;
    alpha_.emplace_back(alpha.size() * sizeof(float), "the weights of classes", place_.pool);
    place_.copy(alpha_.back().data(), alpha.data(), alpha.size() * sizeof(float));
  }
  if (resident_) bring(nullptr, 0, samples);
  settled_ = true;
}

void DeviceData::bring(const int64_t* order, int64_t first, int64_t count) {
  for (Column& column : columns_) load(column, order, first, count);
}

void DeviceData::load(Column& column, const int64_t* order, int64_t first, int64_t count) {
  const Source& source = column.source;
  char* to = column.here.data();
  const bool dense = is_dense_from(source, 1) && source.strides[0] == column.sample_bytes;
  if (dense && !order)
    return place_.copy(to, source.data + first * column.sample_bytes,
                       static_cast<size_t>(count * column.sample_bytes));
  const int64_t some = std::max<int64_t>(1, kStagingBytes / std::max<int64_t>(1, column.sample_bytes));
  for (int64_t done = 0; done < count; done += some) {
    const int64_t now = std::min(some, count - done);
    const auto bytes = static_cast<size_t>(now * column.sample_bytes);
    if (staging_.size() < bytes) staging_.resize(bytes);
    pack(source, order, first + done, now, staging_.data());
    place_.copy(to + done * column.sample_bytes, staging_.data(), bytes);
  }
}

void DeviceData::bind(Memories* memories) const {
  for (const Column& column : columns_) (*memories)[column.memory] = column.here.data();
  for (size_t i = 0; i < alpha_.size(); ++i) (*memories)[port(Memory::kClassAlpha, i)] = alpha_[i].data();
}

}  // namespace fastcnn
