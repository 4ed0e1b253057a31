# SPDX-License-Identifier: Apache-2.0
"""Random activations and normalizations, over any axes, and their peers; see `layer_peers`."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import Any

import torch
from drawn_layer import Drawn, Native, Weights, image
from test_torch_activation import PARAMETERS, float32_of
from test_torch_activation import TORCH as ACTIVATIONS

from fastcnn import layers

functional = torch.nn.functional


# --- activations


def activation(name: str, dice: random.Random) -> Drawn:
    key = "gelu" if name == "gelu_tanh" else name
    options = PARAMETERS.get(key, lambda dice: {})(dice)
    if key == "gelu":
        options = {"approximate": name == "gelu_tanh"}
    node = {
        key: math.inf if value is None else value for key, value in options.items() if key != "approximate"
    }
    needed = {"leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 1.0}, "celu": {"alpha": 1.0}}
    same = partial(ACTIVATIONS[key], **float32_of(tuple({**needed.get(name, {}), **options}.items())))
    shape = image(dice, dice.choice((0, 1, 2)))
    layer = Native({"op": name, **needed.get(name, {}), **node})
    return Drawn(layer, [shape], lambda x, w: same(x[0]))


def softmax(name: str, dice: random.Random) -> Drawn:
    shape = image(dice, dice.choice((0, 1, 2)))
    axes = some_axes(dice, len(shape))

    def peer(x: list[Any], w: Weights) -> Any:
        y = x[0] - torch.logsumexp(x[0], axes, keepdim=True)
        return y if name == "log_softmax" else y.exp()

    if name == "softmax":
        return Drawn(layers.Softmax(axes), [shape], peer, math.prod(shape))
    nodes = [
        {"op": "permute", "to_end": axes},
        {"op": name, "axes": len(axes)},
        {"op": "permute", "from_end": axes},
    ]
    return Drawn(Native(*nodes), [shape], peer, math.prod(shape))


def some_axes(dice: random.Random, rank: int) -> tuple[int, ...]:
    """One or several of a sample's, counted from the front or the end."""
    axes = sorted(dice.sample(range(1, rank + 1), dice.choice((1, rank))))
    return tuple(axis if dice.random() < 0.5 else axis - rank - 1 for axis in axes)


def prelu(dice: random.Random) -> Drawn:
    shape = image(dice, dice.choice((0, 1, 2)))
    shared = dice.choice((None, tuple(range(1, len(shape)))))
    return Drawn(
        layers.PReLU(shared_axes=shared),
        [shape],
        lambda x, w: x[0].clamp(min=0) + w["alpha"] * x[0].clamp(max=0),
        4 * math.prod(shape),
    )


# --- normalizations


def batch_norm(dice: random.Random) -> Drawn:
    shape = image(dice, dice.choice((0, 1, 2, 3)))
    axis, options, epsilon = _norm_options(dice, len(shape))
    frozen = dice.random() < 0.25

    def peer(x: list[Any], w: Weights, given: bool = frozen) -> Any:
        moved = x[0].movedim(axis, 1)
        moving = (w["moving_mean"].detach(), w["moving_variance"].detach()) if given else (None, None)
        y = functional.batch_norm(moved, *moving, w.get("gamma"), w.get("beta"), not given, 0.0, epsilon)
        return y.movedim(1, axis)

    layer = layers.BatchNormalization(axis, trainable=not frozen, **options)
    return Drawn(layer, [shape], peer, 4 * math.prod(shape), partial(peer, given=True))


def _norm_options(dice: random.Random, rank: int) -> tuple[int, dict[str, Any], float]:
    axis = dice.choice((-1, -1, dice.randint(1, rank)))
    epsilon = dice.choice((1e-3, 1e-2, 0.25))
    options = {"epsilon": epsilon, "scale": dice.random() < 0.7, "center": dice.random() < 0.7}
    return axis, options, epsilon


def group_norm(dice: random.Random) -> Drawn:
    shape = image(dice, dice.choice((1, 2, 3)), 2)
    axis, options, epsilon = _norm_options(dice, len(shape))
    channels = shape[axis] if axis < 0 else shape[axis - 1]
    groups = dice.choice([g for g in range(1, channels + 1) if channels % g == 0] + [-1])
    layer: Any = layers.GroupNormalization(groups, axis, **options)
    if groups == -1 and dice.random() < 0.5:
        layer = layers.InstanceNormalization(axis, **options)
    groups = channels if groups == -1 else groups

    def peer(x: list[Any], w: Weights) -> Any:
        # PyTorch's own ends in errors of its own where channels are not first in memory.
        moved = x[0].movedim(axis, -1)
        grouped = moved.reshape(len(moved), -1, groups, channels // groups)
        centred = grouped - grouped.mean((1, 3), keepdim=True)
        y = centred * torch.rsqrt((centred**2).mean((1, 3), keepdim=True) + epsilon)
        y = y.reshape(moved.shape) * w.get("gamma", 1.0) + w.get("beta", 0.0)
        return y.movedim(-1, axis)

    return Drawn(layer, [shape], peer, 4 * math.prod(shape))


def row_norm(name: str, dice: random.Random) -> Drawn:
    """Layer, RMS and unit norm, over any axes."""
    shape = image(dice, dice.choice((0, 1, 2)), 2)
    axes = some_axes(dice, len(shape))
    _, options, epsilon = _norm_options(dice, len(shape))
    inside = [axis % (len(shape) + 1) for axis in axes]
    broadcast = [n if axis in inside else 1 for axis, n in enumerate((1, *shape))]
    layer = {
        "layer_norm": lambda: layers.LayerNormalization(axes, **options),
        "rms_norm": lambda: layers.RMSNormalization(axes, epsilon),
        "unit_norm": lambda: layers.UnitNormalization(axes),
    }[name]()

    def peer(x: list[Any], w: Weights) -> Any:
        if name == "unit_norm":
            return x[0] * torch.rsqrt((x[0] ** 2).sum(axes, keepdim=True).clamp_min(1e-24))
        centred = x[0] - x[0].mean(axes, keepdim=True) if name == "layer_norm" else x[0]
        y = centred * torch.rsqrt((centred**2).mean(axes, keepdim=True) + epsilon)
        gamma, beta = (w[role].reshape(broadcast) if role in w else None for role in ("gamma", "beta"))
        y = y if gamma is None else y * gamma
        return y if beta is None else y + beta

    return Drawn(layer, [shape], peer, 4 * math.prod(shape))
