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

// A task: some steps of the sums of some panels with their weights, turn after turn; parts of them where
// pixels are joined.
class Strips {
 public:
  Strips(const Direct&, const StripTask&);
  void run(const TurnPanels&, Range steps);

 private:
  Axis phase_h(int64_t i) const;
  Axis phase_w(int64_t j) const;
  int64_t strips_of_image() const;
  void begin_phase(const Axis& h, const Axis& w);
  void run_image(const Axis& h, const Axis& w, int64_t image, const float* weights);
  void run_framed(const Axis& h, const Axis& w, int64_t image, const float* weights);
  void run_clipped(const Axis& w, const float* a, const float* b, int64_t out);
  void run_no_tap(const Axis& w, const float* b, int64_t out);
  void run_strip(const float* a, const float* b, int64_t out, int64_t count);

  // Those of strides 1 and 2 are worked out once for all turns.
  static constexpr int64_t kKeptPhases = 2;

  const Direct& d;
  const StripTask& task;
  TurnPanels panels;
  Range steps;
  const decltype(TileKernels::strip) strip;
  Axis kept_h[kKeptPhases], kept_w[kKeptPhases];
  bool begins, ends;  // the sums
  bool adds;          // the residual
  bool asks_x;        // as it does for outputs
  Tile t = {};
  // What the epilogue meets lies as outputs do, and is as far: a strip asks for some of one of these arrays.
  const float* far[3];
  int64_t arrays = 1, outputs;  // with x, if it is asked for so; without
  int64_t strips;               // of a turn, or more
  int64_t pieces;               // of joined pixels, so that there are as many strips for each array
  int64_t shares;               // of an array
  int64_t number;               // of the strip
  int most_rows;                // of a tile
};

}  // namespace cpu
}  // namespace fastcnn
