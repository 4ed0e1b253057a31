// SPDX-License-Identifier: Apache-2.0
// Loss and accuracy of a batch, and the gradient of its loss: x, dx [rows, cols], target int32 labels [rows]
// for the sparse loss and float32 [rows, cols] for the others. Where the loss of a row depends on the whole
// batch (its divisor, what hinge targets mean, Dice and Tversky over all), the team looks through the batch
// first.
// Each chunk of rows leaves its sums in the workspace; they are added in the order of the rows. Values, if
// asked for, are the weighted losses of the rows.
#include "kernels/loss.h"

#include "chunks.h"
#include "kernels.h"
#include "kernels/class_loss.h"
#include "kernels/softmax.h"

namespace fastcnn {
namespace cpu {

namespace {

bool is_sparse(const LossShape& s) { return s.loss == Loss::kSparseCrossentropy; }
bool is_hinge(const LossShape& s) { return s.loss == Loss::kHinge || s.loss == Loss::kSquaredHinge; }
bool is_overlap(const LossShape& s) { return s.loss == Loss::kTversky && !s.by_row; }  // of the batch
bool by_weight(const LossShape& s) {
  return s.rows_per_weight && (s.reduction == Reduction::kMeanWithSampleWeight || is_overlap(s));
}

// What the losses of rows need to know of the batch; of a chunk of its rows, or of all.
struct Survey {
  double counted;  // rows, or the sum of their weights
  OverlapSums overlap;
  int64_t binary;  // all targets are 0 or 1
};

bool needs_survey(const LossShape& s) { return s.ignores || by_weight(s) || is_hinge(s) || is_overlap(s); }

struct Overlap {
  double loss, slope, offset;
};

// L = 1 - I / D, I = sum t x, D = I + alpha sum t (1 - x) + beta sum (1 - t) x + epsilon, and dx = slope t +
// offset. The weight is a factor of both.
Overlap overlap_of(const LossShape& s, const OverlapSums& sums, double weight, double scale) {
  const double straight = 1 - s.alpha - s.beta;
  const double d = straight * sums.both + s.alpha * sums.target + s.beta * sums.prediction + s.epsilon;
  return {weight * (1 - sums.both / d), weight * scale * (straight * sums.both - d) / (d * d),
          weight * scale * s.beta * sums.both / (d * d)};
}

double overlap_of_rows(const LossRows& all) {
  const LossShape& s = *all.shape;
  LossRows one = all;
  one.rows = 1;
  double loss = 0;
  for (int64_t r = 0; r < all.rows; ++r, one.x += all.cols, one.target += all.cols, ++one.first_row) {
    const double weight = all.weights ? double(all.weights[one.first_row / s.rows_per_weight]) : 1.0;
    OverlapSums sums;
    kernels().loss->overlap_sums(one, &sums);
    const Overlap overlap = overlap_of(s, sums, weight, all.scale);
    loss += overlap.loss;
    if (!one.dx) continue;
    kernels().loss->overlap_bwd(one, overlap.slope, overlap.offset);
    one.dx += all.cols;
  }
  return loss;
}

LossKernel loss_kernel(const LossShape& s) {
  const LossKernels& k = *kernels().loss;
  const ClassLossKernels& over_classes = *kernels().class_loss;
  switch (s.loss) {
    case Loss::kSparseCrossentropy:
      return s.from_logits ? over_classes.sparse_from_logits : over_classes.sparse_from_probabilities;
    case Loss::kCategoricalCrossentropy:
      return s.from_logits ? over_classes.categorical_from_logits
                           : over_classes.categorical_from_probabilities;
    case Loss::kCategoricalFocalCrossentropy:
      return s.from_logits ? over_classes.focal_from_logits : over_classes.focal_from_probabilities;
    case Loss::kBinaryCrossentropy:
      return s.from_logits ? k.binary_from_logits : k.binary;
    case Loss::kBinaryFocalCrossentropy:
      return s.from_logits ? k.binary_focal_from_logits : k.binary_focal;
    case Loss::kMeanSquaredError:
      return k.squared;
    case Loss::kMeanAbsoluteError:
      return k.absolute;
    case Loss::kMeanAbsolutePercentageError:
      return k.percentage;
    case Loss::kMeanSquaredLogarithmicError:
      return k.squared_logarithmic;
    case Loss::kHuber:
      return k.huber;
    case Loss::kLogCosh:
      return k.log_cosh;
    case Loss::kHinge:
      return k.hinge;
    case Loss::kSquaredHinge:
      return k.squared_hinge;
    case Loss::kCategoricalHinge:
      return k.categorical_hinge;
    case Loss::kKlDivergence:
      return k.kl_divergence;
    case Loss::kPoisson:
      return k.poisson;
    case Loss::kCosineSimilarity:
      return k.cosine;
    case Loss::kTversky:
      return overlap_of_rows;
  }
  return nullptr;
}

bool is_correct(const LossShape& s, const LossRows& a, int64_t row) {
  const float* x = a.x + row * s.cols;
  const auto argmax = kernels().softmax->argmax;
  switch (s.accuracy) {
    case Accuracy::kSparse:
      return argmax(x, s.cols) == a.labels[row];
    case Accuracy::kCategorical:
      return argmax(x, s.cols) == argmax(a.target + row * s.cols, s.cols);
    case Accuracy::kBinary:
      return (*x > 0.5f ? 1.0f : 0.0f) == (a.labels ? float(a.labels[row]) : a.target[row]);
    case Accuracy::kNone:
      break;
  }
  return false;
}

LossRows rows_of(const LossShape& s, const Operands& operands, int64_t begin, int64_t end) {
  LossRows rows{};
  rows.x = input(operands, 0) + begin * s.cols;
  rows.labels = is_sparse(s) ? static_cast<const int32_t*>(operands.in[1]) + begin : nullptr;
  rows.target = is_sparse(s) ? nullptr : input(operands, 1) + begin * s.cols;
  rows.weights = s.rows_per_weight ? input(operands, 2) : nullptr;
  rows.alpha = s.class_alpha ? input(operands, 3) : nullptr;
  rows.dx = operands.out[0] ? output(operands, 0) + begin * s.cols : nullptr;
  rows.rows = end - begin;
  rows.cols = s.cols;
  rows.first_row = begin;
  rows.shape = &s;
  return rows;
}

double counted_rows(const LossShape& s, const LossRows& a) {
  double counted = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    if (s.ignores && a.labels[r] == s.ignore_class) continue;
    counted += by_weight(s) ? double(a.weights[(a.first_row + r) / s.rows_per_weight]) : 1.0;
  }
  return counted;
}

Survey survey(const LossShape& s, const LossRows& a) {
  Survey found{double(a.rows), {0, 0, 0}, 1};
  if (s.ignores || by_weight(s)) found.counted = counted_rows(s, a);
  if (is_hinge(s)) found.binary = kernels().loss->all_binary(a.target, a.rows * a.cols);
  if (is_overlap(s)) kernels().loss->overlap_sums(a, &found.overlap);
  return found;
}

Survey sum_of(const Survey* parts, int64_t count) {
  Survey total{0, {0, 0, 0}, 1};
  for (int64_t i = 0; i < count; ++i) {
    total.counted += parts[i].counted;
    total.overlap.target += parts[i].overlap.target;
    total.overlap.prediction += parts[i].overlap.prediction;
    total.overlap.both += parts[i].overlap.both;
    total.binary &= parts[i].binary;
  }
  return total;
}

double divisor_of(const LossShape& s, const Survey& batch) {
  if (s.reduction == Reduction::kSum || (is_overlap(s) && !s.rows_per_weight)) return 1;
  if (is_overlap(s) && s.reduction == Reduction::kSumOverBatchSize) return double(s.rows);
  return batch.counted;
}

void add_row_values(LossKernel loss, const LossRows& all, float* values, LossResult* result) {
  LossRows one = all;
  one.rows = 1;
  for (int64_t r = 0; r < all.rows; ++r, one.x += all.cols, ++one.first_row) {
    const double value = loss(one);
    if (one.labels) ++one.labels;
    if (one.target) one.target += all.cols;
    if (one.dx) one.dx += all.cols;
    values[r] = float(value);
    result->loss += value;
  }
}

}  // namespace

bool supports_loss_rows(const OpDescriptor& op) {
  const LossShape& s = op.loss;
  return (s.accuracy != Accuracy::kSparse || is_sparse(s)) &&
         (s.accuracy != Accuracy::kCategorical || !is_sparse(s)) &&
         (s.accuracy != Accuracy::kBinary || s.cols == 1) && (!s.ignores || is_sparse(s)) &&
         (!s.by_row || s.loss == Loss::kTversky) &&
         (!s.class_alpha || s.loss == Loss::kCategoricalFocalCrossentropy);
}

void prepare_loss_rows(Prepared* p) {
  const LossShape& s = p->op.loss;
  const double count = double(s.rows) * s.cols;
  set_cost(p, 8 * count, 8 * count + 4 * (is_sparse(s) ? double(s.rows) : count));
  const int64_t chunks = ceil_div(s.rows, rows_per_chunk(s.cols));
  p->workspace_bytes = sizeof(LossResult) * chunks + sizeof(Survey) * (chunks + 1);
}

void run_loss_rows(const Prepared& p, const Operands& operands, Context& context) {
  const LossShape& s = p.op.loss;
  const LossKernel loss = loss_kernel(s);
  const int64_t chunk = rows_per_chunk(s.cols), chunks = ceil_div(s.rows, chunk);
  LossResult* results = static_cast<LossResult*>(context.workspace);
  Survey* const surveys = reinterpret_cast<Survey*>(results + chunks);
  Survey* const total = surveys + chunks;
  const bool surveyed = needs_survey(s);
  if (surveyed) {
    for_each_chunk(context, s.rows, chunk, [&](int64_t begin, int64_t end) {
      surveys[begin / chunk] = survey(s, rows_of(s, operands, begin, end));
    });
    parallel_for(*context.member, 1, [&](int64_t) { *total = sum_of(surveys, chunks); });
  }
  const auto batch_of_rows = [&] { return surveyed ? *total : Survey{double(s.rows), {0, 0, 0}, 0}; };
  for_each_chunk(context, s.rows, chunk, [&](int64_t begin, int64_t end) {
    const Survey batch = batch_of_rows();
    const double divisor = divisor_of(s, batch), scale = divisor ? s.weight / divisor : 0;
    const double weight = s.rows_per_weight ? batch.counted : 1;
    const Overlap overlap = is_overlap(s) ? overlap_of(s, batch.overlap, weight, scale) : Overlap{0, 0, 0};
    LossRows rows = rows_of(s, operands, begin, end);
    rows.scale = scale;
    rows.binary_targets = int32_t(batch.binary);
    LossResult result = {0, 0, 0};
    // Before the loss: dx may be x.
    for (int64_t r = 0; s.accuracy != Accuracy::kNone && r < rows.rows; ++r)
      result.correct += is_correct(s, rows, r);
    if (is_overlap(s)) {
      if (begin == 0) result.loss = overlap.loss;
      if (rows.dx) kernels().loss->overlap_bwd(rows, overlap.slope, overlap.offset);
    } else if (operands.out[2]) {
      add_row_values(loss, rows, output(operands, 2) + begin, &result);
    } else {
      result.loss = loss(rows);
    }
    results[begin / chunk] = result;
  });
  parallel_for(*context.member, 1, [&](int64_t) {
    LossResult sum = {0, divisor_of(s, batch_of_rows()), 0};
    for (int64_t i = 0; i < chunks; ++i) {
      sum.loss += results[i].loss;
      sum.correct += results[i].correct;
    }
    *static_cast<LossResult*>(operands.out[1]) = sum;
  });
}

}  // namespace cpu
}  // namespace fastcnn
