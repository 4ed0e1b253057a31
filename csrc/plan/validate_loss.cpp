// SPDX-License-Identifier: Apache-2.0
#include "validate_loss.h"

#include <algorithm>
#include <cmath>

namespace fastcnn {
namespace {

// Written so that NaN fails.
void check_range(const char* op, const char* argument, double value, double low, double high) {
  if (value >= low && value <= high && std::isfinite(value)) return;
  if (std::isfinite(high))
    fail(Code::kArgument, "%s: %s is %g, wanted a number from %g to %g", op, argument, value, low, high);
  fail(Code::kArgument, "%s: %s is %g, wanted a finite number of %g or more", op, argument, value, low);
}

std::vector<int64_t> shape_of(const Source& source) { return {source.shape, source.shape + source.rank}; }

bool equals(const Source& source, const std::vector<int64_t>& shape) { return shape_of(source) == shape; }

std::vector<int64_t> with_last_one(std::vector<int64_t> shape) {
  shape.push_back(1);
  return shape;
}

}  // namespace

void check_loss(const char* op, const LossOptions& options) {
  constexpr double kAny = INFINITY;
  check_range(op, "label_smoothing", options.label_smoothing, 0, 1);
  if (options.ignores && options.ignore_class != static_cast<int32_t>(options.ignore_class))
    fail(Code::kArgument, "%s: ignore_class is %lld, wanted a label of 32 bits", op,
         static_cast<long long>(options.ignore_class));
  switch (options.kind) {
    case Loss::kHuber:
      check_range(op, "delta", options.alpha, 0, kAny);
      break;
    case Loss::kBinaryFocalCrossentropy:
      check_range(op, "alpha", options.alpha, 0, 1);
      check_range(op, "gamma", options.beta, 0, kAny);
      break;
    case Loss::kCategoricalFocalCrossentropy:
      check_range(op, "alpha", options.alpha, 0, kAny);
      for (const float alpha : options.class_alpha)
        check_range(op, "alpha", static_cast<double>(alpha), 0, kAny);
      check_range(op, "gamma", options.beta, 0, kAny);
      break;
    case Loss::kTversky:
      check_range(op, "alpha", options.alpha, 0, kAny);
      check_range(op, "beta", options.beta, 0, kAny);
      break;
    default:
      break;
  }
}

MovedAxes loss_axes(const char* op, const LossOptions& options, int rank) {
  const MovedAxes moved =
      moved_to_end(op, options.axes.empty() ? std::vector<int64_t>{-1} : options.axes, rank);
  if (rank > 1 && (moved.count == rank || moved.order[0] != 0))  // an array of one axis is a row
    fail(Code::kArgument, "%s: axis names the axis of the batch, 0", op);
  return moved;
}

std::vector<int64_t> moved_shape(const std::vector<int64_t>& shape, const MovedAxes& axes) {
  std::vector<int64_t> moved;
  for (int i = 0; i < axes.rank; ++i) moved.push_back(shape[static_cast<size_t>(axes.order[i])]);
  return moved;
}

std::vector<int64_t> rows_of(const std::vector<int64_t>& shape, const MovedAxes& axes) {
  std::vector<int64_t> rows = moved_shape(shape, axes);
  rows.resize(static_cast<size_t>(axes.rank - axes.count));
  return rows;
}

LossShape loss_shape(const char* op, const LossOptions& options, const std::vector<int64_t>& prediction) {
  const MovedAxes axes = loss_axes(op, options, static_cast<int>(prediction.size()));
  LossShape shape{};
  shape.rows = shape.cols = 1;
  for (int i = 0; i < axes.rank; ++i)
    (i < axes.rank - axes.count ? shape.rows : shape.cols) *= prediction[static_cast<size_t>(axes.order[i])];
  if (!options.class_alpha.empty() && static_cast<int64_t>(options.class_alpha.size()) != shape.cols)
    fail(Code::kArgument, "%s: alpha has %zu entries, wanted %lld, one for each class", op,
         options.class_alpha.size(), static_cast<long long>(shape.cols));
  shape.by_row = options.kind == Loss::kTversky && !options.axes.empty();
  shape.class_alpha = !options.class_alpha.empty();
  shape.loss = options.kind;
  shape.from_logits = options.from_logits;
  shape.reduction = options.unreduced ? Reduction::kSum : options.reduction;
  shape.ignores = options.ignores;
  shape.ignore_class = options.ignore_class;
  shape.class_balancing = options.class_balancing;
  shape.weight = 1;
  shape.label_smoothing = options.label_smoothing;
  shape.alpha = options.alpha;
  shape.beta = options.beta;
  shape.epsilon = options.epsilon;
  return shape;
}

void check_loss_target(const char* op, const LossOptions& options, const std::vector<int64_t>& prediction,
                       const Source& target) {
  const MovedAxes axes = loss_axes(op, options, static_cast<int>(prediction.size()));
  const std::vector<int64_t> rows = rows_of(prediction, axes);
  const int64_t cols = prediction[static_cast<size_t>(axes.order[axes.rank - 1])];
  const bool sparse = takes_labels(options);
  const bool fits = sparse ? equals(target, rows) || equals(target, with_last_one(rows))
                           : equals(target, prediction) ||
                                 (prediction.back() == 1 && with_last_one(shape_of(target)) == prediction) ||
                                 equals(target, with_last_one(prediction));
  if (!fits)
    fail(Code::kShape, "%s: y_true has shape %s and y_pred %s, wanted %s%s", op,
         ShapeText(target.shape, target.rank).text,
         ShapeText(prediction.data(), static_cast<int>(prediction.size())).text,
         ShapeText((sparse ? rows : prediction).data(), static_cast<int>((sparse ? rows : prediction).size()))
             .text,
         sparse ? " for class numbers (one-hot targets take categorical_crossentropy)" : " for y_true");
  if (!sparse) return;
  const int64_t* ignored = options.ignores ? &options.ignore_class : nullptr;
  check_labels(op, target, cols, ignored);
}

int64_t rows_per_weight(const char* op, const std::vector<int64_t>& rows, const Source& weights) {
  int rank = weights.rank;
  while (rank > 0 && weights.shape[rank - 1] == 1 &&
         (rank > static_cast<int>(rows.size()) || rows[rank - 1] != 1))
    --rank;
  if (rank > static_cast<int>(rows.size()) || !std::equal(weights.shape, weights.shape + rank, rows.begin()))
    fail(Code::kShape,
         "%s: sample_weight has shape %s, wanted the first axes of %s: a weight for each sample or row", op,
         ShapeText(weights.shape, weights.rank).text,
         ShapeText(rows.data(), static_cast<int>(rows.size())).text);
  int64_t shared = 1;
  for (size_t i = rank; i < rows.size(); ++i) shared *= rows[i];
  return shared;
}

}  // namespace fastcnn
