// SPDX-License-Identifier: Apache-2.0
#include "validate_norm.h"

#include <cmath>

namespace fastcnn {
namespace {

void check_epsilon(const char* op, double epsilon) {
  if (!(epsilon >= 0) || !std::isfinite(epsilon))
    fail(Code::kArgument, "%s: epsilon is %g, wanted a finite number of at least 0", op, epsilon);
}

void need_channels(const char* op, const int64_t* x, int rank) {
  if (rank < 2)
    fail(Code::kShape, "%s: x has shape %s, wanted rank 2 or more: samples first, channels last", op,
         ShapeText(x, rank).text);
}

}  // namespace

BatchNormShape batch_norm_shape(const char* op, const int64_t* x, int rank, double epsilon, double momentum) {
  const int64_t count = element_count(op, "x", x, rank);
  need_channels(op, x, rank);
  check_epsilon(op, epsilon);
  if (!(momentum >= 0 && momentum <= 1))
    fail(Code::kArgument, "%s: momentum is %g, wanted a number in [0, 1]", op, momentum);
  const int64_t c = x[rank - 1];
  return {count / c, c, epsilon, momentum};
}

GroupNormShape group_norm_shape(const char* op, const int64_t* x, int rank, int64_t groups, double epsilon) {
  const int64_t count = element_count(op, "x", x, rank);
  need_channels(op, x, rank);
  check_epsilon(op, epsilon);
  const int64_t c = x[rank - 1], wanted = groups == -1 ? c : groups;
  if (wanted < 1 || c % wanted)
    fail(Code::kArgument, "%s: groups is %lld, wanted a divisor of the %lld channels, or -1 for all of them",
         op, static_cast<long long>(groups), static_cast<long long>(c));
  return {x[0], count / x[0] / c, c, wanted, epsilon};
}

RowNormShape row_norm_shape(const char* op, const int64_t* x, int rank, const RowAxes& over) {
  const int64_t count = element_count(op, "x", x, rank);
  check_epsilon(op, over.epsilon);
  int64_t cols = 1;
  for (int i = rank - over.axes; i < rank; ++i) cols *= x[i];
  return {count / cols, cols, over.epsilon, over.kind};
}

}  // namespace fastcnn
