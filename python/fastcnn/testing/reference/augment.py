# SPDX-License-Identifier: Apache-2.0
"""Augmentation in float64: affine maps, brightness and contrast, erased rectangles, mixed pairs.

Operators are described as nodes of a network are, and draw as dropout does: image i takes the words of the
block with counter ``(i, op, step low, step high)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.random import DropoutDraw, normal_deviates, philox4x32

Real = NDArray[np.float64]
Whole = NDArray[np.int64]
Node = Mapping[str, Any]

_ONE = 2**32  # points are whole numbers of 2^-32 pixels


def _words(draw: DropoutDraw, block: int) -> list[int]:
    counter = [block, draw.op, draw.step & 0xFFFFFFFF, draw.step >> 32]
    return [int(word) for word in philox4x32(counter, (draw.seed & 0xFFFFFFFF, draw.seed >> 32))]


def _of(node: Node, draw: DropoutDraw) -> DropoutDraw:
    return DropoutDraw(node.get("seed", draw.seed), draw.step, draw.op)


def _unit(word: int) -> float:
    return (word >> 8) / 2.0**24


def _between(node: Node, name: str, word: int) -> float:
    low, high = float(node[f"{name}_low"]), float(node[f"{name}_high"])
    return low + (high - low) * _unit(word)


class AffineMap(NamedTuple):
    """``row = row_p p + row_q q + row_0`` and ``col`` likewise, in 2^-32 of a pixel."""

    row_p: int
    row_q: int
    row_0: int
    col_p: int
    col_q: int
    col_0: int


def _fixed(*pixels: float) -> AffineMap:
    return AffineMap(*(math.floor(value * _ONE + 0.5) for value in pixels))


def _cos_sin(turns: float) -> tuple[float, float]:
    """Of a number of turns; exact for quarters."""
    quarters = math.floor(4 * turns + 0.5)
    angle = 2.0 * math.pi * (turns - quarters / 4)
    c, s = math.cos(angle), math.sin(angle)
    return ((c, s), (-s, c), (-c, -s), (s, -c))[quarters % 4]


class _Window(NamedTuple):
    """The part of an image that a resizing shows."""

    top: int
    left: int
    height: int
    width: int


def _middle(h: int, w: int, p: int, q: int) -> _Window:
    """The largest part of an image that has the aspect of p x q."""
    height, width = max(min(h, w * p // q), 1), max(min(w, h * q // p), 1)
    return _Window((h - height) // 2, (w - width) // 2, height, width)


def affine_shape(node: Node, h: int, w: int) -> tuple[int, int]:
    """Height and width of the result."""
    return (node["height"], node["width"]) if node["kind"] in ("crop", "resize") else (h, w)


def _window(node: Node, h: int, w: int, training: bool) -> _Window | None:
    """What a crop or resizing shows; None of what draws a map."""
    if node["kind"] not in ("crop", "resize"):
        return None
    p, q = affine_shape(node, h, w)
    if node["kind"] == "crop":
        return None if training and h > p and w > q else _middle(h, w, p, q)
    if node["center"] and h >= p and w >= q:
        return _Window((h - p) // 2, (w - q) // 2, p, q)
    return _middle(h, w, p, q) if node["center"] or node["crop_to_aspect_ratio"] else _Window(0, 0, h, w)


def _bilinear(node: Node, window: _Window | None, p: int, q: int) -> bool:
    if node["kind"] == "flip" or (node["kind"] == "crop" and window is None):
        return False
    if window is not None and (window.height, window.width) == (p, q):
        return False
    return bool(node["kind"] == "crop" or node["interpolation"] == "bilinear")


def affine_map(node: Node, h: int, w: int, words: list[int], training: bool = True) -> AffineMap:
    """The map of an image."""
    kind, (p, q) = node["kind"], affine_shape(node, h, w)
    y, x = (h - 1) / 2, (w - 1) / 2
    window = _window(node, h, w, training)
    if window is not None:
        rows, cols = window.height / p, window.width / q
        more = (0.0, 0.0) if _bilinear(node, window, p, q) else (0.25 / p, 0.25 / q)
        return _fixed(rows, 0, rows * 0.5 - 0.5 + more[0], 0, cols, cols * 0.5 - 0.5 + more[1])
    if kind == "crop":
        return _fixed(
            1, 0, math.floor(_unit(words[0]) * (h - p + 1)), 0, 1, math.floor(_unit(words[1]) * (w - q + 1))
        )
    if kind == "flip":
        flips = words[0] >> 31
        down, across = flips and node["vertical"], flips and node["horizontal"]
        return _fixed(
            -1 if down else 1, 0, h - 1 if down else 0, 0, -1 if across else 1, w - 1 if across else 0
        )
    if kind == "translation":
        return _fixed(
            1, 0, -_between(node, "height", words[0]) * h, 0, 1, -_between(node, "width", words[1]) * w
        )
    if kind == "rotation":
        c, s = _cos_sin(_between(node, "factor", words[0]))
        return _fixed(c, s, (y - x * s) - y * c, -s, c, (x - x * c) + y * s)
    rows = 1 + _between(node, "height", words[0])
    cols = 1 + _between(node, "width", words[1]) if "width_low" in node else rows
    return _fixed(rows, 0, y * (1 - rows), 0, cols, x * (1 - cols))


def _shown(i: Whole, n: int, fill: str) -> tuple[Whole, NDArray[np.bool_]]:
    """The pixel that stands for pixel i of n, and whether there is one."""
    if fill == "constant":
        return np.clip(i, 0, n - 1), (i >= 0) & (i < n)
    if fill == "nearest":
        return np.clip(i, 0, n - 1), np.ones(i.shape, bool)
    if fill == "wrap":
        return i % n, np.ones(i.shape, bool)
    i = i % (2 * n)
    return np.where(i < n, i, 2 * n - 1 - i), np.ones(i.shape, bool)


class _Tap(NamedTuple):
    """One of the pixels that each pixel of y shows."""

    rows: Whole
    cols: Whole
    there: NDArray[np.bool_]
    weight: Real


def _taps(node: Node, h: int, w: int, words: list[int], training: bool) -> Iterator[_Tap]:
    p, q = affine_shape(node, h, w)
    window = _window(node, h, w, training)
    m = affine_map(node, h, w, words, training)
    top, left, height, width = window or _Window(0, 0, h, w)
    fill = "nearest" if window else node.get("fill_mode", "constant")
    i, j = np.arange(p, dtype=np.int64)[:, None], np.arange(q, dtype=np.int64)[None, :]
    row, col = m.row_p * i + m.row_q * j + m.row_0, m.col_p * i + m.col_q * j + m.col_0
    if not _bilinear(node, window, p, q):
        nearest = [(point + _ONE // 2 - (point < 0)) // _ONE for point in (row, col)]
        (r, r_there), (c, c_there) = _shown(nearest[0], height, fill), _shown(nearest[1], width, fill)
        yield _Tap(r + top, c + left, r_there & c_there, np.ones(row.shape))
        return
    u, v = ((point % _ONE // 256) / 2.0**24 for point in (row, col))
    for down, row_weight in ((0, 1 - u), (1, u)):
        for across, col_weight in ((0, 1 - v), (1, v)):
            r, r_there = _shown(row // _ONE + down, height, fill)
            c, c_there = _shown(col // _ONE + across, width, fill)
            yield _Tap(r + top, c + left, r_there & c_there, row_weight * col_weight)


def _each(node: Node, draw: DropoutDraw, images: int) -> Iterator[list[int]]:
    one_place = node["kind"] == "crop"
    for i in range(images):
        yield _words(_of(node, draw), 0 if one_place else i)


def affine(x: ArrayLike, node: Node, draw: DropoutDraw, training: bool = True) -> Real:
    """Each image seen through its map."""
    images = np.asarray(x, np.float64)
    _, h, w, _ = images.shape
    value = float(np.float32(node.get("fill_value", 0.0)))
    return np.stack(
        [
            sum(
                tap.weight[..., None] * np.where(tap.there[..., None], image[tap.rows, tap.cols], value)
                for tap in _taps(node, h, w, words, training)
            )
            for image, words in zip(images, _each(node, draw, len(images)), strict=True)
        ]
    )


def affine_bwd(
    dy: ArrayLike, x_shape: tuple[int, ...], node: Node, draw: DropoutDraw, training: bool = True
) -> Real:
    """The transpose: each pixel of dy is handed to those that it showed."""
    gradient, dx = np.asarray(dy, np.float64), np.zeros(x_shape)
    _, h, w, _ = x_shape
    for i, words in enumerate(_each(node, draw, x_shape[0])):
        for tap in _taps(node, h, w, words, training):
            weight = np.where(tap.there, tap.weight, 0.0)
            np.add.at(dx[i], (tap.rows, tap.cols), weight[..., None] * gradient[i])
    return dx


def _adjusted(node: Node, draw: DropoutDraw, x: Real) -> Iterator[tuple[float, Real]]:
    """The factor of each image, and its values before they are clipped."""
    for i, image in enumerate(x):
        drawn = _between(node, "factor", _words(_of(node, draw), i)[0])
        if node["kind"] == "brightness":
            delta = np.float32(
                drawn * (float(np.float32(node["maximum"])) - float(np.float32(node["minimum"])))
            )
            yield 1.0, image + np.float64(delta)
        else:
            mean, factor = image.mean(axis=(0, 1)), float(np.float32(drawn))
            yield factor, (image - mean) * factor + mean


def _limits(node: Node) -> tuple[float, float]:
    return float(np.float32(node["minimum"])), float(np.float32(node["maximum"]))


def adjust(x: ArrayLike, node: Node, draw: DropoutDraw) -> Real:
    """Brightness or contrast, clipped."""
    return np.stack([np.clip(v, *_limits(node)) for _, v in _adjusted(node, draw, np.asarray(x, np.float64))])


def adjust_bwd(dy: ArrayLike, x: ArrayLike, node: Node, draw: DropoutDraw) -> Real:
    """dy where nothing was clipped; of a contrast through the mean as well."""
    low, high = _limits(node)
    result = []
    gradients = np.asarray(dy, np.float64)
    for g, (factor, v) in zip(gradients, _adjusted(node, draw, np.asarray(x, np.float64)), strict=True):
        kept = np.where((v >= low) & (v <= high), g, 0.0)
        mean = kept.mean(axis=(0, 1)) if node["kind"] == "contrast" else 0.0
        result.append(factor * kept + (1.0 - factor) * mean)
    return np.stack(result)


def erased(shape: tuple[int, ...], node: Node, draw: DropoutDraw) -> NDArray[np.bool_]:
    """The pixels of each image that are painted over, [N, H, W]."""
    n, h, w = shape[:3]
    mask = np.zeros((n, h, w), bool)
    for i in range(n):
        a, b = (_words(_of(node, draw), 2 * i + k) for k in range(2))
        if not _unit(b[1]) < _between(node, "factor", b[0]):
            continue
        parts = []
        for size, share, place in ((h, a[1], a[3]), (w, a[0], a[2])):
            length = math.sqrt(_between(node, "scale", share)) * size
            start = _unit(place) * (size - length)
            parts.append(slice(math.ceil(start), math.ceil(start + length)))
        mask[i, parts[0], parts[1]] = True
    return mask


def erase(x: ArrayLike, node: Node, draw: DropoutDraw) -> Real:
    """The fill value, or clipped deviates times the upper end, in the rectangles."""
    values = np.asarray(x, np.float64)
    if node["fills"]:
        paint: Real = np.array([float(np.float32(node[f"fill_{k}"])) for k in range(node["fills"])])
    else:
        own = _of(node, draw)
        noise = DropoutDraw(own.seed, own.step, own.op + 1)
        paint = normal_deviates(values.size, noise).reshape(values.shape) * np.float32(node["maximum"])
    clipped: Real = np.clip(paint, *_limits(node))
    return np.where(erased(values.shape, node, draw)[..., None], clipped, values)


def erase_bwd(dy: ArrayLike, node: Node, draw: DropoutDraw) -> Real:
    """dy outside of the rectangles."""
    gradient = np.asarray(dy, np.float64)
    return np.where(erased(gradient.shape, node, draw)[..., None], 0.0, gradient)


class Pairs(NamedTuple):
    """Whom the samples of a batch are mixed with, what each keeps of itself, and boxes if they are cut."""

    partner: Whole
    weight: Real
    box: Whole | None


_LEAST_ALPHA = 1e-6


def _beta(alpha: float, u: int, v: int) -> float:
    """Of both parameters alpha, from two words (L. Devroye, 1996)."""
    exponent = -math.log(((u >> 8) + 1) / 2.0**24) / alpha
    t = math.sqrt(math.expm1(min(exponent, 700.0))) * _cos_sin(_unit(v))[0]
    return 0.5 + 0.5 * t / math.sqrt(1.0 + t * t)


def _range(share: float, place: int, size: int) -> tuple[int, int]:
    length = math.sqrt(share) * size
    start = _unit(place) * (size - length)
    return math.ceil(start), min(size, math.ceil(start + length))


def mix_draw(shape: tuple[int, ...], node: Node, draw: DropoutDraw) -> Pairs:
    """What samples of shape [N, H, W, C] draw."""
    n, h, w = shape[:3]
    own = _of(node, draw)
    pairs = [_words(DropoutDraw(own.seed, own.step, own.op + 1), block) for block in range(-(-n // 4))]
    index = np.zeros(n, np.int64)
    for i in range(n):  # inside out
        j = pairs[i // 4][i % 4] * (i + 1) >> 32
        index[i] = index[j]
        index[j] = i
    alpha = max(_LEAST_ALPHA, _between(node, "alpha", pairs[0][0]))
    words = [_words(own, i) for i in range(n)]
    weight = np.array([_beta(alpha, each[0], each[1]) for each in words])
    if node["kind"] == "up":
        return Pairs(index, weight, None)
    sides = [(h, 2), (w, 3)]
    box = np.array(
        [
            [edge for size, k in sides for edge in _range(1.0 - share, each[k], size)]
            for share, each in zip(weight, words, strict=True)
        ]
    )
    return Pairs(index, 1.0 - (box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2]) / (h * w), box)


def mix(x: ArrayLike, pairs: Pairs) -> Real:
    """``w x[i] + (1 - w) x[index[i]]``, or x[index[i]] in the box (top, bottom, left, right) of sample i."""
    values = np.array(x, np.float64)
    if pairs.box is None:
        w = pairs.weight.reshape(-1, *(1,) * (values.ndim - 1)).astype(np.float64)
        y: Real = w * values + (1.0 - w) * values[pairs.partner]
        return y
    result = values.copy()
    for i, (top, bottom, left, right) in enumerate(pairs.box):
        result[i, top:bottom, left:right] = values[pairs.partner[i], top:bottom, left:right]
    return result


def mix_bwd(dy: ArrayLike, pairs: Pairs) -> Real:
    """The transpose: each sample gives back what its partner gave."""
    gradient = np.asarray(dy, np.float64)
    dx = np.zeros(gradient.shape)
    for i, j in enumerate(pairs.partner):
        keep: Any = pairs.weight[i] if pairs.box is None else np.ones(gradient.shape[1:3])[..., None]
        if pairs.box is not None:
            top, bottom, left, right = pairs.box[i]
            keep[top:bottom, left:right] = 0.0
        dx[i] += keep * gradient[i]
        dx[j] += (1.0 - keep) * gradient[i]
    return dx


def mix_labels(y: ArrayLike, pairs: Pairs) -> Real:
    """Labels [N, classes] by the weights."""
    return mix(y, pairs._replace(box=None))
