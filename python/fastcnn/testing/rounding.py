# SPDX-License-Identifier: Apache-2.0
"""Numbers that carry a bound of their rounding error: a formula computed with them derives its own bound.

A `Rounded` is a float64 value and how far a float32 computation of it may be off. Each operation passes the
errors of its operands on by its definition (not to first order alone) and adds one rounding of the result, u
times its size. So a reference, written once in NumPy, gives the wanted value and the bound at the same time;
the kernel must do the same operations, in any association that rounds no more often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fastcnn.testing.compare import EXP_ULPS, LOG_ULPS, SUBNORMAL, UNIT, Real, sum_bound


class Rounded(NDArrayOperatorsMixin):
    """A value and the bound of its error.

    NumPy's functions of elements work on it: ``+ - * /``, ``sqrt``, ``abs``, ``maximum``, ``minimum``,
    ``sign``, ``power`` with an exponent without error, ``@``. Plain numbers among the operands are as float32
    would hold them.
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

    def reshape(self, *shape: Any) -> Rounded:
        return Rounded(self.value.reshape(*shape), self.error.reshape(*shape))

    def sum(self) -> Rounded:
        """In double precision: nothing is added to the errors of the terms."""
        return Rounded(self.value.sum(), self.error.sum())

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        rule = _RULES.get(ufunc)
        if rule is None or method != "__call__" or options:
            return NotImplemented
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return rule(*(each if isinstance(each, Rounded) else held(each) for each in inputs))


def held(value: Any) -> Rounded:
    """Numbers as float32 holds them."""
    exact = np.asarray(value, np.float64)
    with np.errstate(over="ignore"):
        same = exact.astype(np.float32) == exact
    return Rounded(exact, np.where(same, 0.0, UNIT * np.abs(exact) + SUBNORMAL))


def _once(value: Any, error: Any) -> Rounded:
    """One more rounding."""
    return Rounded(value, error + UNIT * (np.abs(value) + error) + SUBNORMAL)


def _add(a: Rounded, b: Rounded) -> Rounded:
    return _once(a.value + b.value, a.error + b.error)


def _subtract(a: Rounded, b: Rounded) -> Rounded:
    return _once(a.value - b.value, a.error + b.error)


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


def _power(a: Rounded, b: Rounded) -> Rounded:
    """As ``exp(b log(a))``."""
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


_RULES: dict[Any, Callable[..., Rounded]] = {
    np.add: _add,
    np.subtract: _subtract,
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
}
