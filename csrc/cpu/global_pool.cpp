// SPDX-License-Identifier: Apache-2.0
// Pooling with one window over the whole image, whatever its padding: x, dx [N,H*W,C], y, dy [N,C]. A large
// image is cut into parts by its shape alone; what the parts come to is joined in their order.
#include "kernels/global_pool.h"

#include <cstring>

#include "kernels.h"
#include "pool2d.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int64_t kPart = 4 * kChunk;  // elements of an image that one task reads, about

struct Parts {
  int64_t pixels, part, count;  // of the image, of a part, parts of an image
  int64_t divisor;
};

bool is_global(const Pool2dShape& s) {
  return !s.adaptive && s.p == 1 && s.q == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.r - s.pad_top >= s.h && s.s - s.pad_left >= s.w && windows_touch_image(s);
}

int64_t counted(int64_t window, int64_t size, int64_t before, int64_t after, bool padding) {
  if (!padding) return size;
  return window < size + before + after ? window : size + before + after;
}

Parts parts_of(const Pool2dShape& s, Pooling kind) {
  Parts parts = {};
  parts.pixels = s.h * s.w;
  const int64_t pixels = kPart / s.c > 0 ? kPart / s.c : 1;
  parts.count = parts.pixels < 2 * pixels ? 1 : ceil_div(parts.pixels, pixels);
  parts.part = ceil_div(parts.pixels, parts.count);
  parts.count = ceil_div(parts.pixels, parts.part);
  const bool padding = s.count_include_pad;
  parts.divisor = kind != Pooling::kAverage ? 1
                                            : counted(s.r, s.h, s.pad_top, s.pad_bottom, padding) *
                                                  counted(s.s, s.w, s.pad_left, s.pad_right, padding);
  return parts;
}

// f(n, part, first pixel, pixels) for every part of every image.
template <class F>
void for_each_part(Context& context, const Pool2dShape& s, const Parts& parts, F f) {
  parallel_for(*context.member, s.n * parts.count, [&](int64_t task) {
    const int64_t n = task / parts.count, part = task % parts.count, first = part * parts.part;
    f(n, part, first, first + parts.part < parts.pixels ? parts.part : parts.pixels - first);
  });
}

void prepare_fwd(Prepared* p, const Pool2dShape& s, Pooling kind) {
  const Parts parts = state<Parts>(p) = parts_of(s, kind);
  set_cost(p, pool2d_inputs(s), 4 * (pool2d_inputs(s) + pool2d_outputs(s)));
  if (parts.count > 1) p->workspace_bytes = sizeof(float) * static_cast<size_t>(s.n * parts.count * s.c);
}

void run_fwd(const Prepared& p, const Pool2dShape& s, Pooling kind, const Operands& operands,
             Context& context) {
  const GlobalPoolKernels& k = *kernels().global_pool;
  const Parts& parts = state<Parts>(p);
  const auto reduce = [&](const Pixels& pixels, int64_t divisor, float* y) {
    if (kind == Pooling::kMax)
      k.max(pixels, y);
    else
      k.sum(pixels, divisor, y);
  };
  const float* x = input(operands, 0);
  float* y = output(operands, 0);
  float* sums = parts.count > 1 ? static_cast<float*>(context.workspace) : y;
  for_each_part(context, s, parts, [&](int64_t n, int64_t part, int64_t first, int64_t count) {
    reduce({x + (n * parts.pixels + first) * s.c, first, count, s.c}, parts.count > 1 ? 1 : parts.divisor,
           sums + (n * parts.count + part) * s.c);
  });
  if (parts.count == 1) return;
  parallel_for(*context.member, s.n, [&](int64_t n) {
    reduce({sums + n * parts.count * s.c, 0, parts.count, s.c}, parts.divisor, y + n * s.c);
  });
}

void prepare_linear_bwd(Prepared* p, const Pool2dShape& s, Pooling kind) {
  state<Parts>(p) = parts_of(s, kind);
  set_cost(p, pool2d_inputs(s), 4 * ((1 + p->op.epilogue.relu_mask) * pool2d_inputs(s) + pool2d_outputs(s)));
  p->scratch_bytes = sizeof(float) * static_cast<size_t>(s.c > kGlobalRow ? s.c : kGlobalRow);
}

void run_linear_bwd(const Prepared& p, const Pool2dShape& s, const Operands& operands, Context& context) {
  const Parts& parts = state<Parts>(p);
  const float *dy = input(operands, 0), *mask = p.op.epilogue.relu_mask ? input(operands, 1) : nullptr;
  float *dx = output(operands, 0), *row = static_cast<float*>(context.member->scratch(p.scratch_bytes));
  for_each_part(context, s, parts, [&](int64_t n, int64_t, int64_t first, int64_t count) {
    const int64_t at = (n * parts.pixels + first) * s.c;
    kernels().global_pool->spread(
        {dy + n * s.c, count, s.c, parts.divisor, mask ? mask + at : nullptr, dx + at, row});
  });
}

// What the parts of an image chose, then what the image did: the greatest values and where they stand.
struct Choice {
  float* value;
  int32_t* index;
};

Choice choices(const Pool2dShape& s, const Parts& parts, Context& context) {
  float* value = static_cast<float*>(context.workspace);
  return {value, reinterpret_cast<int32_t*>(value + s.n * parts.count * s.c)};
}

// The first greatest of all parts ends up in the first part's place.
void join_parts(const Pool2dShape& s, const Parts& parts, const Choice& choice, int64_t n) {
  float* best = choice.value + n * parts.count * s.c;
  int32_t* index = choice.index + n * parts.count * s.c;
  for (int64_t part = 1; part < parts.count; ++part)
    for (int64_t c = 0; c < s.c; ++c) {
      const float v = best[part * s.c + c];
      if (v <= best[c] || best[c] != best[c]) continue;
      best[c] = v;
      index[c] = index[part * s.c + c];
    }
}

}  // namespace

#define FASTCNN_GLOBAL(name, kind)                                                                        \
  bool supports_##name##_pool2d_fwd_global(const OpDescriptor& op) {                                      \
    return is_global(op.name##_pool2d_fwd);                                                               \
  }                                                                                                       \
  bool supports_##name##_pool2d_bwd_global(const OpDescriptor& op) {                                      \
    return is_global(op.name##_pool2d_bwd);                                                               \
  }                                                                                                       \
  void prepare_##name##_pool2d_fwd_global(Prepared* p) { prepare_fwd(p, p->op.name##_pool2d_fwd, kind); } \
  void run_##name##_pool2d_fwd_global(const Prepared& p, const Operands& operands, Context& context) {    \
    run_fwd(p, p.op.name##_pool2d_fwd, kind, operands, context);                                          \
  }
FASTCNN_GLOBAL(max, Pooling::kMax)
FASTCNN_GLOBAL(average, Pooling::kAverage)
FASTCNN_GLOBAL(sum, Pooling::kSum)
#undef FASTCNN_GLOBAL

void prepare_average_pool2d_bwd_global(Prepared* p) {
  prepare_linear_bwd(p, p->op.average_pool2d_bwd, Pooling::kAverage);
}
void run_average_pool2d_bwd_global(const Prepared& p, const Operands& operands, Context& context) {
  run_linear_bwd(p, p.op.average_pool2d_bwd, operands, context);
}
void prepare_sum_pool2d_bwd_global(Prepared* p) {
  prepare_linear_bwd(p, p->op.sum_pool2d_bwd, Pooling::kSum);
}
void run_sum_pool2d_bwd_global(const Prepared& p, const Operands& operands, Context& context) {
  run_linear_bwd(p, p.op.sum_pool2d_bwd, operands, context);
}

void prepare_max_pool2d_bwd_global(Prepared* p) {
  const Pool2dShape& s = p->op.max_pool2d_bwd;
  const Parts parts = state<Parts>(p) = parts_of(s, Pooling::kMax);
  set_cost(p, pool2d_inputs(s), 4 * (2 * pool2d_inputs(s) + pool2d_outputs(s)));
  p->workspace_bytes = 2 * sizeof(float) * static_cast<size_t>(s.n * parts.count * s.c);
}

void run_max_pool2d_bwd_global(const Prepared& p, const Operands& operands, Context& context) {
  const Pool2dShape& s = p.op.max_pool2d_bwd;
  const Parts& parts = state<Parts>(p);
  const float *dy = input(operands, 0), *x = input(operands, 1);
  float* dx = output(operands, 0);
  const Choice choice = choices(s, parts, context);
  for_each_part(context, s, parts, [&](int64_t n, int64_t part, int64_t first, int64_t count) {
    const int64_t at = (n * parts.pixels + first) * s.c, place = (n * parts.count + part) * s.c;
    kernels().global_pool->max_index({x + at, first, count, s.c}, choice.value + place, choice.index + place);
    std::memset(dx + at, 0, sizeof(float) * static_cast<size_t>(count * s.c));
  });
  parallel_for(*context.member, s.n, [&](int64_t n) {
    join_parts(s, parts, choice, n);
    const float* best = choice.value + n * parts.count * s.c;
    const int32_t* index = choice.index + n * parts.count * s.c;
    for (int64_t c = 0; c < s.c; ++c) {
      const bool off = p.op.epilogue.relu_mask && best[c] <= 0;
      dx[(n * parts.pixels + index[c]) * s.c + c] = off ? 0.0f : dy[n * s.c + c];
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
