// SPDX-License-Identifier: Apache-2.0
// Rules of the operators that draw random numbers; they act in training alone. A step that is linear in x
// with what was drawn as its factors is its own gradient.
#include <cmath>

#include "../operator.h"

namespace fastcnn {
namespace {

double rate_of(const Inference& f) {
  const double rate = f.attributes.real("rate");
  if (!(rate >= 0 && rate < 1) || static_cast<float>(rate) >= 1)
    fail(Code::kArgument, "%s: rate is %g, wanted a number in [0, 1)", f.label(), rate);
  return rate;
}

// A rate or deviation of 0 leaves everything as it is.
bool acts(const OpDescriptor& op) {
  switch (op.step) {
    case Step::k_dropout:
      return op.dropout.rate > 0;
    case Step::k_spatial_dropout:
      return op.spatial_dropout.rate > 0;
    case Step::k_gaussian:
      return op.gaussian.scale > 0;
    default:
      return op.alpha_dropout.rate > 0;
  }
}

// In lanes an element's place in the batch follows from the shape.
OpDescriptor op_of(Builder& b, int i) {
  OpDescriptor op = b.forward_op(i);
  const int64_t channels = b.lies_as[b.node(i).inputs[0]].back();
  if (op.step == Step::k_dropout)
    op.dropout.pixels = b.node(i).count / channels, op.dropout.channels = channels;
  return op;
}

void forward(Builder& b, int i) {
  if (b.mode() == Mode::kTrain && acts(b.node(i).forward))
    forward_flat(b, i, op_of(b, i));
  else
    forward_rename(b, i);
}

void gradient_linear(Builder& b, int i) {
  if (acts(b.node(i).forward))
    gradient_flat(b, i, op_of(b, i), {});
  else
    gradient_rename(b, i);
}

void infer_dropout(Inference& f) {
  const float rate = static_cast<float>(rate_of(f));
  const int64_t channels = f.x().shape.back();
  f.node.forward.dropout = {f.x().count, rate, f.next_draw(), f.x().count / channels, channels};
}

void infer_spatial_dropout(Inference& f) {
  const float rate = static_cast<float>(rate_of(f));
  const int64_t axes = f.positive("axes");
  if (static_cast<int64_t>(f.x().shape.size()) != axes + 1)
    fail(Code::kShape, "%s: the input has shape %s, wanted %lld axes and the channels", f.label(),
         ShapeText(f.x().shape.data(), static_cast<int>(f.x().shape.size())).text,
         static_cast<long long>(axes));
  const int64_t channels = f.x().shape.back();
  f.node.forward.spatial_dropout = {1, f.x().count / channels, channels, rate, f.next_draw()};
}

void infer_gaussian_noise(Inference& f) {
  const double stddev = f.attributes.real("stddev");
  if (!(stddev >= 0) || !std::isfinite(static_cast<float>(stddev)))
    fail(Code::kArgument, "%s: stddev is %g, wanted a finite number of 0 or more", f.label(), stddev);
  f.node.forward.gaussian = {f.x().count, Noise::kAdded, static_cast<float>(stddev), f.next_draw()};
}

void infer_gaussian_dropout(Inference& f) {
  const double rate = rate_of(f);
  const float scale = static_cast<float>(std::sqrt(rate / (1 - rate)));
  f.node.forward.gaussian = {f.x().count, Noise::kMultiplied, scale, f.next_draw()};
}

// Dropped elements take the value that SELU tends to, -scale * alpha; then mean and variance are put back.
void infer_alpha_dropout(Inference& f) {
  const double rate = rate_of(f), dropped = -1.7580993408473766;
  const double scale = 1 / std::sqrt((1 - rate) * (1 + rate * dropped * dropped));
  const double offset = -scale * dropped * rate;
  f.node.forward.alpha_dropout = {f.x().count,
                                  static_cast<float>(rate),
                                  static_cast<float>(scale),
                                  static_cast<float>(offset),
                                  static_cast<float>(scale * dropped + offset),
                                  f.next_draw()};
}

void gradient_alpha_dropout(Builder& b, int i) {
  if (!acts(b.node(i).forward)) return gradient_rename(b, i);
  OpDescriptor op = b.forward_op(i);
  op.alpha_dropout.offset = op.alpha_dropout.dropped = 0;
  gradient_flat(b, i, op, {});
}

}  // namespace

const Rule rule_dropout = {"Dropout", 1, infer_dropout, forward, gradient_linear};
const Rule rule_spatial_dropout = {"SpatialDropout", 1, infer_spatial_dropout, forward, gradient_linear};
const Rule rule_gaussian_noise = {"GaussianNoise", 1, infer_gaussian_noise, forward, gradient_rename};
const Rule rule_gaussian_dropout = {"GaussianDropout", 1, infer_gaussian_dropout, forward, gradient_linear};
const Rule rule_alpha_dropout = {"AlphaDropout", 1, infer_alpha_dropout, forward, gradient_alpha_dropout};

}  // namespace fastcnn
