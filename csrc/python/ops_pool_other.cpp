// SPDX-License-Identifier: Apache-2.0
// Lp pooling, max pooling with the places of the maxima and its gradient, and max unpooling on arrays.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <numeric>

#include "../base/parallel.h"
#include "eager.h"
#include "function.h"
#include "gpu.h"
#include "ops.h"
#include "pool_window.h"

namespace fastcnn {
namespace {

// Arguments that a pool does not have.
PoolArguments plain(py::handle pool_size, py::handle strides, py::handle padding, py::handle ceil_mode) {
  static const py::handle one = py::int_(1).release(), no = py::bool_(false).release();
  return {pool_size, strides, padding, one, no, ceil_mode};
}

LpPool2dShape lp_shape(const char* op, const int64_t* x, const PoolArguments& arguments, py::handle p) {
  return lp_pool2d_shape(op, x, pool_window(op, 2, arguments), real_number(op, "p", p));
}

Array lp_pool2d(py::handle x, py::handle pool_size, py::handle strides, py::handle padding, py::handle p,
                py::handle ceil_mode, py::handle data_format, py::handle out) {
  const char* op = "lp_pool2d";
  const bool first = channels_first(op, data_format);
  const ArrayView xv = image_view(op, "x", x, first);
  OpDescriptor step = make_op(Step::k_lp_pool2d_fwd);
  step.lp_pool2d_fwd = lp_shape(op, xv.shape, plain(pool_size, strides, padding, ceil_mode), p);
  const Pool2dShape& s = step.lp_pool2d_fwd.pool;
  const int64_t y_shape[4] = {s.n, s.p, s.q, s.c};
  ImageOutput y(op, out, first, y_shape, {&xv});
  Array keep;
  run(xv, step, {{dense(xv, &keep)}, {y.data()}});
  return y.finish();
}

Array lp_pool2d_bwd(py::handle dy, py::handle x, py::handle y, py::handle pool_size, py::handle strides,
                    py::handle padding, py::handle p, py::handle ceil_mode, py::handle data_format,
                    py::handle out) {
  const char* op = "lp_pool2d_bwd";
  const bool first = channels_first(op, data_format);
  const ArrayView dyv = image_view(op, "dy", dy, first), xv = image_view(op, "x", x, first),
                  yv = image_view(op, "y", y, first);
  OpDescriptor step = make_op(Step::k_lp_pool2d_bwd);
  step.lp_pool2d_bwd = lp_shape(op, xv.shape, plain(pool_size, strides, padding, ceil_mode), p);
  const Pool2dShape& s = step.lp_pool2d_bwd.pool;
  expect_shape(op, dyv, {s.n, s.p, s.q, s.c});
  expect_shape(op, yv, {s.n, s.p, s.q, s.c});
  ImageOutput dx(op, out, first, xv.shape, {&dyv, &xv, &yv});
  Array keep[3];
  run(dyv, step, {{dense(dyv, &keep[0]), dense(xv, &keep[1]), dense(yv, &keep[2])}, {dx.data()}});
  return dx.finish();
}

// A validated pool that tells places, or its gradient, and the shape of its output. Channels-last alone: no
// array of places is converted.
constexpr Step kPlaced[2][2] = {{Step::k_max_pool2d_with_index, Step::k_max_pool2d_with_index_bwd},
                                {Step::k_max_pool3d_with_index, Step::k_max_pool3d_with_index_bwd}};
struct Placed {
  OpDescriptor step;
  int64_t y[5], pixels = 1;

  Placed(const char* op, int axes, bool backward, const int64_t* x, const PoolArguments& arguments)
      : step(make_op(kPlaced[axes - 2][backward])) {
    const PoolWindow window = pool_window(op, axes, arguments);
    if (axes == 2) {
      const Pool2dShape& s = step.max_pool2d_with_index = pool2d_shape(op, x, window);
      const int64_t shape[4] = {s.n, s.p, s.q, s.c};
      std::copy_n(shape, 4, y);
    } else {
      const Pool3dShape& s = step.max_pool3d_with_index = pool3d_shape(op, x, window);
      const int64_t shape[5] = {s.n, s.o, s.p, s.q, s.c};
      std::copy_n(shape, 5, y);
    }
    for (int i = 1; i <= axes; ++i) pixels *= x[i];
    if (pixels > INT32_MAX)
      fail(Code::kShape, "%s: %s is %s, wanted fewer than 2**31 pixels in an image", op,
           backward ? "input_shape" : "the shape of x", ShapeText(x, axes + 2).text);
  }
};

// Dense indices, all of them proven to be pixels of an image of `pixels`.
class Index {
 public:
  Index(const char* op, py::handle value, const int64_t* shape, int rank = 4)
      : op_(op), view_(fastcnn::view(op, "index", value)) {
    if (view_.dtype != DType::kI32)
      fail(Code::kDType, "%s: index has dtype %s, wanted int32 as max_pool2d_with_index returns it", op,
           std::string(py::str(view_.owner.attr("dtype"))).c_str());
    if (view_.rank != rank || !std::equal(shape, shape + rank, view_.shape))
      fail(Code::kShape, "%s: index has shape %s, wanted %s", op, ShapeText(view_.shape, view_.rank).text,
           ShapeText(shape, rank).text);
  }

  const ArrayView* view() const { return &view_; }

  const int32_t* checked(int64_t pixels) {
    const int32_t* on_gpu = nullptr;
    if (view_.on_gpu) {
      on_gpu = static_cast<const int32_t*>(fastcnn::dense(view_, &on_gpu_));
      const int64_t all =
          std::accumulate(view_.shape, view_.shape + view_.rank, int64_t{1}, std::multiplies<>());
      if (gpu_within(on_gpu, all, static_cast<int32_t>(pixels - 1))) return on_gpu;
    }
    const py::object on_host = view_.on_gpu ? to_numpy(view_) : view_.owner;
    dense_ = py::array_t<int32_t, py::array::c_style | py::array::forcecast>::ensure(on_host);
    if (!dense_) {
      PyErr_Clear();
      fail(Code::kMemory, "%s: a dense copy of index was refused", op_);
    }
    const int32_t* index = dense_.data();
    const int64_t count = dense_.size();
    if (within(index, count, static_cast<uint32_t>(pixels - 1))) return on_gpu ? on_gpu : index;
    const int32_t* wrong =
        std::find_if(index, index + count, [=](int32_t i) { return i < 0 || i >= pixels; });
    fail(Code::kArgument, "%s: index holds %d, wanted numbers from 0 to %lld, the pixels of an image", op_,
         static_cast<int>(*wrong), static_cast<long long>(pixels - 1));
  }

 private:
  // Of many by all threads, as what is done with them.
  static bool within(const int32_t* index, int64_t count, uint32_t last) {
    constexpr int64_t kSome = 16384;
    const int64_t tasks = (count + kSome - 1) / kSome;
    std::atomic<bool> all{true};
    run_team(tasks > 4 ? threads() : 1, [&](Member& me) {
      parallel_for(me, tasks, [&](int64_t i) {
        if (!some_within(index + i * kSome, std::min(kSome, count - i * kSome), last)) all = false;
      });
    });
    return all;
  }

  // By the sign of what is negative, or of what is left to the last pixel. In vectors, as this file is
  // compiled to be small: one by one it took as long as the gradient.
  static bool some_within(const int32_t* index, int64_t count, uint32_t last) {
    typedef uint32_t Four __attribute__((vector_size(16)));
    Four signs = {};
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
      Four places;
      std::memcpy(&places, index + i, sizeof places);
      signs |= places | (last - places);
    }
    uint32_t sign = signs[0] | signs[1] | signs[2] | signs[3];
    for (; i < count; ++i) sign |= static_cast<uint32_t>(index[i]) | (last - static_cast<uint32_t>(index[i]));
    return sign >> 31 == 0;
  }

  const char* op_;
  ArrayView view_;
  py::array_t<int32_t, py::array::c_style | py::array::forcecast> dense_;
  Array on_gpu_;
};

Array max_unpool2d(py::handle x, py::handle index, py::handle output_shape, py::handle out) {
  const char* op = "max_unpool2d";
  const ArrayView xv = stored_view(op, "x", x, 4);
  int64_t shape[4];
  whole_numbers(op, "output_shape", output_shape, 4, shape);
  OpDescriptor step = make_op(Step::k_max_unpool2d_fwd);
  const Unpool2dShape& s = step.max_unpool2d_fwd = unpool2d_shape(op, xv.shape, shape);
  Index places(op, index, xv.shape);
  const int32_t* checked = places.checked(s.h * s.w);
  Array y = output(op, out, {s.n, s.h, s.w, s.c}, {&xv, places.view()}), keep;
  run(xv, step, {{dense(xv, &keep), checked}, {y.mutable_data()}});
  return y;
}

Array max_unpool2d_bwd(py::handle dy, py::handle index, py::handle out) {
  const char* op = "max_unpool2d_bwd";
  const ArrayView dyv = stored_view(op, "dy", dy, 4), iv = view(op, "index", index);
  if (iv.rank != 4)
    fail(Code::kShape, "%s: index has shape %s, wanted rank 4", op, ShapeText(iv.shape, iv.rank).text);
  OpDescriptor step = make_op(Step::k_max_unpool2d_bwd);
  const Unpool2dShape& s = step.max_unpool2d_bwd = unpool2d_shape(op, iv.shape, dyv.shape);
  Index places(op, index, iv.shape);
  const int32_t* checked = places.checked(s.h * s.w);
  Array dx = output(op, out, {s.n, s.p, s.q, s.c}, {&dyv, places.view()}), keep;
  run(dyv, step, {{dense(dyv, &keep), checked}, {dx.mutable_data()}});
  return dx;
}

// A pool of two or three axes that tells where its maxima stand, and the gradient that adds them there.
void def_with_index(py::module_& m, const char* name, const char* bwd_name, int axes) {
  def(m, name,
      [name, axes](py::handle x, py::handle pool_size, py::handle strides, py::handle padding,
                   py::handle dilation_rate, py::handle ceil_mode, py::handle out) {
        const ArrayView xv = stored_view(name, "x", x, axes + 2);
        PoolArguments arguments = plain(pool_size, strides, padding, ceil_mode);
        arguments.dilation_rate = dilation_rate;
        const Placed pool(name, axes, false, xv.shape, arguments);
        const std::vector<int64_t> shape(pool.y, pool.y + axes + 2);
        Array y = output(name, out, shape, {&xv}), keep;
        Array index = array_like(xv, "the index", shape, DType::kI32);
        run(xv, pool.step, {{dense(xv, &keep)}, {y.mutable_data(), index.mutable_data()}});
        return py::make_tuple(y.object(), index.object());
      });
  def(m, bwd_name,
      [op = bwd_name, axes](py::handle dy, py::handle index, py::handle input_shape, py::handle pool_size,
                            py::handle strides, py::handle padding, py::handle dilation_rate,
                            py::handle ceil_mode, py::handle out) {
        const ArrayView dyv = stored_view(op, "dy", dy, axes + 2);
        int64_t x[5];
        input_shape_of(op, input_shape, false, x, axes + 2);
        PoolArguments arguments = plain(pool_size, strides, padding, ceil_mode);
        arguments.dilation_rate = dilation_rate;
        const Placed pool(op, axes, true, x, arguments);
        expect_shape(op, dyv, pool.y);
        Index places(op, index, pool.y, axes + 2);
        const int32_t* checked = places.checked(pool.pixels);
        Array dx = output(op, out, {x, x + axes + 2}, {&dyv, places.view()}), keep;
        run(dyv, pool.step, {{dense(dyv, &keep), checked}, {dx.mutable_data()}});
        return dx;
      });
}

}  // namespace

void bind_pool_other_ops(py::module_& m) {
  def(m, "lp_pool2d", &lp_pool2d);
  def(m, "lp_pool2d_bwd", &lp_pool2d_bwd);
  def_with_index(m, "max_pool2d_with_index", "max_pool2d_with_index_bwd", 2);
  def_with_index(m, "max_pool3d_with_index", "max_pool3d_with_index_bwd", 3);
  def(m, "max_unpool2d", &max_unpool2d);
  def(m, "max_unpool2d_bwd", &max_unpool2d_bwd);
}

}  // namespace fastcnn
