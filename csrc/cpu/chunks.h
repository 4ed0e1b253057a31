// SPDX-License-Identifier: Apache-2.0
// Shared by the steps that memory bounds: work in chunks whose size never depends on the number of threads.
#pragma once
#include "rows.h"

namespace fastcnn {
namespace cpu {

constexpr int64_t kChunk = 16384;              // elements: two or three arrays of them stay in L2
constexpr double kParallelBytes = 128 * 1024;  // moved by one core in the time that waking and waiting cost
// From here on an output is written past the caches: the next step would find little of it there.
constexpr double kStreamBytes = 16 << 20;
inline bool streams(double elements) { return sizeof(float) * elements >= kStreamBytes; }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many rows of `row_elements` make a chunk.
inline int64_t rows_per_chunk(int64_t row_elements) {
  return row_elements < kChunk ? kChunk / row_elements : 1;
}

// f(begin, end) for each chunk of [0, count) on the whole team; of its own part of [0, count) by a member
// that has one.
template <class F>
void for_each_chunk(Context& context, int64_t count, int64_t chunk, F f) {
  Member& me = *context.member;
  const int64_t first = me.parts ? count * me.part / me.parts : 0;
  const int64_t last = me.parts ? count * (me.part + 1) / me.parts : count;
  Team nobody;
  Member alone{&nobody, 0, 1};
  parallel_for(me.parts ? alone : me, ceil_div(last - first, chunk), [&](int64_t i) {
    const int64_t begin = first + i * chunk, end = begin + chunk < last ? begin + chunk : last;
    f(begin, end);
  });
}

// The same for what is computed number by number into y, whose cache lines are left whole: NumPy's memory
// begins 16 bytes into one, from where each vector lay in two, and none could pass the caches.
template <class F>
void for_each_chunk_of(Context& context, const float* y, int64_t count, F f) {
  const int64_t before = -(reinterpret_cast<intptr_t>(y) / int64_t(sizeof(float))) & 15;
  const int64_t lead = context.member->parts || before >= count ? 0 : before;
  for_each_chunk(context, count - lead, kChunk, [&](int64_t begin, int64_t end) {
    if (begin == 0 && lead) f(0, lead);
    f(begin + lead, end + lead);
  });
}

// A step without workspace and scratch.
inline void set_cost(Prepared* p, double flops, double bytes) {
  p->workspace_bytes = p->scratch_bytes = 0;
  p->flops = flops;
  p->bytes = bytes;
  p->parallel = bytes >= kParallelBytes;
}

inline const float* input(const Operands& operands, int i) {
  return static_cast<const float*>(operands.in[i]);
}
inline float* output(const Operands& operands, int i) { return static_cast<float*>(operands.out[i]); }

}  // namespace cpu
}  // namespace fastcnn
