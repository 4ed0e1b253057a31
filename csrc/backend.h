// SPDX-License-Identifier: Apache-2.0
// The device boundary: what a device must be able to do, as one plain struct of functions.
//
// A step is one kernel call of a plan. prepare() looks for the first row of the device's kernel list that
// supports the descriptor and fixes blocking and memory; run() executes it, any number of times. Whatever is
// prepared is plain data: it can be copied and dropped. No exceptions and no standard-library types cross
// this boundary.
#pragma once
#include "base/penalty.h"
#include "base/shape.h"
#include "base/status.h"

namespace fastcnn {

// A convolution and the max pooling of its output.
struct PooledConv2dShape {
  Conv2dShape conv;
  Pool2dShape pool;
};

// y[r, begin + j] = x0[r, j], and behind it x1[r, j] and so on: rows of `length` numbers each, rows of `cols`
// of y, of which the parts fill `width` from `begin` on; the others stay as they are.
constexpr int kMaxParts = 6;
struct ConcatenateShape {
  int64_t rows, cols, begin, width, parts;
  int64_t length[kMaxParts];
};

// X(step, shape struct, inputs, outputs): operands in order; a trailing ? may be null.
#define FASTCNN_STEPS(X)                                                                         \
  X(conv2d_fprop, Conv2dShape, "x w bias? residual? scale?", "y index? statistics?")             \
  X(conv2d_dgrad, Conv2dShape, "dy w mask? bias? residual?", "dx")                               \
  X(conv2d_wgrad, Conv2dShape, "x dy", "dw db?")                                                 \
  X(conv2d_dgrad_pooled, PooledConv2dShape, "dy index w mask?", "dx")                            \
  X(conv2d_wgrad_pooled, PooledConv2dShape, "x dy index", "dw db?")                              \
  X(conv3d_fprop, Conv3dShape, "x w bias?", "y")                                                 \
  X(conv3d_dgrad, Conv3dShape, "dy w mask? bias?", "dx")                                         \
  X(conv3d_wgrad, Conv3dShape, "x dy", "dw")                                                     \
  X(gemm, GemmShape, "a b bias? mask?", "y")                                                     \
  X(column_sum, RowsShape, "dy", "db")                                                           \
  X(max_pool2d_fwd, Pool2dShape, "x", "y")                                                       \
  X(max_pool2d_bwd, Pool2dShape, "dy x", "dx")                                                   \
  X(average_pool2d_fwd, Pool2dShape, "x", "y")                                                   \
  X(average_pool2d_bwd, Pool2dShape, "dy mask?", "dx")                                           \
  X(sum_pool2d_fwd, Pool2dShape, "x", "y")                                                       \
  X(sum_pool2d_bwd, Pool2dShape, "dy mask?", "dx")                                               \
  X(max_pool2d_fwd_index, Pool2dShape, "x", "y index")                                           \
  X(max_pool2d_bwd_index, Pool2dShape, "dy index y?", "dx")                                      \
  X(max_pool3d_fwd, Pool3dShape, "x", "y")                                                       \
  X(max_pool3d_bwd, Pool3dShape, "dy x", "dx")                                                   \
  X(average_pool3d_fwd, Pool3dShape, "x", "y")                                                   \
  X(average_pool3d_bwd, Pool3dShape, "dy mask?", "dx")                                           \
  X(sum_pool3d_fwd, Pool3dShape, "x", "y")                                                       \
  X(sum_pool3d_bwd, Pool3dShape, "dy mask?", "dx")                                               \
  X(lp_pool2d_fwd, LpPool2dShape, "x", "y")                                                      \
  X(lp_pool2d_bwd, LpPool2dShape, "dy x y", "dx")                                                \
  X(max_pool2d_with_index, Pool2dShape, "x", "y index")                                          \
  X(max_pool2d_with_index_bwd, Pool2dShape, "dy index", "dx")                                    \
  X(max_pool3d_with_index, Pool3dShape, "x", "y index")                                          \
  X(max_pool3d_with_index_bwd, Pool3dShape, "dy index", "dx")                                    \
  X(max_unpool2d_fwd, Unpool2dShape, "x index", "y")                                             \
  X(max_unpool2d_bwd, Unpool2dShape, "dy index", "dx")                                           \
  X(activation_fwd, FlatShape, "x", "y")                                                         \
  X(activation_bwd, FlatShape, "dy saved", "dx")                                                 \
  X(softmax_fwd, RowsShape, "x", "y")                                                            \
  X(softmax_bwd, RowsShape, "dy y", "dx")                                                        \
  X(log_softmax_fwd, RowsShape, "x", "y")                                                        \
  X(log_softmax_bwd, RowsShape, "dy y", "dx")                                                    \
  X(prelu_fwd, PreluShape, "x alpha", "y")                                                       \
  X(prelu_bwd, PreluShape, "dy x alpha", "dx")                                                   \
  X(prelu_alpha_bwd, PreluShape, "dy x", "dalpha")                                               \
  X(dropout, DropoutShape, "x", "y")                                                             \
  X(spatial_dropout, SpatialDropoutShape, "x", "y")                                              \
  X(gaussian, GaussianShape, "x", "y")                                                           \
  X(alpha_dropout, AlphaDropoutShape, "x", "y")                                                  \
  X(affine_fwd, AffineShape, "x", "y")                                                           \
  X(affine_bwd, AffineShape, "dy", "dx")                                                         \
  X(adjust_fwd, AdjustShape, "x", "y")                                                           \
  X(adjust_bwd, AdjustShape, "dy x", "dx")                                                       \
  X(erase, EraseShape, "x", "y")                                                                 \
  X(mix, MixShape, "x index weight? box?", "y")                                                  \
  X(mix_bwd, MixShape, "dy index weight? box?", "dx")                                            \
  X(mix_draw, MixShape, "", "index weight box?")                                                 \
  X(one_hot, RowsShape, "label", "y")                                                            \
  X(rescale, RescaleShape, "x", "y")                                                             \
  X(add, FlatShape, "a b", "y")                                                                  \
  X(binary, BinaryShape, "a b", "y")                                                             \
  X(binary_bwd, BinaryShape, "dy a? b?", "dx")                                                   \
  X(copy, CopyShape, "x", "y")                                                                   \
  X(concatenate, ConcatenateShape, "x x1? x2? x3? x4? x5?", "y")                                 \
  X(to_lanes, LanesShape, "x", "y")                                                              \
  X(from_lanes, LanesShape, "x", "y")                                                            \
  X(resize_fwd, ResizeShape, "x", "y")                                                           \
  X(resize_bwd, ResizeShape, "dy", "dx")                                                         \
  X(gather, GatherShape, "x index?", "y")                                                        \
  X(loss, LossShape, "x target weight? alpha?", "dx? result value?")                             \
  X(accumulate, AccumulateShape, "", "gradient sum")                                             \
  X(clip_norm, ClipNormShape, "", "gradient")                                                    \
  X(muon, MuonShape, "gradient", "w momentum average?")                                          \
  X(batch_norm_fwd, BatchNormShape, "x gamma? beta? statistics? residual?", "y mean? variance?") \
  X(batch_norm_bwd, BatchNormShape, "dy x gamma?", "dx? dgamma? dbeta?")                         \
  X(batch_norm_infer, BatchNormShape, "x mean variance gamma? beta?", "y")                       \
  X(batch_norm_infer_bwd, BatchNormShape, "dy x mean variance gamma?", "dx? dgamma? dbeta?")     \
  X(batch_norm_fold, BatchNormShape, "w? mean variance gamma? beta? bias?", "w bias")            \
  X(group_norm_fwd, GroupNormShape, "x gamma? beta?", "y")                                       \
  X(group_norm_bwd, GroupNormShape, "dy x gamma?", "dx? dgamma? dbeta?")                         \
  X(row_norm_fwd, RowNormShape, "x gamma? beta?", "y")                                           \
  X(row_norm_bwd, RowNormShape, "dy x gamma?", "dx? dgamma? dbeta?")                             \
  X(penalty, PenaltyShape, "w", "gradient? value")                                               \
  X(constraint, ConstraintShape, "", "w")                                                        \
  X(optimizer, OptimizerShape, "gradient", "parameters slot0? slot1? slot2? slot3?")

enum class Step : int32_t {
  k_none = -1,  // an operator that only renames its input
#define FASTCNN_STEP(name, shape, inputs, outputs) k_##name,
  FASTCNN_STEPS(FASTCNN_STEP)
#undef FASTCNN_STEP
      kCount
};

inline const char* name_of(Step step) {
  static constexpr const char* kNames[] = {
#define FASTCNN_NAME(name, shape, inputs, outputs) #name,
      FASTCNN_STEPS(FASTCNN_NAME)
#undef FASTCNN_NAME
  };
  return kNames[static_cast<int>(step)];
}

// X(operator, forward step, saved): the differentiable operators. plan/operators/ holds one rule each,
// rule_<operator>; the reference, the cases and the tests of fastcnn.testing go by the same names. An
// operator whose step is none only renames its input.
#define FASTCNN_OPERATORS(X)                      \
  X(conv2d, conv2d_fprop, kX)                     \
  X(conv1d, conv2d_fprop, kX)                     \
  X(conv3d, conv3d_fprop, kX)                     \
  X(conv1d_transpose, conv2d_dgrad, kX)           \
  X(conv2d_transpose, conv2d_dgrad, kX)           \
  X(conv3d_transpose, conv3d_dgrad, kX)           \
  X(depthwise_conv1d, conv2d_fprop, kX)           \
  X(depthwise_conv2d, conv2d_fprop, kX)           \
  X(dense, gemm, kX)                              \
  X(max_pool2d, max_pool2d_fwd, kX)               \
  X(average_pool2d, average_pool2d_fwd, kNothing) \
  X(sum_pool2d, sum_pool2d_fwd, kNothing)         \
  X(max_pool3d, max_pool3d_fwd, kX)               \
  X(average_pool3d, average_pool3d_fwd, kNothing) \
  X(sum_pool3d, sum_pool3d_fwd, kNothing)         \
  X(lp_pool2d, lp_pool2d_fwd, kXAndY)             \
  X(max_unpool2d, max_unpool2d_fwd, kNothing)     \
  FASTCNN_ACTIVATIONS(X)                          \
  X(softmax, softmax_fwd, kY)                     \
  X(log_softmax, log_softmax_fwd, kY)             \
  X(prelu, prelu_fwd, kX)                         \
  X(batch_norm, batch_norm_fwd, kX)               \
  X(group_norm, group_norm_fwd, kX)               \
  X(layer_norm, row_norm_fwd, kX)                 \
  X(rms_norm, row_norm_fwd, kX)                   \
  X(unit_norm, row_norm_fwd, kX)                  \
  X(dropout, dropout, kNothing)                   \
  X(spatial_dropout, spatial_dropout, kNothing)   \
  X(gaussian_noise, gaussian, kNothing)           \
  X(gaussian_dropout, gaussian, kNothing)         \
  X(alpha_dropout, alpha_dropout, kNothing)       \
  X(affine, affine_fwd, kNothing)                 \
  X(adjust, adjust_fwd, kX)                       \
  X(erase, erase, kNothing)                       \
  X(mix, mix, kNothing)                           \
  X(rescaling, rescale, kNothing)                 \
  X(flatten, none, kNothing)                      \
  X(reshape, none, kNothing)                      \
  X(identity, none, kNothing)                     \
  X(permute, copy, kNothing)                      \
  X(zero_padding, copy, kNothing)                 \
  X(cropping, copy, kNothing)                     \
  X(upsampling, copy, kNothing)                   \
  X(repeat_vector, copy, kNothing)                \
  X(concatenate, copy, kNothing)                  \
  X(add, binary, kNothing)                        \
  X(subtract, binary, kNothing)                   \
  X(average, binary, kNothing)                    \
  X(multiply, binary, kX)                         \
  X(maximum, binary, kX)                          \
  X(minimum, binary, kX)

// What is fused to the end of a step; a row's supports() says whether it can. A transposed convolution is a
// dgrad step, so that those take a bias and ReLU too.
struct Epilogue {
  int32_t bias;           // y += bias[K]; conv2d_wgrad, _pooled: db[K] = the sum of dy as well
  int32_t residual;       // y += residual, shaped as y; of conv2d_fprop, batch_norm_fwd, dx of conv2d_dgrad
  int32_t scale;          // w[...,k] scale[k] in place of w; of conv2d_fprop alone
  Activation activation;  // y = activation(y), last; one without parameters
  // Backward steps: dx is set to 0 where mask <= 0. mask is the ReLU output that dx is the gradient of;
  // max_pool2d_bwd reads x itself, which is that output, and max_pool2d_bwd_index y, the greatest of it.
  int16_t relu_mask;
  // conv2d_fprop writes the PartStatistics of y, batch_norm_fwd reads those of x.
  int16_t statistics;
  // conv2d_fprop: y is the greatest of each window of pool x pool pixels, which cover P x Q side by side, and
  // index, which may be null, its number in the window. 0: no pooling.
  int32_t pool;
};

// Of a channel and kStatisticsRows pixels in their order, of the last ones fewer: how far their mean lies
// from the first of their values, so that it keeps what a mean far from 0 would round away, and the sum of
// the squares of their distances from it. [parts, channels]
struct PartStatistics {
  float shift, square;
};
constexpr int64_t kStatisticsRows = 64;
inline int64_t statistics_parts(int64_t rows) { return (rows + kStatisticsRows - 1) / kStatisticsRows; }

// What activations, their gradients, matrices and the weights of convolutions lie in memory as: the operands
// x, y, a, b, w, residual, mask and saved, and dx, dy, dw. Biases, factors and statistics of channels and the
// gradients of these are float32 whatever the rest is; so are all sums.
enum class Storage : int32_t {
  kFloat32,
  kBfloat16,   // of a GPU alone, and so are
  kWidening,   // bfloat16 is read, float32 written: gradients of weights that are float32 themselves
  kNarrowing,  // float32 is read, bfloat16 written
  kPairs       // what a row of the CPU asks another one: two numbers of bfloat16 in the place of each float
};

struct OpDescriptor {
  Step step;
  Math math;
  Precision precision;
  Layout layout;
  Epilogue epilogue;
  // conv2d_fprop, conv2d_dgrad, gemm: w (b of gemm), bias and scale are the same in many runs; what is made
  // of them may be kept.
  int32_t constant_weights;
  // With the field before it so wide that nothing is padded: descriptors are compared word by word.
  Storage storage;
  int64_t samples;  // of a batch in lanes; its shapes count those too that fill up the last block
  union {
#define FASTCNN_SHAPE(name, shape, inputs, outputs) shape name;
    FASTCNN_STEPS(FASTCNN_SHAPE)
#undef FASTCNN_SHAPE
  };
};

constexpr int kMaxInputs = 6, kMaxOutputs = 5;

struct Operands {
  const void* in[kMaxInputs];
  void* out[kMaxOutputs];
};

// Enough work for more than one thread, but not for opening a region of threads.
constexpr int32_t kInOpenRegion = 2;

struct Prepared {
  OpDescriptor op;
  const void* row;  // the device's own; its name is in `kernel`
  const char* kernel;
  size_t workspace_bytes;  // shared by the team
  size_t scratch_bytes;    // of each thread
  size_t constant_bytes;   // that outlive a run, of what is made of constant weights
  int32_t parallel;        // 0: too little work for more than one thread; or kInOpenRegion
  // Parts of the batch, in whose order the tasks of every phase come, as many for each: a part's tasks read
  // and write nothing of another's. 0: a step that is not cut so.
  int64_t blocks;
  double flops, bytes;  // of the definition, not of the algorithm
  alignas(64) unsigned char state[640];
};

struct Member;  // base/parallel.h

// Where a step runs: a member of a thread team on the CPU; on a GPU a stream, and workspace and scalars are
// in its memory.
struct Context {
  Member* member;
  void* workspace;
  const RunScalars* scalars;
  void* stream;
  void* constants = nullptr;
  int32_t constants_ready = 0;  // an earlier run of the step has made them, of the same weights
};

struct KernelInfo {
  Step step;
  const char* name;
};

// Where a run of batches stands, in the GPU's memory: captured batches follow it, whatever they are run for.
struct Cursor {
  RunScalars scalars;  // of the batch at work
  uint64_t first_step;
  int64_t slot;          // the batch at work, 0, 1, ...; before the first -1
  int64_t row;           // the sample that the first batch begins with, or its place in the order
  const int64_t* order;  // null: the samples as they lie
  int64_t counts;        // 1: every batch is an optimizer step
};

// Moves on to the next batch: its scalars, its `n` samples' numbers.
struct NextBatch {
  Cursor* cursor;
  const float* rates;  // learning rates by slot
  int64_t* index;      // [n]
  int64_t n;
};

// What is kept of a batch: `bytes`, a multiple of four, go to `to` + slot `stride`.
struct Note {
  const void* from;
  void* to;
  int64_t bytes, stride;
};

// What a backend with memory of its own can do besides. Memory is not allocated here: it comes from the pool
// of the arrays' library.
struct Device {
  // Whether the current GPU can be used; if not, the message says what is missing.
  Code (*open)(Status*);
  // From now on this thread's prepare() is for such a GPU, 10 major + minor, whether there is one or not: for
  // plans that are looked at. 0: for the GPU there is.
  void (*assume)(int capability);
  // Whether the GPU can read these bytes: they are its own, or were registered with it.
  Code (*check_memory)(const void*, size_t bytes, Status*);
  // From and to any memory. copy() waits until it is done; upload() until the memory it reads may change,
  // unless that is pinned: then it waits for nothing.
  Code (*copy)(void* to, const void* from, size_t bytes, void* stream, Status*);
  Code (*upload)(void* to, const void* from, size_t bytes, void* stream, Status*);
  Code (*zero)(void* to, size_t bytes, void* stream, Status*);
  // Whether any of these numbers is not from 0 to `last`, told by a word of the GPU's memory; waits for it.
  Code (*outside)(const int32_t* numbers, int64_t count, int32_t last, void* word, int32_t* found,
                  void* stream, Status*);
  // Whether the kernels since the last question were started.
  Code (*launched)(const char* what, Status*);
  // A stream of one's own, and the end of all that is on it.
  Code (*open_stream)(void** stream, Status*);
  void (*close_stream)(void* stream);
  Code (*wait)(void* stream, Status*);
  // Around the steps of a batch.
  void (*next_batch)(const NextBatch*, void* stream);
  void (*take_notes)(const Note*, int count, const Cursor*, void* stream);
  // What is put on the stream between both is not run but becomes a graph, to be replayed any number of
  // times.
  Code (*begin_capture)(void* stream, Status*);
  Code (*end_capture)(void* stream, void** graph, Status*);
  Code (*replay)(void* graph, void* stream, Status*);
  void (*drop_graph)(void* graph);
  // What is put on `then` from now on waits for all that is on `first` now; while one of them is captured,
  // both are. `moment` is made if it is null.
  Code (*follow)(void* then, void* first, void** moment, Status*);
  // Moments of a stream; the time between two that are past.
  Code (*mark)(void** moment, void* stream, Status*);
  double (*seconds_between)(void* first, void* last);
  void (*drop_moment)(void* moment);
  // Memory of the host that uploads read while the host goes on; null if there is none to be had.
  void* (*pin)(size_t bytes);
  void (*unpin)(void* memory);
};

struct Backend {
  uint32_t version, size;
  const char* name;     // "cpu" or "cuda"
  const char* variant;  // the instruction set in use
  Code (*prepare)(const OpDescriptor*, Prepared*, Status*);
  // On the CPU called by every member of the team with the same arguments but for its Member; ends with all
  // of the step's output visible to all members. On a GPU it puts kernels on the stream. Cannot fail:
  // everything that can was settled by prepare().
  void (*run)(const Prepared*, const Operands*, Context*);
  const KernelInfo* (*kernels)(int* count);
  const Device* device;  // null on the CPU
};

constexpr uint32_t kBackendVersion = 8;

}  // namespace fastcnn
