// SPDX-License-Identifier: Apache-2.0
// The validator of losses: parameters as a user wrote them, and the shapes of targets and weights, for eager
// losses and compiled models alike. Throws before anything is allocated; see validate.h.
#pragma once
#include <cstdint>
#include <vector>

#include "source.h"
#include "validate.h"

namespace fastcnn {

struct LossOptions {
  Loss kind = Loss::kSparseCrossentropy;
  bool from_logits = false, class_balancing = false;
  Reduction reduction = Reduction::kSumOverBatchSize;
  bool unreduced = false;  // the losses of the rows themselves: not in training
  bool ignores = false;
  int64_t ignore_class = 0;
  double label_smoothing = 0, alpha = 0, beta = 0, epsilon = 0;
};

inline bool takes_labels(const LossOptions& options) { return options.kind == Loss::kSparseCrossentropy; }

// Throws unless every parameter lies in its domain. `op` opens the message.
void check_loss(const char* op, const LossOptions& options);

// Rows are the axes of the predictions but the last.
LossShape loss_shape(const LossOptions& options, int64_t rows, int64_t cols);

// For predictions of this shape (rank 1 is one row): throws unless the targets have it too, or a last axis of
// 1 is missing or too many; of sparse labels the last axis is 1 or missing. Checks labels against the
// classes.
void check_loss_target(const char* op, const LossOptions& options, const std::vector<int64_t>& prediction,
                       const Source& target);

// How many rows share a weight: weights have the leading axes of the rows, and any number of axes of 1 after
// them.
int64_t rows_per_weight(const char* op, const std::vector<int64_t>& rows, const Source& weights);

}  // namespace fastcnn
