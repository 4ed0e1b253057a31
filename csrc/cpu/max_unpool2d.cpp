// SPDX-License-Identifier: Apache-2.0
// y[n, index[n,p,q,c], c] = x[n,p,q,c], 0 elsewhere, and dx[n,p,q,c] = dy[n, index[n,p,q,c], c]; x, index
// [N,P,Q,C], y [N,H*W,C]. Where two name the same pixel the later one stays. Who prepares the steps has
// checked that every index is one: here is nothing but scattered memory, so the loops are plain.
#include <cstring>

#include "chunks.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int64_t kStrip = 16;  // channels: a line of memory
constexpr int64_t kImages = 8;  // from here on an image is one task

void prepare(Prepared* p, const Unpool2dShape& s) {
  const double small = double(s.n) * s.p * s.q * s.c, large = double(s.n) * s.h * s.w * s.c;
  set_cost(p, 0, 4 * (2 * small + large));
}

}  // namespace

bool supports_max_unpool2d_fwd_scatter(const OpDescriptor& op) {
  return op.max_unpool2d_fwd.h <= INT32_MAX / op.max_unpool2d_fwd.w;
}
void prepare_max_unpool2d_fwd_scatter(Prepared* p) { prepare(p, p->op.max_unpool2d_fwd); }

// Strips of channels of an image are tasks of their own where images are few: the order of the pixels is kept
// in each.
void run_max_unpool2d_fwd_scatter(const Prepared& p, const Operands& operands, Context& context) {
  const Unpool2dShape& s = p.op.max_unpool2d_fwd;
  const float* x = input(operands, 0);
  const int32_t* index = static_cast<const int32_t*>(operands.in[1]);
  float* y = output(operands, 0);
  const int64_t pixels = s.p * s.q, image = s.h * s.w * s.c;
  const bool whole = s.n >= kImages || s.c < 2 * kStrip;
  const auto zero = [&](int64_t begin, int64_t end) {
    std::memset(y + begin, 0, sizeof(float) * static_cast<size_t>(end - begin));
  };
  if (!whole) for_each_chunk(context, s.n * image, kChunk, zero);
  const int64_t width = whole ? s.c : kStrip, strips = ceil_div(s.c, width);
  parallel_for(*context.member, s.n * strips, [&](int64_t task) {
    const int64_t n = task / strips, begin = task % strips * width;
    const int64_t end = begin + width < s.c ? begin + width : s.c;
    if (whole) zero(n * image, (n + 1) * image);
    for (int64_t i = 0; i < pixels; ++i) {
      const int64_t at = (n * pixels + i) * s.c;
      for (int64_t c = begin; c < end; ++c) y[n * image + index[at + c] * s.c + c] = x[at + c];
    }
  });
}

bool supports_max_unpool2d_bwd_gather(const OpDescriptor& op) {
  return op.max_unpool2d_bwd.h <= INT32_MAX / op.max_unpool2d_bwd.w;
}
void prepare_max_unpool2d_bwd_gather(Prepared* p) { prepare(p, p->op.max_unpool2d_bwd); }

void run_max_unpool2d_bwd_gather(const Prepared& p, const Operands& operands, Context& context) {
  const Unpool2dShape& s = p.op.max_unpool2d_bwd;
  const float* dy = input(operands, 0);
  const int32_t* index = static_cast<const int32_t*>(operands.in[1]);
  float* dx = output(operands, 0);
  const int64_t pixels = s.p * s.q, image = s.h * s.w * s.c;
  for_each_chunk(context, s.n * pixels, rows_per_chunk(s.c), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* from = dy + i / pixels * image;
      for (int64_t c = 0; c < s.c; ++c) dx[i * s.c + c] = from[index[i * s.c + c] * s.c + c];
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
