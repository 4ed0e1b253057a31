// SPDX-License-Identifier: Apache-2.0
// Normal deviates from pairs of words.
#pragma once
#include "launch.h"

#include "../base/formulas/random.h"

FASTCNN_FORMULAS_BEGIN

// Word w of four; of the pair of words that it belongs to.
FASTCNN_INLINE float normal_deviate(const uint32_t (&words)[4], int w) {
  const float u = (as_numbers(int32_t(words[w & ~1] >> 8)) + 1.0f) * 0x1p-24f;
  const float v = as_numbers(int32_t(words[w | 1] >> 8)) * 0x1p-24f;
  return sqrt(-2.0f * log(u)) * cos_turns(w & 1 ? v - 0.25f : v);
}

FASTCNN_FORMULAS_END
