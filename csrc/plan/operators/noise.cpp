// SPDX-License-Identifier: Apache-2.0
// Rules of the operators that draw random numbers; they act in training alone.
#include "../operator.h"

namespace fastcnn {
namespace {

void infer_dropout(Inference& f) {
  const double rate = f.attributes.real("rate");
  if (!(rate >= 0 && rate < 1))
    fail(Code::kArgument, "%s: rate is %g, wanted a number in [0, 1)", f.label(), rate);
  f.node.forward.dropout = {f.x().count, static_cast<float>(rate), f.next_draw()};
}

void forward_dropout(Builder& b, int i) {
  if (b.mode() == Mode::kTrain && b.node(i).forward.dropout.rate > 0)
    forward_flat(b, i);
  else
    forward_rename(b, i);
}

// The same elements are dropped, the same factor applied: the step is its own gradient.
void gradient_dropout(Builder& b, int i) {
  if (b.node(i).forward.dropout.rate > 0)
    gradient_flat(b, i, b.forward_op(i), {});
  else
    gradient_rename(b, i);
}

}  // namespace

const Rule rule_dropout = {"Dropout", 1, infer_dropout, forward_dropout, gradient_dropout};

}  // namespace fastcnn
