// SPDX-License-Identifier: Apache-2.0
// The terms of y = (sum |x|^p)^(1/p) and of its gradient, in the device's vocabulary: with p = 1 and p = 2 as
// they stand, for any other p divided by the greatest |x|, so that no power overflows or vanishes.
#pragma once
#include "functions.h"

// Of a function that a device may rather call.
#ifndef FASTCNN_ALONE
#define FASTCNN_ALONE FASTCNN_INLINE
#endif

FASTCNN_FORMULAS_BEGIN

FASTCNN_ALONE Vec exp_of_log(Vec t, float power) { return exp(log(t) * power); }

FASTCNN_ALONE Vec root_of(Vec t, float power) { return exp(log(t) / power); }

FASTCNN_INLINE Vec product_of(Vec t, int whole) {
  Vec y = t;
  for (int i = 1; i < whole; ++i) y *= t;
  return y;
}

// t^power of t in [0, 1], and NaN of NaN. A small whole power is a product.
FASTCNN_INLINE Vec power_of(Vec t, float power) {
  const int whole = power <= 4 ? (int)power : 0;
  return whole && (float)whole == power ? product_of(t, whole) : exp_of_log(t, power);
}

struct LpAbs {
  static constexpr bool kScaled = false;
  FASTCNN_INLINED Vec term(Vec x, Vec) const { return abs(x); }
  FASTCNN_INLINED Vec finish(Vec sum, Vec) const { return sum; }
  FASTCNN_INLINED Vec factor(Vec, Vec dy, Vec y) const { return y == Vec{} ? Vec{} : dy; }
  FASTCNN_INLINED Vec gradient(Vec sum, Vec x) const {
    return x > Vec{} ? sum : (x < Vec{} ? -sum : x);  // of 0 it is 0, of NaN NaN
  }
};

struct LpSquare {
  static constexpr bool kScaled = false;
  FASTCNN_INLINED Vec term(Vec x, Vec) const { return x * x; }
  FASTCNN_INLINED Vec finish(Vec sum, Vec) const { return sqrt(sum); }
  FASTCNN_INLINED Vec factor(Vec, Vec dy, Vec y) const { return y == Vec{} ? Vec{} : dy / y; }
  FASTCNN_INLINED Vec gradient(Vec sum, Vec x) const { return sum * x; }
};

struct LpPower {
  static constexpr bool kScaled = true;
  float p;
  // Of the greatest itself exactly 1, also where that is infinite.
  FASTCNN_INLINED Vec ratio(Vec x, Vec greatest) const {
    const Vec a = abs(x);
    return a == greatest ? broadcast(1.0f) : a / greatest;
  }
  FASTCNN_INLINED Vec term(Vec x, Vec greatest) const { return power_of(ratio(x, greatest), p); }
  FASTCNN_INLINED Vec finish(Vec sum, Vec greatest) const {
    return greatest == Vec{} ? greatest : greatest * root_of(sum, p);
  }
  FASTCNN_INLINED Vec factor(Vec x, Vec dy, Vec y) const {
    return y == Vec{} ? Vec{} : dy * power_of(abs(x) / y, p - 1.0f);
  }
  FASTCNN_INLINED Vec gradient(Vec sum, Vec x) const { return x < Vec{} ? -sum : sum; }
};

FASTCNN_FORMULAS_END
