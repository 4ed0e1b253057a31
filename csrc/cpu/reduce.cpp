// SPDX-License-Identifier: Apache-2.0
// db[c] = sum over rows of dy[row, c]: the gradient of a bias. Blocks of rows and columns are summed by the
// team into the workspace [row blocks, cols], whose rows are added in their order.
#include "kernels/reduce.h"

#include "chunks.h"
#include "kernels.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int64_t kColumns = 256;  // of a block: 1 KB of each row

int64_t rows_of_block(const RowsShape& s) { return kChunk / (s.cols < kColumns ? s.cols : kColumns); }
int64_t row_blocks(const RowsShape& s) { return ceil_div(s.rows, rows_of_block(s)); }

}  // namespace

bool supports_column_sum_chunked(const OpDescriptor&) { return true; }

void prepare_column_sum_chunked(Prepared* p) {
  const RowsShape& s = p->op.column_sum;
  set_cost(p, double(s.rows) * s.cols, 4 * (double(s.rows) + 1) * s.cols);
  if (row_blocks(s) > 1) p->workspace_bytes = sizeof(float) * row_blocks(s) * s.cols;
}

void run_column_sum_chunked(const Prepared& p, const Operands& operands, Context& context) {
  const RowsShape& s = p.op.column_sum;
  const auto column_sum = kernels().reduce->column_sum;
  const int64_t height = rows_of_block(s), blocks = row_blocks(s), strips = ceil_div(s.cols, kColumns);
  const float* dy = input(operands, 0);
  float* db = output(operands, 0);
  float* sums = blocks > 1 ? static_cast<float*>(context.workspace) : db;

  const auto columns = [&](int64_t c) { return s.cols - c < kColumns ? s.cols - c : kColumns; };
  parallel_for(*context.member, blocks * strips, [&](int64_t task) {
    const int64_t block = task / strips, c = task % strips * kColumns, row = block * height;
    const int64_t rows = s.rows - row < height ? s.rows - row : height;
    column_sum({dy + row * s.cols + c, rows, columns(c), s.cols}, sums + block * s.cols + c);
  });
  if (blocks == 1) return;
  parallel_for(*context.member, strips, [&](int64_t strip) {
    const int64_t c = strip * kColumns;
    column_sum({sums + c, blocks, columns(c), s.cols}, db + c);
  });
}

}  // namespace cpu
}  // namespace fastcnn
