// SPDX-License-Identifier: Apache-2.0
// What regularizers and constraints do to one parameter of a model.
#pragma once
#include <cstdint>

namespace fastcnn {

// value = l1 sum |w| + l2 sum w^2; its gradient, l1 sign(w) + 2 l2 w, is added to that of the parameter, or
// written where there is none yet.
struct PenaltyShape {
  int64_t count;
  double l1, l2;
  int32_t adds;
};

enum class ConstraintKind : int32_t { kNonNegative, kNorm };

// w [outer, mid, inner] after an update. kNonNegative: what is below 0 becomes 0. kNorm, with norms along the
// middle: w *= (rate clip(norm, least, most) + (1 - rate) norm) / (norm + 1e-7).
struct ConstraintShape {
  int64_t outer, mid, inner;
  ConstraintKind kind;
  float least, most, rate;
};

}  // namespace fastcnn
