// SPDX-License-Identifier: Apache-2.0
// The blocking of the direct convolution (conv2d.cpp): its choice is in conv2d_blocking.cpp.
#pragma once
#include "blocking.h"

namespace fastcnn {
namespace cpu {

enum class Input : int32_t { kBorrowed, kPaddedWhole, kPaddedBand };

// The blocking, from the shape alone. A task is a band of rows of one image, or some whole images, times a
// part of all panels; with private panels it is a few of them and all pixels, and packs them itself unless
// packed ones are kept.
struct Direct : Correlation {
  int64_t pad_left, columns;            // columns of the input with its zeros
  int64_t pixel;                        // floats of one, of what tiles read
  int64_t panel, panels, panel_floats;  // columns of a panel, panels of a group
  int64_t bands, images, parts;
  int64_t band_rows_in;  // rows of a padded band
  int64_t turn;          // pixels that all panels meet before the next; 0: all those of the task
  int64_t pool;          // rows of a window of the max pooling that follows; 1: none
  int64_t part;          // steps of a sum that are taken together: all, but of long pointwise ones
  int32_t joined;        // pointwise: rows follow each other in inputs and outputs, a strip spans them
  int32_t merged;        // the taps of a filter row and the channels are one contiguous run
  int32_t apart;         // a copy has the channels of a group by themselves, one plane after the other
  int32_t stacked;       // a tile is a row, and a strip rows that meet the same taps
  int32_t closed;        // the same, whose tiles take three taps without the zeros on their sides
  int32_t framed;   // columns that some tap leaves are strips down the rows, the others strips along them
  int32_t clipped;  // columns beyond the input are left out of the sums, one tap after the other
  int32_t private_panels, kept_panels;
  int32_t most_rows;
  Input input;
  int32_t pairs;
  const TileKernels* tile;  // of floats
  // Of pairs whose descriptor says bfloat16, not float32, as its precision:
  int32_t rounds;          // the input is floats, of which a task makes pairs as it copies its band
  int32_t asks_for_input;  // a task, for that of the next one
};

// A band of the input, the outputs that it makes with what their epilogue meets, and the panel that it meets
// stay in half an L2 cache of 1 MB. Without the outputs, whose lines a panel writes far apart, 64 -> 256
// channels pointwise took a fifth longer.
constexpr int64_t kBandBytes = 256 << 10;

Direct plan_direct(const OpDescriptor&, bool dgrad);

inline int64_t tasks_of(const Direct& d) { return ceil_div(d.n, d.images) * d.bands * d.parts; }

// Outputs of a row that meet tap s within the input.
inline Range columns_inside(const Direct& d, const Axis& w, int64_t s) {
  return outputs_inside({0, w.outputs}, w.step, w.first + s * w.spread, d.in_w);
}

// Outputs of a row all of whose taps lie within the input; it may be none.
inline Range columns_within(const Direct& d, const Axis& w) {
  const Range first = columns_inside(d, w, 0), last = columns_inside(d, w, w.taps - 1);
  const int64_t begin = std::max(first.begin, last.begin);
  return {begin, std::max(begin, std::min(first.end, last.end))};
}

inline size_t weight_bytes(const Direct& d) {
  return d.private_panels && !d.kept_panels ? 0 : float_bytes(d.groups * d.panels * d.panel_floats);
}
inline size_t padded_bytes(const Direct& d) {
  return d.input == Input::kPaddedWhole ? float_bytes(d.n * d.in_h * d.columns * d.in_c) : 0;
}
// That part of a private panel, and of all those of a task.
inline int64_t part_floats(const Direct& d) { return d.part * d.panel; }
inline size_t panel_bytes(const Direct& d) {
  return weight_bytes(d) ? 0 : float_bytes(ceil_div(d.groups * d.panels, d.parts) * part_floats(d));
}
inline size_t band_bytes(const Direct& d) {
  return d.input == Input::kPaddedBand ? float_bytes(d.images * d.band_rows_in * d.columns * d.in_c) : 0;
}
// The outputs of a task that are pooled.
inline size_t unpooled_bytes(const Direct& d) {
  const int64_t rows = ceil_div(d.rows / d.pool, d.bands) * d.pool;
  return d.pool > 1 ? float_bytes(d.images * rows * d.out_w * d.out_c) : 0;
}
inline size_t scratch_bytes(const Direct& d) { return panel_bytes(d) + band_bytes(d) + unpooled_bytes(d); }

}  // namespace cpu
}  // namespace fastcnn
