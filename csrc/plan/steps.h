// SPDX-License-Identifier: Apache-2.0
// What a plan is made of: prepared steps whose operands are named by memory and offset, so that one list
// serves any user array, and a change of the weights' address costs nothing.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "../backend.h"
#include "buffer.h"
#include "graph.h"

namespace fastcnn {

enum class Mode : int32_t { kTrain, kEvaluate, kPredict };

inline const char* name_of(Mode mode) {
  return mode == Mode::kTrain ? "train" : mode == Mode::kEvaluate ? "evaluate" : "predict";
}

// The memories that operands lie in; from kConstants, which are of a list, on they change from batch to
// batch.
enum class Memory : int32_t {
  kNone,
  kArena,
  kNarrowParameters,  // as bfloat16, in the arena: of a list under construction
  kParameters,
  kGradients,
  kSlot0,
  kSlot1,
  kSlot2,
  kSlot3,
  kClassAlpha,                           // of the loss of the first output
  kConstants = kClassAlpha + kMaxPorts,  // made of the parameters alone
  kIndex,
  kInput,                       // of the first input; the others follow
  kBatch = kInput + kMaxPorts,  // of predictions: its place in the arena, or the input itself
  kTarget = kBatch + kMaxPorts,
  kWeight = kTarget + kMaxPorts,
  kOutput = kWeight + kMaxPorts,
  kMixed = kOutput + kMaxPorts,  // targets as the loss reads them, for those who observe them
  kCount = kMixed + kMaxPorts
};

inline Memory port(Memory first, size_t i) {
  return static_cast<Memory>(static_cast<int>(first) + static_cast<int>(i));
}

struct Ref {
  Memory memory = Memory::kNone;
  int64_t offset = 0;  // bytes; of a tensor that has no place yet its number
};

// Where each memory begins during one batch.
struct Memories {
  char* base[static_cast<int>(Memory::kCount)] = {};
  char*& operator[](Memory m) { return base[static_cast<int>(m)]; }
  void* at(Ref ref) const {
    char* begin = base[static_cast<int>(ref.memory)];
    return begin ? begin + ref.offset : nullptr;
  }
};

// Steps that read the user's arrays: prepared anew for each session, as dtype and strides are the array's.
// And kLoss: the session's own function measures the predictions and says their gradient.
enum class Feed : int32_t { kNone, kInput, kTarget, kWeight, kLoss };

constexpr int kBranches = 4;  // that may be open at once

struct PlannedStep {
  Prepared prepared;
  Ref in[kMaxInputs], out[kMaxOutputs];
  Ref workspace, constants;
  bool makes_constants = false;  // and nothing else
  Feed feed = Feed::kNone;
  int port = 0;                 // of the feed
  size_t chain_end = 0;         // of the first of some steps that may follow each other block by block
  int branch = 0;               // captured: 0 in line, else of those that go beside it (branches.h)
  uint32_t joins = 0;           // branches that are over before this step: 1 << branch
  std::string name;             // of the layer, or of what belongs to none
  double end = 0, seconds = 0;  // when it ended in the latest timed run, how long it took in the fastest
};

// What a session puts in place of the steps that read its arrays, by port.
struct Feeds {
  std::vector<Prepared> input, target, weight;
  std::vector<Prepared> input_in_lanes;  // where a list wants it so
};

const Prepared& prepared_of(const Feeds& feeds, const PlannedStep& step);
Operands operands_of(const PlannedStep& step, const Memories& memories);

// Of the parameters and of every array that is laid out as they are.
struct FloatRange {
  int64_t begin, end;
};

// What a step list is made for.
struct Batch {
  int64_t n = 0;                 // samples
  std::vector<int64_t> weights;  // of one sample, for each output: 0 where every sample weighs the same
  bool observed = false;         // train, evaluate: the predictions are written to the caller's arrays too
  bool updates = true;           // train: false leaves gradients and changes no weight
  bool operator==(const Batch& other) const {
    return n == other.n && weights == other.weights && observed == other.observed && updates == other.updates;
  }
};

struct Captures;  // device_batch.h

struct StepList {
  Batch batch;
  std::vector<PlannedStep> steps;
  size_t arena_bytes = 0;
  size_t scratch_bytes = 0;         // of each thread
  size_t constant_bytes = 0;        // of what is made of the parameters and kept until they change
  Buffer constants;                 // of this list alone: what is made depends on the number of samples
  uint64_t constants_of = 0;        // the version of the parameters that they were made of; 0: none
  bool parallel = false;            // worth a team
  std::vector<Ref> batches;         // of predictions, where each input's batch is gathered
  std::vector<Ref> results;         // LossResult of each objective; none in predict
  std::vector<Ref> penalties;       // a double of each regularized parameter
  std::vector<FloatRange> trained;  // what the optimizer updates, in order
  double flops = 0;
  uint64_t runs = 0;                   // on the CPU
  double seconds = 0;                  // the fastest timed run; 0 before
  double batch_seconds = 0;            // on a GPU, of the latest batches as the host sees them; 0 before
  std::shared_ptr<Captures> captures;  // on a GPU
};

}  // namespace fastcnn
