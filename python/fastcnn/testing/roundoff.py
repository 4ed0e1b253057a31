# SPDX-License-Identifier: Apache-2.0
"""Numbers that carry the error a float32 computation of them may have made.

A reference evaluated on `Rounded` arrays yields, beside its float64 values, a bound for the same formula in
float32: each operation adds one rounding, each function what csrc/cpu/kernels/vec_math.h promises of it, and
passes on the errors of its arguments by its own condition (running error analysis, Higham, "Accuracy and
Stability of Numerical Algorithms", 3.3). Branches are those that the float64 values take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing import compare
from fastcnn.testing.compare import SUBNORMAL, UNIT

Real = NDArray[np.float64]

# Roundings of a block: 1024 numbers at least 4 at a time (csrc/cpu/kernels/loss.cpp), then their lanes.
BLOCK = 1024 // 4 + 4


class Rounded(np.lib.mixins.NDArrayOperatorsMixin):
    """float64 values and the error that each may have in float32."""

    def __init__(self, value: Any, error: Any = 0.0) -> None:
        self.value = np.asarray(value, np.float64)
        self.error = np.broadcast_to(np.asarray(error, np.float64), self.value.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def __getitem__(self, index: Any) -> Rounded:
        return Rounded(self.value[index], self.error[index])

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Rounded:
        """A sum in any order; of a whole array in blocks, whose sums are added in double precision."""
        magnitude = np.abs(self.value) + self.error
        terms = min(self.value.size, BLOCK) if axis is None else self.value.shape[axis]
        error = self.error.sum(axis=axis, keepdims=keepdims)
        error = error + compare.gamma(terms) * magnitude.sum(axis=axis, keepdims=keepdims)
        return Rounded(self.value.sum(axis=axis, keepdims=keepdims), error)

    def max(self, axis: int, keepdims: bool = False) -> Rounded:
        error = self.error.max(axis=axis, keepdims=keepdims)
        return Rounded(self.value.max(axis=axis, keepdims=keepdims), error)

    def argmax(self, axis: int) -> Any:
        return self.value.argmax(axis=axis)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        if ufunc in _COMPARISONS:
            return ufunc(*(lift(each).value for each in inputs))
        if ufunc is np.power:
            return _power(lift(inputs[0]), inputs[1])
        with np.errstate(all="ignore"):
            return _RULES[ufunc](*map(lift, inputs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if kwargs or function not in _FUNCTIONS:
            return NotImplemented
        return _FUNCTIONS[function](*args)


def lift(value: Any) -> Rounded:
    """A constant: off by its rounding to float32."""
    if isinstance(value, Rounded):
        return value
    exact = np.asarray(value, np.float64)
    return Rounded(exact, np.abs(exact.astype(np.float32) - exact))


def _rounded(value: Real, error: Any, roundings: float = 1.0) -> Rounded:
    """The result of an operation whose arguments' errors amount to `error`."""
    return Rounded(value, error + roundings * (UNIT * (np.abs(value) + error) + SUBNORMAL))


def _multiply(a: Rounded, b: Rounded) -> Rounded:
    error = np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error
    return _rounded(a.value * b.value, error)


def _divide(a: Rounded, b: Rounded) -> Rounded:
    value, left = a.value / b.value, np.abs(b.value) - b.error
    error = np.where(left > 0, (a.error + np.abs(value) * b.error) / left, np.inf)
    return _rounded(value, error)


def _log(x: Rounded) -> Rounded:
    value = np.log(x.value)
    return _rounded(value, -np.log1p(-np.minimum(x.error / np.abs(x.value), 1.0)), 2.0 * compare.LOG_ULPS)


def _power(base: Rounded, exponent: float) -> Rounded:
    """As the kernels take it."""
    if exponent == 0.0:
        return Rounded(np.ones_like(base.value))
    if exponent == 1.0:
        return base
    if exponent == 2.0:
        return _multiply(base, base)
    power: Rounded = np.exp(exponent * np.log(base))
    return power


def _where(condition: Any, a: Any, b: Any) -> Rounded:
    a, b = lift(a), lift(b)
    return Rounded(np.where(condition, a.value, b.value), np.where(condition, a.error, b.error))


def _maximum(a: Rounded, b: Rounded) -> Rounded:
    return Rounded(np.maximum(a.value, b.value), np.maximum(a.error, b.error))


def _clip(x: Rounded, low: float, high: float) -> Rounded:
    bounded = _where(x.value < low, low, x)
    return _where(bounded.value > high, high, bounded)


_COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}

_RULES: dict[Any, Callable[..., Rounded]] = {
    np.add: lambda a, b: _rounded(a.value + b.value, a.error + b.error),
    np.subtract: lambda a, b: _rounded(a.value - b.value, a.error + b.error),
    np.multiply: _multiply,
    np.divide: _divide,
    np.negative: lambda a: Rounded(-a.value, a.error),
    np.absolute: lambda a: Rounded(np.abs(a.value), a.error),
    np.sign: lambda a: Rounded(np.sign(a.value)),  # a difference of floats has the right sign
    np.maximum: _maximum,
    np.exp: lambda a: _rounded(np.exp(a.value), np.exp(a.value) * np.expm1(a.error), 2 * compare.EXP_ULPS),
    np.log: _log,
    np.log1p: lambda a: _rounded(
        np.log1p(a.value), a.error / (1 + a.value - a.error), 2 * compare.LOG1P_ULPS
    ),
    np.tanh: lambda a: _rounded(np.tanh(a.value), a.error, 2 * compare.TANH_ULPS),
    np.sqrt: lambda a: _rounded(np.sqrt(a.value), a.error / np.sqrt(a.value)),
}

_FUNCTIONS: dict[Any, Callable[..., Rounded]] = {np.where: _where, np.clip: _clip}
