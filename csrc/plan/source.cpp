// SPDX-License-Identifier: Apache-2.0
#include "source.h"

#include <cmath>
#include <cstring>
#include <string>

#include "../base/status.h"

namespace fastcnn {
namespace {

template <class T>
double load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return static_cast<double>(value);
}

double load_half(const char* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24));
}

// 64-bit integers beyond 2^53 are rounded, far from any number of classes.
double load(const char* p, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return load<float>(p);
    case DType::kF64:
      return load<double>(p);
    case DType::kF16:
      return load_half(p);
    case DType::kU8:
    case DType::kBool:
      return load<uint8_t>(p);
    case DType::kI8:
      return load<int8_t>(p);
    case DType::kU16:
      return load<uint16_t>(p);
    case DType::kI16:
      return load<int16_t>(p);
    case DType::kU32:
      return load<uint32_t>(p);
    case DType::kI32:
      return load<int32_t>(p);
    case DType::kU64:
      return load<uint64_t>(p);
    case DType::kI64:
      return load<int64_t>(p);
  }
  return NAN;
}

// Position i of the array in C order, as "37" or "(37, 2)".
std::string index_text(const Source& source, int64_t i) {
  std::string text;
  for (int axis = source.rank - 1; axis >= 0; --axis) {
    text = std::to_string(i % source.shape[axis]) + (text.empty() ? "" : ", ") + text;
    i /= source.shape[axis];
  }
  return source.rank == 1 ? text : "(" + text + ")";
}

}  // namespace

int64_t item_size(DType dtype) {
  constexpr int64_t sizes[] = {4, 8, 2, 1, 1, 2, 2, 4, 4, 8, 8, 1};  // of each DType
  return sizes[static_cast<int>(dtype)];
}

GatherShape gather_of(const Source& source, int64_t n, DType to) {
  GatherShape shape{};
  shape.n = n;
  shape.sample_stride = source.strides[0];
  shape.rank = source.rank - 1;
  for (int i = 1; i < source.rank; ++i) {
    shape.shape[i - 1] = source.shape[i];
    shape.strides[i - 1] = source.strides[i];
  }
  if (shape.rank == 0) shape.rank = 1, shape.shape[0] = 1;
  shape.from = source.dtype;
  shape.to = to;
  shape.scale = 1;
  return shape;
}

void check_labels(const char* op, const Source& labels, int64_t classes, const int64_t* ignored) {
  int64_t count = 1;
  for (int i = 0; i < labels.rank; ++i) count *= labels.shape[i];
  // With a division for each axis of a label they took a quarter of the time of a loss of ten classes.
  int64_t position[kMaxRank] = {};
  const char* p = labels.data;
  const auto step = [&] {
    for (int axis = labels.rank - 1; axis >= 0; --axis) {
      p += labels.strides[axis];
      if (++position[axis] < labels.shape[axis]) return;
      position[axis] = 0;
      p -= labels.shape[axis] * labels.strides[axis];
    }
  };
  for (int64_t i = 0; i < count; ++i, step()) {
    const double label = load(p, labels.dtype);
    if (label >= 0 && label < static_cast<double>(classes) &&
        label == static_cast<double>(static_cast<int64_t>(label)))
      continue;
    if (ignored && label == static_cast<double>(*ignored)) continue;
    const bool whole = label == std::floor(label) && std::isfinite(label);
    fail(Code::kArgument,
         whole ? "%s: label %.0f at index %s is out of range [0, %lld)"
               : "%s: label %g at index %s is not a whole number in [0, %lld)",
         op, label, index_text(labels, i).c_str(), static_cast<long long>(classes));
  }
}

}  // namespace fastcnn
