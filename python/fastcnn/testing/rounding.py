# SPDX-License-Identifier: Apache-2.0
"""Numbers that carry a bound of their rounding error: a formula computed with them derives its own bound.

A `Rounded` is a float64 value and how far a float32 computation of it may be off. Each operation passes the
errors of its operands on by its definition (not to first order alone) and adds one rounding of the result, u
times its size; each function adds what csrc/cpu/kernels/vec_math.h promises of it (running error analysis,
Higham, "Accuracy and Stability of Numerical Algorithms", 3.3). So a reference, written once in NumPy, gives
the wanted value and the bound at the same time; the kernel must do the same operations, in any association
that rounds no more often. Branches are those that the float64 values take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fastcnn.testing import compare
from fastcnn.testing.compare import EXP_ULPS, LOG_ULPS, SUBNORMAL, UNIT, Real, sum_bound

# Roundings of a block: 1024 numbers at least 4 at a time (csrc/cpu/kernels/loss.cpp), then their lanes.
BLOCK = 1024 // 4 + 4


class Rounded(NDArrayOperatorsMixin):
    """A value and the bound of its error.

    NumPy's functions of elements work on it as far as they stand in the tables below, and ``@``. Plain
    numbers among the operands are as float32 would hold them.
    """

    def __init__(self, value: Any, error: Any = 0.0) -> None:
        self.value: Real = np.asarray(value, np.float64)
        self.error: Real = np.broadcast_to(np.asarray(error, np.float64), self.value.shape)

    @property
    def T(self) -> Rounded:
        return Rounded(self.value.T, self.error.T)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def __getitem__(self, index: Any) -> Rounded:
        return Rounded(self.value[index], self.error[index])

    def reshape(self, *shape: Any) -> Rounded:
        return Rounded(self.value.reshape(*shape), self.error.reshape(*shape))

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Rounded:
        """Along an axis in any order; of a whole array in double precision, which adds no error."""
        terms = 0 if axis is None else self.value.shape[axis]
        return self._sum(terms, axis, keepdims)

    def sum_in_blocks(self) -> Rounded:
        """Of a whole array in float32 blocks, whose sums are added in double precision."""
        return self._sum(min(self.value.size, BLOCK), None, False)

    def _sum(self, terms: int, axis: int | None, keepdims: bool) -> Rounded:
        magnitude = (np.abs(self.value) + self.error).sum(axis=axis, keepdims=keepdims)
        error = self.error.sum(axis=axis, keepdims=keepdims) + compare.gamma(terms) * magnitude
        return Rounded(self.value.sum(axis=axis, keepdims=keepdims), error)

    def max(self, axis: int, keepdims: bool = False) -> Rounded:
        error = self.error.max(axis=axis, keepdims=keepdims)
        return Rounded(self.value.max(axis=axis, keepdims=keepdims), error)

    def argmax(self, axis: int) -> Any:
        return self.value.argmax(axis=axis)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        if ufunc in _COMPARISONS:
            return ufunc(*(held(each).value for each in inputs))
        rule = _RULES.get(ufunc)
        if rule is None:
            return NotImplemented
        with np.errstate(all="ignore"):
            return rule(*map(held, inputs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if kwargs or function not in _FUNCTIONS:
            return NotImplemented
        return _FUNCTIONS[function](*args)


def held(value: Any) -> Rounded:
    """Numbers as float32 holds them."""
    if isinstance(value, Rounded):
        return value
    exact = np.asarray(value, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        same = exact.astype(np.float32) == exact
    return Rounded(exact, np.where(same, 0.0, UNIT * np.abs(exact) + SUBNORMAL))


def _once(value: Any, error: Any, roundings: float = 1.0) -> Rounded:
    """One more rounding, or several."""
    return Rounded(value, error + roundings * (UNIT * (np.abs(value) + error) + SUBNORMAL))


def _sum_of_two(value: Any, error: Any) -> Rounded:
    """Gradual underflow: what is too small to be rounded is exact."""
    return Rounded(value, error + UNIT * (np.abs(value) + error))


def _multiply(a: Rounded, b: Rounded) -> Rounded:
    return _once(a.value * b.value, _product_error(np.multiply, a, b))


def _product_error(product: Any, a: Rounded, b: Rounded) -> Any:
    return product(np.abs(a.value), b.error) + product(a.error, np.abs(b.value)) + product(a.error, b.error)


def _divide(a: Rounded, b: Rounded) -> Rounded:
    quotient = a.value / b.value
    room = np.abs(b.value) - b.error
    error = np.where(room > 0, (a.error + np.abs(quotient) * b.error) / room, np.inf)
    # An error that is not there has no share in 0 / 0 or x / 0.
    return _once(quotient, np.where((a.error == 0) & (b.error == 0), 0.0, error))


def _sqrt(a: Rounded) -> Rounded:
    root = np.sqrt(a.value)
    return _once(root, root - np.sqrt(np.maximum(a.value - a.error, 0.0)))


def _log(a: Rounded) -> Rounded:
    passed = -np.log1p(-np.minimum(a.error / np.abs(a.value), 1.0))
    return _once(np.log(a.value), passed, 2.0 * LOG_ULPS)


def _exp(a: Rounded) -> Rounded:
    value = np.exp(a.value)
    return _once(value, value * np.expm1(a.error), 2.0 * EXP_ULPS)


def _power(a: Rounded, b: Rounded) -> Rounded:
    """By an exponent without error: as the kernels take it, ``exp(b log(a))`` but for 0, 1 and 2."""
    if b.value.ndim == 0 and float(b.value) in (0.0, 1.0, 2.0):
        return {0.0: Rounded(np.ones_like(a.value)), 1.0: a, 2.0: _multiply(a, a)}[float(b.value)]
    value = a.value**b.value
    low, high = (np.maximum(a.value + sign * a.error, 0.0) ** b.value for sign in (-1.0, 1.0))
    exponent = np.where(value > 0, np.abs(b.value * np.log(a.value)), 0.0)
    relative = (2.0 * LOG_ULPS + 2.0) * UNIT * exponent + 2.0 * EXP_ULPS * UNIT
    spread = np.maximum(np.abs(high - value), np.abs(low - value))
    return _once(value, spread + np.expm1(relative) * (np.abs(value) + spread))


def _matmul(a: Rounded, b: Rounded) -> Rounded:
    value, magnitude = a.value @ b.value, np.abs(a.value) @ np.abs(b.value)
    passed_on = _product_error(np.matmul, a, b)
    return Rounded(value, passed_on + sum_bound(value, magnitude + passed_on, a.shape[-1]))


def _sign(a: Rounded) -> Rounded:
    return Rounded(np.sign(a.value), np.where(np.abs(a.value) <= a.error, 2.0 * (a.error > 0), 0.0))


def _where(condition: Any, a: Any, b: Any) -> Rounded:
    a, b = held(a), held(b)
    return Rounded(np.where(condition, a.value, b.value), np.where(condition, a.error, b.error))


def _clip(x: Rounded, low: float, high: float) -> Rounded:
    bounded = _where(x.value < low, low, x)
    return _where(bounded.value > high, high, bounded)


_COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}

_RULES: dict[Any, Callable[..., Rounded]] = {
    np.add: lambda a, b: _sum_of_two(a.value + b.value, a.error + b.error),
    np.subtract: lambda a, b: _sum_of_two(a.value - b.value, a.error + b.error),
    np.multiply: _multiply,
    np.divide: _divide,
    np.sqrt: _sqrt,
    np.power: _power,
    np.matmul: _matmul,
    np.sign: _sign,
    np.absolute: lambda a: Rounded(np.abs(a.value), a.error),
    np.negative: lambda a: Rounded(-a.value, a.error),
    np.maximum: lambda a, b: Rounded(np.maximum(a.value, b.value), np.maximum(a.error, b.error)),
    np.minimum: lambda a, b: Rounded(np.minimum(a.value, b.value), np.maximum(a.error, b.error)),
    np.exp: _exp,
    np.log: _log,
    np.log1p: lambda a: _once(
        np.log1p(a.value), a.error / (1.0 + a.value - a.error), 2.0 * compare.LOG1P_ULPS
    ),
    np.tanh: lambda a: _once(np.tanh(a.value), a.error, 2.0 * compare.TANH_ULPS),
}

_FUNCTIONS: dict[Any, Callable[..., Rounded]] = {np.where: _where, np.clip: _clip}
