# SPDX-License-Identifier: Apache-2.0
"""What Winograd's convolution may err: ``y = A' ((G w G') . (B' x B)) A`` with the products summed over the
channels (csrc/cpu/kernels/winograd.h).

Every number on the way is a sum whose terms are known, so the error is bounded by the same expression with
the absolute values of all matrices and arguments: ``|A'| ((|G| |w| |G'|) . (|B'| |x| |B|)) |A|`` takes the
place that the sum of the absolute terms has in a direct convolution. It does not change when a row of G
is scaled and that of B' by the inverse, so the points alone determine it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing.compare import sum_bound

Real = NDArray[np.float64]

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


def convolve(x: Real, kernel: Real, before: tuple[int, int], size: tuple[int, int], outputs: int) -> Real:
    """The convolution of x ``[N,H,W,C]`` by the formula, in float64.

    Output (0, 0) begins at pixel ``-before``; `size` is that of the output.
    """
    return _convolve(x, kernel, before, size, matrices(outputs))


def bound(x: Real, kernel: Real, wanted: Real, before: tuple[int, int], outputs: int) -> Real:
    """Error of that convolution in float32, and of a bias, for each output of `wanted`."""
    size = wanted.shape[1], wanted.shape[2]
    magnitude = _convolve(np.abs(x), np.abs(kernel), before, size, _absolute(outputs))
    return sum_bound(wanted, magnitude, kernel.shape[2] + 2 * sum(ROUNDINGS[outputs]) + 1)


def wgrad(x: Real, dy: Real, before: tuple[int, int], outputs: int) -> Real:
    """The weight gradient ``G' (sum over tiles of (B' x B) . (A dy A')) G``, in float64."""
    return _wgrad(x, dy, before, matrices(outputs))


def wgrad_bound(x: Real, dy: Real, wanted: Real, before: tuple[int, int], outputs: int) -> Real:
    """Error of that weight gradient in float32, for each element of `wanted`."""
    magnitude = _wgrad(np.abs(x), np.abs(dy), before, _absolute(outputs))
    tiles = dy.shape[0] * -(-dy.shape[1] // outputs) * -(-dy.shape[2] // outputs)
    return sum_bound(wanted, magnitude, tiles + 2 * sum(ROUNDINGS[outputs]))


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


def _convolve(x: Real, kernel: Real, before: tuple[int, int], size: tuple[int, int], by: Matrices) -> Real:
    a, g, b = by
    edge, outputs = a.shape
    height, width = (-(-extent // outputs) * outputs for extent in size)
    canvas = _canvas(x, before, (height + 2, width + 2))
    u = np.einsum("ar,rsck,bs->abck", g, kernel, g)
    y = np.zeros((x.shape[0], height, width, kernel.shape[3]))
    for p in range(0, height, outputs):
        for q in range(0, width, outputs):
            v = np.einsum("ha,nhwc,wb->nabc", b, canvas[:, p : p + edge, q : q + edge], b)
            m = np.einsum("nabc,abck->nabk", v, u)
            y[:, p : p + outputs, q : q + outputs] = np.einsum("ap,nabk,bq->npqk", a, m, a)
    return y[:, : size[0], : size[1]]


def _wgrad(x: Real, dy: Real, before: tuple[int, int], by: Matrices) -> Real:
    a, g, b = by
    edge, outputs = a.shape
    height, width = (-(-extent // outputs) * outputs for extent in dy.shape[1:3])
    canvas = _canvas(x, before, (height + 2, width + 2))
    gradient = _canvas(dy, (0, 0), (height, width))
    d = np.zeros((edge, edge, x.shape[3], dy.shape[3]))
    for p in range(0, height, outputs):
        for q in range(0, width, outputs):
            v = np.einsum("ha,nhwc,wb->nabc", b, canvas[:, p : p + edge, q : q + edge], b)
            w = np.einsum("ap,npqk,bq->nabk", a, gradient[:, p : p + outputs, q : q + outputs], a)
            d += np.einsum("nabc,nabk->abck", v, w)
    dw: Real = np.einsum("ar,abck,bs->rsck", g, d, g)
    return dw
