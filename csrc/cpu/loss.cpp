// SPDX-License-Identifier: Apache-2.0
// Loss and accuracy of a batch, and the gradient of the mean loss over its rows: x, dx [rows, cols], target
// int32 labels [rows] for the sparse loss and float32 [rows, cols] for the others. Each chunk of rows leaves
// its sums in the workspace; they are added in the order of the rows.
#include "chunks.h"
#include "kernels.h"
#include "kernels/softmax.h"

namespace fastcnn {
namespace cpu {

namespace {

LossKernel loss_kernel(const LossShape& s) {
  const SoftmaxKernels& k = *kernels().softmax;
  if (s.loss == Loss::kMeanSquaredError) return k.mean_squared_error;
  if (s.loss == Loss::kSparseCrossentropy)
    return s.from_logits ? k.sparse_from_logits : k.sparse_from_probabilities;
  return s.from_logits ? k.categorical_from_logits : k.categorical_from_probabilities;
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

}  // namespace

bool supports_loss_rows(const OpDescriptor& op) {
  const LossShape& s = op.loss;
  const bool sparse = s.loss == Loss::kSparseCrossentropy;
  return (s.accuracy != Accuracy::kSparse || sparse) && (s.accuracy != Accuracy::kCategorical || !sparse) &&
         (s.accuracy != Accuracy::kBinary || s.cols == 1);
}

void prepare_loss_rows(Prepared* p) {
  const LossShape& s = p->op.loss;
  const double count = double(s.rows) * s.cols;
  const bool sparse = s.loss == Loss::kSparseCrossentropy;
  set_cost(p, 8 * count, 8 * count + 4 * (sparse ? double(s.rows) : count));
  p->workspace_bytes = sizeof(LossResult) * ceil_div(s.rows, rows_per_chunk(s.cols));
}

void run_loss_rows(const Prepared& p, const Operands& operands, Context& context) {
  const LossShape& s = p.op.loss;
  const LossKernel loss = loss_kernel(s);
  const bool sparse = s.loss == Loss::kSparseCrossentropy;
  const int64_t chunk = rows_per_chunk(s.cols);
  LossResult* partial = static_cast<LossResult*>(context.workspace);

  for_each_chunk(context, s.rows, chunk, [&](int64_t begin, int64_t end) {
    LossRows rows;
    rows.x = input(operands, 0) + begin * s.cols;
    rows.labels = sparse ? static_cast<const int32_t*>(operands.in[1]) + begin : nullptr;
    rows.target = sparse ? nullptr : input(operands, 1) + begin * s.cols;
    rows.dx = operands.out[0] ? output(operands, 0) + begin * s.cols : nullptr;
    rows.rows = end - begin;
    rows.cols = s.cols;
    rows.scale = s.weight / float(s.rows);
    LossResult result = {0, 0};
    // Before the loss: dx may be x.
    for (int64_t r = 0; r < rows.rows; ++r) result.correct += is_correct(s, rows, r);
    result.loss = loss(rows);
    partial[begin / chunk] = result;
  });
  parallel_for(*context.member, 1, [&](int64_t) {
    LossResult total = {0, 0};
    for (int64_t i = 0; i < ceil_div(s.rows, chunk); ++i) {
      total.loss += partial[i].loss;
      total.correct += partial[i].correct;
    }
    *static_cast<LossResult*>(operands.out[1]) = total;
  });
}

}  // namespace cpu
}  // namespace fastcnn
