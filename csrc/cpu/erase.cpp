// SPDX-License-Identifier: Apache-2.0
// A rectangle of each image is painted over: sqrt(share) of each side, anywhere, with a probability that is
// drawn as well. Noise follows from an element's place in the batch; a row of it begins at a whole block of
// words.
#include <cstring>

#include "../base/erase_box.h"
#include "kernels.h"
#include "kernels/adjust.h"
#include "kernels/random.h"
#include "repeat.h"

namespace fastcnn {
namespace cpu {

namespace {

constexpr int64_t kBlock = 16;  // numbers that are drawn together

// Where an array would begin whose element i this is.
float* origin_of(float* element, int64_t i) {
  return reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(element) - uintptr_t(i) * sizeof(float));
}

// A row of the widest box, and of the blocks that it touches.
int64_t paint_floats(const EraseShape& s) { return s.w * s.c + 2 * kBlock; }

}  // namespace

bool supports_erase_box(const OpDescriptor&) { return true; }

void prepare_erase_box(Prepared* p) {
  const EraseShape& s = p->op.erase;
  const double count = double(s.n) * double(s.h) * double(s.w) * double(s.c);
  set_cost(p, 0, 8 * count);
  p->scratch_bytes = sizeof(float) * 2 * paint_floats(s);
}

void run_erase_box(const Prepared& p, const Operands& operands, Context& context) {
  const EraseShape& s = p.op.erase;
  const int64_t pitch = s.w * s.c, size = s.h * pitch;
  const DrawSource noise = {s.draw.seed, s.draw.op + 1, s.draw.seeded};
  const Draw draw = {seed_of(noise, *context.scalars), context.scalars->step, noise.op, 0};
  parallel_for(*context.member, s.n, [&](int64_t image) {
    float* const zeros = static_cast<float*>(context.member->scratch(p.scratch_bytes));
    float* const paint = zeros + paint_floats(s);
    const EraseBox box = box_of(s, *context.scalars, image);
    float* const y = output(operands, 0) + image * size;
    std::memcpy(y, input(operands, 0) + image * size, sizeof(float) * size);
    const int64_t count = (box.right - box.left) * s.c;
    if (count <= 0) return;
    if (s.noise)
      std::memset(zeros, 0, sizeof(float) * paint_floats(s));
    else
      for (int64_t i = 0; i < count; ++i) paint[i] = s.fill[s.fills > 1 ? i % s.c : 0];
    for (int64_t row = box.top; row < box.bottom; ++row) {
      const int64_t at = row * pitch + box.left * s.c, first = image * size + at;
      const int64_t begin = first / kBlock * kBlock;
      if (s.noise) {
        kernels().random->gaussian({origin_of(zeros, begin), origin_of(paint, begin), begin, first + count},
                                   draw, Noise::kAdded, s.maximum);
        kernels().adjust->adjust({1, s.minimum, s.maximum, zeros, zeros}, paint + (first - begin), y + at,
                                 count);
      } else {
        std::memcpy(y + at, paint, sizeof(float) * count);
      }
    }
  });
}

}  // namespace cpu
}  // namespace fastcnn
