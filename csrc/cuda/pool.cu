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

template <class T>
FASTCNN_INLINE Best find_best(const PoolWindows& p, const T* x, int64_t output) {
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

template <class T>
void max_fwd(Context& context, const PoolWindows& p, const Operands& o) {
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  for_each(context, p.outputs(), [=] __device__(int64_t i) { y[i] = find_best(p, x, i).value; });
}

// position[i]: which of its taps is the window's maximum.
template <class Index, class T>
void find_positions(Context& context, const PoolWindows& p, const T* x, T* y, Index* position) {
  for_each(context, p.outputs(), [=] __device__(int64_t i) {
    const Best best = find_best(p, x, i);
    if (y) y[i] = best.value;
    position[i] = Index(best.position);
  });
}

// dx is 0 where `mask`, shaped as x, is not above 0; dy counts for nothing where y is not.
template <class Index, class T>
void max_bwd(Context& context, const PoolWindows& p, const T* dy, const Index* position, const T* mask,
             const T* y, T* dx) {
  for_each(context, p.inputs(), [=] __device__(int64_t i) {
    float sum = 0.0f;
    for_each_window_over(p, i, [&](int64_t output, int64_t mine, int64_t) {
      if (int64_t(position[output]) == mine && !(y && float(y[output]) <= 0.0f)) sum += float(dy[output]);
    });
    dx[i] = mask && float(mask[i]) <= 0.0f ? 0.0f : sum;
  });
}

template <class T>
void sum_fwd(Context& context, const PoolWindows& p, bool average, const Operands& o) {
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  for_each(context, p.outputs(), [=] __device__(int64_t i) {
    int64_t image;
    float sum = 0.0f;
    const PoolWindow window(p, i, &image);
    window.for_each(p, [&](int64_t element, int64_t) { sum += float(x[element]); });
    y[i] = average ? sum / float(window.divisor()) : sum;
  });
}

template <class T>
void sum_bwd(Context& context, const PoolWindows& p, bool average, bool masked, const Operands& o) {
  const T *const dy = input<T>(o, 0), *const mask = masked ? input<T>(o, 1) : nullptr;
  T* const dx = output<T>(o, 0);
  for_each(context, p.inputs(), [=] __device__(int64_t i) {
    float sum = 0.0f;
    for_each_window_over(p, i, [&](int64_t output, int64_t, int64_t divisor) {
      sum += average ? float(dy[output]) / float(divisor) : float(dy[output]);
    });
    dx[i] = mask && float(mask[i]) <= 0.0f ? 0.0f : sum;
  });
}

bool only_mask(const OpDescriptor& op) {
  Epilogue e = op.epilogue;
  e.relu_mask = 0;
  return plain(e);
}

void set_pool_cost(Prepared* p, const PoolWindows& w) {
  const double in = double(w.inputs()), out = double(w.outputs());
  set_cost(p, out * double(w.d.taps) * double(w.h.taps) * double(w.w.taps), bytes_of_number(p) * (in + out));
}

template <class T>
void run_max_bwd(const PoolWindows& w, const Prepared& p, const Operands& o, Context& context) {
  auto* position = static_cast<int32_t*>(context.workspace);
  find_positions<int32_t, T>(context, w, input<T>(o, 1), nullptr, position);
  max_bwd<int32_t, T>(context, w, input<T>(o, 0), position,
                      p.op.epilogue.relu_mask ? input<T>(o, 1) : nullptr, nullptr, output<T>(o, 0));
}

template <class T>
void find_bytes(Context& context, const PoolWindows& p, const Operands& o) {
  find_positions<uint8_t, T>(context, p, input<T>(o, 0), output<T>(o, 0), output<uint8_t>(o, 1));
}
template <class T>
void max_bwd_bytes(Context& context, const PoolWindows& p, bool masked, const Operands& o) {
  max_bwd<uint8_t, T>(context, p, input<T>(o, 0), input<uint8_t>(o, 1), nullptr,
                      masked ? input<T>(o, 2) : nullptr, output<T>(o, 0));
}
template <class T>
void find_pixels(Context& context, const PoolWindows& w, const Operands& o) {
  const T* const x = input<T>(o, 0);
  T* const y = output<T>(o, 0);
  auto* const index = output<int32_t>(o, 1);
  for_each(context, w.outputs(), [=] __device__(int64_t i) {
    const Best best = find_best(w, x, i);
    y[i] = best.value;
    index[i] = int32_t(best.element / w.c % (w.d.in * w.h.in * w.w.in));
  });
}
template <class T>
void max_bwd_pixels(Context& context, const PoolWindows& w, const Operands& o) {
  const T* const dy = input<T>(o, 0);
  const auto* const index = input<int32_t>(o, 1);
  T* const dx = output<T>(o, 0);
  for_each(context, w.inputs(), [=] __device__(int64_t i) {
    const int64_t pixel = i / w.c % (w.d.in * w.h.in * w.w.in);
    float sum = 0.0f;
    for_each_window_over(w, i, [&](int64_t output, int64_t, int64_t) {
      if (index[output] == pixel) sum += float(dy[output]);
    });
    dx[i] = sum;
  });
}

template <class Power, class T>
void lp_fwd(Context& context, const PoolWindows& p, Power op, const T* x, T* y) {
  for_each(context, p.outputs(), [=] __device__(int64_t i) {
    int64_t image;
    float greatest = 0.0f, sum = 0.0f;
    const PoolWindow window(p, i, &image);
    if (Power::kScaled)
      window.for_each(p, [&](int64_t element, int64_t) {
        const float t = abs(float(x[element]));
        greatest = t > greatest || t != t ? t : greatest;
      });
    window.for_each(p, [&](int64_t element, int64_t) { sum += op.term(float(x[element]), greatest); });
    y[i] = op.finish(sum, greatest);
  });
}

template <class T>
struct LpGradient {
  const T *dy, *x, *y;
  T* dx;
};

template <class Power, class T>
void lp_bwd(Context& context, const PoolWindows& p, Power op, const LpGradient<T>& g) {
  for_each(context, p.inputs(), [=] __device__(int64_t i) {
    float sum = 0.0f;
    for_each_window_over(p, i, [&](int64_t output, int64_t, int64_t) {
      sum += op.factor(float(g.x[i]), float(g.dy[output]), float(g.y[output]));
    });
    g.dx[i] = op.gradient(sum, float(g.x[i]));
  });
}

template <class T>
void lp_pool(const Prepared& p, const Operands& o, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_fwd;
  const PoolWindows w = windows_of(s.pool);
  if (s.power == 1.0f) return lp_fwd(context, w, LpAbs{}, input<T>(o, 0), output<T>(o, 0));
  if (s.power == 2.0f) return lp_fwd(context, w, LpSquare{}, input<T>(o, 0), output<T>(o, 0));
  lp_fwd(context, w, LpPower{s.power}, input<T>(o, 0), output<T>(o, 0));
}

template <class T>
void lp_pool_backward(const Prepared& p, const Operands& o, Context& context) {
  const LpPool2dShape& s = p.op.lp_pool2d_bwd;
  const PoolWindows w = windows_of(s.pool);
  const LpGradient<T> g = {input<T>(o, 0), input<T>(o, 1), input<T>(o, 2), output<T>(o, 0)};
  if (s.power == 1.0f) return lp_bwd(context, w, LpAbs{}, g);
  if (s.power == 2.0f) return lp_bwd(context, w, LpSquare{}, g);
  lp_bwd(context, w, LpPower{s.power}, g);
}

// One thread to a channel of an image: of several values for one place the last stays.
template <class T>
void unpool(const Prepared& p, const Operands& o, Context& context) {
  const Unpool2dShape s = p.op.max_unpool2d_fwd;
  const T* const x = input<T>(o, 0);
  const auto* const index = input<int32_t>(o, 1);
  T* const y = output<T>(o, 0);
  for_each(context, s.n * s.h * s.w * s.c, [=] __device__(int64_t i) { y[i] = T(0.0f); });
  for_each(context, s.n * s.c, [=] __device__(int64_t i) {
    const int64_t n = i / s.c, c = i - n * s.c;
    for (int64_t pixel = 0; pixel < s.p * s.q; ++pixel) {
      const int64_t at = (n * s.p * s.q + pixel) * s.c + c;
      y[(n * s.h * s.w + index[at]) * s.c + c] = x[at];
    }
  });
}

template <class T>
void unpool_backward(const Prepared& p, const Operands& o, Context& context) {
  const Unpool2dShape s = p.op.max_unpool2d_bwd;
  const T* const dy = input<T>(o, 0);
  const auto* const index = input<int32_t>(o, 1);
  T* const dx = output<T>(o, 0);
  for_each(context, s.n * s.p * s.q * s.c, [=] __device__(int64_t i) {
    const int64_t pixel = i / s.c, n = pixel / (s.p * s.q);
    dx[i] = dy[(n * s.h * s.w + index[i]) * s.c + (i - pixel * s.c)];
  });
}

}  // namespace

#define FASTCNN_POOL(axes, algorithm)                                                                   \
  bool supports_max_pool##axes##_fwd_##algorithm(const OpDescriptor& op) { return plain(op.epilogue); } \
  void prepare_max_pool##axes##_fwd_##algorithm(Prepared* p) {                                          \
    set_pool_cost(p, windows_of(p->op.max_pool##axes##_fwd));                                           \
  }                                                                                                     \
  void run_max_pool##axes##_fwd_##algorithm(const Prepared& p, const Operands& o, Context& context) {   \
    FASTCNN_BY_STORAGE(p, max_fwd)(context, windows_of(p.op.max_pool##axes##_fwd), o);                  \
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
    FASTCNN_BY_STORAGE(p, run_max_bwd)(windows_of(p.op.max_pool##axes##_bwd), p, o, context);           \
  }                                                                                                     \
  FASTCNN_SUM_POOL(average, true, axes, algorithm)                                                      \
  FASTCNN_SUM_POOL(sum, false, axes, algorithm)
#define FASTCNN_SUM_POOL(kind, average, axes, algorithm)                                                     \
  bool supports_##kind##_pool##axes##_fwd_##algorithm(const OpDescriptor& op) { return plain(op.epilogue); } \
  void prepare_##kind##_pool##axes##_fwd_##algorithm(Prepared* p) {                                          \
    set_pool_cost(p, windows_of(p->op.kind##_pool##axes##_fwd));                                             \
  }                                                                                                          \
  void run_##kind##_pool##axes##_fwd_##algorithm(const Prepared& p, const Operands& o, Context& context) {   \
    FASTCNN_BY_STORAGE(p, sum_fwd)(context, windows_of(p.op.kind##_pool##axes##_fwd), average, o);           \
  }                                                                                                          \
  bool supports_##kind##_pool##axes##_bwd_##algorithm(const OpDescriptor& op) { return only_mask(op); }      \
  void prepare_##kind##_pool##axes##_bwd_##algorithm(Prepared* p) {                                          \
    set_pool_cost(p, windows_of(p->op.kind##_pool##axes##_bwd));                                             \
  }                                                                                                          \
  void run_##kind##_pool##axes##_bwd_##algorithm(const Prepared& p, const Operands& o, Context& context) {   \
    FASTCNN_BY_STORAGE(p, sum_bwd)                                                                           \
    (context, windows_of(p.op.kind##_pool##axes##_bwd), average, p.op.epilogue.relu_mask != 0, o);           \
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
  FASTCNN_BY_STORAGE(p, find_bytes)(context, windows_of(p.op.max_pool2d_fwd_index), o);
}

bool supports_max_pool2d_bwd_index_direct(const OpDescriptor& op) {
  return only_mask(op) && fits_a_byte(op.max_pool2d_bwd_index);
}
void prepare_max_pool2d_bwd_index_direct(Prepared* p) {
  set_pool_cost(p, windows_of(p->op.max_pool2d_bwd_index));
}
void run_max_pool2d_bwd_index_direct(const Prepared& p, const Operands& o, Context& context) {
  const bool masked = p.op.epilogue.relu_mask != 0;
  FASTCNN_BY_STORAGE(p, max_bwd_bytes)(context, windows_of(p.op.max_pool2d_bwd_index), masked, o);
}

static bool has_places(const OpDescriptor& op, const PoolWindows& w) {
  return plain(op.epilogue) && double(w.d.in) * double(w.h.in) * double(w.w.in) <= INT32_MAX;
}
#define FASTCNN_POOL_WITH_INDEX(step, algorithm, function)                                                   \
  bool supports_##step##_##algorithm(const OpDescriptor& op) { return has_places(op, windows_of(op.step)); } \
  void prepare_##step##_##algorithm(Prepared* p) { set_pool_cost(p, windows_of(p->op.step)); }               \
  void run_##step##_##algorithm(const Prepared& p, const Operands& o, Context& context) {                    \
    FASTCNN_BY_STORAGE(p, function)(context, windows_of(p.op.step), o);                                      \
  }
FASTCNN_POOL_WITH_INDEX(max_pool2d_with_index, direct, find_pixels)
FASTCNN_POOL_WITH_INDEX(max_pool2d_with_index_bwd, gather, max_bwd_pixels)
FASTCNN_POOL_WITH_INDEX(max_pool3d_with_index, direct, find_pixels)
FASTCNN_POOL_WITH_INDEX(max_pool3d_with_index_bwd, gather, max_bwd_pixels)
#undef FASTCNN_POOL_WITH_INDEX

bool supports_max_unpool2d_fwd_scatter(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_max_unpool2d_fwd_scatter(Prepared* p) {
  const Unpool2dShape& s = p->op.max_unpool2d_fwd;
  set_cost(p, 0,
           bytes_of_number(p) * double(s.n) * double(s.c) *
               (2 * double(s.p) * double(s.q) + double(s.h) * double(s.w)));
}
void run_max_unpool2d_fwd_scatter(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, unpool)(p, o, context);
}

bool supports_max_unpool2d_bwd_gather(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_max_unpool2d_bwd_gather(Prepared* p) {
  const Unpool2dShape& s = p->op.max_unpool2d_bwd;
  set_cost(p, 0, 3 * bytes_of_number(p) * double(s.n) * double(s.c) * double(s.p) * double(s.q));
}
void run_max_unpool2d_bwd_gather(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, unpool_backward)(p, o, context);
}

bool supports_lp_pool2d_fwd_direct(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_lp_pool2d_fwd_direct(Prepared* p) { set_pool_cost(p, windows_of(p->op.lp_pool2d_fwd.pool)); }
void run_lp_pool2d_fwd_direct(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, lp_pool)(p, o, context);
}

bool supports_lp_pool2d_bwd_direct(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_lp_pool2d_bwd_direct(Prepared* p) { set_pool_cost(p, windows_of(p->op.lp_pool2d_bwd.pool)); }
void run_lp_pool2d_bwd_direct(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, lp_pool_backward)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
