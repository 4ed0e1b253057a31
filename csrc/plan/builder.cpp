// SPDX-License-Identifier: Apache-2.0
#include "builder.h"

#include <algorithm>

#include "branches.h"
#include "buffer.h"
#include "eager.h"

namespace fastcnn {
namespace {

// A team pays when half of the work outweighs its meetings. Rates of one core on data in its caches, so that
// a small network stays on one thread; results have the same bits either way. Of a prediction only steps that
// are shared count: what lies between is little (on two threads LeNet-5 took 0.75 of the time for 2 images
// and 0.65 for 4, but 1.1 times as long for a training step of 2).
constexpr double kFlopsPerSecond = 100e9, kBytesPerSecond = 40e9, kMeeting = 3e-6;

// Steps whose elements know nothing of each other, in whatever order a value lies.
bool is_elementwise(Step step) {
  return step == Step::k_activation_fwd || step == Step::k_activation_bwd || step == Step::k_rescale ||
         step == Step::k_add;
}

}  // namespace

bool same(Ref a, Ref b) { return a.memory == b.memory && a.offset == b.offset; }

bool renames(Op op) { return op != Op::k_input && info(op).forward == Step::k_none; }

Builder::Builder(const Request& request) : request_(request) {
  const std::vector<Node>& nodes = request.graph.nodes;
  value.resize(nodes.size());
  gradient.resize(nodes.size());
  rows.resize(nodes.size());
  saved.resize(nodes.size());
  pooled.resize(nodes.size(), -1);
  statistics.resize(nodes.size());
  done.resize(nodes.size());
  masked.resize(nodes.size());
  parameter_written.resize(request.graph.parameters.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    bool needs = false;
    for (const int p : nodes[i].parameters) needs = needs || trains(p);
    for (const int input : nodes[i].inputs) needs = needs || needs_gradient[input];
    needs_gradient.push_back(needs);
    lies_as.push_back(nodes[i].shape);
  }
  list_.batch = request.batch;
}

Ref Builder::tensor_of_bytes(int64_t count, size_t size) {
  const int64_t counts[1] = {count};
  element_count("plan", "a tensor", counts, 1);
  tensors_.push_back({-1, -1, static_cast<size_t>(count) * size});
  kept_.push_back(false);
  shared_.push_back(false);
  narrow_.push_back(false);
  return {Memory::kArena, static_cast<int64_t>(tensors_.size()) - 1};
}

Ref Builder::constant(int64_t floats) {
  const bool kept = mode() != Mode::kTrain && !request_.backend.device;
  return kept ? constants(static_cast<size_t>(floats) * sizeof(float)) : tensor(floats);
}

Ref Builder::constants(size_t bytes) {
  const Ref ref = {Memory::kConstants, static_cast<int64_t>(list_.constant_bytes)};
  list_.constant_bytes += align_up(bytes);
  return ref;
}

int64_t Builder::batch() const {
  return in_lanes() ? (n() + kBatchLanes - 1) / kBatchLanes * kBatchLanes : n();
}

Ref Builder::tensor_of(int i, int64_t samples) {
  const int64_t shape[2] = {samples, node(i).count};
  return numbers(element_count(node(i).label.c_str(), "the output of a batch", shape, 2));
}

Ref Builder::in_state(Memory memory, int parameter) const {
  return {memory, graph().parameters[parameter].offset * static_cast<int64_t>(sizeof(float))};
}

Ref Builder::parameter(int i, const char* role) const {
  const int p = graph().parameter(i, role);
  return p < 0 ? Ref{} : in_state(Memory::kParameters, p);
}

bool Builder::trains(int parameter) const {
  const std::vector<bool>& frozen = recipe().frozen;
  return graph().parameters[parameter].trainable &&
         !(static_cast<size_t>(parameter) < frozen.size() && frozen[parameter]);
}

bool Builder::trains(int i, const char* role) const {
  const int p = graph().parameter(i, role);
  return p >= 0 && trains(p);
}

bool Builder::frozen(int i) const {
  const std::vector<bool>& frozen = recipe().frozen;
  for (const int p : node(i).parameters)
    if (!(static_cast<size_t>(p) < frozen.size() && frozen[p])) return false;
  return !node(i).parameters.empty();
}

Math Builder::math() const {
  return recipe().math == Math::kDefault && mode() != Mode::kTrain ? Math::kFast : recipe().math;
}

OpDescriptor Builder::op(Step step) const {
  OpDescriptor op = make_op(step, math());
  op.precision = recipe().precision;
  op.layout = request_.layout;
  op.samples = in_lanes() ? n() : 0;
  return op;
}

OpDescriptor Builder::forward_op(int i) const {
  OpDescriptor op = for_batch(node(i).forward, batch());
  op.math = math();
  op.precision = recipe().precision;
  op.layout = request_.layout;
  op.samples = in_lanes() ? n() : 0;
  return op;
}

void Builder::touch(Ref ref) {
  if (ref.memory != Memory::kArena) return;  // narrow parameters stay to the end
  Lifetime& life = tensors_[ref.offset];
  const int now = static_cast<int>(list_.steps.size());
  if (life.first < 0) life.first = now;
  life.last = now;
}

namespace {

const void* row_as(const Backend& backend, OpDescriptor op, Storage storage) {
  op.storage = storage;
  Prepared prepared;
  Status status{};
  return backend.prepare(&op, &prepared, &status) == Code::kOk ? prepared.row : nullptr;
}

}  // namespace

const void* Builder::row_of(const OpDescriptor& op) const {
  const void* const row = row_as(request_.backend, op, storage());
  return row || storage() == Storage::kFloat32 ? row : row_as(request_.backend, op, Storage::kFloat32);
}

bool Builder::has_row(const OpDescriptor& op) const {
  return row_as(request_.backend, op, storage()) != nullptr ||
         (storage() == Storage::kBfloat16 && row_as(request_.backend, op, Storage::kWidening) != nullptr);
}

void Builder::push(const NewStep& step, const Prepared& prepared) {
  PlannedStep planned;
  planned.prepared = prepared;
  if (in_lanes() && is_elementwise(step.op.step) && step.out[0].memory == Memory::kArena)
    planned.prepared.blocks = batch() / kBatchLanes;
  std::copy(step.in.begin(), step.in.end(), planned.in);
  std::copy(step.out.begin(), step.out.end(), planned.out);
  if (planned.prepared.workspace_bytes)
    planned.workspace = tensor_of_bytes(static_cast<int64_t>(planned.prepared.workspace_bytes), 1);
  if (planned.prepared.constant_bytes) planned.constants = constants(planned.prepared.constant_bytes);
  for (const Ref& ref : planned.in) touch(ref);
  bool arena = false, constant = false;
  for (const Ref& ref : planned.out) {
    touch(ref);
    constant = constant || ref.memory == Memory::kConstants;
    arena = arena || (ref.memory != Memory::kConstants && ref.memory != Memory::kNone);
  }
  planned.makes_constants = constant && !arena;
  touch(planned.workspace);
  planned.name = step.name;
  list_.steps.push_back(std::move(planned));
}

void Builder::add(const NewStep& step) {
  if (try_add(step)) return;
  Prepared prepared;
  Status status{};
  request_.backend.prepare(&step.op, &prepared, &status);
  if (in_lanes()) throw NoRow(status.code, status.message);
  fail(status.code, "%s: %s", step.name.c_str(), status.message);
}

void Builder::add_feed(Feed feed, int port, const NewStep& step) {
  add(step);
  list_.steps.back().feed = feed;
  list_.steps.back().port = port;
}

Ref Builder::to_lanes(int i, Ref rows) {
  const std::vector<int64_t>& shape = lies_as[i];
  OpDescriptor op = this->op(Step::k_to_lanes);
  op.to_lanes = {n(), node(i).count / shape.back(), shape.back()};
  const Ref lanes = tensor_like(i);
  add({op, {rows}, {lanes}, node(i).name});
  return lanes;
}

Ref Builder::from_lanes(int i, Ref lanes) {
  const std::vector<int64_t>& shape = lies_as[i];
  OpDescriptor op = this->op(Step::k_from_lanes);
  op.from_lanes = {n(), node(i).count / shape.back(), shape.back()};
  const Ref rows = rows_like(i);
  add({op, {lanes}, {rows}, node(i).name});
  return rows;
}

Ref Builder::rows_of(int i) {
  if (!in_lanes()) return value[i];
  if (rows[i].memory == Memory::kNone) rows[i] = from_lanes(i, value[i]);
  return rows[i];
}

void Builder::set_rows(int i, Ref made) { (in_lanes() ? rows : value)[i] = made; }

void Builder::settle(int i) {
  if (value[i].memory == Memory::kNone && rows[i].memory != Memory::kNone) value[i] = to_lanes(i, rows[i]);
}

void Builder::copy_rows(int i, Ref rows, Ref place) {
  if (is_narrow(rows)) return convert(rows, place, node(i).name);
  OpDescriptor copy = op(Step::k_gather);
  copy.layout = Layout::kChannelsLast;
  copy.gather = dense_gather(n(), node(i).count, DType::kF32);
  add({copy, {rows}, {place}, node(i).name});
}

void Builder::add_external_loss(int port, Ref predictions, Ref gradient, Ref result) {
  predictions = as_stored(predictions, false, "loss");
  const Ref whole = is_narrow(gradient) ? converted_like(gradient, false) : gradient;
  PlannedStep planned;
  planned.prepared = {};
  planned.prepared.op.step = Step::k_none;
  planned.prepared.kernel = "external";
  planned.in[0] = predictions;
  planned.out[0] = whole;
  planned.out[1] = result;
  for (const Ref& ref : {predictions, whole, result}) touch(ref);
  planned.feed = Feed::kLoss;
  planned.port = port;
  planned.name = "loss";
  list_.steps.push_back(std::move(planned));
  if (!same(whole, gradient)) convert(whole, gradient, "loss");
}

bool Builder::reusable(int u) const {
  if (kept_[value[u].offset]) return false;
  for (;;) {
    const Node& each = node(u);
    if (each.consumers.size() != 1 || each.output) return false;
    if (each.inputs.empty() || !same(value[u], value[each.inputs[0]])) return true;
    u = each.inputs[0];
  }
}

void Builder::keep(Ref tensor) {
  if (tensor.memory == Memory::kArena) kept_[tensor.offset] = true;
}

void Builder::write_outputs() {
  std::vector<Ref> placed;
  for (size_t i = 0; i < graph().outputs.size(); ++i) {
    const int output = graph().outputs[i];
    const Ref predictions = rows_of(output), place{port(Memory::kOutput, i), 0};
    const auto is_predictions = [predictions](Ref ref) { return same(ref, predictions); };
    // Another name for an output that has its place already, or not what the caller wants.
    if (is_narrow(predictions) || std::any_of(placed.begin(), placed.end(), is_predictions))
      copy_rows(output, predictions, place);
    placed.push_back(predictions);
  }
  for (size_t i = 0; i < placed.size(); ++i) {
    if (is_narrow(placed[i])) continue;
    if (std::any_of(placed.begin(), placed.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](Ref ref) { return same(ref, placed[i]); }))
      continue;
    tensors_[placed[i].offset].bytes = 0;
    const auto redirect = [&](Ref& ref) {
      if (same(ref, placed[i])) ref = {port(Memory::kOutput, i), 0};
    };
    for (PlannedStep& step : list_.steps) {
      for (Ref& ref : step.in) redirect(ref);
      for (Ref& ref : step.out) redirect(ref);
    }
  }
}

// Of steps that follow each other block by block one block may be ahead of another: what one of them reads or
// writes keeps its place until all are done. In training, where most of it is kept anyway.
void Builder::find_chains() {
  std::vector<PlannedStep>& steps = list_.steps;
  for (size_t begin = 0, end; begin < steps.size(); begin = end) {
    const int64_t blocks = steps[begin].prepared.blocks;
    end = begin + 1;
    if (blocks == 0) continue;
    while (end < steps.size() && steps[end].prepared.blocks == blocks) ++end;
    if (end == begin + 1) continue;
    steps[begin].chain_end = end;
    const int first = static_cast<int>(begin), last = static_cast<int>(end) - 1;
    for (Lifetime& life : tensors_) {
      if (life.first > first && life.first <= last) life.first = first;
      if (life.last >= first && life.last < last) life.last = last;
    }
  }
}

// Of each input the gathered batch that no other step writes: it may as well be the caller's own array.
std::vector<Ref> Builder::batches() const {
  std::vector<Ref> batches(graph().inputs.size());
  for (const PlannedStep& gather : list_.steps) {
    const Ref batch = gather.out[0];
    if (gather.feed != Feed::kInput || batch.memory != Memory::kArena) continue;
    const auto writes = [batch](const PlannedStep& step) {
      return std::any_of(std::begin(step.out), std::end(step.out),
                         [batch](Ref ref) { return same(ref, batch); });
    };
    if (std::count_if(list_.steps.begin(), list_.steps.end(), writes) == 1)
      batches[static_cast<size_t>(gather.port)] = batch;
  }
  return batches;
}

StepList Builder::finish() {
  for (const std::vector<Ref>* kept : {&results, &penalties})
    for (const Ref& each : *kept)
      if (each.memory == Memory::kArena) tensors_[each.offset].last = static_cast<int>(list_.steps.size());
  if (narrow_parameters_.memory != Memory::kNone)
    tensors_[narrow_parameters_.offset].last = static_cast<int>(list_.steps.size());
  if (in_lanes() && mode() == Mode::kTrain) find_chains();
  if (request_.backend.device) find_branches(list_.steps, gradients_end_, tensors_);
  const MemoryPlan memory = plan_memory(tensors_);
  if (mode() == Mode::kPredict && !in_lanes() && !request_.backend.device) list_.batches = batches();
  for (size_t i = 0; i < list_.batches.size(); ++i) {
    const auto name = [&, batch = list_.batches[i]](Ref& ref) {
      if (batch.memory == Memory::kArena && same(ref, batch)) ref = {port(Memory::kBatch, i), 0};
    };
    for (PlannedStep& step : list_.steps) {
      for (Ref& ref : step.in) name(ref);
      for (Ref& ref : step.out) name(ref);
    }
  }
  const auto place = [&](Ref& ref) {
    if (ref.memory == Memory::kArena) ref.offset = static_cast<int64_t>(memory.offsets[ref.offset]);
    if (ref.memory == Memory::kNarrowParameters)
      ref = {Memory::kArena, static_cast<int64_t>(memory.offsets[narrow_parameters_.offset]) + ref.offset};
  };
  double seconds = 0, shared = 0;
  size_t meetings = 0;
  for (PlannedStep& step : list_.steps) {
    for (Ref& ref : step.in) place(ref);
    for (Ref& ref : step.out) place(ref);
    place(step.workspace);
    const Prepared& prepared = step.prepared;
    list_.scratch_bytes = std::max(list_.scratch_bytes, prepared.scratch_bytes);
    list_.flops += prepared.flops;
    seconds += prepared.flops / kFlopsPerSecond + prepared.bytes / kBytesPerSecond;
    if (prepared.parallel) shared += prepared.flops / kFlopsPerSecond, ++meetings;
  }
  list_.results = results;
  for (Ref& result : list_.results) place(result);
  list_.penalties = penalties;
  for (Ref& penalty : list_.penalties) place(penalty);
  for (Ref& batch : list_.batches) place(batch);
  list_.arena_bytes = memory.peak;
  const auto pays = [](double work, size_t met) { return work / 2 > kMeeting * static_cast<double>(met); };
  list_.parallel = meetings > 0 && (pays(seconds, list_.steps.size()) ||
                                    (mode() == Mode::kPredict && pays(shared, meetings)));
  return std::move(list_);
}

namespace {

StepList build(const Request& request) {
  Builder b(request);
  build_forward(b);
  if (request.mode == Mode::kTrain) build_gradients(b);
  b.end_gradients();
  if (request.mode != Mode::kPredict) build_penalties(b);
  if (request.mode == Mode::kTrain && request.batch.updates) build_update(b);
  return b.finish();
}

}  // namespace

StepList build_steps(const Request& request) {
  if (suits_lanes(request)) {
    Request lanes = request;
    lanes.layout = Layout::kBatchInLanes;
    try {
      return build(lanes);
    } catch (const NoRow&) {
    }
  }
  return build(request);
}

}  // namespace fastcnn
