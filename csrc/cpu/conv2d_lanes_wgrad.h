// SPDX-License-Identifier: Apache-2.0
// What the weight gradients of convolutions with the batch in lanes share: which outputs a tap meets, and
// partial sums. Pixels are split by shape alone into partial sums, added in order.
#pragma once
#include "lanes.h"

namespace fastcnn {
namespace cpu {

// Outputs i < outputs whose input i stride + offset lies in [0, inputs); at least an empty range.
inline Range outputs_inside(int64_t outputs, int64_t stride, int64_t offset, int64_t inputs) {
  const int64_t begin = offset < 0 ? ceil_div(-offset, stride) : 0;
  const int64_t end = std::min(outputs, offset < inputs ? (inputs - 1 - offset) / stride + 1 : 0);
  return begin < end ? Range{begin, end} : Range{0, 0};
}
inline Range rows_of_tap(const Conv2dShape& v, int64_t r) {
  return outputs_inside(v.p, v.stride_h, r * v.dilation_h - v.pad_top, v.h);
}
inline Range cols_of_tap(const Conv2dShape& v, int64_t s) {
  return outputs_inside(v.q, v.stride_w, s * v.dilation_w - v.pad_left, v.w);
}

inline int64_t dw_floats(const Conv2dShape& v) { return v.r * v.s * (v.c / v.groups) * v.k; }
inline int64_t x_plane(const Conv2dShape& v) { return v.h * v.w * kBatchLanes; }
inline int64_t dy_plane(const Conv2dShape& v) { return v.p * v.q * kBatchLanes; }

// Chunks of `units`: enough tasks, and not more partial sums than 8 M floats.
inline int64_t chunks_for(const Conv2dShape& v, int64_t units, int64_t wanted) {
  return std::max<int64_t>(1, std::min({units, wanted, (int64_t{8} << 20) / dw_floats(v)}));
}

// A partial sum of each chunk: dw, and db where it is asked for.
struct Partial {
  int64_t chunks, floats;
  float *dw, *db;

  Partial(const Conv2dShape& v, int64_t count, const Operands& x, bool bias, float* workspace)
      : chunks(count),
        floats(round_up(dw_floats(v), 16)),
        dw(output(x, 0)),
        db(bias ? output(x, 1) : nullptr) {
    if (chunks == 1) return;
    dw = workspace;
    if (bias) db = workspace + chunks * floats;
  }
  float* dw_of(int64_t chunk) const { return dw + chunk * floats; }
  float* db_of(const Conv2dShape& v, int64_t chunk) const {
    return db ? db + chunk * round_up(v.k, 16) : nullptr;
  }
  void add_up(const Conv2dShape& v, const Operands& x, Context& context) const {
    if (chunks == 1) return;
    const int64_t count = dw_floats(v);
    for_each_chunk(context, count + (db ? v.k : 0), std::max<int64_t>(1024, ceil_div(count, kTasks)),
                   [&](int64_t begin, int64_t end) {
                     const auto add = kernels().tile->sum_parts;
                     if (begin < count)
                       add(dw + begin, chunks, floats, std::min(end, count) - begin, output(x, 0) + begin);
                     if (end <= count) return;
                     const int64_t first = std::max<int64_t>(0, begin - count);
                     add(db + first, chunks, round_up(v.k, 16), end - count - first, output(x, 1) + first);
                   });
  }
};
inline int64_t partial_floats(const Conv2dShape& v, int64_t chunks, bool bias) {
  return chunks == 1 ? 0 : chunks * (round_up(dw_floats(v), 16) + (bias ? round_up(v.k, 16) : 0));
}

inline bool in_whole_blocks(const Conv2dShape& v) { return v.n % kBatchLanes == 0; }

inline void set_costs(Prepared* p, const Conv2dShape& v, int64_t chunks) {
  p->flops = conv_flops(v), p->bytes = conv_bytes(v);
  p->parallel = p->flops > kLanesTaskFlops;
  p->workspace_bytes = float_bytes(partial_floats(v, chunks, p->op.epilogue.bias));
}

}  // namespace cpu
}  // namespace fastcnn
