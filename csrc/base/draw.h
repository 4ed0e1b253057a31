// SPDX-License-Identifier: Apache-2.0
// Random numbers of images: block i of a draw has the counter (i, op, step) and the seed as key. Products,
// sums and square roots in float64, nothing contracted, so that every device draws the same bits.
#pragma once
#include "both.h"
#include "philox.h"
#include "shape.h"

namespace fastcnn {

struct Words {
  uint32_t word[4];
};

FASTCNN_BOTH uint64_t seed_of(const DrawSource& source, const RunScalars& scalars) {
  return source.seeded ? source.seed : scalars.seed;
}

FASTCNN_BOTH Words draw_words(const DrawSource& source, const RunScalars& scalars, int64_t block) {
  const uint64_t seed = seed_of(source, scalars);
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  Words c = {{uint32_t(block), source.op, uint32_t(scalars.step), uint32_t(scalars.step >> 32)}};
  for (int round = 0; round < FASTCNN_PHILOX_ROUNDS; ++round) {
    const uint64_t first = uint64_t{FASTCNN_PHILOX_M0} * c.word[0];
    const uint64_t second = uint64_t{FASTCNN_PHILOX_M1} * c.word[2];
    c = {{uint32_t(second >> 32) ^ c.word[1] ^ k0, uint32_t(second), uint32_t(first >> 32) ^ c.word[3] ^ k1,
          uint32_t(first)}};
    k0 += FASTCNN_PHILOX_W0, k1 += FASTCNN_PHILOX_W1;
  }
  return c;
}

// In [0, 1), a multiple of 2^-24; and between two bounds, the lower one where they are equal.
FASTCNN_BOTH double unit(uint32_t word) { return double(word >> 8) * 0x1p-24; }
FASTCNN_BOTH double between(double low, double high, uint32_t word) {
  return low + (high - low) * unit(word);
}

}  // namespace fastcnn
