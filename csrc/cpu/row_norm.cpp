// SPDX-License-Identifier: Apache-2.0
// Layer, RMS and unit norm of the rows of a matrix. A row that caches hold is read once from memory: its
// statistics, its map and, backward, its part of dgamma and dbeta come one after the other. Longer rows are
// cut into pieces, and the phases are apart.
#include "kernels/row_norm.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int64_t kLongRow = 16384, kPiece = 4096;
constexpr int64_t kMostBlocks = 64;  // of rows, each with its own dgamma and dbeta
constexpr int64_t kStrip = 64;       // columns of a task that adds these up

struct Blocking {
  RowStatistics of;
  int64_t rows;
  int64_t height, blocks;  // backward: rows of a block
  int64_t pieces;          // of a row; 1: whole
};

Blocking blocking(const RowNormShape& s) {
  Blocking b{};
  b.of = {s.kind, s.cols, s.epsilon};
  b.rows = s.rows;
  const int64_t some = rows_per_chunk(s.cols), enough = ceil_div(s.rows, kMostBlocks);
  b.height = some > enough ? some : enough;
  b.blocks = ceil_div(s.rows, b.height);
  b.pieces = s.cols > kLongRow ? ceil_div(s.cols, kPiece) : 1;
  return b;
}

NormRows rows_of(const Blocking& b) {
  NormRows all{};
  all.rows = b.rows, all.count = all.pitch = b.of.cols;
  all.stream = streams(double(b.rows) * double(b.of.cols));
  return all;
}

NormRows rows_from(const NormRows& all, int64_t row, int64_t column) {
  NormRows a = all;
  const int64_t at = row * all.pitch + column;
  a.x += at;
  if (a.dy) a.dy += at;
  if (a.y) a.y += at;
  if (a.gamma) a.gamma += column;
  if (a.beta) a.beta += column;
  if (a.dgamma) a.dgamma += column;
  if (a.dbeta) a.dbeta += column;
  return a;
}

void clear(float* p, int64_t count) {
  for (int64_t i = 0; p && i < count; ++i) p[i] = 0;
}

// One piece of one row, or of all rows.
NormRows piece_of(const Blocking& b, const NormRows& all, int64_t row, int64_t rows, int64_t piece) {
  NormRows a = rows_from(all, row, piece * kPiece);
  const int64_t left = b.of.cols - piece * kPiece;
  a.rows = rows, a.count = left < kPiece ? left : kPiece;
  return a;
}

void run_long(const Blocking& b, const NormRows& all, bool relu, Context& context) {
  const RowNormKernels& k = *kernels().row_norm;
  RowFactors* factors = static_cast<RowFactors*>(context.workspace);
  RowSums* sums = reinterpret_cast<RowSums*>(factors + b.rows);
  parallel_for(*context.member, b.rows * b.pieces, [&](int64_t task) {
    const NormRows a = piece_of(b, all, task / b.pieces, 1, task % b.pieces);
    (all.dy ? k.sums_bwd : k.sums_fwd)(b.of, a, sums + task);
  });
  for_each_chunk(context, b.rows, rows_per_chunk(b.pieces), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) k.factors(b.of, sums + r * b.pieces, kPiece, factors + r);
  });
  if (all.dy)  // all rows of a column by one thread, so in their order
    return parallel_for(*context.member, b.pieces, [&](int64_t piece) {
      const NormRows a = piece_of(b, all, 0, b.rows, piece);
      clear(a.dgamma, a.count);
      clear(a.dbeta, a.count);
      k.apply_bwd(a, factors);
    });
  parallel_for(*context.member, b.rows * b.pieces, [&](int64_t task) {
    const NormRows a = piece_of(b, all, task / b.pieces, 1, task % b.pieces);
    (relu ? k.apply_relu : k.apply_fwd)(a, factors + task / b.pieces);
  });
}

void sum_blocks(const Blocking& b, const float* from, float* to, Context& context) {
  const int64_t cols = b.of.cols;
  for_each_chunk(context, cols, kStrip, [&](int64_t begin, int64_t end) {
    double sums[kStrip] = {};
    for (int64_t block = 0; block < b.blocks; ++block)
      for (int64_t c = begin; c < end; ++c) sums[c - begin] += double(from[block * cols + c]);
    for (int64_t c = begin; c < end; ++c) to[c] = float(sums[c - begin]);
  });
}

bool plain(const Epilogue& e) { return !e.bias && !e.relu_mask && e.activation == Activation::kNone; }

}  // namespace

bool supports_row_norm_fwd_rows(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  if (e.activation == Activation::kRelu) e.activation = Activation::kNone;
  return plain(e);
}

void prepare_row_norm_fwd_rows(Prepared* p) {
  const Blocking b = blocking(p->op.row_norm_fwd);
  const double count = double(b.rows) * double(b.of.cols);
  set_cost(p, 6 * count, 8 * count);
  if (b.pieces > 1)
    p->workspace_bytes = size_t(b.rows) * (sizeof(RowFactors) + size_t(b.pieces) * sizeof(RowSums));
  state<Blocking>(p) = b;
}

void run_row_norm_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const Blocking& b = state<Blocking>(p);
  const bool relu = p.op.epilogue.activation == Activation::kRelu;
  const int64_t cols = b.of.cols;
  NormRows all = rows_of(b);
  all.x = input(o, 0), all.gamma = input(o, 1), all.beta = input(o, 2), all.y = output(o, 0);
  if (b.pieces > 1) return run_long(b, all, relu, context);
  const auto f = relu ? kernels().row_norm->fwd_relu : kernels().row_norm->fwd;
  for_each_chunk(context, b.rows, rows_per_chunk(cols), [&](int64_t begin, int64_t end) {
    NormRows a = rows_from(all, begin, 0);
    a.rows = end - begin;
    f(b.of, a);
  });
}

bool supports_row_norm_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }

void prepare_row_norm_bwd_rows(Prepared* p) {
  const Blocking b = blocking(p->op.row_norm_bwd);
  const double count = double(b.rows) * double(b.of.cols);
  set_cost(p, 12 * count, 12 * count);
  if (b.pieces > 1)
    p->workspace_bytes = size_t(b.rows) * (sizeof(RowFactors) + size_t(b.pieces) * sizeof(RowSums));
  else if (b.blocks > 1)
    p->workspace_bytes = sizeof(float) * 2 * size_t(b.blocks) * size_t(b.of.cols);
  state<Blocking>(p) = b;
}

void run_row_norm_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const Blocking& b = state<Blocking>(p);
  const int64_t cols = b.of.cols;
  NormRows all = rows_of(b);
  all.dy = input(o, 0), all.x = input(o, 1), all.gamma = input(o, 2);
  all.y = output(o, 0), all.dgamma = output(o, 1), all.dbeta = output(o, 2);
  if (b.pieces > 1) return run_long(b, all, false, context);
  const bool apart = b.blocks > 1;
  float* const dgamma = static_cast<float*>(context.workspace);
  float* const dbeta = dgamma + (apart ? b.blocks * cols : 0);
  for_each_chunk(context, b.rows, b.height, [&](int64_t begin, int64_t end) {
    NormRows a = rows_from(all, begin, 0);
    const int64_t to = begin / b.height * cols;
    if (apart && a.dgamma) a.dgamma = dgamma + to;
    if (apart && a.dbeta) a.dbeta = dbeta + to;
    clear(a.dgamma, cols);
    clear(a.dbeta, cols);
    a.rows = end - begin;
    kernels().row_norm->bwd(b.of, a);
  });
  if (!apart) return;
  if (all.dgamma) sum_blocks(b, dgamma, all.dgamma, context);
  if (all.dbeta) sum_blocks(b, dbeta, all.dbeta, context);
}

}  // namespace cpu
}  // namespace fastcnn
