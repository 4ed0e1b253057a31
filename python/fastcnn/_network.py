# SPDX-License-Identifier: Apache-2.0
"""A native model together with the layers that its nodes and parameters come from. Models hold one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastcnn import _native, _random
from fastcnn._arguments import Array, listed
from fastcnn._summary import Row
from fastcnn.errors import ArgumentError
from fastcnn.layers import InputLayer, Layer

Shape: TypeAlias = tuple[int, ...]
Carried: TypeAlias = Mapping[Layer, Sequence[Array]]


class Parameter(NamedTuple):
    """One parameter of the native model."""

    layer: Layer
    role: str  # "kernel", "bias"
    shape: Shape
    trainable: bool  # False: moving statistics


class Call(NamedTuple):
    """One use of a layer."""

    layer: Layer
    inputs: tuple[int, ...]  # positions of the calls whose outputs it reads


class Description(NamedTuple):
    """Calls as native nodes."""

    nodes: list[dict[str, Any]]
    spans: list[range]  # of each call; of no nodes for a linear activation
    ends: list[int]  # the node that holds the output of each call


def describe(calls: Sequence[Call]) -> Description:
    """The native nodes of the calls, each of which reads only those before it."""
    nodes: list[dict[str, Any]] = []
    spans: list[range] = []
    ends: list[int] = []
    times: dict[Layer, int] = {}
    for layer, inputs in calls:
        begin = len(nodes)
        number = times[layer] = times.get(layer, -1) + 1
        reads = [ends[each] for each in inputs]
        for node in layer.nodes():
            common = {"name": layer.name, "layer": type(layer).__name__, "call": number, "inputs": reads}
            nodes.append({**common, **node})
            reads = [len(nodes) - 1]
        spans.append(range(begin, len(nodes)))
        ends.append(len(nodes) - 1 if len(nodes) > begin else reads[0])
    return Description(nodes, spans, ends)


class Network:
    """Calls of layers joined into one native model.

    Parameters
    ----------
    calls
        Those of input layers first, each of the others after those whose outputs it reads.
    outputs
        Positions of the calls whose outputs are the model's.

    Raises
    ------
    ShapeError, ArgumentError
        A layer does not fit its input.
    """

    def __init__(self, calls: Sequence[Call], outputs: Sequence[int]) -> None:
        nodes, self._spans, ends = describe(calls)
        self._calls = calls
        self._nodes = nodes
        self.native = _native.Model(nodes, [ends[each] for each in outputs])
        owners = {node: call.layer for call, span in zip(calls, self._spans, strict=True) for node in span}
        self.parameters = [
            Parameter(owners[each["node"]], each["role"], tuple(each["shape"]), each["trainable"])
            for each in self.native.parameters
        ]
        shapes = self.native.output_shapes
        self.input_shapes = [
            tuple(shapes[index]) for index, node in enumerate(nodes) if node["op"] == "input"
        ]
        self.output_shapes = [tuple(shapes[ends[each]]) for each in outputs]

    def rules(self) -> list[tuple[int, dict[str, Any]]]:
        """What holds for single parameters in training, by their number."""
        found = [
            (index, each.layer.rule(each.role, len(each.shape))) for index, each in enumerate(self.parameters)
        ]
        return [(index, rule) for index, rule in found if rule]

    def changed(self) -> None:
        """The weights are not what they were."""

    def frozen(self) -> list[int]:
        """Indices of the parameters whose layer does not train."""
        return [index for index, each in enumerate(self.parameters) if not each.layer.trainable]

    def initialize(self, seed: int, carried: Carried) -> None:
        """Draw the weights anew, but keep those of ``carried`` where they fit."""
        kept = {layer: iter(weights) for layer, weights in carried.items()}
        values = []
        for index, (layer, role, shape, _) in enumerate(self.parameters):
            value = next(kept.get(layer, iter(())), None)
            if value is None or value.shape != shape:
                value = layer.weight_initializers[role](shape, rng=_random.weights(seed, index))
            values.append(value)
        self.native.set_parameters(values)
        self.native.seed = seed

    def of(self, layer: Layer) -> list[int]:
        """Indices of a layer's parameters."""
        return [index for index, parameter in enumerate(self.parameters) if parameter.layer is layer]

    def get_weights(self, layer: Layer | None = None) -> list[Array]:
        """Copies of the weights, of one layer or of all."""
        weights = self.native.get_parameters()
        return weights if layer is None else [weights[index] for index in self.of(layer)]

    def set_weights(self, weights: Iterable[Any], layer: Layer) -> None:
        """Replace the weights of one layer."""
        where = f"{type(layer).__name__} {layer.name!r}: set_weights"
        given = listed(weights, where, "arrays")
        indices = self.of(layer)
        if len(given) != len(indices):
            raise ArgumentError(f"{where}: {len(given)} arrays came, wanted {len(indices)}")
        everything = self.native.get_parameters()
        for index, value in zip(indices, given, strict=True):
            everything[index] = np.asarray(value)
        self.native.set_parameters(everything)

    def rows(self) -> list[Row]:
        """One row of the summary for each layer that is no input; a layer's calls count together."""
        shapes, flops = self.native.output_shapes, self.native.flops
        rows: dict[Layer, Row] = {}
        for (layer, _), span in zip(self._calls, self._spans, strict=True):
            moves = any(self._nodes[node]["op"] not in _RENAMING for node in span)
            read = sum(math.prod(shapes[each]) for each in self._nodes[span.start]["inputs"]) if span else 0
            moved = 4 * (read + math.prod(shapes[span.stop - 1])) if moves else 0
            before = rows.get(layer)
            rows[layer] = Row(
                name=layer.name,
                kind=type(layer).__name__,
                output_shape=tuple(shapes[span.stop - 1]) if before is None else before.output_shape,
                parameters=sum(math.prod(self.parameters[index].shape) for index in self.of(layer)),
                flops=sum(flops[node] for node in span) + ((before.flops or 0.0) if before else 0.0),
                bytes=moved + ((before.bytes or 0) if before else 0),
                fixed=sum(
                    math.prod(self.parameters[index].shape)
                    for index in self.of(layer)
                    if not (layer.trainable and self.parameters[index].trainable)
                ),
            )
        return [row for layer, row in rows.items() if not isinstance(layer, InputLayer)]


_RENAMING = frozenset(row["name"] for row in _native.operators() if row["forward"] == "none")
