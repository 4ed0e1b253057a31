# SPDX-License-Identifier: Apache-2.0
"""Max, average and sum pooling and their gradients; x [N,H,W,C], y [N,P,Q,C].

Padding takes no part: a maximum never sees it and an average divides by the number of real elements in the
window (so for "same" padding, as in Keras). The gradient of a maximum goes to the first greatest element in
row-major order of the window; a NaN counts as greater than every number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.geometry import Padding, output_size, pair, resolve_padding

Real = NDArray[np.float64]
Shape = tuple[int, int, int, int]


def max_pool2d(
    x: ArrayLike,
    pool_size: int | tuple[int, int],
    strides: int | tuple[int, int] | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
) -> Real:
    """Greatest element of each window; NaN if there is one."""
    image = np.asarray(x, np.float64)
    windows = Windows.of(image.shape, pool_size, strides, padding, ceil_mode)
    return windows.reduce(image, lambda window: window.max(axis=(1, 2)))


def max_pool2d_bwd(
    dy: ArrayLike,
    x: ArrayLike,
    pool_size: int | tuple[int, int],
    strides: int | tuple[int, int] | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
) -> Real:
    """Add each dy to the element of x that its window chose."""
    image, gradient = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    windows = Windows.of(image.shape, pool_size, strides, padding, ceil_mode)
    dx = np.zeros_like(image)
    n, c = np.meshgrid(np.arange(image.shape[0]), np.arange(image.shape[3]), indexing="ij")
    for p, q, rows, columns in windows:
        window = image[:, rows, columns, :]
        flat = window.reshape(window.shape[0], -1, window.shape[3])
        # argmax takes the first of equals, and the first NaN if there is one.
        r, s = np.divmod(flat.argmax(axis=1), window.shape[2])
        dx[n, rows.start + r, columns.start + s, c] += gradient[:, p, q, :]
    return dx


def average_pool2d(
    x: ArrayLike,
    pool_size: int | tuple[int, int],
    strides: int | tuple[int, int] | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
) -> Real:
    """Mean of the real elements of each window."""
    image = np.asarray(x, np.float64)
    windows = Windows.of(image.shape, pool_size, strides, padding, ceil_mode)
    return windows.reduce(image, lambda window: window.mean(axis=(1, 2)))


def average_pool2d_bwd(
    dy: ArrayLike,
    input_shape: Shape,
    pool_size: int | tuple[int, int],
    strides: int | tuple[int, int] | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
) -> Real:
    """Share each dy equally among the real elements of its window."""
    windows = Windows.of(input_shape, pool_size, strides, padding, ceil_mode)
    return windows.spread(np.asarray(dy, np.float64) / windows.counts()[None, :, :, None])


def sum_pool2d(
    x: ArrayLike,
    pool_size: int | tuple[int, int],
    strides: int | tuple[int, int] | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
) -> Real:
    """Sum of the elements of each window."""
    image = np.asarray(x, np.float64)
    windows = Windows.of(image.shape, pool_size, strides, padding, ceil_mode)
    return windows.reduce(image, lambda window: window.sum(axis=(1, 2)))


def sum_pool2d_bwd(
    dy: ArrayLike,
    input_shape: Shape,
    pool_size: int | tuple[int, int],
    strides: int | tuple[int, int] | None = None,
    padding: Padding = "valid",
    *,
    ceil_mode: bool = False,
) -> Real:
    """Give each dy to every element of its window."""
    windows = Windows.of(input_shape, pool_size, strides, padding, ceil_mode)
    return windows.spread(np.asarray(dy, np.float64))


@dataclass(frozen=True)
class Windows:
    """All windows of a pool over an image of shape `shape`, cut off at its border."""

    shape: Shape
    window: tuple[int, int]
    strides: tuple[int, int]
    before: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        pool_size: int | tuple[int, int],
        strides: int | tuple[int, int] | None,
        padding: Padding,
        ceil_mode: bool,
    ) -> Windows:
        n, h, w, c = shape
        window = pair(pool_size)
        stride = window if strides is None else pair(strides)
        pads = resolve_padding(padding, (h, w), window, stride)
        p = output_size(h, window[0], stride[0], pads.top, pads.bottom, ceil_mode=ceil_mode)
        q = output_size(w, window[1], stride[1], pads.left, pads.right, ceil_mode=ceil_mode)
        return cls((n, h, w, c), window, stride, (pads.top, pads.left), (p, q))

    def __iter__(self) -> Iterator[tuple[int, int, slice, slice]]:
        """Yield (p, q, rows, columns) of each window."""
        for p in range(self.output[0]):
            for q in range(self.output[1]):
                yield p, q, self._span(0, p), self._span(1, q)

    def reduce(self, image: Real, function: Callable[[Real], Real]) -> Real:
        """Apply `function` to the [N,rows,columns,C] of every window."""
        y = np.empty((self.shape[0], *self.output, self.shape[3]))
        for p, q, rows, columns in self:
            y[:, p, q, :] = function(image[:, rows, columns, :])
        return y

    def spread(self, gradient: Real) -> Real:
        """Add ``gradient[:, p, q]`` to every element of window (p, q)."""
        dx = np.zeros(self.shape)
        for p, q, rows, columns in self:
            dx[:, rows, columns, :] += gradient[:, p, q, None, None, :]
        return dx

    def counts(self) -> Real:
        """Count the real elements of each window; [P,Q]."""
        counts = np.empty(self.output)
        for p, q, rows, columns in self:
            counts[p, q] = (rows.stop - rows.start) * (columns.stop - columns.start)
        return counts

    def _span(self, axis: int, position: int) -> slice:
        start = position * self.strides[axis] - self.before[axis]
        return slice(max(start, 0), min(start + self.window[axis], self.shape[1 + axis]))
