// SPDX-License-Identifier: Apache-2.0
// Activations and their gradients on arrays.
#include "eager.h"
#include "ops.h"

namespace fastcnn {
namespace {

// Elementwise operators and softmax (over the last axis), of any rank from 1.
const char* const kActivations[5] = {"", "relu", "sigmoid", "tanh", "softmax"};
const char* const kActivationsBwd[5] = {"", "relu_bwd", "sigmoid_bwd", "tanh_bwd", "softmax_bwd"};

OpDescriptor activation_step(int kind, bool bwd, const ArrayView& v) {
  const int64_t count = element_count("activation", "x", v.shape, v.rank), cols = v.shape[v.rank - 1];
  if (kind == kSoftmax) {
    OpDescriptor step = make_op(bwd ? Step::k_softmax_bwd : Step::k_softmax_fwd);
    step.softmax_fwd = {count / cols, cols};
    return step;
  }
  OpDescriptor step = make_op(bwd ? Step::k_activation_bwd : Step::k_activation_fwd);
  step.activation_fwd = {count, static_cast<Activation>(kind)};
  return step;
}

template <int kind>
py::array activation_fwd(py::handle x, py::handle out) {
  const char* op = kActivations[kind];
  const ArrayView xv = any_rank_view(op, "x", x);
  py::array y = output(op, out, std::vector<int64_t>(xv.shape, xv.shape + xv.rank), {&xv}), keep;
  run(activation_step(kind, false, xv), {{dense(xv, &keep)}, {y.mutable_data()}});
  return y;
}

template <int kind>
py::array activation_bwd(py::handle dy, py::handle y, py::handle out) {
  const char* op = kActivationsBwd[kind];
  const ArrayView dyv = any_rank_view(op, "dy", dy), yv = float_view(op, "y", y, dyv.rank);
  if (!std::equal(dyv.shape, dyv.shape + dyv.rank, yv.shape))
    fail(Code::kShape, "%s: dy has shape %s and y %s, wanted equal shapes", op,
         ShapeText(dyv.shape, dyv.rank).text, ShapeText(yv.shape, yv.rank).text);
  py::array dx = output(op, out, std::vector<int64_t>(yv.shape, yv.shape + yv.rank), {&dyv, &yv}), keep_dy,
            keep_y;
  run(activation_step(kind, true, yv), {{dense(dyv, &keep_dy), dense(yv, &keep_y)}, {dx.mutable_data()}});
  return dx;
}

}  // namespace

void bind_activation_ops(py::module_& m) {
  m.def("relu", &activation_fwd<kRelu>, py::arg("x"), py::arg("out"));
  m.def("sigmoid", &activation_fwd<kSigmoid>, py::arg("x"), py::arg("out"));
  m.def("tanh", &activation_fwd<kTanh>, py::arg("x"), py::arg("out"));
  m.def("softmax", &activation_fwd<kSoftmax>, py::arg("x"), py::arg("out"));
  m.def("relu_bwd", &activation_bwd<kRelu>, py::arg("dy"), py::arg("y"), py::arg("out"));
  m.def("sigmoid_bwd", &activation_bwd<kSigmoid>, py::arg("dy"), py::arg("y"), py::arg("out"));
  m.def("tanh_bwd", &activation_bwd<kTanh>, py::arg("dy"), py::arg("y"), py::arg("out"));
  m.def("softmax_bwd", &activation_bwd<kSoftmax>, py::arg("dy"), py::arg("y"), py::arg("out"));
}

}  // namespace fastcnn
