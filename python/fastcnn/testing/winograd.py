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
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing.compare import sum_bound

Real = NDArray[np.float64]
Index = tuple[slice, slice, slice]
Matrices = tuple[Real, Real, Real]


@dataclass(frozen=True)
class Parts:
    """F(outputs,3) of the parts of a filter of other sizes: along an axis its taps fall apart into threes and
    twos, with stride 2 the even ones and the odd ones do. Or, given the zeros before x, that of its data
    gradient with stride 2: each phase of it is a convolution of dy by two or three of the taps.
    """

    outputs: Literal[2, 4]
    taps: tuple[int, int]
    stride: int = 1
    before: tuple[int, int] | None = None


# F(2,3), F(4,3), those of stride 2, F(2,3) of three taps beside F(2,2) of two, and those of parts
Form = Literal[2, 4, "strided", "strided dgrad", "five taps"] | Parts

POINTS: dict[Form, tuple[float, ...]] = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.5, -2.0)}  # and infinity

# A, G and B' of the others: products by outputs, by taps and by pixels.
GIVEN: dict[Form, tuple[list[list[float]], list[list[float]], list[list[float]]]] = {
    "strided": (
        [[1, 0], [1, 0], [1, 1], [0, 1], [0, 1]],
        [[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]],
        [[1, 0, -1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, -1, 0, 1]],
    ),
    "strided dgrad": (
        [[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
        [[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 1, 0]],
        [[1, -1, 0], [0, 1, 0], [0, -1, 1], [0, 1, 0], [0, 0, 1]],
    ),
    "five taps": (
        [[1, 0], [1, 1], [1, -1], [0, -1], [1, 0], [1, 1], [0, -1]],
        [
            [1, 0, 0, 0, 0],
            [0.5, 0.5, 0.5, 0, 0],
            [0.5, -0.5, 0.5, 0, 0],
            [0, 0, 1, 0, 0],
            [0, 0, 0, 1, 0],
            [0, 0, 0, 1, 1],
            [0, 0, 0, 0, 1],
        ],
        [
            [1, 0, -1, 0, 0, 0],
            [0, 1, 1, 0, 0, 0],
            [0, -1, 1, 0, 0, 0],
            [0, 1, 0, -1, 0, 0],
            [0, 0, 0, 1, -1, 0],
            [0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 1, -1],
        ],
    ),
}

# Roundings of one pass over an axis: of x, of a filter with its constants, of an output.
ROUNDINGS: dict[Form, tuple[int, int, int]] = {
    2: (1, 2, 2), 4: (3, 5, 4), "strided": (1, 1, 1), "strided dgrad": (1, 1, 1), "five taps": (1, 2, 2),
}  # fmt: skip


def split(taps: int, stride: int) -> Iterator[list[int]]:
    """The taps of each part."""
    for phase in range(stride):
        left = list(range(phase, taps, stride))
        while left:
            count = 3 if len(left) == 3 or len(left) > 4 else 2
            yield left[:count]
            del left[:count]


def _parts(form: Parts, axis: int) -> Matrices:
    """Of all parts: their outputs are sums over the points of each, or, of phases, lie side by side."""
    taps, stride, outputs = form.taps[axis], form.stride, form.outputs
    a, g, b = matrices(outputs)
    stack: list[Matrices] = []

    def add(at: list[int | None], a: Real, pixels: slice, edge: int) -> None:
        met = np.array([at[0] is not None, *[True] * outputs, at[2] is not None])
        filters, inputs = np.zeros((len(g), taps)), np.zeros((edge, len(g)))
        for i, tap in enumerate(at):
            if tap is not None:
                filters[:, tap] = g[:, i]
        inputs[pixels] = b[: len(inputs[pixels])]
        stack.append((a[met], filters[met], inputs[:, met]))

    if form.before is None:
        for part in split(taps, stride):
            pixels = slice(part[0], part[0] + stride * len(b), stride)
            add([*part, None][:3], a, pixels, (outputs - 1) * stride + taps)
    else:
        # Tap r of output h meets pixel (h + before - r) / 2 of dy.
        h = [range((i + form.before[axis]) % 2, taps, 2) for i in range(2)]
        meets = [{(i + form.before[axis] - r) // 2: r for r in rows} for i, rows in enumerate(h)]
        low = min(map(min, meets))
        for phase, tap in enumerate(meets):
            interleaved = np.zeros((len(a), 2 * outputs))
            interleaved[:, phase::2] = a
            add([tap.get(low + i) for i in range(3)], interleaved, slice(None), len(b))
    points, filters, inputs = zip(*stack, strict=True)
    return np.concatenate(points), np.concatenate(filters), np.concatenate(inputs, axis=1)


def matrices(form: Form, axis: int = 0) -> Matrices:
    """A, G and B, of F(outputs, 3) by Toom and Cook: evaluation at the points, and its inverse."""
    if isinstance(form, Parts):
        return _parts(form, axis)
    if form in GIVEN:
        a, g, b = (np.array(rows, np.float64) for rows in GIVEN[form])
        return a, g, b.T
    outputs = int(form)
    edge = outputs + 2

    def powers(count: int) -> Real:
        finite = [[point**i for i in range(count)] for point in POINTS[form]]
        return np.array([*finite, [0.0] * (count - 1) + [1.0]])

    inverse = np.linalg.inv(powers(edge)).astype(np.float64)
    return powers(outputs), powers(3), inverse


@dataclass(frozen=True)
class Geometry:
    """Output (0, 0) begins at pixel ``-before``; `dilation` is that of the filter. Of a flipped axis the
    formula takes the pixels, taps and outputs of a tile from its end.
    """

    before: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    flipped: tuple[bool, bool] = (False, False)

    def phases(self) -> Iterator[tuple[Index, Index, tuple[int, int]]]:
        """Outputs that share no pixel: their indices, those of their pixels, and `before` among these."""
        for phase in product(*map(range, self.dilation)):
            first = [i - zeros for i, zeros in zip(phase, self.before, strict=True)]
            start = [i % step for i, step in zip(first, self.dilation, strict=True)]
            i, j = ((s - f) // step for s, f, step in zip(start, first, self.dilation, strict=True))
            yield _every(phase, self.dilation), _every(start, self.dilation), (i, j)


def convolve(x: Real, kernel: Real, size: tuple[int, int], at: Geometry, form: Form) -> Real:
    """The convolution of x ``[N,H,W,C]`` by the formula, in float64; `size` is that of the output."""
    return _convolve(x, kernel, size, at, _axes(form, at), _step(form))


def dgrad_geometry(form: Parts) -> Geometry:
    """Where a data gradient with stride 2 begins to read dy."""
    assert form.before is not None
    down, across = (
        -min((phase + pad - r) // 2 for phase in range(2) for r in range((phase + pad) % 2, taps, 2))
        for pad, taps in zip(form.before, form.taps, strict=True)
    )
    return Geometry((down, across))


def bound(x: Real, kernel: Real, wanted: Real, at: Geometry, form: Form) -> Real:
    """Error of that convolution in float32, and of a bias, for each output of `wanted`."""
    size = wanted.shape[1], wanted.shape[2]
    magnitude = _convolve(np.abs(x), np.abs(kernel), size, at, _absolute(form, at), _step(form))
    parts = 4 if form in ("strided", "five taps") else 1
    if isinstance(form, Parts) and form.before is None:
        parts = int(np.prod([len(list(split(taps, form.stride))) for taps in form.taps]))
    return sum_bound(wanted, magnitude, kernel.shape[2] * parts + 2 * _roundings(form) + 1)


def wgrad(x: Real, dy: Real, at: Geometry, form: Form) -> Real:
    """The weight gradient ``G' (sum over tiles of (B' x B) . (A dy A')) G``, in float64."""
    return _wgrad(x, dy, at, _axes(form, at), _step(form))


def wgrad_bound(x: Real, dy: Real, wanted: Real, at: Geometry, form: Form) -> Real:
    """Error of that weight gradient in float32, for each element of `wanted`."""
    magnitude = _wgrad(np.abs(x), np.abs(dy), at, _absolute(form, at), _step(form))
    outputs = form.outputs if isinstance(form, Parts) else matrices(form)[0].shape[1]
    tiles = [
        step * -(-extent // (step * outputs)) for step, extent in zip(at.dilation, dy.shape[1:3], strict=True)
    ]
    terms = dy.shape[0] * tiles[0] * tiles[1] * (4 if form == "strided" else 1)
    return sum_bound(wanted, magnitude, terms + 2 * _roundings(form))


def _roundings(form: Form) -> int:
    return sum(ROUNDINGS[form.outputs if isinstance(form, Parts) else form])


def _step(form: Form) -> int:
    """Pixels from tile to tile."""
    if isinstance(form, Parts):
        return form.outputs * (form.stride if form.before is None else 1)
    return {2: 2, 4: 4, "strided": 4, "strided dgrad": 2, "five taps": 2}[form]


def _axes(form: Form, at: Geometry) -> tuple[Matrices, Matrices]:
    down, across = (
        (a[:, ::-1], g[:, ::-1], b[::-1]) if flipped else (a, g, b)
        for (a, g, b), flipped in zip((matrices(form, 0), matrices(form, 1)), at.flipped, strict=True)
    )
    return down, across


def _absolute(form: Form, at: Geometry) -> tuple[Matrices, Matrices]:
    down, across = ((np.abs(a), np.abs(g), np.abs(b)) for a, g, b in _axes(form, at))
    return down, across


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


def _convolve(
    x: Real, kernel: Real, size: tuple[int, int], at: Geometry, by: tuple[Matrices, Matrices], step: int
) -> Real:
    (a, g, b), (a_w, g_w, b_w) = by
    edge, edge_w, outputs = b.shape[0], b_w.shape[0], a.shape[1]
    u = np.einsum("ar,rsck,bs->abck", g, kernel, g_w)
    y = np.zeros((x.shape[0], *size, kernel.shape[3]))
    for out, pixels, before in at.phases():
        part = y[out]
        rows, columns = (-(-extent // outputs) for extent in part.shape[1:3])
        canvas = _canvas(x[pixels], before, (rows * step + edge - step, columns * step + edge_w - step))
        whole = np.zeros((x.shape[0], rows * outputs, columns * outputs, kernel.shape[3]))
        for i, j in product(range(rows), range(columns)):
            p, q = i * outputs, j * outputs
            tile = canvas[:, i * step : i * step + edge, j * step : j * step + edge_w]
            v = np.einsum("ha,nhwc,wb->nabc", b, tile, b_w)
            m = np.einsum("nabc,abck->nabk", v, u)
            whole[:, p : p + outputs, q : q + outputs] = np.einsum("ap,nabk,bq->npqk", a, m, a_w)
        part[...] = whole[:, : part.shape[1], : part.shape[2]]
    return y


def _wgrad(x: Real, dy: Real, at: Geometry, by: tuple[Matrices, Matrices], step: int) -> Real:
    (a, g, b), (a_w, g_w, b_w) = by
    edge, edge_w, outputs = b.shape[0], b_w.shape[0], a.shape[1]
    d = np.zeros((len(a), len(a_w), x.shape[3], dy.shape[3]))
    for out, pixels, before in at.phases():
        part = dy[out]
        rows, columns = (-(-extent // outputs) for extent in part.shape[1:3])
        canvas = _canvas(x[pixels], before, (rows * step + edge - step, columns * step + edge_w - step))
        gradient = _canvas(part, (0, 0), (rows * outputs, columns * outputs))
        for i, j in product(range(rows), range(columns)):
            p, q = i * outputs, j * outputs
            tile = canvas[:, i * step : i * step + edge, j * step : j * step + edge_w]
            v = np.einsum("ha,nhwc,wb->nabc", b, tile, b_w)
            w = np.einsum("ap,npqk,bq->nabk", a, gradient[:, p : p + outputs, q : q + outputs], a_w)
            d += np.einsum("nabc,nabk->abck", v, w)
    dw: Real = np.einsum("ar,abck,bs->rsck", g, d, g_w)
    return dw
