# SPDX-License-Identifier: Apache-2.0
"""Calls of activations, with the errors that their formulas allow.

Each row of the two tables counts the roundings of the kernel's formula (a function that is off by e units in
the last place counts 2 e) and gives what they act on: the sum of the absolute values of the terms where the
formula subtracts, else the result itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn.testing import cases, compare, reference
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import RowsCase
from fastcnn.testing.compare import (
    EXP_ULPS,
    EXPM1_ULPS,
    LOG_ULPS,
    NORMAL_ULPS,
    SIGMOID_ULPS,
    SOFTPLUS_ULPS,
    TANH_ULPS,
)  # fmt: skip
from fastcnn.testing.fill import F32


class Error(NamedTuple):
    """`roundings` of the magnitude: a function of (x, y) or (x or y, dx, |dy|), and of the parameters."""

    roundings: float
    magnitude: Callable[..., Any] | None = None


EXP, EXPM1, SOFTPLUS, NORMAL, SIGMOID, TANH = (
    2.0 * ulps for ulps in (EXP_ULPS, EXPM1_ULPS, SOFTPLUS_ULPS, NORMAL_ULPS, SIGMOID_ULPS, TANH_ULPS)
)


def _gelu_slope(x: Real) -> Real:
    return 1.6 + 0.22 * x * x


def _gelu_exponent(x: Real) -> Real:
    return np.abs(x) * (1.6 + 0.0714 * x * x)


# An error of the argument of exp() or sigmoid() is one of the result, times the argument.
FORWARD: dict[str, Error] = {
    "relu": Error(0),
    "relu6": Error(0),
    "leaky_relu": Error(2),  # the slope is rounded to float32 too
    "general_relu": Error(4, lambda x, y, negative_slope=0.0, max_value=None, threshold=0.0: np.abs(y)
                          + negative_slope * (np.abs(x) + threshold)),
    "elu": Error(EXPM1 + 2),
    "selu": Error(EXPM1 + 2),
    "celu": Error(EXPM1 + 6, lambda x, y, alpha=1.0: np.abs(y) * (1.0 + np.abs(np.minimum(x, 0.0)) / alpha)),
    "gelu": Error(max(NORMAL + 1, SIGMOID + 8), lambda x, y, approximate=True: np.abs(y)
                  * (1.0 + (_gelu_exponent(x) if approximate else 0.0))),
    "silu": Error(SIGMOID + 1),
    "mish": Error(2 * EXP + 7),
    "sigmoid": Error(SIGMOID),
    "tanh": Error(TANH),
    "softplus": Error(SOFTPLUS + 1),
    "softsign": Error(2),
    "log_sigmoid": Error(SOFTPLUS + 1),
    "exponential": Error(EXP),
    "hard_sigmoid": Error(2, lambda x, y: np.abs(y) + (x > -3)),
    "hard_silu": Error(3, lambda x, y: np.abs(y) + (x > -3) * np.abs(x)),
    "hard_tanh": Error(0),
    "hard_shrink": Error(0),
    "soft_shrink": Error(2, lambda x, y, threshold=0.5: (np.abs(x) + threshold) * (y != 0)),
    "tanh_shrink": Error(max(TANH + 2, 12), lambda x, y:
                         np.where(np.abs(x) < 0.6, np.abs(y), np.abs(x) + 1.0)),
    "threshold": Error(1),  # of the default value
    "sparse_plus": Error(4, lambda x, y: np.abs(y) + np.clip(x + 1.0, 0.0, 2.0)),
    "sparse_sigmoid": Error(2, lambda x, y: np.abs(y) + (x > -1)),
    "squareplus": Error(7),
}  # fmt: skip

BACKWARD: dict[str, Error] = {
    "relu": Error(0),
    "relu6": Error(0),
    "leaky_relu": Error(2),
    "general_relu": Error(2),
    "elu": Error(3, lambda y, dx, dy, alpha=1.0: dy * (np.abs(y) + alpha)),
    "selu": Error(4, lambda y, dx, dy: dy * (np.abs(y) + 1.8)),
    "celu": Error(4, lambda y, dx, dy, alpha=1.0: dy * (np.abs(y) / alpha + 1.0)),
    "gelu": Error(max(NORMAL + 4, 2 * SIGMOID + 16), lambda x, dx, dy, approximate=True: dy
                  * _gelu_terms(x, approximate)),
    "silu": Error(2 * SIGMOID + 4, lambda x, dx, dy: dy * reference.sigmoid(x)
                  * (1.0 + np.abs(x) * reference.sigmoid(-x))),
    "mish": Error(5 * EXP + 22, lambda x, dx, dy: dy * _mish_terms(x)),
    "sigmoid": Error(4),
    "tanh": Error(4, lambda y, dx, dy: dy * (1.0 + y * y)),
    "softplus": Error(EXPM1 + 1),
    "softsign": Error(4),
    "log_sigmoid": Error(EXPM1 + 1),
    "exponential": Error(1),
    "hard_sigmoid": Error(1),
    "hard_silu": Error(4, lambda x, dx, dy: np.abs(dx) + dy * (np.abs(x) < 3)),
    "hard_tanh": Error(0),
    "hard_shrink": Error(0),
    "soft_shrink": Error(0),
    "tanh_shrink": Error(2 * TANH + 2),
    "threshold": Error(0),
    "sparse_plus": Error(3, lambda x, dx, dy: np.abs(dx) + dy * (x > -1)),
    "sparse_sigmoid": Error(0),
    "squareplus": Error(6),
}  # fmt: skip

# One set of unusual parameters for each that has any.
PARAMETERS: dict[str, dict[str, Any]] = {
    "leaky_relu": {"negative_slope": 0.3},
    "general_relu": {"negative_slope": 0.25, "max_value": 1.5, "threshold": 0.5},
    "elu": {"alpha": 0.7},
    "celu": {"alpha": 1.3},
    "gelu": {"approximate": False},
    "hard_shrink": {"threshold": 0.75},
    "soft_shrink": {"threshold": 0.75},
    "threshold": {"threshold": 0.25, "default_value": -3.0},
    "squareplus": {"b": 2.5},
}

# Those whose results and gradients are exact for whole numbers (and not 0 for all of them).
EXACT = ("relu", "relu6", "hard_shrink", "soft_shrink", "threshold")


def _gelu_terms(x: Real, approximate: bool) -> Real:
    if not approximate:
        return reference.normal(x) + np.abs(x) * reference.normal_density(x)
    v = _gelu_exponent(x) * np.sign(x)
    s, t = reference.sigmoid(v), reference.sigmoid(-v)
    terms: Real = (s + np.abs(x) * s * t * _gelu_slope(x)) * (1.0 + np.abs(v))
    return terms


def _mish_terms(x: Real) -> Real:
    w = np.tanh(reference.softplus(x))
    terms: Real = w + np.abs(x) * reference.sigmoid(x) / np.cosh(reference.softplus(x)) ** 2
    return terms


def forward_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of an elementwise activation."""
    error, x = FORWARD[call.op], arrays["x"].astype(np.float64)
    magnitude = np.abs(wanted) if error.magnitude is None else error.magnitude(x, wanted, **call.options)
    return _bound(magnitude, error.roundings, np.abs(x))


def backward_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of the gradient of an elementwise activation."""
    error = BACKWARD[call.op.removesuffix("_bwd")]
    saved = next(array for name, array in arrays.items() if name != "dy").astype(np.float64)
    dy, magnitude = np.abs(arrays["dy"].astype(np.float64)), np.abs(wanted)
    if error.magnitude is not None:
        magnitude = error.magnitude(saved, wanted, dy, **call.options)
    return _bound(magnitude, error.roundings, dy * (1.0 + np.abs(saved)))


def _bound(magnitude: Real, roundings: float, factor: Real) -> Real:
    """A factor that is subnormal has lost digits; the other one enlarges that."""
    bound: Real = compare.rounding_bound(magnitude, roundings) + roundings * factor * compare.SUBNORMAL
    return bound


def activation_calls(case: RowsCase, name: str, options: dict[str, Any] | None = None) -> Iterator[Call]:
    """An elementwise activation and its gradient; with the default parameters unless some are given."""
    shape = (case.rows, case.cols)
    options = options or (PARAMETERS[name] if name == "threshold" else {})
    exact = name in EXACT
    yield Call(name, case, {"x": shape}, options, shape, exact=exact, error=forward_error)
    backward = getattr(reference, f"{name}_bwd")
    saved = "x" if reference.saves_x(backward) else "y"
    yield Call(
        f"{name}_bwd", case, {"dy": shape, saved: shape}, options, shape, exact=exact, error=backward_error,
        derive=None if saved == "x" else _output_of_forward,
    )  # fmt: skip


def softmax_calls(case: RowsCase) -> Iterator[Call]:
    """Softmax, its logarithm, and their gradients."""
    shape = (case.rows, case.cols)
    for name, forward, backward in (
        ("softmax", _softmax_error, _softmax_bwd_error),
        ("log_softmax", _log_softmax_error, _log_softmax_bwd_error),
    ):
        yield Call(name, case, {"x": shape}, {}, shape, error=forward)
        yield Call(
            f"{name}_bwd", case, {"dy": shape, "y": shape}, {}, shape, case.cols + 2,
            error=backward, derive=_output_of_forward,
        )  # fmt: skip


def rows_calls(case: RowsCase) -> Iterator[Call]:
    """Every activation, forward and backward."""
    for name in FORWARD:
        yield from activation_calls(case, name)
        if name in PARAMETERS and name != "threshold":
            yield from activation_calls(case, name, PARAMETERS[name])
    yield from softmax_calls(case)


def _output_of_forward(call: Call, arrays: dict[str, F32]) -> dict[str, F32]:
    """An output that a backward pass takes is what its forward pass would give."""
    y = getattr(reference, call.op.removesuffix("_bwd"))(arrays["y"], **call.options)
    return {**arrays, "y": y.astype(np.float32)}


def _softmax_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    return compare.softmax_bound(arrays["x"], wanted)


def _softmax_bwd_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of the terms of ``y (dy - dy.y)``."""
    dy, y = np.abs(arrays["dy"].astype(np.float64)), np.abs(arrays["y"].astype(np.float64))
    terms: Real = y * (dy + (dy * y).sum(axis=-1, keepdims=True))
    return compare.sum_bound(wanted, terms, call.terms)


def _log_softmax_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of the distance to the maximum, the logarithm of the sum of exponentials, and their difference."""
    x = arrays["x"].astype(np.float64)
    distance = x.max(axis=-1, keepdims=True) - x
    log_sum = np.log(np.exp(-distance).sum(axis=-1, keepdims=True))
    mean_distance = (np.exp(wanted) * distance).sum(axis=-1, keepdims=True)
    roundings = distance + mean_distance + EXP + x.shape[-1] + 2.0 * LOG_ULPS * log_sum + np.abs(wanted)
    return compare.rounding_bound(roundings, 1)


def _log_softmax_bwd_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of the terms of ``dy - exp(y) sum(dy)``."""
    dy, y = np.abs(arrays["dy"].astype(np.float64)), arrays["y"].astype(np.float64)
    terms: Real = dy + np.exp(y) * dy.sum(axis=-1, keepdims=True)
    return compare.sum_bound(wanted, terms, call.terms + int(EXP) + 1)


SUITE = Suite(
    every=(
        *(call for case in cases.ROWS for call in softmax_calls(case)),
        *(call for case in cases.ROWS for call in activation_calls(case, "relu")),
        *(
            call
            for case in cases.FLAT
            for name in FORWARD
            for call in activation_calls(case, name, PARAMETERS.get(name))
        ),
    ),
    views=tuple(rows_calls(RowsCase(5, 19))),
    parallel=tuple(rows_calls(RowsCase(601, 130))),
)
