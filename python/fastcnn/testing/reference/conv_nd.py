# SPDX-License-Identifier: Apache-2.0
"""Convolutions of sequences, images and volumes: plain, transposed, depthwise and separable, with gradients.

On each spatial axis output ``p`` of a convolution sums the inputs ``p stride + r dilation - before`` over
the taps ``r``; `Sum` walks over all taps of all axes. A transposed convolution gives every input to the
outputs ``i stride + r dilation - before`` instead: it is the same walk with its two ends exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.activation import activate

Real = NDArray[np.float64]
Sizes = int | tuple[int, ...]
PaddingNd = str | int | tuple[Any, ...]


def sizes(value: Sizes, rank: int) -> tuple[int, ...]:
    """``2`` means 2 on every axis."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def resolve_padding_nd(
    padding: PaddingNd, size: Sizes, window: Sizes, strides: Sizes, dilation: Sizes
) -> tuple[tuple[int, int], ...]:
    """``(before, after)`` of every axis of a convolution over an input of `size`."""
    if not isinstance(size, tuple):
        raise TypeError(f"size must be a tuple, got {size!r}")
    rank = len(size)
    extents = [d * (k - 1) + 1 for d, k in zip(sizes(dilation, rank), sizes(window, rank), strict=True)]
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "causal":
        return tuple((extent - 1, 0) for extent in extents)
    if padding == "same":
        totals = [
            max((-(-n // s) - 1) * s + extent - n, 0)
            for n, s, extent in zip(size, sizes(strides, rank), extents, strict=True)
        ]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid', 'causal' or numbers, got {padding!r}")
    axes = (padding,) * rank if isinstance(padding, int) else padding
    return tuple((axis, axis) if isinstance(axis, int) else (axis[0], axis[1]) for axis in axes)


def conv_size(size: int, extent: int, stride: int, before: int, after: int) -> int:
    """Count the positions of a window that covers `extent` elements."""
    if size + before + after < extent:
        raise ValueError(f"a window of {extent} does not fit into {size + before + after} elements")
    return (size + before + after - extent) // stride + 1


def transpose_size(
    size: int, extent: int, stride: int, padding: str | tuple[int, int], added: int | None
) -> tuple[int, int]:
    """Size of a transposed convolution's output, and what is cut off before it; Keras's rule."""
    whole = (size - 1) * stride + extent
    if padding == "same":
        out = size * stride if added is None else (size - 1) * stride + extent % 2 + added
        return out, max(whole - out, 0) // 2
    before, after = (0, 0) if isinstance(padding, str) else padding
    return whole + (max(stride - extent, 0) if added is None else added) - before - after, before


@dataclass(frozen=True)
class Sum:
    """The geometry of a convolution: in tap r output p meets input ``p stride + r dilation - before``."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    groups: int

    def pairs(self) -> Iterator[tuple[tuple[int, ...], Any, Any]]:
        """Yield each tap with the inputs and the outputs that meet in it, as indices of all axes."""
        for tap in product(*map(range, self.window)):
            met = [self._axis(axis, r) for axis, r in enumerate(tap)]
            yield tap, np.ix_(*(i for i, _ in met)), np.ix_(*(o for _, o in met))

    def channels(self, c: int, k: int) -> Iterator[tuple[slice, slice]]:
        """Yield the input and output channels of each group."""
        cg, kg = c // self.groups, k // self.groups
        for g in range(self.groups):
            yield slice(g * cg, (g + 1) * cg), slice(g * kg, (g + 1) * kg)

    def fprop(self, x: Real, w: Real) -> Real:
        y = np.zeros((x.shape[0], *self.outputs, w.shape[-1]))
        for tap, inputs, outputs in self.pairs():
            for cin, cout in self.channels(x.shape[-1], w.shape[-1]):
                y[(slice(None), *outputs, cout)] += x[_at(inputs, cin)] @ w[_tap(tap, cout)]
        return y

    def dgrad(self, dy: Real, w: Real) -> Real:
        c = w.shape[-2] * self.groups
        dx = np.zeros((dy.shape[0], *self.inputs, c))
        for tap, inputs, outputs in self.pairs():
            for cin, cout in self.channels(c, w.shape[-1]):
                part = dy[_at(outputs, cout)] @ w[_tap(tap, cout)].T
                dx[_at(inputs, cin)] += part
        return dx

    def wgrad(self, x: Real, dy: Real) -> Real:
        c, k = x.shape[-1], dy.shape[-1]
        dw = np.zeros((*self.window, c // self.groups, k))
        for tap, inputs, outputs in self.pairs():
            for cin, cout in self.channels(c, k):
                a, b = x[_at(inputs, cin)], dy[_at(outputs, cout)]
                rows = a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])
                dw[_tap(tap, cout)] = rows
        return dw

    def _axis(self, axis: int, tap: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        outputs = np.arange(self.outputs[axis])
        inputs = outputs * self.strides[axis] + tap * self.dilation[axis] - self.before[axis]
        inside = (inputs >= 0) & (inputs < self.inputs[axis])
        return inputs[inside], outputs[inside]


def _at(pixels: Any, channels: slice) -> Any:
    """All samples, these pixels, these channels."""
    return (slice(None), *pixels, channels)


def _tap(tap: tuple[int, ...], filters: slice) -> Any:
    """One element of the kernel, all channels, these filters."""
    return (*tap, slice(None), filters)


def walk(
    size: tuple[int, ...], window: Sizes, strides: Sizes, padding: PaddingNd, dilation: Sizes, groups: int
) -> Sum:
    """The sum of a convolution over an input of `size`."""
    rank = len(size)
    window, strides, dilation = sizes(window, rank), sizes(strides, rank), sizes(dilation, rank)
    pads = resolve_padding_nd(padding, size, window, strides, dilation)
    outputs = tuple(
        conv_size(size[i], dilation[i] * (window[i] - 1) + 1, strides[i], *pads[i]) for i in range(rank)
    )
    return Sum(size, outputs, window, strides, dilation, tuple(before for before, _ in pads), groups)


def walk_transposed(size: tuple[int, ...], window: Sizes, options: dict[str, Any], groups: int) -> Sum:
    """The sum whose data gradient a transposed convolution of an input of `size` is."""
    rank = len(size)
    window = sizes(window, rank)
    strides, dilation = sizes(options["strides"], rank), sizes(options["dilation_rate"], rank)
    added = options["output_padding"]
    added = (None,) * rank if added is None else sizes(added, rank)
    padding = options["padding"]
    if padding not in ("valid", "same"):
        padding = resolve_padding_nd(padding, size, window, strides, dilation)
    axes = [
        transpose_size(
            size[i],
            dilation[i] * (window[i] - 1) + 1,
            strides[i],
            padding if isinstance(padding, str) else padding[i],
            added[i],
        )
        for i in range(rank)
    ]
    inputs = tuple(out for out, _ in axes)
    if min(inputs) < 1:
        raise ValueError(f"the output would have sizes {inputs}")
    return Sum(inputs, size, window, strides, dilation, tuple(before for _, before in axes), groups)


def real(*arrays: ArrayLike) -> tuple[Real, ...]:
    """All of them in float64."""
    return tuple(np.asarray(array, np.float64) for array in arrays)


def finish(y: Real, bias: ArrayLike | None, activation: str | None) -> Real:
    """Add the bias and apply the activation."""
    return activate(y if bias is None else y + np.asarray(bias, np.float64), activation)
