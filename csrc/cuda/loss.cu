// SPDX-License-Identifier: Apache-2.0
// Loss and accuracy of a batch, and the gradient of its loss (loss_rows.h). First, where the loss of a row
// depends on the whole batch (its divisor, what hinge targets mean, Dice and Tversky), a block looks through
// it; then each row is a team's; last, a block adds up the rows. dx may be x: a team has read its row before
// it writes.
#include "loss_rows.h"

namespace fastcnn {
namespace cuda {

namespace {

// The first NaN, else the first of the greatest.
template <class T, class N>
FASTCNN_INLINE int64_t argmax(T team, const N* x, int64_t cols) {
  const float highest = greatest_of(team, x, cols);
  int64_t first = cols;
  for (int64_t j = T::rank(); j < cols; j += T::kWidth)
    if (j < first && (highest == highest ? x[j] == highest : x[j] != x[j])) first = j;
  return T::all(first, Lesser{});
}

template <class T, class N>
FASTCNN_INLINE bool is_correct(T team, const Batch<N>& b, const Row<N>& row) {
  switch (b.s.accuracy) {
    case Accuracy::kSparse:
      return argmax(team, row.x, row.cols) == row.label;
    case Accuracy::kCategorical:
      return argmax(team, row.x, row.cols) == argmax(team, row.target, row.cols);
    case Accuracy::kBinary:
      return (*row.x > 0.5f ? 1.0f : 0.0f) == (b.labels ? float(row.label) : *row.target);
    default:
      return false;
  }
}

template <class Loss, class N = float>
void run_rows(Context& context, const Batch<N>& b) {
  for_each_row(context, b.s.rows, b.s.cols, [=] __device__(auto team, int64_t r) {
    const int64_t at = r * b.s.cols;
    Row<N> row;
    row.x = b.x + at, row.cols = b.s.cols;
    row.target = b.labels ? nullptr : b.target + at, row.label = b.labels ? b.labels[r] : 0;
    row.dx = b.dx ? b.dx + at : nullptr;
    row.weight = b.weight(r), row.scale = b.scale() * row.weight;
    const bool correct = is_correct(team, b, row);
    team.barrier();  // dx may be x
    double loss = 0.0;
    if (!b.ignored(r))
      loss = Loss::run(team, b, row);
    else
      for (int64_t j = team.rank(); row.dx && j < row.cols; j += team.kWidth) row.dx[j] = 0.0f;
    if (team.rank() != 0) return;
    b.row_loss[r] = loss, b.row_correct[r] = correct;
    if (b.values) b.values[r] = float(loss);
  });
}

constexpr int64_t kBlock = kShortRow + 1;  // a row of this length is a block's

template <class N>
void look_through(Context& context, const Batch<N>& b) {
  const bool hinge = is_hinge(b.s);
  for_each_row(context, 1, kBlock, [=] __device__(auto team, int64_t) {
    Survey found = {0.0, 0.0, 0.0, 0.0, 1};
    for (int64_t r = team.rank(); r < b.s.rows; r += team.kWidth)
      if (!b.ignored(r)) found.counted += b.by_weight ? b.weight(r) : 1.0;
    if (hinge || b.overlap())
      for (int64_t i = team.rank(); i < b.s.rows * b.s.cols; i += team.kWidth) {
        const double t = double(b.target[i]), x = double(b.x[i]);
        found.target += t, found.prediction += x, found.both += t * x;
        if (t != 0.0 && t != 1.0) found.binary = 0;
      }
    found.counted = team.sum(found.counted);
    found.target = team.sum(found.target), found.prediction = team.sum(found.prediction);
    found.both = team.sum(found.both);
    found.binary = team.all(found.binary, Lesser{});
    if (team.rank() == 0) *b.survey = found;
  });
}

template <class N>
void add_up(Context& context, const Batch<N>& b) {
  for_each_row(context, 1, kBlock, [=] __device__(auto team, int64_t) {
    double loss = 0.0;
    int64_t correct = 0;
    for (int64_t r = team.rank(); r < b.s.rows; r += team.kWidth)
      loss += b.row_loss[r], correct += b.row_correct[r];
    loss = team.sum(loss), correct = team.sum(correct);
    if (team.rank() == 0) *b.result = {b.overlap() ? tversky_of(b).loss : loss, b.divisor(), correct};
  });
}

using Run = void (*)(Context&, const Batch<float>&);

Run run_of(const LossShape& s) {
  switch (s.loss) {
    case Loss::kSparseCrossentropy:
    case Loss::kCategoricalCrossentropy:
      return s.from_logits ? run_rows<CrossentropyFromLogits> : run_rows<CrossentropyFromProbabilities>;
    case Loss::kCategoricalFocalCrossentropy:
      return s.from_logits ? run_rows<Focal<true>> : run_rows<Focal<false>>;
    case Loss::kBinaryCrossentropy:
      return s.from_logits ? run_rows<Elements<BinaryFromLogits>> : run_rows<Elements<Binary>>;
    case Loss::kBinaryFocalCrossentropy:
      return s.from_logits ? run_rows<Elements<BinaryFocal<true>>> : run_rows<Elements<BinaryFocal<false>>>;
    case Loss::kMeanSquaredError:
      return run_rows<Elements<Squared>>;
    case Loss::kMeanAbsoluteError:
      return run_rows<Elements<Absolute>>;
    case Loss::kMeanAbsolutePercentageError:
      return run_rows<Elements<Percentage>>;
    case Loss::kMeanSquaredLogarithmicError:
      return run_rows<Elements<SquaredLogarithmic>>;
    case Loss::kHuber:
      return run_rows<Elements<Huber>>;
    case Loss::kLogCosh:
      return run_rows<Elements<LogCosh>>;
    case Loss::kHinge:
      return run_rows<Elements<Hinge>>;
    case Loss::kSquaredHinge:
      return run_rows<Elements<SquaredHinge>>;
    case Loss::kCategoricalHinge:
      return run_rows<CategoricalHinge>;
    case Loss::kKlDivergence:
      return run_rows<Elements<KlDivergence>>;
    case Loss::kPoisson:
      return run_rows<Elements<Poisson>>;
    case Loss::kCosineSimilarity:
      return run_rows<Cosine>;
    case Loss::kTversky:
      return s.by_row ? run_rows<Tversky<true>> : run_rows<Tversky<false>>;
  }
  return nullptr;
}

bool is_crossentropy_from_logits(const LossShape& s) {
  return s.from_logits && (s.loss == Loss::kSparseCrossentropy || s.loss == Loss::kCategoricalCrossentropy);
}

template <class N>
void run(const Prepared& p, const Operands& o, Context& context) {
  const LossShape& s = p.op.loss;
  const bool sparse = s.loss == Loss::kSparseCrossentropy, overlap = s.loss == Loss::kTversky && !s.by_row;
  Batch<N> b = {};
  b.s = s;
  b.x = input<N>(o, 0);
  b.labels = sparse ? static_cast<const int32_t*>(o.in[1]) : nullptr;
  b.target = sparse ? nullptr : input(o, 1);
  b.weights = s.rows_per_weight ? input(o, 2) : nullptr;
  b.alpha = s.class_alpha ? input(o, 3) : nullptr;
  b.dx = output<N>(o, 0), b.values = output(o, 2);
  b.result = static_cast<LossResult*>(o.out[1]);
  b.survey = static_cast<Survey*>(context.workspace);
  b.row_loss = reinterpret_cast<double*>(b.survey + 1);
  b.row_correct = reinterpret_cast<int64_t*>(b.row_loss + s.rows);
  b.by_weight = s.rows_per_weight && (s.reduction == Reduction::kMeanWithSampleWeight || overlap);
  b.surveyed = s.ignores || b.by_weight || is_hinge(s) || overlap;
  if (b.surveyed) look_through(context, b);
  if constexpr (sizeof(N) == sizeof(float))
    run_of(s)(context, b);
  else
    run_rows<CrossentropyFromLogits>(context, b);
  if (b.result) add_up(context, b);
}

}  // namespace

bool supports_loss_rows(const OpDescriptor& op) {
  const LossShape& s = op.loss;
  const bool sparse = s.loss == Loss::kSparseCrossentropy;
  // Plans convert for the other losses: a row of each would cost more than they win.
  if (op.storage == Storage::kBfloat16 && !is_crossentropy_from_logits(s)) return false;
  return (s.accuracy != Accuracy::kSparse || sparse) && (s.accuracy != Accuracy::kCategorical || !sparse) &&
         (s.accuracy != Accuracy::kBinary || s.cols == 1) && (!s.ignores || sparse);
}
void prepare_loss_rows(Prepared* p) {
  const LossShape& s = p->op.loss;
  const double count = double(s.rows) * double(s.cols);
  set_cost(p, 8 * count, (2 * bytes_of_number(p) + sizeof(float)) * count);
  p->workspace_bytes = sizeof(Survey) + size_t(s.rows) * (sizeof(double) + sizeof(int64_t));
}
void run_loss_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, run)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
