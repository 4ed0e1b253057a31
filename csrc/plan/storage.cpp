// SPDX-License-Identifier: Apache-2.0
// What the numbers of a plan lie in memory as. Where activations and their gradients are stored as bfloat16,
// each step gets the row that reads and writes them so; where there is none, or a tensor at its edge is
// float32, they are converted before and after it. Weights are read as bfloat16 from a copy of all
// parameters, made once in a batch; whatever the optimizer sees is float32.
#include <string_view>

#include "builder.h"
#include "eager.h"

namespace fastcnn {
namespace {

// The operands of a step, one bit each, that a descriptor's storage speaks of (backend.h).
constexpr uint32_t stored_among(std::string_view operands) {
  constexpr std::string_view kStored[] = {"x",  "y",  "a",  "b",  "w",  "residual", "mask", "saved",
                                          "dx", "dy", "dw", "x1", "x2", "x3",       "x4",   "x5"};
  uint32_t found = 0;
  for (uint32_t bit = 1; !operands.empty(); bit <<= 1) {
    const size_t space = operands.find(' ');
    std::string_view name = operands.substr(0, space);
    operands.remove_prefix(space == operands.npos ? operands.size() : space + 1);
    if (!name.empty() && name.back() == '?') name.remove_suffix(1);
    for (const std::string_view stored : kStored)
      if (name == stored) found |= bit;
  }
  return found;
}

struct StoredOperands {
  uint32_t in, out;
};
constexpr StoredOperands kStoredOperands[] = {
#define FASTCNN_STEP(name, shape, inputs, outputs) {stored_among(inputs), stored_among(outputs)},
    FASTCNN_STEPS(FASTCNN_STEP)
#undef FASTCNN_STEP
};
const StoredOperands& stored_operands(Step step) { return kStoredOperands[static_cast<int>(step)]; }

bool reads_narrow(Storage storage) { return storage == Storage::kBfloat16 || storage == Storage::kWidening; }
bool writes_narrow(Storage storage) {
  return storage == Storage::kBfloat16 || storage == Storage::kNarrowing;
}

}  // namespace

Storage storage_of_plan(const Backend& backend, Precision precision) {
  return backend.device && precision == Precision::kBfloat16 ? Storage::kBfloat16 : Storage::kFloat32;
}

Storage Builder::storage() const { return storage_of_plan(request_.backend, recipe().precision); }

Ref Builder::numbers(int64_t count) {
  if (storage() == Storage::kFloat32) return tensor(count);
  const Ref ref = tensor_of_bytes(count, kNarrowBytes);
  narrow_[ref.offset] = true;
  return ref;
}

Ref Builder::constant_weights(int64_t count) {
  return storage() == Storage::kFloat32 ? constant(count) : numbers(count);
}

bool Builder::is_narrow(Ref ref) const {
  return ref.memory == Memory::kNarrowParameters || (ref.memory == Memory::kArena && narrow_[ref.offset]);
}

// Whether a row is there, by what its operands are: the storages to ask for, best first. A gradient of
// float32 weights is not rounded on its way, whatever that costs.
bool Builder::find_row(const NewStep& step, Prepared* prepared) const {
  const StoredOperands& stored = stored_operands(step.op.step);
  bool reads = false, writes = false, writes_wide = false;
  for (size_t i = 0; i < step.in.size(); ++i) reads = reads || (stored.in >> i & 1 && is_narrow(step.in[i]));
  for (size_t i = 0; i < step.out.size(); ++i) {
    if (!(stored.out >> i & 1) || step.out[i].memory == Memory::kNone) continue;
    (is_narrow(step.out[i]) ? writes : writes_wide) = true;
  }
  const auto has = [&](Storage storage) {
    OpDescriptor op = step.op;
    op.storage = storage;
    Status status{};
    return request_.backend.prepare(&op, prepared, &status) == Code::kOk;
  };
  if (reads && writes_wide && has(Storage::kWidening)) return true;
  if (!reads && writes && has(Storage::kNarrowing)) return true;
  if ((reads || writes) && !writes_wide && has(Storage::kBfloat16)) return true;
  return has(Storage::kFloat32);
}

bool Builder::try_add(const NewStep& step) {
  Prepared prepared;
  if (!find_row(step, &prepared)) return false;
  const StoredOperands& stored = stored_operands(step.op.step);
  const Storage storage = prepared.op.storage;
  NewStep placed = step;
  for (size_t i = 0; i < step.in.size(); ++i)
    placed.in[i] = as_stored(step.in[i], reads_narrow(storage) && stored.in >> i & 1, step.name);
  for (size_t i = 0; i < step.out.size(); ++i) {
    const bool narrow = writes_narrow(storage) && stored.out >> i & 1;
    if (step.out[i].memory != Memory::kNone && is_narrow(step.out[i]) != narrow)
      placed.out[i] = converted_like(step.out[i], narrow);
  }
  push(placed, prepared);
  for (size_t i = 0; i < step.out.size(); ++i)
    if (!same(placed.out[i], step.out[i])) convert(placed.out[i], step.out[i], step.name);
  return true;
}

int64_t Builder::count_of(Ref ref) const {
  return static_cast<int64_t>(tensors_[ref.offset].bytes / (is_narrow(ref) ? kNarrowBytes : sizeof(float)));
}

Ref Builder::converted_like(Ref ref, bool narrow) {
  return narrow ? numbers(count_of(ref)) : tensor(count_of(ref));
}

void Builder::convert(Ref from, Ref to, const std::string& name) {
  OpDescriptor op = make_op(Step::k_copy, math());
  const int64_t count = from.memory == Memory::kArena ? count_of(from) : graph().parameter_floats;
  op.copy.rank = 1;
  op.copy.size[0] = op.copy.inner[0] = count;
  op.copy.x_stride[0] = op.copy.y_stride[0] = 1;
  add({op, {from}, {to}, name});
}

// The same numbers as they are wanted.
Ref Builder::as_stored(Ref ref, bool narrow, const std::string& name) {
  if (ref.memory == Memory::kNone || is_narrow(ref) == narrow) return ref;
  if (ref.memory == Memory::kParameters) {
    if (narrow_parameters_.memory == Memory::kNone) {
      narrow_parameters_ = numbers(graph().parameter_floats);
      convert({Memory::kParameters, 0}, narrow_parameters_, "weights");
    }
    return {Memory::kNarrowParameters,
            ref.offset / static_cast<int64_t>(sizeof(float)) * static_cast<int64_t>(kNarrowBytes)};
  }
  const Ref to = converted_like(ref, narrow);
  convert(ref, to, name);
  return to;
}

}  // namespace fastcnn
