// SPDX-License-Identifier: Apache-2.0
// The cosine that turns uniform numbers into normal deviates, in the device's vocabulary.
#pragma once
#include "functions.h"

FASTCNN_FORMULAS_BEGIN

// cos(2 pi t), |t| <= 1 a multiple of 2^-24, so that no step before the last product rounds; 1.6 ulp of 1 at
// most, of the result itself where it is small. Polynomials of Cephes.
FASTCNN_INLINE Vec cos_turns(Vec t) {
  const Vec round = broadcast(12582912.0f);  // as in reduced()
  const Vec shifted = fma(t, broadcast(4.0f), round), quarters = shifted - round;
  const IVec quadrant = (vec_to_bits(shifted) - vec_to_bits(round)) & 3;
  const Vec a = (t - quarters * 0.25f) * 6.28318530718f, z = a * a;
  const Vec s = fma(polynomial(z, {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f}), z * a, a);
  const Vec c = fma(polynomial(z, {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f}),
                    z * z, fma(z, broadcast(-0.5f), broadcast(1.0f)));
  const Vec y = (quadrant & 1) != 0 ? s : c;
  return ((quadrant == 1) | (quadrant == 2)) ? -y : y;
}

FASTCNN_FORMULAS_END
