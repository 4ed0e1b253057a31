# SPDX-License-Identifier: Apache-2.0
"""What moves elements, and the gradients: concatenation, permutation, padding, cropping, upsampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]
Sides = int | tuple[int, ...] | tuple[tuple[int, int], ...]


def concatenate(inputs: Sequence[ArrayLike], axis: int = -1) -> Real:
    """One after the other."""
    return np.concatenate([np.asarray(x, np.float64) for x in inputs], axis)


def concatenate_bwd(dy: ArrayLike, sizes: Sequence[int], index: int, axis: int = -1) -> Real:
    """The part of input number `index`."""
    return np.split(np.asarray(dy, np.float64), np.cumsum(sizes)[:-1], axis)[index]


def identity(x: ArrayLike) -> Real:
    """The input."""
    return np.asarray(x, np.float64)


def identity_bwd(dy: ArrayLike) -> Real:
    """The gradient."""
    return np.asarray(dy, np.float64)


def reshape(x: ArrayLike, target_shape: Sequence[int]) -> Real:
    """Each sample in another shape, in which one size may be -1."""
    values = np.asarray(x, np.float64)
    return values.reshape(len(values), *target_shape)


def reshape_bwd(dy: ArrayLike, input_shape: Sequence[int]) -> Real:
    """The shape that it had."""
    return np.asarray(dy, np.float64).reshape(tuple(input_shape))


def permute(x: ArrayLike, dims: Sequence[int]) -> Real:
    """Axis i of the result is axis dims[i - 1]."""
    return np.asarray(x, np.float64).transpose(0, *dims)


def permute_bwd(dy: ArrayLike, dims: Sequence[int]) -> Real:
    """Axis dims[i - 1] of the result is axis i."""
    return np.asarray(dy, np.float64).transpose(np.argsort((0, *dims)))


def zero_padding(x: ArrayLike, padding: Sides = 1) -> Real:
    """Zeros before and after each spatial axis."""
    values = np.asarray(x, np.float64)
    return np.pad(values, [(0, 0), *sides(padding, values.ndim - 2), (0, 0)])


def zero_padding_bwd(dy: ArrayLike, padding: Sides = 1) -> Real:
    """Without what was put around it."""
    return cropping(dy, padding)


def cropping(x: ArrayLike, cropping: Sides = 1) -> Real:
    """Without the outer pixels of each spatial axis."""
    values = np.asarray(x, np.float64)
    spatial = [
        slice(before, size - after)
        for size, (before, after) in zip(values.shape[1:-1], sides(cropping, values.ndim - 2), strict=True)
    ]
    return values[(slice(None), *spatial)]


def cropping_bwd(dy: ArrayLike, cropping: Sides = 1) -> Real:
    """Zeros where pixels were taken away."""
    return zero_padding(dy, cropping)


def sides(value: Sides, spatial: int) -> list[tuple[int, int]]:
    """Turn any spelling into (before, after) of each spatial axis."""
    if isinstance(value, int):
        return [(value, value)] * spatial
    if spatial == 1:
        before, after = value
        return [(int(before), int(after))]  # type: ignore[arg-type]
    return [(side, side) if isinstance(side, int) else side for side in value]


def repeat_vector(x: ArrayLike, n: int) -> Real:
    """[N,F] to [N,n,F]."""
    return np.repeat(np.asarray(x, np.float64)[:, None], n, axis=1)


def repeat_vector_bwd(dy: ArrayLike) -> Real:
    """Sum of the repetitions."""
    dx: Real = np.asarray(dy, np.float64).sum(axis=1)
    return dx


def upsampling(x: ArrayLike, size: int | tuple[int, ...] = 2, interpolation: str = "nearest") -> Real:
    """Apply the weights of each spatial axis in turn."""
    y = np.asarray(x, np.float64)
    for axis, factor in enumerate(_factors(size, y.ndim - 2), 1):
        weights = upsampling_weights(y.shape[axis], factor, interpolation)
        y = np.moveaxis(np.tensordot(weights, y, (1, axis)), 0, axis)
    return y


def upsampling_bwd(dy: ArrayLike, size: int | tuple[int, ...] = 2, interpolation: str = "nearest") -> Real:
    """Apply the transposed weights."""
    dx = np.asarray(dy, np.float64)
    for axis, factor in enumerate(_factors(size, dx.ndim - 2), 1):
        weights = upsampling_weights(dx.shape[axis] // factor, factor, interpolation)
        dx = np.moveaxis(np.tensordot(weights, dx, (0, axis)), 0, axis)
    return dx


def upsampling_weights(size: int, factor: int, interpolation: str) -> Real:
    """``y = weights @ x`` along one axis of `size` pixels: ``[size * factor, size]``."""
    weights = np.zeros((size * factor, size))
    for q in range(size * factor):
        if interpolation == "nearest":
            weights[q, q // factor] = 1.0
            continue
        at = (q + 0.5) / factor - 0.5
        left = int(np.floor(at))
        weights[q, max(left, 0)] += 1.0 - (at - left)
        weights[q, min(left + 1, size - 1)] += at - left
    return weights


def _factors(size: int | tuple[int, ...], spatial: int) -> tuple[int, ...]:
    return (size,) * spatial if isinstance(size, int) else size
