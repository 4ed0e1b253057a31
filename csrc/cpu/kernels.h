// SPDX-License-Identifier: Apache-2.0
// The seam between what is compiled once and what is compiled once per ISA: one table of functions per file
// of cpu/kernels/, declared in the header beside it, and here the set of them for one ISA.
#pragma once

namespace fastcnn {
namespace cpu {

// X(field, table type): cpu/kernels/<field>.h declares the type, cpu/kernels/<field>.cpp defines
// <isa>::<field>_kernels.
#define FASTCNN_KERNEL_TABLES(X)             \
  X(tile, TileKernels)                       \
  X(winograd, WinogradKernels)               \
  X(depthwise, DepthwiseKernels)             \
  X(depthwise_wgrad, DepthwiseWgradKernels)  \
  X(lanes, LanesKernels)                     \
  X(lanes_pool, LanesPoolKernels)            \
  X(lanes_winograd, LanesWinogradKernels)    \
  X(pooled, PooledKernels)                   \
  X(pool2d, Pool2dKernels)                   \
  X(pool2d_bwd, Pool2dBwdKernels)            \
  X(max_pool_bwd, MaxPoolBwdKernels)         \
  X(activation, ActivationKernels)           \
  X(max_pool2d_index, MaxPool2dIndexKernels) \
  X(lp_pool2d, LpPool2dKernels)              \
  X(global_pool, GlobalPoolKernels)          \
  X(elementwise, ElementwiseKernels)         \
  X(prelu, PreluKernels)                     \
  X(random, RandomKernels)                   \
  X(affine, AffineKernels)                   \
  X(adjust, AdjustKernels)                   \
  X(softmax, SoftmaxKernels)                 \
  X(loss, LossKernels)                       \
  X(class_loss, ClassLossKernels)            \
  X(channel_norm, ChannelNormKernels)        \
  X(row_norm, RowNormKernels)                \
  X(reduce, ReduceKernels)                   \
  X(optimizer, OptimizerKernels)             \
  X(gather, GatherKernels)                   \
  X(copy, CopyKernels)                       \
  X(binary, BinaryKernels)                   \
  X(resize, ResizeKernels)

#define FASTCNN_DECLARE(field, Type) struct Type;
FASTCNN_KERNEL_TABLES(FASTCNN_DECLARE)
#undef FASTCNN_DECLARE
struct Bfloat16Kernels;

struct CpuKernels {
  const char* name;  // of the ISA
#define FASTCNN_FIELD(field, Type) const Type* field;
  FASTCNN_KERNEL_TABLES(FASTCNN_FIELD)
#undef FASTCNN_FIELD
  const Bfloat16Kernels* bfloat16;  // null: the ISA has no products of bfloat16
};

// The best ISA that the processor and the system support, or the one FASTCNN_ISA names. Fixed at the first
// call.
const CpuKernels& kernels();

// Lanes of a vector of floats that the processor works on at once: all of them or half.
int lanes_at_once();

// The tiles of half as many lanes, of which such a processor works on as many at once; or null.
const TileKernels* half_tiles();

}  // namespace cpu
}  // namespace fastcnn
