// SPDX-License-Identifier: Apache-2.0
// y = scale f(a, b) and the gradients of it, dx[i] = scale times the sum of g over what x was repeated along.
// Few long sums are cut into parts, which go to the workspace [parts, elements of dx] and are added in their
// order.
#include "kernels/binary.h"

#include "kernels.h"
#include "kernels/activation.h"
#include "kernels/reduce.h"
#include "kernels/tile.h"
#include "nest.h"

namespace fastcnn {
namespace cpu {

namespace {

enum { kY, kA, kB };        // operands of the forward nest
enum { kDy, kP, kQ, kDx };  // and of the backward one
constexpr int kTerms = 3;   // sums that a kernel loops over
constexpr int kOuter = 6;  // at most: of eight dimensions one is the columns, and one the rows or three terms
constexpr int64_t kStrip = 256;  // columns of a task: 1 KB of each row
constexpr int64_t kManyTasks = 64;
constexpr int64_t kShort = 63;

void read_shape(const BinaryShape& s, Nest* nest, int y, int a, int b) {
  nest->rank = s.rank;
  int64_t dense = 1;
  for (int d = s.rank - 1; d >= 0; --d) {
    nest->size[d] = s.size[d];
    nest->stride[y][d] = dense;
    if (a >= 0) nest->stride[a][d] = s.a_stride[d];
    if (b >= 0) nest->stride[b][d] = s.b_stride[d];
    dense *= s.size[d];
  }
}

double elements(const BinaryShape& s, const int64_t* stride) {
  double count = 1;
  for (int d = 0; d < s.rank; ++d)
    if (!stride || stride[d]) count *= double(s.size[d]);
  return count;
}

bool reads_a_and_b(Binary kind) { return kind == Binary::kMaximum || kind == Binary::kMinimum; }

// The dimensions of a sum in the order of the kernels' loops.
struct SumState {
  int32_t kind;
  int32_t outer, extra;  // dimensions of dx before the row; sums beyond kTerms, which follow them
  int32_t last_is_summed;
  int32_t split;  // which of `terms` is cut into parts; kTerms: the columns
  int64_t parts, part, outputs;
  int64_t rows, cols, terms[kTerms], outer_size[kOuter];
  int64_t row[4], col[4], term[4][kTerms], outer_stride[4][kOuter];
  int64_t strip, strips;  // columns of a task, if they are kept
};

void set_dim(const Nest& nest, int d, int64_t* size, int64_t* strides, int step) {
  *size = nest.size[d];
  for (int t = 0; t < 4; ++t) strides[t * step] = nest.stride[t][d];
}

// The columns are the last dimension, the row is the last kept one before them, the terms are the last three
// that are summed. Further sums are rare: their places are parts.
void arrange(const Nest& nest, SumState* sum) {
  *sum = SumState{};
  const int last = nest.rank - 1;
  const auto summed = [&](int d) { return nest.stride[kDx][d] == 0; };
  const auto outer = [&](int d) {
    const int to = sum->outer + sum->extra;
    set_dim(nest, d, &sum->outer_size[to], &sum->outer_stride[0][to], kOuter);
  };
  sum->last_is_summed = nest.size[last] > 1 && summed(last);
  set_dim(nest, last, &sum->cols, sum->col, 1);
  sum->rows = 1;
  for (int k = 0; k < kTerms; ++k) sum->terms[k] = 1;

  int row = last - 1, terms = kTerms, summed_dims[kNestDims], sums = 0;
  while (row >= 0 && (nest.size[row] == 1 || summed(row))) --row;
  if (row >= 0) set_dim(nest, row, &sum->rows, sum->row, 1);
  for (int d = 0; d < last; ++d) {
    if (d == row || nest.size[d] == 1) continue;
    if (summed(d))
      summed_dims[sums++] = d;
    else
      outer(d), ++sum->outer;
  }
  while (sums > 0 && terms > 0) {
    const int d = summed_dims[--sums];
    --terms;
    set_dim(nest, d, &sum->terms[terms], &sum->term[0][terms], kTerms);
  }
  for (int i = 0; i < sums; ++i) outer(summed_dims[i]), ++sum->extra;
}

int64_t places(const SumState& sum, int begin, int end) {
  int64_t count = 1;
  for (int d = begin; d < end; ++d) count *= sum.outer_size[d];
  return count;
}
int64_t kept_places(const SumState& sum) { return places(sum, 0, sum.outer); }
int64_t extra_places(const SumState& sum) { return places(sum, sum.outer, sum.outer + sum.extra); }

// Cuts the longest sum where there would be too few tasks.
void split(SumState* sum) {
  sum->strip = sum->last_is_summed || sum->cols < kStrip ? sum->cols : kStrip;
  sum->strips = ceil_div(sum->cols, sum->strip);
  int64_t length = 1, longest = sum->last_is_summed ? sum->cols : 1;
  sum->split = kTerms;
  for (int k = 0; k < kTerms; ++k) {
    length *= sum->terms[k];
    if (sum->terms[k] > longest) longest = sum->terms[k], sum->split = k;
  }
  const int64_t kept = kept_places(*sum) * sum->rows;
  sum->outputs = kept * (sum->last_is_summed ? 1 : sum->cols);
  const int64_t work = length * sum->strip;  // of one row
  sum->parts = 1, sum->part = longest;
  if (kept * sum->strips >= kManyTasks || work <= 4 * kChunk) return;
  const int64_t wanted = ceil_div(work, kChunk);
  sum->part = ceil_div(longest, wanted < kManyTasks ? wanted : kManyTasks);
  sum->parts = ceil_div(longest, sum->part);
}

void sum_state(const BinaryShape& s, SumState* sum) {
  Nest nest;
  const bool both = reads_a_and_b(s.kind), product = s.kind == Binary::kMultiply;
  // Of a product the other factor is read; what is not read moves with dy.
  read_shape(s, &nest, kDy, kP, kQ);
  const int64_t *mine = s.which ? s.b_stride : s.a_stride, *other = s.which ? s.a_stride : s.b_stride;
  for (int d = 0; d < s.rank; ++d) {
    nest.stride[kDx][d] = mine[d];
    if (!both) nest.stride[kP][d] = product ? other[d] : nest.stride[kDy][d];
    if (!both) nest.stride[kQ][d] = nest.stride[kDy][d];
  }
  nest.operands = 4;
  shorten(&nest);
  arrange(nest, sum);
  sum->kind = both ? kSumSelected : product ? kSumProduct : kSumAll;
  split(sum);
}

}  // namespace

bool supports_binary_nest(const OpDescriptor& op) {
  return op.binary.rank >= 1 && op.binary.rank <= kMaxRank;
}

void prepare_binary_nest(Prepared* p) {
  const BinaryShape& s = p->op.binary;
  Nest& nest = state<Nest>(p);
  nest.operands = 3;
  read_shape(s, &nest, kY, kA, kB);
  const double count = elements(s, nullptr);
  set_cost(p, count, 4 * (count + elements(s, s.a_stride) + elements(s, s.b_stride)));
  shorten(&nest);
  cut_rows(&nest);
}

void run_binary_nest(const Prepared& p, const Operands& operands, Context& context) {
  const Nest& nest = state<Nest>(p);
  const auto kernel = kernels().binary->fwd[int(p.op.binary.kind)];
  const Activation activation = p.op.epilogue.activation;
  const ActivationForward activate =
      activation == Activation::kNone ? nullptr : kernels().activation->fwd[int(activation)];
  const float *a = input(operands, 0), *b = input(operands, 1);
  float* y = output(operands, 0);
  const bool stream = y != a && y != b && streams(elements(p.op.binary, nullptr));
  const auto compute = [&](const Block& at) {
    BinaryBlock block;
    block.stream = stream;
    block.a = a + offset_of(nest, kA, at), block.b = b + offset_of(nest, kB, at);
    block.y = y + offset_of(nest, kY, at);
    for (int k = 0; k < kInner; ++k) {
      const int d = nest.rank - kInner + k;
      block.size[k] = at.size[k];
      block.y_stride[k] = nest.stride[kY][d];
      block.a_stride[k] = nest.stride[kA][d], block.b_stride[k] = nest.stride[kB][d];
    }
    block.scale = p.op.binary.scale;
    kernel(block);
    if (activate)
      for (int64_t i = 0; i < block.size[0]; ++i)
        for (int64_t j = 0; j < block.size[1]; ++j) {
          float* row = block.y + i * block.y_stride[0] + j * block.y_stride[1];
          activate(row, row, block.size[2], {});
        }
  };
  const int64_t* size = nest.size + nest.rank - kInner;
  if (nest.rank > kInner || size[0] * size[1] > 1) return for_each_block(context, nest, compute);
  for_each_chunk_of(context, y, size[2], [&](int64_t begin, int64_t end) {
    compute({{0, 0, begin}, {1, 1, end - begin}, nullptr});
  });
}

bool supports_binary_bwd_nest(const OpDescriptor& op) {
  return op.binary_bwd.rank >= 1 && op.binary_bwd.rank <= kMaxRank;
}

void prepare_binary_bwd_nest(Prepared* p) {
  const BinaryShape& s = p->op.binary_bwd;
  SumState& sum = state<SumState>(p);
  sum_state(s, &sum);
  const double count = elements(s, nullptr);
  double bytes = 4 * (count + double(sum.outputs));
  if (sum.kind == kSumSelected) bytes += 4 * (elements(s, s.a_stride) + elements(s, s.b_stride));
  if (sum.kind == kSumProduct) bytes += 4 * elements(s, s.which ? s.a_stride : s.b_stride);
  set_cost(p, (sum.kind == kSumAll ? 1 : 2) * count, bytes);
  const int64_t parts = sum.parts * extra_places(sum);
  if (parts > 1) p->workspace_bytes = sizeof(float) * parts * sum.outputs;
}

void run_binary_bwd_nest(const Prepared& p, const Operands& operands, Context& context) {
  const BinaryShape& s = p.op.binary_bwd;
  const SumState& sum = state<SumState>(p);
  const BinaryKernels& table = *kernels().binary;
  const auto kernel = (sum.last_is_summed ? table.sum_last : table.sum_kept)[sum.kind];
  const float* dy = input(operands, 0);
  float* dx = output(operands, 0);
  const int64_t parts = sum.parts * extra_places(sum);
  float* sums = parts > 1 ? static_cast<float*>(context.workspace) : dx;

  SumBlock whole;
  whole.dy = whole.p = whole.q = dy;
  if (sum.kind == kSumProduct) whole.p = input(operands, s.which ? 1 : 2);
  if (sum.kind == kSumSelected) whole.p = input(operands, 1), whole.q = input(operands, 2);
  whole.dx_row = sum.row[kDx];
  for (int k = 0; k < kTerms; ++k) whole.terms[k] = sum.terms[k];
  for (int t = 0; t < 3; ++t) {
    whole.row[t] = sum.row[t], whole.col[t] = sum.col[t];
    for (int k = 0; k < kTerms; ++k) whole.term[t][k] = sum.term[t][k];
  }
  whole.scale = s.which && s.kind == Binary::kSubtract ? -s.scale : s.scale;
  whole.sign = s.kind == Binary::kMinimum ? -1.0f : 1.0f;
  whole.want = !s.which;

  // One sum of nothing but dy, kept columns: what the gradient of a bias is. Short sums of few columns are
  // faster many at once: of 32 pixels with 3 channels in half the time.
  const auto column_sum = kernels().reduce->column_sum;
  const int64_t pitch = sum.term[kDy][kTerms - 1];
  const bool plain = sum.kind == kSumAll && !sum.last_is_summed && whole.scale == 1 && sum.terms[0] == 1 &&
                     sum.terms[1] == 1 && sum.terms[2] > (sum.cols < kernels().tile->lanes ? kShort : 1);

  // No sum at all: a product like that of the forward pass.
  int64_t terms = 1;
  for (int k = 0; k < kTerms; ++k) terms *= sum.terms[k];
  const auto multiply = table.fwd[int(Binary::kMultiply)];
  const bool stream = dx != dy && streams(double(sum.outputs));
  const bool product = sum.kind == kSumProduct && !sum.last_is_summed && terms == 1 && parts == 1;

  // A task is some rows of one strip of columns, or of one part of each sum.
  const int64_t height = rows_per_chunk(ceil_div(terms, sum.parts) * sum.strip);
  const int64_t rows = height < sum.rows ? height : sum.rows, bands = ceil_div(sum.rows, rows);
  const int64_t kept = kept_places(sum);
  parallel_for(*context.member, parts * kept * bands * sum.strips, [&](int64_t task) {
    int64_t rest = task;
    const int64_t strip = rest % sum.strips * sum.strip;
    rest /= sum.strips;
    const int64_t row = rest % bands * rows;
    rest /= bands;
    const int64_t part = rest / kept;
    int64_t at[4];
    for (int t = 0; t < 4; ++t) at[t] = row * sum.row[t] + strip * sum.col[t];
    const auto enter = [&](int64_t place, int begin, int end) {
      for (int d = end - 1; d >= begin; --d) {
        const int64_t i = place % sum.outer_size[d];
        place /= sum.outer_size[d];
        for (int t = 0; t < 4; ++t) at[t] += i * sum.outer_stride[t][d];
      }
    };
    enter(rest % kept, 0, sum.outer);
    enter(part / sum.parts, sum.outer, sum.outer + sum.extra);
    SumBlock block = whole;
    block.rows = sum.rows - row < rows ? sum.rows - row : rows;
    block.cols = sum.cols - strip < sum.strip ? sum.cols - strip : sum.strip;
    if (sum.parts > 1) {
      const int64_t begin = part % sum.parts * sum.part;
      int64_t* length = sum.split == kTerms ? &block.cols : &block.terms[sum.split];
      const int64_t left = *length - begin;
      *length = left < sum.part ? left : sum.part;
      for (int t = 0; t < 3; ++t)
        at[t] += begin * (sum.split == kTerms ? sum.col[t] : sum.term[t][sum.split]);
    }
    block.dy += at[kDy], block.p += at[kP], block.q += at[kQ];
    block.dx = sums + part * sum.outputs + at[kDx];
    if (product) {
      return multiply({block.dy,
                       block.p,
                       block.dx,
                       {1, block.rows, block.cols},
                       {0, sum.row[kDy], sum.col[kDy]},
                       {0, sum.row[kP], sum.col[kP]},
                       {0, block.dx_row, 1},
                       block.scale,
                       stream});
    }
    if (!plain) return kernel(block);
    for (int64_t r = 0; r < block.rows; ++r)
      column_sum({block.dy + r * sum.row[kDy], block.terms[kTerms - 1], block.cols, pitch},
                 block.dx + r * block.dx_row);
  });
  if (parts == 1) return;
  for_each_chunk(context, sum.outputs, kStrip, [&](int64_t begin, int64_t end) {
    column_sum({sums + begin, parts, end - begin, sum.outputs}, dx + begin);
  });
}

}  // namespace cpu
}  // namespace fastcnn
