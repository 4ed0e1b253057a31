// SPDX-License-Identifier: Apache-2.0
// Rules of the operators that move or rename elements, or scale them by constants.
#include <cmath>

#include "../operator.h"

namespace fastcnn {
namespace {

void infer_flatten(Inference& f) { f.node.shape = {f.x().count}; }

void infer_rescaling(Inference& f) {
  const double scale = f.attributes.real("scale"), offset = f.attributes.real("offset");
  if (!std::isfinite(static_cast<float>(scale)) || !std::isfinite(static_cast<float>(offset)))
    fail(Code::kArgument, "%s: scale is %g and offset %g, wanted numbers finite in float32", f.label(), scale,
         offset);
  f.node.forward.rescale = {f.x().count, static_cast<float>(scale), static_cast<float>(offset)};
  f.node.flops = 2.0 * static_cast<double>(f.x().count);
}

void gradient_rescaling(Builder& b, int i) {
  OpDescriptor op = b.forward_op(i);
  op.rescale.offset = 0;
  gradient_flat(b, i, op, {});
}

}  // namespace

const Rule rule_flatten = {"Flatten", 1, infer_flatten, forward_rename, gradient_rename};
const Rule rule_rescaling = {"Rescaling", 1, infer_rescaling, forward_flat, gradient_rescaling};

}  // namespace fastcnn
