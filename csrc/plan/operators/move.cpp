// SPDX-License-Identifier: Apache-2.0
// Rules of the operators that move elements: permutation, padding, cropping, repetition, upsampling; and of
// reshaping, which moves none.
#include "../operator.h"
#include "../validate_axes.h"
#include "../validate_merge.h"

namespace fastcnn {
namespace {

TensorShape input_of(const Builder& b, int i) { return one_sample(b.node(b.node(i).inputs[0]).shape); }

// What is moved along spatial axes alone: in lanes [N / 16 C][spatial axes][16], as many images of 16
// channels.
TensorShape image_of(const Builder& b, int u) {
  std::vector<int64_t> shape = b.node(u).shape;
  if (b.in_lanes()) shape.back() = kBatchLanes;
  return one_sample(shape);
}
OpDescriptor for_images(Builder& b, int u, OpDescriptor op) {
  if (!b.in_lanes()) return for_batch(op, b.n());
  op.layout = Layout::kChannelsLast;
  return for_batch(op, b.batch() / kBatchLanes * b.node(u).shape.back());
}
void forward_images(Builder& b, int i, const OpDescriptor& op) {
  const int u = b.node(i).inputs[0];
  b.value[i] = b.tensor_like(i);
  b.add({for_images(b, u, op), {b.value[u]}, {b.value[i]}, b.node(i).name});
}
void forward_images(Builder& b, int i, const CopyShape& shape) {
  OpDescriptor op = b.op(Step::k_copy);
  op.copy = shape;
  forward_images(b, i, op);
}

void set_shape(Inference& f, const TensorShape& y) { f.node.shape.assign(y.size + 1, y.size + y.rank); }

// The gradient of the only input, by a descriptor for one sample.
void add_gradient(Builder& b, int i, const OpDescriptor& op) {
  b.add_input_gradient(b.node(i).inputs[0], {for_images(b, i, op), {b.gradient[i]}, {}, b.node(i).name});
}

void gradient_copy(Builder& b, int i, const CopyShape& shape) {
  OpDescriptor op = b.op(Step::k_copy);
  op.copy = shape;
  add_gradient(b, i, op);
}

// The spatial axes of an input of this many, and channels.
Spatial spatial_axes(const Inference& f, size_t count) {
  if (f.x().shape.size() != count + 1 || count < 1 || count > 3)
    fail(Code::kShape, "%s: the input has shape %s, wanted %zu spatial axes and channels", f.label(),
         ShapeText(f.x().shape.data(), static_cast<int>(f.x().shape.size())).text, count);
  return {1, static_cast<int>(count)};
}
Spatial spatial_axes(const Builder& b, int i) { return {1, static_cast<int>(b.node(i).shape.size()) - 1}; }

void infer_identity(Inference&) {}

// One size may be -1: what is left.
void infer_reshape(Inference& f) {
  std::vector<int64_t> target = f.attributes.list("target_shape");
  const auto refuse = [&] {
    fail(Code::kShape, "%s: target_shape is %s, into which the input's %s does not fit", f.label(),
         ShapeText(target.data(), static_cast<int>(target.size())).text,
         ShapeText(f.x().shape.data(), static_cast<int>(f.x().shape.size())).text);
  };
  if (target.empty() || target.size() >= kMaxRank)
    fail(Code::kShape, "%s: target_shape has %zu axes, wanted 1 to %d", f.label(), target.size(),
         kMaxRank - 1);
  int64_t known = 1, *open = nullptr;
  for (int64_t& size : target) {
    if (size == -1 && !open)
      open = &size;
    else if (size < 1 || f.x().count / known < size)
      refuse();
    else
      known *= size;
  }
  if (f.x().count % known || (!open && known != f.x().count)) refuse();
  if (open) *open = f.x().count / known;
  f.node.shape = target;
}

// In lanes the order of the elements follows from their shape.
void forward_reshape(Builder& b, int i) {
  if (b.in_lanes() && b.node(i).shape.size() > 1) throw NoRow(Code::kArgument, "a reshape in lanes");
  forward_rename(b, i);
}

// "dims" of the axes of a sample from 1, or axes counted with the batch: those that go "to_end", or the way
// back of that, "from_end".
std::vector<int64_t> dims_of(const Inference& f) {
  if (f.attributes.has("dims")) return f.attributes.list("dims");
  const bool back = f.attributes.has("from_end");
  const int rank = static_cast<int>(f.x().shape.size()) + 1;
  const MovedAxes moved = moved_to_end(f.label(), f.attributes.list(back ? "from_end" : "to_end"), rank);
  if (moved.order[0] != 0) fail(Code::kArgument, "%s: axis names the axis of the batch, 0", f.label());
  const std::vector<int64_t> dims(moved.order + 1, moved.order + rank);
  return back ? inverse_of(dims) : dims;
}

void infer_permute(Inference& f) {
  const std::vector<int64_t> dims = dims_of(f);
  if (dims.size() != f.x().shape.size())
    fail(Code::kShape, "%s: dims has %zu entries, wanted %zu, one for each axis of a sample", f.label(),
         dims.size(), f.x().shape.size());
  TensorShape y;
  f.node.forward.copy = permute_shape(f.label(), one_sample(f.x().shape), dims.data(), &y);
  f.node.settings = dims;
  set_shape(f, y);
}

void gradient_permute(Builder& b, int i) {
  TensorShape x;
  const std::vector<int64_t> back = inverse_of(b.node(i).settings);
  gradient_copy(b, i, permute_shape("plan", one_sample(b.node(i).shape), back.data(), &x));
}

// Settings: before and after of each axis.
std::vector<Sides> sides_of(const std::vector<int64_t>& settings) {
  std::vector<Sides> sides;
  for (size_t i = 0; i + 1 < settings.size(); i += 2) sides.push_back({settings[i], settings[i + 1]});
  return sides;
}

void infer_zero_padding(Inference& f) {
  f.node.settings = f.attributes.list("padding");
  const std::vector<Sides> sides = sides_of(f.node.settings);
  const Spatial axes = spatial_axes(f, sides.size());
  TensorShape y;
  f.node.forward.copy = zero_padding_shape(f.label(), one_sample(f.x().shape), axes, sides.data(), &y);
  set_shape(f, y);
}

CopyShape padded(Builder& b, int i, const TensorShape& x) {
  TensorShape y;
  return zero_padding_shape("plan", x, spatial_axes(b, i), sides_of(b.node(i).settings).data(), &y);
}
CopyShape cropped(Builder& b, int i, const TensorShape& x) {
  TensorShape y;
  return cropping_shape("plan", x, spatial_axes(b, i), sides_of(b.node(i).settings).data(), &y);
}

void forward_zero_padding(Builder& b, int i) {
  forward_images(b, i, padded(b, i, image_of(b, b.node(i).inputs[0])));
}
void gradient_zero_padding(Builder& b, int i) { gradient_copy(b, i, cropped(b, i, image_of(b, i))); }

void infer_cropping(Inference& f) {
  f.node.settings = f.attributes.list("cropping");
  const std::vector<Sides> sides = sides_of(f.node.settings);
  const Spatial axes = spatial_axes(f, sides.size());
  TensorShape y;
  f.node.forward.copy = cropping_shape(f.label(), one_sample(f.x().shape), axes, sides.data(), &y);
  set_shape(f, y);
}

void forward_cropping(Builder& b, int i) {
  forward_images(b, i, cropped(b, i, image_of(b, b.node(i).inputs[0])));
}
void gradient_cropping(Builder& b, int i) { gradient_copy(b, i, padded(b, i, image_of(b, i))); }

void infer_upsampling(Inference& f) {
  const std::vector<int64_t> factors = f.attributes.list("size");
  const bool bilinear = f.attributes.choice("interpolation", {"nearest", "bilinear"}) == 1;
  const Spatial axes = spatial_axes(f, factors.size());
  if (bilinear && axes.count != 2)
    fail(Code::kArgument, "%s: interpolation is 'bilinear', wanted 'nearest' for %d spatial axes", f.label(),
         axes.count);
  TensorShape y;
  const CopyShape nearest = upsampling_shape(f.label(), one_sample(f.x().shape), axes, factors.data(), &y);
  set_shape(f, y);
  f.node.settings = factors;
  if (!bilinear) {
    f.node.forward.copy = nearest;
    return;
  }
  f.node.forward.step = Step::k_resize_fwd;
  f.node.forward.resize_fwd = bilinear_shape(one_sample(f.x().shape), axes, factors.data());
  // Along each axis two products and a sum.
  f.node.flops = 3.0 * (static_cast<double>(y.count()) +
                        static_cast<double>(f.x().count) * static_cast<double>(factors[0]));
}

void forward_upsampling(Builder& b, int i) {
  const TensorShape x = image_of(b, b.node(i).inputs[0]);
  const std::vector<int64_t>& factors = b.node(i).settings;
  OpDescriptor op = b.op(b.node(i).forward.step);
  TensorShape y;
  if (op.step == Step::k_resize_fwd)
    op.resize_fwd = bilinear_shape(x, spatial_axes(b, i), factors.data());
  else
    op.copy = upsampling_shape("plan", x, spatial_axes(b, i), factors.data(), &y);
  forward_images(b, i, op);
}

void gradient_upsampling(Builder& b, int i) {
  const TensorShape x = image_of(b, b.node(i).inputs[0]);
  const std::vector<int64_t>& factors = b.node(i).settings;
  const bool bilinear = b.node(i).forward.step == Step::k_resize_fwd;
  OpDescriptor op = b.op(bilinear ? Step::k_resize_bwd : Step::k_binary_bwd);
  if (bilinear)
    op.resize_bwd = bilinear_shape(x, spatial_axes(b, i), factors.data());
  else
    op.binary_bwd = upsampling_bwd_shape(x, spatial_axes(b, i), factors.data());
  add_gradient(b, i, op);
}

void infer_repeat_vector(Inference& f) {
  if (f.x().shape.size() != 1)
    fail(Code::kShape, "%s: the input has shape %s, wanted one axis", f.label(),
         ShapeText(f.x().shape.data(), static_cast<int>(f.x().shape.size())).text);
  const int64_t n = f.positive("n");
  TensorShape y;
  f.node.forward.copy = repeat_vector_shape(f.label(), one_sample(f.x().shape), n, &y);
  f.node.settings = {n};
  set_shape(f, y);
}

void gradient_repeat_vector(Builder& b, int i) {
  OpDescriptor op = b.op(Step::k_binary_bwd);
  op.binary_bwd = repeat_vector_bwd_shape("plan", input_of(b, i), b.node(i).settings[0]);
  add_gradient(b, i, op);
}

}  // namespace

const Rule rule_identity = {"Identity", 1, infer_identity, forward_rename, gradient_rename};
const Rule rule_reshape = {"Reshape", 1, infer_reshape, forward_reshape, gradient_rename};
const Rule rule_permute = {"Permute", 1, infer_permute, forward_step, gradient_permute};
const Rule rule_zero_padding = {"ZeroPadding2D", 1, infer_zero_padding, forward_zero_padding,
                                gradient_zero_padding};
const Rule rule_cropping = {"Cropping2D", 1, infer_cropping, forward_cropping, gradient_cropping};
const Rule rule_upsampling = {"UpSampling2D", 1, infer_upsampling, forward_upsampling, gradient_upsampling};
const Rule rule_repeat_vector = {"RepeatVector", 1, infer_repeat_vector, forward_step,
                                 gradient_repeat_vector};

}  // namespace fastcnn
