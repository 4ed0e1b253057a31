// SPDX-License-Identifier: Apache-2.0
// The pools and their gradients on arrays.
#include "eager.h"
#include "ops.h"

namespace fastcnn {
namespace {

// The steps of one kind of pooling.
struct Pool {
  const char *fwd_name, *bwd_name;
  Step fwd, bwd;
};
const Pool kPools[3] = {
    {"max_pool2d", "max_pool2d_bwd", Step::k_max_pool2d_fwd, Step::k_max_pool2d_bwd},
    {"average_pool2d", "average_pool2d_bwd", Step::k_average_pool2d_fwd, Step::k_average_pool2d_bwd},
    {"sum_pool2d", "sum_pool2d_bwd", Step::k_sum_pool2d_fwd, Step::k_sum_pool2d_bwd}};

Pool2dShape pool_shape(const char* op, const int64_t x[4], py::handle pool_size, py::handle strides,
                       py::handle padding_value, py::handle ceil_mode) {
  int64_t size[2];
  pair(op, "pool_size", pool_size, size);
  Window window;
  if (strides.is_none())
    window.strides[0] = size[0], window.strides[1] = size[1];
  else
    pair(op, "strides", strides, window.strides);
  window.padding = padding(op, padding_value);
  return pool2d_shape(op, x, size, window, truth(op, "ceil_mode", ceil_mode));
}

template <int kind>
py::array pool2d(py::handle x, py::handle pool_size, py::handle strides, py::handle padding_value,
                 py::handle ceil_mode, py::handle data_format, py::handle out) {
  const char* op = kPools[kind].fwd_name;
  const bool first = channels_first(op, data_format);
  const ArrayView xv = image_view(op, "x", x, first);
  OpDescriptor step = make_op(kPools[kind].fwd);
  const Pool2dShape& shape = step.max_pool2d_fwd =
      pool_shape(op, xv.shape, pool_size, strides, padding_value, ceil_mode);
  const int64_t y_shape[4] = {shape.n, shape.p, shape.q, shape.c};
  ImageOutput y(op, out, first, y_shape, {&xv});
  py::array keep;
  run(step, {{dense(xv, &keep)}, {y.data()}});
  return y.finish();
}

// `x` is the input itself for max-pooling, whose gradient depends on it, and its shape for the others.
template <int kind>
py::array pool2d_bwd(py::handle dy, py::handle x, py::handle pool_size, py::handle strides,
                     py::handle padding_value, py::handle ceil_mode, py::handle data_format, py::handle out) {
  const char* op = kPools[kind].bwd_name;
  const bool first = channels_first(op, data_format);
  const ArrayView dyv = image_view(op, "dy", dy, first);
  ArrayView xv{};
  int64_t x_shape[4];
  if (kind == 0) {
    xv = image_view(op, "x", x, first);
    std::copy(xv.shape, xv.shape + 4, x_shape);
  } else {
    input_shape_of(op, x, first, x_shape);
  }
  OpDescriptor step = make_op(kPools[kind].bwd);
  const Pool2dShape& shape = step.max_pool2d_bwd =
      pool_shape(op, x_shape, pool_size, strides, padding_value, ceil_mode);
  expect_shape(op, dyv, {shape.n, shape.p, shape.q, shape.c});
  ImageOutput dx(op, out, first, x_shape, kind == 0 ? Inputs{&dyv, &xv} : Inputs{&dyv});
  py::array keep_dy, keep_x;
  run(step, {{dense(dyv, &keep_dy), kind == 0 ? dense(xv, &keep_x) : nullptr}, {dx.data()}});
  return dx.finish();
}

}  // namespace

void bind_pool_ops(py::module_& m) {
  const auto def_pool = [&m](const char* name, auto f) {
    m.def(name, f, py::arg("x"), py::arg("pool_size"), py::arg("strides"), py::arg("padding"),
          py::arg("ceil_mode"), py::arg("data_format"), py::arg("out"));
  };
  def_pool("max_pool2d", &pool2d<0>);
  def_pool("average_pool2d", &pool2d<1>);
  def_pool("sum_pool2d", &pool2d<2>);
  const auto def_pool_bwd = [&m](const char* name, const char* x, auto f) {
    m.def(name, f, py::arg("dy"), py::arg(x), py::arg("pool_size"), py::arg("strides"), py::arg("padding"),
          py::arg("ceil_mode"), py::arg("data_format"), py::arg("out"));
  };
  def_pool_bwd("max_pool2d_bwd", "x", &pool2d_bwd<0>);
  def_pool_bwd("average_pool2d_bwd", "input_shape", &pool2d_bwd<1>);
  def_pool_bwd("sum_pool2d_bwd", "input_shape", &pool2d_bwd<2>);
}

}  // namespace fastcnn
