# SPDX-License-Identifier: Apache-2.0
"""From calls of layers to native nodes.

A call of a model stands for those of its layers, whose names begin with that of the model: ``base/conv2d``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard, cast

from fastcnn import _native

if TYPE_CHECKING:
    from fastcnn.layers import Layer
    from fastcnn.models.base import BaseModel


Part: TypeAlias = "Layer | BaseModel"


class Call(NamedTuple):
    """One use of a layer or a model."""

    layer: Part
    inputs: tuple[int, ...]  # the tensors that it reads, numbered in the order of the calls that make them
    training: bool | None = None  # False: as in prediction, whatever the model does


class Span(NamedTuple):
    """The nodes of a call; of no nodes for a linear activation."""

    layer: Part
    nodes: range
    ends: tuple[int, ...]  # the nodes that hold its outputs
    inner: tuple[Span, ...]  # of a model


class Walk:
    """Calls as native nodes, each of which reads only those before it.

    Attributes
    ----------
    nodes
        Their descriptions.
    owners
        The layer of each.
    spans
        Of the outermost calls.
    ends
        The node that holds each tensor.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.owners: list[Layer] = []
        self._names: dict[Layer, str] = {}
        self._times: dict[Layer, int] = {}
        self.spans, self.ends = self._walk(calls, "", None)

    def keep(self, tensors: Sequence[int]) -> None:
        """Drop what does not lead to these tensors: outputs of a model that nothing reads."""
        alive = set()
        stack = [self.ends[each] for each in tensors]
        while stack:
            node = stack.pop()
            if node not in alive:
                alive.add(node)
                stack += self.nodes[node]["inputs"]
        alive |= {node for node, each in enumerate(self.nodes) if each["op"] == "input"}
        if len(alive) == len(self.nodes):
            return
        kept = sorted(alive)
        place = [0] * (len(self.nodes) + 1)  # of a node, or of the next that is kept
        for node in range(len(self.nodes)):
            place[node + 1] = place[node] + (node in alive)

        def moved(span: Span) -> Span:
            nodes = range(place[span.nodes.start], place[span.nodes.stop])
            ends = tuple(place[each] for each in span.ends)
            return Span(span.layer, nodes, ends, tuple(map(moved, span.inner)))

        calls: dict[Layer, dict[int, int]] = {}  # as many of each layer as are kept
        nodes = []
        for node in kept:
            each = self.nodes[node]
            numbers = calls.setdefault(self.owners[node], {})
            number = numbers.setdefault(each["call"], len(numbers))
            nodes.append({**each, "call": number, "inputs": [place[read] for read in each["inputs"]]})
        self.nodes = nodes
        self.owners = [self.owners[node] for node in kept]
        self.spans = [moved(span) for span in self.spans]
        self.ends = [place[each] for each in self.ends]

    def shape_of(self, node: int) -> tuple[int, ...]:
        """Of a sample of a node's output, while the walk is under way."""
        probe = copy.copy(self)
        probe.ends = [node]
        probe.spans = []
        probe.keep([0])
        return tuple(_native.infer_shapes(probe.nodes)[probe.ends[0]])

    def _walk(
        self, calls: Sequence[Call], prefix: str, training: bool | None, ends: Sequence[int] = ()
    ) -> tuple[list[Span], list[int]]:
        found, spans = list(ends), []
        for call in calls:
            trains = call.training if training is None else training
            span = self._call(call._replace(training=trains), [found[each] for each in call.inputs], prefix)
            spans.append(span)
            found += span.ends
        return spans, found

    def _call(self, call: Call, reads: list[int], prefix: str) -> Span:
        layer, begin = call.layer, len(self.nodes)
        if is_model(layer):
            layer.prepare([partial(self.shape_of, each) for each in reads])
            calls, outputs = layer.inner_calls()
            inner, ends = self._walk(calls, f"{prefix}{layer.name}/", call.training, reads)
            nodes = range(begin, len(self.nodes))
            return Span(layer, nodes, tuple(ends[each] for each in outputs), tuple(inner))
        layer = cast("Layer", layer)
        name = self._names.setdefault(layer, prefix + layer.name)
        number = self._times[layer] = self._times.get(layer, -1) + 1
        common = {"name": name, "layer": type(layer).__name__, "call": number}
        given = reads
        for node in layer.nodes():
            here = len(self.nodes)
            if "reads" in node:  # inputs of the layer, or from -1 backwards the nodes before
                reads = [given[each] if each >= 0 else here + each for each in node["reads"]]
            own = {key: value for key, value in node.items() if key != "reads"}
            if call.training is False:
                own = _inert(own)
            self.nodes.append({**common, "inputs": reads, **own})
            self.owners.append(layer)
            reads = [here]
        return Span(layer, range(begin, len(self.nodes)), (reads[0],), ())


_DRAWING = frozenset(
    (
        "dropout",
        "spatial_dropout",
        "gaussian_noise",
        "gaussian_dropout",
        "alpha_dropout",
        "adjust",
        "erase",
        "mix",
    )
)


def _inert(node: dict[str, Any]) -> dict[str, Any]:
    """What a node does in prediction."""
    op = node["op"]
    if op == "batch_norm":
        return {**node, "training": False}
    if op == "affine" and node["kind"] == "crop":
        whole = {"interpolation": "bilinear", "crop_to_aspect_ratio": True, "center": False}
        return {"op": "affine", "kind": "resize", "height": node["height"], "width": node["width"], **whole}
    if op in _DRAWING or (op == "affine" and node["kind"] != "resize"):
        return {"op": "identity"}
    return node


def is_idle(layer: Part) -> bool:
    """Whether a layer does nothing in prediction."""
    return not is_model(layer) and all(
        _inert(each)["op"] == "identity" for each in cast("Layer", layer).nodes()
    )


def has_weights(layer: Part) -> bool:
    """Whether it may have some; a model always may."""
    return is_model(layer) or bool(cast("Layer", layer).weight_initializers)


def outputs_of(layer: Part) -> int:
    """How many tensors a call makes; of a layer of the user's own that has not been called, one."""
    return len(layer.inner_calls()[1]) if is_model(layer) and layer.traced else 1


def is_model(layer: Part) -> TypeGuard[BaseModel]:
    """Whether its calls stand for those of other layers."""
    return layer.composed
