// SPDX-License-Identifier: Apache-2.0
// A task of the direct convolution at the panels that it meets: strips of register tiles, row after row.
#pragma once
#include "conv2d_direct.h"

namespace fastcnn {
namespace cpu {

// Rows of the input as a task sees them: image i's row h of group g at data + i image + g group + (h - first)
// row.
struct StripInput {
  const float* data;
  int64_t image, group, row, first;
};

struct StripOutput {
  const float *bias, *mask, *residual;
  float* y;
  int32_t relu;
};

// Output rows of every phase, of images n to n + images.
struct TaskPixels {
  int64_t n, images;
  Range rows;
};

// Floats that follow each other in memory.
struct FloatRun {
  const float* data;
  int64_t count;
};

// What a task reads and writes, and the pixels that it does.
struct StripTask {
  StripInput x;
  StripOutput to;
  TaskPixels at;
  FloatRun next_x;  // of the next task: fetched meanwhile, or nothing
  Range next_y;     // likewise, in all outputs
};

// Panels of a turn of a task and where they lie, `each` floats apart; what is fetched meanwhile, or nothing.
struct TurnPanels {
  Range range;
  const float* weights;
  int64_t each;
  FloatRun next;
  int64_t turn, turns;
};

// Steps of the sums of some panels, with their weights; parts of them where pixels are joined.
void run_strips(const Direct&, const StripTask&, const TurnPanels&, Range steps);

}  // namespace cpu
}  // namespace fastcnn
