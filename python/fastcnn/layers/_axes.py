# SPDX-License-Identifier: Apache-2.0
"""Layers over other axes than the last: native operators read channels last, so axes go there and back.

Between two such layers there and back cancel out; the native graph leaves them away.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn._arguments import choose, integer
from fastcnn.errors import ArgumentError, DTypeError
from fastcnn.layers.base import Node

Axes = int | tuple[int, ...]


def axes_argument(axis: object, where: str) -> Axes:
    """An axis, or a tuple of them; the batch is axis 0."""
    if isinstance(axis, str | bytes):
        raise DTypeError(f"{where}: got {axis!r}, wanted an axis or a tuple of them")
    if not isinstance(axis, Sequence):
        return integer(axis, where)
    axes = tuple(integer(each, where) for each in axis)
    if not axes:
        raise ArgumentError(f"{where}: got no axis, wanted at least one")
    return axes


def data_format(value: object, where: str) -> str:
    """Keras's name of a layout: "channels_last", which None means, or "channels_first"."""
    if value is None:
        return "channels_last"
    return choose(value, {name: name for name in ("channels_last", "channels_first")}, where)


def over(axis: Axes, nodes: list[Node]) -> list[Node]:
    """Nodes that work over the last axes, made to work over these."""
    axes = listed(axis)
    if sorted(axes) == list(range(-len(axes), 0)):
        return nodes
    return [{"op": "permute", "to_end": axes}, *nodes, {"op": "permute", "from_end": axes}]


def laid_out(data_format: str, nodes: list[Node], activation: Sequence[Node] = ()) -> list[Node]:
    """Nodes that read and write channels last, made to do so in a layout, and an activation after them."""
    if data_format == "channels_last":
        return [*nodes, *activation]
    if any(node["op"] in ("softmax", "log_softmax") for node in activation):  # over whichever axis is last
        return [*over(1, nodes), *activation]
    return over(1, [*nodes, *activation])


def last(axis: Axes) -> list[int]:
    """As many of the last axes."""
    return list(range(-len(listed(axis)), 0))


def listed(axis: Axes) -> list[int]:
    """As a list, whatever it is."""
    return list(axis) if isinstance(axis, tuple) else [axis]
