// SPDX-License-Identifier: Apache-2.0
// Steps whose every output has one input of its own place: activations, sums, rescaling, PReLU.
#include "launch.h"

#include "../base/formulas/activation.h"

namespace fastcnn {
namespace cuda {

namespace {

template <Activation kind>
void forward(Context& context, const FlatShape& s, const float* x, float* y) {
  for_each(context, s.count, [=] __device__(int64_t i) { y[i] = Function<kind>::fwd(x[i], s); });
}

template <Activation kind>
void backward(Context& context, const FlatShape& s, const float* dy, const float* saved, float* dx) {
  for_each(context, s.count, [=] __device__(int64_t i) { dx[i] = Function<kind>::bwd(dy[i], saved[i], s); });
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

double elements(const PreluShape& s) { return double(s.n) * double(s.rows) * double(s.cols); }

}  // namespace

bool supports_activation_fwd_flat(const OpDescriptor& op) { return known(op); }
void prepare_activation_fwd_flat(Prepared* p) {
  const double count = double(p->op.activation_fwd.count);
  set_cost(p, count, 8 * count);
}
void run_activation_fwd_flat(const Prepared& p, const Operands& o, Context& context) {
  using Run = void (*)(Context&, const FlatShape&, const float*, float*);
  static const Run runs[] = {nullptr,
#define FASTCNN_ACTIVATION(name, step, saves) forward<Activation::k_##name>,
                             FASTCNN_ACTIVATIONS(FASTCNN_ACTIVATION)
#undef FASTCNN_ACTIVATION
  };
  const FlatShape& s = p.op.activation_fwd;
  runs[int(s.activation)](context, s, input(o, 0), output(o, 0));
}

bool supports_activation_bwd_flat(const OpDescriptor& op) { return known(op); }
void prepare_activation_bwd_flat(Prepared* p) {
  const double count = double(p->op.activation_bwd.count);
  set_cost(p, 3 * count, 12 * count);
}
void run_activation_bwd_flat(const Prepared& p, const Operands& o, Context& context) {
  using Run = void (*)(Context&, const FlatShape&, const float*, const float*, float*);
  static const Run runs[] = {nullptr,
#define FASTCNN_ACTIVATION(name, step, saves) backward<Activation::k_##name>,
                             FASTCNN_ACTIVATIONS(FASTCNN_ACTIVATION)
#undef FASTCNN_ACTIVATION
  };
  const FlatShape& s = p.op.activation_bwd;
  runs[int(s.activation)](context, s, input(o, 0), input(o, 1), output(o, 0));
}

bool supports_rescale_flat(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_rescale_flat(Prepared* p) {
  const double count = double(p->op.rescale.count);
  set_cost(p, 2 * count, 8 * count);
}
void run_rescale_flat(const Prepared& p, const Operands& o, Context& context) {
  const RescaleShape s = p.op.rescale;
  const float* x = input(o, 0);
  float* y = output(o, 0);
  for_each(context, s.count, [=] __device__(int64_t i) { y[i] = x[i] * s.scale + s.offset; });
}

bool supports_add_flat(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_add_flat(Prepared* p) {
  const double count = double(p->op.add.count);
  set_cost(p, count, 12 * count);
}
void run_add_flat(const Prepared& p, const Operands& o, Context& context) {
  const float *a = input(o, 0), *b = input(o, 1);
  float* y = output(o, 0);
  for_each(context, p.op.add.count, [=] __device__(int64_t i) { y[i] = a[i] + b[i]; });
}

bool supports_prelu_fwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_prelu_fwd_rows(Prepared* p) {
  const double count = elements(p->op.prelu_fwd);
  set_cost(p, 2 * count, 8 * count);
}
void run_prelu_fwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const PreluShape s = p.op.prelu_fwd;
  const float *x = input(o, 0), *alpha = input(o, 1);
  float* y = output(o, 0);
  for_each(context, s.n * s.rows * s.cols,
           [=] __device__(int64_t i) { y[i] = x[i] > 0.0f ? x[i] : alpha[alpha_of(s, i)] * x[i]; });
}

bool supports_prelu_bwd_rows(const OpDescriptor& op) { return plain(op.epilogue); }
void prepare_prelu_bwd_rows(Prepared* p) {
  const double count = elements(p->op.prelu_bwd);
  set_cost(p, 2 * count, 12 * count);
}
void run_prelu_bwd_rows(const Prepared& p, const Operands& o, Context& context) {
  const PreluShape s = p.op.prelu_bwd;
  const float *dy = input(o, 0), *x = input(o, 1), *alpha = input(o, 2);
  float* dx = output(o, 0);
  for_each(context, s.n * s.rows * s.cols,
           [=] __device__(int64_t i) { dx[i] = x[i] > 0.0f ? dy[i] : alpha[alpha_of(s, i)] * dy[i]; });
}

}  // namespace cuda
}  // namespace fastcnn
