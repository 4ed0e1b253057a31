// SPDX-License-Identifier: Apache-2.0
// Rules of pooling. A node's windows slide ("pool_size", "strides", "padding", ...), adapt to an
// "output_size", or are one over the whole image ("global"); sequences and global pools of any axes are 2-D
// steps.
#include "../operator.h"
#include "../validate_pool.h"

namespace fastcnn {
namespace {

constexpr int kMask = 1;  // operand of average_pool2d_bwd and sum_pool2d_bwd

// x as [1,...,C]; a node that names no axes is a pool of `axes`.
struct Input {
  int axes;
  int64_t shape[5] = {1};

  Input(const Inference& f, int most) : axes(most) {
    if (f.attributes.has("axes")) axes = static_cast<int>(f.attributes.whole("axes"));
    const std::vector<int64_t>& x = f.x().shape;
    static const char* const wanted[4] = {"", "[length, channels]", "[height, width, channels]",
                                          "[depth, height, width, channels]"};
    if (axes < 1 || axes > 3 || static_cast<int>(x.size()) != axes + 1)
      fail(Code::kShape, "%s: the input has shape %s, wanted %s", f.label(),
           ShapeText(x.data(), static_cast<int>(x.size())).text, wanted[axes < 1 || axes > 3 ? 2 : axes]);
    std::copy(x.begin(), x.end(), shape + 1);
  }
};

bool flag(const Inference& f, const char* key) { return f.attributes.has(key) && f.attributes.flag(key); }

PoolWindow window_of(const Inference& f, int axes) {
  PoolWindow w;
  f.attributes.sizes("pool_size", axes, w.size);
  w.walk = f.attributes.conv_window(axes, false);
  w.ceil_mode = f.attributes.flag("ceil_mode");
  w.count_include_pad = flag(f, "count_include_pad");
  return w;
}

double product(const std::vector<int64_t>& sizes) {
  double count = 1;
  for (const int64_t size : sizes) count *= static_cast<double>(size);
  return count;
}

void infer_global(Inference& f, const Input& x) {
  f.node.forward.max_pool2d_fwd = global_pool_shape(f.label(), x.shape, x.axes);
  f.node.flops = static_cast<double>(f.x().count);
  const int64_t channels = x.shape[x.axes + 1];
  f.node.shape = {channels};
  if (flag(f, "keepdims")) f.node.shape.insert(f.node.shape.begin(), static_cast<size_t>(x.axes), 1);
}

// 0 keeps the size of an axis.
std::vector<int64_t> output_size(const Inference& f, const Input& x) {
  std::vector<int64_t> size(static_cast<size_t>(x.axes));
  f.attributes.sizes("output_size", x.axes, size.data());
  for (int i = 0; i < x.axes; ++i)
    if (size[static_cast<size_t>(i)] == 0) size[static_cast<size_t>(i)] = x.shape[1 + i];
  return size;
}

// The pools of one number of axes share a struct.
void infer_2d(Inference& f) {
  const Input x(f, 2);
  if (flag(f, "global")) return infer_global(f, x);
  if (x.axes > 2) fail(Code::kArgument, "%s: axes is %d, wanted 1 or 2", f.label(), x.axes);
  Pool2dShape& s = f.node.forward.max_pool2d_fwd;
  if (f.attributes.has("output_size")) {
    const std::vector<int64_t> size = output_size(f, x);
    s = x.axes == 1 ? adaptive_pool1d_shape(f.label(), x.shape, size.data())
                    : adaptive_pool2d_shape(f.label(), x.shape, size.data());
  } else {
    const PoolWindow w = window_of(f, x.axes);
    s = x.axes == 1 ? pool1d_shape(f.label(), x.shape, w) : pool2d_shape(f.label(), x.shape, w);
  }
  f.node.shape = {s.p, s.q, s.c};
  if (x.axes == 1) f.node.shape.erase(f.node.shape.begin());
  f.node.flops = s.adaptive ? static_cast<double>(f.x().count)
                            : product(f.node.shape) * static_cast<double>(s.r) * static_cast<double>(s.s);
}

void infer_3d(Inference& f) {
  const Input x(f, 3);
  if (x.axes != 3) fail(Code::kArgument, "%s: axes is %d, wanted 3", f.label(), x.axes);
  Pool3dShape& s = f.node.forward.max_pool3d_fwd;
  s = f.attributes.has("output_size") ? adaptive_pool3d_shape(f.label(), x.shape, output_size(f, x).data())
                                      : pool3d_shape(f.label(), x.shape, window_of(f, 3));
  f.node.shape = {s.o, s.p, s.q, s.c};
  const double taps = static_cast<double>(s.t) * static_cast<double>(s.r) * static_cast<double>(s.s);
  f.node.flops = s.adaptive ? static_cast<double>(f.x().count) : product(f.node.shape) * taps;
}

void infer_lp(Inference& f) {
  const Input x(f, 2);
  if (x.axes != 2) fail(Code::kArgument, "%s: axes is %d, wanted 2", f.label(), x.axes);
  const double power = f.attributes.real("p");
  const LpPool2dShape s = f.node.forward.lp_pool2d_fwd =
      lp_pool2d_shape(f.label(), x.shape, window_of(f, 2), power);
  f.node.shape = {s.pool.p, s.pool.q, s.pool.c};
  f.node.flops = 2 * product(f.node.shape) * static_cast<double>(s.pool.r) * static_cast<double>(s.pool.s);
}

// Where a max-unpooling reads them, the places are numbers of pixels; see forward_unpool().
bool is_unpooled(const Builder& b, int i) {
  for (const int reader : b.node(i).consumers)
    if (b.node(reader).op == Op::k_max_unpool2d) return true;
  return false;
}

constexpr size_t kPlaces = 1;  // in what a max-pooling saves

// The convolution that alone makes the values that pool i alone reads, and whose gradients have rows that
// take the pooled gradient as it is; or -1. Between them may stand an activation whose gradient follows from
// its result: that of the greatest values follows from these.
int pooled_convolution(const Builder& b, int i) {
  const auto read_once = [&b](int u) { return b.node(u).consumers.size() == 1 && !b.node(u).output; };
  int u = b.node(i).inputs[0];
  const OperatorInfo& before = info(b.node(u).op);
  if (before.forward == Step::k_activation_fwd && before.saves == Saves::kY && read_once(u))
    u = b.node(u).inputs[0];
  if (b.node(u).op != Op::k_conv2d || !read_once(u) || !b.trains(u, "kernel")) return -1;
  const bool has_rows = b.has_row(pooled_step(b, Step::k_conv2d_wgrad_pooled, u, i)) &&
                        (!b.needs_gradient[b.node(u).inputs[0]] ||
                         b.has_row(pooled_step(b, Step::k_conv2d_dgrad_pooled, u, i)));
  return has_rows ? u : -1;
}

// Windows that lie side by side and cover the rows and columns that a convolution makes join its step.
bool join_max(Builder& b, int i, int, NewStep* step) {
  const Pool2dShape s = b.forward_op(i).max_pool2d_fwd;
  const Conv2dShape& v = step->op.conv2d_fprop;
  if (is_unpooled(b, i) || step->op.step != Step::k_conv2d_fprop || step->op.epilogue.pool || s.adaptive ||
      s.pad_top || s.pad_left || s.r != s.s || s.r < 2 || s.stride_h != s.r || s.stride_w != s.r ||
      s.dilation_h > 1 || s.dilation_w > 1 || v.p != s.h || v.q != s.w || s.h != s.r * s.p ||
      s.w != s.r * s.q)
    return false;
  if (b.mode() == Mode::kTrain) {
    const int convolution = pooled_convolution(b, i);
    if (b.needs_gradient[b.node(i).inputs[0]] && convolution < 0) return false;
    if (convolution >= 0) b.pooled[convolution] = i;
    b.saved[i] = {b.tensor_of_bytes(b.batch() * b.node(i).count, 1)};
    step->out = {Ref{}, b.saved[i][0]};
  }
  step->op.epilogue.pool = static_cast<int32_t>(s.r);
  step->kernel = step->residual = -1;  // what follows is not linear in the weights
  return true;
}

// In training the place of each maximum is kept where the gradient needs it.
void forward_max(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  if (is_unpooled(b, i)) {
    OpDescriptor op = b.op(Step::k_max_pool2d_with_index);
    op.max_pool2d_with_index = b.forward_op(i).max_pool2d_fwd;
    b.value[i] = b.tensor_like(i);
    b.saved[i] = {Ref{}, b.tensor_of_bytes(b.batch() * b.node(i).count, sizeof(int32_t))};
    b.add({op, {b.value[u]}, {b.value[i], b.saved[i][kPlaces]}, b.node(i).name});
    return;
  }
  if (!b.in_lanes() && (b.mode() != Mode::kTrain || !b.needs_gradient[u])) return forward_step(b, i);
  OpDescriptor op = b.op(Step::k_max_pool2d_fwd_index), gradient = b.op(Step::k_max_pool2d_bwd_index);
  op.max_pool2d_fwd_index = gradient.max_pool2d_bwd_index = b.forward_op(i).max_pool2d_fwd;
  const int convolution = pooled_convolution(b, i);
  const Ref y = b.tensor_like(i), index = b.tensor_of_bytes(b.batch() * b.node(i).count, 1);
  if ((convolution < 0 && !b.has_row(gradient)) || !b.try_add({op, {b.value[u]}, {y, index}, b.node(i).name}))
    return forward_step(b, i);
  b.value[i] = y;
  b.saved[i] = {index};
  if (convolution >= 0) b.pooled[convolution] = i;
  b.keep(y);
}

// Past the activation, which acts on the greatest values alone.
void gradient_pooled(Builder& b, int i, int convolution) {
  const int u = b.node(i).inputs[0];
  Ref dy = b.gradient[i];
  if (u != convolution && !b.masked[i]) {
    OpDescriptor op = b.op(Step::k_activation_bwd);
    op.activation_bwd = b.forward_op(u).activation_fwd;
    op.activation_bwd.count = b.batch() * b.node(i).count;
    const Ref dx = b.over_gradient(i);
    b.add({op, {dy, b.value[i]}, {dx}, b.node(u).name});
    dy = dx;
  }
  b.contribute(convolution, dy);
}

void gradient_max(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  for (const int convolution : {u, b.node(u).inputs.empty() ? u : b.node(u).inputs[0]})
    if (b.pooled[convolution] == i) return gradient_pooled(b, i, convolution);
  const bool kept = b.saved[i].size() == 1;
  OpDescriptor op = b.op(kept ? Step::k_max_pool2d_bwd_index : Step::k_max_pool2d_bwd);
  op.max_pool2d_bwd = b.forward_op(i).max_pool2d_fwd;
  const std::vector<Ref> in = kept ? std::vector<Ref>{b.gradient[i], b.saved[i][0], b.value[i]}
                                   : std::vector<Ref>{b.gradient[i], b.value[u]};
  b.add_input_gradient(u, {op, in, {}, b.node(i).name}, Builder::kMaskIsRead);
}

void gradient_max3d(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  OpDescriptor op = b.op(Step::k_max_pool3d_bwd);
  op.max_pool3d_bwd = b.forward_op(i).max_pool3d_fwd;
  b.add_input_gradient(u, {op, {b.gradient[i], b.value[u]}, {}, b.node(i).name}, Builder::kMaskIsRead);
}

// Of sums and averages: `step` has the forward step's shape.
template <Step step>
void gradient_linear(Builder& b, int i) {
  OpDescriptor op = b.forward_op(i);
  op.step = step;
  b.add_input_gradient(b.node(i).inputs[0], {op, {b.gradient[i]}, {}, b.node(i).name}, kMask);
}

void gradient_lp(Builder& b, int i) {
  const int u = b.node(i).inputs[0];
  OpDescriptor op = b.op(Step::k_lp_pool2d_bwd);
  op.lp_pool2d_bwd = b.forward_op(i).lp_pool2d_fwd;
  b.add_input_gradient(u, {op, {b.gradient[i], b.value[u], b.value[i]}, {}, b.node(i).name});
}

// The second input is the max-pooling whose places x goes to: the values of its windows are those of x, all
// else is 0.
void infer_unpool(Inference& f) {
  const Node& pool = *f.inputs[1];
  const int rank = static_cast<int>(f.x().shape.size()), of_pool = static_cast<int>(pool.shape.size());
  if (pool.op != Op::k_max_pool2d || pool.shape.size() != 3 || pool.forward.max_pool2d_fwd.adaptive)
    fail(Code::kArgument, "%s: inputs[1] is what %s makes, wanted the output of a MaxPooling2D itself",
         f.label(), pool.label.c_str());
  const Pool2dShape& s = pool.forward.max_pool2d_fwd;
  if (f.x().shape != pool.shape)
    fail(Code::kShape, "%s: inputs[0] has shape %s and the pooled inputs[1] %s, wanted equal shapes",
         f.label(), ShapeText(f.x().shape.data(), rank).text, ShapeText(pool.shape.data(), of_pool).text);
  if (s.stride_h <= (s.r - 1) * s.dilation_h || s.stride_w <= (s.s - 1) * s.dilation_w)
    fail(Code::kArgument,
         "%s: the windows of %s overlap, so that two may have one maximum; wanted ones apart", f.label(),
         pool.label.c_str());
  if (s.h > INT32_MAX / s.w) fail(Code::kShape, "%s: the pooled images have 2**31 pixels or more", f.label());
  const int64_t x[4] = {1, s.p, s.q, s.c}, y[4] = {1, s.h, s.w, s.c};
  f.node.forward.max_unpool2d_fwd = unpool2d_shape(f.label(), x, y);
  f.node.shape = {s.h, s.w, s.c};
}

void forward_unpool(Builder& b, int i) {
  const std::vector<int>& inputs = b.node(i).inputs;
  b.value[i] = b.tensor_like(i);
  b.add({b.forward_op(i), {b.value[inputs[0]], b.saved[inputs[1]][kPlaces]}, {b.value[i]}, b.node(i).name});
}

void gradient_unpool(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_max_unpool2d_bwd);
  op.max_unpool2d_bwd = b.forward_op(i).max_unpool2d_fwd;
  const Ref places = b.saved[b.node(i).inputs[1]][kPlaces];
  b.add_input_gradient(b.node(i).inputs[0], {op, {b.gradient[i], places}, {}, b.node(i).name});
}

}  // namespace

OpDescriptor pooled_step(const Builder& b, Step step, int conv, int pool) {
  OpDescriptor op = b.op(step);
  op.conv2d_wgrad_pooled = {b.forward_op(conv).conv2d_fprop, b.forward_op(pool).max_pool2d_fwd};
  return op;
}

const Rule rule_max_pool2d = {"MaxPooling2D", 1, infer_2d, forward_max, gradient_max, join_max};
const Rule rule_average_pool2d = {"AveragePooling2D", 1, infer_2d, forward_step,
                                  gradient_linear<Step::k_average_pool2d_bwd>};
const Rule rule_sum_pool2d = {"SumPooling2D", 1, infer_2d, forward_step,
                              gradient_linear<Step::k_sum_pool2d_bwd>};
const Rule rule_max_pool3d = {"MaxPooling3D", 1, infer_3d, forward_step, gradient_max3d};
const Rule rule_average_pool3d = {"AveragePooling3D", 1, infer_3d, forward_step,
                                  gradient_linear<Step::k_average_pool3d_bwd>};
const Rule rule_sum_pool3d = {"SumPooling3D", 1, infer_3d, forward_step,
                              gradient_linear<Step::k_sum_pool3d_bwd>};
const Rule rule_lp_pool2d = {"LPPooling2D", 1, infer_lp, forward_step, gradient_lp};
const Rule rule_max_unpool2d = {"MaxUnpooling2D", 2, infer_unpool, forward_unpool, gradient_unpool};

}  // namespace fastcnn
