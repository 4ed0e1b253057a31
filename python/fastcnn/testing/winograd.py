# SPDX-License-Identifier: Apache-2.0
"""What Winograd's convolution may err: ``y = A' ((G w G') . (B' x B)) A`` with the products summed over the
channels (csrc/cpu/kernels/winograd.h).

Every number on the way is a sum whose terms are known, so the error is bounded by the same expression with
the absolute values of all matrices and arguments: ``|A'| ((|G| |w| |G'|) . (|B'| |x| |B|)) |A|`` takes the
place that the sum of the absolute terms has in a direct convolution. It does not change when a row of G
is scaled and that of B' by the inverse, so the points alone determine it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing.compare import sum_bound

Real = NDArray[np.float64]
Index = tuple[slice, slice, slice]

POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.5, -2.0)}  # and infinity

# Roundings of one pass over an axis: of x, of a filter with its constants, of an output.
ROUNDINGS = {2: (1, 2, 2), 4: (3, 5, 4)}


def matrices(outputs: int) -> tuple[Real, Real, Real]:
    """A, G and B of F(outputs, 3) by Toom and Cook: evaluation at the points, and its inverse."""
    edge = outputs + 2

    def powers(count: int) -> Real:
        finite = [[point**i for i in range(count)] for point in POINTS[outputs]]
        return np.array([*finite, [0.0] * (count - 1) + [1.0]])

    inverse = np.linalg.inv(powers(edge)).astype(np.float64)
    return powers(outputs), powers(3), inverse


@dataclass(frozen=True)
class Geometry:
    """Output (0, 0) begins at pixel ``-before``; `dilation` is that of the filter."""

    before: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)

    def phases(self) -> Iterator[tuple[Index, Index, tuple[int, int]]]:
        """Outputs that share no pixel: their indices, those of their pixels, and `before` among these."""
        for phase in product(*map(range, self.dilation)):
            first = [i - zeros for i, zeros in zip(phase, self.before, strict=True)]
            start = [i % step for i, step in zip(first, self.dilation, strict=True)]
            i, j = ((s - f) // step for s, f, step in zip(start, first, self.dilation, strict=True))
            yield _every(phase, self.dilation), _every(start, self.dilation), (i, j)


def convolve(x: Real, kernel: Real, size: tuple[int, int], at: Geometry, outputs: int) -> Real:
    """The convolution of x ``[N,H,W,C]`` by the formula, in float64; `size` is that of the output."""
    return _convolve(x, kernel, size, at, matrices(outputs))


def bound(x: Real, kernel: Real, wanted: Real, at: Geometry, outputs: int) -> Real:
    """Error of that convolution in float32, and of a bias, for each output of `wanted`."""
    size = wanted.shape[1], wanted.shape[2]
    magnitude = _convolve(np.abs(x), np.abs(kernel), size, at, _absolute(outputs))
    return sum_bound(wanted, magnitude, kernel.shape[2] + 2 * sum(ROUNDINGS[outputs]) + 1)


def wgrad(x: Real, dy: Real, at: Geometry, outputs: int) -> Real:
    """The weight gradient ``G' (sum over tiles of (B' x B) . (A dy A')) G``, in float64."""
    return _wgrad(x, dy, at, matrices(outputs))


def wgrad_bound(x: Real, dy: Real, wanted: Real, at: Geometry, outputs: int) -> Real:
    """Error of that weight gradient in float32, for each element of `wanted`."""
    magnitude = _wgrad(np.abs(x), np.abs(dy), at, _absolute(outputs))
    tiles = [
        step * -(-extent // (step * outputs)) for step, extent in zip(at.dilation, dy.shape[1:3], strict=True)
    ]
    terms = dy.shape[0] * tiles[0] * tiles[1]
    return sum_bound(wanted, magnitude, terms + 2 * sum(ROUNDINGS[outputs]))


Matrices = tuple[Real, Real, Real]


def _absolute(outputs: int) -> Matrices:
    a, g, b = matrices(outputs)
    return np.abs(a), np.abs(g), np.abs(b)


def _canvas(x: Real, before: tuple[int, int], size: tuple[int, int]) -> Real:
    """Pixel i is pixel ``i - before`` of x; what of x lies outside of it is left out."""
    canvas = np.zeros((x.shape[0], *size, x.shape[3]))
    spans = [
        (max(0, zeros), max(0, -zeros), max(0, min(length, extent - zeros) - max(0, -zeros)))
        for zeros, length, extent in zip(before, x.shape[1:3], size, strict=True)
    ]
    (i, row, rows), (j, col, cols) = spans
    canvas[:, i : i + rows, j : j + cols] = x[:, row : row + rows, col : col + cols]
    return canvas


def _every(first: Sequence[int], step: tuple[int, int]) -> Index:
    return slice(None), slice(first[0], None, step[0]), slice(first[1], None, step[1])


def _convolve(x: Real, kernel: Real, size: tuple[int, int], at: Geometry, by: Matrices) -> Real:
    a, g, b = by
    edge, outputs = a.shape
    u = np.einsum("ar,rsck,bs->abck", g, kernel, g)
    y = np.zeros((x.shape[0], *size, kernel.shape[3]))
    for out, pixels, before in at.phases():
        part = y[out]
        height, width = (-(-extent // outputs) * outputs for extent in part.shape[1:3])
        canvas = _canvas(x[pixels], before, (height + 2, width + 2))
        whole = np.zeros((x.shape[0], height, width, kernel.shape[3]))
        for p, q in product(range(0, height, outputs), range(0, width, outputs)):
            v = np.einsum("ha,nhwc,wb->nabc", b, canvas[:, p : p + edge, q : q + edge], b)
            m = np.einsum("nabc,abck->nabk", v, u)
            whole[:, p : p + outputs, q : q + outputs] = np.einsum("ap,nabk,bq->npqk", a, m, a)
        part[...] = whole[:, : part.shape[1], : part.shape[2]]
    return y


def _wgrad(x: Real, dy: Real, at: Geometry, by: Matrices) -> Real:
    a, g, b = by
    edge, outputs = a.shape
    d = np.zeros((edge, edge, x.shape[3], dy.shape[3]))
    for out, pixels, before in at.phases():
        part = dy[out]
        height, width = (-(-extent // outputs) * outputs for extent in part.shape[1:3])
        canvas = _canvas(x[pixels], before, (height + 2, width + 2))
        gradient = _canvas(part, (0, 0), (height, width))
        for p, q in product(range(0, height, outputs), range(0, width, outputs)):
            v = np.einsum("ha,nhwc,wb->nabc", b, canvas[:, p : p + edge, q : q + edge], b)
            w = np.einsum("ap,npqk,bq->nabk", a, gradient[:, p : p + outputs, q : q + outputs], a)
            d += np.einsum("nabc,nabk->abck", v, w)
    dw: Real = np.einsum("ar,abck,bs->rsck", g, d, g)
    return dw
