# SPDX-License-Identifier: Apache-2.0
"""Convolution and its two gradients.

    y[n,p,q,k] = b[k] + sum_{r,s,c} x[n, p sh + r dh - top, q sw + s dw - left, c] w[r,s,c,k]

x [N,H,W,C], w [R,S,C/groups,K], y [N,P,Q,K]; x is zero outside. Group g maps channels [g C/groups, (g+1)
C/groups) to outputs [g K/groups, (g+1) K/groups). The map is linear in x and in w; dgrad and wgrad are its
two adjoints, written as the same loop over taps with the roles of the arrays exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.activation import activate
from fastcnn.testing.reference.geometry import Padding, Pads, output_size, pair, resolve_padding

Real = NDArray[np.float64]


def conv2d(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: int | tuple[int, int] = 1,
    padding: Padding = "valid",
    dilation_rate: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Real:
    """Forward pass; [N,P,Q,K]."""
    image, weight = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    n, h, w, _ = image.shape
    r, s, _, k = weight.shape
    walk = _walk((h, w), (r, s), strides, padding, dilation_rate, groups)
    padded = walk.pad(image)
    y = np.zeros((n, *walk.output, k))
    for tap in walk.taps():
        for cin, cout in walk.channels(image.shape[3], k):
            y[..., cout] += padded[:, tap.rows, tap.columns, cin] @ weight[tap.r, tap.s, :, cout]
    if bias is not None:
        y += np.asarray(bias, np.float64)
    return activate(y, activation)


def conv2d_dgrad(
    dy: ArrayLike,
    kernel: ArrayLike,
    input_shape: tuple[int, int, int, int],
    *,
    strides: int | tuple[int, int] = 1,
    padding: Padding = "valid",
    dilation_rate: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Real:
    """Gradient with respect to x; [N,H,W,C]."""
    gradient, weight = np.asarray(dy, np.float64), np.asarray(kernel, np.float64)
    n, h, w, c = input_shape
    r, s, _, k = weight.shape
    walk = _walk((h, w), (r, s), strides, padding, dilation_rate, groups)
    padded = walk.pad(np.zeros((n, h, w, c)))
    for tap in walk.taps():
        for cin, cout in walk.channels(c, k):
            padded[:, tap.rows, tap.columns, cin] += gradient[..., cout] @ weight[tap.r, tap.s, :, cout].T
    return walk.crop(padded)


def conv2d_wgrad(
    x: ArrayLike,
    dy: ArrayLike,
    kernel_size: tuple[int, int],
    *,
    strides: int | tuple[int, int] = 1,
    padding: Padding = "valid",
    dilation_rate: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Real:
    """Gradient with respect to the kernel; [R,S,C/groups,K]."""
    image, gradient = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    _, h, w, c = image.shape
    k = gradient.shape[3]
    walk = _walk((h, w), pair(kernel_size), strides, padding, dilation_rate, groups)
    padded = walk.pad(image)
    dw = np.zeros((*pair(kernel_size), c // groups, k))
    for tap in walk.taps():
        for cin, cout in walk.channels(c, k):
            patch = padded[:, tap.rows, tap.columns, cin]
            dw[tap.r, tap.s, :, cout] = np.tensordot(patch, gradient[..., cout], axes=((0, 1, 2), (0, 1, 2)))
    return dw


def conv2d_bias_bwd(dy: ArrayLike) -> Real:
    """Gradient with respect to the bias; [K]."""
    db: Real = np.asarray(dy, np.float64).sum(axis=(0, 1, 2))
    return db


@dataclass(frozen=True)
class _Tap:
    """One element (r, s) of the kernel, and the padded pixels that it meets over all outputs."""

    r: int
    s: int
    rows: slice
    columns: slice


@dataclass(frozen=True)
class _Walk:
    """The geometry of one convolution."""

    size: tuple[int, int]
    window: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    pads: Pads
    output: tuple[int, int]

    def pad(self, image: Real) -> Real:
        p = self.pads
        return np.pad(image, ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0)))

    def crop(self, padded: Real) -> Real:
        p = self.pads
        return padded[:, p.top : p.top + self.size[0], p.left : p.left + self.size[1], :].copy()

    def taps(self) -> Iterator[_Tap]:
        for r in range(self.window[0]):
            for s in range(self.window[1]):
                yield _Tap(r, s, self._pixels(0, r), self._pixels(1, s))

    def channels(self, c: int, k: int) -> Iterator[tuple[slice, slice]]:
        for g in range(self.groups):
            yield _share(c, self.groups, g), _share(k, self.groups, g)

    def _pixels(self, axis: int, tap: int) -> slice:
        start, stride = tap * self.dilation[axis], self.strides[axis]
        return slice(start, start + (self.output[axis] - 1) * stride + 1, stride)


def _share(count: int, groups: int, g: int) -> slice:
    return slice(g * count // groups, (g + 1) * count // groups)


def _walk(
    size: tuple[int, int],
    window: tuple[int, int],
    strides: int | tuple[int, int],
    padding: Padding,
    dilation_rate: int | tuple[int, int],
    groups: int,
) -> _Walk:
    stride, dilation = pair(strides), pair(dilation_rate)
    pads = resolve_padding(padding, size, window, stride, dilation)
    p = output_size(size[0], window[0], stride[0], pads.top, pads.bottom, dilation=dilation[0])
    q = output_size(size[1], window[1], stride[1], pads.left, pads.right, dilation=dilation[1])
    return _Walk(size, window, stride, dilation, groups, pads, (p, q))
