# SPDX-License-Identifier: Apache-2.0
"""What a random layer and its peer in PyTorch's operators consist of; see `layer_peers`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastcnn import layers

Weights = Mapping[str, Any]
Peer = Callable[[list[Any], Weights], Any]
CHANNELS = (1, 2, 3, 4, 5, 8, 15, 16, 17, 33)


@dataclass(frozen=True)
class Drawn:
    """A layer, the shapes of a sample of its inputs, and its peer: of inputs and weights by role.

    `terms` are those of the longest sum of a pass; `predicts` is the peer outside training, if it differs.
    """

    layer: Callable[[Any], Any]
    shapes: list[tuple[int, ...]]
    peer: Peer
    terms: int = 1
    predicts: Peer | None = None


class Native(layers.Layer):
    """Operators of which some arguments have no layer."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        super().__init__()
        self._nodes = list(nodes)

    def nodes(self) -> list[dict[str, Any]]:
        return self._nodes


def image(dice: random.Random, rank: int, least: int = 1, most: int = 9) -> tuple[int, ...]:
    return (*(dice.randint(least, max(most // rank, least)) for _ in range(rank)), dice.choice(CHANNELS))


def laid_out(dice: random.Random, shape: tuple[int, ...], peer: Peer) -> tuple[dict[str, Any], Any, Peer]:
    """A random layout: the layer's argument, the shape and the peer in it."""
    if dice.random() < 0.7:
        return {}, shape, peer

    def first(x: list[Any], w: Weights) -> Any:
        y = peer([each.movedim(1, -1) for each in x], w)
        return y.movedim(-1, 1) if y.ndim > 2 else y

    return {"data_format": "channels_first"}, (shape[-1], *shape[:-1]), first
