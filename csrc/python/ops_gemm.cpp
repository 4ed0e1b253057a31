// SPDX-License-Identifier: Apache-2.0
// The matrix product on arrays.
#include "eager.h"
#include "function.h"
#include "ops.h"

namespace fastcnn {
namespace {

Array gemm(py::handle a, py::handle b, py::handle transpose_a, py::handle transpose_b, py::handle bias,
           py::handle activation, py::handle out) {
  const char* op = "gemm";
  const ArrayView av = stored_view(op, "a", a, 2), bv = stored_view(op, "b", b, 2);
  const bool ta = truth(op, "transpose_a", transpose_a), tb = truth(op, "transpose_b", transpose_b);
  const int act = activation_of(op, activation);
  OpDescriptor step = make_op(Step::k_gemm);
  const GemmShape& shape = step.gemm = {av.shape[ta], bv.shape[!tb], av.shape[!ta], ta, tb};
  if (bv.shape[tb] != shape.k)
    fail(Code::kShape, "%s: a has shape %s%s and b %s%s, wanted equal inner sizes, got %lld and %lld", op,
         ShapeText(av.shape, 2).text, ta ? " transposed" : "", ShapeText(bv.shape, 2).text,
         tb ? " transposed" : "", static_cast<long long>(shape.k), static_cast<long long>(bv.shape[tb]));
  const int64_t y_shape[2] = {shape.m, shape.n};
  element_count(op, "the output", y_shape, 2);
  Bias bias_view(op, bias, shape.n);
  Array y = output(op, out, {shape.m, shape.n}, {&av, &bv, bias_view.view()});
  Array keep_a, keep_b;
  const void* bias_data = bias_view.get();
  step.epilogue.bias = bias_data != nullptr;
  step.epilogue.activation = act == kRelu ? Activation::kRelu : Activation::kNone;
  run(av, step, {{dense(av, &keep_a), dense(bv, &keep_b), bias_data, nullptr}, {y.mutable_data()}});
  if (act != kRelu) activate(av, act, y.mutable_data(), shape.m, shape.n);
  return y;
}

}  // namespace

void bind_gemm_ops(py::module_& m) { def(m, "gemm", &gemm); }

}  // namespace fastcnn
