# SPDX-License-Identifier: Apache-2.0
"""Random convolutions and pools, with every form of padding, and their peers; see `layer_peers`."""

from __future__ import annotations

import math
import random
from typing import Any

import torch
from drawn_layer import CHANNELS, Drawn, Weights, image, laid_out
from test_torch_conv import BACK, draw_plain, draw_transposed, torch_forward

from fastcnn import layers
from fastcnn.testing.case import ConvNdCase
from fastcnn.testing.reference.conv_nd import resolve_padding_nd, transpose_size

functional = torch.nn.functional


# --- convolutions


def convolution(op: str, dice: random.Random) -> Drawn:
    case = draw_plain(dice, op)
    depthwise = {"depth_multiplier": case.k // case.c}
    plain = {"filters": case.k, "groups": case.groups}

    def peer(x: list[Any], w: Weights) -> Any:
        return torch_forward(case, x[0].movedim(-1, 1), w["kernel"], w.get("bias")).movedim(1, -1)

    layout, shape, peer = laid_out(dice, (*case.size, case.c), peer)
    make = getattr(layers, f"DepthwiseConv{op[-2]}D" if case.depthwise else f"Conv{op[-2]}D")
    layer = make(
        kernel_size=case.window, strides=case.strides, padding=case.padding, use_bias=dice.random() < 0.7,
        dilation_rate=case.dilation_rate, **(depthwise if case.depthwise else plain), **layout,
    )  # fmt: skip
    return Drawn(layer, [shape], peer, _terms(case))


def _terms(case: ConvNdCase) -> int:
    """Of the longest sum of the three passes."""
    taps = math.prod(case.window)
    return max(taps * max(case.c, case.k) // case.groups, 4 * math.prod(case.y_shape[1:-1]))


def transposed(op: str, dice: random.Random) -> Drawn:
    """With every form of padding; the whole result, of which the padding takes something off."""
    rank = int(op[4])
    case = draw_transposed(dice, rank)
    added = dice.choice((None, case.output_padding))
    padding = dice.choice(("valid", "same", "pairs"))
    extents = [d * (r - 1) + 1 for d, r in zip(case.dilation_rate, case.window, strict=True)]
    if padding == "pairs":
        least = (min(2, (n - 1) * s // 2) for n, s in zip(case.size, case.strides, strict=True))
        padding = tuple((dice.randint(0, n), dice.randint(0, n)) for n in least)
    sides = [padding] * rank if isinstance(padding, str) else padding
    ends = [
        transpose_size(n, extent, stride, side, None if added is None else added[axis])
        for axis, (n, extent, stride, side) in enumerate(
            zip(case.size, extents, case.strides, sides, strict=True)
        )
    ]

    def peer(x: list[Any], w: Weights) -> Any:
        weight = w["kernel"].movedim((-1, -2), (0, 1))
        y = BACK[rank](x[0].movedim(-1, 1), weight, None, case.strides, 0, 0, case.groups, case.dilation_rate)
        for axis, (size, before) in enumerate(ends):
            y = y.narrow(2 + axis, before, min(size, y.shape[2 + axis] - before))
        missing = [n for axis in range(rank)[::-1] for n in (0, ends[axis][0] - y.shape[2 + axis])]
        return functional.pad(y, missing).movedim(1, -1) + w.get("bias", 0.0)

    layout, shape, peer = laid_out(dice, (*case.size, case.c), peer)
    layer = getattr(layers, f"Conv{rank}DTranspose")(
        case.k, case.window, case.strides, padding, output_padding=added, dilation_rate=case.dilation_rate,
        groups=case.groups, use_bias=dice.random() < 0.7, **layout,
    )  # fmt: skip
    return Drawn(layer, [shape], peer, _terms(case))


def separable(op: str, dice: random.Random) -> Drawn:
    case = draw_plain(dice, f"depthwise_{op.removeprefix('separable_')}")
    filters = dice.choice(CHANNELS)

    def peer(x: list[Any], w: Weights) -> Any:
        y = torch_forward(case, x[0].movedim(-1, 1), w["depthwise_kernel"]).movedim(1, -1)
        return y @ w["pointwise_kernel"].flatten(0, -2) + w.get("bias", 0.0)

    layout, shape, peer = laid_out(dice, (*case.size, case.c), peer)
    layer = getattr(layers, f"SeparableConv{op[-2]}D")(
        filters, case.window, case.strides, case.padding, dilation_rate=case.dilation_rate,
        depth_multiplier=case.k // case.c, use_bias=dice.random() < 0.7, **layout,
    )  # fmt: skip
    return Drawn(layer, [shape], peer, _terms(case) + filters)


def dense(dice: random.Random) -> Drawn:
    shape = image(dice, dice.choice((0, 0, 1, 2)))
    units = dice.choice(CHANNELS)
    layer = layers.Dense(units, use_bias=dice.random() < 0.7)
    terms = max(shape[-1], units, 4 * math.prod(shape[:-1]))
    return Drawn(layer, [shape], lambda x, w: x[0] @ w["kernel"] + w.get("bias", 0.0), terms)


# --- pools: windows cut out of the padded input, and then a reduction


def pool(kind: str, ranks: tuple[int, ...], dice: random.Random) -> Drawn:
    form = dice.choice(("sliding", "sliding", "sliding", "global", "adaptive"))
    form = "sliding" if (kind, form) == ("sum", "adaptive") else form
    rank = dice.choice((1, 2, 3) if form == "global" and 2 in ranks else ranks)
    if form == "global" and 3 in ranks:  # all global pools are 2-D steps
        form = "sliding" if kind == "sum" else "adaptive"
    shape = image(dice, rank, 1, 24)
    name = {"max": "Max", "average": "Average", "sum": "Sum"}[kind]
    if form == "sliding":
        return sliding(kind, shape, dice)
    if form == "global":
        keep = dice.random() < 0.5
        layout, given, peer = laid_out(dice, shape, lambda x, w: _over_all(kind, x[0], keep))
        layer = getattr(layers, f"Global{name}Pooling{rank}D")(keepdims=keep, **layout)
        return Drawn(layer, [given], peer, math.prod(shape[:-1]))
    size = tuple(dice.choice((None, dice.randint(1, n))) for n in shape[:-1])
    layout, given, peer = laid_out(dice, shape, lambda x, w: _adaptive(kind, x[0], size))
    return Drawn(getattr(layers, f"Adaptive{name}Pooling{rank}D")(size, **layout), [given], peer, 64)


def _over_all(kind: str, x: Any, keep: bool) -> Any:
    y = _reduced(kind, x.flatten(1, -2).movedim(1, -1))
    return y.reshape(len(x), *(1 for _ in x.shape[1:-1]), x.shape[-1]) if keep else y


def _reduced(kind: str, windows: Any) -> Any:
    """Of the last axis; a maximum's gradient goes to one of the elements."""
    if kind == "max":
        return windows.max(-1).values
    return windows.mean(-1) if kind == "average" else windows.sum(-1)


def _adaptive(kind: str, x: Any, size: tuple[int | None, ...]) -> Any:
    given = [n or whole for n, whole in zip(size, x.shape[1:-1], strict=True)]
    function = getattr(functional, f"adaptive_{'max' if kind == 'max' else 'avg'}_pool{len(size)}d")
    return function(x.movedim(-1, 1), given).movedim(1, -1)


def power_pool(dice: random.Random) -> Drawn:
    return sliding("lp", image(dice, 2, 1, 20), dice)


def sliding(kind: str, shape: tuple[int, ...], dice: random.Random) -> Drawn:
    """Of a kind, or the norm of a power ("lp")."""
    rank = len(shape) - 1
    window = tuple(dice.randint(1, min(n, 4)) for n in shape[:-1])
    dilation = tuple(
        dice.choice((1, 1, 2)) if 2 * r - 1 <= n else 1 for r, n in zip(window, shape[:-1], strict=True)
    )
    dilation = dilation if kind == "max" else (1,) * rank
    strides = tuple(dice.randint(1, 4) for _ in range(rank))
    sides = tuple((dice.randrange(r), dice.randrange(r)) for r in window)
    padding: Any = dice.choice(("valid", "same", min(window) - 1, tuple(a for a, _ in sides), sides))
    ceil_mode = padding != "same" and dice.random() < 0.4
    p = dice.choice((1.0, 2.0, 3.5))
    options = {"dilation_rate": dilation} if kind == "max" else {"p": p} if kind == "lp" else {}
    counted = kind == "average" and dice.random() < 0.4
    options |= {"count_include_pad": counted} if kind == "average" else {}
    pads = resolve_padding_nd(padding, shape[:-1], window, strides, dilation)
    more = tuple(
        _left_over(n + a + b, d * (r - 1) + 1, s, n + a) if ceil_mode else 0
        for n, (a, b), r, d, s in zip(shape[:-1], pads, window, dilation, strides, strict=True)
    )

    def cut(x: Any, fill: float) -> Any:
        """[N, ..., C, taps]; beyond the padding lies nothing."""
        x = functional.pad(x, [0, 0, *(n for pair in pads[::-1] for n in pair)], value=fill)
        fill = -math.inf if kind == "max" else 0.0
        x = functional.pad(x, [0, 0, *(n for each in more[::-1] for n in (0, each))], value=fill)
        for axis in range(rank):
            x = x.unfold(1 + axis, dilation[axis] * (window[axis] - 1) + 1, strides[axis])[
                ..., :: dilation[axis]
            ]
        return x.flatten(-rank)

    def peer(x: list[Any], w: Weights) -> Any:
        if kind == "max":
            return cut(x[0], -math.inf).max(-1).values
        if kind == "lp":
            return (cut(x[0], 0.0).abs() ** p).sum(-1) ** (1 / p)
        total = cut(x[0], 0.0).sum(-1)
        return total / cut(torch.ones_like(x[0]), float(counted)).sum(-1) if kind == "average" else total

    name = {"max": "MaxPooling", "average": "AveragePooling", "sum": "SumPooling", "lp": "LPPooling"}[kind]
    layout, given, peer = laid_out(dice, shape, peer)
    layer = getattr(layers, f"{name}{rank}D")(
        pool_size=window, strides=strides, padding=padding, ceil_mode=ceil_mode, **options, **layout
    )
    return Drawn(layer, [given], peer, math.prod(window))


def _left_over(size: int, extent: int, stride: int, end: int) -> int:
    """What a last window reaches beyond the padding, if it begins before its end."""
    outputs = -(-(size - extent) // stride) + 1
    outputs -= (outputs - 1) * stride >= end
    return max((outputs - 1) * stride + extent - size, 0)


def unpool(dice: random.Random) -> Drawn:
    """What is spread, and an input whose pooling says where to."""
    window = (dice.randint(1, 3), dice.randint(1, 3))
    h, w = (r * dice.randint(1, 5) + dice.randrange(r) for r in window)
    n, c = (h // window[0], w // window[1]), dice.choice(CHANNELS)

    def layer(x: Any) -> Any:
        return layers.MaxUnpooling2D()([x[0], layers.MaxPooling2D(window)(x[1])])

    def peer(x: list[Any], weights: Weights) -> Any:
        _, places = functional.max_pool2d(x[1].detach().movedim(-1, 1), window, return_indices=True)
        zeros = torch.zeros((len(x[0]), c, h * w), dtype=x[0].dtype)
        full = zeros.scatter(2, places.flatten(2), x[0].movedim(-1, 1).flatten(2))
        return full.reshape(-1, c, h, w).movedim(1, -1)

    return Drawn(layer, [(*n, c), (h, w, c)], peer)
