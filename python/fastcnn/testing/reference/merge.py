# SPDX-License-Identifier: Apache-2.0
"""Two arrays into one with NumPy's broadcasting, and the gradients: sums over what was repeated.

A maximum or minimum of equal values is the first one's, as is one of two NaN; a NaN wins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]


def add(x1: ArrayLike, x2: ArrayLike) -> Real:
    """``x1 + x2``."""
    return np.add(x1, x2, dtype=np.float64)


def subtract(x1: ArrayLike, x2: ArrayLike) -> Real:
    """``x1 - x2``."""
    return np.subtract(x1, x2, dtype=np.float64)


def multiply(x1: ArrayLike, x2: ArrayLike) -> Real:
    """``x1 x2``."""
    return np.multiply(x1, x2, dtype=np.float64)


def maximum(x1: ArrayLike, x2: ArrayLike) -> Real:
    """The larger one; NaN if there is one."""
    return np.maximum(x1, x2, dtype=np.float64)


def minimum(x1: ArrayLike, x2: ArrayLike) -> Real:
    """The smaller one; NaN if there is one."""
    return np.minimum(x1, x2, dtype=np.float64)


def average(x1: ArrayLike, x2: ArrayLike) -> Real:
    """``(x1 + x2) / 2``."""
    y: Real = add(x1, x2) / 2.0
    return y


def add_bwd(dy: ArrayLike, input_shape: Sequence[int]) -> Real:
    """Sum over the axes along which an input of this shape was repeated."""
    gradient = np.asarray(dy, np.float64)
    shape = (1,) * (gradient.ndim - len(input_shape)) + tuple(input_shape)
    repeated = tuple(axis for axis in range(gradient.ndim) if shape[axis] == 1)
    dx: Real = gradient.sum(axis=repeated, keepdims=True).reshape(tuple(input_shape))
    return dx


def subtract_bwd(dy: ArrayLike, input_shape: Sequence[int], index: int) -> Real:
    """For x1 (0) or x2 (1)."""
    return add_bwd(dy, input_shape) * (1.0, -1.0)[index]


def multiply_bwd(dy: ArrayLike, other: ArrayLike, input_shape: Sequence[int]) -> Real:
    """Sum of dy times the other factor."""
    return add_bwd(multiply(dy, other), input_shape)


def average_bwd(dy: ArrayLike, input_shape: Sequence[int]) -> Real:
    """Half of it."""
    return add_bwd(dy, input_shape) / 2.0


def maximum_bwd(dy: ArrayLike, x1: ArrayLike, x2: ArrayLike, index: int) -> Real:
    """Sum of the dy whose maximum is of x1 (0) or x2 (1)."""
    first, second = np.asarray(x1, np.float64), np.asarray(x2, np.float64)
    return _selected(dy, (first >= second) | np.isnan(first), np.shape((x1, x2)[index]), index)


def minimum_bwd(dy: ArrayLike, x1: ArrayLike, x2: ArrayLike, index: int) -> Real:
    """Sum of the dy whose minimum is of x1 (0) or x2 (1)."""
    first, second = np.asarray(x1, np.float64), np.asarray(x2, np.float64)
    return _selected(dy, (first <= second) | np.isnan(first), np.shape((x1, x2)[index]), index)


def _selected(dy: ArrayLike, first_wins: NDArray[np.bool_], shape: tuple[int, ...], index: int) -> Real:
    wins = first_wins if index == 0 else ~first_wins
    return add_bwd(np.where(wins, np.asarray(dy, np.float64), 0.0), shape)
