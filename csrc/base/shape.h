// SPDX-License-Identifier: Apache-2.0
// Sizes of every operator as plain structs: the vocabulary shared by validation, plan, backends and kernels.
// Files compiled once per ISA include this header, so it holds nothing but PODs, constants and enums: an
// inline function here would be emitted once per ISA and merged by the linker into code for older processors.
// The first field of every struct is what grows with the batch.
// Tensors are dense and channels-last: x [N,H,W,C], kernel [R,S,C/groups,K], y [N,P,Q,K].
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace fastcnn {

enum class DType : int32_t { kF32, kF64, kF16, kU8, kI8, kU16, kI16, kU32, kI32, kU64, kI64, kBool };
enum class Loss : int32_t {
  kSparseCrossentropy,
  kCategoricalCrossentropy,
  kMeanSquaredError,
  kBinaryCrossentropy,
  kBinaryFocalCrossentropy,
  kCategoricalFocalCrossentropy,
  kMeanAbsoluteError,
  kMeanAbsolutePercentageError,
  kMeanSquaredLogarithmicError,
  kHuber,
  kLogCosh,
  kHinge,
  kSquaredHinge,
  kCategoricalHinge,
  kKlDivergence,
  kPoisson,
  kCosineSimilarity,
  kTversky
};
// Of the losses of the rows to that of a batch. kMeanWithSampleWeight divides by the sum of the weights.
enum class Reduction : int32_t { kSumOverBatchSize, kSum, kMeanWithSampleWeight };
enum class Accuracy : int32_t { kNone, kSparse, kCategorical, kBinary };
enum class Optimizer : int32_t { kSgd, kAdam, kRmsprop, kAdagrad, kAdadelta, kAdamax, kNadam, kLion, kFtrl };
enum class Binary : int32_t { kAdd, kSubtract, kMultiply, kMaximum, kMinimum };
enum class Math : int32_t { kDefault, kStrict, kFast };
// What matrix products round their operands to: nothing that a float32 sum would show, 10 bits, or 7.
enum class Precision : int32_t { kFloat32, kTf32, kBfloat16 };
// How a step's activations lie: [N,H,W,C], or with kBatchLanes samples side by side, [N /
// kBatchLanes][C][H][W][kBatchLanes], where the last block is filled up with samples that are zero.
enum class Layout : int32_t { kChannelsLast, kBatchInLanes };
constexpr int kBatchLanes = 16;

// What the backward pass of an operator reads besides dy.
enum class Saves : int32_t { kNothing, kX, kY, kXAndY };

// X(operator, forward step, saved): the activations that work element by element. y is saved where the
// gradient follows from it without loss; softsign's decays so slowly that 1 - |y| would leave few digits of
// it.
#define FASTCNN_ACTIVATIONS(X)          \
  X(relu, activation_fwd, kY)           \
  X(sigmoid, activation_fwd, kY)        \
  X(tanh, activation_fwd, kY)           \
  X(relu6, activation_fwd, kY)          \
  X(leaky_relu, activation_fwd, kY)     \
  X(general_relu, activation_fwd, kX)   \
  X(elu, activation_fwd, kY)            \
  X(selu, activation_fwd, kY)           \
  X(celu, activation_fwd, kY)           \
  X(gelu, activation_fwd, kX)           \
  X(gelu_tanh, activation_fwd, kX)      \
  X(silu, activation_fwd, kX)           \
  X(mish, activation_fwd, kX)           \
  X(softplus, activation_fwd, kY)       \
  X(softsign, activation_fwd, kX)       \
  X(log_sigmoid, activation_fwd, kY)    \
  X(exponential, activation_fwd, kY)    \
  X(hard_sigmoid, activation_fwd, kY)   \
  X(hard_silu, activation_fwd, kX)      \
  X(hard_tanh, activation_fwd, kY)      \
  X(hard_shrink, activation_fwd, kY)    \
  X(soft_shrink, activation_fwd, kY)    \
  X(tanh_shrink, activation_fwd, kX)    \
  X(threshold, activation_fwd, kX)      \
  X(sparse_plus, activation_fwd, kX)    \
  X(sparse_sigmoid, activation_fwd, kY) \
  X(squareplus, activation_fwd, kY)

enum class Activation : int32_t {
  kNone,
#define FASTCNN_ACTIVATION(name, forward, saves) k_##name,
  FASTCNN_ACTIVATIONS(FASTCNN_ACTIVATION)
#undef FASTCNN_ACTIVATION
      kCount,
  kRelu = k_relu  // the one that kernels know by name
};

constexpr int kMaxRank = 8;

struct Conv2dShape {
  int64_t n, h, w, c;
  int64_t r, s, k;
  int64_t p, q;
  int64_t stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int64_t groups;
};

// A volume is its frames: x [N,D,H,W,C], kernel [T,R,S,C/groups,K], y [N,Z,P,Q,K].
struct Conv3dShape {
  Conv2dShape frame;  // of one frame, but for the number of volumes N = frame.n
  int64_t d, t, z;
  int64_t stride_d, dilation_d, pad_front;
};

// Windows that are cut off at the border of the image, each with at least one tap inside.
struct Pool2dShape {
  int64_t n, h, w, c;
  int64_t r, s;
  int64_t p, q;
  int64_t stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int32_t adaptive;  // window p is rows floor(p H / P) .. ceil((p + 1) H / P); r, strides, ... mean nothing
  int32_t count_include_pad;  // an average divides by the taps in the padded image, not by those in the image
};

// The same over x [N,D,H,W,C], y [N,O,P,Q,C], windows [T,R,S].
struct Pool3dShape {
  int64_t n, d, h, w, c;
  int64_t t, r, s;
  int64_t o, p, q;
  int64_t stride_d, stride_h, stride_w, dilation_d, dilation_h, dilation_w;
  int64_t pad_front, pad_back, pad_top, pad_bottom, pad_left, pad_right;
  int32_t adaptive, count_include_pad;
};

// y = (sum |x|^power)^(1 / power) over each window.
struct LpPool2dShape {
  Pool2dShape pool;  // no dilation, not adaptive
  float power;       // at least 1
};

// y[n, index[n,p,q,c], c] = x[n,p,q,c], y [N,H*W,C], 0 elsewhere.
struct Unpool2dShape {
  int64_t n, h, w, c;
  int64_t p, q;
};

// y[m,n] = op(a) op(b), a [m,k] (or [k,m] when transposed), b [k,n] (or [n,k]).
struct GemmShape {
  int64_t m, n, k;
  int32_t transpose_a, transpose_b;
};

struct FlatShape {
  int64_t count;
  Activation activation;
  float alpha, beta, gamma;  // its parameters: plan/validate_activation.cpp names them
};

// Rows of a [rows, cols] matrix: softmax, column sums.
struct RowsShape {
  int64_t rows, cols;
};

// Statistics of each channel over [rows].
struct BatchNormShape {
  int64_t rows, c;
  double epsilon, momentum;  // moving = moving momentum + batch (1 - momentum)
};

// Statistics of each sample and group of c / groups neighbouring channels, over [m, c / groups].
struct GroupNormShape {
  int64_t n, m, c, groups;
  double epsilon;
};

// Statistics of each row. kLayer: mean and variance; kRms: y = x / sqrt(mean(x^2) + epsilon); kUnit: y = x
// times the lesser of 1 / sqrt(sum(x^2)) and 1 / epsilon.
enum class RowNorm : int64_t { kLayer, kRms, kUnit };
struct RowNormShape {
  int64_t rows, cols;
  double epsilon;
  RowNorm kind;
};

struct RescaleShape {
  int64_t count;
  float scale, offset;  // y = scale x + offset
};

// y = x where x > 0, else alpha x. A sample is [rows, cols]; the axes of a row's number have these sizes and,
// in alpha, these strides. `shared`: one alpha for all of a row, else one for each column.
struct PreluShape {
  int64_t n, rows, cols;
  int32_t shared, rank;
  int64_t size[kMaxRank - 1], stride[kMaxRank - 1];
  int64_t alphas;
};

struct DropoutShape {
  int64_t count;
  float rate;   // probability of a zero
  uint32_t op;  // which dropout of the network: part of the counter, so two layers never share a mask
  int64_t pixels, channels;  // of a sample; read where the batch lies in lanes
};

// Dropout of whole channels: x [n, pixels, channels], one draw for each sample and channel.
struct SpatialDropoutShape {
  int64_t n, pixels, channels;
  float rate;
  uint32_t op;
};

// What random numbers follow from besides the step: which one of the network's operators draws them, and a
// seed of its own where it has one, else the model's.
struct DrawSource {
  uint64_t seed;
  uint32_t op;
  int32_t seeded;
};

// How an image goes on beyond its border, d c b a | a b c d | d c b a for kReflect.
enum class Fill : int32_t { kConstant, kNearest, kReflect, kWrap };
// Which map takes a pixel of the output to the point of the input that it shows.
enum class Warp : int32_t { kFlip, kTranslation, kRotation, kZoom, kCrop, kResize };

// y[n,p,q] = x at the point (a p + b q + c, d p + e q + f), by a map of each image that is drawn between
// `low` and `high`; of two entries the first is of the rows, the second of the columns.
struct AffineShape {
  int64_t n, h, w, c;
  int64_t p, q;
  Warp kind;
  Fill fill;
  int32_t bilinear;  // else the nearest pixel
  float fill_value;
  double low[2], high[2];  // shares of the size, turns, enlargement less 1; flips: low is 1 where an axis may
  int32_t joint;           // a zoom: the columns are drawn as the rows
  int32_t begin_h, begin_w, size_h, size_w;  // a resizing: the part of x that is shown
  DrawSource draw;
};

// y = clip(x + delta (maximum - minimum)) or clip((x - mean) factor + mean) by the mean of each channel of an
// image; delta and factor are drawn for each image.
enum class Adjust : int32_t { kBrightness, kContrast };
struct AdjustShape {
  int64_t n, pixels, channels;
  Adjust kind;
  float minimum, maximum;
  double low, high;
  DrawSource draw;
};

// A rectangle of each image shows `fill`, or with `noise` clipped normal deviates times `maximum`, whose draw
// is the next one.
constexpr int kMaxFills = 4;
struct EraseShape {
  int64_t n, h, w, c;
  double chance[2], scale[2];  // of the probability, and of the shares of the area
  int32_t noise, fills;        // fills: 1 for all channels, or c
  float fill[kMaxFills];
  float minimum, maximum;
  DrawSource draw;
};

// y[i] = weight[i] x[i] + (1 - weight[i]) x[index[i]]; or x[index[i]] in the box [top, bottom, left, right)
// of sample i and x[i] elsewhere. Drawn are a permutation `index` of the batch, and for each sample a weight
// from the beta distribution of both parameters a, itself drawn for the batch between `low` and `high`; of
// boxes their place, and the weight is the share of the pixels that they leave. The permutation's draw is the
// next one.
struct MixShape {
  int64_t n, h, w, c;
  int32_t boxed;
  double low, high;
  DrawSource draw;
};

// With a normal deviate z, y = x + scale z or y = x (1 + scale z).
enum class Noise : int32_t { kAdded, kMultiplied };
struct GaussianShape {
  int64_t count;
  Noise noise;
  float scale;
  uint32_t op;
};

// y = scale x + offset where an element stays, else `dropped`.
struct AlphaDropoutShape {
  int64_t count;
  float rate, scale, offset, dropped;
  uint32_t op;
};

// y = scale f(a, b) over `size`; a and b are dense, and where they have one index for all of a dimension
// their stride is 0. The gradient has the shape of a (which = 0) or of b (1): it is summed over such
// dimensions. It reads a and b for a maximum or minimum, the other factor for a product, nothing else
// otherwise.
struct BinaryShape {
  int64_t size[kMaxRank];  // of y, which is dense; the first counts samples
  int64_t a_stride[kMaxRank], b_stride[kMaxRank];
  int32_t rank;
  Binary kind;
  float scale;
  int32_t which;
};

// y[y_offset + i . y_stride] = x[x_offset + (i - before) . x_stride] for all i below size; 0 where i - before
// is not in [0, inner). The first dimension counts samples and is never padded: before and inner are not read
// there.
struct CopyShape {
  int64_t size[kMaxRank];
  int64_t x_stride[kMaxRank], y_stride[kMaxRank];
  int64_t before[kMaxRank], inner[kMaxRank];
  int64_t x_offset, y_offset;
  int64_t rank;
};

// Between x [N, pixels, C] and the same with the batch in lanes.
struct LanesShape {
  int64_t n, pixels, c;
};

// Bilinear enlargement of x [N,H,W,C] to y [N, H factor_h, W factor_w, C]; the centres of pixels are at
// halves.
struct ResizeShape {
  int64_t n, h, w, c;
  int64_t factor_h, factor_w;
};

// y[i, ...] = scale * x[index[i], ...] + offset, dense; x any real dtype and any strides.
struct GatherShape {
  int64_t n;
  int32_t rank;               // of one sample
  int64_t shape[kMaxRank];    // of one sample
  int64_t strides[kMaxRank];  // bytes
  int64_t sample_stride;      // bytes
  DType from, to;             // to: kF32 or kI32
  float scale, offset;        // kF32 only
};

// Dice is kTversky with alpha = beta = 1/2 and half the epsilon.
struct LossShape {
  int64_t rows, cols;
  Loss loss;
  int32_t from_logits;
  Accuracy accuracy;
  Reduction reduction;
  int32_t class_balancing;  // binary focal
  int32_t ignores;          // sparse labels: rows labelled ignore_class do not count
  int32_t by_row;           // Tversky: a loss of each row, not one of the batch
  int32_t class_alpha;      // focal: alpha is an operand, [cols]
  int64_t ignore_class;
  int64_t rows_per_weight;  // w [rows / rows_per_weight]; 0: every row weighs 1
  double weight;            // of the gradient
  double label_smoothing;
  double alpha, beta;  // focal: alpha, gamma; Huber: delta; Tversky: alpha, beta
  double epsilon;      // Tversky
};

// What Keras's optimizers share.
struct UpdateRule {
  double weight_decay;  // w -= rate weight_decay w, before the update
  double ema_momentum;
  float clip_value;       // of each element of the gradient; 0: none
  int32_t use_ema;        // average = ema_momentum average + (1 - ema_momentum) w, after the update
  int32_t ema_overwrite;  // w = average after every so many updates; 0: never
  int32_t accumulation;   // gradients that make one update; 0 is 1
};

constexpr int kMaxSlots = 4;  // arrays of an optimizer, the average and nothing else among them

// One flat pass over a range of the parameters; Keras's formulas. The slots of the formula come first, the
// average after them. Betas are double: 1 - beta is what the formula needs, and in float32 it would be off by
// 1e-5 of itself.
struct OptimizerShape {
  int64_t count;
  UpdateRule rule;
  Optimizer optimizer;
  int32_t slots;  // of the formula
  int32_t nesterov, centered, amsgrad;
  float momentum;  // RMSprop's too
  float epsilon;
  double beta_1, beta_2;                  // beta_2: rho of RMSprop and Adadelta
  double rate_ratio;                      // the rate is this times the model's
  double l1, l2, shrinkage, beta, power;  // Ftrl; power: of the rate, 0 or below
};

// Muon on one matrix [rows, cols] of the parameters. Operands as of an optimizer with one slot, the momentum.
struct MuonShape {
  int64_t rows, cols;
  UpdateRule rule;
  float momentum;
  int32_t nesterov, iterations;
  float a, b, c;      // X <- a X + (b A + c A^2) X, A = X X^T
  double adjustment;  // of the rate
};

// gradient *= limit / max(norm, limit), by the Euclidean norm of all of it. On steps that make no update
// nothing is done.
struct ClipNormShape {
  int64_t count;
  double limit;
  int32_t accumulation;
};

// sum += gradient; in the step that completes a mean gradient = (gradient + sum) / accumulation, sum = 0.
struct AccumulateShape {
  int64_t count;
  int32_t accumulation;
};

// What changes from step to step and is not data: read by kernels, on a GPU from device memory.
struct RunScalars {
  uint64_t step;  // optimizer steps already taken
  uint64_t seed;
  float learning_rate;
};

// Written by the loss step for one batch, whose loss is loss / divisor, or 0 when the divisor is.
struct LossResult {
  double loss;  // weighted sum over the rows
  double divisor;
  int64_t correct;  // rows that the accuracy counts
};

}  // namespace fastcnn
