// SPDX-License-Identifier: Apache-2.0
// Steps whose every output has one input of its own place: activations, sums, rescaling, PReLU.
#include "stored.h"

#include "../base/formulas/activation.h"

namespace fastcnn {
namespace cuda {

namespace {

template <Activation kind>
struct Forward {
  FlatShape s;
  FASTCNN_INLINED float operator()(float x, float) const { return Function<kind>::fwd(x, s); }
};
template <Activation kind>
struct Backward {
  FlatShape s;
  FASTCNN_INLINED float operator()(float dy, float saved) const { return Function<kind>::bwd(dy, saved, s); }
};
struct Scaled {
  float scale, offset;
  FASTCNN_INLINED float operator()(float x, float) const { return x * scale + offset; }
};

template <class T>
void activate(Context& context, const FlatShape& s, const Operands& o) {
  using Run = void (*)(Context&, int64_t, const Operands&, const FlatShape&);
  static const Run runs[] = {nullptr,
#define FASTCNN_ACTIVATION(name, step, saves)                                     \
  [](Context& c, int64_t count, const Operands& arrays, const FlatShape& shape) { \
    map_flat<false, T>(c, count, arrays, Forward<Activation::k_##name>{shape});   \
  },
                             FASTCNN_ACTIVATIONS(FASTCNN_ACTIVATION)
#undef FASTCNN_ACTIVATION
  };
  runs[int(s.activation)](context, s.count, o, s);
}
template <class T>
void activate_backward(Context& context, const FlatShape& s, const Operands& o) {
  using Run = void (*)(Context&, int64_t, const Operands&, const FlatShape&);
  static const Run runs[] = {nullptr,
#define FASTCNN_ACTIVATION(name, step, saves)                                     \
  [](Context& c, int64_t count, const Operands& arrays, const FlatShape& shape) { \
    map_flat<true, T>(c, count, arrays, Backward<Activation::k_##name>{shape});   \
  },
                             FASTCNN_ACTIVATIONS(FASTCNN_ACTIVATION)
#undef FASTCNN_ACTIVATION
  };
  runs[int(s.activation)](context, s.count, o, s);
}

bool known(const OpDescriptor& op) {
  const Activation kind = op.activation_fwd.activation;
  return plain(op.epilogue) && kind > Activation::kNone && kind < Activation::kCount;
}

// Where the alpha of element i stands.
FASTCNN_INLINE int64_t alpha_of(const PreluShape& s, int64_t i) {
  int64_t row = i / s.cols, at = s.shared ? 0 : i - row * s.cols;
  row %= s.rows;
  for (int axis = s.rank - 1; axis >= 0; --axis) {
    at += row % s.size[axis] * s.stride[axis];
    row /= s.size[axis];
  }
  return at;
}

template <class T>
void prelu(const Prepared& p, const Operands& o, Context& context) {
  const PreluShape s = p.op.prelu_fwd;
  const T* const x = input<T>(o, 0);
  const float* const alpha = input(o, 1);
  T* const y = output<T>(o, 0);
  for_each(context, s.n * s.rows * s.cols, [=] __device__(int64_t i) {
    const float v = x[i];
    y[i] = v > 0.0f ? v : alpha[alpha_of(s, i)] * v;
  });
}
template <class T>
void prelu_backward(const Prepared& p, const Operands& o, Context& context) {
  const PreluShape s = p.op.prelu_bwd;
  const T *const dy = input<T>(o, 0), *const x = input<T>(o, 1);
  const float* const alpha = input(o, 2);
  T* const dx = output<T>(o, 0);
  for_each(context, s.n * s.rows * s.cols, [=] __device__(int64_t i) {
    const float g = dy[i];
    dx[i] = float(x[i]) > 0.0f ? g : alpha[alpha_of(s, i)] * g;
  });
}

double elements(const PreluShape& s) { return double(s.n) * double(s.rows) * double(s.cols); }

}  // namespace

bool supports_activation_fwd_flat(const OpDescriptor& op) { return known(op); }
void prepare_activation_fwd_flat(Prepared* p) {
  const double count = double(p->op.activation_fwd.count);
  set_cost(p, count, 2 * bytes_of_number(p) * count);
}
void run_activation_fwd_flat(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, activate)(context, p.op.activation_fwd, o);
}

bool supports_activation_bwd_flat(const OpDescriptor& op) { return known(op); }
void prepare_activation_bwd_flat(Prepared* p) {
  const double count = double(p->op.activation_bwd.count);
  set_cost(p, 3 * count, 3 * bytes_of_number(p) * count);
}
void run_activation_bwd_flat(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, activate_backward)(context, p.op.activation_bwd, o);
}

bool supports_rescale_flat(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_rescale_flat(Prepared* p) {
  const double count = double(p->op.rescale.count);
  set_cost(p, 2 * count, 2 * bytes_of_number(p) * count);
}
void run_rescale_flat(const Prepared& p, const Operands& o, Context& context) {
  const RescaleShape& s = p.op.rescale;
  by_storage(p, map_flat<false, float, Scaled>, map_flat<false, Bfloat16, Scaled>)(context, s.count, o,
                                                                                   {s.scale, s.offset});
}

bool supports_add_flat(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_add_flat(Prepared* p) {
  const double count = double(p->op.add.count);
  set_cost(p, count, 3 * bytes_of_number(p) * count);
}
void run_add_flat(const Prepared& p, const Operands& o, Context& context) {
  by_storage(p, map_flat<true, float, Add>, map_flat<true, Bfloat16, Add>)(context, p.op.add.count, o, {});
}

bool supports_prelu_fwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_prelu_fwd_rows(Prepared* p) {
  const double count = elements(p->op.prelu_fwd);
  set_cost(p, 2 * count, 2 * bytes_of_number(p) * count);
}
void run_prelu_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, prelu)(p, o, context);
}

bool supports_prelu_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_prelu_bwd_rows(Prepared* p) {
  const double count = elements(p->op.prelu_bwd);
  set_cost(p, 2 * count, 3 * bytes_of_number(p) * count);
}
void run_prelu_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  FASTCNN_BY_STORAGE(p, prelu_backward)(p, o, context);
}

}  // namespace cuda
}  // namespace fastcnn
