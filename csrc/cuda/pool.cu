// SPDX-License-Identifier: Apache-2.0
// Max, average, sum and Lp pooling over images and volumes, forward and backward: a thread to an output, and
// backwards to an input, which collects from the windows that hold it in their order. Of equal maxima the
// first counts, and NaN is greater than every number.
#include "window.h"

#include "../base/formulas/lp_pool.h"

namespace fastcnn {
namespace cuda {

namespace {

struct Best {
  float value;
  int64_t element, position;
};

FASTCNN_INLINE Best find_best(const PoolWindows& p, const float* x, int64_t output) {
  int64_t image;
  Best best = {0.0f, 0, 0};
  const PoolWindow window(p, output, &image);
  window.for_each(p, [&](int64_t element, int64_t position) {
    const float value = x[element];
    if (position > 0 && (value <= best.value || best.value != best.value)) return;
    best = {value, element, position};
  });
  return best;
}

void max_fwd(Context& context, const PoolWindows& p, const float* x, float* y) {
  for_each(context, p.outputs(), [=] __device__(int64_t i) { y[i] = find_best(p, x, i).value; });
}

// position[i]: which of its taps is the window's maximum.
template <class Index>
void find_positions(Context& context, const PoolWindows& p, const float* x, float* y, Index* position) {
  for_each(context, p.outputs(), [=] __device__(int64_t i) {
    const Best best = find_best(p, x, i);
    if (y) y[i] = best.value;
    position[i] = Index(best.position);
  });
}

// dx is 0 where `mask`, shaped as x, is not above 0; dy counts for nothing where y is not.
template <class Index>
void max_bwd(Context& context, const PoolWindows& p, const float* dy, const Index* position,
             const float* mask, const float* y, float* dx) {
  for_each(context, p.inputs(), [=] __device__(int64_t i) {
    float sum = 0.0f;
    for_each_window_over(p, i, [&](int64_t output, int64_t mine, int64_t) {
      if (int64_t(position[output]) == mine && !(y && y[output] <= 0.0f)) sum += dy[output];
    });
    dx[i] = mask && mask[i] <= 0.0f ? 0.0f : sum;
  });
}

void sum_fwd(Context& context, const PoolWindows& p, bool average, const float* x, float* y) {
  for_each(context, p.outputs(), [=] __device__(int64_t i) {
    int64_t image;
    float sum = 0.0f;
    const PoolWindow window(p, i, &image);
    window.for_each(p, [&](int64_t element, int64_t) { sum += x[element]; });
    y[i] = average ? sum / float(window.divisor()) : sum;
  });
}

void sum_bwd(Context& context, const PoolWindows& p, bool average, const float* dy, const float* mask,
             float* dx) {
  for_each(context, p.inputs(), [=] __device__(int64_t i) {
    float sum = 0.0f;
    for_each_window_over(p, i, [&](int64_t output, int64_t, int64_t divisor) {
      sum += average ? dy[output] / float(divisor) : dy[output];
    });
    dx[i] = mask && mask[i] <= 0.0f ? 0.0f : sum;
  });
}

bool only_mask(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.relu_mask = 0;
  return plain(e);
}

void set_pool_cost(Prepared* p, const PoolWindows& w) {
  const double in = double(w.inputs()), out = double(w.outputs());
  set_cost(p, out * double(w.d.taps) * double(w.h.taps) * double(w.w.taps), 4 * (in + out));
}

template <class Shape>
void run_max_bwd(const Shape& shape, const Prepared& p, const Operands& o, Context& context) {
  const PoolWindows w = windows_of(shape);
  auto* position = static_cast<int32_t*>(context.workspace);
  find_positions<int32_t>(context, w, input(o, 1), nullptr, position);
  max_bwd<int32_t>(context, w, input(o, 0), position, p.op.epilogue.relu_mask ? input(o, 1) : nullptr,
                   nullptr, output(o, 0));
}

template <class Power>
void lp_fwd(Context& context, const PoolWindows& p, Power op, const float* x, float* y) {
  for_each(context, p.outputs(), [=] __device__(int64_t i) {
    int64_t image;
    float greatest = 0.0f, sum = 0.0f;
    const PoolWindow window(p, i, &image);
    if (Power::kScaled)
      window.for_each(p, [&](int64_t element, int64_t) {
        const float t = abs(x[element]);
        greatest = t > greatest || t != t ? t : greatest;
      });
    window.for_each(p, [&](int64_t element, int64_t) { sum += op.term(x[element], greatest); });
    y[i] = op.finish(sum, greatest);
  });
}

struct LpGradient {
  const float *dy, *x, *y;
  float* dx;
};

template <class Power>
void lp_bwd(Context& context, const PoolWindows& p, Power op, const LpGradient& g) {
  for_each(context, p.inputs(), [=] __device__(int64_t i) {
    float sum = 0.0f;
    for_each_window_over(
        p, i, [&](int64_t output, int64_t, int64_t) { sum += op.factor(g.x[i], g.dy[output], g.y[output]); });
    g.dx[i] = op.gradient(sum, g.x[i]);
  });
}

}  // namespace

#define FASTCNN_POOL(axes, algorithm)                                                                   \
  bool supports_max_pool##axes##_fwd_##algorithm(const OpDescriptor& op) { return plain(op.epilogue); } \
  void prepare_max_pool##axes##_fwd_##algorithm(Prepared* p) {                                          \
    set_pool_cost(p, windows_of(p->op.max_pool##axes##_fwd));                                           \
  }                                                                                                     \
  void run_max_pool##axes##_fwd_##algorithm(const Prepared& p, const Operands& o, Context& context) {   \
    max_fwd(context, windows_of(p.op.max_pool##axes##_fwd), input(o, 0), output(o, 0));                 \
  }                                                                                                     \
  bool supports_max_pool##axes##_bwd_##algorithm(const OpDescriptor& op) {                              \
    const PoolWindows w = windows_of(op.max_pool##axes##_bwd);                                          \
    return only_mask(op) && double(w.d.in) * double(w.h.in) * double(w.w.in) < INT32_MAX;               \
  }                                                                                                     \
  void prepare_max_pool##axes##_bwd_##algorithm(Prepared* p) {                                          \
    const PoolWindows w = windows_of(p->op.max_pool##axes##_bwd);                                       \
    set_pool_cost(p, w);                                                                                \
    p->workspace_bytes = sizeof(int32_t) * size_t(w.outputs());                                         \
  }                                                                                                     \
  void run_max_pool##axes##_bwd_##algorithm(const Prepared& p, const Operands& o, Context& context) {   \
    run_max_bwd(p.op.max_pool##axes##_bwd, p, o, context);                                              \
  }                                                                                                     \
  FASTCNN_SUM_POOL(average, true, axes, algorithm)                                                      \
  FASTCNN_SUM_POOL(sum, false, axes, algorithm)
#define FASTCNN_SUM_POOL(kind, average, axes, algorithm)                                                     \
  bool supports_##kind##_pool##axes##_fwd_##algorithm(const OpDescriptor& op) { return plain(op.epilogue); } \
  void prepare_##kind##_pool##axes##_fwd_##algorithm(Prepared* p) {                                          \
    set_pool_cost(p, windows_of(p->op.kind##_pool##axes##_fwd));                                             \
  }                                                                                                          \
  void run_##kind##_pool##axes##_fwd_##algorithm(const Prepared& p, const Operands& o, Context& context) {   \
    sum_fwd(context, windows_of(p.op.kind##_pool##axes##_fwd), average, input(o, 0), output(o, 0));          \
  }                                                                                                          \
  bool supports_##kind##_pool##axes##_bwd_##algorithm(const OpDescriptor& op) { return only_mask(op); }      \
  void prepare_##kind##_pool##axes##_bwd_##algorithm(Prepared* p) {                                          \
    set_pool_cost(p, windows_of(p->op.kind##_pool##axes##_bwd));                                             \
  }                                                                                                          \
  void run_##kind##_pool##axes##_bwd_##algorithm(const Prepared& p, const Operands& o, Context& context) {   \
    sum_bwd(context, windows_of(p.op.kind##_pool##axes##_bwd), average, input(o, 0),                         \
            p.op.epilogue.relu_mask ? input(o, 1) : nullptr, output(o, 0));                                  \
  }
FASTCNN_POOL(2d, direct)
FASTCNN_POOL(3d, direct)
#undef FASTCNN_SUM_POOL
#undef FASTCNN_POOL

// An index of a byte counts the taps of a window that lie in the image.
static bool fits_a_byte(const Pool2dShape& s) { return !s.adaptive && s.r * s.s <= 256; }

bool supports_max_pool2d_fwd_index_direct(const OpDescriptor& op) {
  return plain(op.epilogue) && fits_a_byte(op.max_pool2d_fwd_index);
}
void prepare_max_pool2d_fwd_index_direct(Prepared* p) {
  set_pool_cost(p, windows_of(p->op.max_pool2d_fwd_index));
}
void run_max_pool2d_fwd_index_direct(const Prepared& p, const Operands& o, Context& context) {
  find_positions<uint8_t>(context, windows_of(p.op.max_pool2d_fwd_index), input(o, 0), output(o, 0),
                          static_cast<uint8_t*>(o.out[1]));
}

bool supports_max_pool2d_bwd_index_direct(const OpDescriptor& op) {
  return only_mask(op) && fits_a_byte(op.max_pool2d_bwd_index);
}
void prepare_max_pool2d_bwd_index_direct(Prepared* p) {
  set_pool_cost(p, windows_of(p->op.max_pool2d_bwd_index));
}
void run_max_pool2d_bwd_index_direct(const Prepared& p, const Operands& o, Context& context) {
  max_bwd<uint8_t>(context, windows_of(p.op.max_pool2d_bwd_index), input(o, 0),
                   static_cast<const uint8_t*>(o.in[1]), nullptr,
                   p.op.epilogue.relu_mask ? input(o, 2) : nullptr, output(o, 0));
}

bool supports_max_pool2d_with_index_direct(const OpDescriptor& op) {
  const Pool2dShape& s = op.max_pool2d_with_index;
  return plain(op.epilogue) && s.h <= INT32_MAX / s.w;
}
void prepare_max_pool2d_with_index_direct(Prepared* p) {
  set_pool_cost(p, windows_of(p->op.max_pool2d_with_index));
}
void run_max_pool2d_with_index_direct(const Prepared& p, const Operands& o, Context& context) {
  const PoolWindows w = windows_of(p.op.max_pool2d_with_index);
  const float* x = input(o, 0);
  float* y = output(o, 0);
  auto* index = static_cast<int32_t*>(o.out[1]);
  for_each(context, w.outputs(), [=] __device__(int64_t i) {
    const Best best = find_best(w, x, i);
    y[i] = best.value;
    index[i] = int32_t(best.element / w.c % (w.h.in * w.w.in));
  });
}

bool supports_max_unpool2d_fwd_scatter(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_max_unpool2d_fwd_scatter(Prepared* p) {
  const Unpool2dShape& s = p->op.max_unpool2d_fwd;
  set_cost(p, 0, 4 * double(s.n) * double(s.c) * (2 * double(s.p) * double(s.q) + double(s.h) * double(s.w)));
}
// One thread to a channel of an image: of several values for one place the last stays.
void run_max_unpool2d_fwd_scatter(const Prepared& p, const Operands& o, Context& context) {
  const Unpool2dShape s = p.op.max_unpool2d_fwd;
  const float* x = input(o, 0);
  const auto* index = static_cast<const int32_t*>(o.in[1]);
  float* y = output(o, 0);
  for_each(context, s.n * s.h * s.w * s.c, [=] __device__(int64_t i) { y[i] = 0.0f; });
  for_each(context, s.n * s.c, [=] __device__(int64_t i) {
    const int64_t n = i / s.c, c = i - n * s.c;
    for (int64_t pixel = 0; pixel < s.p * s.q; ++pixel) {
      const int64_t at = (n * s.p * s.q + pixel) * s.c + c;
      y[(n * s.h * s.w + index[at]) * s.c + c] = x[at];
    }
  });
}

bool supports_max_unpool2d_bwd_gather(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_max_unpool2d_bwd_gather(Prepared* p) {
  const Unpool2dShape& s = p->op.max_unpool2d_bwd;
  set_cost(p, 0, 12 * double(s.n) * double(s.c) * double(s.p) * double(s.q));
}
void run_max_unpool2d_bwd_gather(const Prepared& p, const Operands& o, Context& context) {
  const Unpool2dShape s = p.op.max_unpool2d_bwd;
  const float* dy = input(o, 0);
  const auto* index = static_cast<const int32_t*>(o.in[1]);
  float* dx = output(o, 0);
  for_each(context, s.n * s.p * s.q * s.c, [=] __device__(int64_t i) {
    const int64_t pixel = i / s.c, n = pixel / (s.p * s.q);
    dx[i] = dy[(n * s.h * s.w + index[i]) * s.c + (i - pixel * s.c)];
  });
}

bool supports_lp_pool2d_fwd_direct(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_lp_pool2d_fwd_direct(Prepared* p) { set_pool_cost(p, windows_of(p->op.lp_pool2d_fwd.pool)); }
void run_lp_pool2d_fwd_direct(const Prepared& p, const Operands& o, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_fwd;
  const PoolWindows w = windows_of(s.pool);
  if (s.power == 1.0f) return lp_fwd(context, w, LpAbs{}, input(o, 0), output(o, 0));
  if (s.power == 2.0f) return lp_fwd(context, w, LpSquare{}, input(o, 0), output(o, 0));
  lp_fwd(context, w, LpPower{s.power}, input(o, 0), output(o, 0));
}

bool supports_lp_pool2d_bwd_direct(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_lp_pool2d_bwd_direct(Prepared* p) { set_pool_cost(p, windows_of(p->op.lp_pool2d_bwd.pool)); }
void run_lp_pool2d_bwd_direct(const Prepared& p, const Operands& o, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_bwd;
  const PoolWindows w = windows_of(s.pool);
  const LpGradient g = {input(o, 0), input(o, 1), input(o, 2), output(o, 0)};
  if (s.power == 1.0f) return lp_bwd(context, w, LpAbs{}, g);
  if (s.power == 2.0f) return lp_bwd(context, w, LpSquare{}, g);
  lp_bwd(context, w, LpPower{s.power}, g);
}

}  // namespace cuda
}  // namespace fastcnn
