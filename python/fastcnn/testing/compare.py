# SPDX-License-Identifier: Apache-2.0
"""Judging a float32 result against the float64 reference of the same inputs, without a tolerance picked by
hand.

Every bound follows from the unit roundoff u, the number of terms of a sum and the sum S of the absolute
values of its terms. Whatever the order of a sum, |got - wanted| <= gamma(terms) S (a theorem); as roundings
are as often up as down, a sound kernel also stays within (4 + 6 sqrt(terms)) u S (Higham and Mary, SIAM J.
Sci. Comput. 41, 2019). The smaller one is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]

UNIT = 2.0**-24  # unit roundoff of float32
SUBNORMAL = 2.0**-149  # the least float32 above zero

# What the kernels promise of their own transcendental functions (csrc/cpu/kernels/vec_math.h), in units in
# the last place; one of these is at most 2 u of the result.
EXP_ULPS, LOG_ULPS, LOG1P_ULPS, TANH_ULPS, SIGMOID_ULPS = 1.1, 0.9, 2.4, 2.5, 2.5
EXPM1_ULPS, SOFTPLUS_ULPS, NORMAL_ULPS = 1.1, 2.1, 5.8


def gamma(roundings: float) -> float:
    """Relative error of a product of `roundings` factors (1 + d) with |d| <= u."""
    return roundings * UNIT / (1.0 - roundings * UNIT)


def sum_bound(wanted: ArrayLike, magnitude: ArrayLike, terms: int) -> Real:
    """Error of a sum of `terms` products, `magnitude` being the sum of their absolute values."""
    factor = min(gamma(terms + 2), (4.0 + 6.0 * np.sqrt(terms)) * UNIT)
    bound: Real = factor * np.asarray(magnitude, np.float64) + UNIT * np.abs(wanted) + terms * SUBNORMAL
    return bound


def rounding_bound(wanted: ArrayLike, roundings: float) -> Real:
    """Error of a chain of operations without cancellation."""
    bound: Real = gamma(roundings) * np.abs(np.asarray(wanted, np.float64)) + roundings * SUBNORMAL
    return bound


def activation_bound(y: ArrayLike, input_bound: ArrayLike, name: str | None) -> Real:
    """Error of ``activation(v)`` when v itself is off by `input_bound`: slope at most 1 (sigmoid 1/4)."""
    value, given = np.abs(np.asarray(y, np.float64)), np.asarray(input_bound, np.float64)
    ulps = {"sigmoid": SIGMOID_ULPS, "tanh": TANH_ULPS}.get(name or "", 0.0)
    slope = 0.25 if name == "sigmoid" else 1.0
    bound: Real = slope * given + gamma(2.0 * ulps) * value + ulps * SUBNORMAL
    return bound


def softmax_bound(x: ArrayLike, y: ArrayLike) -> Real:
    """Error of softmax: of the differences to the maximum, the exponentials, their sum and a division."""
    logits, value = np.asarray(x, np.float64), np.asarray(y, np.float64)
    distance = logits.max(axis=-1, keepdims=True) - logits
    mean_distance = (value * distance).sum(axis=-1, keepdims=True)
    roundings = distance + mean_distance + 4.0 * EXP_ULPS + logits.shape[-1] + 2.0
    bound: Real = np.expm1(roundings * UNIT) * value + 4.0 * SUBNORMAL
    return bound


def crossentropy_bound(target: ArrayLike, logits: ArrayLike) -> float:
    """Error of the mean of ``-sum_c target log softmax(logits)``, the sum over the rows being in double
    precision.

    Of each row: the logarithm of the sum of exponentials, and the weighted sum of the terms.
    """
    x, t = np.asarray(logits, np.float64), np.asarray(target, np.float64)
    distance = x.max(axis=-1, keepdims=True) - x
    weights = np.exp(-distance)
    total, classes = weights.sum(axis=-1), x.shape[-1]
    log_total = np.log(total)
    roundings = (
        (weights * distance).sum(axis=-1) / total + 2.0 * EXP_ULPS + classes + 2.0 * LOG_ULPS * log_total
    )
    terms = (np.abs(t) * (distance + log_total[:, None])).sum(axis=-1)
    return float((UNIT * roundings * t.sum(axis=-1) + gamma(classes + 2) * terms).mean() + UNIT)


def assert_within(got: NDArray[Any], wanted: ArrayLike, bound: ArrayLike, what: str) -> None:
    """Fail with the worst element if an error exceeds its bound; NaN must meet NaN, infinity infinity."""
    expected = np.asarray(wanted, np.float64)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, wanted {expected.shape}"
    assert got.dtype == np.float32, f"{what}: dtype {got.dtype}, wanted float32"
    limit = np.broadcast_to(np.asarray(bound, np.float64), expected.shape)
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - expected)
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        excess = np.where(same, 0.0, error / limit)
    excess = np.where(np.isnan(excess), np.inf, excess)
    if excess.size and excess.max() > 1.0:
        raise AssertionError(f"{what}: {_describe(got, expected, limit, excess)}")


def assert_exact(got: NDArray[Any], wanted: ArrayLike, what: str) -> None:
    """Fail unless every element is equal. A reference that is zero everywhere proves nothing: it fails."""
    expected = np.asarray(wanted, np.float64)
    assert expected.size == 0 or np.any(expected), f"{what}: the reference is zero everywhere"
    assert_within(got, expected, 0.5 * SUBNORMAL, what)


def assert_same_bits(got: NDArray[Any], wanted: NDArray[Any], what: str) -> None:
    """Fail unless both float32 arrays hold the same bits."""
    assert got.dtype == wanted.dtype == np.float32, f"{what}: dtypes {got.dtype} and {wanted.dtype}"
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, wanted {wanted.shape}"
    left, right = (np.ascontiguousarray(a).view(np.uint32) for a in (got, wanted))
    different = np.argwhere(left != right)
    if different.size:
        first = tuple(int(i) for i in different[0])
        raise AssertionError(
            f"{what}: {len(different)} of {got.size} elements differ in bits; first at {first}: "
            f"{got[first]!r} and {wanted[first]!r}"
        )


def _describe(got: NDArray[Any], expected: Real, limit: Real, excess: Real) -> str:
    worst = np.unravel_index(int(excess.argmax()), excess.shape)
    return (
        f"{int((excess > 1.0).sum())} of {excess.size} elements outside the bound; worst at "
        f"{tuple(int(i) for i in worst)}: got {got[worst]!r}, wanted {expected[worst]!r}, "
        f"bound {limit[worst]:.3g} ({excess[worst]:.3g} times)"
    )
