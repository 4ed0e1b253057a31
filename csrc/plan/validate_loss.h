// SPDX-License-Identifier: Apache-2.0
// The validator of losses: parameters as a user wrote them, and the shapes of targets and weights, for eager
// losses and compiled models alike. Throws before anything is allocated; see validate.h.
#pragma once
#include <cstdint>
#include <vector>

#include "source.h"
#include "validate.h"
#include "validate_axes.h"

namespace fastcnn {

struct LossOptions {
  Loss kind = Loss::kSparseCrossentropy;
  bool from_logits = false, class_balancing = false;
  Reduction reduction = Reduction::kSumOverBatchSize;
  bool unreduced = false;  // the losses of the rows themselves: not in training
  bool ignores = false;
  int64_t ignore_class = 0;
  double label_smoothing = 0, alpha = 0, beta = 0, epsilon = 0;
  std::vector<float> class_alpha;  // of the categorical focal loss: one for each class; empty: alpha
  std::vector<int64_t> axes;       // that a row takes; empty: the last, or all of those of Dice and Tversky
};

inline bool takes_labels(const LossOptions& options) { return options.kind == Loss::kSparseCrossentropy; }

// Throws unless every parameter lies in its domain. `op` opens the message.
void check_loss(const char* op, const LossOptions& options);

// How predictions of this shape are cut into rows: the axes of a row are moved to the end. Throws where the
// options name axes that are not there, or the batch.
MovedAxes loss_axes(const char* op, const LossOptions& options, int rank);
// The shape with its axes moved, and without those of a row.
std::vector<int64_t> moved_shape(const std::vector<int64_t>& shape, const MovedAxes& axes);
std::vector<int64_t> rows_of(const std::vector<int64_t>& shape, const MovedAxes& axes);
// Of predictions of this shape. Throws where class_alpha has not one number for each class.
LossShape loss_shape(const char* op, const LossOptions& options, const std::vector<int64_t>& prediction);

// For predictions of this shape (rank 1 is one row): throws unless the targets have it too, or a last axis of
// 1 is missing or too many; of sparse labels the axis of the classes is missing, and a last one of 1 may
// follow. Checks labels against the classes.
void check_loss_target(const char* op, const LossOptions& options, const std::vector<int64_t>& prediction,
                       const Source& target);

// How many rows share a weight: weights have the leading axes of the rows, and any number of axes of 1 after
// them.
int64_t rows_per_weight(const char* op, const std::vector<int64_t>& rows, const Source& weights);

}  // namespace fastcnn
