// SPDX-License-Identifier: Apache-2.0
// Max, average, sum and Lp pooling over images and volumes, forward and backward: a thread to an output, and
// backwards to an input, which collects from the windows that hold it in their order. Of equal maxima the
// first counts, and NaN is greater than every number.
#include "window.h"

#include "../base/formulas/lp_pool.h"

namespace fastcnn {
namespace cuda {

namespace {

// What finds the maxima: y and index may be null. An index of a byte is a position among the taps that lie in
// the image, one of 32 bits a pixel of the image.
template <class Index, class T>
struct Maxima {
  const T* x;
  T* y;
  Index* index;
};
template <class Index>
constexpr bool kPositions = sizeof(Index) == 1;

template <int kC, class Index, class T>
void find_some(Context& context, const PoolWindows& p, const Maxima<Index, T>& to) {
  const int64_t image = p.input_pixels() * p.c;
  for_each_place(context, p.output_places(kC), [=] __device__(const UnitPlace& at) {
    const T* const x = to.x + at.n * image + at.c * kC;
    float best[kC] = {};
    int32_t found[kC] = {};
    PoolWindow(p, at).for_each(p, [&](int32_t pixel, int32_t position) {
      const auto some = Together<T, kC>::at(x + pixel * p.c);
      FASTCNN_UNROLL
      for (int k = 0; k < kC; ++k) {
        const float value = some.of[k];
        if (position > 0 && (value <= best[k] || best[k] != best[k])) continue;
        best[k] = value, found[k] = kPositions<Index> ? position : pixel;
      }
    });
    Together<T, kC> y;
    Together<Index, kC> index;
    FASTCNN_UNROLL
    for (int k = 0; k < kC; ++k) y.of[k] = best[k], index.of[k] = Index(found[k]);
    if (to.y) y.put(to.y + at.unit * kC);
    if (to.index) index.put(to.index + at.unit * kC);
  });
}
template <class Index, class T>
void find(Context& context, const PoolWindows& p, const Maxima<Index, T>& to) {
  const bool fours = by_fours<T>(p.outputs(), p.c, {to.x, to.y}) && aligned_to(to.index, 4 * sizeof(Index));
  (fours ? find_some<4, Index, T> : find_some<1, Index, T>)(context, p, to);
}

// dx is 0 where `mask`, shaped as x, is not above 0; dy counts for nothing where y is not. Both may be null.
template <class Index, class T>
struct MaxGradient {
  const T* dy;
  const Index* index;
  const T *mask, *y;
  T* dx;
};

template <int kC, class T>
FASTCNN_INLINE void put_masked(const float (&sum)[kC], const T* mask, T* dx, int64_t i) {
  Together<T, kC> to;
  FASTCNN_UNROLL
  for (int k = 0; k < kC; ++k) to.of[k] = sum[k];
  if (mask) {
    const auto by = Together<T, kC>::at(mask + i);
    FASTCNN_UNROLL
    for (int k = 0; k < kC; ++k)
      if (float(by.of[k]) <= 0.0f) to.of[k] = 0.0f;
  }
  to.put(dx + i);
}

template <int kC, class Index, class T>
void max_bwd_some(Context& context, const PoolWindows& p, const MaxGradient<Index, T>& g) {
  const int64_t image = p.output_pixels() * p.c;
  for_each_place(context, p.input_places(kC), [=] __device__(const UnitPlace& at) {
    const int64_t first = at.n * image + at.c * kC;
    const int32_t pixel = (at.d * p.h.in + at.h) * p.w.in + at.w;
    float sum[kC] = {};
    for_each_window_over(p, at, [&](int32_t output, int32_t position, int32_t) {
      const int64_t from = first + output * p.c;
      const int32_t mine = kPositions<Index> ? position : pixel;
      const auto index = Together<Index, kC>::at(g.index + from);
      const auto dy = Together<T, kC>::at(g.dy + from);
      auto y = dy;
      if (g.y) y = Together<T, kC>::at(g.y + from);
      FASTCNN_UNROLL
      for (int k = 0; k < kC; ++k)
        if (int32_t(index.of[k]) == mine && !(g.y && float(y.of[k]) <= 0.0f)) sum[k] += float(dy.of[k]);
    });
    put_masked<kC>(sum, g.mask, g.dx, at.unit * kC);
  });
}
template <class Index, class T>
void max_bwd(Context& context, const PoolWindows& p, const MaxGradient<Index, T>& g) {
  const bool fours =
      by_fours<T>(p.inputs(), p.c, {g.dy, g.mask, g.y, g.dx}) && aligned_to(g.index, 4 * sizeof(Index));
  (fours ? max_bwd_some<4, Index, T> : max_bwd_some<1, Index, T>)(context, p, g);
}

template <int kC, class T>
void sum_some(Context& context, const PoolWindows& p, bool average, const Operands& o) {
  const T* const from = input<T>(o, 0);
  T* const to = output<T>(o, 0);
  const int64_t image = p.input_pixels() * p.c;
  for_each_place(context, p.output_places(kC), [=] __device__(const UnitPlace& at) {
    const T* const x = from + at.n * image + at.c * kC;
    const PoolWindow window(p, at);
    float sum[kC] = {};
    window.for_each(p, [&](int32_t pixel, int32_t) {
      const auto some = Together<T, kC>::at(x + pixel * p.c);
      FASTCNN_UNROLL
      for (int k = 0; k < kC; ++k) sum[k] += float(some.of[k]);
    });
    const float divisor = float(window.divisor());
    Together<T, kC> y;
    FASTCNN_UNROLL
    for (int k = 0; k < kC; ++k) y.of[k] = average ? sum[k] / divisor : sum[k];
    y.put(to + at.unit * kC);
  });
}
template <class T>
void sum_fwd(Context& context, const PoolWindows& p, bool average, const Operands& o) {
  const bool fours = by_fours<T>(p.outputs(), p.c, {o.in[0], o.out[0]});
  (fours ? sum_some<4, T> : sum_some<1, T>)(context, p, average, o);
}

template <class T>
struct SumGradient {
  const T *dy, *mask;  // of which the second may be null
  T* dx;
  bool average;
};
template <int kC, class T>
void sum_bwd_some(Context& context, const PoolWindows& p, const SumGradient<T>& g) {
  const int64_t image = p.output_pixels() * p.c;
  for_each_place(context, p.input_places(kC), [=] __device__(const UnitPlace& at) {
    const T* const from = g.dy + at.n * image + at.c * kC;
    float sum[kC] = {};
    for_each_window_over(p, at, [&](int32_t output, int32_t, int32_t divisor) {
      const auto dy = Together<T, kC>::at(from + output * p.c);
      FASTCNN_UNROLL
      for (int k = 0; k < kC; ++k) sum[k] += g.average ? float(dy.of[k]) / float(divisor) : float(dy.of[k]);
    });
    put_masked<kC>(sum, g.mask, g.dx, at.unit * kC);
  });
}
template <class T>
void sum_bwd(Context& context, const PoolWindows& p, bool average, bool masked, const Operands& o) {
  const SumGradient<T> g = {input<T>(o, 0), masked ? input<T>(o, 1) : nullptr, output<T>(o, 0), average};
  const bool fours = by_fours<T>(p.inputs(), p.c, {g.dy, g.mask, g.dx});
  (fours ? sum_bwd_some<4, T> : sum_bwd_some<1, T>)(context, p, g);
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
void max_fwd(Context& context, const PoolWindows& p, const Operands& o) {
  find<int32_t, T>(context, p, {input<T>(o, 0), output<T>(o, 0), nullptr});
}
template <class T>
void run_max_bwd(const PoolWindows& w, const Prepared& p, const Operands& o, Context& context) {
  auto* index = static_cast<int32_t*>(context.workspace);
  find<int32_t, T>(context, w, {input<T>(o, 1), nullptr, index});
  const T* const mask = p.op.epilogue.relu_mask ? input<T>(o, 1) : nullptr;
  max_bwd<int32_t, T>(context, w, {input<T>(o, 0), index, mask, nullptr, output<T>(o, 0)});
}

template <class T>
void find_bytes(Context& context, const PoolWindows& p, const Operands& o) {
  find<uint8_t, T>(context, p, {input<T>(o, 0), output<T>(o, 0), output<uint8_t>(o, 1)});
}
template <class T>
void max_bwd_bytes(Context& context, const PoolWindows& p, bool masked, const Operands& o) {
  max_bwd<uint8_t, T>(
      context, p,
      {input<T>(o, 0), input<uint8_t>(o, 1), nullptr, masked ? input<T>(o, 2) : nullptr, output<T>(o, 0)});
}
template <class T>
void find_pixels(Context& context, const PoolWindows& p, const Operands& o) {
  find<int32_t, T>(context, p, {input<T>(o, 0), output<T>(o, 0), output<int32_t>(o, 1)});
}
template <class T>
void max_bwd_pixels(Context& context, const PoolWindows& p, const Operands& o) {
  max_bwd<int32_t, T>(context, p, {input<T>(o, 0), input<int32_t>(o, 1), nullptr, nullptr, output<T>(o, 0)});
}

template <class Power, class T>
void lp_fwd(Context& context, const PoolWindows& p, Power op, const T* from, T* y) {
  const int64_t image = p.input_pixels() * p.c;
  for_each_place(context, p.output_places(1), [=] __device__(const UnitPlace& at) {
    const T* const x = from + at.n * image + at.c;
    float greatest = 0.0f, sum = 0.0f;
    const PoolWindow window(p, at);
    if (Power::kScaled)
      window.for_each(p, [&](int32_t pixel, int32_t) {
        const float t = abs(float(x[pixel * p.c]));
        greatest = t > greatest || t != t ? t : greatest;
      });
    window.for_each(p, [&](int32_t pixel, int32_t) { sum += op.term(float(x[pixel * p.c]), greatest); });
    y[at.unit] = op.finish(sum, greatest);
  });
}

template <class T>
struct LpGradient {
  const T *dy, *x, *y;
  T* dx;
};

template <class Power, class T>
void lp_bwd(Context& context, const PoolWindows& p, Power op, const LpGradient<T>& g) {
  const int64_t image = p.output_pixels() * p.c;
  for_each_place(context, p.input_places(1), [=] __device__(const UnitPlace& at) {
    const int64_t first = at.n * image + at.c;
    const float x = g.x[at.unit];
    float sum = 0.0f;
    for_each_window_over(p, at, [&](int32_t output, int32_t, int32_t) {
      const int64_t i = first + output * p.c;
      sum += op.factor(x, float(g.dy[i]), float(g.y[i]));
    });
    g.dx[at.unit] = op.gradient(sum, x);
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

#define FASTCNN_POOL(axes, algorithm)                                                                 \
  bool supports_max_pool##axes##_fwd_##algorithm(const OpDescriptor& op) {                            \
    return plain(op.epilogue) && windows_of(op.max_pool##axes##_fwd).fit;                             \
  }                                                                                                   \
  void prepare_max_pool##axes##_fwd_##algorithm(Prepared* p) {                                        \
    set_pool_cost(p, windows_of(p->op.max_pool##axes##_fwd));                                         \
  }                                                                                                   \
  void run_max_pool##axes##_fwd_##algorithm(const Prepared& p, const Operands& o, Context& context) { \
    FASTCNN_BY_STORAGE(p, max_fwd)(context, windows_of(p.op.max_pool##axes##_fwd), o);                \
  }                                                                                                   \
  bool supports_max_pool##axes##_bwd_##algorithm(const OpDescriptor& op) {                            \
    return only_mask(op) && windows_of(op.max_pool##axes##_bwd).fit;                                  \
  }                                                                                                   \
  void prepare_max_pool##axes##_bwd_##algorithm(Prepared* p) {                                        \
    const PoolWindows w = windows_of(p->op.max_pool##axes##_bwd);                                     \
    set_pool_cost(p, w);                                                                              \
    p->workspace_bytes = sizeof(int32_t) * size_t(w.outputs());                                       \
  }                                                                                                   \
  void run_max_pool##axes##_bwd_##algorithm(const Prepared& p, const Operands& o, Context& context) { \
    FASTCNN_BY_STORAGE(p, run_max_bwd)(windows_of(p.op.max_pool##axes##_bwd), p, o, context);         \
  }                                                                                                   \
  FASTCNN_SUM_POOL(average, true, axes, algorithm)                                                    \
  FASTCNN_SUM_POOL(sum, false, axes, algorithm)
#define FASTCNN_SUM_POOL(kind, average, axes, algorithm)                                                   \
  bool supports_##kind##_pool##axes##_fwd_##algorithm(const OpDescriptor& op) {                            \
    return plain(op.epilogue) && windows_of(op.kind##_pool##axes##_fwd).fit;                               \
  }                                                                                                        \
  void prepare_##kind##_pool##axes##_fwd_##algorithm(Prepared* p) {                                        \
    set_pool_cost(p, windows_of(p->op.kind##_pool##axes##_fwd));                                           \
  }                                                                                                        \
  void run_##kind##_pool##axes##_fwd_##algorithm(const Prepared& p, const Operands& o, Context& context) { \
    FASTCNN_BY_STORAGE(p, sum_fwd)(context, windows_of(p.op.kind##_pool##axes##_fwd), average, o);         \
  }                                                                                                        \
  bool supports_##kind##_pool##axes##_bwd_##algorithm(const OpDescriptor& op) {                            \
    return only_mask(op) && windows_of(op.kind##_pool##axes##_bwd).fit;                                    \
  }                                                                                                        \
  void prepare_##kind##_pool##axes##_bwd_##algorithm(Prepared* p) {                                        \
    set_pool_cost(p, windows_of(p->op.kind##_pool##axes##_bwd));                                           \
  }                                                                                                        \
  void run_##kind##_pool##axes##_bwd_##algorithm(const Prepared& p, const Operands& o, Context& context) { \
    FASTCNN_BY_STORAGE(p, sum_bwd)                                                                         \
    (context, windows_of(p.op.kind##_pool##axes##_bwd), average, p.op.epilogue.relu_mask != 0, o);         \
  }
FASTCNN_POOL(2d, direct)
FASTCNN_POOL(3d, direct)
#undef FASTCNN_SUM_POOL
#undef FASTCNN_POOL

// An index of a byte counts the taps of a window that lie in the image.
static bool fits_a_byte(const Pool2dShape& s) { return !s.adaptive && s.r * s.s <= 256 && windows_of(s).fit; }

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

#define FASTCNN_POOL_WITH_INDEX(step, algorithm, function)                                     \
  bool supports_##step##_##algorithm(const OpDescriptor& op) {                                 \
    return plain(op.epilogue) && windows_of(op.step).fit;                                      \
  }                                                                                            \
  void prepare_##step##_##algorithm(Prepared* p) { set_pool_cost(p, windows_of(p->op.step)); } \
  void run_##step##_##algorithm(const Prepared& p, const Operands& o, Context& context) {      \
    FASTCNN_BY_STORAGE(p, function)(context, windows_of(p.op.step), o);                        \
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

bool supports_lp_pool2d_fwd_direct(const OpDescriptor& op) {
  return plain(op.epilogue) && windows_of(op.lp_pool2d_fwd.pool).fit;
}
void prepare_lp_pool2d_fwd_direct(Prepared* p) { set_pool_cost(p, windows_of(p->op.lp_pool2d_fwd.pool)); }
void run_lp_pool2d_fwd_direct(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, lp_pool)(p, o, context);
}

bool supports_lp_pool2d_bwd_direct(const OpDescriptor& op) {
  return plain(op.epilogue) && windows_of(op.lp_pool2d_bwd.pool).fit;
}
void prepare_lp_pool2d_bwd_direct(Prepared* p) { set_pool_cost(p, windows_of(p->op.lp_pool2d_bwd.pool)); }
void run_lp_pool2d_bwd_direct(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, lp_pool_backward)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
