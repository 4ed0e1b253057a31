# SPDX-License-Identifier: Apache-2.0
"""Random augmentations, moves and merges, and their peers; see `layer_peers`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from drawn_layer import Drawn, Peer, Weights, image, laid_out
from test_torch_merge import DRAWS as MOVES
from test_torch_merge import torch_forward as moved

from fastcnn import layers

# --- augmentation, where what is drawn can be one thing alone


def affine(dice: random.Random) -> Drawn:
    kind = dice.choice(("resizing", "resizing", "crop", "translation", "zoom"))
    h, w, c = image(dice, 2, 3, 20)
    smooth = dice.random() < 0.6
    interpolation = "bilinear" if smooth else "nearest"
    if kind == "resizing":
        p, q = dice.randint(1, 12), dice.randint(1, 12)
        return Drawn(
            layers.Resizing(p, q, interpolation), [(h, w, c)],
            lambda x, _: warp(x[0], grid(h, h / p, p), grid(w, w / q, q), "nearest", smooth),
        )  # fmt: skip
    if kind == "crop":
        p, q = dice.randint(1, h), dice.randint(1, w)
        top, left = (h - p) // 2, (w - q) // 2
        return Drawn(
            layers.CenterCrop(p, q), [(h, w, c)], lambda x, _: x[0][:, top : top + p, left : left + q]
        )
    fill = dice.choice(("constant", "nearest", "reflect", "wrap"))
    options = {"fill_mode": fill, "interpolation": interpolation, "fill_value": dice.choice((0.0, 0.5))}
    down, right = dice.uniform(-0.9, 0.9), dice.uniform(-0.9, 0.9)
    if kind == "translation":
        layer: Any = layers.RandomTranslation((down, down), (right, right), **options)
        rows, cols = (torch.arange(n, dtype=torch.float64) - f * n for n, f in ((h, down), (w, right)))
    else:
        layer = layers.RandomZoom((down, down), (right, right), **options)
        rows, cols = (
            (1 + f) * (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) + (n - 1) / 2
            for n, f in ((h, down), (w, right))
        )
    return Drawn(
        layer, [(h, w, c)], lambda x, _: warp(x[0], rows, cols, fill, smooth, options["fill_value"]),
        predicts=lambda x, _: x[0],
    )  # fmt: skip


def grid(size: int, step: float, count: int) -> Any:
    """The centres of `count` pixels over `size`."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) * step - 0.5


def warp(x: Any, rows: Any, cols: Any, fill: str, smooth: bool, value: float = 0.0) -> Any:
    """x [N,H,W,C] at these places; what lies beyond the border is filled."""
    h, w = (weights_at(at, n, fill, smooth) for at, n in ((rows, x.shape[1]), (cols, x.shape[2])))
    inside = h.sum(1)[:, None] * w.sum(1)
    return torch.einsum("ph,qw,nhwc->npqc", h, w, x) + (value * (1 - inside))[..., None]


def weights_at(at: Any, size: int, fill: str, smooth: bool) -> Any:
    """[places, size]: what each of the pixels contributes."""
    pixels = torch.zeros((len(at), size), dtype=torch.float64)
    for place, position in enumerate(at.tolist()):
        low = math.floor(position) if smooth else math.floor(position + 0.5)
        share = position - low if smooth else 0.0
        for pixel, weight in ((low, 1 - share), (low + 1, share)):
            if fill == "nearest":
                pixel = min(max(pixel, 0), size - 1)
            elif fill == "wrap":
                pixel %= size
            elif fill == "reflect":
                pixel %= 2 * size
                pixel = min(pixel, 2 * size - 1 - pixel)
            if 0 <= pixel < size:
                pixels[place, pixel] += weight
    return pixels


def adjust(dice: random.Random) -> Drawn:
    shape = image(dice, 2, 2, 20)
    low, high, f = -dice.uniform(1, 3), dice.uniform(1, 3), dice.uniform(0, 0.6)

    def brightness(x: list[Any], w: Weights) -> Any:
        return (x[0] + f * (high - low)).clamp(low, high)

    def contrast(x: list[Any], w: Weights) -> Any:
        mean = x[0].mean((1, 2), keepdim=True)
        return ((x[0] - mean) * (1 + f) + mean).clamp(low, high)

    peer, layer = dice.choice(
        (
            (brightness, layers.RandomBrightness((f, f), (low, high))),
            (contrast, layers.RandomContrast((-f, f), (low, high))),
        )
    )
    return Drawn(layer, [shape], peer, 64, lambda x, w: x[0])


# --- moves and merges


def move(kind: str, dice: random.Random) -> Drawn:
    case = MOVES[kind](dice, False)
    rank = len(case.x_shape) - 2
    name = {"zero_padding": "ZeroPadding", "cropping": "Cropping", "upsampling": "UpSampling"}
    shape: Any = case.x_shape[1:]
    peer: Peer = lambda x, w: moved(kind, case, x)  # noqa: E731
    options = dict(case.options)
    if kind == "permute":
        return Drawn(layers.Permute(**options), [shape], peer)
    if kind == "repeat_vector":
        return Drawn(layers.RepeatVector(**options), [shape], peer, options["n"])
    if kind == "upsampling" and rank != 2:
        del options["interpolation"]
    layout: dict[str, Any] = {}
    if rank > 1:
        layout, shape, peer = laid_out(dice, shape, peer)
    return Drawn(getattr(layers, f"{name[kind]}{rank}D")(**options, **layout), [shape], peer, 64)


def concatenate(dice: random.Random) -> Drawn:
    shape = list(image(dice, dice.choice((0, 1, 2))))
    axis = dice.randint(1, len(shape))
    shapes = []
    for _ in range(dice.randint(2, 4)):
        shape[axis - 1] = dice.choice((1, 2, 3, 16, 17))
        shapes.append(tuple(shape))
    named = axis if dice.random() < 0.5 else axis - len(shape) - 1
    return Drawn(layers.Concatenate(named), shapes, lambda x, w: torch.cat(x, axis))


def merge(kind: str, dice: random.Random) -> Drawn:
    """Of two or more inputs, some sizes of which are 1."""
    shape = image(dice, dice.choice((0, 1, 2)))
    count = 2 if kind == "subtract" else dice.choice((2, 2, 3))
    shapes = [tuple(1 if dice.random() < 0.2 else n for n in shape) for _ in range(count)]
    pairwise: dict[str, Callable[[Any, Any], Any]] = {
        "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "average": torch.add,
        "maximum": lambda a, b: torch.where(a >= b, a, b), "minimum": lambda a, b: torch.where(a <= b, a, b),
    }  # fmt: skip

    def peer(x: list[Any], w: Weights) -> Any:
        y = x[0]
        for each in x[1:]:
            y = pairwise[kind](y, each)
        return y / len(x) if kind == "average" else y

    return Drawn(getattr(layers, kind.capitalize())(), shapes, peer, math.prod(shape))


def rescaling(dice: random.Random) -> Drawn:
    scale, offset = dice.uniform(-3, 3), dice.uniform(-1, 1)
    return Drawn(layers.Rescaling(scale, offset), [image(dice, 2)], lambda x, w: x[0] * scale + offset)


def flatten(dice: random.Random) -> Drawn:
    layout, shape, peer = laid_out(dice, image(dice, dice.choice((1, 2, 3))), lambda x, w: x[0].flatten(1))
    return Drawn(layers.Flatten(**layout), [shape], peer)


def reshape(dice: random.Random) -> Drawn:
    shape = image(dice, dice.choice((1, 2)))
    target = dice.choice(((-1,), (shape[-1], -1), (*shape[::-1],), (1, *shape)))
    return Drawn(layers.Reshape(target), [shape], lambda x, w: x[0].reshape(len(x[0]), *target))


def identity(dice: random.Random) -> Drawn:
    return Drawn(layers.Identity(), [image(dice, dice.choice((0, 1, 2)))], lambda x, w: x[0])
