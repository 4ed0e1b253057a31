# SPDX-License-Identifier: Apache-2.0
"""The windows of a pool over images of any number of axes, as lists of the pixels that each of them holds.

x is [N, ..., C]. On every axis a window is a list of taps inside the image, and the divisor that the axis
gives to an average.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing.reference.geometry import output_size, resolve_axis

Real = NDArray[np.float64]
Taps = NDArray[np.int64]


@dataclass(frozen=True)
class SlidingPool:
    """What a pool with a window that slides is asked for; sizes are numbers or one for each axis."""

    pool_size: Any
    strides: Any = None
    padding: Any = "valid"
    dilation_rate: Any = 1
    ceil_mode: bool = False
    count_include_pad: bool = False


@dataclass(frozen=True)
class Axis:
    """Where the windows of one axis stand: the taps inside the image, and by what an average divides."""

    taps: tuple[Taps, ...]
    divisors: tuple[int, ...]

    @classmethod
    def sliding(cls, size: int, axis: int, rank: int, pool: SlidingPool) -> Axis:
        window = per_axis(pool.pool_size, rank)[axis]
        stride = window if pool.strides is None else per_axis(pool.strides, rank)[axis]
        dilation = per_axis(pool.dilation_rate, rank)[axis]
        padding = pool.padding if isinstance(pool.padding, str) else per_axis(pool.padding, rank)[axis]
        before, after = resolve_axis(padding, size, window, stride, dilation)
        count = output_size(size, window, stride, before, after, dilation=dilation, ceil_mode=pool.ceil_mode)
        taps, divisors = [], []
        for i in range(count):
            places = i * stride - before + dilation * np.arange(window)
            inside = places[(places >= 0) & (places < size)]
            padded = int(np.count_nonzero(places < size + after))
            taps.append(inside)
            divisors.append(padded if pool.count_include_pad else len(inside))
        return cls(tuple(taps), tuple(divisors))

    @classmethod
    def adaptive(cls, size: int, count: int) -> Axis:
        edges = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        return cls(tuple(np.arange(*edge) for edge in edges), tuple(end - begin for begin, end in edges))


@dataclass(frozen=True)
class Windows:
    """All windows of a pool over x of shape `shape`."""

    shape: tuple[int, ...]
    axes: tuple[Axis, ...]

    @classmethod
    def sliding(cls, shape: Sequence[int], pool: SlidingPool) -> Windows:
        sizes = tuple(shape[1:-1])
        return cls(tuple(shape), tuple(Axis.sliding(n, i, len(sizes), pool) for i, n in enumerate(sizes)))

    @classmethod
    def adaptive(cls, shape: Sequence[int], count: Any) -> Windows:
        sizes = tuple(shape[1:-1])
        counts = per_axis(count, len(sizes))
        return cls(
            tuple(shape),
            tuple(Axis.adaptive(n, n if k is None else k) for n, k in zip(sizes, counts, strict=True)),
        )

    @property
    def output(self) -> tuple[int, ...]:
        """Windows of every axis."""
        return tuple(len(axis.taps) for axis in self.axes)

    @property
    def taps(self) -> int:
        """The most taps that a window has inside the image."""
        return int(np.prod([max(map(len, axis.taps)) for axis in self.axes]))

    @property
    def overlap(self) -> int:
        """The most windows that hold the same pixel."""
        return int(np.prod([np.bincount(np.concatenate(axis.taps)).max() for axis in self.axes]))

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], tuple[Taps, ...]]]:
        """Yield the position of every window and its taps on every axis."""
        for position in itertools.product(*map(range, self.output)):
            yield position, tuple(axis.taps[i] for axis, i in zip(self.axes, position, strict=True))

    def reduce(self, image: Real, function: Callable[[Real], Real]) -> Real:
        """Apply `function` to the [N, taps, C] of every window, the taps in row-major order."""
        y = np.empty((self.shape[0], *self.output, self.shape[-1]))
        for position, taps in self:
            window = image[_at(*np.ix_(*taps))]
            y[_at(*position)] = function(window.reshape(self.shape[0], -1, self.shape[-1]))
        return y

    def spread(self, gradient: Real) -> Real:
        """Add the gradient of every window to all of its pixels."""
        dx = np.zeros(self.shape)
        alone = (slice(None), *(None for _ in self.axes), slice(None))
        for position, taps in self:
            dx[_at(*np.ix_(*taps))] += gradient[_at(*position)][alone]
        return dx

    def choose(self, image: Real) -> NDArray[np.int64]:
        """Find the first greatest pixel of every window, NaN above all: its place in the flattened image."""
        # argmax takes the first of equals, and the first NaN if there is one.
        n, c = np.meshgrid(np.arange(self.shape[0]), np.arange(self.shape[-1]), indexing="ij")
        sizes = self.shape[1:-1]
        index = np.empty((self.shape[0], *self.output, self.shape[-1]), np.int64)
        for position, taps in self:
            places = np.ravel_multi_index(np.ix_(*taps), sizes).ravel()
            flat = image.reshape(self.shape[0], -1, self.shape[-1])[:, places]
            index[_at(n, *position, c)[1:]] = places[flat.argmax(axis=1)]
        return index

    def divisors(self) -> Real:
        """By what an average divides; shaped like the output without images and channels."""
        product = np.ones(())
        for axis in self.axes:
            product = np.multiply.outer(product, np.asarray(axis.divisors, np.float64))
        return product


def _at(*axes: Any) -> Any:
    """An index of all images and these places."""
    return (slice(None), *axes)


def per_axis(value: Any, rank: int) -> tuple[Any, ...]:
    """One number for all axes, or as it is."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * rank
