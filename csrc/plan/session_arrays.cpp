// SPDX-License-Identifier: Apache-2.0
// What a session proves of the arrays that it was given.
#include <algorithm>

#include "operator.h"
#include "session.h"

namespace fastcnn {
namespace {

long long ll(int64_t value) { return static_cast<long long>(value); }

// Whether the axes of the source after the first are `shape`.
bool samples_have(const Source& source, const std::vector<int64_t>& shape) {
  return source.rank == static_cast<int>(shape.size()) + 1 &&
         std::equal(shape.begin(), shape.end(), source.shape + 1);
}

std::string wanted_shape(const std::vector<int64_t>& sample) {
  std::string text = "[N";
  for (const int64_t size : sample) text += ", " + std::to_string(size);
  return text + "]";
}

}  // namespace

void Session::check_mixing() {
  const Graph& graph = model_->graph();
  mixed_shapes_.resize(graph.outputs.size());
  if (args_.mode != Mode::kTrain) return;
  for (size_t i = 0; i < recipe_.objectives.size(); ++i) {
    const Objective& objective = recipe_.objectives[i];
    const std::vector<int> mixings = mixings_before(graph, graph.outputs[i]);
    if (mixings.empty() || !objective.present) continue;
    const char* label = graph.nodes[mixings[0]].label.c_str();
    if (objective.external)
      fail(Code::kArgument,
           "train: %s mixes samples, and a loss of your own reads targets that are not mixed; call the layer "
           "on {'images', 'labels'} on their way to fit",
           label);
    if (objective.loss.ignores)
      fail(Code::kArgument, "train: %s mixes labels, wanted a loss without ignore_class", label);
    const Node& output = graph.output(i);
    mixed_shapes_[i] = output.shape;
    if (!takes_labels(objective.loss)) continue;
    std::vector<int64_t> shape = output.shape;
    shape.insert(shape.begin(), 1);
    const MovedAxes axes = loss_axes(label, objective.loss, static_cast<int>(shape.size()));
    shape = moved_shape(shape, axes);
    mixed_shapes_[i].assign(shape.begin() + 1, shape.end());
  }
}

std::string Session::array_name(const char* kind, size_t i, size_t count) const {
  return count > 1 ? std::string(kind) + "[" + std::to_string(i) + "]" : kind;
}

void Session::check_input(size_t i) const {
  const Source& x = args_.x[i];
  const char* op = args_.where.c_str();
  const std::string name = array_name("x", i, args_.x.size());
  const std::vector<int64_t>& wanted = model_->graph().input(i).shape;
  if (x.rank == 0 || !samples_have(x, wanted))
    fail(Code::kShape, "%s: %s has shape %s, wanted %s", op, name.c_str(), ShapeText(x.shape, x.rank).text,
         wanted_shape(wanted).c_str());
  if (x.shape[0] < 1) fail(Code::kShape, "%s: %s is empty, wanted at least one sample", op, name.c_str());
  if (x.shape[0] != samples())
    fail(Code::kShape, "%s: x[0] has %lld samples and %s %lld, wanted as many", op, ll(samples()),
         name.c_str(), ll(x.shape[0]));
}

void Session::check_target(size_t output, const Source& y) const {
  const char* op = args_.where.c_str();
  const std::string name = array_name("y", output, model_->graph().outputs.size());
  std::vector<int64_t> wanted = model_->graph().output(output).shape;
  if (y.rank == 0)
    fail(Code::kShape, "%s: %s is a single number, wanted one target for each sample of x", op, name.c_str());
  if (y.shape[0] != samples())
    fail(Code::kShape, "%s: x has %lld samples and %s %lld, wanted as many", op, ll(samples()), name.c_str(),
         ll(y.shape[0]));
  const LossOptions& loss = recipe_.objectives[output].loss;
  const bool sparse = takes_labels(loss);
  wanted.insert(wanted.begin(), samples());
  const MovedAxes axes = loss_axes(op, loss, static_cast<int>(wanted.size()));
  const int64_t classes = wanted[static_cast<size_t>(axes.order[axes.rank - 1])];
  if (sparse) wanted = rows_of(wanted, axes), wanted.push_back(1);
  wanted.erase(wanted.begin());
  const std::vector<int64_t> without_last(wanted.begin(), wanted.end() - 1);
  const bool may_lack_last = wanted.back() == 1;
  if (!samples_have(y, wanted) && !(may_lack_last && samples_have(y, without_last)))
    fail(Code::kShape, "%s: %s has shape %s, wanted %s%s", op, name.c_str(), ShapeText(y.shape, y.rank).text,
         wanted_shape(may_lack_last ? without_last : wanted).c_str(),
         sparse ? " for class numbers (one-hot targets take categorical_crossentropy)" : "");
  if (sparse) check_labels(op, y, classes, loss.ignores ? &loss.ignore_class : nullptr);
}

int64_t Session::check_weights(size_t output, const Source& weights) const {
  const char* op = args_.where.c_str();
  std::vector<int64_t> rows = model_->graph().output(output).shape;
  rows.insert(rows.begin(), samples());
  const LossOptions& loss = recipe_.objectives[output].loss;
  rows = rows_of(rows, loss_axes(op, loss, static_cast<int>(rows.size())));
  if (weights.rank == 0 || weights.shape[0] != samples())
    fail(Code::kShape, "%s: sample_weight has shape %s, wanted [%lld]: one for each sample of x", op,
         ShapeText(weights.shape, weights.rank).text, ll(samples()));
  int64_t of_sample = 1;
  for (size_t i = 1; i < rows.size(); ++i) of_sample *= rows[i];
  return of_sample / rows_per_weight(op, rows, weights);
}

}  // namespace fastcnn
