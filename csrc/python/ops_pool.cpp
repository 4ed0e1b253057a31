// SPDX-License-Identifier: Apache-2.0
// The pools of one, two and three axes and their gradients on arrays: windows that slide, that adapt to an
// output size, that cover the whole image.
#include "eager.h"
#include "function.h"
#include "ops.h"
#include "pool_window.h"

namespace fastcnn {
namespace {

enum Kind { kMax, kAverage, kSum };

constexpr Step kFwd2d[3] = {Step::k_max_pool2d_fwd, Step::k_average_pool2d_fwd, Step::k_sum_pool2d_fwd};
constexpr Step kBwd2d[3] = {Step::k_max_pool2d_bwd, Step::k_average_pool2d_bwd, Step::k_sum_pool2d_bwd};
constexpr Step kFwd3d[3] = {Step::k_max_pool3d_fwd, Step::k_average_pool3d_fwd, Step::k_sum_pool3d_fwd};
constexpr Step kBwd3d[3] = {Step::k_max_pool3d_bwd, Step::k_average_pool3d_bwd, Step::k_sum_pool3d_bwd};

// What a pool is called, and what it does on how many axes.
struct Pool {
  const char* op;
  Kind kind;
  int axes;
  int rank() const { return axes + 2; }
};

// A validated pool: the steps of one kind share a struct.
struct Geometry {
  OpDescriptor fwd, bwd;
  int64_t y[5];
};

Geometry geometry(const Pool& pool, const Pool2dShape& s) {
  Geometry g{make_op(kFwd2d[pool.kind]), make_op(kBwd2d[pool.kind]), {}};
  g.fwd.max_pool2d_fwd = g.bwd.max_pool2d_fwd = s;
  const int64_t image[4] = {s.n, s.p, s.q, s.c}, sequence[3] = {s.n, s.q, s.c};
  pool.axes == 1 ? std::copy_n(sequence, 3, g.y) : std::copy_n(image, 4, g.y);
  return g;
}

Geometry geometry(const Pool& pool, const Pool3dShape& s) {
  Geometry g{make_op(kFwd3d[pool.kind]), make_op(kBwd3d[pool.kind]), {s.n, s.o, s.p, s.q, s.c}};
  g.fwd.max_pool3d_fwd = g.bwd.max_pool3d_fwd = s;
  return g;
}

Geometry sliding(const Pool& pool, const int64_t* x, const PoolArguments& arguments) {
  const PoolWindow window = pool_window(pool.op, pool.axes, arguments);
  if (pool.axes == 1) return geometry(pool, pool1d_shape(pool.op, x, window));
  if (pool.axes == 2) return geometry(pool, pool2d_shape(pool.op, x, window));
  return geometry(pool, pool3d_shape(pool.op, x, window));
}

Geometry adaptive(const Pool& pool, const int64_t* x, py::handle output_size) {
  int64_t size[3];
  adaptive_size(pool.op, output_size, pool.axes, x, size);
  if (pool.axes == 1) return geometry(pool, adaptive_pool1d_shape(pool.op, x, size));
  if (pool.axes == 2) return geometry(pool, adaptive_pool2d_shape(pool.op, x, size));
  return geometry(pool, adaptive_pool3d_shape(pool.op, x, size));
}

// f(x's shape) is the pool's Geometry.
template <class F>
Array run_fwd(const Pool& pool, const ArrayView& xv, bool first, py::handle out, F f) {
  const Geometry g = f(xv.shape);
  ImageOutput y(pool.op, out, first, g.y, {&xv}, pool.rank());
  Array keep;
  run(xv, g.fwd, {{dense(xv, &keep)}, {y.data()}});
  return y.finish();
}

// x: the input itself for max-pooling, whose gradient depends on it, and its shape for the others.
struct Input {
  ArrayView view{};
  int64_t shape[5];

  Input(const Pool& pool, py::handle x, bool first) {
    if (pool.kind == kMax) {
      view = image_view(pool.op, "x", x, first, pool.rank());
      std::copy_n(view.shape, pool.rank(), shape);
    } else {
      input_shape_of(pool.op, x, first, shape, pool.rank());
    }
  }
};

Array run_bwd(const Pool& pool, const OpDescriptor& step, const ArrayView& dyv, const Input& x, bool first,
              py::handle out) {
  const bool max = pool.kind == kMax;
  ImageOutput dx(pool.op, out, first, x.shape, max ? Inputs{&dyv, &x.view} : Inputs{&dyv}, pool.rank());
  Array keep_dy, keep_x;
  run(dyv, step, {{dense(dyv, &keep_dy), max ? dense(x.view, &keep_x) : nullptr}, {dx.data()}});
  return dx.finish();
}

template <class F>
Array run_bwd(const Pool& pool, py::handle dy, py::handle x, bool first, py::handle out, F f) {
  const ArrayView dyv = image_view(pool.op, "dy", dy, first, pool.rank());
  const Input input(pool, x, first);
  const Geometry g = f(input.shape);
  expect_shape(pool.op, dyv, g.y);
  return run_bwd(pool, g.bwd, dyv, input, first, out);
}

void def_sliding(py::module_& m, const char* name, const char* bwd_name, Kind kind, int axes) {
  def(m, name,
      [pool = Pool{name, kind, axes}](py::handle x, py::handle pool_size, py::handle strides,
                                      py::handle padding, py::handle dilation_rate,
                                      py::handle count_include_pad, py::handle ceil_mode,
                                      py::handle data_format, py::handle out) {
        const bool first = channels_first(pool.op, data_format);
        const ArrayView xv = image_view(pool.op, "x", x, first, pool.rank());
        return run_fwd(pool, xv, first, out, [&](const int64_t* shape) {
          return sliding(pool, shape,
                         {pool_size, strides, padding, dilation_rate, count_include_pad, ceil_mode});
        });
      });
  def(m, bwd_name,
      [pool = Pool{bwd_name, kind, axes}](py::handle dy, py::handle x, py::handle pool_size,
                                          py::handle strides, py::handle padding, py::handle dilation_rate,
                                          py::handle count_include_pad, py::handle ceil_mode,
                                          py::handle data_format, py::handle out) {
        const bool first = channels_first(pool.op, data_format);
        return run_bwd(pool, dy, x, first, out, [&](const int64_t* shape) {
          return sliding(pool, shape,
                         {pool_size, strides, padding, dilation_rate, count_include_pad, ceil_mode});
        });
      });
}

// The spatial axes of an array whose rank decides them.
int axes_of(const char* op, const char* argument, py::handle x) {
  const int rank = any_view(op, argument, x).rank;
  if (rank < 3 || rank > 5)
    fail(Code::kShape, "%s: %s has rank %d, wanted 3, 4 or 5: images, channels and 1 to 3 axes between", op,
         argument, rank);
  return rank - 2;
}

int axes_of_shape(const char* op, py::handle shape) {
  if (!PyTuple_Check(shape.ptr()) && !PyList_Check(shape.ptr()))
    fail(Code::kDType, "%s: input_shape is a %s, wanted a tuple of whole numbers", op,
         type_name(shape).c_str());
  const int rank = static_cast<int>(py::len(shape));
  if (rank < 3 || rank > 5)
    fail(Code::kArgument, "%s: input_shape has %d entries, wanted 3, 4 or 5", op, rank);
  return rank - 2;
}

int axes_of(const char* op, Kind kind, py::handle x) {
  return kind == kMax ? axes_of(op, "x", x) : axes_of_shape(op, x);
}

void def_adaptive(py::module_& m, const char* name, const char* bwd_name, Kind kind) {
  def(m, name, [name, kind](py::handle x, py::handle output_size, py::handle data_format, py::handle out) {
    const bool first = channels_first(name, data_format);
    const Pool pool{name, kind, axes_of(name, "x", x)};
    const ArrayView xv = image_view(name, "x", x, first, pool.rank());
    return run_fwd(pool, xv, first, out,
                   [&](const int64_t* shape) { return adaptive(pool, shape, output_size); });
  });
  def(m, bwd_name,
      [bwd_name, kind](py::handle dy, py::handle x, py::handle output_size, py::handle data_format,
                       py::handle out) {
        const bool first = channels_first(bwd_name, data_format);
        const Pool pool{bwd_name, kind, axes_of(bwd_name, kind, x)};
        return run_bwd(pool, dy, x, first, out,
                       [&](const int64_t* shape) { return adaptive(pool, shape, output_size); });
      });
}

// One window over the image: a 2-D step, whatever the axes.
OpDescriptor global_step(const Pool& pool, Step step, const int64_t* x) {
  OpDescriptor op = make_op(step);
  op.max_pool2d_fwd = global_pool_shape(pool.op, x, pool.axes);
  return op;
}

// [N,1,...,1,C]
std::vector<int64_t> kept_dims(const Pool& pool, const int64_t* x) {
  std::vector<int64_t> y(static_cast<size_t>(pool.rank()), 1);
  y.front() = x[0], y.back() = x[pool.axes + 1];
  return y;
}

Array global_pool(const Pool& pool, py::handle x, bool keepdims, bool first, py::handle out) {
  const ArrayView xv = image_view(pool.op, "x", x, first, pool.rank());
  const OpDescriptor step = global_step(pool, kFwd2d[pool.kind], xv.shape);
  Array keep;
  if (keepdims) {
    ImageOutput y(pool.op, out, first, kept_dims(pool, xv.shape).data(), {&xv}, pool.rank());
    run(xv, step, {{dense(xv, &keep)}, {y.data()}});
    return y.finish();
  }
  Array y = output(pool.op, out, {xv.shape[0], xv.shape[pool.axes + 1]}, {&xv});
  run(xv, step, {{dense(xv, &keep)}, {y.mutable_data()}});
  return y;
}

Array global_pool_bwd(const Pool& pool, py::handle dy, py::handle x, bool keepdims, bool first,
                      py::handle out) {
  const Input input(pool, x, first);
  const OpDescriptor step = global_step(pool, kBwd2d[pool.kind], input.shape);
  const ArrayView dyv =
      keepdims ? image_view(pool.op, "dy", dy, first, pool.rank()) : stored_view(pool.op, "dy", dy, 2);
  const std::vector<int64_t> y = keepdims ? kept_dims(pool, input.shape)
                                          : std::vector<int64_t>{input.shape[0], input.shape[pool.axes + 1]};
  expect_shape(pool.op, dyv, y.data());
  return run_bwd(pool, step, dyv, input, first, out);
}

void def_global(py::module_& m, const char* name, const char* bwd_name, Kind kind) {
  def(m, name, [name, kind](py::handle x, py::handle keepdims, py::handle data_format, py::handle out) {
    const bool first = channels_first(name, data_format), keep = truth(name, "keepdims", keepdims);
    return global_pool({name, kind, axes_of(name, "x", x)}, x, keep, first, out);
  });
  def(m, bwd_name,
      [bwd_name, kind](py::handle dy, py::handle x, py::handle keepdims, py::handle data_format,
                       py::handle out) {
        const bool first = channels_first(bwd_name, data_format),
                   keep = truth(bwd_name, "keepdims", keepdims);
        return global_pool_bwd({bwd_name, kind, axes_of(bwd_name, kind, x)}, dy, x, keep, first, out);
      });
}

}  // namespace

void bind_pool_ops(py::module_& m) {
#define FASTCNN_DEF(kind, name)                                \
  def_sliding(m, name "_pool1d", name "_pool1d_bwd", kind, 1); \
  def_sliding(m, name "_pool2d", name "_pool2d_bwd", kind, 2); \
  def_sliding(m, name "_pool3d", name "_pool3d_bwd", kind, 3); \
  def_global(m, "global_" name "_pool", "global_" name "_pool_bwd", kind)
  FASTCNN_DEF(kMax, "max");
  FASTCNN_DEF(kAverage, "average");
  FASTCNN_DEF(kSum, "sum");
#undef FASTCNN_DEF
  def_adaptive(m, "adaptive_max_pool", "adaptive_max_pool_bwd", kMax);
  def_adaptive(m, "adaptive_average_pool", "adaptive_average_pool_bwd", kAverage);
}

}  // namespace fastcnn
