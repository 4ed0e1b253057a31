# SPDX-License-Identifier: Apache-2.0
"""Scaling of pictures as TensorFlow and JAX do it for Keras: without a low-pass filter before it.

``y[p, q, c] = sum wy[p, i] wx[q, j] x[i, j, c]`` over i, j, with pixel centres at halves: output p lies at
``(p + 1/2) H / P - 1/2``. Taps outside of the picture are left out, and the weights of the others add up to
1. Called by ``image_dataset_from_directory`` and the command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcnn._arguments import Array

Floats = npt.NDArray[np.float64]


class _Kernel(NamedTuple):
    """A weight for each distance up to ``radius``."""

    radius: float
    weight: Callable[[Floats], Floats]


def _cubic(b: float, c: float) -> _Kernel:
    """The family of D. Mitchell and A. Netravali, 1988; b = 0 is Keys's."""

    def weight(x: Floats) -> Floats:
        near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
        far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
        return np.where(x < 1, near, np.where(x < 2, far, 0)) / 6

    return _Kernel(2, weight)


def _lanczos(radius: int) -> _Kernel:
    return _Kernel(radius, lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0))


_KERNELS = {
    "bilinear": _Kernel(1, lambda x: np.maximum(1 - x, 0)),
    "bicubic": _cubic(0, 0.5),
    "mitchellcubic": _cubic(1 / 3, 1 / 3),
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
    "gaussian": _Kernel(1.5, lambda x: np.where(x < 1.5, np.exp(-2 * x * x), 0)),
}
INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", *list(_KERNELS)[2:])


def resize(x: Array, size: tuple[int, int], interpolation: str) -> npt.NDArray[np.float32]:
    """``x`` [H, W, C] as float32 of another height and width."""
    for axis, target in enumerate(size):
        if x.shape[axis] != target:
            x = _along(x, axis, target, interpolation)
    return x.astype(np.float32)


def crop(x: Array, size: tuple[int, int]) -> Array:
    """The middle of ``x`` [H, W, C], as large as can be in the proportions of ``size``."""
    height, width = x.shape[:2]
    kept = min(height, max(1, width * size[0] // size[1])), min(width, max(1, height * size[1] // size[0]))
    top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
    return x[top : top + kept[0], left : left + kept[1]]


def pad(x: Array, size: tuple[int, int]) -> Array:
    """``x`` [H, W, C] between zeros, as many on either side, in the proportions of ``size``."""
    height, width = x.shape[:2]
    high = (max(height, width * size[0] // size[1]) - height) // 2
    wide = (max(width, height * size[1] // size[0]) - width) // 2
    return np.pad(x, ((high, high), (wide, wide), (0, 0)))


def _along(x: Array, axis: int, target: int, interpolation: str) -> Array:
    source = x.shape[axis]
    if interpolation == "nearest":
        nearest: Array = x.take((2 * np.arange(target) + 1) * source // (2 * target), axis)
        return nearest
    taps, weights = _taps(source, target, interpolation)
    flat = x.reshape(math.prod(x.shape[:axis]), source, -1)
    total: Array = np.zeros((flat.shape[0], target, flat.shape[2]), np.float32)
    for tap, weight in zip(taps.T, weights.T, strict=True):
        total += np.multiply(flat.take(tap, 1), weight[:, np.newaxis], dtype=np.float32)
    return total.reshape(*x.shape[:axis], target, *x.shape[axis + 1 :])


def _taps(source: int, target: int, interpolation: str) -> tuple[npt.NDArray[np.int64], Array]:
    """Of each output the inputs that it reads, and their weights: both [target, taps]."""
    if interpolation == "area":  # what an output pixel covers of each input pixel
        edges = np.arange(target + 1)[:, np.newaxis] * source / target
        taps = np.floor(edges[:-1]).astype(np.int64) + np.arange(math.ceil(source / target) + 1)
        weights = np.maximum(np.minimum(taps + 1, edges[1:]) - np.maximum(taps, edges[:-1]), 0)
    else:
        kernel = _KERNELS[interpolation]
        center = (np.arange(target)[:, np.newaxis] + 0.5) * source / target - 0.5
        first = np.floor(center - kernel.radius).astype(np.int64) + 1  # at the radius itself weights are 0
        taps = first + np.arange(math.ceil(2 * kernel.radius))
        weights = kernel.weight(np.abs(taps - center))
    weights[(taps < 0) | (taps >= source)] = 0
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(taps, 0, source - 1), weights.astype(np.float32)
