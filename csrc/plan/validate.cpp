// SPDX-License-Identifier: Apache-2.0
#include "validate.h"

namespace fastcnn {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 60;

}  // namespace

ShapeText::ShapeText(const int64_t* shape, int rank) {
  size_t used = 0;
  text[used++] = '[';
  for (int i = 0; i < rank && used + 24 < sizeof text; ++i)
    used += static_cast<size_t>(std::snprintf(text + used, sizeof text - used, i ? ", %lld" : "%lld",
                                              static_cast<long long>(shape[i])));
  std::snprintf(text + used, sizeof text - used, "]");
}

int64_t element_count(const char* op, const char* argument, const int64_t* shape, int rank) {
  int64_t count = 1;
  for (int i = 0; i < rank; ++i) {
    if (shape[i] <= 0)
      fail(Code::kShape, "%s: %s has shape %s, wanted every size to be at least 1", op, argument,
           ShapeText(shape, rank).text);
    if (__builtin_mul_overflow(count, shape[i], &count) || count > kMaxElements)
      fail(Code::kShape, "%s: %s has shape %s, whose number of elements exceeds 2**60", op, argument,
           ShapeText(shape, rank).text);
  }
  return count;
}

}  // namespace fastcnn
